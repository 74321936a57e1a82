"""Pure states from counts: exact, as 1/shots, physical, and with noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qdm_qiskit.circuits import register_spec
from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.mitigation.tomography import (
    basis_angles,
    estimate_states,
    in_product_basis,
    tomography_settings,
)

GATES = {"X": ["h"], "Y": ["sdg", "h"], "Z": []}


def probabilities(state: np.ndarray) -> np.ndarray:
    """The reference: Qiskit's textbook turns, ``(settings, 2**n)``."""
    n = len(state).bit_length() - 1
    rows = []
    for letters in tomography_settings(n):
        turn = QuantumCircuit(n)
        for qubit, letter in enumerate(letters):
            for gate in GATES[letter]:
                getattr(turn, gate)(qubit)
        rows.append(np.abs(Statevector(state).evolve(turn).data) ** 2)
    return np.array(rows)


def unit(state: np.ndarray) -> np.ndarray:
    return state / np.linalg.norm(state)


def infidelity(a: np.ndarray, b: np.ndarray) -> float:
    return 1 - abs(np.vdot(unit(a), unit(b))) ** 2


def drawn(state: np.ndarray, shots: int, rng: np.random.Generator) -> np.ndarray:
    return np.stack([rng.multinomial(shots, p / p.sum()) for p in probabilities(state)])


def family(name: str, n: int, rng: np.random.Generator) -> np.ndarray:
    size = 2**n
    free = rng.normal(size=size) + 1j * rng.normal(size=size)
    even = np.array([bin(k).count("1") % 2 == 0 for k in range(size)])
    few = np.zeros(size, dtype=complex)
    few[rng.choice(size, min(2, size), replace=False)] = free[: min(2, size)]
    ends = np.zeros(size, dtype=complex)
    ends[0], ends[-1] = 1, np.exp(1j * rng.uniform(0, 6))
    found = {
        "complex": free,
        "real": free.real + 0j,
        "image": np.abs(free.real) + 0j,
        "basis": np.eye(size)[size // 2] + 0j,
        "two amplitudes": few,
        "GHZ": ends,
        "even parity": np.where(even, free, 0),
    }
    return unit(found[name])


FAMILIES = ("complex", "real", "image", "basis", "two amplitudes", "GHZ", "even parity")


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("name", FAMILIES)
def test_exact_frequencies_give_the_state(name, n):
    rng = np.random.default_rng(n)
    for _ in range(3):
        state = family(name, n, rng)
        [found] = estimate_states(probabilities(state)[None])
        assert infidelity(found, state) < 1e-9


@pytest.mark.parametrize(
    "name",
    [
        "complex",
        pytest.param("real", marks=pytest.mark.slow),
        pytest.param("GHZ", marks=pytest.mark.slow),
        pytest.param("even parity", marks=pytest.mark.slow),
    ],
)
def test_the_infidelity_falls_as_one_over_shots(name):
    rng = np.random.default_rng(5)
    shots = np.array([100, 1_000, 10_000])
    means = []
    for each in shots:
        missed = []
        for _ in range(60):
            state = family(name, 2, rng)
            count = np.full((1, 8), each)
            [found] = estimate_states(drawn(state, each, rng)[None], count)
            assert abs(np.linalg.norm(found) - 1) < 1e-12  # physical, whatever the counts
            missed.append(infidelity(found, state))
        means.append(np.mean(missed))
    slope = np.polyfit(np.log(shots), np.log(means), 1)[0]
    assert -1.15 < slope < -0.85, means


def test_white_noise_is_not_taken_for_amplitudes():
    rng = np.random.default_rng(2)
    state = family("complex", 3, rng)
    noisy = 0.7 * probabilities(state) + 0.3 / 8
    [found] = estimate_states(noisy[None])
    assert infidelity(found, state) < 1e-9
    assert infidelity(np.sqrt(noisy[0]) * state / np.abs(state), state) > 0.01  # moduli as read


def test_a_row_depends_on_its_own_counts_only_and_the_same_counts_give_the_same_state():
    rng = np.random.default_rng(3)
    counts = np.stack([drawn(family("complex", 2, rng), 50, rng) for _ in range(4)])
    shots = np.full((4, 8), 50)
    together = estimate_states(counts, shots)
    np.testing.assert_array_equal(together, estimate_states(counts, shots))
    for row in range(4):
        [alone] = estimate_states(counts[row : row + 1], shots[row : row + 1])
        np.testing.assert_array_equal(together[row], alone)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=32, max_size=32), st.integers(0, 3))
def test_whatever_the_counts_the_state_is_physical(counts, sure):
    table = np.array(counts).reshape(1, 8, 4)
    table[0, :, sure] += 1
    [found] = estimate_states(table, table.sum(axis=2))
    assert np.isfinite(found).all()
    assert abs(np.linalg.norm(found) - 1) < 1e-12


@pytest.mark.parametrize("n", [1, 2, 3])
def test_one_circuit_serves_all_settings(n):
    rng = np.random.default_rng(n)
    state = family("complex", n, rng)
    spec = in_product_basis(register_spec(QuantumCircuit(n, name="idle"), source=""), range(n))
    rows = []
    for angles in basis_angles(tomography_settings(n)):
        turn = spec.circuit.assign_parameters(dict(zip(spec.inputs, angles, strict=True)))
        rows.append(np.abs(Statevector(state).evolve(turn).data) ** 2)
    np.testing.assert_allclose(rows, probabilities(state), atol=1e-12)


def test_there_are_3_n_plus_2_settings():
    assert [len(tomography_settings(n)) for n in (1, 2, 3, 8)] == [3, 8, 11, 26]


@pytest.mark.parametrize(
    ("frequencies", "words"),
    [
        (np.ones((1, 7, 4)), "shape"),
        (np.ones((8, 4)), "shape"),
        (-np.ones((1, 8, 4)), "at least 0"),
        (np.full((1, 8, 4), np.nan), "finite"),
        (np.zeros((1, 8, 4)), "ZZ of row 0 has no shots"),
    ],
)
def test_frequencies_that_tell_no_state_are_refused(frequencies, words):
    with pytest.raises(InvalidData, match=words):
        estimate_states(frequencies)


def test_registers_that_are_too_large_are_refused_with_the_alternative():
    with pytest.raises(InvalidOption, match=r"1 to 10 qubits.*got 11.*coherently"):
        tomography_settings(11)
