#!/usr/bin/env bash
# qiskit-mitigation 0.1.1, MitigationTask: observables of several measurement bases on several rows of parameters.
#
# Guess:     "every parameter will be executed for each observable (outer product)": on |00>, in two equal rows of parameters, ZZ
#            is 1 in both and XX is 0 in both, as it is with broadcast_obs_and_params.
# Behaviour: bases and rows are paired instead: the bases have no axis of their own and are broadcast along that of the rows. In
#            each row both observables are read from one basis, here ZZ in row 0 and XX in row 1, and nothing warns. It takes
#            as many rows as bases; one row comes back as two; three rows for two bases raise an error of shapes.
# Output seen:
#   broadcast: ZZ [1.0, 1.0], XX [0.0, 0.0]
#   outer product: ZZ [1.0, 0.0], XX [1.0, 0.0]
#   outer product of 1 row: 2 values for each observable
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
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import Executor
from qiskit_mitigation import MitigationTask

print("qiskit-mitigation", version("qiskit-mitigation"))
circuit = QuantumCircuit(2)
circuit.rx(Parameter("a"), 0)
circuit.rx(Parameter("b"), 1)
paulis = [SparsePauliOp("ZZ"), SparsePauliOp("XX")]


def values(observables, rows, broadcast):
    """Expectation values on |00>, without noise, 40,000 shots for each basis and row."""
    task = MitigationTask()
    program = task.prepare(
        circuit,
        observables,
        np.zeros((rows, 2)),
        shots_per_randomization=10_000,
        num_randomizations=4,
        broadcast_obs_and_params=broadcast,
    )
    evs = task.postprocess(Executor(mode=AerSimulator(seed_simulator=1)).run(program).result()).data.evs
    return np.abs(np.round(evs, 1))


right = values([[paulis[0]], [paulis[1]]], 2, True)
outer = values(paulis, 2, False)
one = values(paulis, 1, False)
print(f"broadcast: ZZ {right[0].tolist()}, XX {right[1].tolist()}")
print(f"outer product: ZZ {outer[0].tolist()}, XX {outer[1].tolist()}")
print(f"outer product of 1 row: {one.shape[1]} values for each observable")
assert right.tolist() == [[1, 1], [0, 0]] and outer.tolist() == [[1, 0], [1, 0]] and one.shape == (2, 2)
PY
