"""Circuits of Kölle et al., arXiv:2401.07049: Q-Dense in all its variants, and QU-Net's convolution.

Wires are the paper's: data on wires 0 .. n-1, the ancilla last, which is Qiskit's qubit 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal, get_args

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from ..errors import InvalidTemplate
from .checks import check_counts
from .entanglers import append_strongly_entangling_layers
from .line_circuits import line_order
from .parameters import input_parameters, weight_parameters
from .readouts import ProbabilityReadout
from .spec import CircuitSpec

__all__ = [
    "SOURCE",
    "Entanglers",
    "q_dense",
    "quantum_convolution",
    "repeated",
]

SOURCE = "Kölle et al., arXiv:2401.07049"
Entanglers = Literal["ring", "line"]
"""Layout of the CNOTs: the paper's ring, whose range grows from layer to layer, or a device's line."""


def q_dense(
    num_data: int,
    depth: int,
    *,
    ancilla: bool = False,
    guided: bool = False,
    reuploads: int = 1,
    complex_amplitudes: bool = False,
    entanglers: Entanglers = "ring",
) -> CircuitSpec:
    """Build strongly entangling layers on amplitude-encoded data; ancilla and label are optional.

    Without an ancilla every basis state is read; with one, those with ancilla = 0, not renormalised.
    The label is RX(``x_0000``) on the ancilla, in radians. With ``reuploads`` above 1 the layers come
    in so many groups, the first ones longer by one where they do not divide, and the label is applied
    again before each group. The range of the CNOTs starts anew in each group.

    Args:
        num_data: Number of data qubits n, at least 1; ``2**n`` pixels.
        depth: Number of strongly entangling layers, at least 1.
        ancilla: Add a qubit that starts in |0>.
        guided: Apply the label; needs the ancilla.
        reuploads: Groups of layers, 1 to ``depth``; more than 1 needs the label.
        complex_amplitudes: Take complex vectors: the loader sets phases too.
        entanglers: ``"ring"``, the paper's. ``"line"``: CNOTs between neighbours only, on the line of
            :func:`.line_order` along which ``bricks`` and ``staircase`` load, the ancilla at its end.

    Returns:
        A spec with ``3 * m * depth`` weights for m qubits, ordered by layer, wire, and (phi, theta,
        omega), and ``2**n`` probabilities.

    Raises:
        InvalidTemplate: If a count is out of range or the label has no ancilla.

    References:
        Kölle et al., arXiv:2401.07049, section 4; the split into groups is ours.
    """
    check_counts("q_dense", num_data=(num_data, 1), depth=(depth, 1), reuploads=(reuploads, 1))
    if guided and not ancilla:
        raise InvalidTemplate(
            "q_dense applies the label to its ancilla: guided=True needs ancilla=True, got False."
        )
    if reuploads > (depth if guided else 1):
        raise InvalidTemplate(
            "q_dense uploads a label at most once a layer, and only with guided=True: reuploads is "
            f"at most {depth if guided else 1} here, got {reuploads}."
        )
    wires = num_data + ancilla
    weights = weight_parameters(3 * wires * depth)
    if entanglers not in get_args(Entanglers):
        raise InvalidTemplate(f"q_dense has entanglers 'ring' or 'line', got {entanglers!r}.")
    line = None
    if entanglers == "line":
        line = [*(qubit + ancilla for qubit in line_order(num_data)), *([0] if ancilla else [])]
    circuit = QuantumCircuit(wires, name="q_dense")
    label = input_parameters(1)[0] if guided else None
    for group in _groups(weights, 3 * wires, reuploads):
        if label is not None:
            circuit.rx(label, 0)
        append_strongly_entangling_layers(circuit, range(wires)[::-1], group, line)
    data = tuple(range(int(ancilla), wires))
    return CircuitSpec(
        name="q_dense",
        circuit=circuit,
        encoding="amplitude",
        complex_amplitudes=complex_amplitudes,
        data_qubits=data,
        ancilla_qubits=(0,) if ancilla else (),
        readout=ProbabilityReadout(qubits=data, postselect=((0, 0),) if ancilla else ()),
        source=f"{SOURCE}, section 4",
    )


def quantum_convolution(num_wires: int, depth: int) -> CircuitSpec:
    """Build QU-Net's filter: layers on an amplitude-encoded patch, read where the last wire is 0.

    Args:
        num_wires: Number of wires w, at least 1; a patch has ``2**w`` values.
        depth: Number of strongly entangling layers, at least 1.

    Returns:
        A spec with ``3 * w * depth`` weights and ``2**(w - 1)`` joint probabilities, those of the even
        basis states.

    Raises:
        InvalidTemplate: If a count is below 1.

    References:
        Kölle et al., arXiv:2401.07049, QU-Net.
    """
    check_counts("quantum_convolution", num_wires=(num_wires, 1), depth=(depth, 1))
    circuit = QuantumCircuit(num_wires, name="quantum_convolution")
    weights = weight_parameters(3 * num_wires * depth)
    append_strongly_entangling_layers(circuit, range(num_wires)[::-1], weights)
    return CircuitSpec(
        name="quantum_convolution",
        circuit=circuit,
        encoding="amplitude",
        data_qubits=tuple(range(num_wires)),
        readout=ProbabilityReadout(qubits=tuple(range(1, num_wires)), postselect=((0, 0),)),
        source=f"{SOURCE}, QU-Net",
    )


def repeated(spec: CircuitSpec, times: int) -> CircuitSpec:
    """Return a circuit applied again and again to its own output: tau steps of sampling in one.

    Args:
        spec: A circuit without ancilla and post-selection, so that its output is its next input.
        times: Number of applications, at least 1.

    Returns:
        A spec with the same inputs and weights.

    Raises:
        InvalidTemplate: If the circuit has an ancilla, or ``times`` is below 1.
    """
    check_counts("repeated", times=(times, 1))
    selects = isinstance(spec.readout, ProbabilityReadout) and spec.readout.postselect
    if spec.ancilla_qubits or selects:
        raise InvalidTemplate(
            f"Only a circuit whose output is its next input can be repeated, but '{spec.name}' has an "
            "ancilla or post-selects; each of its steps needs a fresh ancilla."
        )
    circuit = QuantumCircuit(spec.num_qubits, name=spec.name)
    for _ in range(times):
        circuit.compose(spec.circuit, inplace=True)
    return replace(spec, circuit=circuit)


def _groups(weights: Sequence[Parameter], per_layer: int, count: int) -> list[Sequence[Parameter]]:
    """Return the weights of ``count`` groups of whole layers, as even as they can be."""
    depth = len(weights) // per_layer
    ends = [-(-depth * group // count) for group in range(count + 1)]
    return [weights[per_layer * first : per_layer * last] for first, last in pairwise(ends)]
