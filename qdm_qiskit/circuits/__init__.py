"""Circuit templates: plain parameterized ``QuantumCircuit`` objects and the roles of their parts."""

from .catalog import TEMPLATES, Template, template
from .encodings import amplitude_angles, amplitude_loader
from .entanglers import pairwise_bell_stage, strongly_entangling_layers
from .image_denoisers import eeqdm, qddm
from .parameters import input_parameters, weight_parameters
from .spec import CircuitSpec, ExpectationReadout, ProbabilityReadout, wire_to_qubit

__all__ = [
    "TEMPLATES",
    "CircuitSpec",
    "ExpectationReadout",
    "ProbabilityReadout",
    "Template",
    "amplitude_angles",
    "amplitude_loader",
    "eeqdm",
    "input_parameters",
    "pairwise_bell_stage",
    "qddm",
    "strongly_entangling_layers",
    "template",
    "weight_parameters",
    "wire_to_qubit",
]
