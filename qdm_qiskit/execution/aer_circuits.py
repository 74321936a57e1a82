"""Circuits in a form that Aer runs as Qiskit means them.

Aer 0.18 goes wrong on four kinds of gates, without a word where it still gives a result:

* Controlled gates with free parameters whose angles Qiskit keeps in their base gate (crx, cry, crz,
  cp, cu1, cu3, mcphase): the values bound at run time are left out and the angles are 0.
* cu with free parameters: where the circuit holds Qiskit's Python object of it, Aer writes 0 into
  the angles of the caller's own gate, and then leaves the values out.
* Controls on 0 with free parameters: the values go to the X behind the gate.
* A controlled swap with its control on 0: an X is put around one of the swapped qubits too.
"""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import (
    CircuitInstruction,
    ControlFlowOp,
    ControlledGate,
    Gate,
    Operation,
    ParameterExpression,
)
from qiskit.circuit.library import XGate

__all__ = [
    "for_aer",
    "has_open_controls",
    "is_free",
    "on_ones",
]


def for_aer(circuit: QuantumCircuit, *, labels: bool = True) -> QuantumCircuit:
    """Return the circuit in a form that Aer runs as Qiskit means it, with the same noise.

    Noise models find each gate as before: by its label, else its name, and its qubits. Controls on 0
    become X, the gate with its control on 1, and X again, which is what Aer itself makes of them.

    Args:
        circuit: Any circuit; it stays as it is.
        labels: True if gates keep their labels. Aer looks for the error of a labelled gate under
            the label only, and a device's model has none there.

    Returns:
        The circuit itself if nothing has to change.
    """
    if not any(_changes(item.operation, labels) for item in circuit.data):
        return circuit
    new = circuit.copy_empty_like()
    for item in circuit.data:
        operation = item.operation
        if not _changes(operation, labels):
            new._append(item)
        elif isinstance(operation, ControlFlowOp):
            blocks = [for_aer(block, labels=labels) for block in operation.blocks]
            new._append(item.replace(operation=operation.replace_blocks(blocks)))
        else:
            assert isinstance(operation, Gate)  # _changes has looked
            for gate, places in on_ones(operation):
                qubits = [item.qubits[k] for k in places]
                new._append(CircuitInstruction(_own_angles(gate, labels), qubits, ()))
    return new


def on_ones(gate: Gate) -> list[tuple[Gate, tuple[int, ...]]]:
    """Return a gate as gates whose controls are on 1.

    Args:
        gate: Any gate.

    Returns:
        Gates and the positions of their qubits among the gate's: the gate alone, or between X gates
        on the controls that are on 0, which carry its label as they do on Aer.
    """
    everything = tuple(range(gate.num_qubits))
    if not has_open_controls(gate):
        return [(gate, everything)]
    assert isinstance(gate, ControlledGate)
    closed = gate.to_mutable()
    closed.ctrl_state = None  # all on 1
    zeros = [k for k in range(gate.num_ctrl_qubits) if not gate.ctrl_state >> k & 1]
    flips: list[tuple[Gate, tuple[int, ...]]] = [(XGate(label=gate.label), (k,)) for k in zeros]
    return [*flips, (closed, everything), *flips]


def has_open_controls(operation: Operation) -> bool:
    """Return True for a controlled gate with a control on 0."""
    if not isinstance(operation, ControlledGate):
        return False
    return bool(operation.ctrl_state != 2**operation.num_ctrl_qubits - 1)


def is_free(operation: Operation) -> bool:
    """Return True if any parameter of the gate has no value yet."""
    return any(
        isinstance(p, ParameterExpression) and p.parameters
        for p in getattr(operation, "params", ())
    )


def _changes(operation: Operation, labels: bool) -> bool:
    if isinstance(operation, ControlFlowOp):
        return any(_changes(i.operation, labels) for block in operation.blocks for i in block.data)
    if not isinstance(operation, Gate):
        return False
    if operation.label is not None and not labels:
        return True
    return has_open_controls(operation) or _hides_angles(operation)


def _hides_angles(gate: Gate) -> bool:
    """Return True if the gate's free parameters do not reach Aer, or are overwritten there."""
    return isinstance(gate, ControlledGate) and is_free(gate)


def _own_angles(gate: Gate, labels: bool) -> Gate:
    """Return the gate with its free parameters as its own: Aer knows gates by their names alone."""
    label = gate.label if labels else None
    if _hides_angles(gate):
        return Gate(gate.name, gate.num_qubits, list(gate.params), label=label)
    if label == gate.label:
        return gate
    plain = gate.to_mutable()
    plain.label = None
    return plain
