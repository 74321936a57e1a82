"""Places of data: absolute ones of those that options name, and new ones of data that moved."""

from __future__ import annotations

import os
from pathlib import Path

from ..arguments import checked_path
from ..errors import InvalidOption, MissingData

__all__ = [
    "CSV",
    "NPZ",
    "absolute_place",
    "exists",
    "moved_to",
    "own_file",
    "own_path",
]

NPZ = "npz:"
"""Beginning of the name of a user's own images."""
CSV = "csv:"
"""Beginning of the name of a user's own table."""


def own_file(dataset: str) -> str | None:
    """Return how the name of a user's own file begins, or None of another data set.

    >>> own_file("csv:mine.csv"), own_file("digits")
    ('csv:', None)
    """
    return next((kind for kind in (NPZ, CSV) if dataset.startswith(kind)), None)


def own_path(dataset: str, kind: str) -> str:
    """Return the path in the name of a user's own file.

    Raises:
        InvalidOption: If the name ends where the path should begin.
    """
    if dataset == kind:
        raise InvalidOption(f"dataset '{kind}' names no file; give it as {kind}PATH.")
    return dataset.removeprefix(kind)


def absolute_place(dataset: str, folder: str | None) -> tuple[str, str | None]:
    """Return a data set's name and folder, with paths that hold in any working directory.

    Args:
        dataset: A name, ``npz:PATH`` or ``csv:PATH``.
        folder: Folder of published files, if one is given.

    Returns:
        Both; a name without a path, and None, stay as they are.

    Raises:
        InvalidOption: If the name ends where the path should begin.
    """
    kind = own_file(dataset)
    if kind is not None:
        dataset = f"{kind}{_absolute(own_path(dataset, kind))}"
    return dataset, None if folder is None else str(_absolute(folder))


def exists(dataset: str, folder: str | None) -> bool:
    """Return whether a data set's files are where they should be; True if it names no folder."""
    kind = own_file(dataset)
    if kind is not None:
        return Path(dataset.removeprefix(kind)).is_file()
    return folder is None or Path(folder).is_dir()


def moved_to(dataset: str, place: str | Path) -> tuple[str, str | None]:
    """Return the name and folder of a data set whose files lie somewhere else now.

    Args:
        dataset: Its name, or ``npz:PATH`` or ``csv:PATH`` with the place where it was.
        place: The file of such a data set, or a folder with a file of its name; the folder of
            published files.

    Raises:
        MissingData: If there is neither.
        InvalidOption: If published files are given by one file instead of their folder.
    """
    place = _absolute(checked_path(place, "data"))
    kind = own_file(dataset)
    if kind is not None:
        if place.is_dir():
            place /= Path(dataset.removeprefix(kind)).name
        if not place.is_file():
            raise MissingData(f"There is no file {place} to take the data from.")
        return f"{kind}{place}", None
    if place.is_file():
        raise InvalidOption(f"The files of '{dataset}' are given by their folder, got {place}.")
    if not place.is_dir():
        raise MissingData(f"There is no folder {place} to take '{dataset}' from.")
    return dataset, str(place)


def _absolute(path: str | Path) -> Path:
    """Return an absolute path that keeps links: who points one to other data should be told."""
    path = Path(path).expanduser()
    plain = Path(os.path.abspath(path))
    # Behind a link to a folder, ".." is not what the text says.
    same = os.path.realpath(plain) == os.path.realpath(path)
    return plain if same else path.absolute()
