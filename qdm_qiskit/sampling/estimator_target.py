"""An Estimator as a target of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from qiskit import QuantumCircuit

from ..circuits.readouts import ExpectationReadout
from ..errors import InvalidOption, UnsupportedCircuit
from ..execution.calls import CallResult, CircuitCall
from ..execution.counts import checked_shots
from ..execution.devices import as_backend
from ..execution.estimators import EstimatorRunner
from ..execution.targets import Target, parse_target
from ..rng import derived_seed
from ..transpiling.compact import compact
from ..transpiling.passes import best_trial, layout_trials, select_values, transpile_for

__all__ = ["EstimatorTarget"]


@final
class EstimatorTarget:
    """The Estimator of a target, for calls that read expectation values.

    Args:
        target: ``aer``, ``noisy:DEVICE`` or ``local:DEVICE``, or the parsed one.
        options: Options of the Estimator, see :class:`.execution.estimators.EstimatorRunner`.
        seed: Seed of shots and layouts, an integer >= 0.
        level: Qiskit's optimization level.
        trials: Transpiler seeds tried on a device.

    Raises:
        TargetUnavailable: If the target has no Estimator that costs nothing.
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
        self._runner = EstimatorRunner(self.target, options, seed=seed)
        self._seed, self._level, self._trials = seed, level, trials
        self._known: dict[str, tuple[QuantumCircuit, dict[str, Any]]] = {}
        self.record: dict[str, Any] = {}
        """Record of the last answer, ready for JSON: resolved options, layout, versions."""

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
        if call.content not in self._known:
            self._known[call.content] = self._transpiled(call)
        isa, layout = self._known[call.content]
        observables = [
            each if isa.layout is None else each.apply_layout(isa.layout)
            for each in readout.observables
        ]
        small, kept, observables = compact(isa, observables)
        if call.num_rows > 1 and not small.num_parameters:
            raise UnsupportedCircuit(
                f"Call '{call.name}' has {call.num_rows} rows, and none of its gates sees them; give "
                "one row."
            )
        values = select_values(call.values, call.circuit, isa)
        outputs, errors, record = self._runner.run(small, kept, observables, values, shots)
        self.record = {**record, "layout": layout}
        return CallResult(outputs=outputs, standard_errors=errors)

    def _transpiled(self, call: CircuitCall) -> tuple[QuantumCircuit, dict[str, Any]]:
        seeds = [derived_seed(self._seed, "transpiler", trial) for trial in range(self._trials)]
        if self.target.backend is None:
            from qiskit_aer import AerSimulator

            isa = transpile_for(call.circuit, AerSimulator(), level=self._level, seed=seeds[0])
            return isa, {"physical_qubits": None, "transpiler_seed": seeds[0]}
        readout = call.spec.readout
        backend = as_backend(self.target.backend)
        read = readout.measured or None
        trial = best_trial(
            layout_trials(call.circuit, backend, seeds=seeds, level=self._level, read=read)
        )
        layout = trial.circuit.layout.initial_index_layout(filter_ancillas=True)
        return trial.circuit, {
            "physical_qubits": [int(each) for each in layout],
            "transpiler_seed": trial.seed,
        }
