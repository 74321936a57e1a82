"""Everything that is measured about one circuit, in one go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from ..circuits import CircuitSpec
from ..errors import InvalidOption
from ..progress import Message, Progress, silent
from ..rng import stream
from .entanglement import bloch_vectors, haar_meyer_wallach, random_meyer_wallach
from .estimates import Estimate, mean_estimate, variance_estimate
from .expressibility import Expressibility, expressibility
from .geometry import FisherSpectrum, fisher_spectrum
from .gradients import Cost, gradient_samples, haar_gradient_variance
from .states import analysed_circuit, check_samples, random_states

__all__ = [
    "FISHER_POINTS",
    "OBSERVABLES",
    "SHOWN_STATES",
    "CircuitAnalysis",
    "analyse",
]

OBSERVABLES: tuple[Cost, ...] = ("global", "local")
"""Costs whose gradients are measured, see :data:`~.gradients.Cost`."""
SHOWN_STATES = 400
"""States whose Bloch vectors are kept for the picture."""
FISHER_POINTS = 10
"""Points at which the Fisher information is computed."""


@dataclass(frozen=True, eq=False)
class CircuitAnalysis:
    """Measures of a circuit with random parameters."""

    name: str
    """The circuit's name."""
    num_qubits: int
    """Its qubits."""
    num_parameters: int
    """Its free parameters, inputs and weights."""
    samples: int
    """States of a repeat of the expressibility, and points of the gradients."""
    repeats: int
    """Repeats; entanglement is measured on ``samples * repeats`` states."""
    seed: int
    """Seed of everything."""
    start_angle: float
    """RY of this angle in radians came first on each qubit."""
    expressibility: Expressibility
    """Distance from the Haar measure."""
    entanglement: np.ndarray
    """``(samples * repeats,)`` Meyer-Wallach Q."""
    bloch: np.ndarray
    """``(states, n, 3)`` Bloch vectors of the qubits, for some of the states."""
    gradients: dict[Cost, np.ndarray]
    """``(samples, parameters)`` derivatives for each of :data:`OBSERVABLES`."""
    spectrum: FisherSpectrum
    """Quantum Fisher information."""

    def estimates(self) -> dict[str, tuple[Estimate, float]]:
        """The numbers by name, each with what Haar states give, or its upper bound (Fisher rank)."""
        found = {
            "expressibility_kl": (
                self.expressibility.divergence,
                self.expressibility.haar.value,
            ),
            "frame_potential": (self.expressibility.frame_potential, 1.0),
            "meyer_wallach": (
                mean_estimate(self.entanglement),
                haar_meyer_wallach(self.num_qubits),
            ),
        }
        for k, observable in enumerate(OBSERVABLES):
            values = self.gradients[observable]
            generator = stream(self.seed, "evaluation", 5, k)
            found[f"gradient_variance_{observable}"] = (
                variance_estimate(values, generator),
                haar_gradient_variance(OBSERVABLES[k], self.num_qubits),
            )
        found["fisher_rank"] = (
            self.spectrum.rank,
            float(self.spectrum.bound),
        )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Numbers with intervals and the settings, ready for JSON; without the samples."""
        return {
            "name": self.name,
            "num_qubits": self.num_qubits,
            "num_parameters": self.num_parameters,
            "samples": self.samples,
            "repeats": self.repeats,
            "seed": self.seed,
            "start_angle": self.start_angle,
            "estimates": {
                name: {**estimate.to_dict(), "haar_or_bound": reference}
                for name, (estimate, reference) in self.estimates().items()
            },
        }


def analyse(
    source: CircuitSpec | QuantumCircuit,
    *,
    samples: int = 300,
    repeats: int = 10,
    seed: int = 0,
    start_angle: float = 0.0,
    progress: Progress = silent,
) -> CircuitAnalysis:
    """Measure expressibility, entanglement, gradients and geometry of a circuit.

    Args:
        source: A spec or a circuit; every parameter is drawn uniformly from [0, 2 pi).
        samples: States of a repeat, and points of the gradients, at least 2.
        repeats: Repeats, at least 2.
        seed: An integer >= 0; each measurement has a stream of its own.
        start_angle: RY of this angle in radians on each qubit first.
        progress: Receives what is measured, with the steps done and in all.

    Returns:
        The numbers and what the pictures need.

    Raises:
        InvalidOption: If a number is out of range.
        InvalidTemplate, UnsupportedCircuit: As for :func:`~.states.analysed_circuit`.
    """
    check_samples(samples)
    check_samples(repeats, "repeats")
    if samples * repeats > 10**6:
        raise InvalidOption(
            f"samples * repeats is at most 1,000,000, got {samples} * {repeats}; take fewer."
        )
    circuit = analysed_circuit(source, start_angle)
    steps = repeats + 2 + len(OBSERVABLES)

    def tell(what: str, done: int) -> None:
        progress(Message(what, done, steps))

    tell("expressibility", 0)
    found = expressibility(
        circuit,
        samples=samples,
        repeats=repeats,
        generator=stream(seed, "evaluation", 0),
        progress=lambda part: tell(part, part.done or 0),
    )
    tell("entanglement", repeats)
    entanglement = random_meyer_wallach(
        circuit, samples=samples * repeats, generator=stream(seed, "evaluation", 1)
    )
    shown = random_states(circuit, min(samples, SHOWN_STATES), stream(seed, "evaluation", 2))
    gradients: dict[Cost, np.ndarray] = {}
    for k, observable in enumerate(OBSERVABLES):
        tell(f"gradients, {observable} cost", repeats + 1 + k)
        gradients[observable] = gradient_samples(
            circuit, observable, samples=samples, generator=stream(seed, "evaluation", 3, k)
        )
    tell("Fisher information", steps - 1)
    spectrum = fisher_spectrum(
        circuit, samples=FISHER_POINTS, generator=stream(seed, "evaluation", 4)
    )
    tell("done", steps)
    return CircuitAnalysis(
        name=circuit.name,
        num_qubits=circuit.num_qubits,
        num_parameters=circuit.num_parameters,
        samples=samples,
        repeats=repeats,
        seed=seed,
        start_angle=start_angle,
        expressibility=found,
        entanglement=entanglement,
        bloch=bloch_vectors(shown),
        gradients=gradients,
        spectrum=spectrum,
    )
