"""Numbers from the result files of measurements, by their place in the JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.estimates import mean_estimate
from ..errors import InvalidData
from ..files import MOST_JSON_BYTES, parse_json
from .card import Found

__all__ = ["read_found"]

EACH = "*"
"""Step into every entry of a list: one number for each seed."""


LARGEST = 1e100
"""Largest number of a result file, whose square is a number too."""


def read_found(measured: Mapping[str, Any], folder: Path) -> Found:
    """Return the number that a card's ``measured`` points to.

    Args:
        measured: ``file`` and ``at``, the way into it: keys, positions, ``"*"`` for every entry, an
            object for the one entry that has these fields. ``less`` and ``over`` are ways to what is
            taken from it or divides it, entry by entry; ``low`` and ``high`` to the ends of an
            interval that the file has. ``seeds`` are those of the entries.
        folder: Folder of the file.

    Returns:
        The number; of several their mean, with Student's 95 % interval over the seeds.

    Raises:
        InvalidData: If the file or the place is missing, or there is no number.
    """
    path = folder / measured["file"]
    content = _content(path)

    def numbers(name: str) -> np.ndarray:
        return np.array(_numbers(content, measured[name], path), dtype=float)

    values = numbers("at")
    for name in ("less", "over"):
        if name in measured:
            others = numbers(name)
            if others.shape != values.shape:
                raise InvalidData(
                    f"{path} has {len(values)} numbers at `at` and {len(others)} at `{name}`."
                )
            if name == "over" and not others.all():
                raise InvalidData(f"{path} has a zero at `over`.")
            values = values - others if name == "less" else values / others
    seeds = tuple(measured.get("seeds", ()))
    if len(values) > 1 and len(seeds) not in (0, len(values)):
        raise InvalidData(f"{path} has {len(values)} numbers for the seeds {list(seeds)}.")
    about: dict[str, Any] = {"seeds": seeds, "file": measured["file"]}
    if "low" in measured:
        ends = [float(numbers(name)[0]) for name in ("low", "high")]
        return Found(value=float(values.mean()), low=ends[0], high=ends[1], **about)
    if len(values) == 1:
        return Found(value=float(values[0]), **about)
    estimate = mean_estimate(values)
    return Found(value=estimate.value, low=estimate.low, high=estimate.high, **about)


def _content(path: Path) -> Any:
    """Return a result file's JSON, an object or a list."""
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise ValueError(f"it has more than {MOST_JSON_BYTES} bytes")
        return parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise InvalidData(f"{path} is not a readable result file: {reason}.") from error


def _numbers(content: Any, way: Sequence[Any], path: Path) -> list[float]:
    found = [content]
    for step in way:
        try:
            found = [entry for each in found for entry in _entries(each, step)]
        except (LookupError, TypeError):
            raise InvalidData(f"{path} has no {step!r:.60} on the way {way!r:.200}.") from None
    for each in found:
        if isinstance(each, bool) or not isinstance(each, int | float) or abs(each) > LARGEST:
            raise InvalidData(f"{path} has no number at {way!r:.200}.")
    if not found:
        raise InvalidData(f"{path} has nothing at {way!r:.200}.")
    return found


def _entries(value: Any, step: Any) -> list[Any]:
    """Return what one step leads to."""
    if isinstance(step, dict):
        if not isinstance(value, list):
            raise TypeError
        found = [
            each
            for each in value
            if isinstance(each, dict) and all(each.get(k) == v for k, v in step.items())
        ]
        if len(found) != 1:
            raise LookupError
        return found
    if isinstance(value, list):
        if step == EACH:
            return value
        if isinstance(step, str):
            raise TypeError
        return [value[step]]
    if isinstance(value, dict):
        return [value[step if isinstance(step, str) else str(step)]]
    raise TypeError
