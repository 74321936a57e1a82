"""A target whose expectation values its own Estimator gives, beside shots for probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from ..circuits.readouts import ExpectationReadout
from ..errors import InvalidOption
from ..execution.calls import CallResult, CircuitCall
from ..execution.estimator_options import options_from_text
from .call_targets import RunnerTarget
from .config import SamplingConfig
from .estimator_target import EstimatorTarget

__all__ = ["WithEstimator", "check_reads_values", "reads_values"]


def reads_values(call: CircuitCall) -> bool:
    """Return True if a call reads expectation values, which an Estimator gives."""
    return isinstance(call.spec.readout, ExpectationReadout)


@final
class WithEstimator:
    """Calls that read expectation values go to the Estimator, others to the target of shots.

    A model may have both: QAMP's January model tells states by tomography, from probabilities, and
    then reads observables.

    Args:
        shots: Answers the others, and is told the errors of the Estimator's values.
        config: The target, shots, seed and the Estimator's options.
    """

    def __init__(self, shots: RunnerTarget, config: SamplingConfig) -> None:
        self._shots = shots
        self._estimator = EstimatorTarget(
            config.target,
            options_from_text(config.primitive_options),
            seed=config.seed,
            level=config.optimization_level,
            trials=config.layout_trials,
        )
        self.records: dict[str, dict[str, Any]] = {}
        """Record of the last answer to each call, ready for JSON."""

    def begin(self, step: int) -> None:
        """Start another prediction at a step."""
        self._shots.begin(step)

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """See :class:`.CallTarget`."""
        others = [call for call in calls if not reads_values(call)]
        answers = iter(self._shots.answer(others) if others else ())
        return [self._estimated(call) if reads_values(call) else next(answers) for call in calls]

    def note(self, name: str, errors: Any) -> None:
        """See :class:`.ErrorRecorder`."""
        self._shots.note(name, errors)

    def _estimated(self, call: CircuitCall) -> CallResult:
        [result] = self._estimator.answer([call])
        self.records[call.name] = self._estimator.record
        if result.standard_errors is not None:
            self.note(call.name, result.standard_errors)
        return result


def check_reads_values(model: str, calls: Sequence[CircuitCall]) -> None:
    """Refuse an Estimator for a model that reads probabilities alone.

    Raises:
        InvalidOption: Then.
    """
    if not any(map(reads_values, calls)):
        raise InvalidOption(
            f"The circuits of '{model}' read probabilities, and an Estimator gives expectation values; "
            "use primitive 'sampler'."
        )
