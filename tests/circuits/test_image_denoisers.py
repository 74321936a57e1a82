"""EEQDM and QDDM against the papers' exact figures."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qdm_qiskit.circuits import (
    CircuitSpec,
    eeqdm,
    qddm,
    strongly_entangling_layers,
)
from qdm_qiskit.errors import InvalidTemplate


def parameter_order(circuit: QuantumCircuit) -> list[str]:
    """Names of the parameters in the order in which the gates use them."""
    return [p.name for item in circuit.data for q in item.operation.params for p in q.parameters]


def outputs(spec: CircuitSpec, weights: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Probabilities of the whole register, from Qiskit."""
    start = np.zeros(2**spec.num_qubits, dtype=complex)
    start[spec.data_positions()] = state
    bound = spec.circuit.assign_parameters(dict(zip(spec.weights, weights, strict=True)))
    return np.asarray(Statevector(start).evolve(bound).probabilities())


@pytest.mark.parametrize(
    ("make", "num_data", "counts"),
    [
        (eeqdm, 6, (120, 240, 360, 480, 600)),
        (eeqdm, 8, (150, 300, 450, 600, 750)),
        (eeqdm, 10, (180, 360, 540, 720, 900)),
        (qddm, 6, (210, 420, 630, 840, 1050)),
        (qddm, 8, (270, 540, 810, 1080, 1350)),
        (qddm, 10, (330, 660, 990, 1320, 1650)),
    ],
)
def test_weights_are_those_of_the_paper(make, num_data, counts):
    assert tuple(len(make(num_data, depth).weights) for depth in (10, 20, 30, 40, 50)) == counts


def test_reduction_over_8_to_18_qubits_is_the_range_of_figure_2():
    reduction = {
        n: 100 * (1 - len(eeqdm(n, 1).weights) / len(qddm(n, 1).weights)) for n in range(8, 19)
    }
    assert min(reduction, key=reduction.__getitem__) == 9
    assert max(reduction, key=reduction.__getitem__) == 18
    assert round(reduction[9], 2) == 40.00
    assert round(reduction[18], 2) == 47.37


def test_operations_of_the_16x16_circuit_with_50_layers():
    assert dict(eeqdm(8, 50).circuit.count_ops()) == {"h": 4, "cx": 254, "rz": 500, "ry": 250}


def test_eeqdm_acts_on_the_first_half_and_the_ancilla():
    # n = 4: wires 0, 1 and the ancilla, wire 4, are Qiskit's qubits 4, 3 and 0. After the Bell
    # stage nothing touches the second half, qubits 2 and 1.
    circuit = eeqdm(4, 3).circuit
    where = [tuple(circuit.find_bit(q).index for q in item.qubits) for item in circuit.data]
    names = [item.operation.name for item in circuit.data]
    assert list(zip(names[:4], where[:4], strict=True)) == [
        ("h", (4,)),
        ("h", (3,)),
        ("cx", (4, 2)),
        ("cx", (3, 1)),
    ]
    assert {qubit for qubits in where[4:] for qubit in qubits} == {4, 3, 0}


@pytest.mark.parametrize("num_data", [2, 3, 4])
def test_denoisers_are_layers_in_wire_order(num_data):
    """The templates' layers are `strongly_entangling_layers` with wire j on the j-th listed wire."""
    rng = np.random.default_rng(num_data)
    for make, wires in (
        (qddm, list(range(num_data + 1))),
        (eeqdm, [*range((num_data + 1) // 2), num_data]),
    ):
        spec = make(num_data, 4)
        layers = strongly_entangling_layers(len(wires), 4)
        reference = QuantumCircuit(num_data + 1)
        if make is eeqdm:
            half = (num_data + 1) // 2
            for wire in range(half):
                reference.h(num_data - wire)
            for wire in range(num_data - half):
                reference.cx(num_data - wire, num_data - wire - half)
        # Wire w of m is qubit m-1-w of the layers, and qubit num_data-w of the register.
        reference.compose(
            layers, qubits=[num_data - wire for wire in reversed(wires)], inplace=True
        )
        weights = rng.uniform(-np.pi, np.pi, len(spec.weights))
        mine = Statevector(spec.circuit.assign_parameters(weights)).data
        theirs = Statevector(reference.assign_parameters(weights)).data
        np.testing.assert_allclose(mine, theirs, atol=1e-12)


@pytest.mark.parametrize("num_data", [2, 3, 4, 5, 6])
def test_no_weight_of_eeqdm_moves_the_second_half(num_data):
    spec = eeqdm(num_data, 3)
    half = (num_data + 1) // 2
    state = np.random.default_rng(3).normal(size=2**num_data)
    state /= np.linalg.norm(state)
    # Qiskit order: bit 0 is the ancilla, then wires n-1, n-2, ...: the second half stands lowest.
    second = num_data - half
    marginals, whole = [], []
    for seed in range(4):
        weights = np.random.default_rng(seed).uniform(-np.pi, np.pi, len(spec.weights))
        probabilities = outputs(spec, weights, state)
        marginals.append(probabilities.reshape(2**half, 2**second, 2).sum(axis=(0, 2)))
        whole.append(probabilities)
    assert np.ptp(marginals, axis=0).max() < 1e-13  # 2**7 additions of rounding errors of 1e-16
    assert np.ptp(whole, axis=0).max() > 1e-2


def test_weights_of_qddm_move_the_second_half():
    spec = qddm(4, 3)
    state = np.full(16, 0.25)
    state[0] = -0.25
    marginals = []
    for seed in range(4):
        weights = np.random.default_rng(seed).uniform(-np.pi, np.pi, len(spec.weights))
        marginals.append(outputs(spec, weights, state).reshape(4, 4, 2).sum(axis=(0, 2)))
    assert np.ptp(marginals, axis=0).max() > 1e-2


@pytest.mark.parametrize("make", [eeqdm, qddm])
def test_label_turns_the_ancilla_first(make):
    spec = make(3, 2, guided=True)
    first = spec.circuit.data[0]
    assert first.operation.name == "rx"
    assert spec.circuit.find_bit(first.qubits[0]).index == 0
    assert [p.name for p in spec.inputs] == ["x_0000"]
    assert len(spec.weights) == len(make(3, 2).weights)


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("make", [eeqdm, qddm])
def test_parameter_order_is_the_order_of_use(make, guided):
    spec = make(4, 5, guided=guided)
    assert parameter_order(spec.circuit) == [p.name for p in (*spec.inputs, *spec.weights)]


@pytest.mark.parametrize(
    ("make", "arguments"),
    [(eeqdm, (1, 1)), (eeqdm, (4, 0)), (eeqdm, (-3, 2)), (qddm, (0, 1)), (qddm, (4, -1))],
)
def test_impossible_counts_are_refused_in_one_line(make, arguments):
    with pytest.raises(
        InvalidTemplate,
        match=rf"^{make.__name__} needs num_data >= \d and depth >= 1, .* got num_data=",
    ) as caught:
        make(*arguments)
    assert "\n" not in str(caught.value)


def test_more_weights_than_four_digits_number_are_refused():
    # w_10000 would sort before w_1001, and Qiskit sorts parameters by name.
    assert len(qddm(5, 555).weights) == 9990
    with pytest.raises(InvalidTemplate, match=r"at most 10000 parameters .* got 10008"):
        qddm(5, 556)
