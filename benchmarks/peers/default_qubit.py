"""PennyLane's default.qubit: torch backpropagation through a broadcast batch."""

from __future__ import annotations

from typing import Any

import pennylane as qml
import torch
from torch import Tensor
from workloads import Gate, Step, Workload, torch_step


def build(workload: Workload) -> Step:
    """One broadcast QNode. Probabilities, then a table of signs: faster than n expectations."""
    n = workload.spec.num_qubits
    weights = torch.tensor(workload.data.weights, dtype=torch.float32, requires_grad=True)
    zero = torch.zeros(2**n, dtype=torch.complex64)
    zero[0] = 1
    signs = torch.as_tensor(workload.z_signs, dtype=torch.float32)

    @qml.qnode(qml.device("default.qubit", wires=n), interface="torch", diff_method="backprop")
    def circuit(states: Tensor, inputs: Tensor | None, angles: Tensor) -> Any:
        # A state of our own keeps complex64; the default |0> is complex128.
        qml.StatePrep(states, wires=range(n), validate_norm=False)
        values = angles.unbind(0)
        for gate in workload.gates:
            _append(gate, n, inputs, values)
        return qml.probs(wires=range(n))

    def model(amplitudes: Tensor | None, inputs: Tensor | None) -> Tensor:
        states = zero
        if amplitudes is not None:
            states = torch.stack([amplitudes, torch.zeros_like(amplitudes)], dim=-1).flatten(1)
            states = states.to(torch.complex64)
        probabilities = circuit(states, inputs, weights)
        return probabilities[:, ::2] if workload.reads_probabilities else probabilities @ signs

    return torch_step(workload, model, weights)


def _append(gate: Gate, n: int, inputs: Tensor | None, values: tuple[Tensor, ...]) -> None:
    wires = [n - 1 - qubit for qubit in gate.qubits]
    kinds = {
        "h": qml.Hadamard,
        "cx": qml.CNOT,
        "rx": qml.RX,
        "ry": qml.RY,
        "crz": qml.CRZ,
        "crx": qml.CRX,
        "rot": qml.Rot,
    }
    angles = [values[k] for k in gate.weights]
    if gate.input is not None:
        assert inputs is not None
        angles = [inputs[:, gate.input]]
    kinds[gate.name](*angles, wires=wires)
