#!/usr/bin/env bash
# qiskit 2.6.2: transpiling an annotated gate with a negative fractional power.
#
# Guess:     gate.power(p, annotated=True) transpiles to the same unitary as Operator of the circuit, for every p.
# Behaviour: for H, X, CX and Swap the synthesis of a negative power is that of the positive one: the inverse. sx, t and
#            rx are right.
# Output seen (overlap of the transpiled circuit with the operator; 1 is right):
#   h: power 0.5 1.0, power -0.5 0.0
#   x: power 0.5 1.0, power -0.5 0.0
#   cx: power 0.5 1.0, power -0.5 0.5
#   t: power 0.5 1.0, power -0.5 1.0
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import qiskit
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import CXGate, HGate, TGate, XGate
from qiskit.quantum_info import Operator

print("qiskit", qiskit.__version__)


def overlap(gate, power):
    circuit = QuantumCircuit(gate.num_qubits)
    circuit.append(gate.power(power, annotated=True), range(gate.num_qubits))
    made = transpile(circuit, basis_gates=["u", "cx"], optimization_level=0)
    wanted, got = Operator(circuit).data, Operator(made).data
    return float(abs(np.trace(wanted.conj().T @ got)) / len(wanted))


for gate, right in ((HGate(), False), (XGate(), False), (CXGate(), False), (TGate(), True)):
    positive, negative = overlap(gate, 0.5), overlap(gate, -0.5)
    print(f"{gate.name}: power 0.5 {positive:.1f}, power -0.5 {negative:.1f}")
    assert np.isclose(positive, 1) and np.isclose(negative, 1) == right
PY
