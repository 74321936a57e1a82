"""Circuit templates: plain parameterized ``QuantumCircuit`` objects and the roles of their parts.

>>> eeqdm(num_data=2, depth=10)
<CircuitSpec: eeqdm, 3 qubits, 60 weights, 0 inputs, 4 probabilities of q[1], q[2], where q[0] = 0>
"""

from .angle_encodings import (
    angle_encoding,
    basis_angles,
    basis_encoding,
    dense_angle_encoding,
    phase_encoding,
)
from .ansatz_denoisers import ansatz_denoiser
from .ansatzes import basic_entangling_layers, hamiltonian_variational, hardware_efficient
from .blocks import alternating_layers, conv_unit, identity_block, phase_mixing, qamp_layers
from .catalog import CIRCUITS, TEMPLATES, Template, template
from .coupling import device_region, working_couplings
from .encodings import amplitude_angles, amplitude_loader
from .entanglers import pairwise_bell_stage, strongly_entangling_layers
from .hierarchical import mera, qcnn
from .hybrid_convolutions import basic_convolution, fqconv, hqconv
from .image_denoisers import eeqdm, qddm
from .koelle import q_dense, quantum_convolution
from .line import line, line_amplitudes
from .loaders import LOADERS, ExactLoader, Loader, make_loader
from .parameters import input_parameters, weight_parameters
from .readouts import ExpectationReadout, ProbabilityReadout, z_readout
from .spec import CircuitSpec, register_spec
from .state_denoisers import (
    cacioppo_blocks,
    cacioppo_denoiser,
    conditioned_latent_denoiser,
    qamp_blocks,
    qamp_denoiser,
)
from .wires import wire_to_qubit

__all__ = [
    "CIRCUITS",
    "LOADERS",
    "TEMPLATES",
    "CircuitSpec",
    "ExactLoader",
    "ExpectationReadout",
    "Loader",
    "ProbabilityReadout",
    "Template",
    "alternating_layers",
    "amplitude_angles",
    "amplitude_loader",
    "angle_encoding",
    "ansatz_denoiser",
    "basic_convolution",
    "basic_entangling_layers",
    "basis_angles",
    "basis_encoding",
    "cacioppo_blocks",
    "cacioppo_denoiser",
    "conditioned_latent_denoiser",
    "conv_unit",
    "dense_angle_encoding",
    "device_region",
    "eeqdm",
    "fqconv",
    "hamiltonian_variational",
    "hardware_efficient",
    "hqconv",
    "identity_block",
    "input_parameters",
    "line",
    "line_amplitudes",
    "make_loader",
    "mera",
    "pairwise_bell_stage",
    "phase_encoding",
    "phase_mixing",
    "q_dense",
    "qamp_blocks",
    "qamp_denoiser",
    "qamp_layers",
    "qcnn",
    "qddm",
    "quantum_convolution",
    "register_spec",
    "strongly_entangling_layers",
    "template",
    "weight_parameters",
    "wire_to_qubit",
    "working_couplings",
    "z_readout",
]
