"""Q-Dense in all its variants, and the unitary model whose chain is one matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Operator, Statevector

from qdm_qiskit.diffusion import InterpolatedStates, reverse_chain
from qdm_qiskit.errors import InvalidData, InvalidOption, InvalidTemplate
from qdm_qiskit.layers import QuantumLayer
from qdm_qiskit.models import (
    QDDM,
    AmplitudeDenoiserConfig,
    QDense,
    QDenseConfig,
    UnitaryQDense,
    describe,
)
from tests.helpers import generator

GUIDED = {"ancilla": True, "guided": True, "num_classes": 4}


def dense(**options) -> QDense:
    config = QDenseConfig(**{"image_size": 4, "depth": 3, **options})
    return QDense(config, generator=generator())


def unitary(**options) -> UnitaryQDense:
    config = QDenseConfig(**{"image_size": 4, "depth": 3, **options})
    return UnitaryQDense(config, generator=generator())


def images(count: int = 2, size: int = 4) -> torch.Tensor:
    return torch.rand(count, 1, size, size, generator=generator(1))


TIME = torch.tensor([0.3, 0.7])


def test_without_ancilla_every_probability_is_a_pixel():
    model = dense()
    x = images()
    bound = model.spec.circuit.assign_parameters(model.layer.angles().tolist())
    for image, prediction in zip(x, model(x, TIME), strict=True):
        state = Statevector((image.flatten() / image.norm()).double().numpy())
        p = state.evolve(bound).probabilities()
        np.testing.assert_allclose(prediction.detach().flatten(), np.clip(16 * p, 0, 1), atol=1e-5)


@pytest.mark.parametrize("guided", [False, True])
def test_with_ancilla_it_is_the_qddm(guided):
    ours = dense(ancilla=True, guided=guided, num_classes=4)
    other = QDDM(
        AmplitudeDenoiserConfig(image_size=4, depth=3, guided=guided, num_classes=4),
        generator=generator(),
    )
    labels = torch.tensor([1, 3]) if guided else None
    assert torch.equal(ours.layer.weights, other.layer.weights)
    torch.testing.assert_close(ours(images(), TIME, labels), other(images(), TIME, labels))


def test_reuploading_changes_the_circuit_and_not_the_count():
    one, two = dense(**GUIDED), dense(**GUIDED, reuploads=2)
    assert one.num_parameters == two.num_parameters == 3 * 5 * 3
    labels = torch.tensor([1, 2])
    assert not torch.allclose(one(images(), TIME, labels), two(images(), TIME, labels))
    # A label of angle zero is no gate; the ranges of the CNOTs start anew, so layers differ still.
    assert len(two.spec.inputs) == 1


@pytest.mark.parametrize(
    ("kind", "classes", "expected"),
    [
        ("turn", 4, [0.0, 0.5 * math.pi, math.pi, 1.5 * math.pi]),
        ("fraction", 4, [0.0, 1 / 3, 2 / 3, 1.0]),
        ("fraction", 1, [0.0]),
    ],
)
def test_labels_as_the_text_and_as_the_code_have_them(kind, classes, expected):
    model = dense(ancilla=True, guided=True, num_classes=classes, label_angle=kind)
    _, angles = model.encode(images(classes), torch.arange(classes))
    torch.testing.assert_close(angles, torch.tensor(expected).unsqueeze(1))


@pytest.mark.parametrize(("size", "qubits"), [(7, 6), (28, 10)])
def test_images_of_any_size_are_padded(size, qubits):
    model = dense(image_size=size, depth=1)
    x = images(size=size)
    amplitudes, _ = model.encode(x, None)
    assert amplitudes.shape == (2, 2**qubits)
    assert not amplitudes[:, size**2 :].any()
    expected = (2**qubits * model.layer(amplitudes)).clamp(0, 1)[:, : size**2]
    assert torch.equal(model(x, TIME).flatten(1), expected)


def test_28_pixels_guided_are_eleven_qubits():
    row = describe("q_dense", {"image_size": 28, "depth": 30, "ancilla": True, "guided": True})
    assert (row["qubits"], row["parameters"]) == (11, 990)


def test_the_step_is_a_unitary_times_the_norm():
    model = unitary()
    x = torch.polar(images(), 6.28 * images(2))
    bound = Operator(model.layer.spec.circuit.assign_parameters(model.layer.angles().tolist())).data
    expected = x.flatten(1).numpy() @ bound.T
    np.testing.assert_allclose(model(x, TIME).detach().flatten(1), expected, atol=1e-5)
    norms = model(x, TIME).detach().flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, x.flatten(1).norm(dim=1))


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_the_chain_is_one_matrix(steps):
    """U^tau equals tau applications of the model, by the sampler's own reverse chain."""
    model = unitary()
    process = InterpolatedStates(steps)
    start = process.start((3, 1, 4, 4), generator(2))
    with torch.no_grad():
        walked = reverse_chain(
            process, lambda x, _: model(x, torch.ones(3)), start, lambda _: generator()
        )
    matrix = model.chain_matrix(steps)
    torch.testing.assert_close(matrix @ matrix.mH, torch.eye(16) + 0j, atol=2e-5, rtol=0)
    at_once = (start.flatten(1) @ matrix.T).abs().clamp(0, 1).reshape(3, 1, 4, 4)
    torch.testing.assert_close(at_once, walked, atol=2e-5, rtol=0)


def test_the_chain_is_one_circuit():
    model = unitary()
    layer = QuantumLayer(model.chain_circuit(10), weight_map="pi_tanh")
    layer.load_state_dict(model.layer.state_dict())
    x = images()
    with torch.no_grad():
        norm = x.flatten(1).norm(dim=1, keepdim=True)
        from_shots = norm * layer(x.flatten(1)).sqrt()
    expected = ((x.flatten(1) + 0j) @ model.chain_matrix(10).T).abs()
    torch.testing.assert_close(from_shots, expected, atol=2e-5, rtol=0)


def test_with_an_ancilla_the_chain_is_linear_but_no_unitary():
    model = unitary(ancilla=True)
    block = model.chain_matrix(1)
    spec = model.layer.spec
    whole = Operator(spec.circuit.assign_parameters(model.layer.angles().tolist())).data
    np.testing.assert_allclose(block, whole[::2, ::2], atol=1e-5)  # ancilla = 0, before and after
    assert float((block @ block.mH - torch.eye(16)).abs().max()) > 0.1
    start = images() + 0j
    walked = start
    with torch.no_grad():
        for _ in range(3):
            walked = model(walked, TIME)
    at_once = start.flatten(1) @ model.chain_matrix(3).T
    torch.testing.assert_close(walked.flatten(1), at_once, atol=1e-5, rtol=0)
    # An ancilla that is kept through three steps and measured once is something else.
    kept = np.linalg.matrix_power(whole, 3)[::2, ::2]
    assert np.abs(kept - model.chain_matrix(3).numpy()).max() > 0.05
    with pytest.raises(InvalidTemplate, match="needs a fresh ancilla"):
        model.chain_circuit(3)


def test_a_guided_chain_is_one_matrix_for_each_label():
    model = unitary(**GUIDED)
    start = images() + 0j
    with torch.no_grad():
        walked = model(model(start, TIME, torch.tensor([1, 1])), TIME, torch.tensor([1, 1]))
    torch.testing.assert_close(
        walked.flatten(1), start.flatten(1) @ model.chain_matrix(2, 1).T, atol=1e-5, rtol=0
    )
    assert not torch.allclose(model.chain_matrix(2, 1), model.chain_matrix(2, 2))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (dense, {"guided": True}, "guided=true needs ancilla=true"),
        (dense, {"reuploads": 2}, "got 2 with depth 3, guided False"),
        (dense, {**GUIDED, "reuploads": 4}, "got 4 with depth 3, guided True"),
        (dense, {"reuploads": 0}, "reuploads is 1"),
        (dense, {"depth": 0}, "depth must be at least 1"),
        (dense, {"depth": 10**9}, "at most 1000, got 1000000000"),
        (dense, {"image_size": 1}, "image_size is 2 to 1024, got 1"),
        (dense, {"image_size": 2**40}, "image_size is 2 to 1024, got 1099511627776"),
        (dense, {"channels": 2}, "1 .grey. or 3 .RGB."),
        (dense, {"num_classes": 0}, "num_classes must be at least 1"),
        (dense, {"init_std": math.nan}, "init_std must be a finite number"),
        (dense, {"label_angle": "code"}, "'turn' or 'fraction', got 'code'"),
        (unitary, {"image_size": 7}, "a power of two, got 49"),
        (unitary, {"channels": 3}, "a power of two, got 48"),
    ],
)
def test_bad_options_are_refused_in_one_line(kind, options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        kind(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [dense, unitary])
def test_bad_inputs_are_refused(kind):
    with pytest.raises(InvalidData, match="is not guided and takes no labels"):
        kind()(images(), TIME, torch.tensor([0, 1]))
    with pytest.raises(InvalidData, match=r"needs labels of shape \(2,\), got None"):
        kind(**GUIDED)(images(), TIME)
    with pytest.raises(InvalidData, match=r"\(batch, 1, 4, 4\), got \(2, 1, 5, 5\)"):
        kind()(images(size=5), TIME)
    broken = images()
    broken[1, 0, 2, 2] = math.nan
    with pytest.raises(InvalidData, match="Image 1 of 2 holds NaN"):
        kind()(broken, TIME)
    with pytest.raises(InvalidData, match=r"Vector 0 of 1 .*all-zero"):
        kind()(torch.zeros(1, 1, 4, 4), torch.ones(1))


def test_a_chain_has_a_step():
    with pytest.raises(InvalidOption, match="at least 1 step, got 0"):
        unitary().chain_matrix(0)
