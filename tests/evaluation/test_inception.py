"""Inception's weights: found, checked and read without unpickling. The network itself is optional."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import sys
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch

from qdm_qiskit.errors import InvalidData, MissingData, MissingDependency
from qdm_qiskit.evaluation import inception
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


def test_a_local_file_is_taken_with_its_checksum(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"123")
    found = inception_weights(str(path), tmp_path)
    assert found == InceptionWeights(path, hashlib.sha256(b"123").hexdigest())
    assert not found.published
    assert InceptionWeights(path, SHA256).published


def test_a_missing_file_says_what_to_give(tmp_path):
    with pytest.raises(MissingData, match=r"--inception-weights a file, or 'download'"):
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


@pytest.mark.skipif(
    importlib.util.find_spec("torch_fidelity") is None,
    reason="the optional extra 'inception' is not installed",
)
def test_features_are_those_that_torchmetrics_takes(tmp_path):
    """With random weights in the network's layout: the published ones are not needed for this."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torchmetrics.image.fid import NoTrainInceptionV3

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.save({}, tmp_path / "empty.pth")
        state = FeatureExtractorInceptionV3(
            "x", ["2048"], feature_extractor_weights_path=str(tmp_path / "empty.pth")
        ).state_dict()
    path = tmp_path / "random.pth"
    torch.save(state, path)
    images = np.random.default_rng(0).random((3, 1, 8, 8))
    features, logits = InceptionNetwork(inception_weights(str(path), tmp_path)).read(images)
    network = NoTrainInceptionV3("x", ["2048"], feature_extractor_weights_path=str(path))
    pixels = (torch.from_numpy(images).float() * 255).byte().repeat(1, 3, 1, 1)
    assert features == pytest.approx(network(pixels).numpy())
    assert logits.shape == (3, 1008)
