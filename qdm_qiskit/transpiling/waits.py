"""Waits of a transpiled circuit written out as delays, with or without pulses in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import RZGate, XGate
from qiskit.transpiler import PassManager
from qiskit.transpiler import Target as DeviceTarget
from qiskit.transpiler.passes import (
    ALAPScheduleAnalysis,
    PadDelay,
    PadDynamicalDecoupling,
    TimeUnitConversion,
)

from ..errors import InvalidOption, UnsupportedCircuit

__all__ = ["Pulses", "with_waits"]

Pulses = Literal["off", "XX", "XpXm", "XY4"]
"""Sequence of pulses in a wait, by IBM's names."""


def with_waits(isa: QuantumCircuit, target: DeviceTarget, pulses: Pulses = "off") -> QuantumCircuit:
    """Return a circuit with a delay wherever a qubit waits, scheduled as late as possible.

    A device's noise model lets qubits relax during gates and delays only, so that a circuit without
    delays waits for free. Pulses are spread over each wait as IBM's client spreads them, and left out
    where a wait is too short or the qubit is still in its ground state.

    Args:
        isa: A circuit in the device's own instructions on its physical qubits.
        target: The device, with durations.
        pulses: Sequence of dynamical decoupling in the waits.

    Returns:
        A circuit of equal action, with the same bits and parameters.

    Raises:
        InvalidOption: If there is no such sequence.
        UnsupportedCircuit: If the device gives no durations, or lacks x.
    """
    if pulses not in get_args(Pulses):
        raise InvalidOption(f"pulses is {' or '.join(get_args(Pulses))}, got {pulses!r}.")
    if target.dt is None or not _has_durations(isa, target):
        raise UnsupportedCircuit(
            f"The device gives no durations, so it is not known where circuit '{isa.name}' waits; "
            "choose another device."
        )
    passes: list[object] = [TimeUnitConversion(target=target), ALAPScheduleAnalysis(target=target)]
    if pulses != "off":
        if "x" not in target.operation_names:
            raise UnsupportedCircuit("The device has no x, of which its pulses are made.")
        sequence, spacing = _sequence(pulses)
        passes.append(PadDynamicalDecoupling(target=target, dd_sequence=sequence, spacing=spacing))
    passes.append(PadDelay(target=target))
    return _where_used(PassManager(passes).run(isa), isa)


def _where_used(padded: QuantumCircuit, isa: QuantumCircuit) -> QuantumCircuit:
    """Leave out the delays of qubits that the circuit does not use: Qiskit pads the whole device."""
    used = {
        isa.find_bit(qubit).index
        for item in isa.data
        if item.operation.name != "barrier"
        for qubit in item.qubits
    }
    found = padded.copy_empty_like(name=isa.name)
    for item in padded.data:
        if item.operation.name != "delay" or padded.find_bit(item.qubits[0]).index in used:
            found.append(item)
    return found


def _has_durations(isa: QuantumCircuit, target: DeviceTarget) -> bool:
    for item in isa.data:
        name = item.operation.name
        if name in ("barrier", "delay"):
            continue
        where = tuple(isa.find_bit(qubit).index for qubit in item.qubits)
        properties = (target[name] or {}).get(where) if name in target.operation_names else None
        if properties is None or properties.duration is None:
            return False
    return True


def _sequence(pulses: Pulses) -> tuple[list[Gate], list[float]]:
    """Return gates and their spacing, which are those of IBM's client."""
    quarter = math.pi / 2
    x, minus_x = [XGate()], [RZGate(math.pi), XGate(), RZGate(-math.pi)]
    y = [RZGate(quarter), XGate(), RZGate(-quarter)]
    minus_y = [RZGate(-quarter), XGate(), RZGate(quarter)]
    groups: Sequence[list[Gate]] = {
        "XX": (x, x),
        "XpXm": (x, minus_x),
        "XY4": (x, y, minus_x, minus_y),
    }[pulses]
    share = 1 / len(groups)
    spacing = [share / 2]
    for k, group in enumerate(groups):
        spacing += [0.0] * (len(group) - 1)
        spacing.append(share / 2 if k == len(groups) - 1 else share)
    return [gate for group in groups for gate in group], spacing
