"""Models as folders: ``config.json`` and ``model.safetensors``, no pickles.

The safetensors file carries the hash of the configuration it was saved with, so that a folder put
together from two models is noticed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..arguments import checked_path, of_kind
from ..errors import InvalidCheckpoint, InvalidData, InvalidOption, InvalidTemplate
from ..files import read_json_object, write_atomic, write_json
from ..options import build
from .base import Denoiser
from .catalog import model_classes

SCHEMA = "qdm-model/1"


def save_model(model: Denoiser, folder: Path) -> None:
    """Write a model's configuration and weights.

    Args:
        model: The model.
        folder: Made if it is missing; files of these names are replaced.

    Raises:
        OutputNotWritable: If the folder cannot be written.
    """
    of_kind(model, Denoiser, "model")
    folder = checked_path(folder, "folder")
    config = {"schema": SCHEMA, "model": model.name, "options": asdict(model.config)}
    # Copies: a file holds no two names of one tensor, and layers may share theirs (QuanvU-Net's do).
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    metadata = {"config_sha256": _digest(config)}
    save_tensors(tensors, folder / "model.safetensors", metadata)
    write_json(folder / "config.json", config)


def load_model(folder: Path, *, expected: str | None = None) -> Denoiser:
    """Read a model that :func:`save_model` wrote.

    Args:
        folder: The folder.
        expected: Name of the model that it must hold, if the caller knows.

    Returns:
        The model, on the CPU.

    Raises:
        InvalidCheckpoint: If a file is missing, truncated, unsafe or of another model.
    """
    folder = checked_path(folder, "folder")
    try:
        config = read_json_object(checked_file(folder, "config.json"))
    except InvalidData as error:
        raise InvalidCheckpoint(str(error)) from error
    name = config.get("model")
    if config.get("schema") != SCHEMA or not isinstance(name, str) or name not in model_classes():
        raise InvalidCheckpoint(
            f"{folder / 'config.json'} describes no model of this package (schema {SCHEMA!r}, one of "
            f"{', '.join(model_classes())}), got schema {config.get('schema')!r} and model {name!r}."
        )
    if expected is not None and name != expected:
        raise InvalidCheckpoint(f"{folder} holds a '{name}' model, but '{expected}' is needed.")
    model_class = model_classes()[name]
    try:
        options = config["options"]
        if not isinstance(options, dict):
            raise InvalidOption(f"options must be an object, got {type(options).__name__}.")
        model = model_class(build(model_class.config_class, options))
    except (InvalidOption, InvalidTemplate, KeyError, TypeError) as error:
        raise InvalidCheckpoint(f"{folder / 'config.json'} cannot be used: {error}") from error
    tensors, metadata = load_tensors(folder, "model.safetensors")
    if metadata.get("config_sha256") != _digest(config):
        raise InvalidCheckpoint(
            f"{folder} mixes files of two models: its weights were saved with another configuration."
        )
    if not all(value.is_floating_point() for value in tensors.values()):
        raise InvalidCheckpoint(f"{folder / 'model.safetensors'} holds weights that are not real.")
    expected_shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found_shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    if expected_shapes != found_shapes:
        raise InvalidCheckpoint(
            f"{folder / 'model.safetensors'} holds weights of another model: expected "
            f"{_summary(expected_shapes)}, got {_summary(found_shapes)}."
        )
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise InvalidCheckpoint(
            f"{folder / 'model.safetensors'} holds weights that are not finite."
        )
    model.load_state_dict(tensors)
    return model


def save_tensors(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write tensors to a safetensors file, atomically.

    Raises:
        OutputNotWritable: If the file cannot be written.
    """

    def write(part: Path) -> None:
        try:
            save_file(tensors, part, metadata)
        except SafetensorError as error:  # the library wraps "disk full" in its own exception
            raise OSError(5, str(error)) from error

    write_atomic(path, write)


def load_tensors(folder: Path, name: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file inside a folder.

    Raises:
        InvalidCheckpoint: If the file is missing, outside the folder, or truncated.
    """
    path = checked_file(folder, name)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidCheckpoint(f"{path} is truncated or damaged: {error}.") from error


def checked_file(folder: Path, name: str) -> Path:
    """A file that stands in a folder, and really there.

    Raises:
        InvalidCheckpoint: If it is missing, no regular file, or a link that leads out of the folder.
    """
    path = folder / name
    if not path.is_file():
        raise InvalidCheckpoint(f"{folder} is no checkpoint: there is no file {name} in it.")
    if path.resolve().parent != folder.resolve():
        raise InvalidCheckpoint(f"{path} leads out of its folder to {path.resolve()}; refused.")
    return path


def _digest(config: dict[str, Any]) -> str:
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _summary(shapes: dict[str, tuple[int, ...]]) -> str:
    first = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:2])
    return f"{len(shapes)} tensors ({first}{', ...' if len(shapes) > 2 else ''})"
