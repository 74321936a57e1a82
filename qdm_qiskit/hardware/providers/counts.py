"""Counts as providers give them, and as they are stored: checked against what was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import InvalidData
from .requests import EstimatorRequest, JobRequest

__all__ = [
    "checked_counts",
    "checked_estimates",
]


def checked_counts(found: Any, request: JobRequest) -> list[np.ndarray]:
    """Return the counts of a result, if it is the result of what was sent.

    Args:
        found: For each circuit ``(rows, 2**bits)`` integers, or one mapping a row from the outcome,
            an integer or bits as Qiskit writes them (bit 0 last), to how often it came.
        request: What was sent.

    Returns:
        For each circuit int64 counts of shape ``(rows, 2**bits)``.

    Raises:
        InvalidData: If it is not, with the fault.
    """
    if isinstance(found, str | bytes | Mapping) or not isinstance(found, Sequence | np.ndarray):
        raise InvalidData(f"the results are {type(found).__name__}, not a list of counts")
    if len(found) != len(request.pubs):
        raise InvalidData(f"the results hold {len(found)} circuits, {len(request.pubs)} were sent")
    options = request.options
    twirled = options.twirl_gates or options.twirl_measure
    good = []
    for each, (circuit, values) in zip(found, request.pubs, strict=True):
        counts = _array(each, circuit.num_clbits)
        expected = (len(values), 1 << circuit.num_clbits)
        if counts.shape != expected:
            raise InvalidData(
                f"the results have counts of shape {counts.shape}, {expected} fits what was sent"
            )
        if (counts < 0).any():
            raise InvalidData("the results have counts below 0")
        taken = counts.sum(axis=1)
        short = taken[taken != request.shots]
        if len(short) and not (twirled and (taken == taken[0]).all() and taken[0] > request.shots):
            raise InvalidData(
                f"the results have {int(short[0])} shots a row, {request.shots} were sent"
            )
        good.append(counts)
    return good


def checked_estimates(found: Any, request: EstimatorRequest) -> list[np.ndarray]:
    """Return the estimates of a result, if it is the result of what was sent.

    Args:
        found: For each PUB ``(2, rows, observables)`` float64: values and standard errors.
        request: What was sent.

    Raises:
        InvalidData: If it is not, with the fault.
    """
    shapes = [np.shape(each) for each in found]
    wanted = [(2, *shape) for shape in request.shapes]
    if shapes != wanted:
        raise InvalidData(f"the results have values of shapes {shapes[:3]}, not {wanted[:3]}")
    good = [np.asarray(each, dtype=np.float64) for each in found]
    if not all(np.isfinite(each).all() and (each[1] >= 0).all() for each in good):
        raise InvalidData("the results have values that are not finite, or errors below 0")
    return good


def _array(each: Any, bits: int) -> np.ndarray:
    """Return the counts of one circuit as an array; its shape is not checked."""
    if isinstance(each, np.ndarray):
        if each.dtype.kind not in "iu":
            raise InvalidData(f"the results have counts of type {each.dtype}, not of integers")
        return each.astype(np.int64)
    if isinstance(each, str | bytes | Mapping) or not isinstance(each, Sequence):
        raise InvalidData(f"the counts of a circuit are {type(each).__name__}, not one entry a row")
    counts = np.zeros((len(each), 1 << bits), dtype=np.int64)
    for row, outcomes in enumerate(each):
        if not isinstance(outcomes, Mapping):
            raise InvalidData(
                f"a row of counts is {type(outcomes).__name__}, not a mapping from outcomes"
            )
        for outcome, count in outcomes.items():
            counts[row, _index(outcome, bits)] += _count(count)
    return counts


def _index(outcome: Any, bits: int) -> int:
    """Return the index of an outcome."""
    index = outcome
    if isinstance(outcome, str):
        text = outcome.replace(" ", "")
        if len(text) != bits or set(text) - {"0", "1"}:
            raise InvalidData(f"an outcome is {bits} bits, got {outcome!r:.80}")
        index = int(text, 2)
    if isinstance(index, bool) or not isinstance(index, int | np.integer):
        raise InvalidData(f"an outcome is an integer or bits, got {outcome!r:.80}")
    if not 0 <= index < 1 << bits:
        raise InvalidData(f"an outcome of {bits} bits is below {1 << bits}, got {index}")
    return int(index)


def _count(count: Any) -> int:
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
        raise InvalidData(f"a count is an integer of at least 0, got {count!r:.80}")
    return int(count)
