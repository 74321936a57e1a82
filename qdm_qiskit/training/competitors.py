"""Classical generators beside a run: fitted to its training images, kept in its folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..data import Split
from ..errors import InvalidData, InvalidOption, unknown_name
from ..files import read_json_object, write_bytes, write_json
from ..models import Denoiser
from ..models.competitors import COMPETITORS, Competitor, make_competitor
from ..progress import Message, Progress, silent
from ..rng import derived_seed
from .config import RunConfig
from .run_data import class_indices, classes_of

__all__ = [
    "FOLDER",
    "MOST_STEPS",
    "SCHEMA",
    "STEPS",
    "fit_competitors",
    "load_competitors",
    "read_competitors",
    "write_competitors",
]

FOLDER = "competitors"
SCHEMA = "qdm-competitors/1"
STEPS = 4_000
"""Steps of a competitor's training."""
MOST_STEPS = 1_000_000
_MOST_WIDTH = 10**9
_NAME = re.compile("|".join(COMPETITORS))


def fit_competitors(
    model: Denoiser,
    config: RunConfig,
    split: Split,
    names: Sequence[str],
    *,
    steps: int = STEPS,
    progress: Progress = silent,
) -> dict[str, Competitor]:
    """Fit competitors to the images that a run was trained on.

    Args:
        model: The run's model, whose size and classes they take.
        config: The run: its seed.
        split: Its images.
        names: Of :data:`.COMPETITORS`.
        steps: Steps of each, 1 to 10^6.
        progress: Receives the progress messages.

    Raises:
        UnknownName: If there is no such competitor.
        InvalidOption: If the run's data are quantum states, or steps are out of range.
    """
    for name in names:
        if name not in COMPETITORS:
            raise unknown_name("competitor", name, COMPETITORS)
    if model.data_kind != "images":
        raise InvalidOption(f"'{model.name}' makes quantum states; competitors make images.")
    if not 1 <= steps <= MOST_STEPS:
        raise InvalidOption(f"steps is 1 to {MOST_STEPS}, got {steps}.")
    images = torch.from_numpy(split.train.images)
    classes = _classes(model, split)
    labels: Tensor | None = None
    if classes is not None:
        labels = torch.from_numpy(class_indices(split.train.labels, classes_of(split)))
    found = {}
    for name in names:
        progress(Message(f"fitting {name}"))
        place = 10 + list(COMPETITORS).index(name)
        generator = torch.Generator().manual_seed(derived_seed(config.training.seed, "init", place))
        each = make_competitor(name, model.image_shape, model.num_parameters, classes, generator)
        each.fit(images, labels, steps, generator)
        found[name] = each
    return found


def write_competitors(
    run: Path, made: Mapping[str, Competitor], model: Denoiser, steps: int
) -> None:
    """Keep competitors in a run's folder, beside those that are there; the record is written last."""
    rows = read_competitors(run)
    for name, each in made.items():
        state = {key: value.detach().contiguous() for key, value in each.state_dict().items()}
        write_bytes(run / FOLDER / f"{name}.safetensors", save(state))
        rows[name] = {
            "parameters": each.num_parameters,
            "trained": each.num_trained,
            "model_parameters": model.num_parameters,
            "classes": each.classes,
            "steps": steps,
        }
    write_json(run / FOLDER / "competitors.json", {"schema": SCHEMA, "competitors": rows})


def read_competitors(run: Path) -> dict[str, dict[str, Any]]:
    """Return the record of a run's competitors by name; empty if it has none.

    Raises:
        InvalidData: If its file cannot be used.
    """
    path = run / FOLDER / "competitors.json"
    if not path.is_file():
        return {}
    content = read_json_object(path)
    rows = content.get("competitors")
    if content.get("schema") != SCHEMA or not isinstance(rows, dict):
        raise InvalidData(f"{path} is no record of competitors of schema '{SCHEMA}'.")
    for name, row in rows.items():
        good = _NAME.fullmatch(name) and isinstance(row, dict)
        for key in ("parameters", "trained", "model_parameters", "steps"):
            good = good and type(row.get(key)) is int and 0 <= row[key] <= _MOST_WIDTH
        classes = row.get("classes") if good else None
        if not good or not (classes is None or (type(classes) is int and 0 < classes <= 10**4)):
            raise InvalidData(f"{path} has a record of '{str(name)[:40]}' that cannot be used.")
    return {name: dict(row) for name, row in rows.items()}


def load_competitors(run: Path, model: Denoiser) -> dict[str, Competitor]:
    """Return a run's competitors by name; empty if it has none.

    Args:
        run: The run's folder.
        model: Its model.

    Raises:
        InvalidData: If a file cannot be used, or belongs to another model.
    """
    found, rows = {}, read_competitors(run)
    for name in (each for each in COMPETITORS if each in rows):
        row = rows[name]
        path = run / FOLDER / f"{name}.safetensors"
        if row["model_parameters"] != model.num_parameters:
            raise InvalidData(f"{path} belongs to another model; fit the competitors again.")
        each = make_competitor(
            name, model.image_shape, row["model_parameters"], row["classes"], torch.Generator()
        )
        try:
            each.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InvalidData(f"{path} cannot be used: {reason}") from error
        found[name] = each.eval()
    return found


def _classes(model: Denoiser, split: Split) -> int | None:
    """Return the classes that the run's model is told; None for none."""
    if not bool(getattr(model.config, "guided", False)):
        return None
    return len(classes_of(split))
