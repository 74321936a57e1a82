"""Rows of a call that its loader misses, which go to the exact loader instead.

A circuit has one loader, so such a call becomes two: one with the rows that are loaded within the
bound, one with the others. Where there is no other loader, or nothing is missed, it stays one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .calls import CallResult, CircuitCall, joined_errors

__all__ = ["divided", "joined", "other_call"]


def other_call(call: CircuitCall) -> CircuitCall | None:
    """Return the call with the loader that takes over where its own one misses; None without one."""
    other = call.spec.fallback
    return None if other is None else replace(call, spec=other)


def divided(call: CircuitCall) -> list[tuple[np.ndarray, CircuitCall]]:
    """Return the call's parts: the rows of each, and the call that runs them."""
    every = np.arange(call.num_rows)
    other = other_call(call)
    if other is None:
        return [(every, call)]
    assert call.amplitudes is not None
    missed = call.spec.loading.loaded(call.amplitudes).missed
    if not missed.any():
        return [(every, call)]
    found = [(np.flatnonzero(~missed), call), (np.flatnonzero(missed), other)]
    return [(rows, _only(each, rows)) for rows, each in found if len(rows)]


def joined(parts: Sequence[tuple[np.ndarray, CallResult]]) -> CallResult:
    """Return one result of the results of a call's parts, with the rows in their old order."""
    if len(parts) == 1:
        return parts[0][1]
    order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")

    def whole(arrays: list[np.ndarray | None]) -> np.ndarray | None:
        given = [each for each in arrays if each is not None]
        return np.concatenate(given)[order] if len(given) == len(arrays) else None

    outputs = whole([each.outputs for _, each in parts])
    assert outputs is not None
    together = joined_errors([each.errors_of for _, each in parts])
    return CallResult(
        outputs=outputs,
        standard_errors=whole([each.standard_errors for _, each in parts]),
        kept=whole([each.kept for _, each in parts]),
        errors_of=None if together is None else lambda weights: together(weights)[order],
    )


def _only(call: CircuitCall, rows: np.ndarray) -> CircuitCall:
    return replace(
        call,
        amplitudes=None if call.amplitudes is None else call.amplitudes[rows],
        inputs=None if call.inputs is None else call.inputs[rows],
    )
