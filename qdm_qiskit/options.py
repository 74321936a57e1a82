"""Options are frozen dataclasses; text from the command line becomes their values here."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from .arguments import checked_text, of_kind, real_number, whole_number, wrong
from .errors import InvalidArgument, InvalidOption, unknown_name

__all__ = [
    "OptionText",
    "T",
    "build",
    "convert",
    "explain",
    "field_types",
    "parse_assignments",
    "settle",
]

T = TypeVar("T")

_ROLE = re.compile(r":[a-z:]+:`~?([^`<]+)`")
"""A reference for Sphinx, as of a class or module: a terminal shows its name."""

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def field_types(options: type) -> dict[str, Any]:
    """Return names and types of the fields of an options class, in their order."""
    return dict(_field_types(options))


@lru_cache(maxsize=256)
def _field_types(options: type) -> dict[str, Any]:
    """Evaluate the types' text once: a sweep asks a thousand times."""
    hints = typing.get_type_hints(options)
    return {field.name: hints[field.name] for field in dataclasses.fields(options)}


@dataclasses.dataclass(frozen=True)
class OptionText:
    """An option in words."""

    name: str
    choices: str
    """Its values, or their kind: ``"adam, spsa"``, ``"true, false"``, ``"whole number"``."""
    default: Any
    """``dataclasses.MISSING`` where there is none."""
    meaning: str
    """What the class says of the field; empty if nothing."""


def explain(options: type) -> tuple[OptionText, ...]:
    """Return the fields of an options class in words, in their order.

    The meaning is the string under a field, which is read from the source of the class, as Sphinx and
    editors do. It is empty where there is no source.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Options:
    ...     width: int = 3
    >>> explain(Options)
    (OptionText(name='width', choices='whole number', default=3, meaning=''),)
    """
    meanings: dict[str, str] = {}
    for each in reversed(options.__mro__):
        if dataclasses.is_dataclass(each):
            meanings.update(_meanings(each))
    kinds = field_types(options)
    return tuple(
        OptionText(
            field.name,
            _choices(kinds[field.name]),
            field.default
            if field.default_factory is dataclasses.MISSING
            else field.default_factory(),
            meanings.get(field.name, ""),
        )
        for field in dataclasses.fields(options)
    )


def _meanings(kind: type) -> dict[str, str]:
    """Return the strings under the fields of one class, by field."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return {}
    found = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for before, after in pairwise(statements):
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            text = _ROLE.sub(r"\1", " ".join(after.value.value.split()))
            found[before.target.id] = text.replace("``", "")
    return found


def _choices(kind: Any) -> str:
    """Return the values of a type in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if each is type(None) else _choices(each) for each in arguments)
    if origin is typing.Literal:
        return ", ".join("none" if each is None else str(each) for each in arguments)
    if origin is tuple:
        return f"list of: {_choices(arguments[0])}"
    words = {bool: "true, false", int: "whole number", float: "number", str: "text"}
    return words.get(kind, getattr(kind, "__name__", str(kind)))


def settle(options: Any) -> None:
    """Refuse an option of a wrong kind; make numpy's numbers and lists plain ones, which JSON can hold.

    It is the first line of an options class's ``__post_init__``. Text for a number is refused: only
    :func:`build` reads text. The class itself says which values of a kind are right.

    Args:
        options: An instance of a frozen dataclass.

    Raises:
        InvalidArgument: If a value does not fit the type of its field.
    """
    for name, expected in field_types(type(options)).items():
        value = getattr(options, name)
        plain = _plain(name, value, expected)
        if plain is not value:
            object.__setattr__(options, name, plain)


def _plain(name: str, value: Any, expected: Any) -> Any:
    """Return the value as an option of that type holds it."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        refusals = []
        for kind in arguments:
            if kind is not type(None):
                try:
                    return _plain(name, value, kind)
                except InvalidArgument as refusal:
                    refusals.append(refusal)
        raise refusals[0]
    if origin is tuple:
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise wrong(value, name, "a tuple")
        if type(value) is tuple and all(type(part) is arguments[0] for part in value):
            return value
        return tuple(_plain(name, part, arguments[0]) for part in value)
    if origin is typing.Literal:
        kinds = {type(choice) for choice in arguments}
        if type(value) in kinds:
            return value
        if int in kinds:
            return whole_number(value, name)
        raise wrong(value, name, f"one of {', '.join(map(str, arguments))}")
    if type(value) is expected:
        return value
    if expected is int:
        return whole_number(value, name)
    if expected is float:
        return value if type(value) is int else real_number(value, name)
    if expected is bool:
        if isinstance(value, np.bool_):
            return bool(value)
        raise wrong(value, name, "True or False")
    if expected is str:
        return checked_text(value, name)
    of_kind(value, expected, name)
    return value


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
    """Return a value as the type of its option.

    Args:
        name: The option, for the message.
        value: Text, a JSON value, or a value that fits already.
        expected: bool, int, float, str, a Literal of such values, a tuple of one of them, or a union
            of them, perhaps with None.

    Returns:
        The value in that type.

    Raises:
        InvalidOption: If it cannot be read as that type.

    >>> convert("depth", "10", int), convert("classes", "0,1", tuple[int, ...])
    (10, (0, 1))
    >>> from typing import Literal
    >>> convert("image_size", "28", Literal[28, 32])
    28
    """
    origin = typing.get_origin(expected)
    if origin in (typing.Union, types.UnionType):
        return _one_of_types(name, value, typing.get_args(expected))
    if origin is typing.Literal:
        return _one_of_values(name, value, typing.get_args(expected))
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
        kinds = {int: "a whole number", float: "a number"}
        kind = kinds.get(expected, getattr(expected, "__name__", str(expected)))
        raise InvalidOption(f"{name} is {kind}, got {value!r}.") from None


def _one_of_types(name: str, value: Any, kinds: tuple[Any, ...]) -> Any:
    """Return the value as the first type of a union that takes it, None where that is one."""
    if type(None) in kinds and (value is None or value in ("none", "None")):
        return None
    refusals = []
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return convert(name, value, kind)
        except InvalidOption as refusal:
            refusals.append(str(refusal))
    raise InvalidOption(" Or: ".join(refusals))


def _one_of_values(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """Return the choice that a value is or its text stands for, in the choice's own type."""
    for choice in choices:
        if choice is None:
            found = value is None or value in ("none", "None")
        else:
            try:
                # True == 1 == 1.0, so the type decides before the value.
                found = convert(name, value, type(choice)) == choice
            except InvalidOption:
                found = False
        if found:
            return choice
    raise InvalidOption(f"{name} is one of {', '.join(map(str, choices))}; got {value!r}.")


def parse_assignments(assignments: list[str]) -> dict[str, str]:
    """Return ``["depth=10", "lr=0.1"]`` as a dict of texts.

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
