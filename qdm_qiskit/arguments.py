"""Checks of what a caller gives: one line that names the argument, instead of an AttributeError.

The checks serve public functions that run once; what runs in a loop checks shapes where it needs
them.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np

from .errors import InvalidArgument

__all__ = [
    "T",
    "all_of_kind",
    "checked_number",
    "checked_path",
    "checked_text",
    "of_kind",
    "random_generator",
    "real_array",
    "real_number",
    "shown",
    "whole_number",
    "wrong",
]

T = TypeVar("T")


def of_kind(value: Any, kind: Any, name: str, way_out: str = "") -> None:
    """Refuse what is no instance.

    Args:
        value: Value that was given.
        kind: Its class, or a union of classes.
        name: Name of the argument.
        way_out: Advice on what to do instead, as a clause after the semicolon.

    Raises:
        InvalidArgument: If it is something else, the class itself for example.
    """
    if not isinstance(value, kind):
        names = [each.__name__ for each in get_args(kind) or (kind,)]
        raise wrong(value, name, _with_article(" or ".join(names)), way_out)


def all_of_kind(values: Any, kind: type[T], name: str, way_out: str = "") -> list[T]:
    """Return the values as a list, if they are a collection of instances; one instance is none.

    Raises:
        InvalidArgument: If they are not; the first wrong one is shown.
    """
    what = f"a sequence of {kind.__name__}"
    if isinstance(values, kind | str | bytes) or not isinstance(values, Iterable):
        raise wrong(values, name, what, way_out)
    found = list(values)
    for value in found:
        if not isinstance(value, kind):
            raise wrong(value, name, what, way_out)
    return found


def whole_number(value: Any, name: str) -> int:
    """Return the value as an int, if it is a whole number of Python or numpy, unlike True and 3.0.

    Raises:
        InvalidArgument: If it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise wrong(value, name, "a whole number")
    return int(value)


def real_number(value: Any, name: str) -> float:
    """Return the value as a float, if it is a number of Python or numpy: not True, but NaN too.

    Raises:
        InvalidArgument: If it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise wrong(value, name, "a number")
    return float(value)


def real_array(value: Any, name: str) -> np.ndarray:
    """Return real numbers as a float64 array: an array, a list, or a tensor, also with a gradient.

    Raises:
        InvalidArgument: If it holds text, complex numbers or objects, or a masked array leaves some
            of its numbers out.
    """
    if hasattr(value, "detach"):  # a tensor; this module does without torch
        value = value.detach().cpu()
        value = value.double() if not value.is_complex() else value.resolve_conj().numpy()
    try:
        found = np.asarray(value)
    except (TypeError, ValueError):  # rows of different lengths
        raise wrong(value, name, "an array of numbers") from None
    if found.dtype.kind not in "fiub" or isinstance(value, np.ma.MaskedArray):
        raise wrong(value, name, "an array of real numbers")
    return found.astype(np.float64, copy=False)


def random_generator(value: Any, name: str) -> np.random.Generator:
    """Return the value, if it is one of numpy's generators.

    Raises:
        InvalidArgument: If it is something else, a seed or a generator of torch for example.
    """
    of_kind(value, np.random.Generator, name, "numpy.random.default_rng(seed) makes one")
    found: np.random.Generator = value
    return found


def checked_text(value: Any, name: str, way_out: str = "") -> str:
    """Return the value, if it is text.

    Raises:
        InvalidArgument: If it is not.
    """
    if not isinstance(value, str):
        raise wrong(value, name, "text (str)", way_out)
    return value


def checked_number(value: Any, name: str) -> None:
    """Refuse what is no real number.

    Raises:
        InvalidArgument: If it is not.
    """
    if not isinstance(value, Real):
        raise wrong(value, name, "a number")


def checked_path(value: Any, name: str) -> Path:
    """Return a path, from a path or text.

    Raises:
        InvalidArgument: If it is neither, or empty text, or holds a null character.
    """
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise wrong(value, name, "a path (Path or str)")
    found = os.fspath(value)
    if not isinstance(found, str) or "\0" in found:
        raise wrong(value, name, "a path (Path or str)")
    return Path(found)


def wrong(value: Any, name: str, what: str, way_out: str = "") -> InvalidArgument:
    """Return the error for a value of a wrong kind.

    Args:
        value: Value that was given.
        name: Name of the argument.
        what: Description of what it should be.
        way_out: Advice on what to do instead.
    """
    hint = f"; {way_out}" if way_out else ""
    return InvalidArgument(f"`{name}` is {what}, got {shown(value)}{hint}.")


def shown(value: Any) -> str:
    """Return a value in a few words: its kind, and the value itself where that is short."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    kind = type(value).__name__
    if isinstance(value, str | int | float | os.PathLike):
        text = " ".join(repr(value if not isinstance(value, os.PathLike) else str(value)).split())
        return f"{text if len(text) <= 60 else text[:57] + '...'} ({kind})"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape is not None:
        return f"{_with_article(kind)} of shape {tuple(shape)}"
    return _with_article(kind)


def _with_article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"
