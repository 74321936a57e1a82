"""Run an existing QNN on any target: in memory where it costs nothing, else as a recorded run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from qiskit_machine_learning.connectors import TorchConnector

from ..arguments import wrong
from ..circuits.readouts import ExpectationReadout, ProbabilityReadout
from ..engine.noise.runners import runner_for
from ..errors import InvalidOption, TargetUnavailable
from ..execution.calls import CallResult, CallTarget, CircuitCall
from ..execution.devices import DeviceLike
from ..execution.targets import Target, parse_target, target_text
from ..hardware.providers.base import Provider, checked_provider
from ..hardware.providers.settings import ServiceSettings
from ..layers.calling import ExactTarget
from ..layers.from_qnn import QnnLayer
from ..mitigation.bit_readout import BitReadout
from ..mitigation.readout import ReadoutCalibration
from ..notebook import card, facts, one_line
from ..options import build
from ..progress import Progress, silent
from ..sampling import EngineShots, RunnerTarget, SamplingConfig
from ..sampling.call_targets import Programs, Seen
from ..sampling.estimator_target import EstimatorTarget
from ..sampling.readings import Reading
from ..transpiling.cost import circuit_cost
from .hardware_run import HardwareRun
from .qnn_arguments import parts_of, rows_of, weights_of
from .qnn_plans import read_run, recorded_run
from .recorded_runs import ROOT

if TYPE_CHECKING:
    from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN

__all__ = ["QnnRun", "run_qnn"]

NAME = "qnn"
"""Name of the call, its address in the record."""
OPTIONS = (
    "mitigation",
    "readout",
    "calibration_shots",
    "seed",
    "layout_trials",
    "optimization_level",
)
"""Fields of :class:`~qdm_qiskit.sampling.SamplingConfig` that concern circuits, not images."""


@dataclass(frozen=True, eq=False, kw_only=True)
class QnnRun:
    """Outputs of a QNN on a target, with errors, cost and record."""

    outputs: np.ndarray
    """``(..., *output_shape)`` float64, as ``QNN.forward`` gives them: expectation values, or
    probabilities after ``interpret``."""
    standard_errors: np.ndarray | None
    """Standard errors of the outputs, of their shape: from the shots, with the covariances of terms
    that share them. None for exact values, for single shots, and where they are not known."""
    target: str
    shots: int | None
    """Shots of each row and circuit; None for exact values."""
    circuits: int
    """Number of bound circuits that ran, without calibration; 0 for exact values."""
    cost: tuple[Any, ...]
    """:class:`~qdm_qiskit.transpiling.cost.CircuitCost` of each circuit of a row; empty where there is
    no device."""
    record: dict[str, Any] = field(repr=False)
    """Record of the outputs, ready for JSON: circuit, layout, options, versions, calibration; of a
    recorded run its manifest."""
    jobs: int = 0
    """Number of jobs of a recorded run; 0 of one in memory."""
    qpu_seconds: float | None = None
    """QPU seconds that a recorded run was charged; None in memory."""
    estimated_seconds: float | None = None
    """QPU seconds of its plan."""
    folder: Path | None = None
    """Folder of a recorded run, with its counts; None in memory."""

    @classmethod
    def read(cls, run: HardwareRun) -> QnnRun:
        """Return the outputs of a recorded run.

        Raises:
            MissingData: If it is not done, or the run of a model.
        """
        return read_run(run, cls)

    @property
    def total_shots(self) -> int:
        """Number of shots of all circuits."""
        return self.circuits * (self.shots or 0)

    def __repr__(self) -> str:
        return one_line(
            "QnnRun",
            f"outputs {self.outputs.shape}",
            f"on {self.target}",
            "exact" if self.shots is None else f"{self.circuits} circuits of {self.shots} shots",
        )

    def _repr_html_(self) -> str:
        errors = self.standard_errors
        found = facts(
            [
                ("target", self.target),
                ("outputs", str(self.outputs.shape)),
                ("largest standard error", None if errors is None else float(errors.max())),
                ("circuits", self.circuits or None),
                ("shots of each", self.shots),
                ("QPU seconds charged", self.qpu_seconds),
                ("QPU seconds estimated", self.estimated_seconds),
                ("folder", self.folder),
                ("two-qubit gates", max((c.two_qubit_count for c in self.cost), default=None)),
                ("expected success", min((c.expected_success for c in self.cost), default=None)),
            ]
        )
        return card("QNN", found, about="run")


def run_qnn(
    qnn: EstimatorQNN | SamplerQNN | TorchConnector | QnnLayer,
    inputs: np.ndarray | torch.Tensor | Sequence[Any] | float | None = None,
    weights: np.ndarray | torch.Tensor | Sequence[float] | None = None,
    *,
    target: str | DeviceLike | None = None,
    provider: Provider | None = None,
    shots: int | None = None,
    primitive: str = "sampler",
    primitive_options: dict[str, Any] | None = None,
    budget: str | None = None,
    root: str | Path | None = None,
    settings: ServiceSettings | None = None,
    calibration: ReadoutCalibration | None = None,
    progress: Progress = silent,
    **options: Any,
) -> QnnRun:
    """Run a QNN of qiskit-machine-learning on any target; with a budget also on hardware.

    The QNN is not changed, and its own primitive, precision and gradient play no part. Its circuit
    is transpiled once, all rows are one job, and terms of observables that agree qubit by qubit are
    read from the same shots.

    On ``ibm:`` targets and other packages' providers, and wherever ``root`` is given, it is a
    recorded run, as of :func:`~qdm_qiskit.tasks.hardware.submit`: planned, paid by the budget, and
    found again. Called again with the same arguments it goes on with a run that was
    stopped, and pays nothing twice; on the same day it reads back one that is done. Another seed asks
    anew. :func:`plan_qnn` makes the plan alone, to see its cost before.

    Args:
        qnn: An ``EstimatorQNN`` or ``SamplerQNN``, the ``TorchConnector`` around one, or a
            ``QuantumLayer.from_qnn``.
        inputs: ``(..., num_inputs)`` in radians, as ``QNN.forward`` takes them; None for a QNN
            without inputs.
        weights: ``(num_weights,)`` in radians; the connector's or layer's own if None.
        target: ``"engine"`` (if None), ``"aer"``, ``"noisy:fake_torino"``, ``"local:fake_torino"``,
            ``"ibm:NAME"``, ``"PROVIDER:DEVICE"``; a ``BackendV2`` or an Aer ``NoiseModel`` stands for
            ``noisy:`` of it.
        provider: Provider object, which needs no registration, in place of ``target``.
        shots: Shots of each row and circuit; None is exact, on the engine only.
        primitive: ``"sampler"`` measures expectation values by circuits in several bases;
            ``"estimator"`` leaves them to the target's Estimator: Aer's on ``aer`` and ``noisy:``,
            IBM's in local mode on ``local:``.
        primitive_options: Options of that Estimator, nested as it has them, such as
            ``{"resilience": {"measure_mitigation": True}}``; they are recorded as resolved.
        budget: Name of the budget that pays for a run on hardware, and so the word that it may be
            paid; needed where the target charges.
        root: Folder of all hardware runs, for a recorded run; ``hardware_runs`` where the target
            charges.
        settings: Limits and intervals of the service; by default those of the root's
            ``service.json``.
        calibration: A readout calibration to use in place of a new one, with ``mitigation="m3"``.
        progress: Receives the progress messages.
        options: ``mitigation="m3"``, ``seed=1``, ``layout_trials=5``, ``optimization_level=3``,
            ``calibration_shots=8192``, ``readout="asymmetric"``; see
            :class:`~qdm_qiskit.sampling.SamplingConfig`. A recorded run takes those of
            :func:`plan_qnn`.

    Returns:
        Outputs, their standard errors, cost and record. There are no gradients.

    Raises:
        UnsupportedCircuit: If the QNN is of another class (or a subclass), sparse, takes amplitudes,
            or has more qubits than the device.
        InvalidData: If shapes do not fit, a value is not finite, or an observable is not Hermitian.
        InvalidOption: If an option is unknown, out of range, or does not fit the target.
        TargetUnavailable: If the target cannot be used here, or charges and no budget is named.
        BudgetExceeded: If the budget, or the account, does not allow the whole run.
        Others: As :func:`~qdm_qiskit.hardware.run.commands.submit_run`.

    >>> from qiskit.circuit.library import real_amplitudes, z_feature_map
    >>> from qiskit_machine_learning.neural_networks import EstimatorQNN
    >>> import qdm_qiskit as qdm
    >>> features, ansatz = z_feature_map(2, reps=1), real_amplitudes(2, reps=1)
    >>> qnn = EstimatorQNN(
    ...     circuit=features.compose(ansatz),
    ...     input_params=features.parameters,
    ...     weight_params=ansatz.parameters,
    ... )
    >>> x, w = [[0.1, 0.2], [0.3, 0.4]], [0.5, 0.6, 0.7, 0.8]
    >>> exact = qdm.run_qnn(qnn, x, w)
    >>> found = qdm.run_qnn(qnn, x, w, target="aer", shots=4000, seed=1)
    >>> off = abs(found.outputs - exact.outputs)
    >>> found.outputs.shape, bool((off < 5 * found.standard_errors).all())
    ((2, 1), True)
    """
    where = _target(target, provider)
    if root is not None or where.kind in ("ibm", "provider"):
        return recorded_run(
            QnnRun,
            qnn,
            inputs,
            weights,
            where=where,
            provider=provider,
            given={
                "shots": shots,
                "primitive": primitive,
                "primitive_options": primitive_options,
                "calibration": calibration,
            },
            budget=budget,
            root=ROOT if root is None else root,
            settings=settings,
            progress=progress,
            options=options,
        )
    _check_free(where, budget, settings)
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise InvalidOption(
            f"run_qnn has the options {', '.join(OPTIONS)}, got {', '.join(unknown)}."
        )
    config = build(SamplingConfig, {"target": str(where), "shots": shots, **options})
    if calibration is not None and config.mitigation != "m3":
        raise InvalidOption(
            f"A calibration is used by mitigation 'm3' only, got mitigation {config.mitigation!r}."
        )
    parts, own = parts_of(qnn)
    angles = weights_of(own if weights is None else weights, len(parts.weights))
    rows, leading = rows_of(inputs, len(parts.inputs))
    call = CircuitCall(name=NAME, spec=parts.spec, angles=angles, inputs=rows, shots=config.shots)
    asked = _asked(call, primitive, primitive_options, where)
    if asked:
        found = _estimated(call, config, primitive_options or {}, progress)
    elif where.kind == "engine":
        found = _on_engine(call, config)
    else:
        found = _on_runner(call, config, calibration, progress)
    shape = (*leading, *parts.output_shape)
    outputs, errors = parts.table.of(found.result, call.shots, found.counts, found.readout)
    return QnnRun(
        outputs=outputs.reshape(shape),
        standard_errors=None if errors is None else errors.reshape(shape),
        target=config.target,
        shots=config.shots,
        circuits=found.circuits,
        cost=found.cost,
        record={
            "target": config.target,
            "shots": config.shots,
            "primitive": "estimator" if asked else "sampler",
            "rows": call.num_rows,
            "circuit": {
                "name": parts.spec.name,
                "content": call.content,
                "qubits": parts.spec.num_qubits,
                "readout": parts.spec.readout.words(),
            },
            **found.record,
        },
    )


@dataclass(frozen=True, eq=False)
class _Answer:
    """A target's answer to the call, with its record."""

    result: CallResult
    circuits: int
    cost: tuple[Any, ...]
    record: dict[str, Any]
    counts: np.ndarray | None = None
    """Counts of probabilities that were corrected."""
    readout: BitReadout | None = None
    """With them, the readout of the measured qubits."""


def _target(target: str | DeviceLike | None, provider: Provider | None) -> Target:
    if provider is not None:
        if target is not None:
            raise InvalidOption("provider says where to run; leave target out.")
        target = checked_provider(provider).target
    text = target_text("engine" if target is None else target, "noisy")
    if not isinstance(text, str):
        raise wrong(target, "target", "a target's text such as 'noisy:fake_torino', or a device")
    return parse_target(text)


def _check_free(where: Target, budget: str | None, settings: ServiceSettings | None) -> None:
    """Refuse what concerns recorded runs only, and the engine on a GPU."""
    given = {"budget": budget, "settings": settings}
    given = {name: value for name, value in given.items() if value is not None}
    if given:
        raise InvalidOption(
            f"Target '{where}' charges nothing; leave {' and '.join(given)} out, got "
            f"{', '.join(repr(each) for each in given.values())}, or give root to record the run."
        )
    if str(where) == "engine:cuda":
        raise TargetUnavailable(
            "run_qnn computes on the CPU; use target 'engine', or QuantumLayer.from_qnn(qnn).cuda()."
        )


def _asked(
    call: CircuitCall, primitive: str, options: dict[str, Any] | None, where: Target
) -> bool:
    """Return True if the target's Estimator is asked for."""
    if primitive not in ("sampler", "estimator"):
        raise InvalidOption(f"primitive is 'sampler' or 'estimator', got {primitive!r}.")
    if primitive == "sampler":
        if options:
            raise InvalidOption(
                "primitive_options are of an Estimator; set primitive='estimator', or leave them out."
            )
        return False
    if not isinstance(call.spec.readout, ExpectationReadout):
        raise InvalidOption("A SamplerQNN reads probabilities; use primitive='sampler'.")
    if where.kind == "engine":
        raise InvalidOption("The engine needs no Estimator; leave primitive at 'sampler'.")
    return True


def _on_engine(call: CircuitCall, config: SamplingConfig) -> _Answer:
    target: CallTarget = ExactTarget()
    if config.shots is not None:
        target = EngineShots(config.seed, Programs(), single=False)
    [result] = target.answer([call])
    circuits = call.num_rows * Reading.of(call.spec).num_circuits
    return _Answer(result, 0 if config.shots is None else circuits, (), {"seed": config.seed})


def _on_runner(
    call: CircuitCall,
    config: SamplingConfig,
    calibration: ReadoutCalibration | None,
    progress: Progress,
) -> _Answer:
    runner = runner_for(config.target, seed=config.seed, readout=config.readout)
    target = RunnerTarget(runner, config, progress=progress)
    [prepared] = target.prepare([call], calibration)
    seen: list[Seen] = []
    target.watch = seen.append
    [result] = target.answer([call])
    device = prepared.cost is not None
    cost = tuple(circuit_cost(c, runner.backend.target) for c in prepared.circuits if device)
    counts = readout = None
    if isinstance(call.spec.readout, ProbabilityReadout) and target.calibration is not None:
        assert call.shots is not None
        counts = seen[0].raw[0] * call.shots
        readout = target.calibration.of_bits(prepared.qubits)
    record = {
        "runner": runner.metadata,
        "mitigation": config.mitigation,
        "layout": {
            "physical_qubits": prepared.physical_qubits,
            "measured_qubits": list(prepared.qubits),
            "transpiler_seed": prepared.transpiler_seed,
        },
        "circuits": [each.to_dict() for each in cost],
        "calibration": None if target.calibration is None else target.calibration.to_dict(),
    }
    circuits = call.num_rows * len(prepared.circuits)
    return _Answer(result, circuits, cost, record, counts, readout)


def _estimated(
    call: CircuitCall, config: SamplingConfig, options: dict[str, Any], progress: Progress
) -> _Answer:
    if config.mitigation != "none":
        raise InvalidOption(
            "An Estimator mitigates by its own options, primitive_options; leave mitigation at 'none'."
        )
    target = EstimatorTarget(
        config.target,
        options,
        seed=config.seed,
        level=config.optimization_level,
        trials=config.layout_trials,
    )
    [result] = target.answer([call])
    return _Answer(result, call.num_rows, (), target.record)
