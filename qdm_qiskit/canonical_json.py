"""Frozen dataclasses to JSON values and back; nothing is converted, nothing unknown is accepted.

:func:`qdm_qiskit.options.build` reads what people type; this reads what programs wrote, where a
text in place of a number is damage.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from typing import Any, TypeVar

from .errors import InvalidData, InvalidOption

__all__ = [
    "T",
    "canonical_json",
    "check",
    "check_fields",
    "content_sha256",
    "from_plain",
]

T = TypeVar("T")


def canonical_json(content: Any) -> bytes:
    """Return the one text of a JSON value: sorted keys, no spaces, ASCII, no NaN.

    >>> canonical_json({"b": 1, "a": (2, None)})
    b'{"a":[2,null],"b":1}'
    """
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def content_sha256(content: Any) -> str:
    """SHA-256 of :func:`canonical_json`, as 64 hex digits."""
    return hashlib.sha256(canonical_json(content)).hexdigest()


def from_plain(cls: type[T], value: Any, where: str = "") -> T:
    """Read a dataclass from JSON values.

    Args:
        cls: A dataclass whose fields are bool, int, float, str, a Literal, a tuple, another such
            dataclass, or one of them or None.
        value: Result of ``dataclasses.asdict`` and JSON for one.
        where: Path of the value, for messages.

    Returns:
        The dataclass; its own ``__post_init__`` has checked it.

    Raises:
        InvalidData: If a key is missing or unknown, or a value is of another type.
    """
    if not isinstance(value, dict):
        raise InvalidData(f"{where or cls.__name__} must be an object, got {_kind(value)}.")
    hints = typing.get_type_hints(cls)
    # A field that takes no part in comparison, such as a folder, is no content.
    names = [f.name for f in dataclasses.fields(cls) if f.compare]  # type: ignore[arg-type]
    if set(value) != set(names):
        missing, extra = sorted(set(names) - set(value)), sorted(set(value) - set(names))
        raise InvalidData(
            f"{where or cls.__name__} lacks {missing[:3]} and has the unknown {extra[:3]}."
        )
    return cls(**{n: _read(hints[n], value[n], f"{where}.{n}".lstrip(".")) for n in names})


def check(good: bool, rule: str, got: object) -> None:
    """Refuse a value that breaks a rule.

    Raises:
        InvalidOption: With the rule and what was received.
    """
    if not good:
        raise InvalidOption(f"{rule}, got {got!r}.")


def check_fields(record: Any) -> None:
    """Refuse a dataclass one of whose values is not of its field's kind, as its file would be.

    Args:
        record: As it was made, in its ``__post_init__``.

    Raises:
        InvalidOption: With the field, what it takes and what was given.
    """
    hints = typing.get_type_hints(type(record))
    for each in dataclasses.fields(record):
        value = getattr(record, each.name)
        try:
            if not (dataclasses.is_dataclass(value) and isinstance(value, hints[each.name])):
                _read(hints[each.name], value, each.name)
        except InvalidData as error:
            raise InvalidOption(str(error)) from None


def _read(expected: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _read(next(a for a in arguments if a is not type(None)), value, where)
    if origin is typing.Literal:
        if not isinstance(value, str) or value not in arguments:
            raise InvalidData(f"{where} is one of {', '.join(arguments)}; got {_shown(value)}.")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InvalidData(f"{where} must be a list, got {_kind(value)}.")
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise InvalidData(f"{where} holds {len(arguments)} values, got {len(value)}.")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(
            _read(kind, each, f"{where}[{k}]")
            for k, (kind, each) in enumerate(zip(kinds, value, strict=True))
        )
    if dataclasses.is_dataclass(expected):
        return from_plain(typing.cast(type, expected), value, where)
    if expected is float and type(value) is int:
        value = float(value) if abs(value) < 2**53 else value  # JSON writes 2.0 as 2 in places
    if type(value) is not expected or (expected is float and not math.isfinite(value)):
        raise InvalidData(f"{where} must be {expected.__name__}, got {_shown(value)}.")
    return value


def _kind(value: object) -> str:
    return type(value).__name__


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**20 else "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."
