"""Number of directions in which a circuit's parameters can move its state: the spectrum of the Fisher
information.

References:
    Haug, Bharti and Kim, arXiv:2102.01659 (effective quantum dimension); Abbas et al.,
    arXiv:2011.00027, for spectra of random initial points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit

from ..circuits import CircuitSpec
from ..engine import compile_circuit, fubini_study_metric
from ..errors import UnsupportedCircuit
from .estimates import Estimate, mean_estimate
from .states import analysed_circuit, random_angles

__all__ = [
    "MAX_ENTRIES",
    "RANK_TOLERANCE",
    "FisherSpectrum",
    "fisher_spectrum",
]

RANK_TOLERANCE = 1e-9
"""Eigenvalues below this share of the largest count as 0; float64 rounding stays below 1e-13."""
MAX_ENTRIES = 2**27
"""Largest number of amplitudes of all derivatives of a state, 2 GiB in complex128."""


@dataclass(frozen=True, eq=False)
class FisherSpectrum:
    """Eigenvalues of the quantum Fisher information at random parameters."""

    eigenvalues: np.ndarray
    """``(samples, parameters)``, falling in each row."""
    rank: Estimate
    """Mean number of independent directions, the effective quantum dimension."""
    largest_rank: int
    """The most that a sample has."""
    bound: int
    """The most that there can be: parameters, or the ``2**(n+1) - 2`` dimensions of pure states."""


def fisher_spectrum(
    source: CircuitSpec | QuantumCircuit,
    *,
    samples: int = 10,
    generator: np.random.Generator,
    start_angle: float = 0.0,
) -> FisherSpectrum:
    """The quantum Fisher information ``4 g`` at random points, ``g`` the Fubini-Study metric.

    Args:
        source: A spec or a circuit; every parameter is drawn uniformly from [0, 2 pi).
        samples: Points, at least 2.
        generator: Of the angles.
        start_angle: RY of this angle in radians on each qubit first.

    Returns:
        Eigenvalues and ranks.

    Raises:
        UnsupportedCircuit: As for :func:`~.states.analysed_circuit`, or if a state's derivatives
            exceed the memory that is allowed for them.
        InvalidOption, InvalidTemplate: As for :func:`~.states.random_states`.
    """
    circuit = analysed_circuit(source, start_angle)
    count, n = circuit.num_parameters, circuit.num_qubits
    if count * 2**n > MAX_ENTRIES:
        raise UnsupportedCircuit(
            f"The derivatives of '{circuit.name}' by {count} parameters on {n} qubits are too many "
            f"to keep (at most {MAX_ENTRIES} amplitudes); use fewer layers or qubits."
        )
    angles = random_angles(circuit, samples, generator)
    program = compile_circuit(circuit, weights=list(circuit.parameters))
    metric = 4 * fubini_study_metric(program, angles).numpy()
    eigenvalues = np.clip(np.linalg.eigvalsh(metric)[:, ::-1], 0.0, None)
    largest = eigenvalues[:, :1]
    ranks = (eigenvalues > RANK_TOLERANCE * np.maximum(largest, 1.0)).sum(axis=1)
    return FisherSpectrum(
        eigenvalues=eigenvalues,
        rank=mean_estimate(ranks.astype(float)),
        largest_rank=int(ranks.max()),
        bound=min(count, 2 ** (n + 1) - 2),
    )
