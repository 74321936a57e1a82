"""The arithmetic around the circuits, and the classical U-Net."""

from __future__ import annotations

import math

import pytest
import torch

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.models import (
    EEQDM,
    QDDM,
    AmplitudeDenoiserConfig,
    ClassicalUNet,
    ClassicalUNetConfig,
)
from tests.helpers import generator, images


def quantum(kind=EEQDM, **options) -> EEQDM | QDDM:
    return kind(
        AmplitudeDenoiserConfig(**{"image_size": 4, "depth": 2, **options}), generator=generator()
    )


def unet(**options) -> ClassicalUNet:
    return ClassicalUNet(ClassicalUNetConfig(**options), generator=generator())


TIME = torch.tensor([0.3, 0.7])


@pytest.mark.parametrize("kind", [EEQDM, QDDM])
def test_output_is_the_scaled_joint_probability(kind):
    model = quantum(kind)
    x = images(2, 1, 4, 4)
    probabilities = model.layer(x.flatten(1))
    assert torch.equal(model(x, TIME), (16 * probabilities).clamp(0, 1).reshape(2, 1, 4, 4))
    # Not renormalised: the ancilla's other half is missing.
    assert float(probabilities.detach().sum(1).max()) < 1


def test_output_does_not_depend_on_scale_or_time():
    model = quantum()
    x = images(2, 1, 4, 4)
    torch.testing.assert_close(model(x, TIME), model(7 * x, 1 - TIME))


def test_pixels_are_amplitudes_in_row_order():
    model = quantum()
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 2] = 1
    amplitudes, inputs = model.encode(x, None)
    assert inputs is None
    assert amplitudes.tolist() == torch.eye(16)[6:7].tolist()


@pytest.mark.parametrize(("size", "qubits"), [(2, 4), (8, 8), (16, 10)])
def test_colour_is_padded_to_a_power_of_two(size, qubits):
    model = quantum(image_size=size, channels=3)
    assert model.config.num_data_qubits == qubits
    x = images(2, 3, size, size)
    amplitudes, _ = model.encode(x, None)
    assert amplitudes.shape == (2, 2**qubits)
    assert torch.equal(amplitudes[:, : 3 * size**2], x.flatten(1))
    assert not amplitudes[:, 3 * size**2 :].any()
    y = model(x, TIME)
    assert y.shape == x.shape
    expected = (2**qubits * model.layer(amplitudes)).clamp(0, 1)[:, : 3 * size**2]
    assert torch.equal(y.flatten(1), expected)


def test_labels_are_equal_angles():
    model = quantum(guided=True, num_classes=4)
    labels = torch.tensor([0, 1, 2, 3])
    _, angles = model.encode(images(4, 1, 4, 4), labels)
    torch.testing.assert_close(angles, torch.tensor([[0.0], [0.5], [1.0], [1.5]]) * math.pi)
    x = images(1, 1, 4, 4).expand(4, 1, 4, 4)
    predictions = model(x, torch.ones(4), labels)
    assert len({tuple(row.flatten().tolist()) for row in predictions}) == 4
    assert quantum(guided=True).num_parameters == quantum().num_parameters


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"needs labels of shape \(2,\), got None"),
        (torch.zeros(3), r"needs labels of shape \(2,\), got \(3,\)"),
        (torch.tensor([0, 4]), r"0 \.\. 3, got \[0, 4\]"),
        (torch.tensor([-1, 0]), r"0 \.\. 3, got \[-1, 0\]"),
    ],
)
def test_bad_labels_are_refused(labels, message):
    with pytest.raises(InvalidData, match=message):
        quantum(guided=True, num_classes=4)(images(2, 1, 4, 4), TIME, labels)


@pytest.mark.parametrize("model", [quantum(), unet()], ids=["eeqdm", "classical_unet"])
def test_unguided_models_refuse_labels(model):
    with pytest.raises(InvalidData, match="is not guided and takes no labels"):
        model(images(2, *model.image_shape), TIME, torch.tensor([0, 1]))


def broken(value: float) -> torch.Tensor:
    x = images(2, 1, 4, 4)
    x[1, 0, 2, 3] = value
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (images(2, 1, 8, 8), r"\(batch, 1, 4, 4\), got \(2, 1, 8, 8\)"),
        (images(2, 3, 4, 4), r"\(batch, 1, 4, 4\), got \(2, 3, 4, 4\)"),
        (images(2, 16), r"\(batch, 1, 4, 4\), got \(2, 16\)"),
        (broken(math.nan), "Image 1 of 2 holds NaN or infinity"),
        (broken(math.inf), "Image 1 of 2 holds NaN or infinity"),
    ],
)
@pytest.mark.parametrize(
    "model", [quantum(), quantum(QDDM), unet(image_size=4)], ids=["eeqdm", "qddm", "classical_unet"]
)
def test_bad_images_are_refused(model, x, message):
    with pytest.raises(InvalidData, match=message) as caught:
        model(x, TIME)
    assert "\n" not in str(caught.value)


def test_black_images_are_no_states():
    x = images(3, 1, 4, 4)
    x[2] = 0
    with pytest.raises(InvalidData, match=r"Vector 2 of 3 .*all-zero images cannot be encoded"):
        quantum()(x, torch.ones(3))
    assert unet(image_size=4)(x, torch.ones(3)).shape == x.shape  # a classical net takes them


@pytest.mark.parametrize(
    ("levels", "start", "count"),
    [(2, 3, 892), (3, 2, 1735), (3, 4, 6781), (1, 3, 27 * 2 + 3 + 81 + 3 + 4)],
)
def test_unet_counts(levels, start, count):
    model = unet(image_size=16, levels=levels, start_channels=start)
    assert model.num_parameters == count
    assert (model.num_quantum_parameters, model.num_qubits) == (0, 0)
    # Section 2 of the notes: depth 2 gives 90 s^2 + 27 s + 1, depth 3 gives 414 s^2 + 39 s + 1.
    formula = {2: 90 * start**2 + 27 * start + 1, 3: 414 * start**2 + 39 * start + 1}
    assert formula.get(levels, count) == count


def test_the_unet_sees_the_time():
    model = unet(image_size=8)
    x = images(1, 1, 8, 8).expand(2, 1, 8, 8)
    early, late = model(x, torch.tensor([0.1, 0.9]))
    assert not torch.allclose(early, late)
    assert torch.equal(model(x, torch.tensor([0.5, 0.5]))[0], model(x, torch.tensor([0.5, 0.5]))[1])


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_unet_keeps_the_shape(levels, channels):
    model = unet(image_size=16, channels=channels, levels=levels, start_channels=2)
    assert model(images(2, channels, 16, 16), TIME).shape == (2, channels, 16, 16)


def test_weights_do_not_depend_on_the_global_seed():
    torch.manual_seed(0)
    one = unet().state_dict()
    torch.manual_seed(1)
    two = unet().state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
