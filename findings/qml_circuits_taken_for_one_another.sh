#!/usr/bin/env bash
# qiskit-machine-learning 0.9.1, gradients and ComputeUncompute: one object for several circuits.
#
# Guess:     each circuit gets its own gradient, and its own fidelity.
# Behaviour: results go by a key of the gates' names, qubits and angles. What a gate does is not part of it: exp(-i t Z) and
#            exp(-i t X), or two blocks of one name, are taken for the same circuit, and the second gets the gradient and
#            the fidelity of the first, in one call or in a later one. Nothing warns.
# Output seen (d<Z>/dt at .3, and |<psi(.3)|psi(1.3)>|^2, of the second circuit):
#   PauliEvolutionGate of Z, then of X: gradient 0.000, fidelity 1.000; alone -1.129, 0.292
#   block of RZ, then block of RX: gradient 0.000, fidelity 1.000; alone -0.296, 0.770
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-machine-learning==0.9.1 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import PauliEvolutionGate
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.primitives import QMLSampler
from qiskit_machine_learning.state_fidelities import ComputeUncompute

print("qiskit-machine-learning", version("qiskit-machine-learning"))
t = Parameter("t")


def evolution(pauli):
    circuit = QuantumCircuit(1)
    circuit.append(PauliEvolutionGate(SparsePauliOp(pauli), t), [0])
    return circuit


def block(axis):
    inner, circuit = QuantumCircuit(1, name="layer"), QuantumCircuit(1)
    getattr(inner, f"r{axis}")(t, 0)
    circuit.append(inner.to_gate(), [0])
    return circuit


def values(*circuits):
    """Gradient and fidelity of the last circuit, after those of the others."""
    gradient = ParamShiftEstimatorGradient(StatevectorEstimator())
    fidelity = ComputeUncompute(QMLSampler())
    for circuit in circuits:
        slope = gradient.run([circuit], [SparsePauliOp("Z")], [[0.3]]).result().gradients[0][0]
        overlap = fidelity.run([circuit], [circuit], [[0.3]], [[1.3]]).result().fidelities[0]
    return np.array([slope, overlap])


pairs = {
    "PauliEvolutionGate of Z, then of X": (evolution("Z"), evolution("X")),
    "block of RZ, then block of RX": (block("z"), block("x")),
}
for name, (first, second) in pairs.items():
    after, alone = values(first, second), values(second)
    print(
        f"{name}: gradient {after[0]:.3f}, fidelity {after[1]:.3f}; alone {alone[0]:.3f}, {alone[1]:.3f}"
    )
    angle = 2 if second.data[0].operation.name == "PauliEvolution" else 1
    right = [-angle * np.sin(0.3 * angle), np.cos(angle / 2) ** 2]
    assert np.allclose(alone, right) and np.allclose(after, [0, 1])
PY
