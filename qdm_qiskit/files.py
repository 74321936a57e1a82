"""Writing files so that a reader sees the old content or the new one, never half of it."""

from __future__ import annotations

import json
import math
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import InvalidData, OutputNotWritable

__all__ = [
    "MOST_JSON_BYTES",
    "check_writable",
    "parse_json",
    "read_json_object",
    "write_atomic",
    "write_bytes",
    "write_json",
    "write_text",
    "write_together",
]

MOST_JSON_BYTES = 2**26
"""Most bytes of a JSON file; parsed, they take about twenty times as many."""


def write_atomic(path: Path, write: Callable[[Path], None], *, mode: int = 0o666) -> None:
    """Write a file through a temporary neighbour, then move it into place.

    Args:
        path: The file; its folder is made if it is missing. One that is replaced hands on its
            permissions.
        write: Writes the content to the path that it is given.
        mode: Permissions of a new file, less those that the process's umask takes away.

    Raises:
        OutputNotWritable: If the folder is read-only, the disk is full, or a file stands in the way;
            the temporary file is removed and ``path`` is as it was.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept: some writers choose their format by it.
        temporary = path.with_name(f".part-{uuid.uuid4().hex}{path.suffix}")
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        mode = _permissions(path, temporary)
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, mode)  # some writers make the file anew
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OutputNotWritable(
            f"Cannot write {path}: {error.strerror or error}. Choose a folder with write permission "
            "and free space."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _permissions(path: Path, new: Path) -> int:
    """Return the permissions of a file that is there, else those that a new one was given."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return stat.S_IMODE(new.stat().st_mode)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, all of them or none.

    All are written beside their places first, and older ones get a second name. Only then are they
    moved, one after the other; if one cannot be, or Ctrl-C comes between two, those moved before
    are put back. No file system moves several files at once: a process that is
    killed, or a machine that stops, between two moves leaves some files new and some old, each of
    them whole, and ``.old-`` files beside them.

    Args:
        contents: File to content; folders are made.

    Raises:
        OutputNotWritable: If one cannot be written; nothing has changed then, or the error names
            what could not be put back.
    """
    made = {each for path in contents for each in path.parents if not each.exists()}
    parts: dict[Path, Path] = {}
    kept: dict[Path, Path] = {}
    moved: list[Path] = []
    done = False
    try:
        for path, content in contents.items():
            parts[path] = path.with_name(f".part-{os.getpid()}-{path.name}")
            write_bytes(parts[path], content)
        try:
            for path in contents:
                if os.path.lexists(path):
                    kept[path] = path.with_name(f".old-{os.getpid()}-{path.name}")
                    _second_name(path, kept[path])
            for path, part in parts.items():
                moved.append(path)
                os.replace(part, path)
        except OSError as error:
            raise OutputNotWritable(
                f"Cannot write {path}: {error.strerror or error}. Choose a folder with write "
                "permission and free space."
            ) from error
        done = True
    finally:
        left = [] if done else _put_back(moved, parts, kept)
        for path, other in [*parts.items(), *kept.items()]:
            if path not in left:
                with suppress(OSError):
                    other.unlink(missing_ok=True)
        if not done:
            for folder in sorted(made, reverse=True):  # the innermost first
                with suppress(OSError):
                    folder.rmdir()
        if left:
            names = ", ".join(
                f"{path} ({f'its old content is {kept[path]}' if path in kept else 'was not there'})"
                for path in left
            )
            raise OutputNotWritable(
                f"Of files that are written together some are new and cannot be put back: {names}."
            )


def _second_name(path: Path, other: Path) -> None:
    """Give a file another name, so that its content outlives its replacement."""
    if path.is_dir():
        raise IsADirectoryError(21, "a folder stands where a file is to be written", str(path))
    other.unlink(missing_ok=True)  # of a process that was killed and had this number
    try:
        os.link(path, other, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(path, other, follow_symlinks=False)


def _put_back(
    moved: list[Path], parts: Mapping[Path, Path], kept: Mapping[Path, Path]
) -> list[Path]:
    """Undo moves; the files that could not be put back."""
    left = []
    for path in reversed(moved):
        if os.path.lexists(parts[path]):
            continue  # it was not moved
        try:
            if path in kept:
                os.replace(kept[path], path)
            else:
                path.unlink()
        except OSError:
            left.append(path)
    return left


def write_bytes(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write bytes at hand as :func:`write_atomic` does."""
    write_atomic(path, lambda part: _ignore(part.write_bytes(content)), mode=mode)


def write_text(path: Path, content: str) -> None:
    """Write text, as UTF-8, as :func:`write_atomic` does."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys as :func:`write_atomic` does; NaN, no JSON number, is refused."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON, as the standard has it: without NaN and infinities, and numbers that can be used.

    Args:
        text: JSON; bytes are UTF-8.

    Raises:
        ValueError: If it is no such JSON, an integer has more than 128 bits, or a number is beyond
            double precision.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
        return json.loads(text, parse_constant=_no_constant, parse_float=_float, parse_int=_integer)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _float(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise ValueError(f"{text:.20} is beyond double precision")
    return found


def _integer(text: str) -> int:
    if len(text) > 40 or (found := int(text)).bit_length() > 128:
        raise ValueError(f"an integer of {len(text)} digits")
    return found


def read_json_object(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file.

    Raises:
        InvalidData: If the file is missing, too large, no JSON (:func:`parse_json`), or not an object.
    """
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise ValueError(f"it has more than {MOST_JSON_BYTES} bytes")
        content = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise InvalidData(f"{path} is not a readable JSON file: {reason}.") from error
    if not isinstance(content, dict):
        raise InvalidData(f"{path} must hold a JSON object, got {type(content).__name__}.")
    return content


def check_writable(folder: Path) -> None:
    """Refuse early where results could not be written; nothing is left behind.

    Args:
        folder: The output folder; it need not exist.

    Raises:
        OutputNotWritable: If it cannot be made or written into.
    """
    try:
        nearest = folder
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            raise NotADirectoryError(20, "a file stands where a folder is needed", str(nearest))
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
    except OSError as error:
        raise OutputNotWritable(
            f"Cannot write into {folder}: {error.strerror or error}. Choose a folder with write "
            "permission and free space."
        ) from error


def _ignore(_: object) -> None:
    """Turn a writer's return value into None."""
