"""Entanglement of a circuit's states, and the places of their one-qubit parts in the Bloch ball.

References:
    Meyer and Wallach, quant-ph/0108104; Brennen, quant-ph/0305094, for the form with purities; Sim,
    Johnson and Aspuru-Guzik, arXiv:1905.10876, section 2.4.
"""

from __future__ import annotations

import numpy as np
import torch
from qiskit import QuantumCircuit
from torch import Tensor

from ..circuits import CircuitSpec
from .estimates import Estimate, mean_estimate
from .states import (
    analysed_circuit,
    check_qubits,
    checked_states,
    chunks,
    compile_random,
    random_angles,
    states_at,
)

__all__ = [
    "ROUNDING",
    "bloch_vectors",
    "entangling_capability",
    "haar_meyer_wallach",
    "meyer_wallach",
    "random_meyer_wallach",
]

ROUNDING = 1e-13
"""Q below this is that of a product state, up to rounding."""


def bloch_vectors(states: Tensor) -> np.ndarray:
    """Bloch vectors of the reduced states of each qubit.

    Args:
        states: ``(samples, 2**n)`` normalised, in Qiskit's order.

    Returns:
        ``(samples, n, 3)``: x, y and z of qubit 0, 1, ...; length 1 where the qubit is not entangled
        with the others, 0 where its reduced state is the mixture of everything.

    Raises:
        InvalidArgument, InvalidData: As for :func:`~.states.checked_states`.
    """
    states = checked_states(states)
    count, n = len(states), int(states.shape[1]).bit_length() - 1
    found = torch.empty(count, n, 3, dtype=torch.float64)
    for qubit in range(n):
        split = states.reshape(count, -1, 2, 2**qubit)
        zero, one = split[:, :, 0], split[:, :, 1]
        coherence = (zero.conj() * one).sum((1, 2))  # <0|rho|1> conjugated
        found[:, qubit, 0] = 2 * coherence.real
        found[:, qubit, 1] = 2 * coherence.imag
        found[:, qubit, 2] = (zero.abs().square() - one.abs().square()).sum((1, 2))
    return found.numpy()


def meyer_wallach(states: Tensor) -> np.ndarray:
    """Meyer and Wallach's Q of each state: 0 for a product, 1 where every qubit is wholly mixed.

    ``Q = (4/n) sum_k (1 - Tr rho_k**2) / 2``, which is 1 minus the mean squared Bloch length.

    Args:
        states: ``(samples, 2**n)`` normalised.

    Returns:
        ``(samples,)`` numbers in [0, 1].
    """
    lengths = (bloch_vectors(states) ** 2).sum(axis=2)
    q = np.clip(1 - lengths.mean(axis=1), 0.0, 1.0)
    return np.where(q < ROUNDING, 0.0, q)


def haar_meyer_wallach(num_qubits: int) -> float:
    """Mean Q of Haar states, ``(2**n - 2) / (2**n + 1)``.

    Raises:
        InvalidOption: If there is no qubit.

    >>> haar_meyer_wallach(4) == 14 / 17
    True
    """
    check_qubits(num_qubits)
    return (2**num_qubits - 2) / (2**num_qubits + 1)


def entangling_capability(
    source: CircuitSpec | QuantumCircuit,
    *,
    samples: int = 1000,
    generator: np.random.Generator,
    start_angle: float = 0.0,
) -> Estimate:
    """Mean Meyer-Wallach Q over random parameters.

    Args:
        source: A spec or a circuit; every parameter is drawn uniformly from [0, 2 pi).
        samples: States, at least 2.
        generator: Of the angles.
        start_angle: RY of this angle in radians on each qubit first.

    Returns:
        The mean with Student's interval; :func:`haar_meyer_wallach` is what it compares with.

    Raises:
        InvalidOption: If there are fewer than 2 samples.
        InvalidTemplate, UnsupportedCircuit: As for :func:`~.states.analysed_circuit`.
    """
    return mean_estimate(
        random_meyer_wallach(source, samples=samples, generator=generator, start_angle=start_angle)
    )


def random_meyer_wallach(
    source: CircuitSpec | QuantumCircuit,
    *,
    samples: int,
    generator: np.random.Generator,
    start_angle: float = 0.0,
) -> np.ndarray:
    """Meyer-Wallach Q at random parameters; all as for :func:`entangling_capability`.

    Returns:
        ``(samples,)`` numbers. States are made and dropped part by part.
    """
    circuit = analysed_circuit(source, start_angle)
    angles = random_angles(circuit, samples, generator)
    program = compile_random(circuit)
    parts = chunks(samples, circuit.num_qubits)
    return np.concatenate([meyer_wallach(states_at(program, angles[part])) for part in parts])
