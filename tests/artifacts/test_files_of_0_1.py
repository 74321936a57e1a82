"""Files that version 0.1 wrote still open, go on and replay (tests/fixtures/v0_1/README.md)."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.version import Version
from safetensors.numpy import load_file

from qdm_qiskit.models import load_model
from tests.cli.conftest import Qdm, qdm  # noqa: F401 (a fixture)
from tests.helpers import ROOT

FIXTURES = ROOT / "tests" / "fixtures" / "v0_1"
RUNS = {
    "plain": (),
    "guided": (3,),
    "own-guided": (7,),
    "gaussian": (),
    "latent": (),
    "ensemble": (),
}
SAMPLED = [name for name in RUNS if name != "own-guided"]
"""Runs whose samples were right: of labels 3 and 7, 0.1 trained positions 0 and 1, and drew 7."""
SAME_TARGETS = ("plain", "guided", "own-guided", "ensemble")
"""Runs whose training targets are computed as they were, to the last digit."""
DONE, DETACHED, CANCELLED, PLANNED = (
    f"2026-11-28-qddm-{name}" for name in ("f5e47e7f", "bcaf5911", "43d42fff", "bce1bb1f")
)

reads_their_circuits = pytest.mark.skipif(
    Version(version("qiskit")) < Version("2.6"), reason="they are QPY 18, of qiskit 2.6"
)

# The engine's machine code is written for the processor at hand: other vectors round otherwise, and a
# chain of ten steps adds that up.
SAME = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all files, with the data where the runs of 0.1 looked for them."""
    shutil.copytree(FIXTURES, tmp_path / "old")
    shutil.copy(FIXTURES / "training" / "own-guided.npz", tmp_path / "mine.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "old"


@pytest.mark.parametrize("name", SAMPLED)
def test_a_run_of_0_1_gives_its_samples(name: str, folder: Path, qdm: Qdm) -> None:  # noqa: F811
    label = [part for each in RUNS[name] for part in ("--label", each)]
    result = qdm(
        *("sample", folder / "training" / name, "--num-images", "2", "--seed", "5"),
        *(*label, "--quiet", "--out", folder / "new"),
    )
    assert result.code == 0, result.err
    with (
        np.load(folder / "new" / "samples.npz") as new,
        np.load(folder / "expected" / name / "samples.npz") as old,
    ):
        for key in old:
            np.testing.assert_allclose(new[key], old[key], **SAME)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_0_1_trains_on_as_it_did(name: str, folder: Path, qdm: Qdm) -> None:  # noqa: F811
    run = folder / "training" / name
    result = qdm("train", "--out", run, "--resume", "latest", "--epochs", "2", "--quiet")
    assert result.code == 0, result.err
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    expected = json.loads((folder / "expected" / name / "metrics.json").read_text())
    for key in expected.keys() - {"seconds"}:
        np.testing.assert_allclose(row[key], expected[key], rtol=1e-5, err_msg=key)
    if name in SAME_TARGETS:
        # Predictions, not weights: of those without effect Adam makes steps of what is rounding.
        last = max((run / "checkpoints").iterdir())
        new, old = load_model(last), load_model(last)
        weights = load_file(folder / "expected" / name / "resumed.safetensors")
        if name == "ensemble":
            for key, each in load_file(last / "model.safetensors").items():
                np.testing.assert_allclose(each, weights[key], **SAME)
            return
        old.load_state_dict({key: torch.from_numpy(each) for key, each in weights.items()})
        x = torch.rand(8, *new.image_shape, generator=torch.Generator().manual_seed(1))
        told = {"labels": torch.arange(8) % 2} if getattr(new.config, "guided", False) else {}
        with torch.no_grad():
            both = [model(x, torch.full((8,), 0.5), **told).numpy() for model in (new, old)]
        np.testing.assert_allclose(*both, **SAME)


def test_a_hardware_run_of_0_1_replays(folder: Path, qdm: Qdm) -> None:  # noqa: F811
    result = qdm("run", "replay", DONE, "--root", folder / "hardware")
    assert result.code == 0, result.err
    assert re.search("the stored ones (to the bit|up to rounding)", result.out)


NOTE = "corrected up to distance 3 in single precision, as version 0.1 planned it; a new plan"


@pytest.mark.parametrize(
    ("command", "run", "said"),
    [
        *((command, DONE, 1) for command in ("status", "replay", "report")),
        *((command, DETACHED, 0) for command in ("status", "replay")),  # without mitigation
    ],
)
def test_the_correction_of_0_1_is_said_in_one_line(
    command: str,
    run: str,
    said: int,
    folder: Path,
    qdm: Qdm,  # noqa: F811
) -> None:
    root = folder / "hardware"
    result = qdm("run", command, run, "--root", root)
    assert sum(NOTE in line for line in result.out.splitlines()) == said
    as_json = json.loads(qdm("run", command, run, "--root", root, "--json").out)
    assert (NOTE in (as_json["note"] or "")) == bool(said)
    if command == "report":
        assert NOTE in (root / run / "report" / "report.md").read_text()


def test_where_a_run_stands_is_shown_though_its_plan_was_damaged(folder: Path, qdm: Qdm) -> None:  # noqa: F811
    plan = folder / "hardware" / DONE / "plan.json"
    plan.write_text(plan.read_text().replace('"seed": 3', '"seed": 4'))
    result = qdm("run", "status", DONE, "--root", folder / "hardware")
    assert (result.code, "done, 10 of 10 steps" in result.out) == (0, True)
    assert NOTE not in result.out


@reads_their_circuits
@pytest.mark.parametrize("command", ["resume", "collect"])
def test_a_hardware_run_of_0_1_is_finished_by_its_own_correction(
    command: str,
    folder: Path,
    qdm: Qdm,  # noqa: F811
) -> None:
    """0.1 was stopped when all counts were there and nothing was made of them."""
    run = folder / "hardware" / DONE
    for name in ("images.npz", "samples.png", "manifest.json", "calibration-0001.json"):
        (run / name).unlink()
    result = qdm("run", command, DONE, "--root", folder / "hardware", "--quiet")
    assert result.code == 0, result.err
    with (
        np.load(run / "images.npz") as new,
        np.load(FIXTURES / "hardware" / DONE / "images.npz") as old,
    ):
        for key in old:
            np.testing.assert_allclose(new[key], old[key], rtol=1e-6, atol=1e-6)
    assert json.loads((run / "manifest.json").read_text())["correction"] == "distance-3"


@pytest.mark.slow
@reads_their_circuits
@pytest.mark.parametrize(("run", "command"), [(DETACHED, "resume"), (PLANNED, "submit")])
def test_a_hardware_run_of_0_1_goes_on(
    run: str,
    command: str,
    folder: Path,
    qdm: Qdm,  # noqa: F811
) -> None:
    root = folder / "hardware"
    confirm = ["--yes"] if command == "submit" else []
    result = qdm("run", command, run, "--root", root, *confirm, "--quiet")
    assert result.code == 0, result.err
    assert "done, 10 of 10 steps" in result.out


def test_runs_of_0_1_are_listed(folder: Path, qdm: Qdm) -> None:  # noqa: F811
    result = qdm("run", "list", "--root", folder / "hardware")
    assert result.code == 0, result.err
    states = {line.split()[0]: line.split()[1] for line in result.out.splitlines()[1:]}
    assert states[DONE] == "done"
    assert states[DETACHED] == "running"
    assert states[PLANNED] == "planned"
    assert CANCELLED in states
