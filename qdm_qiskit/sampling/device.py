"""A model's circuit on a runner: transpiled once, one job a step, mitigated, read out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit
from torch import Tensor

from ..circuits.spec import CircuitSpec, ProbabilityReadout
from ..engine.noise.runners import noise_alone
from ..errors import InvalidData, TargetUnavailable
from ..execution.distributions import (
    SignalLeft,
    normalized,
    signal_left,
    total_variation_distance,
)
from ..execution.runner import CircuitRunner
from ..layers.arrays import device_of, exact, to_array
from ..layers.executors import read_probabilities
from ..mitigation.readout import (
    ReadoutCalibration,
    combine_results,
    construct_circuits,
    mitigate,
)
from ..mitigation.simplex import nearest_probability
from ..models import CircuitDenoiser
from ..progress import Message, Progress, silent
from ..rng import derived_seed
from ..transpiling.cost import CircuitCost
from ..transpiling.passes import (
    best_trial,
    layout_trials,
    measured_physical_qubits,
    select_values,
    transpile_for,
)
from .config import SamplingConfig

SHOT_NOISE_ONLY = "No device noise, shot noise only."
"""The verdict of targets that run circuits without a device's noise."""


def unrolled_circuit(model: CircuitDenoiser) -> QuantumCircuit:
    """The model's full circuit with its weights bound and its inputs free.

    One circuit serves every image and step: what differs are the input values, which
    :meth:`~qdm_qiskit.circuits.CircuitSpec.input_values` gives.

    Raises:
        TargetUnavailable: If the circuit reads expectation values.
        InvalidData: If a weight is not finite.
    """
    spec = model.spec
    if not isinstance(spec.readout, ProbabilityReadout):
        raise TargetUnavailable(f"'{spec.name}' reads expectation values, which take an estimator.")
    weights = model.layer.angles().detach().cpu().double()
    if not bool(torch.isfinite(weights).all()):
        raise InvalidData(
            "Weights must be finite, got NaN or infinity: no circuit can be bound to them."
        )
    angles = weights.tolist()
    circuit = spec.full_circuit()
    bound = circuit.assign_parameters(dict(zip(spec.weights, angles, strict=True)))
    bound.name = spec.name  # Qiskit would number the copies
    return bound


@dataclass
class StepRecord:
    """What one step of the chain measured, averaged over the images."""

    step: int
    """t."""
    raw_distance: float
    """Total variation distance of the raw frequencies from the exact distribution."""
    mitigated_distance: float | None
    """The same after mitigation."""
    signal_left: float
    """Share of the exact distribution's signal that the raw frequencies hold."""
    erased_images: int
    """Images whose frequencies shots cannot tell from what comes out whatever goes in."""
    postselected: float
    """Share of shots that passed the post-selection."""
    sentence: str
    """The verdict in words."""


@dataclass
class DevicePredictor:
    """A model's prediction from circuits on a runner.

    Made by :meth:`prepare`, which transpiles and, if asked, calibrates the readout; then one job
    for each call, with all images of the step in it.
    """

    model: CircuitDenoiser
    runner: CircuitRunner
    config: SamplingConfig
    circuit: QuantumCircuit
    isa: QuantumCircuit
    transpiler_seed: int
    qubits: tuple[int, ...]
    cost: CircuitCost | None
    calibration: ReadoutCalibration | None
    erased: np.ndarray | None
    num_steps: int | None = None
    """T, for a circuit that is told the time."""
    records: list[StepRecord] = field(default_factory=list)

    @classmethod
    def prepare(
        cls,
        model: CircuitDenoiser,
        runner: CircuitRunner,
        config: SamplingConfig,
        *,
        num_steps: int | None = None,
        calibration: ReadoutCalibration | None = None,
        progress: Progress = silent,
    ) -> DevicePredictor:
        """Transpile the model's circuit and take the readout calibration, once for all steps.

        Args:
            model: The trained model.
            runner: Where its circuit runs.
            config: Shots, mitigation, layout trials.
            num_steps: T, for a circuit that is told the time.
            calibration: A readout calibration taken earlier on the same backend and qubits.
            progress: Is told in words what happens.

        Returns:
            The prediction.

        Raises:
            CalibrationMismatch: If the given calibration is of other qubits or another backend.
        """
        circuit = unrolled_circuit(model)
        device = config.target.partition(":")[0] in ("noisy", "local")
        seeds = [
            derived_seed(config.seed, "transpiler", trial) for trial in range(config.layout_trials)
        ]
        progress(Message("transpiling"))
        chosen, cost = seeds[0], None
        if device:
            trial = best_trial(
                layout_trials(circuit, runner.backend, seeds=seeds, level=config.optimization_level)
            )
            isa, chosen, cost = trial.circuit, trial.seed, trial.cost
        else:
            isa = transpile_for(
                circuit, runner.backend, level=config.optimization_level, seed=seeds[0]
            )
        qubits = measured_physical_qubits(isa)
        prediction = cls(
            model=model,
            runner=runner,
            config=config,
            circuit=circuit,
            isa=isa,
            transpiler_seed=chosen,
            qubits=qubits,
            cost=cost,
            calibration=None,
            erased=noise_alone(runner, isa, readout=config.readout) if device else None,
            num_steps=num_steps,
        )
        if config.mitigation == "m3" and calibration is not None:
            # Correcting one uniform row refuses a foreign calibration before the first job, not after.
            uniform = np.ones((1, 2 ** len(qubits)))
            mitigate(uniform, calibration, qubits, runner.backend.name)
            prediction.calibration = calibration
        elif config.mitigation == "m3":
            progress(Message("calibrating the readout"))
            prediction.calibration = prediction._calibrate()
        return prediction

    def _calibrate(self) -> ReadoutCalibration:
        backend = self.runner.backend
        circuits = construct_circuits(self.qubits, backend.num_qubits, target=backend.target)
        nothing = np.zeros((1, 0))
        counts = self.runner.run(
            [(circuit, nothing) for circuit in circuits], shots=self.config.calibration_shots
        )
        return combine_results(
            counts,
            self.qubits,
            backend=self.runner.backend.name,
            taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @torch.no_grad()
    def __call__(self, x: Tensor, step: int, labels: Tensor | None = None) -> Tensor:
        """The model's prediction to images, from one job.

        Args:
            x: ``(batch, channels, height, width)``.
            step: t.
            labels: ``(batch,)`` class indices of guided models.

        Returns:
            ``(batch, channels, height, width)`` in [0, 1].

        Raises:
            InvalidData: If an image has no norm left: all its shots failed the post-selection.
        """
        shots = self.config.shots
        assert shots is not None  # SamplingConfig refuses targets with circuits and no shots
        time = None if self.num_steps is None else step / self.num_steps
        rows, inputs = self.model.circuit_inputs(x, labels, time)
        values = self.model.circuit_values(rows, inputs)
        [counts] = self.runner.run(
            [(self.isa, select_values(values, self.circuit, self.isa))], shots=shots
        )
        raw = normalized(counts)
        probabilities = raw
        if self.calibration is not None:
            quasi = mitigate(counts, self.calibration, self.qubits, self.runner.backend.name)
            probabilities = nearest_probability(quasi)
        self._record(step, raw, probabilities, rows, inputs)
        return decoded(self.model, probabilities, x, step=step, shots=shots)

    def _record(
        self,
        step: int,
        raw: np.ndarray,
        probabilities: np.ndarray,
        rows: Tensor | None,
        inputs: Tensor | None,
    ) -> None:
        """Compare with the exact distribution of the same circuits."""
        exact = register_probabilities(self.model, rows, inputs)
        assert self.config.shots is not None
        left: SignalLeft = signal_left(exact, raw, self.erased, shots=self.config.shots)
        mitigated = None
        if self.calibration is not None:
            mitigated = float(np.mean(total_variation_distance(probabilities, exact)))
        self.records.append(
            StepRecord(
                step=step,
                raw_distance=float(np.mean(total_variation_distance(raw, exact))),
                mitigated_distance=mitigated,
                signal_left=float(np.mean(left.fraction)),
                erased_images=int(np.sum(left.erased)),
                postselected=_passed(self.model.spec, raw),
                sentence=left.sentence() if self.cost is not None else SHOT_NOISE_ONLY,
            )
        )

    def _physical_qubits(self) -> list[int] | None:
        """Where each logical qubit starts; None where there is no device to lay out on."""
        if self.isa.layout is None or self.cost is None:
            return None
        return list(self.isa.layout.initial_index_layout(filter_ancillas=True))

    def manifest(self) -> dict[str, Any]:
        """What explains the predictions, ready for JSON."""
        return {
            "runner": self.runner.metadata,
            "layout": {
                "physical_qubits": self._physical_qubits(),
                "measured_qubits": list(self.qubits),
                "transpiler_seed": self.transpiler_seed,
            },
            "circuit": {
                "two_qubit_gates": None if self.cost is None else self.cost.two_qubit_count,
                "depth": self.isa.depth(),
                "expected_success": None if self.cost is None else self.cost.expected_success,
                "duration_seconds": None if self.cost is None else self.cost.duration_seconds,
            },
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            "steps": [vars(record) for record in self.records],
        }


def check_postselected(outputs: Tensor, step: int, shots: int) -> None:
    """Refuse an image none of whose shots passed the post-selection: it would be zero everywhere.

    Args:
        outputs: ``(batch, num_outputs)`` measured outputs.
        step: t, for the message.
        shots: Shots of each image, for the message.

    Raises:
        InvalidData: With the number of the first such image.
    """
    empty = outputs.sum(1) == 0
    if bool(empty.any()):
        raise InvalidData(
            f"At step t={step} no shot of image {int(empty.nonzero()[0])} passed the post-selection "
            f"on the ancilla; raise shots above {shots}."
        )


@torch.no_grad()
def decoded(
    model: CircuitDenoiser, probabilities: np.ndarray, x: Tensor, *, step: int, shots: int
) -> Tensor:
    """The model's prediction from its circuit's outcomes, of the type of ``x`` and where ``x`` is.

    Args:
        model: The model, wherever it is.
        probabilities: ``(batch, 2**num_qubits)``.
        x: The images that were asked about.
        step: t, for the message.
        shots: Shots of each image, for the message.

    Raises:
        InvalidData: If no shot of an image passed the post-selection.
    """
    outputs = read_probabilities(model.spec, torch.from_numpy(probabilities))
    check_postselected(outputs, step, shots)
    return model.decode(outputs.to(device_of(model), x.dtype)).to(x.device)


@torch.no_grad()
def register_probabilities(
    model: CircuitDenoiser, amplitudes: Tensor | None, inputs: Tensor | None
) -> np.ndarray:
    """Exact probabilities of all qubits for encoded images, in float64.

    Args:
        model: The model; its circuit is compiled on the first call and kept.
        amplitudes: ``(batch, 2**n)`` with unit rows, or None.
        inputs: ``(batch, num_inputs)`` or None.

    Returns:
        ``(batch, 2**num_qubits)``.
    """
    found = model.layer.program.probabilities(
        None if inputs is None else exact(inputs).cpu(),
        exact(model.layer.angles()).cpu(),
        None if amplitudes is None else exact(amplitudes).cpu(),
        initial_qubits=None if amplitudes is None else model.spec.data_qubits,
    )
    return to_array(found)


def _passed(spec: CircuitSpec, probabilities: np.ndarray) -> float:
    readout = spec.readout
    assert isinstance(readout, ProbabilityReadout)
    selection = readout.selection(spec.num_qubits).ravel()
    return float(probabilities[:, selection].sum(axis=1).mean())
