"""Checks of a device file's values; each returns the value or says in a clause what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from ..errors import InvalidData

__all__ = [
    "T",
    "entries",
    "keys_of",
    "number",
    "optional",
    "probability",
    "qubits_of",
    "seconds",
    "shown",
    "text",
    "whole",
]

T = TypeVar("T")


def keys_of(
    value: Any, where: str, keys: Collection[str], optional_keys: Collection[str] = ()
) -> None:
    """Refuse a value that is no object with these keys.

    Raises:
        InvalidData: If a key is missing or unknown.
    """
    if not isinstance(value, dict):
        raise InvalidData(f"{where} is an object, got {type(value).__name__}")
    missing = sorted(set(keys) - set(optional_keys) - set(value))
    extra = sorted(set(value) - set(keys))
    if missing or extra:
        lacks = f"lacks {missing[:3]}" if missing else ""
        has = f"has the unknown {shown(extra[:3])}" if extra else ""
        raise InvalidData(f"{where} {' and '.join(each for each in (lacks, has) if each)}")


def entries(value: Any, where: str, most: int) -> list[Any]:
    """Return the value, if it is a list of at most so many entries."""
    if not isinstance(value, list):
        raise InvalidData(f"{where} is a list, got {type(value).__name__}")
    if len(value) > most:
        raise InvalidData(f"{where} has at most {most} entries, got {len(value)}")
    return value


def number(value: Any, where: str, least: float, most: float) -> float:
    """Return the value as a float, if it is a number within these ends."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidData(f"{where} is a number, got {shown(value)}")
    if not least <= value <= most:  # NaN is not
        raise InvalidData(f"{where} is {least:g} to {most:g}, got {shown(value)}")
    return float(value)


def seconds(value: Any, where: str) -> float:
    """Return a relaxation time: above 0, at most 1,000 s; no decay, or a longer time, is null."""
    found = number(value, where, 0.0, 1000.0)
    if found == 0:
        raise InvalidData(f"{where} is above 0 seconds; null where it is not known")
    return found


def probability(value: Any, where: str) -> float:
    """Return the value, if it is 0 to 1."""
    return number(value, where, 0.0, 1.0)


def whole(value: Any, where: str, least: int, most: int) -> int:
    """Return the value, if it is a whole number within these ends."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidData(f"{where} is a whole number, {least} to {most}, got {shown(value)}")
    return value


def text(value: Any, where: str, most: int) -> str:
    """Return the value, if it is printable text of at most so many characters."""
    if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value) <= most:
        raise InvalidData(
            f"{where} is printable text of 1 to {most} characters, got {shown(value)}"
        )
    return value


def qubits_of(value: Any, where: str, count: int, num_qubits: int) -> tuple[int, ...]:
    """Return so many different qubits of a device."""
    found = tuple(whole(each, where, 0, num_qubits - 1) for each in entries(value, where, 100))
    if len(found) != count or len(set(found)) != count:
        raise InvalidData(f"{where} names {count} different qubits, got {list(found)}")
    return found


def optional(value: Any, read: Callable[[Any], T]) -> T | None:
    """Return None, or the checked value."""
    return None if value is None else read(value)


def shown(value: Any) -> str:
    """Return a value in at most 60 characters."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a huge number"
    found = repr(value) if isinstance(value, str | int | float | list) else type(value).__name__
    return found if len(found) <= 60 else f"{found[:57]}..."
