"""Blocks of the state denoisers against matrices written here with Kronecker products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from qdm_qiskit.circuits import (
    alternating_layers,
    conv_unit,
    identity_block,
    phase_mixing,
    qamp_layers,
)
from qdm_qiskit.errors import InvalidTemplate
from tests.helpers import I2, P0, P1, H, X, on_wires, unitary

Y = np.array([[0, -1j], [1j, 0]])
Z = np.diag([1, -1])

angle = st.floats(-10, 10)


def controlled(m: int, control: int, target: int, gate: np.ndarray) -> np.ndarray:
    return on_wires(m, {control: P0}) + on_wires(m, {control: P1, target: gate})


def rotation(pauli: np.ndarray, value: float) -> np.ndarray:
    return np.cos(value / 2) * I2 - 1j * np.sin(value / 2) * pauli


def interaction(m: int, a: int, b: int, angles: np.ndarray, sign: int = 1) -> np.ndarray:
    """exp(-i pi/4) exp(sign i (alpha XX + beta YY + gamma ZZ)) for (gamma, alpha, beta)."""
    terms = zip(angles, (Z, X, Y), strict=True)
    total = sum(value * on_wires(m, {a: pauli, b: pauli}) for value, pauli in terms)
    return np.exp(-0.25j * np.pi) * expm(sign * 1j * total)


def qamp_by_definition(m: int, weights: np.ndarray, mixing: str, closed: bool) -> np.ndarray:
    pairs = [(i, i + 1) for i in range(0, m - 1, 2)]
    pairs += [(i, (i + 1) % m) for i in range(1, m, 2) if closed or i + 1 < m]
    total = np.eye(2**m, dtype=complex)
    for layer in weights:
        for pair, angles in zip(pairs, layer[: 3 * len(pairs)].reshape(-1, 3), strict=True):
            total = interaction(m, *pair, angles) @ total
        total = mixing_by_definition(m, layer[3 * len(pairs) :], mixing) @ total
    return total


def mixing_by_definition(m: int, phases: np.ndarray, mixing: str) -> np.ndarray:
    total = np.eye(2**m, dtype=complex)
    if mixing == "qft":
        for wire, phase in zip(range(m - 1, 0, -1), phases, strict=True):
            total = controlled(m, 0, wire, rotation(Z, phase)) @ total
        j = np.arange(2**m)
        return np.exp(2j * np.pi * np.outer(j, j) / 2**m) / 2 ** (m / 2) @ total
    total = on_wires(m, dict.fromkeys(range(m), H)) @ total
    for wire in range(m - 1):
        total = controlled(m, wire, wire + 1, Z) @ total
    return on_wires(m, {i: rotation(X, value) for i, value in enumerate(phases)}) @ total


@settings(max_examples=60, deadline=None)
@given(st.tuples(angle, angle, angle))
def test_conv_unit_is_the_exponential(angles):
    """Both signs, with the global phase: three CNOTs cannot do without it."""
    plus, minus = conv_unit(), conv_unit(sign="minus")
    np.testing.assert_allclose(
        unitary(plus, angles), interaction(2, 0, 1, np.array(angles)), atol=1e-12
    )
    np.testing.assert_allclose(
        unitary(minus, angles), interaction(2, 0, 1, np.array(angles), -1), atol=1e-12
    )
    assert plus.count_ops()["cx"] == 3


def test_conv_unit_takes_gamma_then_alpha_then_beta():
    # A single term at a time: the order of the angles and their factor cannot hide.
    for position, pauli in enumerate((Z, X, Y)):
        values = np.zeros(3)
        values[position] = 0.7
        expected = np.exp(-0.25j * np.pi) * expm(0.7j * np.kron(pauli, pauli))
        np.testing.assert_allclose(unitary(conv_unit(), values), expected, atol=1e-14)


@pytest.mark.parametrize("m", [2, 3, 4, 5])
@pytest.mark.parametrize("mixing", ["qft", "rx"])
def test_phase_mixing_is_its_definition(m, mixing):
    circuit = phase_mixing(m, mixing=mixing)
    phases = np.random.default_rng(m).uniform(-7, 7, m - 1 if mixing == "qft" else m)
    assert circuit.num_parameters == phases.size
    np.testing.assert_allclose(
        unitary(circuit, phases), mixing_by_definition(m, phases, mixing), atol=1e-13
    )


@pytest.mark.parametrize("m", [2, 3, 4])
def test_fourier_transform_turns_a_basis_state_into_positive_phases(m):
    """Without phases, |1> of the least significant wire gets exp(+2 pi i j / 2**m)."""
    column = unitary(phase_mixing(m), np.zeros(m - 1))[:, 1]
    expected = np.exp(2j * np.pi * np.arange(2**m) / 2**m) / 2 ** (m / 2)
    np.testing.assert_allclose(column, expected, atol=1e-14)


@pytest.mark.parametrize("m", [2, 3, 4, 5])
@pytest.mark.parametrize("mixing", ["qft", "rx"])
@pytest.mark.parametrize("closed", [True, False])
def test_qamp_layers_are_their_definition(m, mixing, closed):
    circuit = qamp_layers(m, 2, mixing=mixing, closed=closed)
    weights = np.random.default_rng(m).uniform(-4, 4, (2, circuit.num_parameters // 2))
    np.testing.assert_allclose(
        unitary(circuit, weights.ravel()),
        qamp_by_definition(m, weights, mixing, closed),
        atol=1e-12,
    )


@pytest.mark.parametrize(("m", "angles"), [(4, 15), (5, 16)])
def test_angles_of_a_qamp_layer(m, angles):
    assert qamp_layers(m, 1).num_parameters == angles
    assert qamp_layers(m, 30).num_parameters == 30 * angles


def test_signs_of_a_qamp_layer_negate_the_interactions_only():
    plus, minus = qamp_layers(3, 1), qamp_layers(3, 1, sign="minus")
    values = np.random.default_rng(0).uniform(-3, 3, plus.num_parameters)
    flipped = np.where(np.arange(values.size) < 6, -values, values)
    np.testing.assert_allclose(unitary(plus, values), unitary(minus, flipped), atol=1e-13)


def alternating_by_definition(m: int, weights: np.ndarray) -> np.ndarray:
    """Weights (layer, wire, 3) in the order omega, theta, phi; chain E on even layers."""
    chain = np.eye(2**m)
    for wire in range(m - 2, -1, -1):
        chain = controlled(m, wire, wire + 1, X) @ chain
    total = np.eye(2**m, dtype=complex)
    for layer, row in enumerate(weights):
        gates = {
            wire: rotation(Z, omega) @ rotation(Y, theta) @ rotation(Z, phi)
            for wire, (omega, theta, phi) in enumerate(row)
        }
        total = (chain.T if layer % 2 else chain) @ on_wires(m, gates) @ total
    return total


@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_alternating_layers_are_their_definition(m, depth):
    weights = np.random.default_rng(depth).uniform(-4, 4, (depth, m, 3))
    circuit = alternating_layers(m, depth)
    assert circuit.num_parameters == weights.size
    np.testing.assert_allclose(
        unitary(circuit, weights.ravel()), alternating_by_definition(m, weights), atol=1e-13
    )
    if depth % 2 == 0:
        block = unitary(identity_block(m, depth), weights.ravel())
        np.testing.assert_array_equal(block, unitary(circuit, weights.ravel()))


@pytest.mark.parametrize("m", [1, 2, 3, 5])
@pytest.mark.parametrize("depth", [2, 4])
def test_identity_block_is_the_identity_at_zero_angles_and_only_there(m, depth):
    circuit = identity_block(m, depth)
    zeros = np.zeros(circuit.num_parameters)
    np.testing.assert_allclose(unitary(circuit, zeros), np.eye(2**m), atol=1e-14)
    assert np.abs(unitary(circuit, zeros + 0.1) - np.eye(2**m)).max() > 0.05
    if m > 1:  # an odd depth leaves a chain over
        odd = alternating_layers(m, depth + 1)
        assert np.abs(unitary(odd, np.zeros(odd.num_parameters)) - np.eye(2**m)).max() == 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: conv_unit(sign="both"), "sign of conv_unit is one of plus, minus, got 'both'"),
        (lambda: phase_mixing(1), "num_wires >= 2, .*got num_wires=1"),
        (lambda: phase_mixing(3, mixing="dft"), "one of qft, rx, got 'dft'"),
        (lambda: qamp_layers(1, 2), "num_wires >= 2 and depth >= 1, .*got num_wires=1, depth=2"),
        (lambda: qamp_layers(4, 0), "depth=0"),
        (lambda: qamp_layers(4, 1.5), "whole numbers .*depth=1.5"),
        (lambda: qamp_layers(10_000, 10_000), "at most 10000 parameters"),
        (lambda: qamp_layers(10**30, 1), "whole numbers up to 10000"),
        (lambda: identity_block(3, 3), "even depth, .*got depth=3; alternating_layers"),
        (lambda: identity_block(0, 2), "num_wires >= 1 and depth >= 2"),
        (lambda: identity_block(2, True), "depth=True"),
        (lambda: alternating_layers(2, 0), "depth=0"),
    ],
)
def test_impossible_blocks_are_refused(build, message):
    with pytest.raises(InvalidTemplate, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
