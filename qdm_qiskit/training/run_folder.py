"""A run's folder before and after training: what may begin in it, and what a failure takes back."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from ..errors import InvalidCheckpoint, InvalidData, InvalidOption
from ..files import read_json_object
from .checkpoint import checkpoints
from .config import RunConfig, run_from_dict


def check_no_run(run: Path, folder: Path) -> None:
    """Refuse to start afresh where there is a run: ``folder`` is where its checkpoints would be.

    Raises:
        InvalidOption: If there is one.
    """
    if checkpoints(folder):
        raise InvalidOption(
            f"{run} holds a run already; continue it with --resume latest, or choose another folder."
        )


def check_same_run(run: Path, config: RunConfig) -> None:
    """Refuse to continue a run under another configuration: the result would be neither.

    Raises:
        InvalidCheckpoint: If the folder's own configuration cannot be read.
        InvalidOption: If it differs in more than its epochs.
    """
    try:
        saved = run_from_dict(read_json_object(run / "config.json"))
    except (InvalidData, InvalidOption) as error:
        raise InvalidCheckpoint(f"{run} cannot be resumed: {error}") from error
    if saved.with_epochs(config.training.epochs) != config:
        raise InvalidOption(
            f"{run} was started with other options, and only epochs may change on resume; "
            f"take those of {run / 'config.json'}, or another folder for a new run."
        )


class Footprint:
    """How a folder was before a run touched it, to take back a run that could not begin.

    Args:
        run: The folder; it need not exist.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.existed = run, run.exists()
        self.was_empty = not self.existed or (run.is_dir() and not any(run.iterdir()))

    def remove(self) -> None:
        """Remove what has been written, if the folder was empty before: nothing else is ours."""
        if not self.was_empty:
            return
        with suppress(OSError):
            for each in self.run.iterdir():
                if each.is_dir():
                    shutil.rmtree(each, ignore_errors=True)
                else:
                    each.unlink(missing_ok=True)
            if not self.existed:
                self.run.rmdir()
