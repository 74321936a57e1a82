"""Several processes make the run that one makes: the same metrics, the same weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import accelerate
import pytest
import torch
from safetensors.torch import load_file

from qdm_qiskit.diffusion import DiffusionConfig, make_process
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.models import build_model, resolve
from qdm_qiskit.training import find_checkpoint, processes, train
from qdm_qiskit.training.objective import Objective, Part
from tests.helpers import ROOT
from tests.training.in_processes import RUNS, STOPPED, make_runs

MATTERS = [k for k in range(18) if k not in (6, 11, 14, 17)]
"""Angles of the small circuit that any readout sees: Adam makes a step of the rounding error in the
gradient of the others, the last RZ of each wire and the first one of the ancilla."""


def launched(count: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A module in several processes on this machine's CPU."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    with subprocess.Popen(
        [*command, f"--nproc-per-node={count}", "-m", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
    ) as launcher:
        try:
            out, err = launcher.communicate(timeout=200)
        except subprocess.TimeoutExpired:  # processes that wait for each other
            launcher.terminate()  # it ends its processes, half a minute later by force
            raise
    return subprocess.CompletedProcess(command, launcher.returncode, out, err)


@pytest.fixture(scope="module")
def in_one_and_two(tmp_path_factory):
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    done = launched(2, "tests.training.in_processes", two)
    assert done.returncode == 0, done.stderr
    make_runs(one)
    return one, two


def metrics(run: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RUNS, STOPPED])
def test_two_processes_make_the_run_of_one(in_one_and_two, name):
    one, two = (folder / name for folder in in_one_and_two)
    assert len(metrics(one)) == len(metrics(two)) > 0
    for ours, theirs in zip(metrics(one), metrics(two), strict=True):
        assert theirs == pytest.approx(ours, rel=1e-5)
    ours, theirs = (
        {
            str(path.relative_to(find_checkpoint(run))): load_file(path)
            for path in find_checkpoint(run).rglob("*.safetensors")
        }
        for run in (one, two)
    )
    assert ours.keys() == theirs.keys()
    for file, tensors in ours.items():
        for key, value in tensors.items():
            other = theirs[file][key]
            if name in ("images", STOPPED) and value.shape == (18,):
                value, other = value[MATTERS], other[MATTERS]
            torch.testing.assert_close(other, value, rtol=1e-3, atol=2e-5, msg=f"{file} {key}")


@pytest.mark.slow
def test_the_command_speaks_once(tmp_path):
    settings = "image_size=4", "depth=1", "train_count=9", "test_count=5"
    done = launched(
        2,
        *("qdm_qiskit.cli.main", "train", "--model", "eeqdm", "--epochs", 1, "--out", tmp_path),
        *(word for each in settings for word in ("--set", each)),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test loss") == 1
    assert done.stderr.count("epoch    1") == 1
    assert len(metrics(tmp_path)) == 1


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("model", "process"), [("eeqdm", "gaussian"), ("quddpm", "depolarizing")])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_mean_of_the_parts_is_the_loss(model, process, batch, count):
    small = {"num_steps": 3} if model == "quddpm" else {"image_size": 4, "depth": 1}
    built = build_model(resolve(model, small), generator=torch.Generator().manual_seed(0))
    objective = Objective(make_process(DiffusionConfig(process=process, num_steps=3)), built)
    shape = (1, 2, 4) if model == "quddpm" else (1, 4, 4)
    images = torch.rand(batch, *shape, generator=torch.Generator().manual_seed(1))

    def gradient(parts: list[Part]) -> torch.Tensor:
        built.zero_grad()
        for part in parts:
            noise = torch.Generator().manual_seed(2)
            loss = objective.loss(built, images, None, noise, part) / len(parts)
            loss.backward()
            total.append(loss.item())
        return torch.cat([p.grad.flatten() for p in built.parameters()])

    total: list[float] = []
    whole = gradient([Part(0, 1)])
    parts = gradient([Part(index, count) for index in range(count)])
    assert sum(total[1:]) == pytest.approx(total[0], rel=1e-5)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)
    assert float(whole.abs().max()) > 1e-4


def test_processes_that_cannot_be_joined_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")  # and no launcher behind it

    class Apart:
        num_processes, device = 1, "mps"

    monkeypatch.setattr(accelerate, "PartialState", lambda cpu: Apart())
    with pytest.raises(InvalidOption, match=r"2 processes were started.*cannot join them on mps"):
        processes.join_processes()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert processes.join_processes().count == 1


@pytest.mark.parametrize("told", ["LOCAL_RANK", "ACCELERATE_MIXED_PRECISION", "PMI_SIZE"])
def test_accelerate_is_asked_where_a_launcher_spoke(monkeypatch, told):
    assert not processes._launched()
    monkeypatch.setenv(told, "2")
    assert processes._launched()


def test_one_process_makes_the_run_that_it_makes_by_accelerate(
    small_run, outcome, tmp_path, monkeypatch
):
    config = small_run(epochs=1)
    alone = outcome(train(config, tmp_path / "alone"))
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    assert isinstance(processes.join_processes(), processes.Joined)
    assert outcome(train(config, tmp_path / "joined")) == alone
