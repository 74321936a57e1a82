"""Denoisers of any ansatz and encoding: their states by hand, their counts, their training."""

from __future__ import annotations

from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector

from qdm_qiskit.circuits import hardware_efficient, mera, qcnn
from qdm_qiskit.circuits.ansatz_denoisers import ANSATZES, Ansatz, Entry, ansatz_denoiser
from qdm_qiskit.errors import InvalidOption, InvalidTemplate
from qdm_qiskit.models import build_model, resolve

SOME = list(zip(("amplitude", "angle", "dense_angle", "phase") * 2, get_args(Ansatz), strict=False))


def test_each_ansatz_has_circuits():
    assert set(ANSATZES) == set(get_args(Ansatz))


@pytest.mark.parametrize(("encoding", "ansatz"), list(product(get_args(Entry), get_args(Ansatz))))
def test_every_pair_is_a_circuit_with_weights_for_each_upload(encoding, ansatz):
    spec = ansatz_denoiser(16, 4, 1, encoding=encoding, ansatz=ansatz)
    own = sum(each.num_parameters for each in ANSATZES[ansatz](4, 1))
    uploads = {"amplitude": 1, "angle": 4, "dense_angle": 2, "phase": 4}[encoding]
    assert len(spec.weights) == uploads * own
    assert len(spec.inputs) == (0 if encoding == "amplitude" else 16)


@pytest.mark.parametrize(("encoding", "ansatz"), SOME)
def test_each_ansatz_trains_as_a_model_by_name(encoding, ansatz):
    options = {"image_size": 4, "encoding": encoding, "ansatz": ansatz, "depth": 1}
    generator = torch.Generator().manual_seed(0)
    model = build_model(resolve("ansatz_denoiser", options), generator=generator)
    x = torch.rand(3, 1, 4, 4, generator=generator)
    found = model(x, torch.ones(3))
    assert found.shape == x.shape
    assert bool(((found >= 0) & (found <= 1)).all())
    (found - x).square().mean().backward()
    assert float(model.layer.weights.grad.abs().sum()) > 1e-6


def gates(encoding: str, pixels: np.ndarray, num_wires: int) -> np.ndarray:
    """The encoding of some pixels as a matrix, by Kronecker products: wire 0 first."""
    one = {
        "rx": lambda a: np.array(
            [[np.cos(a / 2), -1j * np.sin(a / 2)], [-1j * np.sin(a / 2), np.cos(a / 2)]]
        ),
        "ry": lambda a: np.array([[np.cos(a / 2), -np.sin(a / 2)], [np.sin(a / 2), np.cos(a / 2)]]),
        "p": lambda a: np.diag([1, np.exp(1j * a)]),
    }
    hadamard = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    found = np.eye(1)
    per = 2 if encoding == "dense_angle" else 1
    for wire in range(num_wires):
        values = pixels[per * wire : per * (wire + 1)]
        gate = np.eye(2)
        if encoding == "dense_angle":
            for make, value in zip((one["ry"], one["p"]), values, strict=False):
                gate = make(value) @ gate
        elif len(values):
            gate = one["rx"](values[0]) if encoding == "angle" else one["p"](values[0]) @ hadamard
        found = np.kron(found, gate)
    return found


@pytest.mark.parametrize("encoding", ["angle", "dense_angle", "phase"])
def test_state_is_that_of_uploads_and_ansatzes_by_matrices(encoding):
    """Nine pixels on four wires: the last upload leaves wires alone."""
    rng = np.random.default_rng(3)
    spec = ansatz_denoiser(9, 4, 1, encoding=encoding, ansatz="hardware_efficient")
    pixels = rng.uniform(0, np.pi, 9)
    weights = rng.uniform(-np.pi, np.pi, len(spec.weights))
    at_once = 8 if encoding == "dense_angle" else 4
    ansatz: QuantumCircuit = hardware_efficient(4, 1)
    own = ansatz.num_parameters
    state = np.eye(16)[0]
    for upload in range(-(-9 // at_once)):
        state = gates(encoding, pixels[upload * at_once : (upload + 1) * at_once], 4) @ state
        bound = ansatz.assign_parameters(weights[upload * own : (upload + 1) * own])
        state = Operator(bound).data @ state
    values = dict(zip(spec.inputs, pixels, strict=True)) | dict(
        zip(spec.weights, weights, strict=True)
    )
    theirs = Statevector(spec.circuit.assign_parameters(values)).data
    np.testing.assert_allclose(theirs, state, atol=1e-12)


@pytest.mark.parametrize(("ansatz", "make"), [("qcnn", qcnn), ("mera", mera)])
def test_depth_repeats_what_has_no_layers(ansatz, make):
    spec = ansatz_denoiser(16, 4, 3, ansatz=ansatz)
    assert len(spec.weights) == 3 * len(make(4).weights)
    assert spec.readout.num_outputs == 16


def test_wires_that_are_not_read_are_ancillas_of_amplitudes():
    spec = ansatz_denoiser(64, 8, 1, ansatz="mera")
    assert spec.data_qubits == spec.readout.qubits == (2, 3, 4, 5, 6, 7)
    assert spec.ancilla_qubits == (0, 1)
    told = ansatz_denoiser(64, 8, 1, encoding="angle", ansatz="mera")
    assert told.ancilla_qubits == ()
    assert len(told.inputs) == 64
    assert len(told.weights) == 8 * len(mera(8).weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_wires": 3}, "from 4 wires, got num_wires=3; take at least 4"),
        ({"encoding": "basis"}, "encoding of ansatz_denoiser is one of amplitude, angle"),
        ({"ansatz": "hva"}, "ansatz of ansatz_denoiser is one of strongly_entangling"),
        ({"num_wires": 6, "ansatz": "mera"}, "a power of two"),
        ({"num_wires": 5, "ansatz": "heisenberg"}, "an even num_wires"),
        ({"num_pixels": 1}, "num_pixels >= 2"),
        ({"depth": 0}, "depth >= 1"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InvalidTemplate, match=message):
        ansatz_denoiser(**{"num_pixels": 16, "num_wires": 4, "depth": 1, **arguments})


def test_images_of_another_size_say_which_option_to_set():
    options = {"encoding": "angle", "image_size": 3}
    message = "image_size=3 and channels=1 make 9 pixels.*takes 16; leave.*set num_pixels"
    with pytest.raises(InvalidOption, match=message):
        resolve("ansatz_denoiser", options)
    assert resolve("ansatz_denoiser", {**options, "num_pixels": 9}).config.num_pixels == 9
