"""The latent model on a line: counts, arithmetic, refusals, and its way through all targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.models import PRESETS, describe, load_model, save_model, whitened_codecs
from qdm_qiskit.models.line import Line, LineConfig
from qdm_qiskit.models.told import told
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train
from tests.helpers import generator

SMALL = {"image_size": 4, "latents": 3, "num_qubits": 3, "uploads": 2, "bricks": 1}


def model(**options) -> Line:
    return Line(LineConfig(**{**SMALL, "num_classes": 4, **options}), generator=generator())


def test_a_guided_model_of_ten_classes_has_1100_parameters_and_15_cz():
    made = Line(LineConfig(guided=True))
    assert (made.num_parameters, made.num_quantum_parameters, made.num_qubits) == (1100, 42, 6)
    assert made.spec.circuit.count_ops()["cz"] == 15
    # The presets have a linear map of 8 latents, 3 numbers of the time and the class besides.
    assert describe("line-digits-guided")["parameters"] == 1100 + 8 * (8 + 3 + 10)
    assert describe("line-digits")["parameters"] == 1100 - 10 * 42 + 8 * (8 + 3)
    for name in ("digits", "mnist", "fashion"):
        assert {f"line-{name}", f"line-{name}-guided"} <= set(PRESETS)
    # MNIST has 12 latents of a codec that is told the classes, and the same circuit.
    mnist = describe("line-mnist-guided")
    assert (mnist["options"]["codec"], mnist["options"]["latents"]) == ("labelled", 12)
    assert mnist["parameters"] == 42 + 42 * (12 + 13) + 12 * 22 + 12 * (12 + 13)
    assert mnist["qubits"] == 6


def test_prediction_is_the_head_of_the_circuits_values():
    """Angles, circuit and head written out with numpy and Statevector."""
    made = model(guided=True)
    x = torch.randn(2, 3, generator=generator(1))
    t, labels = torch.tensor([0.2, 1.0]), torch.tensor([1, 3])
    angles = x @ made.upload.weight.T + told(t, labels, 4) @ made.told.weight.T + made.layer.weights
    wanted = []
    for row in angles.detach().double().numpy():
        free = made.spec.circuit.assign_parameters(
            {p: row[k] for k, p in enumerate(made.spec.inputs)}
            | dict.fromkeys(made.spec.weights, 0.0)
        )
        state = Statevector(free)
        values = [state.expectation_value(o).real for o in made.spec.readout.observables]
        wanted.append(
            made.head.weight.detach().double().numpy() @ values + made.head.bias.detach().numpy()
        )
    found = made(x, t, labels).detach()
    np.testing.assert_allclose(found.numpy(), np.array(wanted), atol=1e-5)
    times = told(torch.tensor([0.25]), torch.tensor([2]), 4)
    np.testing.assert_allclose(times, [[-0.5, 0.5**0.5, 0, 0, 0, 1, 0]], atol=1e-6)


def test_with_skip_a_linear_map_stands_beside_the_circuit():
    plain, made = model(guided=True), model(guided=True, skip=True)
    x, t = torch.randn(5, 3, generator=generator(1)), torch.linspace(0.2, 1, 5)
    labels = torch.arange(5) % 4
    assert torch.equal(plain(x, t, labels), made(x, t, labels))  # it begins at 0
    torch.nn.init.normal_(made.skip.weight, generator=generator(2))
    rows = torch.cat([x, told(t, labels, 4)], dim=1)
    torch.testing.assert_close(made(x, t, labels), plain(x, t, labels) + rows @ made.skip.weight.T)
    assert plain.without_circuit(x, t, labels) == 0.0
    assert made.num_parameters - plain.num_parameters == 3 * (3 + 3 + 4)
    with pytest.raises(InvalidData, match="latents of shape"):
        made(torch.rand(2, 4), torch.ones(2), torch.tensor([0, 1]))


def test_one_step_moves_every_weight():
    made = model(guided=True, skip=True)
    before = {name: each.detach().clone() for name, each in made.named_parameters()}
    optimizer = torch.optim.Adam(made.parameters(), 0.01)
    prediction = made(torch.randn(8, 3), torch.rand(8), torch.arange(8) % 4)
    (prediction - 1).square().mean().backward()
    optimizer.step()
    for name, each in made.named_parameters():
        assert not torch.equal(each, before[name]), name


def test_what_does_not_fit_is_refused():
    made = model()
    x, t = torch.rand(2, 3), torch.ones(2)
    with pytest.raises(InvalidData, match=r"latents of shape \(batch, 3\), got \(2, 4\)"):
        made(torch.rand(2, 4), t)
    with pytest.raises(InvalidData, match="State 1 of 2 holds NaN"):
        made(torch.tensor([[0.0] * 3, [0, torch.nan, 0]]), t)
    with pytest.raises(InvalidData, match="not guided and takes no labels"):
        made(x, t, torch.tensor([0, 1]))
    with pytest.raises(InvalidData, match=r"integer labels of shape \(2,\), got None"):
        model(guided=True)(x, t)
    with pytest.raises(InvalidData, match=r"class indices 0 .. 3, got \[0, 4\]"):
        model(guided=True)(x, t, torch.tensor([0, 4]))
    with pytest.raises(InvalidData, match="autoencoder of 'line' has seen no images yet"):
        made.encode_data(torch.rand(2, 1, 4, 4))
    with pytest.raises(InvalidData, match="told the time"):
        made.circuit_inputs(x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bricks": 2}, "1 to uploads - 1, got 2 with uploads 2"),
        ({"latents": 17}, "latents is 1 to 16"),
        ({"codec": "vae"}, "codec is one of pca, autoencoder, labelled"),
        ({"readouts": "x"}, "readouts is one of z, zz_line, zz"),
        ({"num_qubits": 0}, "num_qubits is 1 to 20"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message):
        model(**options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line") / "run"
    settings = {
        **SMALL,
        "guided": True,
        "classes": (0, 1),
        "train_count": 60,
        "test_count": 20,
        "num_steps": 2,
        "epochs": 2,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whitened_codecs, "STEPS", 50)
        train(resolve_run("line", settings), folder)
    return load_run(folder)


def test_a_run_is_read_back_with_its_codec(trained, tmp_path):
    assert trained.config.diffusion.radius == 3.5
    save_model(trained.model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    images = torch.rand(3, 1, 4, 4)
    assert torch.equal(again.encode_data(images), trained.model.encode_data(images))


@pytest.mark.parametrize("target", ["aer", "noisy:fake_torino", "local:fake_torino"])
def test_many_shots_come_near_the_exact_images(trained, target):
    exact = sample(trained, SamplingConfig(num_images=2))
    found = sample(
        trained,
        SamplingConfig(target=target, shots=20_000, num_images=2, layout_trials=1, seed=0),
    )
    assert found.images.shape == (2, 1, 4, 4)
    assert np.abs(found.images - exact.images).max() < 0.1
    assert not np.array_equal(found.images, exact.images)
    assert found.manifest["device"]["circuit"]
