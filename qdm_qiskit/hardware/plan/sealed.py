"""Files of plans: a plan is written once with its id and hash, and refused if anything was changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...canonical_json import content_sha256
from ...errors import InvalidData
from ...files import read_json_object, write_json

__all__ = ["read_sealed", "write_sealed"]


def write_sealed(path: Path, content: Any, *, schema: str, key: str, name: str) -> None:
    """Write a plan with the hash of its content.

    Args:
        path: The file.
        content: The plan, in plain values.
        schema: Its schema.
        key: Key of its id.
        name: Its id.

    Raises:
        OutputNotWritable: If the file cannot be written.
    """
    found = content_sha256(content)
    write_json(path, {"schema": schema, key: name, "content_sha256": found, "content": content})


def read_sealed(path: Path, *, schemas: Sequence[str], key: str) -> tuple[dict[str, Any], str]:
    """Return what a plan's file holds, and the hash of its content.

    Args:
        path: The file.
        schemas: Schemas that are known.
        key: Key of its id.

    Raises:
        InvalidData: If it is truncated, changed, or of another schema.
    """
    whole = read_json_object(path)
    if set(whole) != {"schema", key, "content_sha256", "content"}:
        raise InvalidData(f"its keys are {sorted(whole)[:6]}")
    if whole["schema"] not in schemas:
        known = ", ".join(f"'{each}'" for each in schemas)
        one_of = "one of " if len(schemas) > 1 else ""
        raise InvalidData(f"its schema is {whole['schema']!r:.60}, not {one_of}{known}")
    found = content_sha256(whole["content"])
    if found != whole["content_sha256"]:
        raise InvalidData(
            f"it was changed after it was made: its content has the hash {found[:16]}, but it "
            f"was written with {whole['content_sha256']!r:.20}"
        )
    return whole, found
