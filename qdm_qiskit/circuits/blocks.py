"""Blocks of the state-space denoisers: QAMP's layers, and layers that begin as the identity.

Functions that append to a circuit take Qiskit's qubits in the order of the paper's wires.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import pi
from typing import Literal, get_args

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.synthesis import synth_qft_full

from ..errors import InvalidTemplate
from .checks import check_choice, check_counts
from .parameters import weight_parameters
from .wires import wire_to_qubit

__all__ = [
    "Mixing",
    "Sign",
    "alternating_layers",
    "append_alternating_layers",
    "append_conv_unit",
    "append_phase_mixing",
    "append_qamp_layers",
    "conv_unit",
    "identity_block",
    "phase_mixing",
    "qamp_layer_angles",
    "qamp_layers",
]

Sign = Literal["plus", "minus"]
"""Sign in the exponent of a ConvUnit: plus as in QAMP's published code, minus as in its text."""

Mixing = Literal["qft", "rx"]
"""QAMP's PhaseMixing: a star of CRZ and a QFT (January 2026), or H, CZ and RX (later versions)."""


def conv_unit(*, sign: Sign = "plus") -> QuantumCircuit:
    """Build ``exp(+i (alpha XX + beta YY + gamma ZZ))`` on two wires with three CNOTs.

    The unitary is that exponential times ``exp(-i pi / 4)``. ``sign="minus"`` negates all three
    angles, which gives the exponential with ``-i`` and the same factor.

    Args:
        sign: Sign in the exponent.

    Returns:
        A circuit of 2 qubits with the angles ``w_0000`` = gamma, ``w_0001`` = alpha and ``w_0002`` =
        beta in radians.

    Raises:
        InvalidTemplate: If the sign is unknown.

    References:
        Vatan and Williams, quant-ph/0308006; QAMP's code for the order of the angles.
    """
    circuit = QuantumCircuit(2, name="conv_unit")
    append_conv_unit(circuit, _wires(2), weight_parameters(3), sign=sign)
    return circuit


def append_conv_unit(
    circuit: QuantumCircuit,
    qubits: Sequence[int],
    weights: Sequence[Parameter],
    *,
    sign: Sign = "plus",
) -> None:
    """Append :func:`conv_unit` to two qubits, in place.

    Args:
        circuit: The circuit to extend.
        qubits: Qubits of the wires a and b; the unitary is the same for both orders.
        weights: gamma, alpha and beta.
        sign: Sign in the exponent.
    """
    check_choice("conv_unit", "sign", sign, get_args(Sign))
    a, b = qubits
    gamma, alpha, beta = (each if sign == "plus" else -each for each in weights)
    circuit.rz(-pi / 2, b)
    circuit.cx(b, a)
    circuit.rz(pi / 2 - 2 * gamma, a)
    circuit.ry(2 * alpha - pi / 2, b)
    circuit.cx(a, b)
    circuit.ry(pi / 2 - 2 * beta, b)
    circuit.cx(b, a)
    circuit.rz(pi / 2, a)


def phase_mixing(num_wires: int, *, mixing: Mixing = "qft") -> QuantumCircuit:
    """Build phases between wires, then a transform that mixes them.

    ``"qft"``: CRZ from wire 0 to the wires ``m-1, ..., 1``, then the Fourier transform with swaps,
    ``|k> -> 2**(-m/2) sum_j exp(+2 pi i j k / 2**m) |j>`` with wire 0 as most significant bit.
    ``"rx"``: H on each wire, CZ on neighbours, RX on each wire.

    Args:
        num_wires: Number of wires m, at least 2.
        mixing: Form of the transform, one of two.

    Returns:
        A circuit with ``m - 1`` angles (``"qft"``) or m angles (``"rx"``) in radians.

    Raises:
        InvalidTemplate: If there are fewer than 2 wires or the mixing is unknown.

    References:
        QAMP 2025, PhaseMixing; the published code of 25 January 2026 and of 29 January.
    """
    check_counts("phase_mixing", num_wires=(num_wires, 2))
    circuit = QuantumCircuit(num_wires, name="phase_mixing")
    weights = weight_parameters(_mixing_angles(num_wires, mixing))
    append_phase_mixing(circuit, _wires(num_wires), weights, mixing=mixing)
    return circuit


def _mixing_angles(num_wires: int, mixing: Mixing) -> int:
    check_choice("phase_mixing", "mixing", mixing, get_args(Mixing))
    return num_wires - 1 if mixing == "qft" else num_wires


def append_phase_mixing(
    circuit: QuantumCircuit,
    qubits: Sequence[int],
    weights: Sequence[Parameter],
    *,
    mixing: Mixing = "qft",
) -> None:
    """Append :func:`phase_mixing` to some qubits of a circuit, in place.

    Args:
        circuit: The circuit to extend.
        qubits: Qiskit indices in wire order.
        weights: Angles, as many as :func:`phase_mixing` has.
        mixing: One of the two forms.
    """
    if mixing == "qft":
        for qubit, weight in zip(reversed(qubits[1:]), weights, strict=True):
            circuit.crz(weight, qubits[0], qubit)
        # Qiskit's transform takes its least significant qubit first, the wires are the other way.
        circuit.compose(synth_qft_full(len(qubits)), qubits=list(reversed(qubits)), inplace=True)
        return
    for qubit in qubits:
        circuit.h(qubit)
    for first, second in pairwise(qubits):
        circuit.cz(first, second)
    for qubit, weight in zip(qubits, weights, strict=True):
        circuit.rx(weight, qubit)


def qamp_layers(
    num_wires: int,
    depth: int,
    *,
    mixing: Mixing = "qft",
    closed: bool = True,
    sign: Sign = "plus",
) -> QuantumCircuit:
    """Build layers of ConvUnits on even, then odd pairs of neighbours, then PhaseMixing.

    A layer has ConvUnits on the wires ``(i, i + 1)`` for i = 0, 2, ..., then on ``(i, i + 1)`` for
    i = 1, 3, ..., where ``closed`` lets the last wire of an even register meet wire 0.

    Args:
        num_wires: Number of wires m, at least 2.
        depth: Number of layers, at least 1.
        mixing: Form of PhaseMixing.
        closed: True if the odd pairs go around.
        sign: Sign in the exponent of the ConvUnits.

    Returns:
        A circuit with, for each layer, 3 angles a pair and those of PhaseMixing: 15 on 4 wires and 16
        on 5 in the default form. Radians, by layer, pair, and (gamma, alpha, beta).

    Raises:
        InvalidTemplate: If a count is below its minimum or a form is unknown.

    References:
        QAMP 2025, code of 25 January 2026; "rx" with open pairs is the circuit of its expressibility
        notebook.
    """
    check_counts("qamp_layers", num_wires=(num_wires, 2), depth=(depth, 1))
    weights = weight_parameters(depth * qamp_layer_angles(num_wires, mixing=mixing, closed=closed))
    circuit = QuantumCircuit(num_wires, name="qamp_layers")
    append_qamp_layers(circuit, _wires(num_wires), weights, mixing=mixing, closed=closed, sign=sign)
    return circuit


def qamp_layer_angles(num_wires: int, *, mixing: Mixing = "qft", closed: bool = True) -> int:
    """Return the number of angles of one layer of :func:`qamp_layers`."""
    return 3 * len(_neighbours(num_wires, closed)) + _mixing_angles(num_wires, mixing)


def _neighbours(num_wires: int, closed: bool) -> list[tuple[int, int]]:
    even = [(wire, wire + 1) for wire in range(0, num_wires - 1, 2)]
    odd = [(wire, (wire + 1) % num_wires) for wire in range(1, num_wires, 2)]
    return even + [pair for pair in odd if closed or pair[1] > pair[0]]


def append_qamp_layers(
    circuit: QuantumCircuit,
    qubits: Sequence[int],
    weights: Sequence[Parameter],
    *,
    mixing: Mixing = "qft",
    closed: bool = True,
    sign: Sign = "plus",
) -> None:
    """Append :func:`qamp_layers` to some qubits of a circuit, in place.

    Args:
        circuit: The circuit to extend.
        qubits: Qiskit indices in wire order.
        weights: A whole number of layers; their number gives the depth.
        mixing: Form of PhaseMixing.
        closed: True if the odd pairs go around.
        sign: Sign in the exponent of the ConvUnits.
    """
    per_layer = qamp_layer_angles(len(qubits), mixing=mixing, closed=closed)
    angles = iter(weights)
    for _ in range(len(weights) // per_layer):
        for first, second in _neighbours(len(qubits), closed):
            append_conv_unit(circuit, (qubits[first], qubits[second]), _take(angles, 3), sign=sign)
        mixed = _take(angles, _mixing_angles(len(qubits), mixing))
        append_phase_mixing(circuit, qubits, mixed, mixing=mixing)


def identity_block(num_wires: int, depth: int) -> QuantumCircuit:
    """Build layers of rotations and a CNOT chain that undo each other when all angles are zero.

    A layer applies RZ(phi), RY(theta), RZ(omega) to each wire, RZ(phi) first. Then the even layers
    (0, 2, ...) apply the chain E, which is CNOT(m-2 -> m-1) first and CNOT(0 -> 1) last, and the odd
    layers its inverse.

    Args:
        num_wires: Number of wires m, at least 1. One wire has no chain.
        depth: Number of layers; even, at least 2.

    Returns:
        A circuit with ``3 * num_wires * depth`` angles in radians, ordered by layer, wire, and (omega,
        theta, phi) as in the published code: the first of each three is applied last.

    Raises:
        InvalidTemplate: If there is no wire, or the depth is odd or below 2.

    References:
        Cacioppo et al., arXiv:2311.15444, and the authors' code.
    """
    check_counts("identity_block", num_wires=(num_wires, 1), depth=(depth, 2))
    if depth % 2:
        raise InvalidTemplate(
            f"identity_block needs an even depth, so that its chains cancel, got depth={depth}; "
            "alternating_layers takes odd depths."
        )
    circuit = alternating_layers(num_wires, depth)
    circuit.name = "identity_block"
    return circuit


def alternating_layers(num_wires: int, depth: int) -> QuantumCircuit:
    """Build :func:`identity_block`'s layers at any depth; an odd one ends with the chain E.

    Args:
        num_wires: Number of wires m, at least 1.
        depth: Number of layers, at least 1.

    Returns:
        A circuit with ``3 * num_wires * depth`` angles, ordered as in :func:`identity_block`.

    Raises:
        InvalidTemplate: If a count is below 1.
    """
    check_counts("alternating_layers", num_wires=(num_wires, 1), depth=(depth, 1))
    weights = weight_parameters(3 * num_wires * depth)
    circuit = QuantumCircuit(num_wires, name="alternating_layers")
    append_alternating_layers(circuit, _wires(num_wires), weights)
    return circuit


def append_alternating_layers(
    circuit: QuantumCircuit, qubits: Sequence[int], weights: Sequence[Parameter]
) -> None:
    """Append :func:`alternating_layers` to some qubits of a circuit, in place.

    Args:
        circuit: The circuit to extend.
        qubits: Qiskit indices in wire order.
        weights: ``3 * len(qubits) * depth`` parameters; their number gives the depth.
    """
    chain = list(pairwise(qubits))
    angles = iter(weights)
    for layer in range(len(weights) // (3 * len(qubits))):
        for qubit in qubits:
            omega, theta, phi = _take(angles, 3)
            circuit.rz(phi, qubit)
            circuit.ry(theta, qubit)
            circuit.rz(omega, qubit)
        for control, target in chain if layer % 2 else reversed(chain):
            circuit.cx(control, target)


def _take(angles: Iterator[Parameter], count: int) -> list[Parameter]:
    return [next(angles) for _ in range(count)]


def _wires(num_wires: int) -> list[int]:
    return [wire_to_qubit(wire, num_wires) for wire in range(num_wires)]
