#!/usr/bin/env bash
# qiskit-mitigation 0.1.1, MitigationTask: parameters as a BindingsArray whose keys are not in the circuit's order.
#
# Guess:     BindingsArray({("b", "a"): [[pi, 0]]}) binds b to pi and a to 0, as in Qiskit's primitives and as with
#            broadcast_obs_and_params.
# Behaviour: without broadcasting, the default, the names are not read: the first column goes to the first parameter of the
#            circuit, the second to the second. a and b are exchanged without a word.
# Output seen (<Z> of the qubits that a and b turn, b = pi):
#   keys (a, b): [1.0, -1.0]
#   keys (b, a): [-1.0, 1.0]
#   keys (b, a), broadcast: [1.0, -1.0]
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-mitigation==0.1.1 samplomatic==0.21.0 qiskit==2.6.2 \
    qiskit-ibm-runtime==0.51.0 qiskit-aer==0.18.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BindingsArray
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import Executor
from qiskit_mitigation import MitigationTask

print("qiskit-mitigation", version("qiskit-mitigation"))
circuit = QuantumCircuit(2)
circuit.rx(Parameter("a"), 0)
circuit.rx(Parameter("b"), 1)


def values(bindings, broadcast=False):
    """Z of the qubit that a turns and of the one that b turns, without noise."""
    task = MitigationTask()
    observables = [SparsePauliOp("IZ"), SparsePauliOp("ZI")]
    program = task.prepare(
        circuit,
        observables,
        BindingsArray(bindings),
        shots_per_randomization=100,
        num_randomizations=2,
        broadcast_obs_and_params=broadcast,
    )
    evs = task.postprocess(Executor(mode=AerSimulator()).run(program).result()).data.evs
    return np.ravel(evs).tolist()


sorted_keys = values({("a", "b"): [[0.0, np.pi]]})
other_keys = values({("b", "a"): [[np.pi, 0.0]]})
broadcast = values({("b", "a"): [[np.pi, 0.0]]}, broadcast=True)
print(f"keys (a, b): {sorted_keys}")
print(f"keys (b, a): {other_keys}")
print(f"keys (b, a), broadcast: {broadcast}")
assert sorted_keys == broadcast == [1, -1] and other_keys == [-1, 1]
PY
