"""Runs with random weights, written as `qdm train` writes them but without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from qdm_qiskit.files import write_json
from qdm_qiskit.models import ModelChoice, build_model, save_model
from qdm_qiskit.sampling import TrainedRun, load_run
from qdm_qiskit.training import resolve_run

MakeRun = Callable[..., TrainedRun]


def write_run(folder: Path, model: str = "eeqdm", seed: int = 3, **settings: object) -> Path:
    """A run's folder: 2x2 images, depth 1 and 3 steps unless told otherwise."""
    small = {"image_size": 2, "num_steps": 3}
    if model != "classical_unet":
        # Angles of pi * tanh(w) all over the circle: no outcome is certain.
        small |= {"depth": 1, "init_std": 1.0}
    config = resolve_run(model, {**small, **settings})
    choice = ModelChoice(
        model=config.model, preset=None, config=config.model_options, source="test"
    )
    denoiser = build_model(choice, generator=torch.Generator().manual_seed(seed))
    save_model(denoiser, folder / "checkpoints" / "step-00000001")
    write_json(folder / "checkpoints" / "step-00000001" / "state.json", {})
    write_json(folder / "config.json", config.to_dict())
    return folder


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    def make(model: str = "eeqdm", seed: int = 3, **settings: object) -> TrainedRun:
        return load_run(write_run(tmp_path_factory.mktemp("runs") / "r", model, seed, **settings))

    return make
