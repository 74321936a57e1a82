"""Circuits of calls for an Estimator: transpiled once, unmeasured, with the work that each row is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp

from ...canonical_json import canonical_json
from ...circuits.readouts import ExpectationReadout
from ...errors import InvalidOption, TargetUnavailable
from ...execution.calls import CircuitCall
from ...execution.counts import MAX_CLBITS
from ...execution.estimator_options import options_from_text
from ...execution.estimators import ibm_executions, resolved_options
from ...execution.targets import Target
from ...transpiling.cost import CircuitCost, circuit_cost
from .call_circuits import CallCircuits, circuit_plan
from .calls import PlannedCircuit
from .circuits import best_transpiled, clock
from .config import PlanConfig
from .estimator_plan import EstimatorPlan
from .types import Availability, CircuitPlan

if TYPE_CHECKING:
    from .qpu_seconds import Timing

__all__ = ["estimated_calls", "on_device"]


def estimated_calls(
    calls: Sequence[CircuitCall],
    device: BackendV2 | None,
    target: Target,
    config: PlanConfig,
    availability: Availability | None,
    tell: Callable[[str], None],
) -> tuple[CallCircuits, EstimatorPlan]:
    """Transpile the circuits of calls for IBM's Estimator, and count its executions.

    Args:
        calls, device, target, config, availability, tell: As for
            :func:`.call_circuits.transpiled_calls`.

    Returns:
        The circuits, whose weights are executions of a row and shot, and their record.

    Raises:
        TargetUnavailable: If the target has no Estimator of IBM's.
        InvalidOption: If a call reads probabilities, or the Estimator does not take the options.
        UnsupportedCircuit: If a circuit has more qubits than the device.
    """
    if target.kind not in ("ibm", "local") or device is None:
        raise TargetUnavailable(
            f"Target '{target}' has no Estimator of IBM's for a planned run; plan for an ibm: or a "
            "local: target, or with primitive 'sampler'."
        )
    options = options_from_text(config.primitive_options)
    resolved = resolved_options(options)
    circuits: list[QuantumCircuit] = []
    planned: list[PlannedCircuit] = []
    timings: list[Timing] = []
    weights: list[float] = []
    extras: list[int] = []
    for number, call in enumerate(calls, start=1):
        _check_readout(call)
        tell(f"transpiling {call.spec.name} ({number} of {len(calls)})")
        read = call.spec.readout.measured
        isa, seed, _ = best_transpiled(call.circuit, device, target, config, read)
        if call.num_rows > 1 and not isa.num_parameters:
            raise TargetUnavailable(
                f"Call '{call.name}' has {call.num_rows} rows, but nothing of its circuit "
                "depends on them once it is transpiled, so its rows are one."
            )
        where = _physical(isa, read)
        measured = _measured(isa, where)
        cost = circuit_cost(measured, device.target)
        plan = _plan(isa, measured, cost, seed, config)
        timing = clock(device, target, measured, (), config, availability)
        weight, extra = _work(isa, on_device(call, plan, isa.num_qubits), config.shots, options)
        circuits.append(isa)
        timings.append(timing)
        weights.append(weight)
        extras.append(extra)
        planned.append(
            PlannedCircuit(
                content=call.content, letters="", seconds=timing.circuit_seconds, plan=plan
            )
        )
    record = EstimatorPlan(
        options=config.primitive_options,
        resolved=canonical_json(_finite(resolved)).decode(),
        weights=tuple(weights),
        extra=max(extras),
    )
    found = CallCircuits(
        tuple(circuits), tuple(planned), tuple(timings), tuple(weights), record.extra
    )
    return found, record


def on_device(call: CircuitCall, plan: CircuitPlan, num_qubits: int) -> list[SparsePauliOp]:
    """Return the observables of a call on the qubits of its transpiled circuit.

    Args:
        call: Reads expectation values.
        plan: Its circuit on the device: ``measured_qubits`` are those of the read qubits in order.
        num_qubits: Qubits of the transpiled circuit.
    """
    readout = call.spec.readout
    assert isinstance(readout, ExpectationReadout)
    return [
        SparsePauliOp.from_sparse_list(
            [
                (
                    "".join(letters),
                    [plan.measured_qubits[readout.measured.index(q)] for q in qubits],
                    c,
                )
                for letters, qubits, c in each.to_sparse_list()
            ],
            num_qubits,
        )
        for each in readout.observables
    ]


def _check_readout(call: CircuitCall) -> None:
    if not isinstance(call.spec.readout, ExpectationReadout):
        raise InvalidOption(
            f"Call '{call.name}' reads probabilities, and an Estimator gives expectation values; plan "
            "with primitive 'sampler', or sample on a target that costs nothing, where `qdm sample "
            "--primitive estimator` leaves such calls to shots."
        )
    measured = len(call.spec.readout.measured)
    if not 1 <= measured <= MAX_CLBITS:
        raise TargetUnavailable(
            f"Call '{call.name}' measures {measured} qubits, and a plan holds 1 to {MAX_CLBITS}; run "
            "it on target 'engine'."
        )


def _work(
    isa: QuantumCircuit, observables: Sequence[SparsePauliOp], shots: int, options: dict[str, Any]
) -> tuple[float, int]:
    """Return the executions of one row and shot, and those of the job besides its rows."""
    rows = 1 if not isa.num_parameters else 2
    counts = [
        ibm_executions(isa, observables, np.full((k, isa.num_parameters), 0.1), shots, options)
        for k in range(1, rows + 1)
    ]
    if rows == 1:
        return counts[0] / shots, 0
    row = counts[1] - counts[0]
    return row / shots, counts[0] - row


def _physical(isa: QuantumCircuit, read: Sequence[int]) -> list[int]:
    """Return the physical qubits of those that are read, at the end of the circuit."""
    if isa.layout is None:
        return list(read)
    final = isa.layout.final_index_layout(filter_ancillas=True)
    return [int(final[each]) for each in read]


def _measured(isa: QuantumCircuit, where: Sequence[int]) -> QuantumCircuit:
    """Return the circuit with the readout that its length and its success count."""
    found = isa.copy()
    found.add_register(ClassicalRegister(len(where), "read"))
    for bit, qubit in enumerate(where):
        found.measure(qubit, bit)
    return found


def _plan(
    isa: QuantumCircuit,
    measured: QuantumCircuit,
    cost: CircuitCost,
    seed: int,
    config: PlanConfig,
) -> CircuitPlan:
    found = circuit_plan(measured, isa, cost, seed, config)
    return replace(found, parameters=tuple(p.name for p in isa.parameters))


def _finite(value: Any) -> Any:
    """Return JSON values without NaN and infinity, which have no canonical text."""
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not np.isfinite(value):
        return repr(value)
    return value
