"""Grids and films of a run: samples, their way out of noise, the way into it, losses, classes."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..arguments import checked_path
from ..data import Split, image_grid
from ..errors import InvalidOption, MissingData
from ..evaluation.classes import class_rows
from ..evaluation.paths import MOMENTS, forward_paths
from ..evaluation.subjects import PATH_NUMBERS, whole_split
from ..files import write_together
from ..progress import Message, Progress, silent
from ..sampling import SamplingConfig, TrainedRun, load_run, sample
from ..sampling.schedulers import planned_chain
from ..training import load_split, read_history
from ..training.run_data import NOT_VERIFIED, at_place
from .figures import new_figure, png_bytes, show_grid
from .run_render import loss_plot

__all__ = [
    "FRAMES",
    "FRAME_MILLISECONDS",
    "LAST_FRAME_MILLISECONDS",
    "MOST_IMAGES",
    "Pictures",
    "class_grid",
    "film",
    "run_pictures",
    "strip",
    "write_pictures",
]

MOST_IMAGES = 400
"""Images of one grid at most."""
FRAMES = 48
"""Frames of a film at most."""
FRAME_MILLISECONDS = 80
LAST_FRAME_MILLISECONDS = 1500
_STRIP_ROWS = 4


@dataclass(frozen=True)
class Pictures:
    """Files by name, and why some are missing."""

    files: dict[str, bytes]
    notes: tuple[str, ...]


def run_pictures(
    folder: Path,
    config: SamplingConfig,
    *,
    cache: Path | None = None,
    data: Path | None = None,
    progress: Progress = silent,
) -> Pictures:
    """Draw a run.

    Args:
        folder: The run's folder.
        config: Way in which the images are sampled; their number is at most :data:`MOST_IMAGES`.
        cache: Folder of the domain classifiers, see :func:`class_grid`.
        data: Folder where the files of the run's data lie now; None looks where they were.
        progress: Callback that receives the progress messages.

    Returns:
        ``samples.png``, ``trajectory.png``, ``trajectory.gif``, ``forward.png``; ``loss.png`` where
        the folder holds metrics, ``classes.png`` where there are classes to tell apart.

    Raises:
        InvalidOption: If more images are asked for than a grid or memory holds.
        MissingData, InvalidData, InvalidCheckpoint: If the run cannot be loaded.
    """
    run = load_run(folder)
    run = replace(run, config=at_place(run.config, data))
    steps = len(
        planned_chain(run.process, config.scheduler, config.num_inference_steps, config.eta)[1]
    )
    numbers = (steps + 1) * config.num_images * int(np.prod(run.model.image_shape))
    if config.num_images > MOST_IMAGES or numbers > PATH_NUMBERS:
        most = min(MOST_IMAGES, PATH_NUMBERS * config.num_images // numbers)
        raise InvalidOption(
            f"A grid with its film holds at most {most} images of this run, got {config.num_images}."
        )
    progress(Message("sampling"))
    made = sample(run, config)
    left = np.linspace(steps, 0, len(made.trajectory)).round().astype(int)
    files = {
        "samples.png": _grid(made.images, f"{run.model.name}: {len(made.images)} samples"),
        "trajectory.png": strip(made.trajectory[:, :_STRIP_ROWS], left, "denoising: steps left"),
        "trajectory.gif": film(made.trajectory),
    }
    progress(Message("forward process"))
    split = load_split(run.config)
    images = torch.from_numpy(split.train.images[:_STRIP_ROWS])
    files["forward.png"] = strip(
        *forward_paths(run, images, config.seed), "forward process of training images: t"
    )
    notes = []
    if run.config.record is None:
        notes.append(f"{folder.resolve().name}: {NOT_VERIFIED}")
    try:
        files["loss.png"] = _losses(folder)
    except MissingData as error:
        notes.append(f"loss.png is left out: {error}")
    progress(Message("classes"))
    _, height, width = run.model.image_shape
    if height == width:
        whole = whole_split(run.config, run.model.image_shape, run.config.data.dataset)
        classes, note = class_grid(run, config, made.images, whole, cache)
        files |= {} if classes is None else {"classes.png": classes}
        notes.append(note)
    else:
        notes.append("classes.png is left out: the model makes states, not images.")
    return Pictures(files, tuple(notes))


def write_pictures(pictures: Pictures, folder: str | Path) -> tuple[Path, ...]:
    """Write all files, or none; older ones of the same names are replaced.

    Raises:
        OutputNotWritable: If the folder cannot be written.
    """
    folder = checked_path(folder, "folder")
    contents = {folder / name: content for name, content in pictures.files.items()}
    write_together(contents)
    return tuple(contents)


def strip(paths: np.ndarray, steps: np.ndarray, title: str) -> bytes:
    """Draw images on their way, one row each, at moments evenly spread over the way.

    Args:
        paths: ``(moments, images, channels, height, width)``.
        steps: ``(moments,)``: what stands above each column.
        title: Title of the whole picture.

    Returns:
        PNG bytes.
    """
    chosen = np.unique(np.linspace(0, len(paths) - 1, MOMENTS).round().astype(int))
    shown = paths[chosen]
    figure = new_figure((0.75 * len(chosen) + 0.4, 0.78 * paths.shape[1] + 0.5))
    axes: Any = np.atleast_1d(figure.subplots(1, len(chosen)))
    for axis, images, step in zip(axes, shown, steps[chosen], strict=True):
        show_grid(axis, images, 1, str(step))
    figure.suptitle(title, fontsize=9)
    return png_bytes(figure)


def film(trajectory: np.ndarray) -> bytes:
    """Draw the grid of all images on its way, as an animated GIF whose last frame stays a while.

    Args:
        trajectory: ``(moments, images, channels, height, width)``.
    """
    chosen = np.unique(np.linspace(0, len(trajectory) - 1, FRAMES).round().astype(int))
    scale = max(1, 320 // (trajectory.shape[-1] * math.ceil(math.sqrt(trajectory.shape[1]))))
    frames = []
    for images in trajectory[chosen]:
        grid = image_grid(np.clip(images, 0, 1)).repeat(scale, axis=0).repeat(scale, axis=1)
        frames.append(Image.fromarray(grid.squeeze(2) if grid.shape[2] == 1 else grid))
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[FRAME_MILLISECONDS] * (len(frames) - 1) + [LAST_FRAME_MILLISECONDS],
        loop=0,
    )
    return buffer.getvalue()


def class_grid(
    run: TrainedRun,
    config: SamplingConfig,
    images: np.ndarray,
    whole: Split,
    cache: Path | None,
) -> tuple[bytes | None, str]:
    """Draw samples class by class, a class a row.

    Args:
        run, config, images, whole, cache: The same as for
            :func:`~qdm_qiskit.evaluation.classes.class_rows`.

    Returns:
        PNG bytes, or None where there is one class only; and a sentence about which it was.
    """
    found = class_rows(run, config, images, whole, cache)
    if not found.rows:
        return None, f"classes.png is left out: {found.note}"
    columns = found.columns
    figure = new_figure((0.55 * columns + 1, 0.62 * len(found.rows) + 0.3))
    axes: Any = np.atleast_1d(figure.subplots(len(found.rows), 1))
    for axis, (label, row) in zip(axes, found.rows.items(), strict=True):
        blank = np.ones((columns - len(row), *images.shape[1:]), dtype=np.float32)
        show_grid(axis, np.concatenate([row, blank]), columns, "")
        axis.text(-0.01, 0.5, str(label), transform=axis.transAxes, ha="right", va="center")
    return png_bytes(figure), f"classes.png: {found.note}"


def _grid(images: np.ndarray, title: str) -> bytes:
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    figure = new_figure((max(2.5, 0.7 * columns), max(2.5, 0.7 * rows) + 0.3))
    show_grid(figure.subplots(), images, columns, title)
    return png_bytes(figure)


def _losses(folder: Path) -> bytes:
    figure = new_figure((7.5, 3.2))
    loss_plot(figure.subplots(), list(read_history(folder)))
    return png_bytes(figure)
