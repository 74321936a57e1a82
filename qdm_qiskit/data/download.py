"""Places of a data set's files: a given folder, the system's package, the cache.

The order is fixed, and a folder that was asked for is never silently replaced by another place.
"""

from __future__ import annotations

from pathlib import Path

from ..arguments import checked_path
from ..downloads import cache_folder, download
from ..errors import MissingData
from .catalog import DatasetInfo, RemoteFile

__all__ = [
    "cache_folder",
    "candidate_folders",
    "fetch",
    "missing_in_folder",
]


def candidate_folders(info: DatasetInfo, folder: str | Path | None) -> list[Path]:
    """Return the folders on this machine that may hold the files of a data set, best first.

    Args:
        info: The data set.
        folder: The user's folder; if given, only it and its known subfolders count.

    Raises:
        MissingData: If ``folder`` is given and is no folder.
    """
    if folder is None:
        return [Path(info.system_folder)] if info.system_folder else []
    folder = checked_path(folder, "folder").expanduser()
    if not folder.is_dir():
        raise MissingData(f"The data folder {folder} for '{info.name}' is not a folder.")
    return [folder, *(folder / name for name in info.folder_names)]


def missing_in_folder(info: DatasetInfo, folder: str | Path, wanted: str) -> MissingData:
    """Return the error for a user's folder without the files, for the caller to raise.

    Args:
        info: The data set.
        folder: Folder that was searched.
        wanted: The files that must be there, in words.
    """
    below = ", ".join(info.folder_names)
    return MissingData(
        f"The folder {folder} (and {below} below it) does not hold '{info.name}': it needs "
        f"{wanted}. Put them there, or leave the folder option out."
    )


def fetch(info: DatasetInfo, file: RemoteFile) -> Path:
    """Return one published file in the cache, downloaded if it is not there yet.

    Args:
        info: The data set that the file belongs to.
        file: File to fetch; a file of another checksum is not accepted, cached or new.

    Returns:
        The path of the cached file.

    Raises:
        MissingData: If it cannot be downloaded; the message says what else can be done.
    """
    folder = cache_folder() / info.name
    try:
        return download(file.url, checksum=file.checksum, folder=folder, name=file.name)
    except MissingData as reason:
        raise MissingData(
            f"'{info.name}' is not on this machine, and {file.url} could not be downloaded to "
            f"{folder} ({reason}): {_ways_out(info)}."
        ) from reason


def _ways_out(info: DatasetInfo) -> str:
    names = ", ".join(file.name for file in info.files)
    how = "folder=PATH; `qdm train --set folder=PATH`, `qdm data show --folder PATH`"
    ways = [f"give a folder that holds {names} ({how})"]
    if info.system_package:
        ways.append(f"install the Debian package {info.system_package}")
    return ", or ".join([*ways, "use the dataset 'digits', which needs no file"])
