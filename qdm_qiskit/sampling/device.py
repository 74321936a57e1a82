"""A model's predictions on a runner: circuits transpiled once, calls answered and mitigated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2
from torch import Tensor

from ..circuits.loaders import loader_name
from ..execution.calls import CallResult, CallTarget, CircuitCall
from ..execution.distributions import signal_left, total_variation_distance
from ..execution.runner import CircuitRunner
from ..layers.arrays import device_of
from ..layers.calling import answered_by
from ..mitigation.readout import ReadoutCalibration
from ..models import CircuitDenoiser, Denoiser
from ..progress import Progress, silent
from ..training.targets.device import Place
from ..transpiling.cost import CircuitCost
from ..transpiling.qubit_times import qubit_times
from .call_targets import (
    EngineShots,
    KeptCircuits,
    PreparedCircuit,
    Programs,
    RunnerTarget,
    Seen,
    check_result,
)
from .config import SamplingConfig
from .model_calls import check_has_calls, layer_calls, programs_of, way_of
from .step_records import SHOT_NOISE_ONLY, StepRecord, root_mean_square
from .with_estimator import WithEstimator, check_reads_values, reads_values

__all__ = [
    "DevicePredictor",
    "EnginePredictor",
    "predicted",
]


@final
class DevicePredictor:
    """A model's prediction from circuits on a runner.

    :meth:`prepare` makes it, transpiles and, if asked, calibrates the readout. Each prediction is
    then the model's own step, and the runner answers its calls. One job holds all rows of calls
    that do not depend on each other.
    """

    def __init__(
        self,
        model: Denoiser,
        target: RunnerTarget,
        prepared: Mapping[str, PreparedCircuit],
        *,
        num_steps: int | None,
        programs: Programs | None = None,
    ) -> None:
        self.model, self.target, self.num_steps = model, target, num_steps
        self.config, self.runner = target.config, target.runner
        self.prepared = dict(prepared)
        """Prepared circuits by the path of the layer."""
        self.records: list[StepRecord] = []
        self._single = isinstance(model, CircuitDenoiser)
        self._programs = programs_of(model) if programs is None else programs
        self._step = 0
        self.estimator: WithEstimator | None = None
        """Where expectation values are asked of the target's Estimator, what asks it."""
        self.value_errors: list[dict[str, Any]] = []
        """Of each step the root mean square standard errors of values that layers make of several
        outputs, such as trained observables: ``step``, ``name``, ``standard_error``."""
        target.watch = self._record
        target.watch_errors = self._note

    @classmethod
    def prepare(
        cls,
        model: Denoiser,
        runner: CircuitRunner,
        config: SamplingConfig,
        *,
        num_steps: int | None = None,
        calibration: ReadoutCalibration | None = None,
        places: Mapping[str, Place] | None = None,
        kept: KeptCircuits | None = None,
        progress: Progress = silent,
    ) -> DevicePredictor:
        """Transpile the model's circuits and take the readout calibration, once for all steps.

        Args:
            model: The trained model.
            runner: The runner of its circuits.
            config: Shots, mitigation, layout trials.
            num_steps: T; optional for a model of one circuit that is not told the time.
            calibration: A readout calibration taken earlier on the same backend and qubits.
            places: Where circuits stand by the path of their layer; others find a place.
            kept: What other samplings share.
            progress: Receives the progress messages.

        Returns:
            The predictor.

        Raises:
            TargetUnavailable: If circuits of the model are no calls, or it has none.
            CalibrationMismatch: If the given calibration is of other qubits or another backend.
        """
        check_has_calls(model, config.target)
        single = isinstance(model, CircuitDenoiser)
        programs = programs_of(model)
        estimated = config.primitive == "estimator"
        calls = layer_calls(model, programs, observables=way_of(config))
        target = RunnerTarget(runner, config, addressed=not single, kept=kept, progress=progress)
        target.places = places or {}
        if estimated:
            check_reads_values(model.name, calls)
            calls = [call for call in calls if not reads_values(call)]
        found = target.prepare(calls, calibration)
        prepared = {call.name: each for call, each in zip(calls, found, strict=True)}
        made = cls(model, target, prepared, num_steps=num_steps, programs=programs)
        if estimated:
            made.estimator = WithEstimator(target, config)
        return made

    @classmethod
    def of_call(
        cls,
        model: Denoiser,
        runner: CircuitRunner,
        config: SamplingConfig,
        call: CircuitCall,
        *,
        calibration: ReadoutCalibration | None = None,
        kept: KeptCircuits | None = None,
        progress: Progress = silent,
    ) -> DevicePredictor:
        """Prepare one call that is the whole chain, as :meth:`prepare`; :meth:`at` answers it."""
        target = RunnerTarget(runner, config, kept=kept, progress=progress)
        [prepared] = target.prepare([call], calibration)
        return cls(model, target, {call.name: prepared}, num_steps=None)

    def at(self, step: int) -> RunnerTarget:
        """Return the target, whose next answers belong to a step."""
        self._step = step
        self.target.begin(step)
        return self.target

    @property
    def first(self) -> PreparedCircuit:
        """Circuits of the first layer, all circuits of a model of one."""
        return next(iter(self.prepared.values()))

    @property
    def circuit(self) -> QuantumCircuit:
        """The first layer's circuit."""
        return self.first.logical

    @property
    def isa(self) -> QuantumCircuit:
        """The first layer's circuit, transpiled."""
        return self.first.isa

    @property
    def qubits(self) -> tuple[int, ...]:
        """Physical qubits that the first layer's circuit measures."""
        return self.first.qubits

    @property
    def cost(self) -> CircuitCost | None:
        """Cost of the first layer's circuit on a device."""
        return self.first.cost

    @property
    def calibration(self) -> ReadoutCalibration | None:
        """The readout calibration, of all measured qubits."""
        return self.target.calibration

    def __call__(self, x: Tensor, step: int, labels: Tensor | None = None) -> Tensor:
        """Return the model's prediction for images.

        Args:
            x: ``(batch, channels, height, width)``.
            step: t.
            labels: ``(batch,)`` class indices of guided models.

        Returns:
            A tensor of the shape of ``x``.

        Raises:
            InvalidData: If an image has no norm left: all its shots failed the post-selection.
        """
        self._step = step
        target = self.target if self.estimator is None else self.estimator
        return predicted(self.model, target, x, step, labels, self.config, self.num_steps)

    def _record(self, seen: Seen) -> None:
        """Compare a call's frequencies with the exact distributions of the same circuits."""
        call, prepared, raw, used, result = seen
        assert call.shots is not None
        check_result(call, result, self._step, single=self._single)
        if not raw:
            return
        reading = prepared.reading
        exactly = np.concatenate(reading.exact(call, self._programs.of(call)))
        measured = np.concatenate(raw)
        erased = None
        known = [each for each in prepared.erased if each is not None]
        if len(known) == len(raw):
            erased = np.concatenate(
                [np.broadcast_to(e, r.shape) for e, r in zip(known, raw, strict=True)]
            )
        left = signal_left(exactly, measured, erased, shots=call.shots)
        mitigated = None
        if self.calibration is not None:
            mitigated = float(np.mean(total_variation_distance(np.concatenate(used), exactly)))
        loaded = call.fidelities
        self.records.append(
            StepRecord(
                step=self._step,
                raw_distance=float(np.mean(left.distance)),
                mitigated_distance=mitigated,
                signal_left=float(np.mean(left.fraction)),
                erased_images=int(np.sum(left.erased.reshape(len(raw), -1).all(axis=0))),
                postselected=reading.passed(raw[0]),
                sentence=left.sentence() if prepared.cost is not None else SHOT_NOISE_ONLY,
                call=None if self._single else call.name,
                loader=None if loaded is None else loader_name(call.spec.loader),
                loaded=None if loaded is None else [round(float(each), 6) for each in loaded],
                standard_error=root_mean_square(result.standard_errors),
            )
        )

    def _note(self, name: str, errors: np.ndarray) -> None:
        self.value_errors.append(
            {"step": self._step, "name": name, "standard_error": root_mean_square(errors)}
        )

    def manifest(self) -> dict[str, Any]:
        """Return the record of the predictions, ready for JSON.

        A model of one circuit has its record under ``layout`` and ``circuit``. For a model of
        several, ``calls`` holds both for each layer, with the readout, its circuits and the content
        that calls share.
        """
        layers = [_layer_entry(each, self.runner.backend) for each in self.prepared.values()]
        found: dict[str, Any] = {"runner": self.runner.metadata}
        if self.estimator is not None:
            found["estimator"] = self.estimator.records
        if self._single and layers:
            found |= layers[0]
        else:
            found["calls"] = [
                {
                    "name": name,
                    "readout": each.reading.spec.readout.words(),
                    "circuits": len(each.circuits),
                    **entry,
                }
                for (name, each), entry in zip(self.prepared.items(), layers, strict=True)
            ]
        return found | {
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            "steps": [record.to_dict() for record in self.records],
            **({"value_errors": self.value_errors} if self.value_errors else {}),
        }


def _layer_entry(prepared: PreparedCircuit, device: BackendV2) -> dict[str, Any]:
    cost, tiling = prepared.cost, prepared.tiling
    tiles = {} if tiling is None else {"tiles": tiling.to_dict()}
    times = None if cost is None else qubit_times(prepared.circuits[0], device.target).record()
    return {
        **tiles,
        "layout": {
            "physical_qubits": prepared.physical_qubits,
            "measured_qubits": list(prepared.qubits),
            "transpiler_seed": prepared.transpiler_seed,
        },
        "circuit": {
            "two_qubit_gates": None if cost is None else cost.two_qubit_count,
            "depth": prepared.isa.depth(),
            "expected_success": None if cost is None else cost.expected_success,
            "duration_seconds": None if cost is None else cost.duration_seconds,
            "gate_success": None if cost is None else cost.gate_success,
            "idle_success": None if cost is None else cost.idle_success,
            "logical_qubits": prepared.logical.num_qubits,
            # Of one circuit; on tiles several stand side by side.
            "qubit_times": times,
        },
    }


class EnginePredictor:
    """A model's prediction from shots that the engine draws for each call.

    Args:
        model: The model, on any device.
        config: Shots and seed.
        num_steps: T.
    """

    def __init__(self, model: Denoiser, config: SamplingConfig, *, num_steps: int) -> None:
        self.model, self.config, self.num_steps = model, config, num_steps
        self._single = isinstance(model, CircuitDenoiser)
        self._target = EngineShots(config.seed, programs_of(model), single=self._single)

    def __call__(self, x: Tensor, step: int, labels: Tensor | None = None) -> Tensor:
        """Return the prediction, as :meth:`DevicePredictor.__call__`."""
        checked = _Checked(self._target, step, single=self._single)
        self._target.begin(step)
        return _stepped(self.model, checked, x, step, labels, self.config, self.num_steps)


class _Checked:
    """A target that refuses results of which no shot was kept."""

    def __init__(self, target: CallTarget, step: int, *, single: bool) -> None:
        self._target, self._step, self._single = target, step, single

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        found = self._target.answer(calls)
        for call, result in zip(calls, found, strict=True):
            check_result(call, result, self._step, single=self._single)
        return found


def predicted(
    model: Denoiser,
    target: RunnerTarget | WithEstimator,
    x: Tensor,
    step: int,
    labels: Tensor | None,
    config: SamplingConfig,
    num_steps: int | None,
) -> Tensor:
    """Return a model's prediction at a step, with its calls answered by a target.

    Args:
        model: The model, on any device.
        target: The target that answers.
        x, step, labels: As for :meth:`DevicePredictor.__call__`.
        config: The number of shots.
        num_steps: T, or None for a model that is not told the time.
    """
    target.begin(step)
    return _stepped(model, target, x, step, labels, config, num_steps)


def _stepped(
    model: Denoiser,
    target: CallTarget,
    x: Tensor,
    step: int,
    labels: Tensor | None,
    config: SamplingConfig,
    num_steps: int | None,
) -> Tensor:
    place = device_of(model)
    time: Any = None
    if num_steps is not None:
        time = torch.full((len(x),), step / num_steps, device=place)
    told = None if labels is None else labels.to(place)
    with answered_by(model, target, shots=config.shots, observables=way_of(config)):
        found: Tensor = model(x.to(place), time, told)
    return found.to(x)
