"""The coherent part of a noise model: what twirling and pulses could undo."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from .channels import channel_of_error, pauli_strings

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel
    from qiskit_aer.noise.errors import QuantumError

__all__ = ["coherent_part"]


def coherent_part(noise: NoiseModel, instructions: tuple[str, ...] | None = None) -> float:
    """Return how far a noise model's errors turn states, rather than mix or relax them.

    A channel is a sum of ``chi[i, j] P_i rho P_j`` over Pauli strings. Imaginary parts of chi between
    the identity and another string are a Hamiltonian's: a rotation by an angle has half its sine
    there. Mixtures of Paulis and relaxation have none.

    Args:
        noise: The model.
        instructions: Names of the instructions whose errors count; all if None.

    Returns:
        The largest sine of any error; 0 for models such as Aer's of a snapshot.
    """
    largest = max((_sine(each) for each in _errors(noise, instructions)), default=0.0)
    return largest if largest > 1e-9 else 0.0  # rounding of the matrices


def _errors(noise: NoiseModel, instructions: tuple[str, ...] | None) -> list[QuantumError]:
    found = [
        (name, error)
        for name, places in noise._local_quantum_errors.items()
        for error in places.values()
    ]
    found += list(noise._default_quantum_errors.items())
    return [error for name, error in found if instructions is None or name in instructions]


def _sine(error: QuantumError) -> float:
    transfer = channel_of_error(error).transfer
    chi = np.einsum("jab,ab->j", _from_the_right(error.num_qubits).conj(), transfer)
    return 2 * float(np.abs(chi.imag).max())


@cache
def _from_the_right(num_qubits: int) -> np.ndarray:
    """Return for each string P_j the matrix of rho -> rho P_j, over d**2, ``(4**k, 4**k, 4**k)``."""
    strings = pauli_strings(num_qubits)
    d = 2**num_qubits
    products = np.einsum("bkl,jlm->jbkm", strings, strings)
    return np.einsum("amk,jbkm->jab", strings, products) / d**3
