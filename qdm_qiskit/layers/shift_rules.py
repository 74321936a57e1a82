"""Gates that parameter shift has no rule for, written so that it leaves them and their noise alone.

qiskit-machine-learning replaces such gates in the circuits of a gradient. A noise model has other
errors for what they are replaced by, or none, so that the gradient would be that of another function.
Here such a gate becomes gates that have a rule, free of noise, and the gate itself at angle 0, where it
does nothing and carries its error: the same channel, to the bit.
"""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Operator
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import TranslateParameterizedGates
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient

from ..execution.aer_circuits import is_free, on_ones
from ..execution.noise_coverage import PART

__all__ = [
    "with_shift_rules",
    "without_shift_rule",
]


def without_shift_rule() -> set[str]:
    """Return names of Qiskit's gates with angles that parameter shift would replace."""
    known = ParamShiftEstimatorGradient.SUPPORTED_GATES
    return {n for n, gate in get_standard_gate_name_mapping().items() if gate.params} - set(known)


def with_shift_rules(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with every free gate in gates that parameter shift has rules for.

    Args:
        circuit: In gates that a noise model knows.

    Returns:
        The same channels. u2 stays as it is: it does nothing at no angles.
    """
    replaced = without_shift_rule()
    new = circuit.copy_empty_like()
    for item in circuit.data:
        operation = item.operation
        carrier = _carrier(operation) if operation.name in replaced else None
        if carrier is None or not is_free(operation):
            new._append(item)
            continue
        for gate, places in on_ones(operation):
            qubits = [item.qubits[k] for k in places]
            if gate.name == carrier.name:
                new.compose(_parts(gate), qubits, inplace=True)
                gate = carrier
            new.append(gate, qubits)
    return new


def _carrier(gate: Gate) -> Gate | None:
    """Return the gate, controls on 1, at angle 0; None where that does something."""
    closed = next(each for each, _ in on_ones(gate) if each.params)
    closed = closed.copy()
    closed.params = [0.0] * len(closed.params)
    does_nothing = np.allclose(Operator(closed).data, np.eye(2**closed.num_qubits))
    return closed if does_nothing else None


def _parts(gate: Gate) -> QuantumCircuit:
    alone = QuantumCircuit(gate.num_qubits)
    alone.append(gate, alone.qubits)
    supported = ParamShiftEstimatorGradient.SUPPORTED_GATES
    found = PassManager([TranslateParameterizedGates(supported)]).run(alone)
    labelled = found.copy_empty_like()
    for item in found.data:
        part = item.operation.to_mutable()
        part.label = PART
        labelled.append(part, item.qubits)
    return labelled
