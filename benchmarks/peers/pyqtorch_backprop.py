"""pyqtorch: torch backpropagation, batch in the last axis."""

from __future__ import annotations

from typing import Any

import pyqtorch as pyq
import torch
from torch import Tensor
from workloads import Gate, Step, Workload, torch_step


def build(workload: Workload) -> Step:
    """One circuit; all angles in one dictionary."""
    n, data = workload.spec.num_qubits, workload.data
    weights = torch.tensor(data.weights, dtype=torch.float32, requires_grad=True)
    operations = [_operation(gate, n) for gate in workload.gates]
    circuit = pyq.QuantumCircuit(n, operations).to(dtype=torch.complex64)
    names = [f"w{k}" for k in range(len(data.weights))]
    input_names = [f"x{k}" for k in range(len(workload.spec.inputs))]
    zero = torch.zeros(2**n, workload.batch, dtype=torch.complex64)
    zero[0] = 1
    signs = torch.as_tensor(workload.z_signs.T.copy(), dtype=torch.float32)

    def model(amplitudes: Tensor | None, inputs: Tensor | None) -> Tensor:
        values = dict(zip(names, weights.unbind(0), strict=True))
        state = zero
        if inputs is not None:
            values |= dict(zip(input_names, inputs.unbind(1), strict=True))
        if amplitudes is not None:
            state = torch.stack([amplitudes.t(), torch.zeros_like(amplitudes.t())], dim=1)
            state = state.reshape(2**n, -1).to(torch.complex64)
        final = pyq.run(circuit, state=state.reshape(*[2] * n, -1), values=values)
        final = final.reshape(2**n, -1)
        probabilities = final.real**2 + final.imag**2
        return (probabilities[::2] if workload.reads_probabilities else signs @ probabilities).t()

    return torch_step(workload, model, weights)


def _operation(gate: Gate, n: int) -> Any:
    wires = [n - 1 - qubit for qubit in gate.qubits]
    names = [f"w{k}" for k in gate.weights]
    if gate.input is not None:
        names = [f"x{gate.input}"]
    kinds = {
        "h": pyq.H,
        "cx": pyq.CNOT,
        "rx": pyq.RX,
        "ry": pyq.RY,
        "crz": pyq.CRZ,
        "crx": pyq.CRX,
        "rot": pyq.U,
    }
    return kinds[gate.name](*wires, *names)
