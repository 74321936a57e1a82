"""qulacs: states in C++, gradients by ``backprop_inner_product``, complex128 only.

Two things need a trick. Its gradient starts from |0...0>: a state is loaded inside the circuit, by
Hadamards and a diagonal matrix with the amplitudes, which is not unitary, but stands before the first
angle, where the backward pass needs no inverse. And it has no controlled rotations with a parameter:
CRZ(a) is RZ(a/2) CX RZ(-a/2) CX and CRX(a) is RX(a/2) CZ RX(-a/2) CZ, two angles with one source,
which is faster than its rotations about ZZ and ZX.
"""

from __future__ import annotations

import numpy as np
from qulacs import ParametricQuantumCircuit, QuantumState, gate
from workloads import Gate, Result, Step, Workload


class _Angles:
    """Which weight or input each parameter of the circuit is, and with which factor.

    qulacs rotates by exp(+i a/2 P), everyone else by exp(-i a/2 P): hence the signs.
    """

    def __init__(self) -> None:
        self.sources: list[int] = []
        self.factors: list[float] = []

    def add(self, source: int, factor: float) -> None:
        self.sources.append(source)
        self.factors.append(factor)


def build(workload: Workload) -> Step:
    """Sample by sample; weights are set once a step, a sample's state or inputs once a sample."""
    n, data = workload.spec.num_qubits, workload.data
    circuit, angles = _circuit(workload, n)
    sources, factors = np.array(angles.sources), np.array(angles.factors)
    num_inputs = len(workload.spec.inputs)
    own = [k for k, source in enumerate(sources) if source >= len(data.weights)]
    shared = [k for k, source in enumerate(sources) if source < len(data.weights)]
    scale = 2 ** (n / 2)
    qubits = list(range(n))

    def step() -> Result:
        values = (data.weights[sources[shared]] * factors[shared]).tolist()
        for k, value in zip(shared, values, strict=True):
            circuit.set_parameter(k, value)
        states = None if data.amplitudes is None else workload.full_states() * scale
        probabilities = np.empty((workload.batch, 2**n))
        vectors = []

        def load(row: int) -> None:
            if states is not None:
                circuit.add_gate(gate.DiagonalMatrix(qubits, states[row].astype(complex)), n)
            else:
                assert data.inputs is not None
                for k in own:
                    circuit.set_parameter(k, -data.inputs[row, sources[k] - len(data.weights)])

        state = QuantumState(n)
        for row in range(workload.batch):
            load(row)
            state.set_zero_state()
            circuit.update_quantum_state(state)
            if states is not None:
                circuit.remove_gate(n)
            vectors.append(state.get_vector())
            probabilities[row] = np.abs(vectors[-1]) ** 2
        outputs = workload.outputs_of(probabilities)
        loss, cotangent = workload.loss_of(outputs)
        diagonals = workload.diagonal_of(cotangent)
        total = np.zeros(len(sources))
        input_grad = np.empty((workload.batch, num_inputs)) if num_inputs else None
        for row in range(workload.batch):
            load(row)
            state.load(2 * diagonals[row] * vectors[row])
            found = np.array(circuit.backprop_inner_product(state)) * factors
            if states is not None:
                circuit.remove_gate(n)
            total += found
            if input_grad is not None:
                input_grad[row] = found[own]
        weight_grad = np.bincount(sources[shared], total[shared], minlength=len(data.weights))
        return Result(loss, outputs, weight_grad, input_grad)

    return step


def build_wide(workload: Workload) -> Step:
    """The whole batch as one state, the sample's number in the highest log2(batch) qubits."""
    n, data = workload.spec.num_qubits, workload.data
    extra = (workload.batch - 1).bit_length()
    if 2**extra != workload.batch:
        raise ValueError(f"The batch must be a power of two, got {workload.batch}.")
    width = n + extra
    circuit, angles = _circuit(workload, width)
    sources, factors = np.array(angles.sources), np.array(angles.factors)

    def step() -> Result:
        for k, value in enumerate((data.weights[sources] * factors).tolist()):
            circuit.set_parameter(k, value)
        diagonal = (workload.full_states() * 2 ** (width / 2)).ravel().astype(complex)
        circuit.add_gate(gate.DiagonalMatrix(list(range(width)), diagonal), width)
        state = QuantumState(width)
        circuit.update_quantum_state(state)
        vector = state.get_vector()
        outputs = workload.outputs_of(np.abs(vector.reshape(workload.batch, -1)) ** 2)
        loss, cotangent = workload.loss_of(outputs)
        state.load(2 * workload.diagonal_of(cotangent).ravel() * vector)
        found = np.array(circuit.backprop_inner_product(state)) * factors
        circuit.remove_gate(width)
        return Result(loss, outputs, np.bincount(sources, found, minlength=len(data.weights)))

    return step


def _circuit(workload: Workload, width: int) -> tuple[ParametricQuantumCircuit, _Angles]:
    """The circuit; with amplitudes, Hadamards first, after which a diagonal is to be inserted."""
    circuit, angles = ParametricQuantumCircuit(width), _Angles()
    if workload.data.amplitudes is not None:
        for qubit in range(width):
            circuit.add_H_gate(qubit)
    for item in workload.gates:
        _append(circuit, angles, item, len(workload.data.weights))
    return circuit, angles


def _append(
    circuit: ParametricQuantumCircuit, angles: _Angles, item: Gate, num_weights: int
) -> None:
    name, qubits = item.name, item.qubits
    sources = item.weights if item.input is None else (num_weights + item.input,)
    if name == "h":
        circuit.add_H_gate(*qubits)
    elif name == "cx":
        circuit.add_CNOT_gate(*qubits)
    elif name == "rot":
        for kind, source in zip("ZYZ", sources, strict=True):
            getattr(circuit, f"add_parametric_R{kind}_gate")(*qubits, 0.0)
            angles.add(source, -1.0)
    elif name in ("rx", "ry", "rz"):
        getattr(circuit, f"add_parametric_{name.upper()}_gate")(*qubits, 0.0)
        angles.add(sources[0], -1.0)
    else:
        _, target = qubits
        rotate = getattr(circuit, f"add_parametric_{name[1:].upper()}_gate")
        flip = circuit.add_CNOT_gate if name == "crz" else circuit.add_CZ_gate
        for factor in (-0.5, 0.5):
            rotate(target, 0.0)
            angles.add(sources[0], factor)
            flip(*qubits)
