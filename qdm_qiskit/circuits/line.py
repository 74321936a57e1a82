"""A denoiser on a line of qubits: uploads of RY and RZ with bricks of CZ between them.

Each CZ joins neighbours, so a device whose couplings hold such a line runs the circuit without a
SWAP; six qubits with four uploads need 15 CZ.
"""

from __future__ import annotations

from itertools import combinations
from typing import Literal, get_args

from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from ..errors import InvalidTemplate
from .checks import check_choice, check_counts
from .parameters import input_parameters, weight_parameters
from .readouts import ExpectationReadout, ProbabilityReadout
from .spec import CircuitSpec

__all__ = [
    "Readouts",
    "line",
    "line_amplitudes",
    "num_angles",
]

Readouts = Literal["z", "zz_line", "zz"]
"""Expectation values that are read: <Z> of each qubit; with <ZZ> of neighbours; with <ZZ> of all
pairs. All come from the same shots, measured in the Z basis."""
_SOURCE = "ours: data re-uploading (Pérez-Salinas et al., arXiv:1907.02085) on a line"


def num_angles(num_qubits: int, uploads: int) -> int:
    """Return the number of angles of :func:`line`: RZ is left out where only Z is read after it.

    >>> num_angles(6, 4)
    42
    """
    return 2 * num_qubits * uploads - num_qubits


def line(
    num_qubits: int = 6,
    uploads: int = 4,
    *,
    bricks: int = 3,
    entangled: bool = True,
    readouts: Readouts = "zz",
) -> CircuitSpec:
    """Build uploads of RY and RZ on each qubit, and a brick of CZ after each but the last.

    Gate k turns by ``x_k + w_k``. A brick is CZ on the qubits (0, 1), (2, 3), ..., then on (1, 2),
    (3, 4), ...: n - 1 of them. The last upload has no RZ, which no measured value would see.

    Args:
        num_qubits: Qubits n of the line, at least 1.
        uploads: Layers of rotations, at least 1.
        bricks: Bricks of CZ, after the first, second, ... upload; 1 to ``uploads - 1``.
        entangled: False leaves out all bricks: a product of single qubits with the same angles.
        readouts: Expectation values that are read.

    Returns:
        A spec with :func:`num_angles` inputs and as many weights, in the order of use: upload by
        upload, RY of all qubits before RZ of all qubits.

    Raises:
        InvalidTemplate: If a count is out of range or the readout is unknown.
    """
    check_counts("line", num_qubits=(num_qubits, 1), uploads=(uploads, 1), bricks=(bricks, 1))
    check_choice("line", "readouts", readouts, get_args(Readouts))
    if entangled and bricks > uploads - 1:
        raise InvalidTemplate(
            "line has a brick between two uploads, at most uploads - 1, or entangled=False, got "
            f"{bricks=}, {uploads=}."
        )
    count = num_angles(num_qubits, uploads)
    pairs = zip(input_parameters(count), weight_parameters(count), strict=True)
    angles = (x + w for x, w in pairs)
    circuit = QuantumCircuit(num_qubits, name="line")
    for upload in range(uploads):
        for qubit in range(num_qubits):
            circuit.ry(next(angles), qubit)
        if upload == uploads - 1:
            break
        for qubit in range(num_qubits):
            circuit.rz(next(angles), qubit)
        if entangled and upload < bricks:
            for first in (0, 1):
                for qubit in range(first, num_qubits - 1, 2):
                    circuit.cz(qubit, qubit + 1)
    return CircuitSpec(
        name="line",
        circuit=circuit,
        encoding="angle",
        data_qubits=tuple(range(num_qubits)),
        readout=_z_products(num_qubits, readouts),
        source=_SOURCE,
    )


def line_amplitudes(
    num_data: int = 3, depth: int = 3, *, guided: bool = False, entangled: bool = True
) -> CircuitSpec:
    """Build layers of RY and RZ on amplitudes and an ancilla, with CZ along the line between them.

    Qubit 0 is the ancilla, the data follow. Gate RY of layer and qubit k turns by ``x_k + w``, of a
    guided circuit, else by w. The last layer is RY alone: no probability would see more.

    Args:
        num_data: Qubits n of the amplitudes, at least 1.
        depth: Layers of rotations, at least 1.
        guided: Take an input for each RY: the class's row of a table of angles.
        entangled: False leaves out the CZ.

    Returns:
        A spec with ``(n + 1) * (2 * depth - 1)`` weights, ordered by layer, then RY of all qubits, then
        RZ of all qubits; ``(n + 1) * depth`` inputs if guided; and ``2**n`` probabilities of the
        data, whatever the ancilla is.

    Raises:
        InvalidTemplate: If a count is below 1.
    """
    check_counts("line_amplitudes", num_data=(num_data, 1), depth=(depth, 1))
    qubits = num_data + 1
    weights = iter(weight_parameters(qubits * (2 * depth - 1)))
    inputs = iter(input_parameters(qubits * depth if guided else 0))
    circuit = QuantumCircuit(qubits, name="line_amplitudes")
    for layer in range(depth):
        for qubit in range(qubits):
            angle = next(weights)
            circuit.ry(next(inputs) + angle if guided else angle, qubit)
        if layer == depth - 1:
            break
        for qubit in range(qubits):
            circuit.rz(next(weights), qubit)
        if entangled:
            for qubit in range(num_data):
                circuit.cz(qubit, qubit + 1)
    data = tuple(range(1, qubits))
    return CircuitSpec(
        name="line_amplitudes",
        circuit=circuit,
        encoding="amplitude",
        data_qubits=data,
        ancilla_qubits=(0,),
        readout=ProbabilityReadout(qubits=data),
        source="ours: a few latents as amplitudes on a line",
    )


def _z_products(num_qubits: int, readouts: Readouts) -> ExpectationReadout:
    sets: list[tuple[int, ...]] = [(qubit,) for qubit in range(num_qubits)]
    if readouts != "z":
        pairs = combinations(range(num_qubits), 2)
        sets += [(a, b) for a, b in pairs if readouts == "zz" or b == a + 1]
    return ExpectationReadout(
        observables=tuple(
            SparsePauliOp.from_sparse_list(
                [("Z" * len(qubits), list(qubits), 1.0)], num_qubits=num_qubits
            )
            for qubits in sets
        )
    )
