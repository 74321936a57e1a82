"""Writing files so that a reader sees the old content or the new one, never half of it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import InvalidData, OutputNotWritable


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file through a temporary neighbour, then move it into place.

    Args:
        path: The file; its folder is made if it is missing.
        write: Writes the content to the path that it is given.

    Raises:
        OutputNotWritable: If the folder is read-only, the disk is full, or a file stands in the way;
            the temporary file is removed and ``path`` is as it was.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept: some writers choose their format by it.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=path.suffix)
        os.close(handle)
        write(Path(temporary))
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OutputNotWritable(
            f"Cannot write {path}: {error.strerror or error}. Choose a folder with write permission "
            "and free space."
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, all of them or none; older ones are replaced only when all are written.

    Args:
        contents: File to content; folders are made.

    Raises:
        OutputNotWritable: If one cannot be written; nothing has changed then.
    """
    parts: dict[Path, Path] = {}
    made = {each for path in contents for each in path.parents if not each.exists()}
    done = False
    try:
        for path, content in contents.items():
            part = path.with_name(f".part-{os.getpid()}-{path.name}")
            parts[path] = part
            write_bytes(part, content)
        for path, part in parts.items():
            try:
                os.replace(part, path)
            except OSError as error:
                raise OutputNotWritable(
                    f"Cannot write {path}: {error.strerror or error}."
                ) from error
        done = True
    finally:
        for part in parts.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)
        if not done:
            for folder in sorted(made, reverse=True):  # the innermost first
                with suppress(OSError):
                    folder.rmdir()


def write_bytes(path: Path, content: bytes) -> None:
    """:func:`write_atomic` for bytes at hand."""
    write_atomic(path, lambda part: _ignore(part.write_bytes(content)))


def write_text(path: Path, content: str) -> None:
    """:func:`write_atomic` for text, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """:func:`write_atomic` for JSON with sorted keys; NaN is refused, JSON has no such number."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        InvalidData: If the file is missing, no JSON, or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # bad UTF-8, bad JSON, absurd integers
        raise InvalidData(f"{path} is not a readable JSON file: {error}.") from error
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
