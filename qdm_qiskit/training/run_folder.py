"""A run's folder before and after training: what may begin in it, and what a failure takes back."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..data.places import exists, own_file
from ..errors import InvalidCheckpoint, InvalidData, InvalidOption
from ..files import read_json_object
from .checkpoint import checkpoints, find_checkpoint
from .config import DataConfig, RunConfig, run_from_dict
from .run_data import at_absolute_place, at_place

__all__ = [
    "Footprint",
    "check_no_run",
    "check_same_run",
    "resumed",
    "saved_run",
]


def check_no_run(run: Path, folder: Path) -> None:
    """Refuse to start afresh where there is a run: ``folder`` is where its checkpoints would be.

    Raises:
        InvalidOption: If there is one.
    """
    if checkpoints(folder):
        raise InvalidOption(
            f"{run} holds a run already: continue_training(run) or `qdm train --resume latest` goes "
            "on with it; or choose another folder."
        )


def saved_run(run: Path) -> RunConfig:
    """The configuration in a run's folder.

    Raises:
        InvalidCheckpoint: If it cannot be read.
    """
    try:
        return run_from_dict(read_json_object(run / "config.json"))
    except (InvalidData, InvalidOption) as error:
        raise InvalidCheckpoint(f"{run} cannot be resumed: {error}") from error


def check_same_run(run: Path, config: RunConfig) -> RunConfig:
    """Refuse to continue a run under another configuration: the result would be neither.

    Where the folder has a record of the data, they may lie in another place: it is compared with the
    record that they are the same.

    Returns:
        The folder's own configuration.

    Raises:
        InvalidCheckpoint: If the folder's own configuration cannot be read.
        InvalidOption: If it differs in more than its epochs.
    """
    saved = saved_run(run)
    ours, theirs = (at_absolute_place(each.data) for each in (config, saved))
    if saved.record is not None and _kind(ours) == _kind(theirs):
        ours = replace(ours, dataset=theirs.dataset, folder=theirs.folder)
    if replace(saved.with_epochs(config.training.epochs), data=theirs) != replace(
        config, data=ours
    ):
        raise InvalidOption(
            f"{run} was started with other options, and only epochs may change on resume; "
            f"take those of {run / 'config.json'}, or another folder for a new run."
        )
    return saved


def resumed(run: Path, which: str, config: RunConfig, data: str | Path | None) -> RunConfig:
    """A run that is continued: with the record of its data, and where they lie now.

    Args:
        run: The run's folder.
        which: "latest" or a checkpoint's name.
        config: The run, as its caller knows it.
        data: Another place of its data; None for where they were.

    Raises:
        InvalidCheckpoint, MissingData: If there is no such checkpoint.
        InvalidOption: If the folder is a checkpoint itself, or its run is another one.
    """
    checkpoint = find_checkpoint(run, which)
    if checkpoint == run:
        raise InvalidOption(
            f"{run} is a checkpoint, whose files would be overwritten: resume its run, "
            f"{run.parent.parent}, from '{run.name}'."
        )
    saved = check_same_run(run, config)
    place = at_absolute_place(config.data)
    if not exists(
        place.dataset, place.folder
    ):  # a relative path, named in another working directory
        place = at_absolute_place(saved.data)
    return at_place(replace(config, data=place, record=saved.record), data)


def _kind(data: DataConfig) -> str:
    """The name of a data set without a user's path."""
    return own_file(data.dataset) or data.dataset


class Footprint:
    """State of a folder before a run touched it, to take back a run that could not begin.

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
