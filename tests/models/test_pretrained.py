"""Model folders: saved and read back bit for bit, and refused when anything is wrong."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qdm_qiskit.errors import InvalidCheckpoint, OutputNotWritable
from qdm_qiskit.models import MODELS, Denoiser, build_model, load_model, resolve, save_model

SMALL = {
    "eeqdm": {"image_size": 4, "depth": 2, "guided": True, "num_classes": 3},
    "qddm": {"image_size": 4, "depth": 2, "weight_map": "identity"},
    "classical_unet": {"image_size": 4},
}


def model(name: str = "eeqdm", seed: int = 0, **options) -> Denoiser:
    choice = resolve(name, {**SMALL.get(name, {}), **options})
    return build_model(choice, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def folder(tmp_path) -> Path:
    save_model(model(), tmp_path / "model")
    return tmp_path / "model"


def refused(folder: Path, message: str, **options) -> None:
    started = time.perf_counter()
    with pytest.raises(InvalidCheckpoint, match=message) as caught:
        load_model(folder, **options)
    assert time.perf_counter() - started < 2
    assert "\n" not in str(caught.value)


def edit(folder: Path, **changes) -> None:
    """Change config.json; None removes a field."""
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(
        json.dumps({k: v for k, v in config.items() if v is not None})
    )


@pytest.mark.parametrize("name", MODELS)
def test_round_trip_is_bit_equal(tmp_path, name):
    original = model(name)
    save_model(original, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded = load_model(tmp_path, expected=name)
    assert type(loaded) is type(original)
    assert loaded.config == original.config
    for key, value in original.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key])
    x = torch.rand(2, *original.state_shape) / 2  # short enough for a Bloch vector
    if original.state_space.startswith("complex"):
        x = x / torch.linalg.vector_norm(x.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1)) + 0j
    labels = torch.tensor([0, 2]) if getattr(original.config, "guided", False) else None
    predictions = [each.eval()(x, torch.ones(2), labels) for each in (original, loaded)]
    assert torch.equal(predictions[0], predictions[1])


def test_saving_again_replaces(folder):
    save_model(model(seed=1), folder)
    assert torch.equal(load_model(folder).layer.weights, model(seed=1).layer.weights)


@pytest.mark.parametrize(
    "cut", [0.0, 0.01, 0.05, 0.1, 0.25, 0.4, 0.5, 0.75, 0.9, 0.99, "last byte"]
)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_truncated_files_are_refused(folder, name, cut):
    content = (folder / name).read_bytes()
    if name == "config.json":
        content = content.rstrip()  # without its final newline the JSON is still whole
    keep = len(content) - 1 if cut == "last byte" else int(cut * len(content))
    (folder / name).write_bytes(content[:keep])
    refused(folder, name.replace(".", r"\."))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_files_are_refused(folder, name):
    (folder / name).unlink()
    refused(folder, f"is no checkpoint: there is no file {name}")
    (folder / name).mkdir()
    refused(folder, f"is no checkpoint: there is no file {name}")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    refused(tmp_path / "nothing", "is no checkpoint")


def test_trailing_bytes_are_refused(folder):
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"\0" * 8)
    refused(folder, "truncated or damaged")


def test_damaged_headers_are_refused(folder):
    content = (folder / "model.safetensors").read_bytes()
    for position in range(0, 160, 7):
        damaged = bytearray(content)
        damaged[position] ^= 0x20
        (folder / "model.safetensors").write_bytes(bytes(damaged))
        refused(folder, "model")


def test_weights_of_another_configuration_are_noticed(folder, tmp_path):
    # The same shapes, so nothing but the hash tells them apart.
    save_model(model(weight_map="identity"), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "config.json", folder / "config.json")
    refused(folder, "mixes files of two models")


def test_weights_of_another_model_are_noticed(folder, tmp_path):
    save_model(model("qddm"), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    refused(folder, "mixes files of two models")
    refused(folder, "holds a 'eeqdm' model, but 'qddm' is needed", expected="qddm")


def rewrite(folder: Path, change) -> None:
    """Change the tensors, but keep the metadata of the file."""
    from safetensors import safe_open

    path = folder / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata)


def rename(tensors):
    tensors["other"] = tensors.pop("layer.weights")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename, "weights of another model"),
        (lambda t: t.clear(), "weights of another model"),
        (lambda t: t.update(extra=torch.zeros(1)), "weights of another model"),
        (
            lambda t: t.update({"layer.weights": t["layer.weights"][:-1].clone()}),
            "weights of another model",
        ),
        (lambda t: t["layer.weights"].__setitem__(3, float("nan")), "not finite"),
        (lambda t: t["layer.weights"].__setitem__(3, float("-inf")), "not finite"),
        (lambda t: t.update({"layer.weights": t["layer.weights"] * 1j}), "not real"),
        (lambda t: t.update({"layer.weights": t["layer.weights"].int()}), "not real"),
    ],
)
def test_foreign_weights_are_refused(folder, change, message):
    rewrite(folder, change)
    refused(folder, message)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_links_out_of_the_folder_are_refused(folder, tmp_path, name):
    outside = tmp_path / "outside"
    shutil.move(folder / name, outside)
    (folder / name).symlink_to(outside)
    refused(folder, "leads out of its folder")
    (folder / name).unlink()
    (folder / name).symlink_to(Path("..") / "outside")
    refused(folder, "leads out of its folder")


def test_special_files_are_refused(folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")  # reading it would wait for ever
    refused(folder, "there is no file config.json")


def test_a_linked_folder_is_fine(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert load_model(tmp_path / "link").name == "eeqdm"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "qdm-model/99"}, "describes no model of this package .*'qdm-model/99'"),
        ({"schema": None}, "describes no model of this package"),
        ({"model": "unet"}, "describes no model of this package .*'unet'"),
        ({"model": ["eeqdm"]}, "describes no model of this package"),
        ({"model": {"eeqdm": 1}}, "describes no model of this package"),
        ({"model": "classical_unet"}, "cannot be used"),
        ({"options": None}, "cannot be used"),
        ({"options": [1, 2]}, "options must be an object, got list"),
        ({"options": {"depht": 3}}, "Did you mean 'depth'"),
        ({"options": {"depth": "many"}}, "depth is a whole number"),
        ({"options": {"depth": 3}}, "mixes files of two models"),
        ({"options": {"depth": 10**9}}, "at most 1000"),
        ({"options": {"depth": 10**400}}, "an integer of 401 digits"),
        ({"options": {"image_size": 2**40}}, "from 2 to 1024"),
        ({"options": {"image_size": 1024, "depth": 1000}}, "at most 10000 parameters"),
        ({"options": {"init_std": 1e999}}, "Infinity is no number of JSON"),
        ({"model": "classical_unet", "options": {"levels": 10**9}}, "levels at most 11"),
        ({"model": "classical_unet", "options": {"start_channels": 10**9}}, "at most 1024"),
        ({"model": "classical_unet", "options": {"channels": 2**60}}, "at most 1024"),
    ],
)
def test_configurations_that_cannot_be_are_refused_before_memory_is_taken(folder, changes, message):
    edit(folder, **changes)
    refused(folder, message)


@pytest.mark.parametrize("content", ["[]", "null", "{", '{"schema": ' + "9" * 5000 + "}", "\0\0\0"])
def test_config_that_is_no_object_is_refused(folder, content):
    (folder / "config.json").write_text(content)
    refused(folder, r"config\.json")


def test_nothing_is_unpickled(folder):
    # A torch.save file under our name, with a payload that would write a file when unpickled.
    marker = folder / "unpickled"

    class Payload:
        def __reduce__(self):
            return (Path.touch, (marker,))

    torch.save({"layer.weights": Payload()}, folder / "model.safetensors")
    refused(folder, "truncated or damaged")
    assert not marker.exists()


def test_an_unwritable_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputNotWritable, match="Cannot write"):
        save_model(model(), tmp_path / "file" / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
