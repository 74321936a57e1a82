"""Whitened latents: unit covariance, PCA against scikit-learn, decoding, the radius."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeClassifier

from qdm_qiskit.data import load_dataset
from qdm_qiskit.errors import InvalidData
from qdm_qiskit.models import whitened_codecs
from qdm_qiskit.models.whitened_codecs import WhitenedCodec, make_whitened
from tests.helpers import generator


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    split = load_dataset("digits", image_size=8, channels=1, seed=0)
    return torch.from_numpy(split.train.images), torch.from_numpy(split.test.images)


@pytest.fixture(scope="module", params=["pca", "autoencoder"])
def codec(request, digits) -> WhitenedCodec:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whitened_codecs, "STEPS", 400)
        made = make_whitened(request.param, (1, 8, 8), 8)
        made.fit(digits[0], generator())
    return made


def test_latents_of_training_images_are_white(codec, digits):
    latents = codec.whitened(digits[0].flatten(1)).double().numpy()
    np.testing.assert_allclose(latents.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(latents.T), np.eye(8), atol=2e-3)
    inside = np.abs(latents).max(1) < codec.radius
    expected = (latents / codec.radius + 1) / 2
    found = codec.encode(digits[0]).numpy()
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-5)
    assert found.min() >= 0
    assert found.max() <= 1


def test_eight_latents_keep_most_of_an_unseen_image(codec, digits):
    train, test = digits
    error = float((codec.decode(codec.encode(test)) - test).square().mean())
    assert error < 0.4 * float((test - train.mean(0)).square().mean())
    assert codec.decode(codec.encode(test)).shape == test.shape


def test_pca_is_that_of_scikit_learn(digits):
    flat = digits[0].flatten(1).numpy()
    pca = PCA(8, whiten=True, svd_solver="full").fit(flat)
    codec = make_whitened("pca", (1, 8, 8), 8, radius=100.0)
    codec.fit(digits[0], generator())
    np.testing.assert_allclose(
        np.abs(codec.whitened(digits[0].flatten(1)).numpy()), np.abs(pca.transform(flat)), atol=2e-4
    )
    rebuilt = pca.inverse_transform(pca.transform(flat)).clip(0, 1)
    found = codec.decode(codec.encode(digits[0])).flatten(1).numpy()
    np.testing.assert_allclose(found, rebuilt, atol=1e-4)


def test_the_autoencoder_depends_on_its_generator_alone(digits, monkeypatch):
    monkeypatch.setattr(whitened_codecs, "STEPS", 20)
    one, same, other = (make_whitened("autoencoder", (1, 8, 8), 4) for _ in range(3))
    for made, seed in ((one, 0), (same, 0), (other, 1)):
        made.fit(digits[0][:50], generator(seed))
    x = digits[1][:5]
    assert torch.equal(one.encode(x), same.encode(x))
    assert not torch.equal(one.encode(x), other.encode(x))
    assert not list(one.parameters())


@pytest.mark.parametrize("kind", ["pca", "autoencoder"])
def test_too_few_images_are_refused(kind):
    with pytest.raises(InvalidData, match="8 latent values are fitted to more images than that"):
        make_whitened(kind, (1, 4, 4), 8).fit(torch.rand(8, 1, 4, 4), generator())


@pytest.fixture(scope="module")
def labels() -> torch.Tensor:
    split = load_dataset("digits", image_size=8, channels=1, seed=0)
    return torch.from_numpy(np.asarray(split.train.labels))


def test_the_labelled_codec_has_latents_that_tell_the_class(digits, labels, monkeypatch):
    """A ridge classifier of three latents, fitted and asked on halves of the images."""
    for name, value in (("HIDDEN", 32), ("STEPS", 150), ("JITTER", 0.25)):
        monkeypatch.setattr(whitened_codecs, f"LABELLED_{name}", value)
    images, half = digits[0], len(labels) // 2
    named = []
    for weight in (0.0, 1.0):
        monkeypatch.setattr(whitened_codecs, "_CLASSES", weight)
        made = make_whitened("labelled", (1, 8, 8), 3)
        made.fit(images, generator(), labels)
        z = made.whitened(images.flatten(1)).double().numpy()
        np.testing.assert_allclose(np.cov(z.T), np.eye(3), atol=2e-3)
        assert made.decode(made.encode(images[:4])).shape == (4, 1, 8, 8)
        ridge = RidgeClassifier().fit(z[:half], labels[:half])
        named.append(ridge.score(z[half:], labels[half:]))
    assert named[1] > named[0] + 0.1


def test_only_the_labelled_codec_asks_for_classes_and_only_it_takes_them(digits, labels):
    images = digits[0][:50]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whitened_codecs, "STEPS", 5)
        plain, told = (make_whitened("autoencoder", (1, 8, 8), 4) for _ in range(2))
        plain.fit(images, generator())
        told.fit(images, generator(), labels[:50])
    assert torch.equal(plain.encode(images), told.encode(images))
    made = make_whitened("labelled", (1, 8, 8), 4)
    for wrong in (None, labels[:49]):
        with pytest.raises(InvalidData, match="labels of shape"):
            made.fit(images, generator(), wrong)
    with pytest.raises(InvalidData, match="at least two"):
        made.fit(images, generator(), torch.zeros(50, dtype=torch.long))
    assert not bool(made.fitted)
