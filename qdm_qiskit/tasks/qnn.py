"""Run an existing QNN on any target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from qiskit_machine_learning.connectors import TorchConnector

from ..arguments import wrong
from ..circuits.spec import ExpectationReadout, ProbabilityReadout
from ..engine.noise.runners import runner_for
from ..errors import InvalidData, InvalidOption, TargetUnavailable
from ..execution.calls import CallResult, CallTarget, CircuitCall
from ..execution.devices import DeviceLike
from ..execution.targets import Target, parse_target, target_text
from ..layers.arrays import to_exact_array
from ..layers.calling import ExactTarget
from ..layers.from_qnn import QnnLayer
from ..layers.qnn_parts import QnnParts, qnn_parts
from ..mitigation.expectation import errors_of_sums
from ..mitigation.readout import ReadoutCalibration
from ..notebook import card, facts, one_line
from ..options import build
from ..progress import Progress, silent
from ..sampling import EngineShots, RunnerTarget, SamplingConfig
from ..sampling.call_targets import Programs, Seen
from ..sampling.estimator_target import EstimatorTarget
from ..sampling.readings import Reading
from ..transpiling.cost import circuit_cost

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
MOST_ERRORS = 1 << 24
"""Most outcomes times outputs for which errors of corrected probabilities are computed."""


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
    """Record of the outputs, ready for JSON: circuit, layout, options, versions, calibration."""

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
    target: str | DeviceLike = "engine",
    shots: int | None = None,
    primitive: str = "sampler",
    primitive_options: dict[str, Any] | None = None,
    budget: str | None = None,
    calibration: ReadoutCalibration | None = None,
    progress: Progress = silent,
    **options: Any,
) -> QnnRun:
    """Run a QNN of qiskit-machine-learning on any target that costs nothing.

    The QNN is not changed, and its own primitive, precision and gradient play no part. Its circuit
    is transpiled once, all rows are one job, and terms of observables that agree qubit by qubit are
    read from the same shots.

    Args:
        qnn: An ``EstimatorQNN`` or ``SamplerQNN``, the ``TorchConnector`` around one, or a
            ``QuantumLayer.from_qnn``.
        inputs: ``(..., num_inputs)`` in radians, as ``QNN.forward`` takes them; None for a QNN
            without inputs.
        weights: ``(num_weights,)`` in radians; the connector's or layer's own if None.
        target: ``"engine"``, ``"aer"``, ``"noisy:fake_torino"``, ``"local:fake_torino"`` ...; a
            ``BackendV2`` or an Aer ``NoiseModel`` stands for ``noisy:`` of it.
        shots: Shots of each row and circuit; None is exact, on the engine only.
        primitive: ``"sampler"`` measures expectation values by circuits in several bases;
            ``"estimator"`` leaves them to the target's Estimator: Aer's on ``aer`` and ``noisy:``,
            IBM's in local mode on ``local:``.
        primitive_options: Options of that Estimator, nested as it has them, such as
            ``{"resilience": {"measure_mitigation": True}}``; they are recorded as resolved.
        budget: Name of the budget that pays for a run on hardware.
        calibration: A readout calibration to use in place of a new one, with ``mitigation="m3"``.
        progress: Receives the progress messages.
        options: ``mitigation="m3"``, ``seed=1``, ``layout_trials=5``, ``optimization_level=3``,
            ``calibration_shots=8192``, ``readout="asymmetric"``; see
            :class:`~qdm_qiskit.sampling.SamplingConfig`.

    Returns:
        Outputs, their standard errors, cost and record. There are no gradients.

    Raises:
        UnsupportedCircuit: If the QNN is of another class (or a subclass), sparse, takes amplitudes,
            or has more qubits than the device.
        InvalidData: If shapes do not fit, a value is not finite, or an observable is not Hermitian.
        InvalidOption: If an option is unknown, out of range, or does not fit the target.
        TargetUnavailable: If the target cannot be used here. Nothing is sent to hardware.

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
    where = _target(target, budget)
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
    parts, own = _parts(qnn)
    angles = _weights(own if weights is None else weights, len(parts.weights))
    rows, leading = _rows(inputs, len(parts.inputs))
    call = CircuitCall(name=NAME, spec=parts.spec, angles=angles, inputs=rows, shots=config.shots)
    asked = _asked(call, primitive, primitive_options, where)
    if asked:
        found = _estimated(call, config, primitive_options or {}, progress)
    elif where.kind == "engine":
        found = _on_engine(call, config)
    else:
        found = _on_runner(call, parts, config, calibration, progress)
    shape = (*leading, *parts.output_shape)
    outputs, errors = _shaped(parts, call, found)
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
    errors: np.ndarray | None = None
    """Errors of the QNN's outputs, where they do not follow from the result's."""


def _target(target: str | DeviceLike, budget: str | None) -> Target:
    text = target_text(target, "noisy")
    if not isinstance(text, str):
        raise wrong(target, "target", "a target's text such as 'noisy:fake_torino', or a device")
    found = parse_target(text)
    if found.kind in ("ibm", "provider"):
        raise TargetUnavailable(
            f"run_qnn on '{found}' may be charged for, and a QNN has no planned run yet, so nothing "
            "was sent; rehearse it on 'local:fake_torino', or give the QNN a primitive of the device."
        )
    if budget is not None:
        raise InvalidOption(f"Target '{found}' charges nothing; leave budget out, got {budget!r}.")
    if str(found) == "engine:cuda":
        raise TargetUnavailable(
            "run_qnn computes on the CPU; use target 'engine', or QuantumLayer.from_qnn(qnn).cuda()."
        )
    return found


def _parts(qnn: Any) -> tuple[QnnParts, Any]:
    """Return the parts of a QNN, and the weights that come with it."""
    if isinstance(qnn, QnnLayer):
        return qnn.parts, qnn.weight
    if isinstance(qnn, TorchConnector):
        return qnn_parts(qnn.neural_network, "run_qnn"), qnn.weight
    return qnn_parts(qnn, "run_qnn"), None


def _weights(given: Any, count: int) -> np.ndarray:
    if given is None and count:
        raise InvalidData(
            f"The QNN has {count} weights, got none; give weights, or the TorchConnector that was "
            "trained."
        )
    values = _array([] if given is None else given, "weights")
    if values.size != count:
        raise InvalidData(f"weights have shape ({count},), got {values.shape}.")
    return values.reshape(count)


def _rows(given: Any, count: int) -> tuple[np.ndarray | None, tuple[int, ...]]:
    """Return inputs as ``(rows, num_inputs)``, and the leading axes of the outputs, as QNNs do."""
    if given is None and not count:
        return None, (1,)
    values = _array([] if given is None else given, "inputs")
    if values.ndim == 0 and count == 1:
        values = values.reshape(1, 1)
    if not count or values.ndim == 0 or values.shape[-1] != count or values.size == 0:
        raise InvalidData(
            f"inputs have shape (..., {count}) with a row at least, got {values.shape}."
            if count
            else f"The QNN takes no inputs; leave them out, got shape {values.shape}."
        )
    rows = values.reshape(-1, count)
    return rows, values.shape[:-1] if values.ndim > 1 else (1,)


def _array(given: Any, name: str) -> np.ndarray:
    if isinstance(given, torch.Tensor):
        return to_exact_array(given.detach()).astype(np.float64)
    try:
        return np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise wrong(given, name, "an array of numbers") from error


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
    parts: QnnParts,
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
    errors = None
    if isinstance(call.spec.readout, ProbabilityReadout) and target.calibration is not None:
        readout = [target.calibration.matrices[q] for q in prepared.qubits]
        errors = _mended_errors(call, parts, seen[0], readout)
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
    return _Answer(result, circuits, cost, record, errors)


def _mended_errors(
    call: CircuitCall, parts: QnnParts, seen: Seen, readout: Sequence[np.ndarray]
) -> np.ndarray | None:
    """Return errors of outputs that are linear sums of corrected probabilities."""
    count, spec = int(np.prod(parts.output_shape)), call.spec
    assert call.shots is not None
    if count << spec.num_qubits > MOST_ERRORS or call.shots < 2:
        return None
    readout_of = spec.readout
    assert isinstance(readout_of, ProbabilityReadout)
    values = np.zeros((1 << spec.num_qubits, count))
    states = readout_of.selection(spec.num_qubits)
    for outcome, place in enumerate(parts.outcome_places):
        if place >= 0:
            values[states[outcome], place] = 1.0
    return errors_of_sums(values, seen.raw[0] * call.shots, readout)


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


def _shaped(
    parts: QnnParts, call: CircuitCall, found: _Answer
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the QNN's outputs and errors, ``(rows, number of outputs)``."""
    result = found.result
    if parts.observables:
        return result.outputs, result.standard_errors
    outputs = parts.outputs(result.outputs)
    errors = found.errors
    if errors is None and result.standard_errors is not None and (call.shots or 0) > 1:
        assert call.shots is not None
        # Each shot falls into one output or none: outputs are binomial, however many outcomes they
        # add.
        errors = np.sqrt(np.maximum(outputs * (1 - outputs), 0.0) / (call.shots - 1))
    return outputs, errors
