"""Abilities of a circuit before it is trained: expressibility, entanglement, gradients, geometry."""

from .entanglement import bloch_vectors, entangling_capability, haar_meyer_wallach, meyer_wallach
from .estimates import Estimate
from .expressibility import Expressibility, expressibility
from .geometry import FisherSpectrum, fisher_spectrum
from .gradients import (
    Fit,
    GradientScan,
    gradient_samples,
    gradient_scan,
    gradient_variance,
    haar_gradient_variance,
)
from .states import haar_states, random_states
from .summary import CircuitAnalysis, analyse

__all__ = [
    "CircuitAnalysis",
    "Estimate",
    "Expressibility",
    "FisherSpectrum",
    "Fit",
    "GradientScan",
    "analyse",
    "bloch_vectors",
    "entangling_capability",
    "expressibility",
    "fisher_spectrum",
    "gradient_samples",
    "gradient_scan",
    "gradient_variance",
    "haar_gradient_variance",
    "haar_meyer_wallach",
    "haar_states",
    "meyer_wallach",
    "random_states",
]
