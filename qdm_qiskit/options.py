"""Options are frozen dataclasses; text from the command line becomes their values here."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from .errors import InvalidOption, unknown_name

T = TypeVar("T")

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def field_types(options: type) -> dict[str, Any]:
    """Names and types of the fields of an options class, in their order."""
    hints = typing.get_type_hints(options)
    return {field.name: hints[field.name] for field in dataclasses.fields(options)}


def build(options: type[T], values: Mapping[str, Any]) -> T:
    """Make options from names and values; a value may be text.

    Args:
        options: A frozen dataclass.
        values: Field name to value.

    Returns:
        The options.

    Raises:
        InvalidOption: If a name is unknown or a value does not fit its type.
    """
    known = field_types(options)
    for name in values:
        if name not in known:
            raise InvalidOption(str(unknown_name("option", name, known)))
    return options(**{name: convert(name, value, known[name]) for name, value in values.items()})


def convert(name: str, value: Any, expected: Any) -> Any:
    """A value as the type of its option.

    Args:
        name: The option, for the message.
        value: Text, a JSON value, or a value that fits already.
        expected: bool, int, float, str, a Literal, a tuple of one of them, or one of them or None.

    Returns:
        The value in that type.

    Raises:
        InvalidOption: If it cannot be read as that type.

    >>> convert("depth", "10", int), convert("classes", "0,1", tuple[int, ...])
    (10, (0, 1))
    """
    origin = typing.get_origin(expected)
    if origin in (typing.Union, types.UnionType):
        choices = typing.get_args(expected)
        if type(None) in choices and (value is None or value in ("none", "None")):
            return None
        return convert(name, value, next(c for c in choices if c is not type(None)))
    if origin is typing.Literal:
        choices = typing.get_args(expected)
        if value not in choices:
            raise InvalidOption(f"{name} is one of {', '.join(choices)}; got {value!r}.")
        return value
    if origin is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        if isinstance(value, str) and not value.strip():
            parts = []
        if not isinstance(parts, list | tuple):
            raise InvalidOption(f"{name} is a comma-separated list, got {value!r}.")
        return tuple(convert(name, part, typing.get_args(expected)[0]) for part in parts)
    if expected is bool:
        word = _WORDS.get(str(value).strip().lower())
        if word is None:
            raise InvalidOption(f"{name} is true or false, got {value!r}.")
        return word
    if expected is str:
        if not isinstance(value, str):
            raise InvalidOption(f"{name} is text, got {value!r}.")
        return value
    try:
        if isinstance(value, bool) or (expected is int and isinstance(value, float)):
            raise ValueError
        return expected(value)
    except (TypeError, ValueError, OverflowError):
        kind = {int: "a whole number", float: "a number"}[expected]
        raise InvalidOption(f"{name} is {kind}, got {value!r}.") from None


def parse_assignments(assignments: list[str]) -> dict[str, str]:
    """``["depth=10", "lr=0.1"]`` as a dict of texts.

    Raises:
        InvalidOption: If one has no ``=`` or a name stands twice.
    """
    values: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InvalidOption(f"Options are set as name=value, got '{assignment}'.")
        if name in values:
            raise InvalidOption(f"Option '{name}' is set twice.")
        values[name] = value.strip()
    return values
