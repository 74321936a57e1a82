"""Denoisers of amplitude-encoded images: EEQDM and the Q-Dense circuit of QDDM.

Both read the joint probability of each pixel index and ancilla = 0, without renormalisation. The
data qubits are the paper's wires 0 .. n-1, the ancilla is its last wire, Qiskit's qubit 0.
"""

from __future__ import annotations

from qiskit import QuantumCircuit

from .checks import check_counts
from .entanglers import append_strongly_entangling_layers, pairwise_bell_stage
from .parameters import input_parameters, weight_parameters
from .readouts import ProbabilityReadout
from .spec import CircuitSpec
from .wires import wire_to_qubit

__all__ = [
    "eeqdm",
    "qddm",
]


def eeqdm(num_data: int, depth: int, *, guided: bool = False) -> CircuitSpec:
    """Build the entanglement-enhanced denoiser: Bell stage, then layers on half the register.

    Wires ``0 .. n-1`` carry the amplitudes, wire n is the ancilla. After the pairwise Bell stage on
    the data, strongly entangling layers act on wires ``0 .. ceil(n/2)-1`` and the ancilla. No weight
    can move the marginal distribution of the second half of the data wires.

    Args:
        num_data: Number of data qubits n, at least 2; ``2**n`` pixels.
        depth: Number of strongly entangling layers, at least 1.
        guided: Rotate the ancilla first by RX(``x_0000``), the label's angle in radians.

    Returns:
        A spec with ``3 * (ceil(n/2) + 1) * depth`` weights and ``2**n`` probabilities.

    Raises:
        InvalidTemplate: If a count is below its minimum.

    References:
        Shah and Vatsa, arXiv:2411.15973, section 3.1 and figure 1. Odd n follows the range of
        figure 2, which only the rounded-up half reproduces.
    """
    check_counts("eeqdm", num_data=(num_data, 2), depth=(depth, 1))
    circuit = QuantumCircuit(num_data + 1, name="eeqdm")
    _append_label(circuit, guided)
    data = list(range(1, num_data + 1))
    circuit.compose(pairwise_bell_stage(num_data), qubits=data, inplace=True)
    half = (num_data + 1) // 2
    wires = [*range(half), num_data]
    qubits = [wire_to_qubit(wire, num_data + 1) for wire in wires]
    append_strongly_entangling_layers(circuit, qubits, weight_parameters(3 * (half + 1) * depth))
    return _image_spec("eeqdm", circuit, "Shah and Vatsa, arXiv:2411.15973, section 3.1")


def qddm(num_data: int, depth: int, *, guided: bool = False) -> CircuitSpec:
    """Build the Q-Dense denoiser: strongly entangling layers on all data wires and the ancilla.

    Args:
        num_data: Number of data qubits n, at least 1; ``2**n`` pixels.
        depth: Number of strongly entangling layers, at least 1.
        guided: Rotate the ancilla first by RX(``x_0000``), the label's angle in radians.

    Returns:
        A spec with ``3 * (n + 1) * depth`` weights and ``2**n`` probabilities.

    Raises:
        InvalidTemplate: If a count is below its minimum.

    References:
        Kölle et al., arXiv:2401.07049, section 4 (guided, with an ancilla).
    """
    check_counts("qddm", num_data=(num_data, 1), depth=(depth, 1))
    circuit = QuantumCircuit(num_data + 1, name="qddm")
    _append_label(circuit, guided)
    qubits = [wire_to_qubit(wire, num_data + 1) for wire in range(num_data + 1)]
    append_strongly_entangling_layers(circuit, qubits, weight_parameters(3 * len(qubits) * depth))
    return _image_spec("qddm", circuit, "Kölle et al., arXiv:2401.07049, section 4")


def _append_label(circuit: QuantumCircuit, guided: bool) -> None:
    if guided:
        circuit.rx(input_parameters(1)[0], 0)


def _image_spec(name: str, circuit: QuantumCircuit, source: str) -> CircuitSpec:
    data = tuple(range(1, circuit.num_qubits))
    return CircuitSpec(
        name=name,
        circuit=circuit,
        encoding="amplitude",
        data_qubits=data,
        ancilla_qubits=(0,),
        readout=ProbabilityReadout(qubits=data, postselect=((0, 0),)),
        source=source,
    )
