"""Small runs on real digits."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from qdm_qiskit.training import ProgressReport, RunConfig, TrainingResult, resolve_run, train
from tests.helpers import paths_below

SMALL: dict[str, Any] = {
    "image_size": 4,
    "depth": 2,
    "num_steps": 4,
    "classes": (0, 1),
    "train_count": 24,
    "test_count": 10,
    "batch_size": 10,
    "epochs": 2,
    "sample_every": 0,
    "learning_rate": 0.05,
}


@pytest.fixture(scope="session")
def small_run() -> Callable[..., RunConfig]:
    """Three batches of two epochs on 4x4 digits; a second's work."""

    def make(model: str = "eeqdm", **options: Any) -> RunConfig:
        settings = {**SMALL, **options}
        if model == "classical_unet":
            settings.pop("depth")
        return resolve_run(model, settings)

    return make


class StopAfter(ProgressReport):
    """Press Ctrl-C in the middle of a step."""

    def __init__(self, steps: int, number: int = signal.SIGINT) -> None:
        self.left, self.number = steps, number

    def step(self, epoch: int, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(self.number)


@pytest.fixture(scope="session")
def stop_after() -> type[StopAfter]:
    return StopAfter


def _outcome(result: TrainingResult) -> dict[str, Any]:
    """Everything that a run leaves behind, except wall-clock seconds."""
    tensors = {
        f"{path.relative_to(result.checkpoint)}:{key}": value.numpy().tobytes()
        for path in sorted(result.checkpoint.rglob("*.safetensors"))
        for key, value in load_file(path).items()
    }
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in result.history]
    return {"tensors": tensors, "history": rows, "epochs": result.epochs}


@pytest.fixture(scope="session")
def outcome() -> Callable[[TrainingResult], dict[str, Any]]:
    return _outcome


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], list[str]]:
    """All paths below a folder."""
    return paths_below


def _refused(error: type[Exception], message: str, *arguments: Any, **options: Any) -> None:
    with pytest.raises(error, match=message) as caught:
        train(*arguments, **options)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="session")
def refused() -> Callable[..., None]:
    """Train, and expect an error of one line."""
    return _refused
