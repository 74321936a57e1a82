"""What several tests of hardware runs start from."""

from __future__ import annotations

from pathlib import Path

import torch

from qdm_qiskit.files import write_json
from qdm_qiskit.hardware.ledger.budget import BudgetState
from qdm_qiskit.models import ModelChoice, build_model, save_model
from qdm_qiskit.training import resolve_run


def write_run(folder: Path, model: str = "eeqdm", **options: object) -> Path:
    """A run with random weights, as `qdm train` writes it: 2x2 images, 3 steps."""
    small: dict[str, object] = {"image_size": 2, "num_steps": 3}
    if model != "classical_unet":
        small |= {"depth": 1, "init_std": 1.0}
    config = resolve_run(model, {**small, **options})
    choice = ModelChoice(
        model=config.model, preset=None, config=config.model_options, source="test"
    )
    denoiser = build_model(choice, generator=torch.Generator().manual_seed(3))
    save_model(denoiser, folder / "checkpoints" / "step-00000001")
    write_json(folder / "checkpoints" / "step-00000001" / "state.json", {})
    write_json(folder / "config.json", config.to_dict())
    return folder


def budget(seconds: float, shots: int | None = None) -> BudgetState:
    """A budget ``b`` of which nothing is spent."""
    return BudgetState(
        name="b",
        limit_seconds=seconds,
        limit_shots=shots,
        period_days=None,
        window="rolling",
        period_start=None,
        reserved_seconds=0.0,
        reserved_shots=0,
        spent_seconds=0.0,
        spent_shots=0,
    )
