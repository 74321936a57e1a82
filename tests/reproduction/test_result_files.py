"""Numbers of result files, by their place."""

from __future__ import annotations

import json

import pytest
from scipy import stats

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.reproduction.result_files import read_found

CONTENT = {
    "loss": [
        {"model": "a", "runs": [{"at": 1.0}, {"at": 2.0}, {"at": 4.0}]},
        {"model": "b", "runs": [{"at": 0.5}, {"at": 0.5}, {"at": 1.0}]},
    ],
    "time": {"10": {"ratio": 0.5, "low": 0.4, "high": 0.6}},
}
A = ["loss", {"model": "a"}, "runs", "*", "at"]
B = ["loss", {"model": "b"}, "runs", "*", "at"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(CONTENT))
    return tmp_path


def test_several_numbers_are_a_mean_with_students_interval(folder):
    found = read_found({"file": "r.json", "at": A, "seeds": [0, 1, 2]}, folder)
    low, high = stats.t.interval(0.95, 2, loc=7 / 3, scale=stats.sem([1, 2, 4]))
    assert (found.value, found.low, found.high) == pytest.approx((7 / 3, low, high))
    assert (found.seeds, found.file) == ((0, 1, 2), "r.json")


def test_differences_and_ratios_are_taken_entry_by_entry(folder):
    less = read_found({"file": "r.json", "at": A, "less": B}, folder)
    over = read_found({"file": "r.json", "at": A, "over": B}, folder)
    assert less.value == pytest.approx((0.5 + 1.5 + 3) / 3)
    assert over.value == pytest.approx((2 + 4 + 4) / 3)


def test_a_number_and_an_interval_that_the_file_has(folder):
    one = {"file": "r.json", "at": ["loss", 0, "runs", 2, "at"]}
    assert (read_found(one, folder).value, read_found(one, folder).low) == (4, None)
    ends = {name: ["time", "10", name] for name in ("low", "high")}
    found = read_found({"file": "r.json", "at": ["time", "10", "ratio"], **ends}, folder)
    assert (found.value, found.low, found.high) == (0.5, 0.4, 0.6)


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        ({"file": "none.json", "at": ["a"]}, "is not a readable result file"),
        ({"at": ["lost"]}, "has no 'lost' on the way"),
        ({"at": ["loss", 9]}, "has no 9 on the way"),
        ({"at": ["loss", {"model": "c"}]}, "on the way"),
        ({"at": ["time", "*"]}, r"has no '\*' on the way"),
        ({"at": ["loss"]}, "has no number at"),
        ({"at": A, "less": ["time", "10", "ratio"]}, "has 3 numbers at `at` and 1 at `less`"),
        ({"at": A, "seeds": [0]}, r"has 3 numbers for the seeds \[0\]"),
    ],
)
def test_a_place_that_is_not_there_is_named(folder, measured, words):
    with pytest.raises(InvalidData, match=words) as caught:
        read_found({"file": "r.json", **measured}, folder)
    assert "\n" not in str(caught.value)
