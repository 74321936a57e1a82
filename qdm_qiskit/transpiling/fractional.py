"""Fractional gates: rzz of any angle, known or not, by one that stays inside its calibrated range.

QPUs of IBM's have rzz for angles from 0 to pi/2. Any other angle is one of these with gates on single
qubits around it, ::

    rzz(a) = Z^p Z^p  X^s rzz(r) X^s    with r = arctan(|tan a|), up to a global phase,

where p is 1 if cos a < 0, s is 1 if sin a cos a < 0, both Z are virtual rz, and both X stand on one of
the qubits. r, p and s are expressions in a, so a free angle keeps its parameter: one circuit serves all
values, whatever their signs turn out to be. The price of not knowing the sign are the two rx(pi s), of
which rx(0) too takes its time and its error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Parameter, ParameterExpression, Qubit
from qiskit.circuit.library import RYGate, RZGate
from qiskit.transpiler import Target as DeviceTarget

from ..errors import UnsupportedCircuit

__all__ = ["check_fractional", "folded", "with_joined_rotations"]

RANGE = (0.0, math.pi / 2)
"""Angles for which rzz is calibrated."""


def check_fractional(target: DeviceTarget, device: str) -> None:
    """Refuse a device without fractional gates.

    Args:
        target: The device.
        device: Its name.

    Raises:
        UnsupportedCircuit: If it has no rzz, or no rx and rz beside it.
    """
    missing = [name for name in ("rzz", "rx", "rz") if name not in target.operation_names]
    if missing:
        raise UnsupportedCircuit(
            f"{device} has no {' and no '.join(missing)}, so it has no fractional gates; leave "
            "fractional_gates out, or choose a device whose data name them."
        )


def folded(isa: QuantumCircuit, target: DeviceTarget) -> QuantumCircuit:
    """Return a circuit in which every rzz stays in range, whatever values its parameters get.

    Args:
        isa: A transpiled circuit, with rzz of free or bound angles.
        target: Its device, with rx and rz on all qubits of an rzz.

    Returns:
        A circuit of equal action up to a global phase, with the same parameters and layout.

    Raises:
        UnsupportedCircuit: If the device lacks rx or rz on a qubit.
    """
    found = isa.copy_empty_like()
    for item in isa.data:
        if item.operation.name != "rzz" or _stays(item.operation.params[0]):
            found.append(item)
            continue
        where = [isa.find_bit(qubit).index for qubit in item.qubits]
        for name, qubit in (("rx", where[0]), ("rz", where[0]), ("rz", where[1])):
            if not target.instruction_supported(name, (qubit,)):
                raise UnsupportedCircuit(
                    f"An rzz of circuit '{isa.name}' is folded by {name} on qubit {qubit}, which the "
                    "device has not there; leave fractional_gates out."
                )
        _append_folded(found, item.operation.params[0], item.qubits[0], item.qubits[1])
    found._layout = isa._layout
    return found


def _stays(angle: float | ParameterExpression) -> bool:
    if isinstance(angle, ParameterExpression):
        return False
    return RANGE[0] <= angle <= RANGE[1]


def _append_folded(
    circuit: QuantumCircuit, angle: float | ParameterExpression, first: Qubit, second: Qubit
) -> None:
    if not isinstance(angle, ParameterExpression):
        turned = QuantumCircuit(2)
        free = Parameter("angle")
        _append_folded(turned, free, *turned.qubits)
        circuit.compose(turned.assign_parameters({free: angle}), [first, second], inplace=True)
        return
    sine, cosine = _side(angle.sin()), _side(angle.cos())
    flip = (1 - sine * cosine) * (math.pi / 2)
    less = (1 - cosine) * (math.pi / 2)
    circuit.rx(flip, first)
    # arctan(|tan|) keeps all digits near pi/2, where arcsin(|sin|) would lose half of them.
    circuit.rzz(abs(angle.tan()).arctan(), first, second)
    circuit.rx(-flip, first)
    circuit.rz(less, first)
    circuit.rz(less, second)


def _side(value: ParameterExpression) -> ParameterExpression:
    """Return -1 or 1: Qiskit's sign is 0 within 2e-15 of 0, as at cos(pi/2), on neither side."""
    return (2 * value.sign() + 1).sign()


def with_joined_rotations(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit in which a rotation between two equal cx is one rotation of both qubits.

    cx(a, b) ry(t, b) cx(a, b) turns b by t or -t as a is: one rzz between gates on b alone. Qiskit
    finds that for bound angles only.

    Args:
        circuit: A logical circuit.

    Returns:
        A circuit of equal action, with the same parameters.
    """
    data = list(circuit.data)
    joined: dict[int, int] = {}  # the second cx and the rotation before it
    gone: set[int] = set()
    for index, item in enumerate(data):
        if index in gone or item.operation.name != "cx" or item.operation.ctrl_state != 1:
            continue
        control, target = item.qubits
        following = _next_on(data, index, control, 1), _next_on(data, index, target, 2)
        if len(following[0]) < 1 or len(following[1]) < 2:
            continue
        (closing,), (middle, last) = following
        turns = data[middle].operation
        if (
            closing == last
            and data[closing].operation == item.operation
            and data[closing].qubits == item.qubits
            and isinstance(turns, RYGate | RZGate)
        ):
            joined[closing] = middle
            gone.update((index, middle, closing))
    found = circuit.copy_empty_like()
    for index, item in enumerate(data):
        if index in joined:
            _append_joined(found, data[joined[index]].operation, *item.qubits)
        elif index not in gone:
            found.append(item)
    return found


def _next_on(data: Sequence[CircuitInstruction], index: int, qubit: Qubit, count: int) -> list[int]:
    """Return the places of the next instructions on a qubit, at most so many."""
    found: list[int] = []
    for place in range(index + 1, len(data)):
        if qubit in data[place].qubits:
            found.append(place)
            if len(found) == count:
                break
    return found


def _append_joined(
    circuit: QuantumCircuit, turns: RYGate | RZGate, control: Qubit, target: Qubit
) -> None:
    """Append exp(-i t/2 Z Y) or exp(-i t/2 Z Z), which is what a cx makes of Y or Z."""
    quarter = math.pi / 2 if isinstance(turns, RYGate) else 0.0
    if quarter:
        circuit.rx(quarter, target)
    circuit.rzz(turns.params[0], control, target)
    if quarter:
        circuit.rx(-quarter, target)
