"""QCNN and MERA: their shape, what pooling means, and that every angle matters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix, Operator, Pauli, Statevector, partial_trace

from qdm_qiskit.circuits import CircuitSpec, conv_unit, mera, qcnn
from qdm_qiskit.engine import compile_circuit
from qdm_qiskit.errors import InvalidTemplate


def wires_of(spec: CircuitSpec, *names: str) -> list[tuple[int, ...]]:
    circuit = spec.circuit
    return [
        tuple(circuit.num_qubits - 1 - circuit.find_bit(qubit).index for qubit in item.qubits)
        for item in circuit.data
        if item.operation.name in names
    ]


def read_wire(spec: CircuitSpec) -> int:
    (observable,) = spec.readout.observables
    ((paulis, qubits, coefficient),) = observable.to_sparse_list()
    assert (paulis, coefficient) == ("Z", 1)
    return spec.num_qubits - 1 - qubits[0]


@pytest.mark.parametrize(
    ("m", "options", "angles"),
    [
        (2, {}, 5),
        (4, {}, 10),
        (8, {}, 15),
        (8, {"kernel": "su4"}, 51),
        (4, {"shared": False}, 5 * 3 + 3 * 2),
        (8, {"shared": False, "kernel": "su4"}, (8 + 4 + 1) * 15 + (4 + 2 + 1) * 2),
    ],
)
def test_qcnn_counts(m, options, angles):
    spec = qcnn(m, **options)
    assert len(spec.weights) == angles
    assert read_wire(spec) == 0


def test_qcnn_convolves_around_the_ring_and_pools_onto_even_wires():
    spec = qcnn(8)
    # The second CNOT of a ConvUnit goes from its first wire to its second.
    assert wires_of(spec, "cx")[1::3] == [
        *[(0, 1), (2, 3), (4, 5), (6, 7), (1, 2), (3, 4), (5, 6), (7, 0)],
        *[(0, 2), (4, 6), (2, 4), (6, 0)],
        (0, 4),
    ]
    assert wires_of(spec, "crz") == [(1, 0), (3, 2), (5, 4), (7, 6), (2, 0), (6, 4), (4, 0)]
    assert wires_of(spec, "crx") == wires_of(spec, "crz")


def test_pooling_is_measurement_and_rotation_by_the_outcome():
    """Two wires: ConvUnit, then wire 1 is measured; 1 turns wire 0 by RZ and RX, 0 leaves it."""
    values = np.random.default_rng(3).uniform(-3, 3, 5)
    rng = np.random.default_rng(4)
    state = rng.normal(size=4) + 1j * rng.normal(size=4)
    state /= np.linalg.norm(state)
    rotation = QuantumCircuit(1)
    rotation.rz(values[3], 0)
    rotation.rx(values[4], 0)
    after = (Operator(conv_unit().assign_parameters(values[:3])).data @ state).reshape(2, 2)
    branches = (after[:, 0], Operator(rotation).data @ after[:, 1])
    kept = sum(np.outer(branch, branch.conj()) for branch in branches)
    spec = qcnn(2)
    final = Statevector(state).evolve(spec.circuit.assign_parameters(values))
    np.testing.assert_allclose(partial_trace(DensityMatrix(final), [0]).data, kept, atol=1e-13)
    expected = (kept[0, 0] - kept[1, 1]).real
    assert np.isclose(final.expectation_value(Pauli("ZI")).real, expected)


def test_su4_filter_reaches_what_conv_unit_cannot():
    """Fifteen angles move every two-qubit generator: the tangent space has dimension 15."""

    def rank(kernel: str) -> int:
        spec = qcnn(2, kernel=kernel)
        count = len(spec.weights) - 2
        weights = np.random.default_rng(0).uniform(-1, 1, len(spec.weights))
        weights[-2:] = 0  # without pooling, the circuit is the filter

        def unitary(values: np.ndarray) -> np.ndarray:
            return np.asarray(Operator(spec.circuit.assign_parameters(values)).data)

        base = unitary(weights)
        columns = []
        for k in range(count):
            step = 1e-6 * np.eye(weights.size)[k]
            slope = (unitary(weights + step) - unitary(weights - step)) / 2e-6
            generator = base.conj().T @ slope
            columns.append(np.concatenate([generator.real.ravel(), generator.imag.ravel()]))
        return int(np.linalg.matrix_rank(np.array(columns), tol=1e-6))

    assert rank("conv_unit") == 3
    assert rank("su4") == 15


@pytest.mark.parametrize(
    ("m", "periodic", "angles"), [(2, False, 2), (4, False, 8), (8, False, 22), (8, True, 26)]
)
def test_mera_counts(m, periodic, angles):
    spec = mera(m, periodic=periodic)
    assert len(spec.weights) == angles
    if not periodic:
        assert angles == 2 * (2 * m - 2 - int(np.log2(m)))
    assert read_wire(spec) == m - 1


def test_mera_disentangles_between_the_pairs_that_it_then_joins():
    assert wires_of(mera(8), "cx") == [
        *[(1, 2), (3, 4), (5, 6)],
        *[(0, 1), (2, 3), (4, 5), (6, 7)],
        (3, 5),
        *[(1, 3), (5, 7)],
        (3, 7),
    ]
    assert wires_of(mera(4, periodic=True), "cx") == [(1, 2), (3, 0), (0, 1), (2, 3), (1, 3)]


@pytest.mark.parametrize(
    "spec",
    [qcnn(8), qcnn(4, kernel="su4"), qcnn(4, shared=False), mera(8), mera(8, periodic=True)],
    ids=lambda spec: f"{spec.name}-{len(spec.weights)}",
)
def test_readout_depends_on_every_angle(spec):
    program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
    rng = np.random.default_rng(1)
    states = rng.normal(size=(6, 2**spec.num_qubits, 2)) @ np.array([1, 1j])
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    weights = torch.from_numpy(rng.uniform(-2, 2, len(spec.weights))).requires_grad_()
    outputs = program.expectation(spec.readout.observables, None, weights, torch.from_numpy(states))
    (outputs[:, 0] * torch.arange(1, 7)).sum().backward()
    dead = [p.name for p, g in zip(spec.weights, weights.grad, strict=True) if abs(g) < 1e-9]
    # RZ of the wire that the last pool has in control: SU(4) has it, no readout of Z sees it.
    assert dead == (["w_0031"] if len(spec.weights) == 34 else [])


@pytest.mark.parametrize("make", [qcnn, mera])
@pytest.mark.parametrize("m", [0, 1, 3, 6, 12])
def test_wires_that_cannot_be_halved_are_refused(make, m):
    with pytest.raises(InvalidTemplate, match=r"power of two|num_wires >= 2") as caught:
        make(m)
    assert "\n" not in str(caught.value)


def test_unknown_kernels_are_refused():
    with pytest.raises(InvalidTemplate, match="kernel of qcnn is one of conv_unit, su4, got 'u4'"):
        qcnn(4, kernel="u4")
