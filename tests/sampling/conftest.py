"""Runs with random weights, written as `qdm train` writes them but without training."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qdm_qiskit.sampling import TrainedRun, load_run
from tests.helpers import write_run

MakeRun = Callable[..., TrainedRun]


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    def make(model: str = "eeqdm", seed: int = 3, **settings: object) -> TrainedRun:
        return load_run(write_run(tmp_path_factory.mktemp("runs") / "r", model, seed, **settings))

    return make
