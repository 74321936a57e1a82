"""Counts as arrays: checks of a runner's input, and the order of its output.

An outcome's index is the integer of its bit string, with classical bit 0 the least significant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import BitArray

from ..arguments import of_kind, wrong
from ..errors import InvalidData, InvalidOption, UnsupportedCircuit

__all__ = [
    "MAX_CLBITS",
    "Pub",
    "checked_circuit",
    "checked_pubs",
    "checked_shots",
    "checked_values",
    "counts_from_bits",
    "counts_from_hex",
    "parameter_binds",
]

MAX_CLBITS = 20
"""Counts are dense arrays: 2**20 outcomes of 8 bytes are 8 MiB for each row of values."""

Pub = tuple[QuantumCircuit, np.ndarray]
"""A circuit and the ``(batch, num_parameters)`` values that it is run with."""


def checked_shots(shots: int) -> int:
    """Return the shots, if they are an integer >= 1.

    Raises:
        InvalidOption: Otherwise.
    """
    if isinstance(shots, bool) or not isinstance(shots, int | np.integer) or shots < 1:
        raise InvalidOption(f"shots must be at least 1, got {shots}.")
    return int(shots)


def checked_pubs(pubs: Sequence[Pub]) -> list[Pub]:
    """Return the circuits and their values as float64 arrays.

    Raises:
        InvalidData: If there is no pub, or values have a wrong shape or are not finite.
        UnsupportedCircuit: If a circuit does not have exactly one classical register.
    """
    if isinstance(pubs, QuantumCircuit) or not isinstance(pubs, Sequence):
        raise wrong(pubs, "pubs", "a list of (circuit, values) pairs")
    if not pubs:
        raise InvalidData("A run needs at least one circuit, got none.")
    for pub in pubs:
        if not isinstance(pub, tuple | list) or len(pub) != 2:
            raise wrong(pub, "pubs", "a list of (circuit, values) pairs")
    return [(checked_circuit(circuit), checked_values(circuit, v)) for circuit, v in pubs]


def checked_circuit(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit, if its outcomes can be counted in one dense array.

    Raises:
        UnsupportedCircuit: Without exactly one register that holds all classical bits.
    """
    of_kind(circuit, QuantumCircuit, "circuit")
    if len(circuit.cregs) != 1 or circuit.cregs[0].size != circuit.num_clbits:
        raise UnsupportedCircuit(
            "A circuit to run needs one classical register holding all its bits, got "
            f"{[r.name for r in circuit.cregs]} and {circuit.num_clbits} bits; use measure_all()."
        )
    if circuit.num_clbits > MAX_CLBITS:
        raise UnsupportedCircuit(
            f"Counts are kept for at most {MAX_CLBITS} measured bits, got {circuit.num_clbits}; "
            "measure fewer qubits."
        )
    return circuit


def checked_values(circuit: QuantumCircuit, values: np.ndarray) -> np.ndarray:
    """Return the values as a finite ``(batch, num_parameters)`` float64 array.

    Raises:
        InvalidData: Otherwise; also if a circuit without parameters gets more than one row,
            since the rows could not differ (ask for more shots instead).
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != circuit.num_parameters or len(array) == 0:
        raise InvalidData(
            f"Circuit '{circuit.name}' needs values of shape (batch, {circuit.num_parameters}) "
            f"with batch >= 1, got {array.shape}."
        )
    if not np.isfinite(array).all():
        raise InvalidData(f"Values for circuit '{circuit.name}' must be finite, got NaN or inf.")
    if circuit.num_parameters == 0 and len(array) > 1:
        raise InvalidData(
            f"Circuit '{circuit.name}' has no parameters and takes one row, got {len(array)}; "
            "raise shots instead."
        )
    return array


def parameter_binds(circuit: QuantumCircuit, values: np.ndarray) -> dict[object, list[float]]:
    """Return Aer's form of ``values``: for each parameter the list of its value in each row."""
    return {p: values[:, i].tolist() for i, p in enumerate(circuit.parameters)}


def counts_from_hex(counts: Mapping[str, int], num_clbits: int) -> np.ndarray:
    """Return dense ``(2**num_clbits,)`` int64 counts from Aer's ``{"0x2a": 7}``.

    >>> counts_from_hex({"0x0": 1, "0x3": 2}, 2).tolist()
    [1, 0, 0, 2]
    """
    dense = np.zeros(1 << num_clbits, dtype=np.int64)
    for key, count in counts.items():
        dense[int(key, 16)] += count
    return dense


def counts_from_bits(bits: BitArray) -> np.ndarray:
    """Dense ``(batch, 2**num_bits)`` int64 counts from a primitive's result of shape ``(batch,)``.

    A result of shape ``()`` gives one row.
    """
    # BitArray holds the bytes of each shot, most significant first: (..., shots, num_bytes).
    shots = bits.array.reshape(-1, bits.num_shots, bits.array.shape[-1])
    index = np.zeros(shots.shape[:2], dtype=np.int64)
    for byte in range(shots.shape[-1]):
        index = (index << 8) | shots[:, :, byte]
    index &= (1 << bits.num_bits) - 1  # ``~bits`` also sets the padding of the first byte
    return np.stack([np.bincount(row, minlength=1 << bits.num_bits) for row in index])
