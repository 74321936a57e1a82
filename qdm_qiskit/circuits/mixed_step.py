"""One backward step on mixed states of single qubits, with measured and with forgotten ancillas."""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from .ansatzes import hardware_efficient
from .checks import check_counts
from .parameters import input_parameters
from .readouts import ExpectationReadout
from .spec import CircuitSpec

__all__ = ["bloch_angles", "mixed_step"]

_PAULIS = "XYZ"


def mixed_step(
    num_data: int = 2, num_ancillas: int = 1, num_traced: int = 1, depth: int = 4
) -> CircuitSpec:
    """Build a step: mixed states of the data, layers of RX, RY and CZ, and Paulis given outcomes.

    Qubits ``0 .. n-1`` carry the data, then come ``a`` ancillas that are measured, ``e`` that are not,
    and n purifiers. RY on a purifier and CX from it to its data qubit make a diagonal mixed state,
    which RY and RZ turn. The layers act on all but the purifiers, with CZ along the line, and end with
    RX and RY.

    Args:
        num_data: Data qubits n, at least 1.
        num_ancillas: Measured ancillas a, at least 0.
        num_traced: Ancillas that are never looked at, at least 0.
        depth: Layers with CZ, at least 1.

    Returns:
        A spec with ``3 n`` inputs as :func:`bloch_angles` gives, ``2 (n + a + e) (depth + 1)`` weights
        by layer, gate and qubit, and ``2**a (1 + 3 n) - 1`` expectation values: ``<Z_S>`` of the
        ancillas S of each subset but the empty one, then X, Y, Z of each data qubit, each times
        Z_S of all subsets. Subset number s holds ancilla k if bit k of s is set.

    Raises:
        InvalidTemplate: If a count is out of range.
    """
    check_counts(
        "mixed_step",
        num_data=(num_data, 1),
        num_ancillas=(num_ancillas, 0),
        num_traced=(num_traced, 0),
        depth=(depth, 1),
    )
    active = num_data + num_ancillas + num_traced
    total = active + num_data
    circuit = QuantumCircuit(total, name="mixed_step")
    x = input_parameters(3 * num_data)
    for qubit in range(num_data):
        circuit.ry(x[qubit], active + qubit)
    for qubit in range(num_data):
        circuit.cx(active + qubit, qubit)
    for qubit in range(num_data):
        circuit.ry(x[num_data + qubit], qubit)
        circuit.rz(x[2 * num_data + qubit], qubit)
    layers = hardware_efficient(active, depth, rotations=("rx", "ry"), entangler="cz")
    circuit.compose(layers, range(active), inplace=True)
    ancillas = range(num_data, num_data + num_ancillas)
    subsets = [
        [qubit for k, qubit in enumerate(ancillas) if s >> k & 1] for s in range(2**num_ancillas)
    ]
    terms = [("Z" * len(each), each) for each in subsets[1:]]
    for qubit in range(num_data):
        for pauli in _PAULIS:
            terms += [(pauli + "Z" * len(each), [qubit, *each]) for each in subsets]
    return CircuitSpec(
        name="mixed_step",
        circuit=circuit,
        encoding="angle",
        data_qubits=tuple(range(num_data)),
        ancilla_qubits=tuple(range(num_data, total)),
        readout=ExpectationReadout(
            observables=tuple(
                SparsePauliOp.from_sparse_list([(label, qubits, 1.0)], num_qubits=total)
                for label, qubits in terms
            )
        ),
        source="ours: a step of a mixed-state QuDDPM (docs/models/mixed.md)",
    )


def bloch_angles(states: np.ndarray) -> np.ndarray:
    """Return the inputs of :func:`mixed_step` for Bloch vectors.

    Args:
        states: ``(batch, 3 n)``: x, y, z of each qubit, of length at most 1.

    Returns:
        ``(batch, 3 n)`` angles in radians: ``arccos |r|`` of all qubits, then the polar angles from
        +z, then the azimuths.

    >>> np.round(bloch_angles(np.array([[0.0, 0.0, 1.0], [0.5, 0.0, 0.0]])), 4)
    array([[0.    , 0.    , 0.    ],
           [1.0472, 1.5708, 0.    ]])
    """
    x, y, z = np.moveaxis(states.reshape(len(states), -1, 3), 2, 0)
    length = np.sqrt(x * x + y * y + z * z)
    polar = np.arctan2(np.hypot(x, y), z)
    return np.concatenate([np.arccos(np.minimum(length, 1)), polar, np.arctan2(y, x)], axis=1)
