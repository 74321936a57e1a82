"""The short form of `make fuzz`, and what keeps it honest."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from qdm_qiskit.errors import InvalidData
from tests.fuzz.fuzz import fuzz, shares
from tests.fuzz.mutations import bomb, mutated
from tests.fuzz.readers import Reader, _of_data, readers


def test_damaged_data_files_give_our_errors_only(tmp_path):
    """The readers whose files take no run to write."""
    for name, reader in _of_data(tmp_path / "data").items():
        seen = fuzz(reader, name, 40, seed=5)
        assert not seen["wrong"], seen["wrong"][0]
        assert seen["read"] + seen["refused"] == 40


@pytest.mark.slow
def test_damaged_files_of_every_kind_give_our_errors_only(tmp_path):
    found = readers(tmp_path / "all")
    for name, count in shares(found, 6000).items():
        seen = fuzz(found[name], name, count, seed=6)
        assert not seen["wrong"], seen["wrong"][0]


def test_errors_of_others_and_two_lines_are_wrong(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')

    def foreign() -> object:
        if path.read_bytes() != b'{"a": 1}':
            raise KeyError("a")
        return None

    def two_lines() -> object:
        if path.read_bytes() != b'{"a": 1}':
            raise InvalidData("a\nb")
        return None

    assert "KeyError" in fuzz(Reader(path, foreign), "foreign", 9, seed=0)["wrong"][0]
    assert "two lines" in fuzz(Reader(path, two_lines), "lines", 9, seed=0)["wrong"][0]
    assert path.read_text() == '{"a": 1}'


def test_the_same_seed_is_the_same_input():
    whole = b'{"a": [1, 2, {"b": null}]}'
    made = [mutated(whole, random.Random(k)) for k in range(200)]
    assert made == [mutated(whole, random.Random(k)) for k in range(200)]
    assert len(set(made)) > 100


def test_an_archive_that_unpacks_into_much_is_small(tmp_path):
    reader = _of_data(tmp_path / "data")["archive"]
    made = bomb(reader.file.read_bytes(), 2**24)
    assert len(made) < 2**17
    reader.file.write_bytes(made)
    [largest, _] = sorted(reader.read().values(), key=lambda each: -each.size)
    assert largest.shape == (2**24,)


def test_every_module_that_reads_json_or_archives_is_fuzzed():
    """A reader that is added without a line in `readers.py` fails here, with its module's name."""
    package = Path(__file__).parents[2] / "qdm_qiskit"
    words = ("read_arrays(", "read_json_object(", "parse_json(", "safe_open(", "load_file(")
    found = {
        str(path.relative_to(package).with_suffix(""))
        for path in package.rglob("*.py")
        if any(word in path.read_text() for word in words)
    }
    assert found - FUZZED - BEHIND == set()


FUZZED = {
    "archives", "circuits/amortised", "tasks/restoring", "training/competitors", "files",
    "data/npz", "evaluation/hardware_run", "evaluation/row_items", "evaluation/subjects",
    "evaluation/system_of_hardware", "evaluation/system_of_runs",
    "hardware/ledger/decision_files",
    "hardware/ledger/output_files", "hardware/ledger/run_files", "hardware/ledger/trained_files",
    "hardware/plan/planned_files", "hardware/plan/qnn_question", "hardware/plan/refits",
    "hardware/plan/sealed", "hardware/plan/training_batches",
    "hardware/providers/settings", "hardware/run/fleet_results", "hardware/run/stored_images",
    "hardware/run/training_chain", "models/pretrained", "noise_sources/sources", "overview/find",
    "privacy/private_training",
    "reports/model_card", "reproduction/reader", "reproduction/result_files", "sampling/blocks",
    "sampling/refit_record", "sampling/samples", "sampling/trained_run", "sweeps/search",
    "sweeps/sweep", "training/beside", "training/checkpoint", "training/epoch_end",
    "training/run_folder", "training/targets/places", "work/items",
}  # fmt: skip
BEHIND = {
    # The same functions on files that another reader above reads as well.
    "evaluation/run", "hardware/ledger/stored_files", "hardware/plan/calibration_reuse",
    "hardware/plan/refit_reuse", "sweeps/item", "tasks/fleets", "tasks/hardware_run",
    "tasks/qnn_plans", "tasks/recorded_runs", "tasks/sharing", "tasks/training",
    # Files of this package itself.
    "reproduction/catalog",
    # Weights of networks of others, from a cache of ours or a folder that is named: not fuzzed.
    "evaluation/domain_classifier", "evaluation/inception",
}  # fmt: skip
