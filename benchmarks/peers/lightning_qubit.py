"""PennyLane's lightning.qubit with the adjoint method, through the device's own interface.

Its adjoint method takes expectation values, not probabilities, and does not broadcast. But the loss
has, at its current point, the gradient of one diagonal observable for each sample: so a forward run
gives the outputs and the loss's gradient in the probabilities, and one adjoint run of that diagonal
(a sparse Hamiltonian) gives the gradient in all angles. That is one vector-Jacobian product, without
the cost of a QNode, which is the least that we found.

Where samples differ in their inputs (W3, W4) the batch is not put into qubits: on W3's 18 qubits the
adjoint run alone took longer than other peers' whole step, and gave no gradients of the inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qml
import scipy.sparse
from pennylane.tape import QuantumScript
from workloads import Result, Step, Workload


def build(workload: Workload) -> Step:
    """Sample by sample; the weights' gates are made once a step and shared by all samples."""
    n, data = workload.spec.num_qubits, workload.data
    device = qml.device("lightning.qubit", wires=n, c_dtype=np.complex64)

    def step() -> Result:
        fixed = list(_operations(workload, data.weights, n))
        programs = []
        for row in range(workload.batch):
            if data.inputs is None:
                assert data.amplitudes is not None
                state = np.zeros(2**n, dtype=np.complex64)
                state[::2] = data.amplitudes[row]
                first = [qml.StatePrep(state, wires=range(n), validate_norm=False)]
            else:
                first = [
                    qml.RX(data.inputs[row, gate.input], n - 1 - gate.qubits[0])
                    for gate in workload.gates
                    if gate.input is not None
                ]
            programs.append([*first, *fixed])
        states = np.stack(
            device.execute([QuantumScript(program, [qml.state()]) for program in programs])
        )
        outputs = workload.outputs_of(np.abs(states) ** 2)
        loss, cotangent = workload.loss_of(outputs)
        diagonals = workload.diagonal_of(cotangent)
        tapes = [_gradient_tape(p, d, n) for p, d in zip(programs, diagonals, strict=True)]
        gradients = np.array(device.compute_derivatives(tapes)).reshape(workload.batch, -1)
        count = 0 if data.inputs is None else data.inputs.shape[1]
        weight_grad = gradients[:, count:].sum(0)
        return Result(loss, outputs, weight_grad, gradients[:, :count] if count else None)

    return step


def build_wide(workload: Workload) -> Step:
    """The whole batch as one state: the sample's number is a register of log2(batch) more qubits.

    All samples share the gates, so this is one circuit with one diagonal observable. Samples then pay
    for the gates' overhead together, which wins at few qubits.
    """
    n, data = workload.spec.num_qubits, workload.data
    extra = (workload.batch - 1).bit_length()
    if 2**extra != workload.batch:
        raise ValueError(f"The batch must be a power of two, got {workload.batch}.")
    device = qml.device("lightning.qubit", wires=n + extra, c_dtype=np.complex64)

    def step() -> Result:
        assert data.amplitudes is not None
        states = np.zeros((workload.batch, 2**n), dtype=np.complex64)
        states[:, ::2] = data.amplitudes / np.sqrt(workload.batch)
        program = [
            qml.StatePrep(states.ravel(), wires=range(n + extra), validate_norm=False),
            *_operations(workload, data.weights, n + extra),
        ]
        (state,) = device.execute([QuantumScript(program, [qml.state()])])
        probabilities = workload.batch * np.abs(state.reshape(workload.batch, -1)) ** 2
        outputs = workload.outputs_of(probabilities)
        loss, cotangent = workload.loss_of(outputs)
        diagonal = workload.batch * workload.diagonal_of(cotangent).ravel()
        tape = _gradient_tape(program, diagonal, n + extra)
        gradient = np.array(device.compute_derivatives([tape])).ravel()
        return Result(loss, outputs, gradient)

    return step


def _operations(workload: Workload, weights: np.ndarray, num_wires: int) -> Any:
    """Gates with weights or none; ``rot`` as the three rotations that the adjoint method knows."""
    kinds = {
        "h": qml.Hadamard,
        "cx": qml.CNOT,
        "rx": qml.RX,
        "ry": qml.RY,
        "crz": qml.CRZ,
        "crx": qml.CRX,
    }
    values = weights.tolist()
    for gate in workload.gates:
        if gate.input is not None:
            continue
        wires = [num_wires - 1 - qubit for qubit in gate.qubits]
        if gate.name == "rot":
            phi, theta, omega = (values[k] for k in gate.weights)
            yield qml.RZ(phi, wires)
            yield qml.RY(theta, wires)
            yield qml.RZ(omega, wires)
        else:
            yield kinds[gate.name](*(values[k] for k in gate.weights), wires=wires)


def _gradient_tape(program: list, diagonal: np.ndarray, num_wires: int) -> QuantumScript:
    matrix = scipy.sparse.diags(diagonal, format="csr")
    observable = qml.SparseHamiltonian(matrix, wires=range(num_wires))
    # Angles are the parameters after the state's; the observable's comes last.
    first = int(isinstance(program[0], qml.StatePrep))
    angles = sum(operation.num_params for operation in program[first:])
    return QuantumScript(
        program, [qml.expval(observable)], trainable_params=list(range(first, first + angles))
    )
