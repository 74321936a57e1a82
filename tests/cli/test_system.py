"""`qdm report system`."""

from __future__ import annotations

import csv
import json

from tests.artifacts.test_files_of_0_1 import reads_their_circuits
from tests.helpers import ROOT

FIXTURES = ROOT / "tests" / "fixtures" / "v0_1"
SAMPLES = FIXTURES / "samples" / "noisy"
HARDWARE = FIXTURES / "hardware" / "2026-11-28-qddm-f5e47e7f"


@reads_their_circuits
def test_the_table_is_printed_and_written(qdm, tmp_path):
    done = qdm("report", "system", SAMPLES, HARDWARE, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    for words in ("qubits idle", "QPU seconds planned", "1,280", "22.490 s", "not recorded"):
        assert words in done.out
    assert "Reproducibility is not measured" in done.out
    with open(tmp_path / "out" / "system.csv", newline="") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert (rows["shots"]["noisy"], rows["shots"][HARDWARE.name]) == ("1280", "1792")
    content = json.loads(qdm("report", "system", SAMPLES, "--json", "--watts", "10").out)
    assert content == {**content, "schema": "qdm-system/" + "1", "watts": 10.0}
    [run] = content["runs"]
    assert run["metrics"]["energy_joules"] == 10 * run["metrics"]["total_seconds"]


def test_what_is_no_run_is_one_line_and_writes_nothing(qdm, tmp_path):
    (tmp_path / "empty").mkdir()
    for words, told in (
        ((tmp_path / "empty",), "There are no training, sampling or hardware runs in"),
        ((tmp_path / "missing",), "There is no folder"),
        ((SAMPLES, "--watts", "-3"), "watts is a power above 0"),
        ((), "Missing argument"),
    ):
        done = qdm("report", "system", *words, "--out", tmp_path / "out")
        assert (done.code, done.err.count("\n")) == (2, 1), words
        assert told in done.err
        assert not (tmp_path / "out").exists()
