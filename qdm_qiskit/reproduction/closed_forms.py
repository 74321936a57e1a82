"""Circuits and processes beside the formulas of the papers, which are written out here once more.

A check that ends in ``distance`` returns the largest absolute difference of two ways to the same
numbers: ours, and the formula by numpy.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Pauli, Statevector

from ..analysis import haar_meyer_wallach, haar_states
from ..circuits import conv_unit as build_conv_unit
from ..circuits import eeqdm, strongly_entangling_layers
from ..circuits.parameters import weight_parameters
from ..diffusion import DiffusionConfig, make_process
from ..diffusion.depolarizing import closed_form
from ..diffusion.interpolated import InterpolatedNoise
from ..diffusion.noise_prediction import NoisePrediction
from ..diffusion.states import ComplexGaussian
from ..engine import compile_circuit
from ..engine.primitives.fubini_study import fubini_study_metric
from ..models import build_model, resolve
from ..models.koelle_dense import UnitaryQDense
from ..training.weight_average import WeightAverage

__all__ = [
    "average_decay",
    "chain_matrix",
    "conv_unit",
    "depolarizing",
    "haar_entanglement",
    "loss_weight",
    "noise_weight",
    "posterior_mean",
    "product_metric",
    "second_half",
    "strongly_entangling",
]


def strongly_entangling(*, num_wires: int, depth: int, seed: int) -> float:
    """Return the distance of strongly entangling layers from their definition, as unitaries.

    Layer l: RZ(omega) RY(theta) RZ(phi) on each wire, then CNOTs from wire i to i + r mod m with
    r = l mod (m - 1) + 1. Wire 0 is the most significant bit.
    """
    m = num_wires
    angles = np.random.default_rng(seed).uniform(-3, 3, (depth, m, 3))
    ours = Operator(strongly_entangling_layers(m, depth).assign_parameters(angles.ravel())).data
    formula = np.eye(2**m, dtype=complex)
    for layer, rows in enumerate(angles):
        turned = np.eye(1)
        for phi, theta, omega in rows:
            turned = np.kron(turned, _rz(omega) @ _ry(theta) @ _rz(phi))
        formula = turned @ formula
        if m > 1:
            r = layer % (m - 1) + 1
            for wire in range(m):
                formula = formula[_cnot(wire, (wire + r) % m, m)]
    return float(np.abs(ours - formula).max())


def _rz(angle: float) -> np.ndarray:
    return np.diag(np.exp([-0.5j * angle, 0.5j * angle]))


def _ry(angle: float) -> np.ndarray:
    c, s = math.cos(angle / 2), math.sin(angle / 2)
    return np.array([[c, -s], [s, c]])


def _cnot(control: int, target: int, wires: int) -> np.ndarray:
    """Return the order in which a CNOT, its own inverse, puts amplitudes."""
    index = np.arange(2**wires)
    on = index >> (wires - 1 - control) & 1
    return index ^ (on << (wires - 1 - target))


def second_half(*, num_data: int, depth: int, draws: int, seed: int) -> float:
    """Return how far EEQDM's weights move the distribution over the second half of its data wires.

    The largest range of a probability over random weights, for one random image.
    """
    random = np.random.default_rng(seed)
    spec = eeqdm(num_data, depth)
    image = random.uniform(size=2**num_data)
    start = np.kron(image / np.linalg.norm(image), [1, 0])  # the ancilla is the last bit
    rows = []
    for _ in range(draws):
        weights = random.uniform(-np.pi, np.pi, len(spec.weights))
        bound = spec.circuit.assign_parameters(dict(zip(spec.weights, weights, strict=True)))
        state = Statevector(start).evolve(bound)
        first = (num_data + 1) // 2  # wires of the first half; the second ends above the ancilla
        rows.append(state.probabilities(range(1, 1 + num_data - first)))
    return float(np.ptp(rows, axis=0).max())


def conv_unit(*, sign: float, seed: int) -> float:
    """Return the distance of the published ConvUnit from the exponential with a sign, as unitaries.

    ``exp(-i pi/4) exp(sign i (alpha XX + beta YY + gamma ZZ))``, at random angles.
    """
    gamma, alpha, beta = np.random.default_rng(seed).uniform(-1, 1, 3)
    ours = Operator(build_conv_unit().assign_parameters([gamma, alpha, beta])).data
    formula = np.eye(4, dtype=complex)
    for angle, name in ((alpha, "XX"), (beta, "YY"), (gamma, "ZZ")):  # the three commute
        pauli = Pauli(name).to_matrix()
        formula = formula @ (np.cos(angle) * np.eye(4) + 1j * sign * np.sin(angle) * pauli)
    return float(np.abs(ours - np.exp(-0.25j * np.pi) * formula).max())


def chain_matrix(*, image_size: int, depth: int, steps: int, seed: int) -> float:
    """Return the distance of a unitary Q-Dense's chain as one matrix from its steps by Qiskit."""
    choice = resolve("q_dense_unitary", {"image_size": image_size, "depth": depth})
    model = build_model(choice, generator=torch.Generator().manual_seed(seed))
    assert isinstance(model, UnitaryQDense)
    angles = model.layer.angles().detach().double().numpy().ravel()
    step = Operator(model.layer.spec.circuit.assign_parameters(angles)).data
    state = haar_states(model.layer.spec.num_qubits, 1, np.random.default_rng(seed))[0].numpy()
    matrix = model.chain_matrix(steps).numpy() @ state
    for _ in range(steps):
        state = step @ state
    return float(np.abs(matrix - state).max())


def product_metric(*, qubits: int, seed: int) -> float:
    """Return the distance of the Fubini-Study metric of RY on each qubit from I/4."""
    circuit = QuantumCircuit(qubits)
    angles = weight_parameters(qubits)
    for qubit, angle in enumerate(angles):
        circuit.ry(angle, qubit)
    program = compile_circuit(circuit, [], angles)
    weights = torch.rand(qubits, generator=torch.Generator().manual_seed(seed)).double()
    metric = fubini_study_metric(program, weights)[0]
    return float((metric - torch.eye(qubits) / 4).abs().max())


def haar_entanglement(*, qubits: int) -> float:
    """Return the mean Meyer-Wallach Q of Haar states."""
    return haar_meyer_wallach(qubits)


def loss_weight(*, steps: int) -> float:
    """Return the distance of De Falco's loss weight from 1 - alpha_bar of a cosine schedule.

    ``alpha_bar`` is the product of ``1 - min(1 - f(t)/f(t-1), 0.999)`` with ``f(t) = cos^2((t/T +
    0.008)/1.008 pi/2)``.
    """
    t = np.arange(steps + 1) / steps
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    signal = np.cumprod(1 - np.minimum(1 - f[1:] / f[:-1], 0.999))
    ours = NoisePrediction(steps).weights(torch.arange(1, steps + 1)).double().numpy()
    return float(np.abs(ours - (1 - signal)).max())


def noise_weight(*, steps: int, step: int) -> float:
    """Return Koelle's share of noise at a step of T."""
    return float(InterpolatedNoise(steps).weights()[step])


def posterior_mean(*, steps: int, beta: float) -> float:
    """Return the distance of mu_t from the mean of x_{t-1} given x_t and x_0, at all t above 1.

    The latter by the product of two normal densities: x_{t-1} given x_0, and x_t given x_{t-1}.
    """
    process = make_process(
        DiffusionConfig(
            process="complex_gaussian",
            schedule="constant",
            num_steps=steps,
            beta_start=beta,
            beta_end=beta,
        )
    )
    assert isinstance(process, ComplexGaussian)
    x_0, x_t = 0.7 - 0.2j, -0.4 + 1.1j
    worst = 0.0
    for t in range(2, steps + 1):
        before = (1 - beta) ** (t - 1)
        first, second = 1 / (1 - before), (1 - beta) / beta  # precisions of x_{t-1}
        mean = (first * math.sqrt(before) * x_0 + second * x_t / math.sqrt(1 - beta)) / (
            first + second
        )
        start, now = (torch.tensor([[each]], dtype=torch.complex128) for each in (x_0, x_t))
        ours = complex(process.posterior_mean(start, now, torch.tensor([t]))[0, 0])
        worst = max(worst, abs(ours - mean))
    return worst


def average_decay(*, step: int) -> float:
    """Return the share of De Falco's average of weights that an update at a step keeps."""
    return WeightAverage(build_model(resolve("eeqdm", {"image_size": 2, "depth": 1}))).decay(step)


def depolarizing(*, qubits: int, steps: int, seed: int) -> float:
    """Return the distance of a_t rho_0 + (1 - a_t) I/d from steps of the channel, one by one.

    A step keeps the state with probability 1 - p and puts the maximally mixed one in its place.
    """
    psi = haar_states(qubits, 1, np.random.default_rng(seed))[0].to(torch.complex128)
    rho_0 = torch.outer(psi, psi.conj())
    mixed = torch.eye(2**qubits, dtype=torch.complex128) / 2**qubits
    rho, signal = rho_0, 1.0
    for p in np.random.default_rng(seed).uniform(0, 0.5, steps):
        rho = (1 - p) * rho + p * mixed
        signal *= 1 - p
    return float((rho - closed_form(rho_0, signal)).abs().max())
