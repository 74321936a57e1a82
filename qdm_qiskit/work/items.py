"""An item of work: an address, a function and JSON values; a worker does it and keeps its result."""

from __future__ import annotations

import fcntl
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ..canonical_json import content_sha256
from ..errors import InvalidData, InvalidOption, OutputNotWritable, WorkersUnavailable
from ..files import read_json_object, write_json
from ..rng import derived_seed
from ..version import __version__

__all__ = [
    "PACKAGES",
    "SCHEMA",
    "Stopped",
    "WorkItem",
    "busy",
    "do_item",
    "item_seed",
    "read_result",
    "versions_here",
]

SCHEMA = "qdm-work-item/1"
PACKAGES = ("qiskit", "torch", "numpy")
"""Packages besides this one whose version may change the last bits of a result."""
_ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,=+@-]{0,199}")
_ONE_AT_A_TIME = threading.Lock()


class Stopped(Exception):
    """An item was asked to stop before its end, and goes on from there when it is done again."""


@dataclass(frozen=True)
class WorkItem:
    """A piece of work that any process can do.

    Args:
        address: Name of its own among the items of a folder, of letters, digits and ``_.,=+@-``.
        call: Function of a module, called as ``call(folder, **arguments)``; returns a JSON object.
            It draws random numbers from its arguments alone, such as :func:`item_seed`.
        arguments: JSON values. Paths in them are relative to the folder, or absolute.
        aside: Further JSON values on which the result does not depend, such as where a log goes: an
            item that is done is done whatever they are.

    Raises:
        InvalidOption: If the address cannot be a file's name.
    """

    address: str
    call: Callable[..., dict[str, Any]]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    aside: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.address):
            raise InvalidOption(
                "An address is of letters, digits and _.,=+@-, at most 200 of them, and begins with a "
                f"letter or digit, got '{self.address}'."
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what is called with which arguments."""
        called = f"{self.call.__module__}:{self.call.__qualname__}"
        return content_sha256({"call": called, "arguments": dict(self.arguments)})

    def result_file(self, folder: Path) -> Path:
        """Return where its result is kept."""
        return folder / "items" / f"{self.address}.json"


def item_seed(seed: int, address: str) -> int:
    """Return the seed of an item: of its address, whoever does it, and when.

    >>> item_seed(0, "a") == item_seed(0, "a") != item_seed(0, "b")
    True
    """
    digest = hashlib.sha256(address.encode()).digest()
    words = (int.from_bytes(digest[at : at + 4], "big") for at in range(0, 16, 4))
    return derived_seed(seed, "work", *words)


def read_result(item: WorkItem, folder: Path) -> dict[str, Any] | None:
    """Return the result of an item that is done; None if it is to be done, or was another one.

    Raises:
        InvalidData: If its file is damaged.
    """
    path = item.result_file(folder)
    if not path.is_file():
        return None
    content = read_json_object(path)
    if content.get("schema") != SCHEMA or not isinstance(content.get("result"), dict):
        raise InvalidData(
            f"{path} is no result of schema '{SCHEMA}': remove it, and its item is done again."
        )
    if content.get("fingerprint") != item.fingerprint:
        return None
    return dict(content["result"])


def versions_here() -> dict[str, str]:
    """Return versions of this package and of :data:`PACKAGES` in this process."""
    return {"qdm_qiskit": __version__, **{name: metadata.version(name) for name in PACKAGES}}


def do_item(item: WorkItem, folder: str, versions: Mapping[str, str]) -> dict[str, Any]:
    """Do an item, unless its result is there; called in whichever process works.

    One process does one item at a time, and of several processes that were given the same one, as
    after a connection that broke, one does it and the others take its result.

    Args:
        item: The item.
        folder: Absolute path of the folder, the same for all workers.
        versions: :func:`versions_here` of whoever sent it.

    Returns:
        Its result.

    Raises:
        WorkersUnavailable: If this worker has other versions.
        Others: As the item's function.
    """
    check_versions(versions)
    place = Path(folder)
    with _ONE_AT_A_TIME, _claimed(place / "items" / f".{item.address}.lock"):
        found = read_result(item, place)
        if found is not None:
            return found
        started = time.perf_counter()
        result = item.call(place, **item.arguments, **item.aside)
        content = {
            "schema": SCHEMA,
            "address": item.address,
            "fingerprint": item.fingerprint,
            "seconds": time.perf_counter() - started,
            "result": result,
        }
        write_json(item.result_file(place), content)
        return result


def check_versions(wanted: Mapping[str, str]) -> None:
    """Refuse to work for a process of other versions.

    Raises:
        WorkersUnavailable: If they differ.
    """
    here = versions_here()
    other = [f"{name} {here.get(name)}" for name in wanted if wanted[name] != here.get(name)]
    if other:
        import platform

        theirs = ", ".join(f"{name} {wanted[name]}" for name in wanted)
        raise WorkersUnavailable(
            f"A worker on {platform.node()} has {', '.join(other)}, and its results might differ: "
            f"install {theirs} there, as here."
        )


def busy(seconds: float) -> bool:
    """Return True if this process still does an item after a wait of so many seconds."""
    free = _ONE_AT_A_TIME.acquire(timeout=seconds)
    if free:
        _ONE_AT_A_TIME.release()
    return not free


@contextmanager
def _claimed(path: Path) -> Iterator[None]:
    """Hold a lock file, which the system frees when the process dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        if error.filename != str(path) and error.filename != str(path.parent):
            raise
        raise OutputNotWritable(
            f"Cannot write {path}: {error.strerror or error}. Choose a folder that every worker can "
            "write."
        ) from error
