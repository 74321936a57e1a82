"""Small runs for `test_processes.py`, to be started by a launcher in several processes as well."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from qdm_qiskit.training import RunConfig, TrainingProgress, TrainingResult, resolve_run, train

STATES = {"train_count": 12, "test_count": 6, "batch_size": 5, "num_steps": 3, "sample_every": 0}
IMAGES = {
    "image_size": 4,
    "depth": 2,
    "num_steps": 4,
    "classes": (0, 1),
    "train_count": 21,  # batches of 10, 10 and 1: the last gives one process nothing
    "test_count": 9,
    "batch_size": 10,
    "epochs": 2,
    "sample_every": 2,
    "learning_rate": 0.05,
}
FEW = {
    **IMAGES,
    "depth": 1,
    "batch_size": 1,
    "train_count": 3,
    "test_count": 3,
    "epochs": 1,
    "baseline": False,
    "sample_every": 0,
}
"""Fewer images in a batch than there are processes."""
RUNS: dict[str, RunConfig] = {
    "images": resolve_run("eeqdm", {**IMAGES, "guided": True}),
    "losses alone": resolve_run("eeqdm", {**IMAGES, "optimizer": "spsa", "baseline": False}),
    "aer": resolve_run("eeqdm", {**FEW, "train_on": "aer"}),
    "shots of aer": resolve_run("eeqdm", {**FEW, "train_on": "aer", "train_shots": 50}),
    "noisy": resolve_run("eeqdm", {**FEW, "train_on": "noisy:fake_manila"}),
    "injected": resolve_run(
        "eeqdm",
        {**FEW, "train_on": "noisy:fake_manila", "noise_injection": True, "batch_size": 3},
    ),
    "shots": resolve_run(
        "eeqdm", {**FEW, "train_on": "engine", "train_shots": 50, "batch_size": 3}
    ),
    "ensembles": resolve_run("quddpm-clustered", {**STATES, "epochs": 1}),
}
STOPPED = "stopped and resumed"


class StopInFirst(TrainingProgress):
    """Ask for a stop in the fourth step; only the first of several processes is told of steps."""

    left = 4

    def step(self, epoch: int, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


def make_runs(out: Path) -> dict[str, TrainingResult]:
    """Train all runs, and one more time the first of them with a stop on the way."""
    results = {name: train(config, out / name) for name, config in RUNS.items()}
    config = RUNS["images"]
    stopped = train(config, out / STOPPED, progress=StopInFirst())
    assert stopped.interrupted, "a process went on alone"
    assert stopped.checkpoint.name == "step-00000004"
    results[STOPPED] = train(config, out / STOPPED, resume="latest")
    return results


if __name__ == "__main__":
    make_runs(Path(sys.argv[1]))
