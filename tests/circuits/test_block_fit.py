"""Sweeps in machine code beside the same sweeps by numpy, which share no code but the first guess."""

import numpy as np
import pytest

from qdm_qiskit.circuits import line_fit
from qdm_qiskit.circuits.line_circuits import block_places
from qdm_qiskit.circuits.line_fit import Step, fit_line, states_of
from qdm_qiskit.circuits.tile_code import LANES


def unit_rows(rng: np.random.Generator, batch: int, qubits: int) -> np.ndarray:
    data = rng.normal(size=(batch, 2**qubits))
    return data / np.linalg.norm(data, axis=1, keepdims=True)


def overlaps(steps, vectors, data) -> np.ndarray:
    return np.abs((states_of(steps, *vectors, data.shape[1]) * data).sum(axis=1))


@pytest.mark.parametrize("sweeps", [1, 2, 9])
@pytest.mark.parametrize(("qubits", "layers"), [(2, 1), (3, 2), (6, 2), (7, 1)])
def test_sweeps_are_those_of_numpy(qubits, layers, sweeps):
    data = unit_rows(np.random.default_rng(qubits), LANES + 3, qubits)
    steps = tuple(Step("block", place) for place in block_places(qubits, layers))
    mine = fit_line(data, steps, sweeps=sweeps)
    numpys = line_fit._fitted(data, steps, sweeps, 0, None)
    # Quaternions of a block that is not told by its state may differ: overlaps may not.
    np.testing.assert_allclose(
        overlaps(steps, mine, data), overlaps(steps, numpys, data), atol=2e-3
    )
    if sweeps == 1:
        np.testing.assert_allclose(
            overlaps(steps, mine, data), overlaps(steps, numpys, data), atol=1e-5
        )
    for side in mine:
        for each in side:
            assert each.dtype == float
            np.testing.assert_allclose(np.linalg.norm(each, axis=1), 1, atol=1e-6)


def test_a_guess_of_ones_own_is_where_sweeps_begin():
    rng = np.random.default_rng(5)
    data = unit_rows(rng, LANES + 1, 5)
    steps = tuple(Step("block", place) for place in block_places(5, 2))
    near = fit_line(data, steps, sweeps=20)
    again = fit_line(data, steps, sweeps=1, start=near)
    numpys = line_fit._fitted(data, steps, 1, 0, near)
    before, after = overlaps(steps, near, data), overlaps(steps, again, data)
    assert (after > before - 1e-6).all()
    np.testing.assert_allclose(after, overlaps(steps, numpys, data), atol=1e-5)


def test_states_without_a_direction_leave_gates_as_they_were():
    steps = tuple(Step("block", place) for place in block_places(3, 1))
    p, q = fit_line(np.zeros((2, 8)), steps, sweeps=3)
    guess = line_fit._fitted(np.zeros((2, 8)), steps, 1, 0, None)
    for mine, first in zip((*p, *q), (*guess[0], *guess[1]), strict=True):
        np.testing.assert_allclose(mine, first, atol=1e-6)


def test_more_sweeps_load_better():
    data = unit_rows(np.random.default_rng(8), 20, 6)
    steps = tuple(Step("block", place) for place in block_places(6, 3))
    means = [overlaps(steps, fit_line(data, steps, sweeps=k), data).mean() for k in (1, 5, 25, 100)]
    assert means == sorted(means)
