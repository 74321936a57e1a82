"""Expectation values from a target's own Estimator, for those who want its error suppression.

By default expectation values are measured by circuits in several bases, whose errors are those of the
shots (:mod:`..mitigation.expectation`). An Estimator applies its makers' own methods, and reports
their idea of the error:

========= =========================================================================================
``aer``   the exact value plus Gaussian noise of ``precision = 1/sqrt(shots)``, whatever the observable
``noisy`` the same with the gates' noise; Aer's Estimator measures nothing, so readout errors are absent
``local`` IBM's executor-based Estimator in local mode, with its twirling, TREX and ZNE; its TREX
          corrects too little (:func:`left_by_trex`)
========= =========================================================================================
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, final

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from ..errors import InvalidOption, TargetUnavailable, UnsupportedCircuit
from ..rng import derived_seed
from .aer_circuits import for_aer
from .device_noise import readout_errors
from .devices import as_backend
from .noise_coverage import check_estimated
from .region import noise_of
from .targets import Target

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel
    from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions

__all__ = [
    "EstimatorRunner",
    "estimates_of",
    "ibm_executions",
    "ibm_options",
    "left_by_trex",
    "resolved_options",
]

MAX_QUBITS = 20
"""Most qubits that a circuit moves or observes, for a simulator's estimate."""


@final
class EstimatorRunner:
    """The Estimator of a target that costs nothing; every call is one job.

    Args:
        target: ``aer``, ``noisy:DEVICE`` or ``local:DEVICE``.
        options: Options of the Estimator, nested as it has them: ``backend_options``,
            ``run_options`` and ``default_precision`` of Aer's; ``resilience_level``,
            ``resilience``, ``twirling`` and others of IBM's. Their defaults hold for the rest, but
            for the seed.
        seed: Seed of the shots, an integer >= 0.

    Raises:
        TargetUnavailable: If the target has no Estimator that costs nothing.
    """

    def __init__(
        self, target: Target, options: Mapping[str, Any] | None = None, *, seed: int = 0
    ) -> None:
        if target.kind not in ("aer", "noisy", "local"):
            raise TargetUnavailable(
                f"Target '{target}' has no Estimator that costs nothing; use 'aer', 'noisy:DEVICE' or "
                "'local:DEVICE'."
            )
        self.target, self._options = target, dict(options or {})
        self._seed, self._jobs, self._warned = seed, 0, False

    def run(
        self,
        circuit: QuantumCircuit,
        kept: Sequence[int],
        observables: Sequence[SparsePauliOp],
        values: np.ndarray,
        shots: int,
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Estimate all observables for all rows, as one job.

        Args:
            circuit: Circuit transpiled for the target, on the qubits it uses; without measurements.
            kept: The device's number of each of its qubits.
            observables: Observables on its qubits.
            values: ``(rows, num_parameters)`` in the order of ``circuit.parameters``.
            shots: Shots, which stand for a precision of ``1/sqrt(shots)``.

        Returns:
            Values and errors, ``(rows, observables)``, and their record, ready for JSON.

        Raises:
            InvalidOption: If the Estimator does not take the options.
            UnsupportedCircuit: If the circuit has too many qubits to be simulated, or Aer's Estimator
                would show nothing of the noise, which is of the readout alone.
        """
        if len(kept) > MAX_QUBITS:
            raise UnsupportedCircuit(
                f"An Estimator is simulated on at most {MAX_QUBITS} qubits, circuit '{circuit.name}' "
                f"uses {len(kept)}; use fewer, or primitive 'sampler'."
            )
        run = self._local if self.target.kind == "local" else self._aer
        outputs, errors, record = run(circuit, kept, observables, values, shots)
        names = ("qiskit", "qiskit-aer", "qiskit-ibm-runtime")
        return outputs, errors, {**record, "versions": {name: version(name) for name in names}}

    def _noise(self, kept: Sequence[int]) -> NoiseModel | None:
        if self.target.backend is None:
            return None
        backend = as_backend(self.target.backend)
        return _renumbered(noise_of(backend, frozenset(kept)), kept)

    def _aer(
        self,
        circuit: QuantumCircuit,
        kept: Sequence[int],
        observables: Sequence[SparsePauliOp],
        values: np.ndarray,
        shots: int,
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        from qiskit_aer.primitives import EstimatorV2

        known = {"backend_options", "run_options", "default_precision"}
        if not self._options.keys() <= known:
            raise InvalidOption(
                f"Aer's Estimator has the options {', '.join(sorted(known))}, got "
                f"{', '.join(sorted(self._options))}; resilience is of 'local:DEVICE'."
            )
        noise = self._noise(kept)
        seed = self._next_seed()
        backend = {"method": "density_matrix" if noise is not None else "automatic"}
        backend |= self._options.get("backend_options", {})
        run = {"seed_simulator": seed, **self._options.get("run_options", {})}
        if noise is not None and ("noise_model" in backend or "noise_model" in run):
            raise InvalidOption(
                f"Target '{self.target}' brings its noise model; leave noise_model out."
            )
        precision = float(self._options.get("default_precision", 1 / np.sqrt(shots)))
        given = backend if noise is None else {**backend, "noise_model": noise}
        shown = run.get("noise_model", given.get("noise_model"))
        if shown is not None and not self._warned:
            self._warned = check_estimated(shown, "use primitive='sampler'")
        estimator = EstimatorV2(options={"backend_options": given, "run_options": run})
        outputs, errors = _run(
            estimator, for_aer(circuit, labels=False), observables, values, precision
        )
        record: dict[str, Any] = {
            "estimator": "qiskit_aer.primitives.EstimatorV2",
            "options": _jsonable(
                {"backend_options": backend, "run_options": run, "precision": precision}
            ),
        }
        if noise is not None:
            record["note"] = "Aer's Estimator measures nothing: readout errors are absent."
        return outputs, errors, record

    def _local(
        self,
        circuit: QuantumCircuit,
        kept: Sequence[int],
        observables: Sequence[SparsePauliOp],
        values: np.ndarray,
        shots: int,
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        from qiskit_ibm_runtime import Batch
        from qiskit_ibm_runtime.exceptions import IBMInputValueError
        from qiskit_ibm_runtime.executor_estimator import Estimator

        from .independent_shots import IndependentShots

        # On the qubits of the circuit alone: IBM's Estimator measures every qubit that there is, and
        # a state of a whole chip cannot be simulated.
        noise = self._noise(kept)
        simulator = IndependentShots(
            method="density_matrix" if len(kept) <= 10 else "automatic",
            noise_model=noise,
            n_qubits=len(kept),
            fusion_threshold=1,
        )
        with Batch(backend=simulator) as batch:
            estimator = Estimator(mode=batch, options=ibm_options(self._options))
            estimator.options.simulator.seed_simulator = self._next_seed()
            resolved = estimator.finalize_options().model_dump(mode="json")
            try:
                outputs, errors = _run(
                    estimator,
                    for_aer(circuit, labels=False),
                    observables,
                    values,
                    1 / np.sqrt(shots),
                )
            except IBMInputValueError as error:
                raise InvalidOption(
                    f"IBM's Estimator refuses the options: {' '.join(str(error).split())}"
                ) from error
        record = {
            "estimator": "qiskit_ibm_runtime.executor_estimator.Estimator, local mode",
            "options": resolved,
            "note": "On the circuit's qubits alone; a QPU measures, and twirls, all of them.",
        }
        if noise is not None and resolved["resilience"]["measure_mitigation"]:
            left = left_by_trex(readout_errors(noise, len(kept)).values())
            record["note"] += f" TREX leaves {left:.3g} of a product of Z on all of them."
        return outputs, errors, record

    def _next_seed(self) -> int:
        self._jobs += 1
        return derived_seed(self._seed, "shots", self._jobs - 1)


def left_by_trex(readout: Iterable[tuple[float, float]]) -> float:
    """Return what is left of a product of Z when IBM's TREX has corrected it; 1 would be right.

    Version 0.1 of qiskit-mitigation takes the share p of flipped bits for a rate: it divides by
    exp(-2p) a qubit, where a flip leaves 1 - 2p.

    Args:
        readout: By qubit of the product, the shares of 1 read for 0, and of 0 for 1.

    >>> round(left_by_trex([(0.1, 0.1)] * 6), 3)
    0.87
    """
    flips = [sum(each) / 2 for each in readout]
    return math.prod((1 - 2 * flip) * math.exp(2 * flip) for flip in flips)


def ibm_options(options: Mapping[str, Any]) -> EstimatorOptions:
    """Return options of IBM's Estimator, checked by its own model.

    Args:
        options: Nested as it has them.

    Raises:
        InvalidOption: With the first option that it does not take.
    """
    from pydantic import ValidationError
    from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions

    try:
        return EstimatorOptions(**options)
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(str(each) for each in found["loc"])
        raise InvalidOption(
            f"IBM's Estimator does not take the option '{where}': {found['msg']}."
        ) from error
    except TypeError as error:
        raise InvalidOption(f"IBM's Estimator does not take the options: {error}.") from error


def resolved_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with which IBM's Estimator runs, ready for JSON.

    Raises:
        InvalidOption: As :func:`ibm_options`.
    """
    from qiskit_ibm_runtime.executor_estimator.finalize_options import finalize_estimator_options

    found: dict[str, Any] = finalize_estimator_options(ibm_options(options)).model_dump(mode="json")
    return found


def ibm_executions(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    values: np.ndarray,
    shots: int,
    options: Mapping[str, Any],
) -> int:
    """Return how many shots of bound circuits IBM's Estimator runs for a PUB, without running it.

    Args:
        circuit: Circuit transpiled for the device; without measurements.
        observables: On its qubits.
        values: ``(rows, num_parameters)``.
        shots: Shots, which stand for a precision of ``1/sqrt(shots)``.
        options: Of the Estimator.

    Raises:
        InvalidOption: If it does not take the options, or not together.
    """
    from qiskit_ibm_runtime.exceptions import IBMInputValueError
    from qiskit_ibm_runtime.executor_estimator.prepare import prepare

    checked = ibm_options({k: v for k, v in options.items() if k != "dynamical_decoupling"})
    try:
        program, _ = prepare(
            [_pub(for_aer(circuit, labels=False), observables, values)],
            checked,
            1 / math.sqrt(shots),
        )
    except (IBMInputValueError, ValueError) as error:
        raise InvalidOption(
            f"IBM's Estimator refuses the options: {' '.join(str(error).split())}"
        ) from error
    return int(program.shots * sum(item.size() for item in program.items))


def _pub(
    circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], values: np.ndarray
) -> tuple[Any, ...]:
    # Observables along the last axis, rows along the first: both are broadcast.
    pub: tuple[Any, ...] = (circuit, [list(observables)])
    return (*pub, values[:, None, :]) if circuit.num_parameters else pub


def _run(
    estimator: Any,
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    values: np.ndarray,
    precision: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return values and errors, ``(rows, observables)``, of one PUB."""
    pub = _pub(circuit, observables, values)
    [result] = estimator.run([pub], precision=precision).result()
    return estimates_of(result, (len(values), len(observables)))


def estimates_of(result: Any, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return values and errors of a PUB's result, ``(rows, observables)`` float64 each.

    Raises:
        ValueError, AttributeError: If it holds something else.
    """
    found = np.asarray(result.data.evs, dtype=np.float64)
    errors = np.asarray(result.data.stds, dtype=np.float64)
    return np.broadcast_to(found, shape).copy(), np.broadcast_to(errors, shape).copy()


def _renumbered(noise: NoiseModel, kept: Sequence[int]) -> NoiseModel:
    """Return a noise model whose qubit k is qubit ``kept[k]`` of the given one."""
    from qiskit_aer.noise import NoiseModel

    place = {qubit: k for k, qubit in enumerate(kept)}
    found = NoiseModel(basis_gates=noise.basis_gates)
    for name, error in noise._default_quantum_errors.items():
        found.add_all_qubit_quantum_error(error, name)
    for name, errors in noise._local_quantum_errors.items():
        for qubits, error in errors.items():
            if place.keys() >= set(qubits):
                found.add_quantum_error(error, name, [place[q] for q in qubits], warnings=False)
    if noise._default_readout_error is not None:
        found.add_all_qubit_readout_error(noise._default_readout_error)
    for qubits, error in noise._local_readout_errors.items():
        if place.keys() >= set(qubits):
            found.add_readout_error(error, [place[q] for q in qubits], warnings=False)
    return found


def _jsonable(options: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(options, default=repr))
    return found
