"""Circuits of calls on their device: each distinct one transpiled once, in every basis it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from ...circuits.spec import CircuitSpec
from ...errors import TargetUnavailable
from ...execution.calls import CircuitCall
from ...execution.counts import MAX_CLBITS
from ...execution.targets import Target
from ...transpiling.cost import CircuitCost, circuit_cost
from ...transpiling.passes import measured_physical_qubits
from .calls import PlannedCircuit
from .circuits import best_transpiled, clock, is_device, physical_qubits
from .config import PlanConfig
from .types import Availability, CircuitPlan

if TYPE_CHECKING:
    from ...sampling.readings import Reading
    from .qpu_seconds import Timing

__all__ = ["CallCircuits", "circuit_plan", "reading_of"]


@dataclass(frozen=True)
class CallCircuits:
    """All circuits of a run's calls."""

    circuits: tuple[QuantumCircuit, ...]
    """Measured circuits on the device."""
    planned: tuple[PlannedCircuit, ...]
    timings: tuple[Timing, ...]
    weights: tuple[float, ...] | None = None
    """For each circuit the executions of a row and shot; one of each where it is None."""
    extra: int = 0
    """Executions of a job besides its rows."""

    def weight(self, number: int) -> float:
        """Return the executions of a row and shot of a circuit."""
        return 1.0 if self.weights is None else self.weights[number]

    def numbers(self, content: str) -> tuple[int, ...]:
        """Return the entries that a call of this content runs, in the order of its bases."""
        return tuple(k for k, each in enumerate(self.planned) if each.content == content)

    @property
    def worst(self) -> CircuitPlan:
        """Return the circuit of least success, or of most two-qubit gates where nothing fails."""
        plans = [each.plan for each in self.planned]
        return min(
            plans,
            key=lambda e: (
                1.0 if e.expected_success is None else e.expected_success,
                -e.two_qubit_gates,
            ),
        )


def reading_of(spec: CircuitSpec) -> Reading:
    """Return the measurements of a circuit: all its qubits, or one basis after the other."""
    from ...sampling.readings import Reading

    return Reading.of(spec)


def transpiled_calls(
    calls: Sequence[CircuitCall],
    device: BackendV2 | None,
    target: Target,
    config: PlanConfig,
    availability: Availability | None,
    tell: Callable[[str], None],
) -> CallCircuits:
    """Transpile the circuits of calls, each distinct one once.

    Args:
        calls: One for each distinct content.
        device: From :func:`.circuits.find_device`.
        target: Target of the run.
        config: Layout trials, optimization level, repetition delay.
        availability: State of another package's provider.
        tell: Receives each stage of the work, in words.

    Returns:
        The circuits.

    Raises:
        TargetUnavailable: If a call has nothing to measure, or too much.
        UnsupportedCircuit: If a circuit has more qubits than the device.
    """
    circuits: list[QuantumCircuit] = []
    planned: list[PlannedCircuit] = []
    timings: list[Timing] = []
    for number, call in enumerate(calls, start=1):
        tell(f"transpiling {call.spec.name} ({number} of {len(calls)})")
        reading = reading_of(call.spec)
        measured = len(reading.qubits)
        if not 1 <= measured <= MAX_CLBITS:
            raise TargetUnavailable(
                f"Call '{call.name}' measures {measured} qubits, and counts are kept for 1 to "
                f"{MAX_CLBITS}; run it on target 'engine' (`qdm sample --target engine`)."
            )
        read = None if reading.plan is None else reading.qubits
        isa, seed, cost = best_transpiled(call.circuit, device, target, config, read)
        found = reading.circuits(isa, None if device is None else device.target)
        bases = [] if reading.plan is None else reading.plan.bases
        letters = [each.letters for each in bases] or [""]
        for circuit, letter in zip(found, letters, strict=True):
            price = cost
            if bases and device is not None and is_device(target):
                price = circuit_cost(circuit, device.target)
            timing = clock(device, target, circuit, (), config, availability)
            if call.num_rows > 1 and not circuit.num_parameters:
                raise TargetUnavailable(
                    f"Call '{call.name}' has {call.num_rows} rows, but nothing of its circuit "
                    "depends on them once it is transpiled, so its rows are one."
                )
            circuits.append(circuit)
            timings.append(timing)
            planned.append(
                PlannedCircuit(
                    content=call.content,
                    letters=letter,
                    seconds=timing.circuit_seconds,
                    plan=circuit_plan(circuit, isa, price, seed, config),
                )
            )
    return CallCircuits(tuple(circuits), tuple(planned), tuple(timings))


def circuit_plan(
    circuit: QuantumCircuit,
    isa: QuantumCircuit,
    cost: CircuitCost | None,
    seed: int,
    config: PlanConfig,
) -> CircuitPlan:
    """Return the record of a measured circuit; ``isa`` is what the transpiler gave, with its layout."""
    return CircuitPlan(
        qubits=circuit.num_clbits,
        parameters=tuple(p.name for p in circuit.parameters),
        depth=circuit.depth(),
        two_qubit_gates=sum(len(i.qubits) == 2 and i.operation.name != "barrier" for i in circuit),
        expected_success=None if cost is None else cost.expected_success,
        idle_success=None if cost is None else cost.idle_success,
        measured_qubits=measured_physical_qubits(circuit),
        physical_qubits=physical_qubits(isa, cost),
        transpiler_seed=seed,
        optimization_level=config.optimization_level,
    )
