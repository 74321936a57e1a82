"""Entangling stages against definitions that are written here with Kronecker products."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import Operator

from qdm_qiskit.circuits import (
    input_parameters,
    pairwise_bell_stage,
    strongly_entangling_layers,
    weight_parameters,
    wire_to_qubit,
)
from qdm_qiskit.errors import InvalidTemplate
from tests.helpers import P0, P1, H, X, on_wires


def cnot(m: int, control: int, target: int) -> np.ndarray:
    return on_wires(m, {control: P0}) + on_wires(m, {control: P1, target: X})


def rz(angle: float) -> np.ndarray:
    return np.diag([np.exp(-0.5j * angle), np.exp(0.5j * angle)])


def ry(angle: float) -> np.ndarray:
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    return np.array([[c, -s], [s, c]])


def layers_by_definition(weights: np.ndarray) -> np.ndarray:
    """Rot(phi, theta, omega) on every wire, then the ring of CNOTs, for weights (L, m, 3)."""
    depth, m, _ = weights.shape
    total = np.eye(2**m, dtype=complex)
    for layer in range(depth):
        rotations = {
            wire: rz(omega) @ ry(theta) @ rz(phi)
            for wire, (phi, theta, omega) in enumerate(weights[layer])
        }
        total = on_wires(m, rotations) @ total
        if m > 1:
            r = layer % (m - 1) + 1
            for wire in range(m):
                total = cnot(m, wire, (wire + r) % m) @ total
    return total


@pytest.mark.parametrize(
    ("m", "depth"),
    [(1, 3), (2, 3), (3, 5), (4, 7), (5, 9), (6, 6), (7, 2), (8, 2), (9, 1)],
)
def test_layers_are_their_definition(m, depth):
    weights = np.random.default_rng(m).uniform(-4, 4, (depth, m, 3))
    circuit = strongly_entangling_layers(m, depth).assign_parameters(weights.ravel())
    # Products of about 2 * depth * m matrices with entries of at most 1 lose a few 1e-16 each.
    np.testing.assert_allclose(Operator(circuit).data, layers_by_definition(weights), atol=1e-13)


@pytest.mark.parametrize(
    ("m", "ranges"),
    [(2, [1, 1, 1]), (3, [1, 2, 1, 2]), (5, [1, 2, 3, 4, 1, 2]), (9, [1, 2, 3, 4, 5, 6, 7, 8, 1])],
)
def test_range_grows_and_starts_again(m, ranges):
    circuit = strongly_entangling_layers(m, len(ranges))
    pairs = [
        tuple(m - 1 - circuit.find_bit(qubit).index for qubit in item.qubits)  # wires
        for item in circuit.data
        if item.operation.name == "cx"
    ]
    assert pairs == [(wire, (wire + r) % m) for r in ranges for wire in range(m)]


def test_one_wire_has_no_cnot():
    assert dict(strongly_entangling_layers(1, 4).count_ops()) == {"rz": 8, "ry": 4}


def test_weights_stand_in_order_of_use():
    circuit = strongly_entangling_layers(3, 4)
    used = [item.operation.params[0].name for item in circuit.data if item.operation.params]
    assert used == [f"w_{i:04d}" for i in range(36)] == [p.name for p in circuit.parameters]


@pytest.mark.parametrize("m", [2, 3, 4, 5, 6])
def test_bell_stage_is_hadamards_then_cnots(m):
    half = (m + 1) // 2
    expected = on_wires(m, dict.fromkeys(range(half), H))
    for wire in range(m - half):
        expected = cnot(m, wire, wire + half) @ expected
    circuit = pairwise_bell_stage(m)
    assert circuit.num_parameters == 0
    np.testing.assert_allclose(Operator(circuit).data, expected, atol=1e-14)


def test_bell_stage_makes_bell_pairs():
    # Wires (0, 2) and (1, 3) of 4 end in |00> + |11> each.
    state = Operator(pairwise_bell_stage(4)).data[:, 0].reshape(2, 2, 2, 2)
    bell = np.eye(2) / np.sqrt(2)
    np.testing.assert_allclose(state, np.einsum("ac,bd->abcd", bell, bell), atol=1e-15)


@pytest.mark.parametrize("arguments", [(0, 1), (1, 0), (-1, 3), (3, -2)])
def test_layers_refuse_impossible_counts(arguments):
    with pytest.raises(
        InvalidTemplate,
        match=r"^strongly_entangling_layers needs num_wires >= 1 and depth >= 1, .* num_wires=.*\.$",
    ):
        strongly_entangling_layers(*arguments)


@pytest.mark.parametrize("count", [1, 0, -2])
def test_bell_stage_refuses_fewer_than_two_wires(count):
    with pytest.raises(InvalidTemplate, match=rf"num_wires >= 2, .* got num_wires={count}\."):
        pairwise_bell_stage(count)


@pytest.mark.parametrize("m", [1, 2, 5])
def test_wire_0_is_the_highest_qubit(m):
    assert [wire_to_qubit(wire, m) for wire in range(m)] == list(reversed(range(m)))


@pytest.mark.parametrize(("make", "kind"), [(input_parameters, "x"), (weight_parameters, "w")])
def test_parameter_names_sort_in_their_order(make, kind):
    names = [p.name for p in make(10_000)]
    assert names == sorted(names)
    assert names[0] == f"{kind}_0000"
    assert names[-1] == f"{kind}_9999"
    with pytest.raises(InvalidTemplate, match="at most 10000 parameters"):
        make(10_001)


def test_inputs_can_start_later():
    assert [p.name for p in input_parameters(2, 7)] == ["x_0007", "x_0008"]
    with pytest.raises(InvalidTemplate, match="got 10001"):
        input_parameters(2, 9_999)
