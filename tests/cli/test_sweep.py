"""`qdm sweep`: one command for many runs, which goes on where it stopped."""

from __future__ import annotations

import csv
import json
import sys

import pytest

from qdm_qiskit.cli.sweep import parse_lists
from qdm_qiskit.errors import InvalidOption
from tests.pages.reading import assert_self_contained


@pytest.fixture
def tiny_sweep(tiny):
    return ["sweep", "--model", "eeqdm", *tiny, "--set", "baseline=false", "--epochs", "1"]


def test_a_sweep_and_its_files(qdm, tiny_sweep, tmp_path):
    grid = ["--grid", "learning_rate=0.01,0.1", "--seeds", "2", "--out", tmp_path / "out"]
    done = qdm(*tiny_sweep, *grid, "--sort", "test_loss", "--format", "pdf")
    assert done.code == 0, done.err
    assert (tmp_path / "out" / "curves.pdf").read_bytes().startswith(b"%PDF")
    assert f"written  {tmp_path / 'out' / 'curves.pdf'}" in done.out
    assert "4/4" in done.err
    with open(tmp_path / "out" / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["learning_rate"], row["seed"]) for row in rows] == [
        ("0.01", "0"),
        ("0.01", "1"),
        ("0.1", "0"),
        ("0.1", "1"),
    ]
    best = min(rows, key=lambda row: float(row["test_loss"]))
    assert f"best     {tmp_path / 'out' / 'runs' / best['name']}" in done.out
    content = json.loads((tmp_path / "out" / "runs.json").read_text())
    assert content["best"] == best["name"]
    assert len(content["over_seeds"]) == 2
    losses = [float(row["test_loss"]) for row in rows]
    mean = content["over_seeds"][0]["metrics"]["test_loss"]
    assert mean == pytest.approx((losses[0] + losses[1]) / 2)
    page = assert_self_contained((tmp_path / "out" / "runs.html").read_text())
    assert "learning_rate" in page.words()
    assert len(page.all("polyline") + page.all("path")) == 4  # a curve for each run
    assert "Training took" in page.words()
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")

    again = qdm("sweep", "--out", tmp_path / "out", "--resume", "--over-seeds", "--json", "--quiet")
    assert again.code == 0
    assert again.err == ""
    assert [row["metrics"]["seeds"] for row in json.loads(again.out)["rows"]] == [2, 2]

    wrong = qdm("sweep", "--out", tmp_path / "out", "--resume", "--sort", "test_los")
    assert wrong.code == 2
    assert "Did you mean 'test_loss'?" in wrong.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--grid", "dept=1,2"], "Did you mean 'depth'?"),
        (["--grid", "depth"], "Options are set as name=value, got 'depth'"),
        (["--grid", "depth=1,"], "grid takes values for 'depth'"),
        (["--grid", "depth=1", "--grid", "depth=2"], "'depth' is set twice"),
        (["--draw", "learning_rate=0.1"], "LOW:HIGH"),
        (["--draw", "learning_rate=0.1:1"], "draws is a whole number of at least 1"),
        (["--grid", "epochs=1,2"], "'epochs' is set twice"),
        (["--factor", "2"], "name first_epochs too"),
        (["--first-epochs", "1"], "first_epochs must be below"),
        (["--preset", "digits-demo"], "Name what to train by --model or by --preset"),
        (["--resume"], "leave --model, --set, --epochs out"),
        (["--workers", "0"], "workers is a whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_one_line(qdm, tiny_sweep, tmp_path, words, told):
    done = qdm(*tiny_sweep, "--out", tmp_path / "out", *words)
    assert done.code == 2
    assert told in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out" / "runs").exists()


def test_nothing_to_resume_is_one_line(qdm, tmp_path):
    done = qdm("sweep", "--out", tmp_path, "--resume")
    assert done.code == 2
    assert "There is no sweep to resume" in done.err


def test_without_dask_a_scheduler_says_what_to_install(qdm, tiny_sweep, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = qdm(*tiny_sweep, "--out", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1")
    assert done.code == 2
    assert "pip install 'qdm_qiskit[dask]'" in done.err


def test_lists_of_lists_are_parted_by_semicolons():
    assert parse_lists(["depth=1, 2", "classes=0,1;2,3", "train_on=noisy:fake_torino"]) == {
        "depth": ["1", "2"],
        "classes": ["0,1", "2,3"],
        "train_on": ["noisy:fake_torino"],
    }
    assert parse_lists(["classes=0,1;"]) == {"classes": ["0,1"]}
    with pytest.raises(InvalidOption, match="takes values for 'a'"):
        parse_lists(["a="])
