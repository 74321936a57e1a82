"""Steps of least squares in machine code beside the same equations in double precision."""

import numpy as np
import pytest

from qdm_qiskit.circuits.brick_fit import BRAKE, EASE, LEAST_DAMPING, fit_bricks
from qdm_qiskit.circuits.line_circuits import line_pairs, line_states
from qdm_qiskit.circuits.line_newton import FIRST_DAMPING, fit_angles, with_slopes
from qdm_qiskit.circuits.tile_code import LANES


def unit_rows(rng: np.random.Generator, batch: int, qubits: int) -> np.ndarray:
    data = rng.normal(size=(batch, 2**qubits))
    return data / np.linalg.norm(data, axis=1, keepdims=True)


def by_numpy(data, angles, qubits, pairs, rounds):
    """The steps of Levenberg and Marquardt, row by row in double precision."""
    found = angles.copy()
    for row, wanted in enumerate(data):
        damping = FIRST_DAMPING
        for _ in range(rounds):
            at = found[row : row + 1]
            state = line_states(at, qubits, pairs, phases=False)[0]
            slopes = np.empty((len(state), at.shape[1]))
            for k in range(at.shape[1]):  # the derivative of RY is half a turn by pi
                turned = at.copy()
                turned[0, k] += np.pi
                slopes[:, k] = line_states(turned, qubits, pairs, phases=False)[0] / 2
            overlap = state @ wanted
            missing = np.sign(overlap) * wanted - state
            square = slopes.T @ slopes + damping * np.eye(len(slopes.T))
            step = np.linalg.solve(square, slopes.T @ missing)
            tried = line_states(at + step, qubits, pairs, phases=False)[0]
            gained = abs(tried @ wanted) > abs(overlap)
            if gained:
                found[row] += step
            damping = max(damping * (EASE if gained else BRAKE), LEAST_DAMPING)
    return found


@pytest.mark.parametrize(("qubits", "layers"), [(2, 1), (3, 3), (5, 4)])
def test_steps_are_those_of_double_precision(qubits, layers):
    rng = np.random.default_rng(layers)
    pairs = line_pairs("bricks", qubits, layers)
    data = unit_rows(rng, LANES + 2, qubits)
    start = rng.normal(scale=0.6, size=(len(data), qubits + 2 * len(pairs)))
    for rounds, near in ((1, 1e-4), (3, 5e-3)):
        mine = fit_bricks(data, start, qubits, pairs, rounds=rounds, damping=FIRST_DAMPING)
        double = by_numpy(data, start, qubits, pairs, rounds)
        np.testing.assert_allclose(mine, double, atol=near)


def test_derivatives_are_differences():
    pairs = line_pairs("bricks", 4, 3)
    rng = np.random.default_rng(1)
    angles = rng.normal(size=(3, 4 + 2 * len(pairs)))
    _, slopes = with_slopes(angles.astype(np.float32), 4, pairs)
    for k in range(angles.shape[1]):
        turned = angles.copy()
        turned[:, k] += np.pi
        half = line_states(turned, 4, pairs, phases=False) / 2
        np.testing.assert_allclose(slopes[:, :, k], half, atol=1e-6)


def test_a_state_that_bricks_make_is_found_again_from_near_by():
    pairs = line_pairs("bricks", 6, 6)
    rng = np.random.default_rng(4)
    made = rng.normal(size=(LANES + 1, 6 + 2 * len(pairs)))
    data = line_states(made, 6, pairs, phases=False)
    near = fit_angles(data, 6, pairs, rounds=12, start=made + 0.05 * rng.normal(size=made.shape))
    found = (line_states(near, 6, pairs, phases=False) * data).sum(axis=1) ** 2
    assert found.min() > 1 - 1e-6
