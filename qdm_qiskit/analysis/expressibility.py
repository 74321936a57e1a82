"""Evenness with which a circuit's states cover all states: fidelities of random pairs against Haar's.

References:
    Sim, Johnson and Aspuru-Guzik, arXiv:1905.10876, section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit
from torch import Tensor

from ..arguments import real_array, whole_number
from ..circuits import CircuitSpec
from ..errors import InvalidData, InvalidOption
from ..progress import Message, Progress, silent
from .estimates import Estimate, mean_estimate
from .states import (
    analysed_circuit,
    check_qubits,
    check_samples,
    check_size,
    checked_states,
    compile_random,
    haar_states,
    random_angles,
    states_at,
)

__all__ = [
    "FLOOR",
    "Expressibility",
    "expressibility",
    "haar_fidelity_probabilities",
    "kl_divergence",
    "pair_fidelities",
]

FLOOR = 1e-10
"""Added to both distributions, so that an empty bin has a logarithm."""


@dataclass(frozen=True, eq=False)
class Expressibility:
    """Distance of a circuit's states from the Haar measure."""

    divergence: Estimate
    """Kullback-Leibler divergence, in nats, of the histogram of fidelities from Haar's: small is
    expressive. The histogram of finitely many pairs alone makes it positive: see ``haar``."""
    haar: Estimate
    """The same recipe on Haar states: what a perfectly expressive circuit would score."""
    frame_potential: Estimate
    """Mean squared fidelity over that of Haar states: 1 for a 2-design, above 1 otherwise. Needs no
    bins, so it still tells circuits apart where all fidelities fall into the first one."""
    histogram: np.ndarray
    """``(bins,)`` frequencies of the fidelities, bins of equal width over [0, 1]."""
    haar_histogram: np.ndarray
    """``(bins,)`` exact Haar probabilities."""


def pair_fidelities(states: Tensor) -> np.ndarray:
    """Fidelities ``|<a|b>|**2`` of all pairs.

    Args:
        states: ``(samples, 2**n)`` normalised.

    Returns:
        ``(samples * (samples - 1) / 2,)`` numbers in [0, 1].
    """
    states = checked_states(states, least_qubits=0)
    gram = (states @ states.conj().T).abs().square().numpy()
    return np.clip(gram[np.triu_indices(len(gram), k=1)], 0.0, 1.0)


def haar_fidelity_probabilities(bins: int, num_qubits: int) -> np.ndarray:
    """Probability of each bin of equal width over [0, 1] for the fidelity of two Haar states.

    The density is ``(N - 1)(1 - F)**(N - 2)`` with N = 2**num_qubits; this is its exact integral.

    Returns:
        ``(bins,)`` with sum 1.

    Raises:
        InvalidOption: If there is no bin or no qubit.
    """
    check_qubits(num_qubits)
    if whole_number(bins, "bins") < 1:
        raise InvalidOption(f"bins must be at least 1, got {bins}.")
    left = 1 - np.linspace(0, 1, bins + 1)
    return -np.diff(left ** (2**num_qubits - 1))


def kl_divergence(p: np.ndarray, q: np.ndarray, floor: float = FLOOR) -> float:
    """``sum p ln(p / q)`` in nats, with a floor added to both.

    Args:
        p: ``(bins,)`` frequencies.
        q: ``(bins,)`` probabilities.
        floor: What is added.

    Raises:
        InvalidData: If the shapes differ, or a number is negative.

    >>> round(kl_divergence(np.array([1.0, 0.0]), np.array([0.5, 0.5])), 6)
    0.693147
    """
    p, q = real_array(p, "p"), real_array(q, "q")
    # Written so that NaN does not pass.
    if p.shape != q.shape or p.ndim != 1 or not ((p >= 0).all() and (q >= 0).all()):
        raise InvalidData(
            f"Two histograms have one shape and no negative entry, got {p.shape} and {q.shape}."
        )
    p, q = p + floor, q + floor
    return max(0.0, float(np.sum(p * np.log(p / q))))  # rounding may lie below 0


def expressibility(
    source: CircuitSpec | QuantumCircuit,
    *,
    samples: int = 300,
    repeats: int = 10,
    bins: int = 75,
    generator: np.random.Generator,
    start_angle: float = 0.0,
    progress: Progress = silent,
) -> Expressibility:
    """Expressibility with its sampling error.

    Each repeat draws ``samples`` states and takes all pairs of them; the repeats are independent, so
    their scatter gives the interval whatever the pairs of one repeat have in common.

    Args:
        source: A spec or a circuit; every parameter is drawn uniformly from [0, 2 pi).
        samples: States of a repeat, at least 2.
        repeats: Independent repeats, at least 2.
        bins: Bins of the histogram over [0, 1], at least 2.
        generator: Of all angles and Haar states.
        start_angle: RY of this angle in radians on each qubit first.
        progress: Receives each repeat that is done.

    Returns:
        Divergence, its floor, frame potential and histograms over all repeats.

    Raises:
        InvalidOption: If a number is out of range.
        InvalidTemplate, UnsupportedCircuit: As for :func:`~.states.analysed_circuit`.
    """
    check_samples(samples)
    check_samples(repeats, "repeats")
    if not 2 <= whole_number(bins, "bins") <= 10**5:
        raise InvalidOption(f"bins must be 2 to 100,000, got {bins}.")
    circuit = analysed_circuit(source, start_angle)
    program, n = compile_random(circuit), circuit.num_qubits
    check_size(samples, max(samples, 2**n))
    exact = haar_fidelity_probabilities(bins, n)
    squared = 2 / (2**n * (2**n + 1))  # mean squared fidelity of Haar states
    histograms, potentials, floors = [], [], []
    for repeat in range(repeats):
        found = pair_fidelities(states_at(program, random_angles(circuit, samples, generator)))
        histograms.append(_frequencies(found, bins))
        potentials.append((found**2).mean() / squared)
        random = pair_fidelities(haar_states(n, samples, generator))
        floors.append(kl_divergence(_frequencies(random, bins), exact))
        progress(Message("expressibility", repeat + 1, repeats))
    return Expressibility(
        divergence=mean_estimate(np.array([kl_divergence(each, exact) for each in histograms])),
        haar=mean_estimate(np.array(floors)),
        frame_potential=mean_estimate(np.array(potentials)),
        histogram=np.mean(histograms, axis=0),
        haar_histogram=exact,
    )


def _frequencies(fidelities: np.ndarray, bins: int) -> np.ndarray:
    return np.histogram(fidelities, bins=bins, range=(0.0, 1.0))[0] / len(fidelities)
