"""Scans of circuits: each row is the analysis of its circuit, whoever measured it."""

from __future__ import annotations

import json

import pytest

from qdm_qiskit.analysis import analyse
from qdm_qiskit.circuits import TEMPLATES
from qdm_qiskit.errors import InvalidArgument, InvalidOption, UnknownName
from qdm_qiskit.tasks import circuit_scans
from qdm_qiskit.tasks.circuit_scans import METRICS, scan_circuit
from qdm_qiskit.work import InThisProcess
from tests.cli.conftest import Qdm, qdm  # noqa: F401 (a fixture)
from tests.sweeps.test_killed import done

FEW = {"samples": 8, "repeats": 2, "seed": 5}


def test_a_row_is_the_analysis_of_its_circuit(tmp_path):
    found = scan_circuit(
        "eeqdm", {"depth": [1, 2], "num_data": [2]}, folder=tmp_path, workers=InThisProcess(), **FEW
    )
    assert [row.state for row in found.table.rows] == ["done", "done"]
    for row, depth in zip(found.table.rows, (1, 2), strict=True):
        spec = TEMPLATES["eeqdm"].changed({"depth": str(depth), "num_data": "2"}).example()
        alone = analyse(spec, **FEW).to_dict()
        assert row.options == {"depth": str(depth), "num_data": "2"}
        assert row.metrics["parameters"] == alone["num_parameters"]
        for name in METRICS[2:]:
            each = alone["estimates"][name]
            told = [row.metrics[name], row.metrics[f"{name}_low"], row.metrics[f"{name}_high"]]
            assert told == [each["value"], each["low"], each["high"]]
    assert done(tmp_path) == 2


def test_more_points_are_measured_alone(tmp_path, monkeypatch):
    measured = []

    def counted(spec, **how):
        measured.append(len(spec.weights))
        return analyse(spec, **how)

    monkeypatch.setattr(circuit_scans, "analyse", counted)
    scan_circuit("eeqdm", {"depth": [1]}, settings={"num_data": 2}, folder=tmp_path, **FEW)
    scan_circuit("eeqdm", {"depth": [1, 2]}, settings={"num_data": 2}, folder=tmp_path, **FEW)
    assert len(measured) == len(set(measured)) == 2


@pytest.mark.parametrize(
    ("template", "grid", "settings", "error", "told"),
    [
        ("eeqdmm", {"depth": [1]}, {}, UnknownName, "eeqdmm"),
        ("eeqdm", {"dept": [1]}, {}, InvalidOption, "dept"),
        ("eeqdm", {"depth": [1]}, {"depth": 2}, InvalidOption, "set twice"),
        ("eeqdm", {"depth": []}, {}, InvalidOption, "got none"),
        ("eeqdm", {}, {}, InvalidOption, "name them in grid"),
        ("eeqdm", {"depth": "1,2"}, {}, InvalidArgument, "a list of values"),
        ("eeqdm", {"depth": list(range(10_001))}, {}, InvalidOption, "at most 10000"),
    ],
)
def test_what_cannot_be_scanned_is_said_before_any_work(template, grid, settings, error, told):
    with pytest.raises(error, match=told):
        scan_circuit(template, grid, settings=settings, **FEW)


def test_a_circuit_that_fails_is_a_row(tmp_path):
    found = scan_circuit("eeqdm", {"depth": [1]}, samples=1, repeats=2)
    [row] = found.table.rows
    assert row.state == "failed"
    assert "samples" in found.failures["depth=1"]


def test_the_command(qdm, tmp_path):  # noqa: F811
    words = ["circuits", "scan", "eeqdm", "--set", "num_data=2", "--grid", "depth=2,1"]
    words += ["--samples", "8", "--repeats", "2", "--out", tmp_path, "--sort", "parameters"]
    found = qdm(*words)
    assert found.code == 0, found.err
    assert "2/2" in found.err
    told = json.loads((tmp_path / "scan.json").read_text())
    assert told["schema"] == circuit_scans.SCHEMA
    assert [row["options"]["depth"] for row in told["rows"]] == ["1", "2"]
    assert (tmp_path / "scan.csv").read_text().startswith("name,kind,state,depth,")
    assert "2 of 2 are done already" in qdm(*words).err


@pytest.mark.slow
def test_processes_change_nothing():
    grid = {"depth": [1, 2, 3]}
    one, two = (scan_circuit("eeqdm", grid, workers=count, **FEW) for count in (1, 2))
    assert one.to_dict() == two.to_dict() == scan_circuit("eeqdm", grid, **FEW).to_dict()
