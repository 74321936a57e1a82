"""Runs of tiny data on targets of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qdm_qiskit.training import RunConfig, resolve_run

TINY: dict[str, Any] = {
    "num_steps": 2,
    "train_count": 4,
    "test_count": 2,
    "batch_size": 4,
    "epochs": 1,
    "baseline": False,
    "sample_every": 0,
}


@pytest.fixture(scope="session")
def tiny_run() -> Callable[..., RunConfig]:
    """Four images, one batch an epoch; 2x2 pixels and one layer unless other options say so."""

    def make(model: str = "eeqdm", **options: Any) -> RunConfig:
        small = {"image_size": 2, "depth": 1} if model in ("eeqdm", "qddm", "q_dense") else {}
        return resolve_run(model, {**TINY, **small, **options})

    return make
