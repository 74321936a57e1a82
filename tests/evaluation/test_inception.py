"""Inception's weights: found, checked and read without unpickling. The network itself is optional."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pooch
import pytest
import torch

from qdm_qiskit.errors import InvalidData, MissingData, MissingDependency
from qdm_qiskit.evaluation import inception
from qdm_qiskit.evaluation.distances import frechet_distance
from qdm_qiskit.evaluation.inception import (
    SHA256,
    URL,
    InceptionNetwork,
    InceptionWeights,
    inception_weights,
)


class Hostile:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_published_name_holds_the_beginning_of_the_checksum():
    assert URL.removesuffix(".pth").endswith(SHA256[:8])


def test_a_local_file_is_taken_if_its_checksum_is_the_published_one(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"123")
    checksum = hashlib.sha256(b"123").hexdigest()
    with pytest.raises(
        InvalidData, match=f"begins with {checksum[:8]}, not {SHA256[:8]}"
    ) as raised:
        inception_weights(str(path), tmp_path)
    assert "accept_other_weights=True" in str(raised.value)
    assert "\n" not in str(raised.value)
    monkeypatch.setattr(inception, "SHA256", checksum)
    found = inception_weights(str(path), tmp_path)
    assert found == InceptionWeights(path, checksum)
    assert found.published


def test_another_file_is_taken_only_when_it_is_accepted(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"123")
    found = inception_weights(str(path), tmp_path, accept_other=True)
    assert found == InceptionWeights(path, hashlib.sha256(b"123").hexdigest())
    assert not found.published


def test_a_missing_file_says_what_to_give(tmp_path):
    with pytest.raises(MissingData, match=r"inception_weights a file, or 'download'"):
        inception_weights(str(tmp_path / "none.pth"), tmp_path)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError("http://user:secret@proxy\nrefused"), "ConnectionError"),
        (ValueError("hash differs"), "checksum differs"),
    ],
)
def test_a_failed_download_is_one_line_without_secrets(tmp_path, monkeypatch, error, reason):
    def fail(url, known_hash, **_):
        assert (url, known_hash) == (URL, f"sha256:{SHA256}")
        raise error

    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(MissingData, match=reason) as raised:
        inception_weights("download", tmp_path)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_weights_are_not_unpickled(tmp_path):
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    torch.save({"a": Hostile(trace)}, path)
    with pytest.raises(InvalidData, match="cannot be read as weights"):
        inception._read_state(path)
    path.write_bytes(pickle.dumps(Hostile(trace)))
    with pytest.raises(InvalidData, match="cannot be read as weights"):
        inception._read_state(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())  # noqa: S301 (the trap works)
    assert trace.exists()


def test_tensors_are_read_from_both_formats(tmp_path):
    from safetensors.torch import save_file

    state = {"a": torch.arange(3.0)}
    torch.save(state, tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        assert torch.equal(inception._read_state(tmp_path / name)["a"], state["a"])
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InvalidData, match="something else than tensors"):
        inception._read_state(tmp_path / "list.pth")


def test_without_the_optional_package_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)  # an import that fails
    with pytest.raises(MissingDependency, match=r"pip install 'qdm_qiskit\[inception\]'"):
        InceptionNetwork(InceptionWeights(tmp_path / "any.pth", "0"))


needs_torch_fidelity = pytest.mark.skipif(
    importlib.util.find_spec("torch_fidelity") is None,
    reason="torch-fidelity is not installed; `make test-inception` brings it",
)


@pytest.fixture
def torch_fidelity(monkeypatch):
    """torch-fidelity, beside a stand-in for torchvision where none fits the installed torch.

    Its network does not use torchvision; its other modules ask for these names when they are imported.
    """
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        from lightning_utilities.core import imports

        look = imports.find_spec  # torchmetrics' own question: is there a torchvision?
        monkeypatch.setattr(
            imports, "find_spec", lambda name: None if name == "torchvision" else look(name)
        )
        for name in ("", ".datasets", ".transforms", ".transforms.functional", ".models"):
            module = ModuleType("torchvision" + name)
            monkeypatch.setitem(sys.modules, module.__name__, module)
            parent, _, child = module.__name__.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, module)
        for name in ("CIFAR10", "CIFAR100", "STL10"):
            setattr(sys.modules["torchvision.datasets"], name, type(name, (), {}))
    import torch_fidelity

    return torch_fidelity


@pytest.fixture
def random_weights(torch_fidelity, tmp_path):
    """A file as torch-fidelity publishes it, but for its numbers, which are random."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.save({}, tmp_path / "empty.pth")
        network = FeatureExtractorInceptionV3(
            "x", ["2048"], feature_extractor_weights_path=str(tmp_path / "empty.pth")
        )
    path = tmp_path / "random.pth"
    torch.save(network.state_dict(), path)
    return path


@needs_torch_fidelity
def test_features_are_those_that_torchmetrics_takes(random_weights, tmp_path):
    from torchmetrics.image.fid import NoTrainInceptionV3

    images = np.random.default_rng(0).random((3, 1, 8, 8))
    with pytest.raises(InvalidData, match="not the published file"):
        inception_weights(str(random_weights), tmp_path)
    weights = inception_weights(str(random_weights), tmp_path, accept_other=True)
    features, logits = InceptionNetwork(weights).read(images)
    network = NoTrainInceptionV3("x", ["2048"], feature_extractor_weights_path=str(random_weights))
    pixels = (torch.from_numpy(images).float() * 255).byte().repeat(1, 3, 1, 1)
    assert features == pytest.approx(network(pixels).numpy())
    assert features.std() > 0
    assert logits.shape == (3, 1008)


@needs_torch_fidelity
def test_distance_is_that_of_torchmetrics(random_weights, tmp_path):
    from torchmetrics.image.fid import FrechetInceptionDistance

    rng = np.random.default_rng(1)
    real, made = rng.random((6, 1, 8, 8)), rng.random((6, 1, 8, 8)) ** 2
    network = InceptionNetwork(inception_weights(str(random_weights), tmp_path, accept_other=True))
    found = frechet_distance(network.read(made)[0], network.read(real)[0])
    metric = FrechetInceptionDistance(
        feature=2048, normalize=True, feature_extractor_weights_path=str(random_weights)
    ).set_dtype(torch.float64)
    for images, is_real in ((real, True), (made, False)):
        metric.update(torch.from_numpy(images).repeat(1, 3, 1, 1), real=is_real)
    assert found == pytest.approx(float(metric.compute()), rel=1e-5)
    assert found > 0


@needs_torch_fidelity
@pytest.mark.parametrize("change", ["missing", "shape", "name"])
def test_weights_of_another_network_are_refused(random_weights, tmp_path, change):
    state = torch.load(random_weights, weights_only=True)
    name = "Conv2d_1a_3x3.conv.weight"
    value = state.pop(name)
    if change == "shape":
        state[name] = value[:, :1]
    if change == "name":
        state[name.replace("1a", "9z")] = value
    torch.save(state, tmp_path / "other.pth")
    weights = inception_weights(str(tmp_path / "other.pth"), tmp_path, accept_other=True)
    with pytest.raises(InvalidData, match="does not hold the weights of FID's Inception network"):
        InceptionNetwork(weights)
