"""The one question of a QNN's run, from the files of its plan to its outputs.

Nothing here depends on anything but the plan and the counts, so a run that is taken up again, or
replayed, gets the same outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from ..ledger.output_files import StoredOutputs
from ..plan.qnn_question import read_question
from ..plan.run_plan import RunPlan
from .call_chain import Answerer, PlannedTarget, Seen

if TYPE_CHECKING:
    from ...execution.calls import CallResult, CircuitCall
    from .call_results import CallCounts

__all__ = ["MOST_EXACT_QUBITS", "QnnChain"]

MOST_EXACT_QUBITS = 20
"""Most qubits of a circuit whose outputs are computed exactly beside the measured ones."""


@final
class QnnChain:
    """The question of a plan, with its values.

    Args:
        plan: The plan; its files are checked.

    Raises:
        InvalidPlan: If a file of it is missing or was changed.
    """

    def __init__(self, plan: RunPlan) -> None:
        assert plan.calls is not None
        self.plan = plan
        self._question = read_question(plan)
        self._shots = plan.calls.jobs[0].shots
        self._counts: CallCounts | None = None

    def ask(self, answerer: Answerer, seen: Seen | None = None) -> StoredOutputs:
        """Return the outputs, from the counts of the plan's jobs.

        Args:
            answerer: Function that gives the counts of jobs.
            seen: Function that is shown the call with its counts.

        Raises:
            InvalidPlan, Unanswered: As :meth:`.PlannedTarget.answer`.
        """

        def see(call: CircuitCall, counts: CallCounts, result: CallResult) -> None:
            self._counts = counts
            if seen is not None:
                seen(call, counts, result)

        target = PlannedTarget(self.plan, answerer, see)
        target.begin(self.plan.steps[0].step)
        [result] = target.answer([self._question.call(self._shots)])
        counts = self._counts  # an Estimator gives none
        mended = counts is not None and counts.quasi is not None
        outputs, errors = self._question.table.of(
            result,
            self._shots,
            counts.counts[0] if counts is not None and mended else None,
            counts.readout if counts is not None else None,
        )
        return self._shaped(outputs, errors)

    def exact(self) -> np.ndarray | None:
        """Return the exact outputs, of their shape; None of more qubits than can be computed."""
        from ...layers.calling import ExactTarget

        if self._question.spec.num_qubits > MOST_EXACT_QUBITS:
            return None
        [result] = ExactTarget().answer([self._question.call(None)])
        outputs, _ = self._question.table.of(result, None)
        return self._shaped(outputs, None).outputs

    def _shaped(self, outputs: np.ndarray, errors: np.ndarray | None) -> StoredOutputs:
        shape = (*self._question.rows_shape, *self._question.output_shape)
        return StoredOutputs(
            outputs=np.ascontiguousarray(outputs, dtype=np.float64).reshape(shape),
            standard_errors=None
            if errors is None
            else np.ascontiguousarray(errors, dtype=np.float64).reshape(shape),
        )
