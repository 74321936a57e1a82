"""Data into states: the exact amplitude loader as a parametric circuit.

The loader is the uniformly controlled rotation cascade of Möttönen, Vartiainen, Bergholm and
Salomaa (2004), quant-ph/0407010, with every angle a parameter: one transpiled circuit loads any
vector. Wires are numbered from the most significant bit; see :mod:`qdm_qiskit.circuits.wires`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from ..errors import InvalidData
from .checks import check_counts
from .parameters import input_parameters

__all__ = [
    "amplitude_angles",
    "amplitude_loader",
]


def amplitude_loader(num_qubits: int, *, phases: bool = False) -> QuantumCircuit:
    """Load any vector of ``2**num_qubits`` amplitudes exactly, with angles as parameters.

    Index i of the vector is Qiskit's basis state i. Angles are radians, named ``x_0000 ...`` in
    order of use; :func:`amplitude_angles` computes them from vectors.

    Args:
        num_qubits: Number of qubits, at least 1.
        phases: Also load complex phases (up to a global one) by a second cascade of RZ.

    Returns:
        A circuit of ``2**n - 1`` RY and ``2**n - 2`` CX, and with ``phases`` as many RZ and CX again.

    Raises:
        InvalidTemplate: If ``num_qubits`` is below 1, or more than 10,000 angles are needed.

    References:
        Möttönen et al., quant-ph/0407010, figures 2 and 4.
    """
    # Beyond 64 qubits the number of angles is not worth writing out.
    check_counts("amplitude_loader", most=64, num_qubits=(num_qubits, 1))
    rotations = 2**num_qubits - 1
    names = iter(input_parameters(rotations * (2 if phases else 1)))
    circuit = QuantumCircuit(num_qubits, name="amplitude_loader")
    for level in range(num_qubits):
        _append_multiplexed(circuit, "ry", level, names)
    if phases:
        for level in range(num_qubits):
            _append_multiplexed(circuit, "rz", level, names)
    return circuit


def _append_multiplexed(
    circuit: QuantumCircuit, gate: str, level: int, names: Iterator[Parameter]
) -> None:
    """Append a rotation of wire ``level`` for each state of the wires above, in Gray-code order."""
    target = circuit.num_qubits - 1 - level
    for step in range(2**level):
        getattr(circuit, gate)(next(names), target)
        if level:
            changed = _gray(step) ^ _gray((step + 1) % 2**level)
            # Bit b of the pattern is the wire `level - 1 - b`, qubit `target + 1 + b`.
            circuit.cx(target + 1 + changed.bit_length() - 1, target)


def _gray(index: int) -> int:
    return index ^ (index >> 1)


def _multiplexer_angles(angles: np.ndarray) -> np.ndarray:
    """Return the Gray-code sequence's angles: rotate by ``angles[..., j]`` when controls read j.

    A Walsh-Hadamard transform in Gray order gives them. Its sums are taken pair by pair: the
    rounding of a matrix product depends on how many rows it has, and a batch would not be its rows.
    """
    count = angles.shape[-1]
    step = 1
    while step < count:
        pairs = angles.reshape(*angles.shape[:-1], count // (2 * step), 2, step)
        low, high = pairs[..., 0, :], pairs[..., 1, :]
        angles = np.stack([low + high, low - high], axis=-2).reshape(angles.shape)
        step *= 2
    j = np.arange(count)
    return angles[..., j ^ (j >> 1)] / count


def amplitude_angles(vectors: np.ndarray, num_qubits: int, *, phases: bool = False) -> np.ndarray:
    """Return the angles with which :func:`amplitude_loader` loads each vector.

    Args:
        vectors: ``(batch, 2**num_qubits)``; real (signs are kept), or complex with ``phases``.
            They need not be normalised.
        num_qubits: Number of qubits of the loader.
        phases: The same as for the loader; needed for complex vectors.

    Returns:
        ``(batch, 2**n - 1)`` angles in radians, twice as many with ``phases``.

    Raises:
        InvalidData: If the shape does not fit, a value is not finite, a vector has norm zero, or a
            vector is complex without ``phases``.
    """
    vectors = np.asarray(vectors)
    if not np.issubdtype(vectors.dtype, np.number) and vectors.dtype != bool:
        raise InvalidData(f"Amplitudes are numbers, got an array of {vectors.dtype}.")
    if vectors.ndim != 2 or vectors.shape[1] != 2**num_qubits:
        raise InvalidData(
            f"Amplitudes for {num_qubits} qubits have shape (batch, {2**num_qubits}), "
            f"got {vectors.shape}."
        )
    if np.iscomplexobj(vectors) and not phases:
        raise InvalidData("Complex amplitudes need a loader with phases=True, got complex vectors.")
    if not np.isfinite(vectors).all():
        row = int(np.argwhere(~np.isfinite(vectors))[0][0])
        raise InvalidData(f"Amplitudes must be finite; vector {row} holds NaN or infinity.")
    scale = np.abs(vectors).max(axis=1, keepdims=True)
    if (scale == 0).any():
        row = int(np.argmin(scale[:, 0]))
        raise InvalidData(f"A vector of norm zero is no quantum state; vector {row} is all zeros.")
    # Divided by its largest entry first, so that squares neither overflow nor vanish.
    values = vectors / scale
    magnitudes = np.abs(values)
    lowest = magnitudes if phases else values.real
    levels = []
    norms = magnitudes
    for level in reversed(range(num_qubits)):
        pairs = (lowest if level == num_qubits - 1 else norms).reshape(len(values), 2**level, 2)
        levels.append(_multiplexer_angles(2 * np.arctan2(pairs[..., 1], pairs[..., 0])))
        norms = np.hypot(pairs[..., 0], pairs[..., 1])
    angles = levels[::-1]
    if phases:
        phase = np.angle(values)
        rotations = []
        for level in reversed(range(num_qubits)):
            pairs = phase.reshape(len(values), 2**level, 2)
            rotations.append(_multiplexer_angles(pairs[..., 1] - pairs[..., 0]))
            phase = pairs.mean(axis=-1)
        angles += rotations[::-1]
    return np.concatenate(angles, axis=1)
