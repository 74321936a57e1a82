"""Denoisers of images from any ansatz and any encoding of the catalogue, put together by name.

Wires are numbered from the most significant bit; see :mod:`qdm_qiskit.circuits.wires`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from ..errors import InvalidTemplate
from .ansatzes import basic_entangling_layers, hamiltonian_variational, hardware_efficient
from .checks import check_choice, check_counts
from .entanglers import strongly_entangling_layers
from .hierarchical import mera, qcnn
from .parameters import input_parameters, weight_parameters
from .readouts import ProbabilityReadout
from .spec import CircuitSpec
from .wires import wire_to_qubit

__all__ = [
    "ANSATZES",
    "Ansatz",
    "Entry",
    "ansatz_denoiser",
]

Ansatz = Literal[
    "strongly_entangling",
    "basic_entangling",
    "hardware_efficient",
    "ising",
    "heisenberg",
    "qcnn",
    "mera",
]
"""Trainable part: templates of the catalogue, ``ising`` and ``heisenberg`` being the two Hamiltonian
variational ones."""
Entry = Literal["amplitude", "angle", "dense_angle", "phase"]
"""Way in for the pixels: all as amplitudes, or one or two of them a wire."""
_PIXELS_A_WIRE: Mapping[str, int] = {"angle": 1, "dense_angle": 2, "phase": 1}


def _repeated(make: Callable[[int], CircuitSpec]) -> Callable[[int, int], list[QuantumCircuit]]:
    return lambda num_wires, depth: [make(num_wires).circuit] * depth


ANSATZES: Mapping[str, Callable[[int, int], list[QuantumCircuit]]] = {
    "strongly_entangling": lambda m, depth: [strongly_entangling_layers(m, depth)],
    "basic_entangling": lambda m, depth: [basic_entangling_layers(m, depth)],
    "hardware_efficient": lambda m, depth: [hardware_efficient(m, depth)],
    "ising": lambda m, depth: [hamiltonian_variational(m, depth, model="tfim")],
    "heisenberg": lambda m, depth: [hamiltonian_variational(m, depth, model="heisenberg")],
    "qcnn": _repeated(qcnn),
    "mera": _repeated(mera),
}
"""Circuits of each ansatz for wires and depth, in their order; each has weights of its own."""


def ansatz_denoiser(
    num_pixels: int = 16,
    num_wires: int = 4,
    depth: int = 2,
    *,
    encoding: Entry = "amplitude",
    ansatz: Ansatz = "hardware_efficient",
) -> CircuitSpec:
    """Encode an image, apply an ansatz, and read an outcome for each pixel.

    ``"amplitude"`` loads the pixels as amplitudes of the first ``ceil(log2(num_pixels))`` wires, and
    the ansatz follows. The others put one pixel on a wire, or two: as many as there is room for, then
    the ansatz, then the next pixels, and so on (data re-uploading); each time the ansatz has weights of
    its own. A pixel p is an angle in radians: RX(p) for ``"angle"``, RY(p) and P(p') for
    ``"dense_angle"``, H and P(p) for ``"phase"``. What an ansatz does to prepare a state, as the
    Hamiltonian variational ones do, acts on the encoded image. QCNN and MERA keep all their wires.

    Args:
        num_pixels: Pixels of all channels, at least 2.
        num_wires: Wires m, at least ``ceil(log2(num_pixels))``; for ``"qcnn"`` and ``"mera"`` a power
            of two, for ``"heisenberg"`` even.
        depth: Layers of the ansatz behind each upload; QCNN and MERA are applied so many times.
        encoding: Way in for the pixels.
        ansatz: The trainable part.

    Returns:
        A spec that reads the probabilities of the first ``ceil(log2(num_pixels))`` wires, the others
        summed over.

    Raises:
        InvalidTemplate: If a count or a name does not fit.

    References:
        The templates' own; data re-uploading: Pérez-Salinas et al., arXiv:1907.02085. Ours: to put them
        together as image denoisers.
    """
    name = "ansatz_denoiser"
    check_counts(name, num_pixels=(num_pixels, 2), num_wires=(num_wires, 1), depth=(depth, 1))
    check_choice(name, "encoding", encoding, get_args(Entry))
    check_choice(name, "ansatz", ansatz, get_args(Ansatz))
    read = (num_pixels - 1).bit_length()
    if num_wires < read:
        raise InvalidTemplate(
            f"{name} reads an outcome for each of {num_pixels} pixels from {read} wires, got "
            f"num_wires={num_wires}; take at least {read}."
        )
    pieces = ANSATZES[ansatz](num_wires, depth)
    pixels = [] if encoding == "amplitude" else input_parameters(num_pixels)
    at_once = _PIXELS_A_WIRE.get(encoding, 1) * num_wires
    uploads = [pixels[start : start + at_once] for start in range(0, len(pixels), at_once)] or [[]]
    counts = [piece.num_parameters for piece in pieces]
    weights = iter(weight_parameters(len(uploads) * sum(counts)))
    circuit = QuantumCircuit(num_wires, name=name)
    for values in uploads:
        _append_pixels(circuit, values, encoding)
        for piece, count in zip(pieces, counts, strict=True):
            circuit.compose(
                piece.assign_parameters([next(weights) for _ in range(count)]), inplace=True
            )
    qubits = tuple(range(num_wires - read, num_wires))  # of the first wires
    on_amplitudes = encoding == "amplitude"
    return CircuitSpec(
        name=name,
        circuit=circuit,
        encoding="amplitude" if on_amplitudes else "angle",
        data_qubits=qubits if on_amplitudes else tuple(range(num_wires)),
        ancilla_qubits=tuple(range(num_wires - read)) if on_amplitudes else (),
        readout=ProbabilityReadout(qubits=qubits),
        source=f"ours: {ansatz} on {encoding} encoding",
    )


def _append_pixels(circuit: QuantumCircuit, values: list[Parameter], encoding: Entry) -> None:
    """Append the encoding of as many pixels as there are values, from wire 0 on."""
    for index, value in enumerate(values):
        wire = index // _PIXELS_A_WIRE[encoding]
        qubit = wire_to_qubit(wire, circuit.num_qubits)
        if encoding == "angle":
            circuit.rx(value, qubit)
        elif encoding == "phase":
            circuit.h(qubit)
            circuit.p(value, qubit)
        elif index % 2 == 0:
            circuit.ry(value, qubit)
        else:
            circuit.p(value, qubit)
