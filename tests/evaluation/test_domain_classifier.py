from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from qdm_qiskit.errors import InvalidData, OutputNotWritable
from qdm_qiskit.evaluation import domain_classifier as module
from qdm_qiskit.evaluation.distances import frechet_distance
from qdm_qiskit.evaluation.domain_classifier import FEATURES, domain_classifier


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, ...]:
    """Real digits at 4 x 4, so that training takes a second or two."""
    raw = load_digits()
    images = raw.images.reshape(-1, 1, 4, 2, 4, 2).mean(axis=(3, 5)).astype(np.float32) / 16
    return images[:1400], raw.target[:1400], images[1400:], raw.target[1400:]


@pytest.fixture
def few(digits: tuple[np.ndarray, ...], monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, ...]:
    """Enough to train three steps on."""
    monkeypatch.setattr(module, "VISITS", 128)
    return digits[0][:256], digits[1][:256], digits[2], digits[3]


def test_it_learns_and_its_features_tell_noise_from_digits(digits, monkeypatch):
    monkeypatch.setattr(module, "VISITS", 12_000)
    found = domain_classifier(*digits)
    logits = found.read(digits[2])[1]
    assert found.accuracy == (logits.argmax(axis=1) == digits[3]).mean()
    assert found.accuracy > 0.7  # 16 pixels, other writers, a fifth of the steps; chance is 0.1
    features = found.read(digits[0])[0]
    assert features.shape == (1400, FEATURES)
    assert features.mean(axis=0) == pytest.approx(np.zeros(FEATURES), abs=1e-4)
    assert features.std(axis=0) == pytest.approx(np.ones(FEATURES), abs=1e-2)
    noise = np.random.default_rng(0).random((397, 1, 4, 4))
    test = found.read(digits[2])[0]
    assert frechet_distance(test, found.read(noise)[0]) > 10 * frechet_distance(test, features)


def test_same_seed_same_network_whatever_torch_drew_before(few):
    torch.manual_seed(1)
    one = domain_classifier(*few)
    before = torch.random.get_rng_state()
    two = domain_classifier(*few)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (one.identity, one.accuracy) == (two.identity, two.accuracy)
    assert one.read(few[2])[0] == pytest.approx(two.read(few[2])[0], abs=1e-4)
    assert domain_classifier(*few, seed=1).identity != one.identity


def test_it_is_kept_and_read_again(few, tmp_path):
    made = domain_classifier(*few, folder=tmp_path)
    assert [each.suffix for each in tmp_path.iterdir()] == [".safetensors"]
    again = domain_classifier(*few, folder=tmp_path)
    assert (made.cached, again.cached) == (False, True)
    assert (made.accuracy, made.identity) == (again.accuracy, again.identity)
    assert np.array_equal(made.read(few[2])[0], again.read(few[2])[0])


def test_one_changed_pixel_or_label_is_another_classifier(few, tmp_path):
    first = domain_classifier(*few, folder=tmp_path)
    for place in range(4):
        changed = [each.copy() for each in few]
        flat = changed[place].reshape(-1)
        flat[7] = flat[flat != flat[7]][0]  # a value that occurs, so it is valid
        other = domain_classifier(*changed, folder=tmp_path)
        assert other.identity != first.identity
        assert not other.cached


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _poison(path: Path) -> None:
    tensors = {name: torch.full_like(each, torch.nan) for name, each in load_file(path).items()}
    save_file(tensors, path, {"schema": module.SCHEMA})


def _foreign(path: Path) -> None:
    save_file({"w": torch.zeros(2)}, path, {"schema": module.SCHEMA})


@pytest.mark.parametrize("damage", [_truncate, _poison, _foreign])
def test_a_damaged_file_is_trained_anew_and_replaced(few, tmp_path, damage):
    made = domain_classifier(*few, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    damage(path)
    again = domain_classifier(*few, folder=tmp_path)
    assert not again.cached
    assert again.accuracy == made.accuracy
    assert domain_classifier(*few, folder=tmp_path).cached


def test_another_identity_under_the_same_name_is_not_believed(few, tmp_path):
    domain_classifier(*few, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    tensors = load_file(path)
    save_file(tensors, path, {"schema": module.SCHEMA, "identity": "0" * 64, "accuracy": "1.0"})
    assert not domain_classifier(*few, folder=tmp_path).cached


def test_what_cannot_be_learnt_is_refused(few):
    images, labels, test, names = few
    with pytest.raises(InvalidData, match="two classes"):
        domain_classifier(images, np.zeros_like(labels), test, np.zeros_like(names))
    with pytest.raises(InvalidData, match="test images need the size"):
        domain_classifier(images, labels, test[:, :, :2], names)
    with pytest.raises(InvalidData, match=r"lie in \[0, 1\]"):
        domain_classifier(images * 16, labels, test, names)
    with pytest.raises(InvalidData, match="lie in"):
        domain_classifier(images * np.float32(np.nan), labels, test, names)


def test_a_cache_that_cannot_be_written_says_so(few, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputNotWritable, match="Cannot write"):
        domain_classifier(*few, folder=tmp_path / "file" / "cache")


@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 8, 8), (1, 28, 28)])
def test_any_image_size_will_do(shape, monkeypatch):
    monkeypatch.setattr(module, "VISITS", 128)
    rng = np.random.default_rng(1)
    images = rng.random((40, *shape), dtype=np.float32)
    found = domain_classifier(images, np.arange(40) % 2, images, np.arange(40) % 2)
    assert found.read(images)[0].shape == (40, FEATURES)
