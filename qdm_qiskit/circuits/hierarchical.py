"""Circuits that halve their wires level by level: convolution with pooling, and MERA."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from ..errors import InvalidTemplate
from .blocks import append_conv_unit
from .checks import check_choice, check_counts
from .parameters import weight_parameters
from .readouts import z_readout
from .spec import CircuitSpec
from .wires import wire_to_qubit

__all__ = [
    "Filter",
    "mera",
    "qcnn",
]

Filter = Literal["conv_unit", "su4"]
"""Two-wire filter of the QCNN: the three angles of ConvUnit, or all fifteen of a two-qubit gate."""

_FILTER_ANGLES = {"conv_unit": 3, "su4": 15}
_POOL_ANGLES = 2


def qcnn(num_wires: int, *, kernel: Filter = "conv_unit", shared: bool = True) -> CircuitSpec:
    """Build convolution and pooling until one wire is left.

    A level with the wires ``a_0 .. a_{m-1}`` applies the filter to (a_0, a_1), (a_2, a_3), ..., then
    to (a_1, a_2), ..., (a_{m-1}, a_0) where m > 2, and pools each pair (a_i, a_{i+1}) with even i onto
    a_i: CRZ and CRX on it, controlled by a_{i+1}. Measuring a_{i+1} and rotating a_i where the outcome
    is 1 is the same, as nothing acts on a_{i+1} afterwards.

    Args:
        num_wires: A power of two, at least 2.
        kernel: ``"conv_unit"``, or ``"su4"``: three rotations on each wire before and behind it.
        shared: All filters of a level share their angles, and all pools theirs, which makes the
            level invariant under translations by two wires.

    Returns:
        A spec that takes amplitudes and reads Z of wire 0. Angles by level: filters, then pools; with
        sharing 5 or 17 for each of the ``log2(num_wires)`` levels.

    Raises:
        InvalidTemplate: If the number of wires is no power of two or the kernel is unknown.

    References:
        Cong, Choi and Lukin, arXiv:1810.03787. They leave the rotations of a pool open; a CRX that acts
        where the outcome is 0 instead, as in some later work, would leave the last CRZ without
        effect on Z.
    """
    _check_power_of_two("qcnn", num_wires)
    check_choice("qcnn", "kernel", kernel, get_args(Filter))
    levels = [list(range(0, num_wires, 2**k)) for k in range(num_wires.bit_length() - 1)]
    total = 0
    for wires in levels:
        filters, pools = (1, 1) if shared else (len(_ring(wires)), len(wires) // 2)
        total += filters * _FILTER_ANGLES[kernel] + pools * _POOL_ANGLES
    angles = iter(weight_parameters(total))
    circuit = QuantumCircuit(num_wires, name="qcnn")
    for wires in levels:
        qubits = [wire_to_qubit(wire, num_wires) for wire in wires]
        taken: list[Parameter] = []
        for pair in _ring(qubits):
            if not (shared and taken):
                taken = _take(angles, _FILTER_ANGLES[kernel])
            _append_filter(circuit, pair, taken)
        taken = []
        for kept, pooled in zip(qubits[0::2], qubits[1::2], strict=True):
            if not (shared and taken):
                taken = _take(angles, _POOL_ANGLES)
            circuit.crz(taken[0], pooled, kept)
            circuit.crx(taken[1], pooled, kept)
    return _reads_one("qcnn", circuit, 0, "Cong, Choi and Lukin, arXiv:1810.03787")


def mera(num_wires: int, *, periodic: bool = False) -> CircuitSpec:
    """Build multiscale entanglement renormalisation, from the finest level to one wire.

    A level with the wires ``a_0 .. a_{m-1}`` applies disentanglers to (a_1, a_2), (a_3, a_4), ... and
    then isometries to (a_0, a_1), (a_2, a_3), ..., of which the second wires go on. Both are RY on each
    wire and a CNOT from the first to the second.

    Args:
        num_wires: A power of two, at least 2.
        periodic: One more disentangler on (a_{m-1}, a_0) at each level of more than two wires.

    Returns:
        A spec that takes amplitudes and reads Z of the last wire. Two angles a gate, ``2 (2 m - 2 -
        log2(m))`` for m wires without ``periodic``, by level, disentanglers first.

    Raises:
        InvalidTemplate: If the number of wires is no power of two.

    References:
        Vidal, quant-ph/0610099; as a circuit with these gates: Grant et al., arXiv:1804.03680.
    """
    _check_power_of_two("mera", num_wires)
    levels = num_wires.bit_length() - 1
    blocks: list[tuple[int, int]] = []
    wires = list(range(num_wires))
    for _ in range(levels):
        blocks += list(zip(wires[1::2], wires[2::2], strict=False))
        if periodic and len(wires) > 2:
            blocks.append((wires[-1], wires[0]))
        blocks += list(zip(wires[0::2], wires[1::2], strict=True))
        wires = wires[1::2]
    angles = iter(weight_parameters(2 * len(blocks)))
    circuit = QuantumCircuit(num_wires, name="mera")
    for pair in blocks:
        first, second = (wire_to_qubit(wire, num_wires) for wire in pair)
        circuit.ry(next(angles), first)
        circuit.ry(next(angles), second)
        circuit.cx(first, second)
    return _reads_one("mera", circuit, num_wires - 1, "Grant et al., arXiv:1804.03680")


def _check_power_of_two(template: str, num_wires: int) -> None:
    check_counts(template, num_wires=(num_wires, 2))
    if num_wires & (num_wires - 1):
        raise InvalidTemplate(
            f"{template} halves its wires at each level and needs a power of two (2, 4, 8, 16 ...), "
            f"got num_wires={num_wires}."
        )


def _ring(items: Sequence[int]) -> list[tuple[int, int]]:
    """Return neighbours: even pairs, then odd ones around the ring; one pair for two items."""
    count = len(items)
    starts = [*range(0, count, 2), *(range(1, count, 2) if count > 2 else ())]
    return [(items[start], items[(start + 1) % count]) for start in starts]


def _take(angles: Iterator[Parameter], count: int) -> list[Parameter]:
    return [next(angles) for _ in range(count)]


def _append_filter(
    circuit: QuantumCircuit, pair: tuple[int, int], angles: Sequence[Parameter]
) -> None:
    """Append ConvUnit, with RZ RY RZ on both wires before and behind if there are 15 angles."""
    around = (len(angles) - 3) // 2
    _append_rotations(circuit, pair, angles[:around])
    append_conv_unit(circuit, pair, angles[around : around + 3])
    _append_rotations(circuit, pair, angles[around + 3 :])


def _append_rotations(
    circuit: QuantumCircuit, pair: tuple[int, int], angles: Sequence[Parameter]
) -> None:
    for index, angle in enumerate(angles):
        getattr(circuit, ("rz", "ry", "rz")[index % 3])(angle, pair[index // 3])


def _reads_one(name: str, circuit: QuantumCircuit, wire: int, source: str) -> CircuitSpec:
    return CircuitSpec(
        name=name,
        circuit=circuit,
        encoding="amplitude",
        data_qubits=tuple(range(circuit.num_qubits)),
        readout=z_readout(circuit.num_qubits, [wire]),
        source=source,
    )
