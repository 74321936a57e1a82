"""The circuits that replace convolutions at the vertex of a hybrid U-Net.

HQConv and FQConv take three channels of 2 x 2 pixels: channel c is the wires 4c .. 4c + 3, pixel p of
it the wire 4c + p. Each value enters as RX on its wire, and Z of each wire is read in wire order.
Angles are radians and used as they are: the published code multiplies its weights, uniform in [0, 1),
by 2 pi.
"""

from __future__ import annotations

from typing import Literal, get_args

from qiskit import QuantumCircuit

from .ansatzes import append_basic_entangling_layers
from .checks import check_choice, check_counts
from .parameters import input_parameters, weight_parameters
from .readouts import z_readout
from .spec import CircuitSpec
from .wires import wire_to_qubit

__all__ = [
    "CHANNELS",
    "PIXELS",
    "WIRES",
    "Direction",
    "Pair",
    "basic_convolution",
    "fqconv",
    "hqconv",
]

Direction = Literal["code", "text"]
"""Direction of control at stride s: with ``"code"`` wire p + s controls wire p, ``"text"`` reversed."""

Pair = tuple[int, int]

CHANNELS, PIXELS = 3, 4
WIRES = CHANNELS * PIXELS
_SOURCE = "De Falco et al. (2024), Quantum Hybrid Diffusion Models for Image Synthesis"


def hqconv(depth: int = 3, *, direction: Direction = "code") -> CircuitSpec:
    """Build hierarchical quantum convolution: within each channel, then between the channels.

    A layer applies block A to channel 2, 1 and 0: for p = 3, 2, 1, 0 CRZ and CRX on the pixels p and
    p + 1 mod 4, the latter in control unless ``direction`` is ``"text"``. Then block B: CRZ and CRX
    from wire 4 to wire 8, and from wire 0 to wire 4; here text and code agree.

    Args:
        depth: Number of layers, at least 1; the paper has 3.
        direction: Who controls whom in block A.

    Returns:
        A spec with 12 inputs, ``28 * depth`` weights and 12 expectation values of Z.

    Raises:
        InvalidTemplate: If the depth is below 1 or the direction is unknown.

    References:
        De Falco et al. (2024), figure 5. The published code leaves block A out by mistake (its loop
        runs ``12 % 4`` times); here it is applied, as in the text, and the counts are the paper's.
    """
    check_counts("hqconv", depth=(depth, 1))
    check_choice("hqconv", "direction", direction, get_args(Direction))
    pairs = []
    for channel in reversed(range(CHANNELS)):
        base = PIXELS * channel
        pairs += [
            _turned((base + (p + 1) % PIXELS, base + p), direction) for p in reversed(range(PIXELS))
        ]
    pairs += [(PIXELS, 2 * PIXELS), (0, PIXELS)]
    gates = [(gate, pair) for pair in pairs for gate in ("crz", "crx")]
    return _convolution("hqconv", depth, gates)


def fqconv(depth: int = 3, *, direction: Direction = "code") -> CircuitSpec:
    """Build flat quantum convolution: between the same pixels of neighbouring channels.

    A layer takes the channels 2, 1 and 0 in turn. Block C applies CRZ for the pixels p = 3, 2, 1, 0 of
    the channel, with the same pixel of the next channel (mod 3) in control, unless ``direction`` is
    ``"text"``; block D does the same with CRX.

    Args:
        depth: Number of layers, at least 1; the paper has 3.
        direction: Who controls whom.

    Returns:
        A spec with 12 inputs, ``24 * depth`` weights and 12 expectation values of Z.

    Raises:
        InvalidTemplate: If the depth is below 1 or the direction is unknown.

    References:
        De Falco et al. (2024), figure 6, and the published code for the order of the gates.
    """
    check_counts("fqconv", depth=(depth, 1))
    check_choice("fqconv", "direction", direction, get_args(Direction))
    gates = []
    for channel in reversed(range(CHANNELS)):
        targets = [PIXELS * channel + p for p in reversed(range(PIXELS))]
        for gate in ("crz", "crx"):
            gates += [
                (gate, _turned(((target + PIXELS) % WIRES, target), direction))
                for target in targets
            ]
    return _convolution("fqconv", depth, gates)


def basic_convolution(num_wires: int = 4, depth: int = 4) -> CircuitSpec:
    """Build one channel under basic entangling layers: the 40th of the full hybrid.

    Args:
        num_wires: Pixels of the channel, at least 1.
        depth: Number of layers, at least 1; 4, since the paper's 16 angles ask for it.

    Returns:
        A spec with ``num_wires`` inputs, ``num_wires * depth`` weights, and Z of each wire.

    Raises:
        InvalidTemplate: If a count is below 1.

    References:
        De Falco et al. (2024), section on the full hybrid.
    """
    check_counts("basic_convolution", num_wires=(num_wires, 1), depth=(depth, 1))
    circuit = _encoded("basic_convolution", num_wires)
    qubits = [wire_to_qubit(wire, num_wires) for wire in range(num_wires)]
    append_basic_entangling_layers(circuit, qubits, weight_parameters(num_wires * depth))
    return _spec(circuit)


def _turned(pair: Pair, direction: Direction) -> Pair:
    return pair if direction == "code" else (pair[1], pair[0])


def _encoded(name: str, num_wires: int) -> QuantumCircuit:
    circuit = QuantumCircuit(num_wires, name=name)
    for wire, value in enumerate(input_parameters(num_wires)):
        circuit.rx(value, wire_to_qubit(wire, num_wires))
    return circuit


def _convolution(name: str, depth: int, gates: list[tuple[str, Pair]]) -> CircuitSpec:
    """Return the spec of the gates, one angle each, ``depth`` times behind the encoding."""
    weights = iter(weight_parameters(depth * len(gates)))
    circuit = _encoded(name, WIRES)
    for _ in range(depth):
        for gate, (control, target) in gates:
            getattr(circuit, gate)(
                next(weights), wire_to_qubit(control, WIRES), wire_to_qubit(target, WIRES)
            )
    return _spec(circuit)


def _spec(circuit: QuantumCircuit) -> CircuitSpec:
    return CircuitSpec(
        name=circuit.name,
        circuit=circuit,
        encoding="angle",
        data_qubits=tuple(range(circuit.num_qubits)),
        readout=z_readout(circuit.num_qubits),
        source=_SOURCE,
    )
