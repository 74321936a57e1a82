"""Chains that ``tests/fixtures/samplers/chains.npz`` holds as they were before samplers were objects.

Run as a script, it writes the file anew, with the code that is imported: that of commit 902e2c1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from qdm_qiskit.diffusion import (
    GaussianChain,
    InterpolatedNoise,
    NoisePrediction,
    VariancePreserving,
)
from qdm_qiskit.sampling.schedulers import scheduled_chain

FILE = Path(__file__).parents[1] / "fixtures" / "samplers" / "chains.npz"
PROCESSES = {
    "ddpm": lambda: NoisePrediction(12),
    "cosine": lambda: NoisePrediction(12, schedule="cosine"),
    "score": lambda: VariancePreserving(12, predicts="score"),
    "gaussian": lambda: GaussianChain(12, "noise"),
    "data": lambda: GaussianChain(12, "data"),
    "interpolated": lambda: InterpolatedNoise(12, "data"),
}
NOISE = ("ddpm", "cosine", "score", "gaussian")
OPTIONS = (
    ("ddpm", None, 0.0),
    ("ddpm", 5, 0.0),
    ("ddim", None, 0.0),
    ("ddim", 5, 0.0),
    ("ddim", 7, 0.6),
    ("dpm-solver++", None, 0.0),
    ("dpm-solver++", 5, 0.0),
    ("sde", None, 0.0),
    ("sde", 5, 0.0),
    ("ode", None, 0.0),
    ("ode", 5, 0.0),
)


def cases() -> Iterator[tuple[str, str, int | None, float, torch.dtype]]:
    """Process, sampler, steps, eta and type of the states of each chain."""
    for dtype in (torch.float32, torch.float64):
        for process in PROCESSES:
            yield process, "process", None, 0.0, dtype
            if process in NOISE:
                for name, steps, eta in OPTIONS:
                    yield process, name, steps, eta, dtype


def name_of(case: tuple[str, str, int | None, float, torch.dtype]) -> str:
    """The array of a chain in the file."""
    return "/".join(map(str, case))


def walked(
    process: str, scheduler: str, steps: int | None, eta: float, dtype: torch.dtype
) -> np.ndarray:
    """x_T and every state of a chain to x_0, which is data: ``(steps + 2, 2, 1, 2, 2)``."""
    made = PROCESSES[process]()

    def generator(step: int) -> torch.Generator:
        return torch.Generator().manual_seed(step + 11)

    x = made.start((2, 1, 2, 2), generator(0)).to(dtype)
    unit = process in ("gaussian", "data", "interpolated")
    path = [x]
    data = scheduled_chain(
        made,
        lambda x, t: ((0.5 + 0.1 * x) if unit else 0.3 * x - 0.02 * t).clamp(-2, 2),
        x,
        generator,
        scheduler=scheduler,
        steps=steps,
        eta=eta,
        on_step=lambda left, x: path.append(x),
    )
    return torch.stack([*path, data]).numpy()


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **{name_of(case): walked(*case) for case in cases()})
