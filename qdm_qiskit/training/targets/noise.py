"""Noise models for training: a part of a device's noise, and its errors as drawn Paulis."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import IGate, PauliGate

from ...engine.noise.channels import channel_of_error

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel
    from qiskit_aer.noise.errors import QuantumError

__all__ = ["confusion_of", "pauli_shares", "scaled", "twirled"]


def scaled(noise: NoiseModel, scale: float) -> NoiseModel:
    """Return a model whose every error acts with a share of its chance.

    Args:
        noise: Errors of gates on places and for all places, and readout errors of single qubits.
        scale: 0 to 1; an error E becomes ``(1 - scale) I + scale E``.
    """
    if scale == 1:
        return noise
    return _changed(noise, lambda error: _mixed(error, scale), scale)


def twirled(noise: NoiseModel) -> NoiseModel:
    """Return a model whose errors are the Pauli channels that twirling makes of them.

    Each has the chances of :func:`pauli_shares`; readout errors stay.

    Raises:
        UnsupportedCircuit: If an error is no completely positive, trace-preserving map.
    """
    known: dict[int, QuantumError] = {}

    def change(error: QuantumError) -> QuantumError:
        if id(error) not in known:
            known[id(error)] = _pauli_error(error)
        return known[id(error)]

    return _changed(noise, change, 1.0)


def pauli_shares(error: QuantumError) -> dict[str, float]:
    """Return the chance of each Pauli string in the twirl of an error, by Qiskit's labels.

    The diagonal of the error's Pauli transfer matrix, of which the chances are the Walsh-Hadamard
    transform.

    Raises:
        UnsupportedCircuit: If it is no completely positive, trace-preserving map.
    """
    n = error.num_qubits
    diagonal = np.diagonal(channel_of_error(error).transfer)
    digits = list(product(range(4), repeat=n))  # the last qubit first, as in labels
    shares = {}
    for row in digits:
        signs = [
            np.prod([_sign(a, b) for a, b in zip(row, column, strict=True)]) for column in digits
        ]
        share = float(np.dot(signs, diagonal)) / 4**n
        if share > 1e-15:
            shares["".join("IXYZ"[k] for k in row)] = share
    return shares


def _sign(a: int, b: int) -> int:
    return 1 if a == 0 or b == 0 or a == b else -1


def confusion_of(noise: NoiseModel, qubit: int) -> np.ndarray:
    """Return a qubit's assignment matrix ``[true, read]``."""
    found = noise._local_readout_errors.get((qubit,), noise._default_readout_error)
    return np.eye(2) if found is None else np.asarray(found.probabilities, dtype=np.float64)


def _changed(
    noise: NoiseModel, change: Callable[[QuantumError], QuantumError], readout: float
) -> NoiseModel:
    """Return a model of changed errors, without the passes that add noise to delays."""
    from qiskit_aer.noise import NoiseModel, ReadoutError

    found = NoiseModel(basis_gates=noise.basis_gates)
    for name, error in noise._default_quantum_errors.items():
        found.add_all_qubit_quantum_error(change(error), name)
    for name, places in noise._local_quantum_errors.items():
        for where, error in places.items():
            found.add_quantum_error(change(error), name, where)

    def part(matrix: np.ndarray) -> ReadoutError:
        return ReadoutError((1 - readout) * np.eye(len(matrix)) + readout * matrix)

    if noise._default_readout_error is not None:
        found.add_all_qubit_readout_error(
            part(np.asarray(noise._default_readout_error.probabilities))
        )
    for where, error in noise._local_readout_errors.items():
        found.add_readout_error(part(np.asarray(error.probabilities)), where)
    return found


def _mixed(error: QuantumError, scale: float) -> QuantumError:
    from qiskit_aer.noise.errors import QuantumError

    nothing = QuantumCircuit(error.num_qubits)
    nothing.append(IGate(), [0])
    parts = [(nothing, 1 - scale)]
    pairs = zip(error.circuits, error.probabilities, strict=True)
    return QuantumError(parts + [(circuit, scale * share) for circuit, share in pairs])


def _pauli_error(error: QuantumError) -> QuantumError:
    from qiskit_aer.noise.errors import QuantumError

    parts = []
    for label, share in pauli_shares(error).items():
        one = QuantumCircuit(error.num_qubits)
        one.append(PauliGate(label), range(error.num_qubits))
        parts.append((one, share))
    total = sum(share for _, share in parts)
    return QuantumError([(circuit, share / total) for circuit, share in parts])
