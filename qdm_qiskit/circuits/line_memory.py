"""First guesses for a line's loader from vectors that were fitted before.

A new vector takes the gates of those stored states that overlap it most, and some steps of the fit
take it the rest of the way. Where least squares fit the circuit, each stored state has a linear map,
its own damped pseudo-inverse, by which the guess follows the vector before any step is taken. So this
is a network of one layer: overlaps, the largest of which choose a unit, and the unit's affine map.
"""

from __future__ import annotations

import numpy as np

from .line_circuits import line_states
from .line_fit import Vectors, fit_line, states_of
from .line_loaders import LineLoader
from .line_newton import NEAR_DAMPING, fit_angles, with_slopes

__all__ = ["LineMemory", "remembered"]

TRIED = 4
"""Units whose guesses are compared."""
MOST_VALUES = 1 << 26
"""Most numbers of all maps, 256 MiB."""
PART = 256
"""Stored states whose maps are made at once."""


def remembered(loader: LineLoader, data: np.ndarray) -> np.ndarray:
    """Fit vectors, and return what a memory keeps of each.

    Args:
        loader: A loader of two qubits or more.
        data: ``(count, 2**n)`` with unit rows, in Qiskit's order.

    Returns:
        ``(count, columns)`` float32: angles where least squares fit, else p and q of each step.
    """
    if not loader.steps:
        return loader.angles(data).astype(np.float32)
    p, q = fit_line(loader.along(data), loader.steps, sweeps=loader.sweeps)
    return np.concatenate([*p, *q], axis=1).astype(np.float32)


class LineMemory:
    """Fitted vectors of one loader.

    Args:
        loader: The loader.
        kept: From :func:`remembered`, at least one row.

    Raises:
        ValueError: If the rows have another number of columns than the loader needs.
    """

    def __init__(self, loader: LineLoader, kept: np.ndarray) -> None:
        self.loader, self._kept = loader, kept
        wanted = 2 * sum(_counts(loader)) or loader.num_qubits + 2 * len(loader.pairs)
        if kept.shape[1:] != (wanted,) or not len(kept):
            raise ValueError(f"rows have {kept.shape[1:]} numbers, '{loader.name}' needs {wanted}")
        if loader.steps:
            self._vectors = _split(loader, kept)
            self._states = states_of(loader.steps, *self._vectors, 2**loader.num_qubits)
        else:
            self._states, self._maps = _maps(loader, kept)

    def angles(self, data: np.ndarray, steps: int) -> np.ndarray:
        """Return angles for vectors.

        Args:
            data: ``(batch, 2**n)`` with unit rows, in Qiskit's order.
            steps: Steps of the fit behind the guess, at least 0.

        Returns:
            ``(batch, num_parameters)`` radians. A row depends on its own vector only, to the last bit.
        """
        vectors = self.loader.along(data)
        # A product a row: how a product of matrices is rounded depends on their sizes.
        overlaps = (self._states.conj() @ vectors.astype(self._states.dtype)[:, :, None])[:, :, 0]
        nearest = np.argsort(-np.abs(overlaps), axis=1, kind="stable")
        if self.loader.steps:
            return self._swept(vectors, nearest[:, 0], steps)
        chosen = nearest[:, :TRIED]
        guess = self._followed(vectors, chosen, np.take_along_axis(overlaps, chosen, axis=1))
        if not steps:
            return guess
        n, pairs = self.loader.num_qubits, self.loader.pairs
        return fit_angles(vectors, n, pairs, rounds=steps, start=guess)

    def _swept(self, vectors: np.ndarray, unit: np.ndarray, sweeps: int) -> np.ndarray:
        p, q = ([each[unit].astype(float) for each in side] for side in self._vectors)
        if sweeps:
            p, q = fit_line(vectors, self.loader.steps, sweeps=sweeps, start=(p, q))
        return self.loader.angles_of(p, q)

    def _followed(self, vectors: np.ndarray, units: np.ndarray, overlaps: np.ndarray) -> np.ndarray:
        """Return the guess of the best of some units for each vector."""
        signs = np.where(overlaps < 0, -1, 1).astype(np.float32)
        missing = signs[:, :, None] * vectors[:, None].astype(np.float32) - self._states[units]
        guesses = self._kept[units]
        if self._maps is not None:
            guesses = guesses + (self._maps[units] @ missing[:, :, :, None])[:, :, :, 0]
        batch, tried, count = guesses.shape
        flat = guesses.reshape(-1, count).astype(float)
        n, pairs = self.loader.num_qubits, self.loader.pairs
        found = line_states(flat, n, pairs, phases=False).reshape(batch, tried, -1)
        best = np.abs((found * vectors[:, None]).sum(axis=2)).argmax(axis=1)
        return flat.reshape(guesses.shape)[np.arange(batch), best]


def _counts(loader: LineLoader) -> list[int]:
    return [4 if step.kind == "block" or loader.phases else 2 for step in loader.steps]


def _split(loader: LineLoader, kept: np.ndarray) -> Vectors:
    ends = np.cumsum(_counts(loader) * 2)[:-1]
    parts = np.split(kept, ends, axis=1)
    return parts[: len(loader.steps)], parts[len(loader.steps) :]


def _maps(loader: LineLoader, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return states ``(count, 2**n)`` and linear maps from states to angles ``(count, angles, 2**n)``.

    Wide circuits get no maps, which would fill the memory.
    """
    if angles.size * 2**loader.num_qubits > MOST_VALUES:
        n, pairs = loader.num_qubits, loader.pairs
        wide = line_states(angles.astype(float), n, pairs, phases=False)
        return wide.astype(np.float32), None
    one = np.float32(NEAR_DAMPING) * np.eye(angles.shape[1], dtype=np.float32)
    states, maps = [], []
    for start in range(0, len(angles), PART):
        found, slopes = with_slopes(angles[start : start + PART], loader.num_qubits, loader.pairs)
        turned = slopes.swapaxes(1, 2)
        states.append(found)
        maps.append(np.linalg.solve(turned @ slopes + one, turned))
    return np.concatenate(states), np.concatenate(maps)
