"""Where metrics, options and sample images of a run go beside its folder: trackers of accelerate's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..arguments import wrong
from ..errors import InvalidOption, MissingDependency, TargetUnavailable
from ..progress import Progress, silent
from .config import RunConfig
from .hyperparameters import log_hyperparameters, plain_options
from .progress import Warned

__all__ = ["LOGS", "PROJECT", "RunLog", "log_names"]

LOGS = ("tensorboard", "wandb", "mlflow")
"""Trackers by name."""
PROJECT = "qdm_qiskit"
"""Project of Weights & Biases and experiment of MLflow where their environment names none."""


def log_names(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return names of trackers.

    Args:
        given: Names, or one text with commas; ``"none"`` for no tracker at all.

    Raises:
        InvalidArgument: If they are no names.
        InvalidOption: If there is no tracker of a name.
        MissingDependency: If its package is not installed.

    >>> log_names("tensorboard"), log_names("none")
    (('tensorboard',), ())
    """
    if not isinstance(given, Iterable):
        raise wrong(given, "log_with", "a name, or a list of names")
    parts = given.split(",") if isinstance(given, str) else list(given)
    names = tuple(dict.fromkeys(str(each).strip() for each in parts))
    if names == ("none",):
        return ()
    for name in names:
        if name not in LOGS:
            raise InvalidOption(f"log_with takes {', '.join(LOGS)}, or none; got '{name}'.")
        if find_spec(name) is None:
            raise MissingDependency(
                f"log_with={name} needs the package {name}: pip install 'qdm_qiskit[{name}]'."
            )
    return names


class RunLog:
    """Trackers of one run.

    TensorBoard's, which takes a while to import, is opened at the end of the first epoch: there is
    nothing to write before. The others are opened at once, so that a missing login is said before
    anything is trained; one that fails later is left out, and the run goes on.

    Args:
        names: From :func:`log_names`; none in processes that do not lead.
        run: The run's folder.
        config: The run.
        progress: Receives a warning where a tracker is left out.

    Raises:
        TargetUnavailable: If a tracker cannot begin.
    """

    def __init__(
        self, names: Sequence[str], run: Path, config: RunConfig, progress: Progress = silent
    ) -> None:
        self.run, self.config, self.progress = run, config, progress
        self._boards = [name for name in names if name == "tensorboard"]
        self._trackers = {name: self._open(name) for name in names if name != "tensorboard"}

    def write(self, row: Mapping[str, float], epoch: int) -> None:
        """Write the metrics of an epoch.

        Raises:
            OSError: If TensorBoard's folder cannot be written.
        """
        self._each(lambda name, tracker: tracker.log(dict(row), step=epoch))

    def picture(self, png: Path, epoch: int) -> None:
        """Write an epoch's grid of samples.

        Raises: as :meth:`write`.
        """

        def write(name: str, tracker: Any) -> None:
            if name == "mlflow":  # its tracker of accelerate's takes files, no images
                tracker.log_artifact(str(png), "samples")
            elif name == "tensorboard":
                images = {"samples": _pixels(png)[None]}
                tracker.log_images(images, step=epoch, dataformats="NHWC")
            else:
                tracker.log_images({"samples": _pixels(png)[None]}, step=epoch)

        self._each(write)

    def close(self) -> None:
        """End the log; it flushes once more what could not be written, or never was opened."""
        opened, self._trackers, self._boards = self._trackers, {}, []
        for name, tracker in opened.items():
            with suppress(Exception if name != "tensorboard" else OSError, AttributeError):
                tracker.finish()

    def _each(self, write: Callable[[str, Any], None]) -> None:
        for name in self._boards:
            self._trackers.setdefault(name, None)
            if self._trackers[name] is None:
                self._trackers[name] = self._open(name)
        for name, tracker in list(self._trackers.items()):
            try:
                write(name, tracker)
            except Exception as error:
                if name == "tensorboard":
                    raise
                del self._trackers[name]
                self.progress(Warned(f"{name} is left out from here on: {_words(error)}."))

    def _open(self, name: str) -> Any:
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        PartialState()  # its trackers ask it who leads
        kind = LOGGER_TYPE_TO_CLASS[name]
        if name == "tensorboard":
            tracker = kind(name, str(self.run))
            tracker.start()
            log_hyperparameters(tracker.tracker, self.config)
            return tracker
        try:
            tracker = _wandb(kind, self.run) if name == "wandb" else _mlflow(kind, self.run)
            tracker.start()
            tracker.store_init_configuration(plain_options(self.config))
        except Exception as error:  # of any class: no login, no server, no network
            raise TargetUnavailable(
                f"{name} cannot log {self.run}: {_words(error)}. Set it up, or leave it out of "
                "log_with."
            ) from error
        return tracker


def _wandb(kind: Any, run: Path) -> Any:
    project = os.environ.get("WANDB_PROJECT", PROJECT)
    return kind(project, dir=str(run), name=run.name, reinit="finish_previous")


def _mlflow(kind: Any, run: Path) -> Any:
    return kind(PROJECT, run_name=run.name)


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _pixels(png: Path) -> Any:
    """Return a picture's pixels, ``(height, width, 3)`` of uint8."""
    import numpy as np
    from PIL import Image

    with Image.open(png) as image:
        return np.asarray(image.convert("RGB"))
