"""x_T that a run's loader loads exactly: noise that its own circuit makes.

Pure noise loads worst of all. ``loader`` in the place of ``process`` takes the process's noise to a
state of the loader's own circuit: each x_T is drawn as ever, fitted, and replaced by what the fit's
angles load, until the fit of that state finds it again. So x_T has the distribution of the process's
noise carried over by these fits, at the norm that was drawn; it is nearer to the average and smoother
than noise, the more so the fewer gates the loader has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..circuits.loaders import Loading, loader_name
from ..errors import InvalidData, InvalidOption
from ..layers.arrays import to_array
from ..layers.calling import calls_of
from ..rng import derived_seed

if TYPE_CHECKING:
    from .trained_run import TrainedRun

__all__ = ["FOUND", "Start", "Started", "started"]

Start = Literal["process", "loader"]
FOUND = 1e-3
"""Most that 1 - fidelity of such an x_T with what is loaded may come to."""
ROUNDS = 60
"""Most fits of an x_T; some ten are usual."""


@dataclass(frozen=True, eq=False)
class Started:
    """x_T of a chain."""

    x: Tensor
    """``(num_images, *state_shape)``."""
    record: dict[str, Any] | None
    """Loader, fidelity with the process's own noise and rounds, ready for JSON; None for that noise."""


@torch.no_grad()
def started(
    run: TrainedRun,
    num_images: int,
    *,
    seed: int,
    start: Start,
    labels: Tensor | None,
    generator: torch.Generator | None = None,
) -> Started:
    """Return x_T of a run with its loader.

    Args:
        run: The run.
        num_images: Images.
        seed: Seed of the noise, the same for both starts.
        start: ``process`` or ``loader``.
        labels: Classes of a guided model.
        generator: Generator of the noise in place of the seed's.

    Raises:
        InvalidOption: If the model does not load x_T itself into one circuit, or its loader is exact.
        InvalidData: If a fit does not come to rest.
    """
    if generator is None:
        generator = torch.Generator().manual_seed(derived_seed(seed, "sampling", 0))
    x = run.process.start((num_images, *run.model.state_shape), generator)
    if start == "process":
        return Started(x, None)
    loading = _loading_of(run, x[:1], None if labels is None else labels[:1])
    drawn = to_array(x.flatten(1))
    made, fidelities, rounds = _at_rest(loading, drawn)
    record = {
        "start": start,
        "loader": loader_name(loading.loader),
        "fidelity_with_noise": [round(float(each), 6) for each in fidelities],
        "rounds": rounds,
    }
    return Started(torch.from_numpy(made).to(x).reshape(x.shape), record)


def _loading_of(run: TrainedRun, x: Tensor, labels: Tensor | None) -> Loading:
    """Return the loader of x_T.

    Raises:
        InvalidOption: As :func:`started`.
    """
    name = run.model.name
    model = run.model.eval()
    jobs = calls_of(model, x, torch.ones(len(x)), labels)
    first = jobs[0][0] if jobs else None
    if first is None or first.amplitudes is None:
        raise InvalidOption(f"'{name}' loads no amplitudes, so leave start at 'process'.")
    # Tomography loads superpositions of x_T too, behind x_T itself.
    flat, row = to_array(x.flatten(1))[0], first.amplitudes[0]
    overlap = abs(np.vdot(row, flat)) / np.linalg.norm(flat) if row.shape == flat.shape else 0.0
    same = overlap > 1 - 1e-6
    if not same:
        raise InvalidOption(
            f"'{name}' does not load x_T as it is into one circuit, so no loader's circuit makes it; "
            "leave start at 'process'."
        )
    loading = first.spec.loading
    if loading.trusted:
        raise InvalidOption(
            f"The exact loader loads any noise exactly; name the loader of '{name}' that start is for, "
            "such as loader='bricks:8', or leave start at 'process'."
        )
    return loading


def _at_rest(loading: Loading, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return vectors that the loader loads, their fidelity with those drawn, and the most rounds.

    Raises:
        InvalidData: If a vector has not come to rest after :data:`ROUNDS`.
    """
    norms = np.linalg.norm(drawn, axis=1, keepdims=True)
    kind = complex if np.iscomplexobj(drawn) else float
    wanted = (drawn / norms).astype(kind)
    now, open_rows, rounds = wanted, np.arange(len(wanted)), 0
    while len(open_rows):
        if rounds == ROUNDS:
            raise InvalidData(
                f"{len(open_rows)} of {len(wanted)} x_T are not found again by loader "
                f"'{loader_name(loading.loader)}' after {ROUNDS} fits; take another loader, or leave "
                "start at 'process'."
            )
        found = loading.states(now[open_rows])
        if kind is float:
            found = found.real
        overlaps = (found.conj() * now[open_rows]).sum(axis=1, keepdims=True)
        size = np.abs(overlaps)
        found = found * np.where(size > 0, overlaps / np.where(size > 0, size, 1), 1)
        resting = size[:, 0] ** 2 >= 1 - FOUND
        now = now.copy() if now is wanted else now
        moving = open_rows[~resting]
        now[moving] = found[~resting]
        open_rows, rounds = moving, rounds + 1
    fidelities = np.abs((wanted.conj() * now).sum(axis=1)) ** 2
    return now * norms, fidelities, rounds
