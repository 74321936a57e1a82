"""How long each qubit of a transpiled circuit works and waits, in its as-soon-as-possible schedule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Bit, CircuitInstruction
from qiskit.transpiler import Target as DeviceTarget
from qiskit.utils.units import apply_prefix

from ..arguments import of_kind

__all__ = ["QubitTimes", "operations", "qubit_times"]


@dataclass(frozen=True)
class QubitTimes:
    """Work and waits of the qubits of a circuit on a device.

    A qubit counts as used if an operation other than a barrier or a delay acts on it.
    """

    device_qubits: int
    """Qubits of the device."""
    used: int
    """Qubits of the device that the circuit uses."""
    seconds: float | None
    """Length of the schedule; None where the device gives no durations."""
    busy: dict[int, float]
    """Seconds in operations, delays left out, by physical qubit; empty without durations."""
    idle: dict[int, float]
    """Seconds of waits and delays from the first operation of a qubit to its last one, by physical
    qubit; empty without durations. Before its first operation a qubit is in its ground state."""

    @property
    def busy_share(self) -> float | None:
        """Share of the time of the used qubits in which they work, 0 to 1; None if not known."""
        if not self.seconds:
            return None
        return math.fsum(self.busy.values()) / (self.used * self.seconds)

    def record(self) -> dict[str, Any]:
        """Return what is kept of it in a manifest, ready for JSON; times in seconds."""
        known = self.seconds is not None
        return {
            "device_qubits": self.device_qubits,
            "used": self.used,
            "busy_share": self.busy_share,
            "idle_seconds": math.fsum(self.idle.values()) if known else None,
            "longest_idle_seconds": max(self.idle.values(), default=0.0) if known else None,
        }


def qubit_times(isa: QuantumCircuit, target: DeviceTarget) -> QubitTimes:
    """Start each instruction as soon as its bits are free, and add up work and waits.

    Args:
        isa: A circuit in the device's own instructions on its physical qubits.
        target: The device's durations.

    Returns:
        Work and waits.
    """
    of_kind(isa, QuantumCircuit, "isa")
    of_kind(target, DeviceTarget, "target", "a backend holds one as `backend.target`")
    free: dict[Bit, float] = {}
    busy: dict[int, float] = {}
    idle: dict[int, float] = {}
    used: set[int] = set()
    known = True
    for instruction, qubits in operations(isa):
        name = instruction.operation.name
        works = name not in ("barrier", "delay")
        if works:
            used.update(qubits)
        seconds = _duration(instruction, qubits, target)
        if seconds is None:
            known = False
        if not known or seconds is None:
            continue
        bits = (*instruction.qubits, *instruction.clbits)
        start = max((free.get(bit, 0.0) for bit in bits), default=0.0)
        for bit, qubit in zip(instruction.qubits, qubits, strict=True):
            # A qubit is in its ground state, and cannot decay, until its first operation.
            waits = seconds if name == "delay" else 0.0
            if qubit in idle:
                idle[qubit] += start - free[bit] + waits
            elif works:
                idle[qubit] = 0.0
            if works:
                busy[qubit] = busy.get(qubit, 0.0) + seconds
        free.update(dict.fromkeys(bits, start + seconds))
    return QubitTimes(
        device_qubits=isa.num_qubits if target.num_qubits is None else target.num_qubits,
        used=len(used),
        seconds=max(free.values(), default=0.0) if known else None,
        busy=busy if known else {},
        idle=idle if known else {},
    )


def operations(isa: QuantumCircuit) -> Iterator[tuple[CircuitInstruction, tuple[int, ...]]]:
    """Return the instructions of a circuit, each with the numbers of its qubits."""
    for instruction in isa.data:
        yield instruction, tuple(isa.find_bit(q).index for q in instruction.qubits)


def _duration(
    instruction: CircuitInstruction, qubits: tuple[int, ...], target: DeviceTarget
) -> float | None:
    """Seconds that an instruction takes; None where the device does not say."""
    operation = instruction.operation
    if operation.name == "barrier":
        return 0.0
    if operation.name == "delay":
        if operation.unit == "dt":
            return None if target.dt is None else operation.duration * target.dt
        return apply_prefix(operation.duration, operation.unit)
    if operation.name not in target.operation_names:
        return None
    properties = (target[operation.name] or {}).get(qubits)
    return None if properties is None else properties.duration
