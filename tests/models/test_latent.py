"""Cacioppo's latent models: codecs, counts, the label as a basis state, class-wise sampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector
from sklearn.decomposition import PCA

from qdm_qiskit.circuits import alternating_layers
from qdm_qiskit.data import load_dataset
from qdm_qiskit.diffusion.states import ComplexGaussian
from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.models import describe, latent_codecs, load_model, save_model
from qdm_qiskit.models.latent import CacioppoLatent, LatentConfig
from qdm_qiskit.models.latent_codecs import LatentCodec, make_codec
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train
from tests.helpers import generator

SMALL = {"image_size": 4, "latent_qubits": 2, "num_steps": 3, "depths": (1, 2, 1)}


def model(**options) -> CacioppoLatent:
    return CacioppoLatent(LatentConfig(**{**SMALL, **options}), generator=generator())


def latents(count: int, size: int = 4, seed: int = 1) -> torch.Tensor:
    x = torch.randn(count, size, dtype=torch.complex64, generator=generator(seed))
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    split = load_dataset("digits", image_size=8, channels=1, seed=0)
    return torch.from_numpy(split.train.images), torch.from_numpy(split.test.images)


@pytest.fixture(scope="module", params=["pca", "autoencoder"])
def codec(request, digits) -> LatentCodec:
    made = make_codec(request.param, (1, 8, 8), 8)
    made.fit(digits[0], generator())
    return made


@pytest.mark.slow
def test_latents_are_non_negative_with_norm_one_and_scale_does_not_matter(codec, digits):
    found = codec.encode(digits[1])
    assert found.shape == (len(digits[1]), 8)
    assert float(found.min()) >= 0
    torch.testing.assert_close(torch.linalg.vector_norm(found, dim=1), torch.ones(len(found)))
    decoded = codec.decode(found)
    assert decoded.shape == digits[1].shape
    assert float(decoded.min()) >= 0
    assert float(decoded.max()) <= 1
    torch.testing.assert_close(codec.decode(3.7 * found), decoded)


def test_eight_latents_keep_most_of_an_unseen_image(codec, digits):
    train_, test = digits
    error = float((codec.decode(codec.encode(test)) - test).square().mean())
    assert error < 0.4 * float((test - train_.mean(0)).square().mean())


def test_pca_loses_nothing_beyond_its_components(digits):
    train_, _ = digits
    codec = make_codec("pca", (1, 8, 8), 8)
    codec.fit(train_, generator())
    pca = PCA(7).fit(train_.flatten(1).numpy())
    rebuilt = pca.inverse_transform(pca.transform(train_.flatten(1).numpy()))
    found = codec.decode(codec.encode(train_)).flatten(1).numpy()
    np.testing.assert_allclose(found, rebuilt.clip(0, 1), atol=2e-4)


def test_autoencoder_depends_on_its_generator_and_has_nothing_to_train(digits, monkeypatch):
    monkeypatch.setattr(latent_codecs, "AUTOENCODER_STEPS", 50)
    one, same, other = (make_codec("autoencoder", (1, 8, 8), 8) for _ in range(3))
    for made, seed in ((one, 0), (same, 0), (other, 1)):
        made.fit(digits[0][:50], generator(seed))
    x = digits[1][:5]
    assert torch.equal(one.encode(x), same.encode(x))
    assert not torch.equal(one.encode(x), other.encode(x))
    assert not list(one.parameters())


@pytest.mark.parametrize("kind", ["pca", "autoencoder"])
def test_too_few_images_are_refused(kind):
    with pytest.raises(InvalidData, match="8 latent values are fitted to more images than that"):
        make_codec(kind, (1, 4, 4), 8).fit(torch.rand(8, 1, 4, 4), generator())


@pytest.mark.parametrize(
    ("name", "overrides", "parameters", "qubits"),
    [
        ("cacioppo-latent-conditioned", {}, 1110, 8),
        ("cacioppo-latent", {}, 510, 4),
        ("cacioppo-latent", {"codec": "autoencoder"}, 510, 4),
        ("cacioppo-latent-conditioned", {"steps": "separate", "num_steps": 10}, 11_100, 8),
        # Two classes need one label qubit: 3 (15 * 4 + 20 * 5 + 15 * 4).
        ("cacioppo-latent-conditioned", {"num_classes": 2}, 660, 5),
    ],
)
def test_counts_of_the_layout(name, overrides, parameters, qubits):
    description = describe(name, overrides)
    assert description["parameters"] == description["quantum_parameters"] == parameters
    assert description["qubits"] == qubits


def _chain(circuit: QuantumCircuit, block: QuantumCircuit, wires: list[int], angles) -> None:
    """Append a block to some of a circuit's wires; wire 0 is the most significant qubit."""
    total = circuit.num_qubits
    bound = block.assign_parameters(dict(zip(block.parameters, angles, strict=True)))
    circuit.compose(bound, [total - 1 - wire for wire in reversed(wires)], inplace=True)


@pytest.mark.parametrize("steps", ["shared", "separate"])
@pytest.mark.parametrize("count", [5, 90])
def test_the_label_is_a_basis_state_that_is_taken_back(steps, count):
    """Wires: ancilla, 2 of data, 2 of label. Post-selected on ancilla 0 and on the label's return."""
    subject = model(guided=True, num_classes=3, steps=steps)
    x = latents(count)
    labels = torch.arange(count) % 3
    numbers = torch.arange(count) % 3 + 1
    found = subject(x, numbers / 3, labels).detach().numpy()
    for index in range(0, count, max(1, count // 6)):
        label = int(labels[index])
        row = int(numbers[index]) - 1 if steps == "separate" else 0
        angles = subject.denoiser.weights[row].detach().numpy()
        circuit = QuantumCircuit(5)
        data_and_label = [1, 2, 3, 4]
        sizes = [3 * 4 * 1, 3 * 5 * 2, 3 * 4 * 1]
        first, middle, last = np.split(angles, np.cumsum(sizes)[:-1])
        _chain(circuit, alternating_layers(4, 1), data_and_label, first)
        _chain(circuit, alternating_layers(5, 2), [0, *data_and_label], middle)
        _chain(circuit, alternating_layers(4, 1), data_and_label, last)
        start = np.zeros((2, 4, 4), dtype=complex)  # ancilla, data, label
        start[0, :, label] = x[index].numpy()
        final = Statevector(start.reshape(-1)).evolve(circuit).data.reshape(2, 4, 4)
        kept = final[0, :, label]
        # The label's RY(-pi) undoes RY(pi) with its sign: none is left over.
        np.testing.assert_allclose(found[index], kept / np.linalg.norm(kept), rtol=0, atol=2e-6)


def test_unguided_model_is_the_three_blocks():
    subject = model(steps="separate")
    x = latents(4)
    found = subject(x, torch.tensor([1, 2, 3, 1]) / 3).detach().numpy()
    for index, row in enumerate([0, 1, 2, 0]):
        state = x[index].numpy()
        for part, wires, depth in (("first", 2, 1), ("middle", 3, 2), ("last", 2, 1)):
            angles = getattr(subject.denoiser, part).weights[row].detach().numpy()
            circuit = QuantumCircuit(wires)
            _chain(circuit, alternating_layers(wires, depth), list(range(wires)), angles)
            padded = np.concatenate([state, np.zeros(2**wires - 4)])
            state = Statevector(padded).evolve(circuit).data[:4]
        np.testing.assert_allclose(found[index], state / np.linalg.norm(state), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"guided": True, "num_classes": 3},
        {"guided": True, "num_classes": 3, "steps": "separate"},
        {"activation": True},
        {"activation": True, "steps": "separate"},
    ],
)
def test_one_training_step_moves_every_trainable_weight(options):
    subject = model(**options).double()
    process = ComplexGaussian(3, beta_start=0.1, data_norm=1.0)
    x_0 = process.to_states(torch.rand(30, 4, generator=generator(2))).to(torch.complex128)
    pairs = process.training_pairs(x_0, generator(3))
    labels = torch.arange(30)[pairs.source] % 3 if options.get("guided") else None
    process.losses(subject(pairs.noisy, pairs.step / 3, labels), pairs).mean().backward()
    for name, p in subject.named_parameters():
        still = (p.grad.abs() < 1e-11 * p.grad.abs().max()).any(dim=0).nonzero().flatten().tolist()
        # Global phases: the first RZ of the label qubits (wires 2 and 3) and of the ancilla (wire 0 of
        # the second block, from angle 12 on), and the ancilla's last one before its projection.
        assert still == ([8, 11, 14, 27] if options.get("guided") else []), name
    assert subject.codec.fitted == 0  # untouched by training


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tmp_path_factory.mktemp("latent") / "run"
    settings = {
        "guided": True,
        "classes": "0,1",
        "steps": "separate",
        "num_steps": 5,
        "depths": "2,4,2",
        "epochs": 12,
        "learning_rate": 0.05,
        "train_count": 80,
        "test_count": 20,
        "batch_size": 20,
        "sample_every": 12,
        "beta_start": 0.2,
    }
    return run, train(resolve_run("cacioppo_latent", settings), run)


def test_training_lowers_the_infidelity(trained):
    _, result = trained
    assert result.history[-1]["test_loss"] < 0.6 * result.history[0]["test_loss"]
    assert load_run(trained[0]).model.config.num_classes == 2


@pytest.mark.slow
def test_class_wise_sampling_and_equal_images_after_loading(trained, tmp_path):
    run = load_run(trained[0])
    zeros, again, ones = (
        sample(load_run(trained[0]), SamplingConfig(num_images=6, seed=3, label=label)).images
        for label in (0, 0, 1)
    )
    np.testing.assert_array_equal(zeros, again)
    assert zeros.shape == (6, 1, 8, 8)
    assert np.isfinite(zeros).all()
    assert zeros.min() >= 0
    assert zeros.max() <= 1
    assert np.abs(zeros - ones).max() > 0.05  # the same noise, another class
    save_model(run.model, tmp_path)
    loaded = load_model(tmp_path)
    x, t, labels = latents(3, size=8), torch.ones(3), torch.tensor([0, 1, 0])
    assert torch.equal(loaded(x, t, labels), run.model(x, t, labels))
    data = torch.rand(3, 8, generator=generator())
    assert torch.equal(loaded.decode_data(data), run.model.decode_data(data))


def test_a_codec_that_was_not_fitted_is_refused():
    subject = model()
    with pytest.raises(InvalidData, match="has seen no images yet"):
        subject.encode_data(torch.rand(2, 1, 4, 4))
    with pytest.raises(InvalidData, match="has seen no images yet"):
        subject.decode_data(torch.rand(2, 4))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"needs integer labels of shape \(2,\), got None"),
        (torch.zeros(3, dtype=torch.int64), r"got \(3,\)"),
        (torch.tensor([0.0, 1.0]), "torch.float32"),
        (torch.tensor([0, 3]), r"0 \.\. 2, got \[0, 3\]"),
        (torch.tensor([-1, 0]), r"0 \.\. 2, got \[-1, 0\]"),
    ],
)
def test_bad_labels_are_refused(labels, message):
    with pytest.raises(InvalidData, match=message):
        model(guided=True, num_classes=3)(latents(2), torch.ones(2), labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codec": "vae"}, "codec is one of pca, autoencoder"),
        ({"latent_qubits": 0}, "latent_qubits must be 1 to 6, got 0"),
        ({"latent_qubits": 7}, "latent_qubits must be 1 to 6, got 7"),
        ({"image_size": 2}, "no more latent values than pixels: 8 values of 2 x 2"),
        ({"num_classes": 0}, "num_classes must be 1 to 64, got 0"),
        ({"num_classes": 65}, "num_classes must be 1 to 64, got 65"),
        ({"depths": "15,0,15"}, "three numbers from 1 .* got 15,0,15"),
        ({"steps": "both"}, "steps is one of shared, separate"),
        ({"guided": True, "activation": True}, "set activation=false"),
        ({"image_size": 28}, "power of two"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        describe("cacioppo_latent", options)
    assert "\n" not in str(caught.value)
