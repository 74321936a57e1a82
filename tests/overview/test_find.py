"""Runs are found by the formats of their files, of this version and of 0.1."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qdm_qiskit.errors import InvalidData, InvalidOption, MissingData, UnknownName
from qdm_qiskit.overview import compare, find_runs, read_run
from tests.helpers import ROOT

FIXTURES = ROOT / "tests" / "fixtures" / "v0_1"
PLAIN = FIXTURES / "training" / "plain"


def test_all_three_kinds_are_found_and_nothing_else():
    found = find_runs(FIXTURES)
    kinds = {}
    for row in found.rows:
        kinds.setdefault(row.kind, []).append(row.name)
    assert {kind: len(each) for kind, each in kinds.items()} == {
        "training": 6,
        "samples": 1,
        "hardware": 4,
    }
    files = {"training": "config.json", "samples": "manifest.json", "hardware": "plan.json"}
    for kind, each in kinds.items():
        assert each == sorted(each)
        assert all((FIXTURES / name / files[kind]).is_file() for name in each)
    assert {row.kind for row in find_runs(FIXTURES, ["samples"]).rows} == {"samples"}


def test_options_and_metrics_are_those_of_the_files():
    row = read_run(PLAIN)
    config = json.loads((PLAIN / "config.json").read_text())
    last = json.loads((PLAIN / "metrics.jsonl").read_text().splitlines()[-1])
    assert row.options["depth"] == config["model_options"]["depth"]
    assert row.options["learning_rate"] == config["training"]["learning_rate"]
    assert row.options["num_steps"] == config["diffusion"]["num_steps"]
    assert row.metrics == last
    assert row.state == "done"


def test_samples_and_hardware_runs_tell_target_and_shots():
    samples = read_run(FIXTURES / "samples" / "noisy")
    assert (samples.options["target"], samples.options["shots"]) == ("noisy:fake_bogota", 64)
    (done,) = [r for r in find_runs(FIXTURES, ["hardware"]).rows if r.state == "done"]
    assert (done.options["target"], done.options["shots"]) == ("local:fake_bogota", 64)
    assert done.metrics["jobs"] == 11


def test_a_run_that_is_not_done_says_where_it_stands(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(PLAIN, run)
    config = json.loads((run / "config.json").read_text())
    config["training"]["epochs"] = 7
    (run / "config.json").write_text(json.dumps(config))
    assert read_run(run).state == "at 1 of 7"
    (run / "metrics.jsonl").unlink()
    assert read_run(run).state == "at 0 of 7"


def test_metrics_of_an_evaluation_stand_beside(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(PLAIN, run)
    report = {
        "schema": "qdm-evaluation/" + "2",
        "rows": [
            {"kind": "real", "metrics": {"domain_frechet": {"estimate": 1.0}}},
            {"kind": "samples", "metrics": {"domain_frechet": {"estimate": 2.5}}},
        ],
    }
    (run / "evaluation").mkdir()
    (run / "evaluation" / "evaluation.json").write_text(json.dumps(report))
    assert read_run(run).metrics["domain_frechet"] == 2.5


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: (run / "metrics.jsonl").write_text("{"),
        lambda run: (run / "metrics.jsonl").write_text("3\n"),
        lambda run: (run / "config.json").write_text("{"),
        lambda run: (run / "config.json").write_text('{"schema": "qdm-run/' + '1"}'),
    ],
)
def test_a_damaged_run_is_a_row_that_says_so(tmp_path, damage):
    for name in ("bad", "good"):
        shutil.copytree(PLAIN, tmp_path / name)
    damage(tmp_path / "bad")
    bad, good = find_runs(tmp_path).rows
    assert bad.state.startswith("cannot be read: ")
    assert good.state == "done"
    with pytest.raises(InvalidData, match="cannot be read"):
        read_run(tmp_path / "bad")


def test_a_comparison_shows_what_differs(tmp_path):
    rows = [read_run(PLAIN), read_run(FIXTURES / "training" / "guided")]
    found = compare(rows)
    assert "guided" in found.options
    assert "learning_rate" not in found.options
    with pytest.raises(InvalidOption, match="two runs or more"):
        compare(rows[:1])


def test_nothing_to_list_is_one_line(tmp_path):
    with pytest.raises(MissingData, match="There are no training, sampling or hardware runs in"):
        find_runs(tmp_path)
    with pytest.raises(MissingData, match="There are no hardware runs in"):
        find_runs(PLAIN, ["hardware"])
    with pytest.raises(MissingData, match="There is no folder"):
        find_runs(tmp_path / "missing")
    with pytest.raises(MissingData, match="There is no run in"):
        read_run(tmp_path)
    with pytest.raises(UnknownName, match="Did you mean 'training'"):
        find_runs(PLAIN, ["trainin"])


def test_a_list_loads_nothing_heavy():
    code = (
        "import sys; from pathlib import Path; from qdm_qiskit.overview import find_runs\n"
        f"find_runs(Path({str(FIXTURES)!r}))\n"
        "print([m for m in ('torch', 'qiskit', 'numpy', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    assert Path(FIXTURES).is_dir()
