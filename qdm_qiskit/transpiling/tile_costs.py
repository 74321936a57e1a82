"""Cost of one circuit on many sets of qubits of a device at once.

The numbers are those of :func:`.cost.circuit_cost`, which takes milliseconds for each place; a chip
has hundreds. Here an instruction is looked up for all places together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Bit, Gate
from qiskit.transpiler import Target as DeviceTarget
from qiskit.utils.units import apply_prefix

from .channels import gate_success, is_dead

__all__ = ["PlaceCosts", "costs_of_places"]


@dataclass(frozen=True, eq=False)
class PlaceCosts:
    """Chances of success of a circuit on each of some places."""

    gates: np.ndarray
    """``(places,)``: that no gate fails; NaN where the device lacks an instruction or a number."""
    readout: np.ndarray
    """``(places,)``: that no measurement is wrong."""
    idle: np.ndarray
    """``(places,)``: fidelity of relaxation while qubits wait; 1 where durations, T1 or T2 lack."""

    @property
    def success(self) -> np.ndarray:
        """The product of all three, 0 where it is not known."""
        return np.nan_to_num(self.gates * self.readout * self.idle, nan=0.0)


def costs_of_places(
    circuit: QuantumCircuit, places: np.ndarray, target: DeviceTarget
) -> PlaceCosts:
    """Return the cost of a circuit on each place.

    A two-qubit gate that a coupler has in the other direction only, or under another name, counts as
    the gate that is there; the one-qubit gates that turn it around are left out.

    Args:
        circuit: In the device's gates, on wires from 0.
        places: ``(places, wires)`` physical qubits.
        target: The device.

    Returns:
        The costs, each ``(places,)``.
    """
    numbers = _Numbers(target)
    gates = np.ones(len(places))
    readout = np.ones(len(places))
    clock = _Clock(len(places))
    for item in circuit.data:
        wires = [circuit.find_bit(qubit).index for qubit in item.qubits]
        name, where = item.operation.name, places[:, wires]
        if name == "delay":
            seconds = np.full(len(places), _delay(item.operation, target))
        elif name == "barrier":
            seconds = np.zeros(len(places))
        else:
            success, seconds = numbers.of(name, where)
            if name.startswith("measure"):
                readout = readout * success
            elif name not in ("reset", "reset_2"):
                gates = gates * success
        clock.add(name, wires, (*item.qubits, *item.clbits), seconds)
    idle = np.ones(len(places))
    for wire, waited in clock.idle.items():
        idle = idle * numbers.relaxation(places[:, wire], waited)
    return PlaceCosts(gates, readout, np.where(np.isfinite(idle), idle, 1.0))


class _Clock:
    """As-soon-as-possible schedule of all places, and how long each wire waits in it."""

    def __init__(self, places: int) -> None:
        self.idle: dict[int, np.ndarray] = {}
        self._free: dict[Bit, np.ndarray] = {}
        self._zero = np.zeros(places)

    def add(self, name: str, wires: list[int], bits: tuple[Bit, ...], seconds: np.ndarray) -> None:
        """Start an instruction as soon as its bits are free."""
        start = np.max([self._free.get(bit, self._zero) for bit in bits], axis=0)
        for wire, bit in zip(wires, bits, strict=False):
            # A qubit is in its ground state, and cannot decay, until its first operation.
            if wire in self.idle:
                waits = seconds if name == "delay" else 0.0
                self.idle[wire] = self.idle[wire] + (start - self._free[bit]) + waits
            elif name not in ("barrier", "delay"):
                self.idle[wire] = self._zero
        self._free.update(dict.fromkeys(bits, start + seconds))


class _Numbers:
    """Success and duration of a device's instructions, as arrays over its qubits."""

    def __init__(self, target: DeviceTarget) -> None:
        self._target = target
        self._known: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def of(self, name: str, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return success and seconds of an instruction on ``(places, 1 or 2)`` qubits."""
        if name not in self._known:
            self._known[name] = self._table(name, where.shape[1])
        success, seconds = self._known[name]
        index = tuple(where.T)
        return success[index], seconds[index]

    def relaxation(self, qubits: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """Return the average gate fidelity of relaxation of one qubit of each place.

        See :func:`.channels.relaxation_fidelity`; NaN where T1, T2 or a duration is not known.
        """
        t1, t2 = (times[qubits] for times in self._times)
        decay = np.exp(-seconds / t1) + 2 * np.exp(-seconds / np.minimum(t2, 2 * t1))
        return np.asarray((2 * (1 + decay) / 4 + 1) / 3)

    @cached_property
    def _times(self) -> tuple[np.ndarray, np.ndarray]:
        given = self._target.qubit_properties or [None] * self._target.num_qubits
        t1, t2 = (
            np.array([getattr(each, name, None) or np.nan for each in given], dtype=np.float64)
            for name in ("t1", "t2")
        )
        return t1, t2

    def _table(self, name: str, width: int) -> tuple[np.ndarray, np.ndarray]:
        success, seconds = self._native(name, width)
        if width == 2:
            for others in (success, seconds), *map(self._both_ways, self._pair_gates()):
                missing = np.isnan(success)
                success = np.where(missing, others[0].T, success)
                seconds = np.where(missing, others[1].T, seconds)
        return success, seconds

    def _both_ways(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return success and seconds of a gate on couplers, in whichever direction it is there."""
        success, seconds = self._native(name, 2)
        missing = np.isnan(success)
        return np.where(missing, success.T, success), np.where(missing, seconds.T, seconds)

    def _native(self, name: str, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Return success and seconds of an instruction where the device has it; NaN elsewhere."""
        target = self._target
        shape = (target.num_qubits,) * width
        success, seconds = np.full(shape, np.nan), np.full(shape, np.nan)
        given = (target[name] or {}) if name in target.operation_names else {}
        for qubits, properties in given.items():
            if qubits is None or len(qubits) != width or properties is None:
                continue
            if properties.duration is not None:
                seconds[qubits] = properties.duration
            if properties.error is None:
                continue
            if name.startswith("measure"):
                success[qubits] = 1.0 - properties.error
            else:
                success[qubits] = gate_success(target, properties, qubits)
        return success, seconds

    def _pair_gates(self) -> list[str]:
        """Return the two-qubit gates of the device that work somewhere."""
        return [
            name
            for name in self._target.operation_names
            if isinstance(self._target.operation_from_name(name), Gate)
            and any(
                q is not None and len(q) == 2 and not is_dead(p)
                for q, p in (self._target[name] or {}).items()
            )
        ]


def _delay(operation: object, target: DeviceTarget) -> float:
    """Return the seconds of a delay."""
    duration, unit = operation.duration, operation.unit  # type: ignore[attr-defined]
    if unit == "dt":
        return float("nan") if target.dt is None else float(duration * target.dt)
    return float(apply_prefix(duration, unit))
