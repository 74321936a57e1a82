#!/usr/bin/env bash
# qiskit-aer 0.18.2, qiskit 2.6.2: a controlled swap whose control is on 0.
#
# Guess:     CSwapGate(ctrl_state=0), as Qiskit's Statevector has it: swap if the control reads 0. cx with a control on 0 is right.
# Behaviour: Aer runs another circuit without a word: here probabilities are off by .62. A caller who writes X, cswap, X is fine.
# Output seen:
#   cx on 0: largest difference of probabilities 0.000
#   cswap on 0: largest difference of probabilities 0.622
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-aer==0.18.2 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import CSwapGate, CXGate
from qiskit.quantum_info import Statevector
from qiskit_aer import AerSimulator

print("qiskit-aer", version("qiskit-aer"))


def difference(gate):
    """Largest difference between Aer's and Qiskit's probabilities."""
    circuit = QuantumCircuit(3)
    for qubit, angle in enumerate((0.7, 1.1, 0.3)):
        circuit.ry(angle, qubit)
    circuit.append(gate, range(gate.num_qubits))
    exact = Statevector(circuit).probabilities()
    circuit.save_statevector()
    state = AerSimulator(method="statevector").run(circuit).result().get_statevector()
    return float(np.abs(np.abs(np.asarray(state)) ** 2 - exact).max())


one, swap = difference(CXGate(ctrl_state=0)), difference(CSwapGate(ctrl_state=0))
print(f"cx on 0: largest difference of probabilities {one:.3f}")
print(f"cswap on 0: largest difference of probabilities {swap:.3f}")
assert one < 1e-9 and swap > 0.5
PY
