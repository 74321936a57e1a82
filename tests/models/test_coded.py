"""Any model of images on latents: the same circuits, the same predictions, every target."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qdm_qiskit.errors import InvalidOption, UnknownName
from qdm_qiskit.models import build_model, resolve
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train
from tests.helpers import generator

INSIDE = {
    "q_dense": "depth=2",
    "eeqdm": "depth=1,guided=true,num_classes=2",
    "qu_net": "levels=2,depth=1",
    "classical_unet": "levels=1",
}


def coded(inner: str, **options):
    settings = {"inner": inner, "inner_options": INSIDE.get(inner, ""), "side": 4, **options}
    return build_model(resolve("coded", settings), generator=generator())


@pytest.mark.parametrize("inner", INSIDE)
def test_it_predicts_what_the_model_inside_does(inner):
    model = coded(inner)
    x, t = torch.rand(3, 16, generator=generator(1)), torch.full((3,), 0.5)
    labels = torch.tensor([0, 1, 0]) if model.config.guided else None
    own = model.inner(x.reshape(3, 1, 4, 4), t, labels)
    assert torch.equal(model(x, t, labels), own.flatten(1))
    assert model.num_parameters == model.inner.num_parameters
    assert model.num_qubits == model.inner.num_qubits


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"inner": "cacioppo"}, InvalidOption, "states are images in"),
        ({"inner": "coded"}, InvalidOption, "states are images in"),
        ({"inner": "nobody"}, UnknownName, "nobody"),
        ({"inner": "q_dense", "inner_options": "depht=3"}, InvalidOption, "depht"),
        ({"inner": "q_dense", "inner_options": "image_size=8"}, InvalidOption, "leave it out"),
        ({"inner": "q_dense", "side": 9}, InvalidOption, "latents is 1 to 64"),
    ],
)
def test_what_does_not_fit_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        resolve("coded", options)


def test_a_run_goes_through_a_devices_noise_and_is_read_back(tmp_path):
    settings = {
        "inner": "eeqdm",
        "inner_options": "depth=1,guided=true,num_classes=2",
        "side": 2,
        "image_size": 4,
        "classes": (0, 1),
        "train_count": 40,
        "num_steps": 2,
        "epochs": 1,
    }
    train(resolve_run("coded", settings), tmp_path / "run")
    run = load_run(tmp_path / "run")
    exact = sample(run, SamplingConfig(num_images=2)).images
    assert exact.shape == (2, 1, 4, 4)
    config = SamplingConfig(target="noisy:fake_torino", shots=20_000, num_images=2, layout_trials=1)
    found = sample(run, config)
    assert np.abs(found.images - exact).max() < 0.3
    assert not np.array_equal(found.images, exact)
