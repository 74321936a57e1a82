"""Models as folders: ``config.json`` and ``model.safetensors``, no pickles.

The safetensors file carries the hash of the configuration it was saved with, so that a folder put
together from two models is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..arguments import checked_path, of_kind
from ..circuits import LOADERS
from ..errors import (
    InvalidCheckpoint,
    InvalidData,
    InvalidExtension,
    InvalidOption,
    InvalidTemplate,
    UnknownName,
)
from ..files import read_json_object, write_atomic, write_json
from ..options import build
from .base import Denoiser
from .catalog import (
    MODEL_DOOR,
    ModelChoice,
    build_model,
    has_model,
    part_origins,
    take_class,
)
from .catalog import model_class as known_class

__all__ = [
    "SCHEMA",
    "checked_file",
    "load_model",
    "load_tensors",
    "missing_part",
    "save_model",
    "save_tensors",
]

SCHEMA = "qdm-model/1"


def save_model(model: Denoiser, folder: str | Path) -> None:
    """Write a model's configuration and weights.

    Args:
        model: The model.
        folder: Made if it is missing; files of these names are replaced.

    Raises:
        OutputNotWritable: If the folder cannot be written.
    """
    of_kind(model, Denoiser, "model")
    folder = checked_path(folder, "folder")
    if not has_model(model.name):
        take_class(type(model))
    config: dict[str, Any] = {
        "schema": SCHEMA,
        "model": model.name,
        "options": asdict(model.config),
    }
    origins = part_origins(model.name, model.config)
    if origins:
        config["origins"] = origins
    # Copies: a file holds no two names of one tensor, and layers may share theirs (QuanvU-Net's do).
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    metadata = {"config_sha256": _digest(config)}
    save_tensors(tensors, folder / "model.safetensors", metadata)
    write_json(folder / "config.json", config)


def load_model(
    folder: str | Path, *, expected: str | None = None, model_class: type[Denoiser] | None = None
) -> Denoiser:
    """Read a model that :func:`save_model` wrote.

    Args:
        folder: The folder.
        expected: Name of the model that it must hold, if the caller knows.
        model_class: The class of a model that no package brings; it is known by its name from then on.

    Returns:
        The model, on the CPU.

    Raises:
        InvalidCheckpoint: If a file is missing, truncated, unsafe or of another model, or the package
            that brings its model or loader is not installed.
        InvalidArgument, InvalidOption: If ``model_class`` is no model, or has the name of another.
    """
    folder = checked_path(folder, "folder")
    if model_class is not None:
        take_class(model_class)
    try:
        config = read_json_object(checked_file(folder, "config.json"))
    except InvalidData as error:
        raise InvalidCheckpoint(str(error)) from error
    name = config.get("model")
    missing = missing_part(config)
    if config.get("schema") == SCHEMA and missing is not None:
        raise InvalidCheckpoint(f"{folder} cannot be read here: {missing}")
    if config.get("schema") != SCHEMA or not isinstance(name, str) or not has_model(name):
        raise InvalidCheckpoint(
            f"{folder / 'config.json'} describes no model of this package or of another one here "
            f"(schema {SCHEMA!r}, one of {', '.join(MODEL_DOOR.names())}), got schema "
            f"{config.get('schema')!r} and model {name!r}; give a class of your own, as in "
            "load_model(folder, model_class=...)."
        )
    if expected is not None and name != expected:
        raise InvalidCheckpoint(f"{folder} holds a '{name}' model, but '{expected}' is needed.")
    kind = known_class(name)
    try:
        options = config["options"]
        if not isinstance(options, dict):
            raise InvalidOption(f"options must be an object, got {type(options).__name__}.")
        choice = ModelChoice(
            model=name, preset=None, config=build(kind.config_class, options), source=""
        )
        model = build_model(choice)
    except (
        InvalidExtension,
        InvalidOption,
        InvalidTemplate,
        UnknownName,
        KeyError,
        TypeError,
    ) as error:
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


def missing_part(content: Mapping[str, Any]) -> str | None:
    """Return the part that a saved configuration needs and that is not here; None if all are.

    Args:
        content: With the name of a model as "model", and perhaps "origins" of its parts.
    """
    origins = content.get("origins")
    if not isinstance(origins, Mapping):
        return None
    options = content.get("options", content.get("model_options"))
    loader = options.get("loader") if isinstance(options, Mapping) else None
    named = {"model": content.get("model"), "loader": loader}
    for kind, name in named.items():
        origin = origins.get(kind)
        if not isinstance(origin, Mapping) or not isinstance(name, str):
            continue
        if has_model(name) if kind == "model" else name.partition(":")[0] in LOADERS:
            continue
        package, place = origin.get("package"), origin.get("module")
        if package:
            return (
                f"it needs the {kind} '{name}' of package {package} {origin.get('version')}, which is "
                f"not installed; install it: pip install {package}."
            )
        return (
            f"its model '{name}' is of the class {place}, which no package brings; give the class, as "
            "in load_run(folder, model_class=...)."
        )
    return None


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
    """Return tensors and metadata of a safetensors file inside a folder.

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
    """Return the path of a file that really stands in a folder.

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
