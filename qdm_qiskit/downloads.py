"""Fetching a published file, by its checksum, and the folder where such files are kept."""

from __future__ import annotations

from pathlib import Path

from .errors import MissingData

__all__ = [
    "cache_folder",
    "download",
]


def cache_folder() -> Path:
    """Return the user's cache folder for this package (below ``$XDG_CACHE_HOME`` on Linux)."""
    import pooch

    return Path(pooch.os_cache("qdm_qiskit"))


def download(url: str, *, checksum: str, folder: Path, name: str) -> Path:
    """Return a file in a folder, downloaded if it is not there yet.

    Args:
        url: Address at which it is published.
        checksum: ``algorithm:hexadecimal digest``; a file of another is not accepted, there or new.
        folder: Folder in which it is kept.
        name: Its name there.

    Returns:
        Its path.

    Raises:
        MissingData: If it cannot be had. The message is the bare reason: the caller knows what the
            file is for and what else can be done.
    """
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # its line about the address would stand before our one-line error
    try:
        return Path(pooch.retrieve(url, known_hash=checksum, fname=name, path=folder))
    except ValueError as error:  # a wrong hash; errors of requests are OSErrors
        if type(error) is not ValueError:
            raise MissingData(type(error).__name__) from error
        raise MissingData("its checksum differs from the published one") from error
    except OSError as error:
        # Only our own words: requests' texts run over lines and may quote a proxy's password.
        raise MissingData(error.strerror or type(error).__name__) from error
    finally:
        logger.setLevel(level)
