"""Expectation values from a target's own Estimator, for those who want its error suppression.

By default expectation values are measured by circuits in several bases, whose errors are those of the
shots (:mod:`..mitigation.expectation`). An Estimator does what its makers built in, and reports what
they take for the error:

========= =========================================================================================
``aer``   the exact value plus Gaussian noise of ``precision = 1/sqrt(shots)``, whatever the observable
``noisy`` the same with the gates' noise; Aer's Estimator measures nothing, so readout errors are absent
``local`` IBM's executor-based Estimator in local mode, with its twirling, TREX and ZNE
========= =========================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, final

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from ..circuits.spec import ExpectationReadout
from ..errors import InvalidOption, TargetUnavailable, UnsupportedCircuit
from ..rng import derived_seed
from ..transpiling.compact import compact
from ..transpiling.passes import best_trial, layout_trials, select_values, transpile_for
from .aer_circuits import for_aer
from .calls import CallResult, CircuitCall
from .counts import checked_shots
from .devices import as_backend
from .region import noise_of
from .targets import Target, parse_target

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

__all__ = ["EstimatorTarget"]

MAX_QUBITS = 20
"""Qubits that a circuit moves or observes, of those that a simulator estimates."""


@final
class EstimatorTarget:
    """An Estimator as a target of calls that read expectation values; every answer is one job.

    Args:
        target: ``aer``, ``noisy:DEVICE`` or ``local:DEVICE``, or its text.
        options: Of the Estimator, nested as it has them: ``backend_options``, ``run_options`` of
            Aer's; ``resilience_level``, ``resilience``, ``twirling``, ``dynamical_decoupling`` of
            IBM's. What is not given is theirs, but for seeds, and ``twirling.shots_per_randomization``.
        seed: Of shots and layouts, an integer >= 0.
        level: Qiskit's optimization level.
        trials: Transpiler seeds tried on a device.

    Raises:
        TargetUnavailable: If the target has no Estimator that costs nothing.
        InvalidOption: If the Estimator has no such option.
    """

    def __init__(
        self,
        target: Target | str,
        options: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        level: int = 3,
        trials: int = 5,
    ) -> None:
        self.target = parse_target(target) if isinstance(target, str) else target
        if self.target.kind not in ("aer", "noisy", "local"):
            raise TargetUnavailable(
                f"Target '{self.target}' has no Estimator that costs nothing; use 'aer', "
                "'noisy:DEVICE' or 'local:DEVICE'."
            )
        self._options, self._seed = dict(options or {}), seed
        self._level, self._trials, self._jobs = level, trials, 0
        self.circuits = 1
        """Circuits of each row, as far as they are ours to count: an Estimator may run more."""
        self.record: dict[str, Any] = {}
        """What explains the last answer: options as resolved, layout, versions."""

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """See :class:`.CallTarget`.

        Raises:
            InvalidOption: If a call reads no expectation values, has no shots, or the Estimator does
                not take the options.
            UnsupportedCircuit: If a circuit does not fit the target, or its simulation.
        """
        return [self._one(call) for call in calls]

    def _one(self, call: CircuitCall) -> CallResult:
        readout = call.spec.readout
        if not isinstance(readout, ExpectationReadout):
            raise InvalidOption(
                f"Call '{call.name}' reads probabilities, and an Estimator gives expectation values."
            )
        shots = checked_shots(0 if call.shots is None else call.shots)
        isa, layout = self._transpiled(call)
        observables = [
            each if isa.layout is None else each.apply_layout(isa.layout)
            for each in readout.observables
        ]
        values = select_values(call.values, call.circuit, isa)
        small, kept, observables = compact(isa, observables)
        if len(kept) > MAX_QUBITS:
            raise UnsupportedCircuit(
                f"An Estimator is simulated on at most {MAX_QUBITS} qubits, call '{call.name}' has "
                f"{len(kept)}; use fewer, or primitive 'sampler'."
            )
        rows = values if small.num_parameters else values[:1]
        run = self._local if self.target.kind == "local" else self._aer
        outputs, errors, record = run(small, kept, observables, rows, shots)
        if len(rows) < call.num_rows:
            raise UnsupportedCircuit(
                f"Call '{call.name}' has {call.num_rows} rows, and no observable sees them; give one."
            )
        self.record = {
            **record,
            "layout": layout,
            "versions": {n: version(n) for n in ("qiskit", "qiskit-aer", "qiskit-ibm-runtime")},
        }
        return CallResult(outputs=outputs, standard_errors=errors)

    def _transpiled(self, call: CircuitCall) -> tuple[QuantumCircuit, dict[str, Any]]:
        readout = call.spec.readout
        seeds = [derived_seed(self._seed, "transpiler", trial) for trial in range(self._trials)]
        if self.target.backend is None:
            from qiskit_aer import AerSimulator

            isa = transpile_for(call.circuit, AerSimulator(), level=self._level, seed=seeds[0])
            return isa, {"physical_qubits": None, "transpiler_seed": seeds[0]}
        backend = as_backend(self.target.backend)
        trial = best_trial(
            layout_trials(
                call.circuit, backend, seeds=seeds, level=self._level, read=readout.measured or None
            )
        )
        layout = trial.circuit.layout.initial_index_layout(filter_ancillas=True)
        return trial.circuit, {
            "physical_qubits": [int(each) for each in layout],
            "transpiler_seed": trial.seed,
        }

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
        from pydantic import ValidationError
        from qiskit_ibm_runtime import Batch
        from qiskit_ibm_runtime.exceptions import IBMInputValueError
        from qiskit_ibm_runtime.executor_estimator import Estimator

        from .independent_shots import IndependentShots

        # On the qubits of the circuit alone: IBM's Estimator measures every qubit that there is, and
        # a state of a whole chip cannot be simulated.
        simulator = IndependentShots(
            method="density_matrix" if len(kept) <= 10 else "automatic",
            noise_model=self._noise(kept),
            n_qubits=len(kept),
            fusion_threshold=1,
        )
        with Batch(backend=simulator) as batch:
            try:
                estimator = Estimator(mode=batch, options=self._options or None)
            except ValidationError as error:
                found = error.errors()[0]
                where = ".".join(str(each) for each in found["loc"])
                raise InvalidOption(
                    f"IBM's Estimator does not take the option '{where}': {found['msg']}."
                ) from error
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
        return (
            outputs,
            errors,
            {
                "estimator": "qiskit_ibm_runtime.executor_estimator.Estimator, local mode",
                "options": resolved,
                "note": "On the circuit's qubits alone; a QPU measures, and twirls, all of them.",
            },
        )

    def _next_seed(self) -> int:
        self._jobs += 1
        return derived_seed(self._seed, "shots", self._jobs - 1)


def _run(
    estimator: Any,
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    values: np.ndarray,
    precision: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return values and errors, ``(rows, observables)``, of one PUB."""
    # Observables along the last axis, rows along the first: both are broadcast.
    pub: tuple[Any, ...] = (circuit, [list(observables)])
    if circuit.num_parameters:
        pub = (*pub, values[:, None, :])
    [result] = estimator.run([pub], precision=precision).result()
    shape = (len(values), len(observables))
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
