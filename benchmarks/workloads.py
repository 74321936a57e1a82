"""The training steps that are measured, as one list of gates for every library.

All gates are read from the Qiskit circuit that our own side runs, so that nobody runs another
circuit by mistake. Qubits are Qiskit's: qubit 0 is the least significant bit; libraries that count
wires from the most significant bit use ``num_qubits - 1 - qubit``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.circuits import (
    CircuitSpec,
    ExpectationReadout,
    eeqdm,
    input_parameters,
    qddm,
    weight_parameters,
)
from qdm_qiskit.layers import QuantumLayer


@dataclass(frozen=True)
class Gate:
    """One gate; ``rot`` is RZ(phi), then RY(theta), then RZ(omega)."""

    name: str
    qubits: tuple[int, ...]
    weights: tuple[int, ...] = ()
    """Positions of its angles among the weights."""
    input: int | None = None
    """Position of its angle among the inputs."""


@dataclass(frozen=True)
class Data:
    """What one training step sees, in float64; each side converts it to its own precision."""

    weights: np.ndarray
    amplitudes: np.ndarray | None
    """``(batch, 2**data qubits)`` unit rows: the state of all qubits but the ancilla, qubit 0."""
    inputs: np.ndarray | None
    """``(batch, num_inputs)`` radians."""
    targets: np.ndarray


@dataclass(frozen=True)
class Result:
    """What one training step gives; numpy arrays, or what ``np.asarray`` takes."""

    loss: Any
    outputs: Any
    weight_grad: Any
    input_grad: Any = None


Step = Callable[[], Result]
"""One training step: outputs, loss, and its gradients, computed to the end."""


@dataclass(frozen=True)
class Workload:
    """A circuit, its readout, a batch size and a mean squared error."""

    name: str
    spec: CircuitSpec
    batch: int
    layer_size: int
    """Gates of a repeated layer, with ``rot`` counted as one; what is before is the prefix."""
    period: int = 1
    """Layers after which the gates' qubits repeat, so that a scan can roll them up."""
    scale: float = 1.0
    """Outputs are multiplied by it before they are compared with the targets."""

    @property
    def reads_probabilities(self) -> bool:
        """Probabilities of all data qubits and ancilla = 0; if not, Z on every qubit."""
        return not isinstance(self.spec.readout, ExpectationReadout)

    @cached_property
    def gates(self) -> tuple[Gate, ...]:
        """The circuit's gates in order."""
        return gates_of(self.spec)

    @property
    def prefix(self) -> tuple[Gate, ...]:
        """Gates before the first layer."""
        return self.gates[: len(self.gates) % self.layer_size]

    @property
    def layers(self) -> list[tuple[Gate, ...]]:
        """The repeated part."""
        rest = self.gates[len(self.prefix) :]
        size = self.layer_size
        return [rest[start : start + size] for start in range(0, len(rest), size)]

    @cached_property
    def data(self) -> Data:
        """The same numbers for everyone; a smaller batch is the first rows of a larger one."""
        children = np.random.SeedSequence(3).spawn(3)
        weights, inputs, targets = (np.random.default_rng(child) for child in children)
        spec, rows = self.spec, max(self.batch, 256)
        amplitudes = angles = None
        if spec.encoding == "amplitude":
            amplitudes = inputs.random((rows, spec.num_amplitudes))[: self.batch]
            amplitudes /= np.linalg.norm(amplitudes, axis=1, keepdims=True)
        else:
            angles = inputs.uniform(0, np.pi, (rows, len(spec.inputs)))[: self.batch]
        return Data(
            weights=weights.uniform(0, 2 * np.pi, len(spec.weights)),
            amplitudes=amplitudes,
            inputs=angles,
            targets=targets.random((rows, spec.readout.num_outputs))[: self.batch],
        )

    @property
    def z_signs(self) -> np.ndarray:
        """``(2**n, n)``: Z of each qubit in each basis state."""
        n = self.spec.num_qubits
        return 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)

    def full_states(self) -> np.ndarray:
        """``(batch, 2**n)``: the amplitudes with the ancilla, qubit 0, in |0>."""
        assert self.data.amplitudes is not None
        states = np.zeros((self.batch, 2**self.spec.num_qubits))
        states[:, ::2] = self.data.amplitudes
        return states

    def outputs_of(self, probabilities: np.ndarray) -> np.ndarray:
        """``(batch, num_outputs)`` from the probabilities of all basis states."""
        if self.reads_probabilities:
            return probabilities[:, ::2]
        return probabilities @ self.z_signs

    def loss_of(self, outputs: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss and its gradient in the outputs, for libraries without automatic gradients."""
        error = outputs * self.scale - self.data.targets
        return float((error**2).mean()), 2 * self.scale * error / error.size

    def diagonal_of(self, cotangent: np.ndarray) -> np.ndarray:
        """``(batch, 2**n)``: the gradient in the probabilities, from that in the outputs."""
        if not self.reads_probabilities:
            return cotangent @ self.z_signs.T
        diagonal = np.zeros((self.batch, 2**self.spec.num_qubits))
        diagonal[:, ::2] = cotangent
        return diagonal


def gates_of(spec: CircuitSpec) -> tuple[Gate, ...]:
    """The gates of a spec's circuit; RZ RY RZ on one qubit become one ``rot``."""
    position = {p: ("w", k) for k, p in enumerate(spec.weights)}
    position |= {p: ("x", k) for k, p in enumerate(spec.inputs)}
    found: list[Gate] = []
    for instruction in spec.circuit.data:
        qubits = tuple(spec.circuit.find_bit(qubit).index for qubit in instruction.qubits)
        roles = [position[p] for p in instruction.operation.params]
        weights = tuple(k for kind, k in roles if kind == "w")
        inputs = [k for kind, k in roles if kind == "x"]
        gate = Gate(instruction.operation.name, qubits, weights, inputs[0] if inputs else None)
        last = found[-2:]
        if [g.name for g in (*last, gate)] == ["rz", "ry", "rz"] and all(
            g.qubits == qubits for g in last
        ):
            angles = tuple(g.weights[0] for g in (*last, gate))
            found[-2:] = [Gate("rot", qubits, angles)]
        else:
            found.append(gate)
    return tuple(found)


def _each_z(num_qubits: int) -> ExpectationReadout:
    labels = ("I" * (num_qubits - 1 - q) + "Z" + "I" * q for q in range(num_qubits))
    return ExpectationReadout(observables=tuple(SparsePauliOp(label) for label in labels))


def image_denoiser(
    name: str, num_data: int, depth: int, batch: int = 64, *, half: bool
) -> Workload:
    """W1 (``half``: layers on half of the wires and the ancilla) and W2 (on all wires)."""
    spec = (eeqdm if half else qddm)(num_data, depth)
    width = (num_data + 1) // 2 + 1 if half else num_data + 1
    return Workload(
        name, spec, batch, layer_size=2 * width, period=width - 1, scale=float(2**num_data)
    )


def hqconv(name: str, batch: int = 64, num_layers: int = 3) -> Workload:
    """W3: 12 qubits, RX inputs, HQConv layers of 28 angles, block A really applied."""
    n = 12
    circuit = QuantumCircuit(n)
    for qubit, parameter in enumerate(input_parameters(n)):
        circuit.rx(parameter, qubit)
    angles = iter(weight_parameters(28 * num_layers))
    block_a = [(base + (i + 1) % 4, base + i) for base in (8, 4, 0) for i in (3, 2, 1, 0)]
    for _ in range(num_layers):
        for control, target in (*block_a, (4, 8), (0, 4)):
            circuit.crz(next(angles), control, target)
            circuit.crx(next(angles), control, target)
    spec = CircuitSpec(
        name="hqconv",
        circuit=circuit,
        encoding="angle",
        data_qubits=tuple(range(n)),
        readout=_each_z(n),
        source="HQConv with block A applied",
    )
    # 12 RX before 28 gates a layer.
    return Workload(name, spec, batch, layer_size=28)


def ry_ring(name: str, num_qubits: int = 4, batch: int = 32, num_layers: int = 2) -> Workload:
    """W4: RX inputs, then layers of RY and a ring of CX."""
    n = num_qubits
    circuit = QuantumCircuit(n)
    for qubit, parameter in enumerate(input_parameters(n)):
        circuit.rx(parameter, qubit)
    angles = iter(weight_parameters(n * num_layers))
    for _ in range(num_layers):
        for qubit in range(n):
            circuit.ry(next(angles), qubit)
        for qubit in range(n):
            circuit.cx(qubit, (qubit + 1) % n)
    spec = CircuitSpec(
        name="ry_ring",
        circuit=circuit,
        encoding="angle",
        data_qubits=tuple(range(n)),
        readout=_each_z(n),
        source="issue 3, W4",
    )
    return Workload(name, spec, batch, layer_size=2 * n)


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "W1-L10": lambda: image_denoiser("W1-L10", 8, 10, half=True),
    "W1-L50": lambda: image_denoiser("W1-L50", 8, 50, half=True),
    "W2-L50": lambda: image_denoiser("W2-L50", 8, 50, half=False),
    "W3": lambda: hqconv("W3"),
    "W4": lambda: ry_ring("W4"),
    "W4-b1": lambda: ry_ring("W4-b1", batch=1),
    "W4-6q": lambda: ry_ring("W4-6q", num_qubits=6),
}


def ours(workload: Workload, dtype: torch.dtype = torch.float32) -> Step:
    """Our training step: a :class:`QuantumLayer` on the engine."""
    data = workload.data
    layer = QuantumLayer(workload.spec).to(dtype)
    with torch.no_grad():
        layer.weights.copy_(torch.as_tensor(data.weights))
    return torch_step(workload, layer, layer.weights, dtype)


def torch_step(
    workload: Workload,
    model: Callable[[torch.Tensor | None, torch.Tensor | None], torch.Tensor],
    weights: torch.Tensor,
    dtype: torch.dtype = torch.float32,
) -> Step:
    """Loss and gradients by autograd, for every library that speaks torch.

    Args:
        workload: Data and loss.
        model: ``(amplitudes, inputs)`` to ``(batch, num_outputs)``.
        weights: The leaf that the model uses.
        dtype: Of the data.
    """
    data = workload.data
    amplitudes = None if data.amplitudes is None else torch.as_tensor(data.amplitudes, dtype=dtype)
    inputs = None
    if data.inputs is not None:
        inputs = torch.tensor(data.inputs, dtype=dtype, requires_grad=True)
    targets = torch.as_tensor(data.targets, dtype=dtype)

    def step() -> Result:
        weights.grad = None
        if inputs is not None:
            inputs.grad = None
        outputs = model(amplitudes, inputs)
        scaled = outputs * workload.scale if workload.scale != 1 else outputs
        loss = torch.nn.functional.mse_loss(scaled, targets)
        loss.backward()
        return Result(
            loss.detach(), outputs.detach(), weights.grad, None if inputs is None else inputs.grad
        )

    return step


def smaller(workload: Workload, batch: int) -> Workload:
    """The same with fewer samples."""
    return replace(workload, batch=batch)
