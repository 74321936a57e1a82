"""A model's prediction whose calls have shots of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

from ...execution.calls import CallResult, CallTarget, CircuitCall

if TYPE_CHECKING:
    import torch

    from ...layers.calling import Caller

__all__ = ["ShotsOf", "told_shots"]

ShotsOf = Callable[[str], int | None]
"""Function of a call's name within the prediction that returns its shots; None asks for exact
values."""


@final
class _Told:
    """Target that gives each call its own shots before another answers it."""

    def __init__(self, target: CallTarget, shots: ShotsOf) -> None:
        self._target, self._shots = target, shots
        self.caller: Caller | None = None

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """See :class:`.CallTarget`."""
        told = [replace(call, shots=self._shots(call.name)) for call in calls]
        found = self._target.answer(told)
        if self.caller is not None:
            # Tomography weighs what it was told by the shots behind it, right after it is told.
            known = [call.shots for call in told if call.shots is not None]
            self.caller.shots = min(known) if len(known) == len(told) else None
        return found


def told_shots(
    model: Any,
    target: CallTarget,
    x: torch.Tensor,
    t: int,
    labels: torch.Tensor | None,
    *,
    num_steps: int,
    shots: ShotsOf,
) -> torch.Tensor:
    """Return a model's prediction, whose circuits a target answers, each with its own shots."""
    import torch

    from ...layers.calling import answered_by

    told = _Told(target, shots)
    with answered_by(model, told) as told.caller:
        found: torch.Tensor = model(x, torch.full((len(x),), t / num_steps), labels)
        return found
