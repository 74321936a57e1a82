#!/usr/bin/env bash
# qiskit-aer 0.18.2, qiskit 2.6.2: running a circuit that holds a CU gate with a free angle.
#
# Guess:     run(circuit, parameter_binds=[{t: [1.0, 3.0]}]) leaves the circuit alone and gives two results, as for rx(t).
# Behaviour: the caller's own gate holds 0.0 in place of t afterwards, and there is one result. `circuit.parameters` still lists t.
# Output seen:
#   rx: 2 results, angles before ['t'], after ['t']
#   cu: 1 results, angles before ['t', '0.1', '0.2', '0.3'], after ['0.0', '0.1', '0.2', '0.3']
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-aer==0.18.2 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import CUGate, RXGate
from qiskit_aer import AerSimulator

print("qiskit-aer", version("qiskit-aer"))
t = Parameter("t")


def run(gate):
    """Number of results for two values of t, and the gate's angles before and after."""
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.append(gate, range(gate.num_qubits))
    circuit.measure_all()
    before = [str(each) for each in circuit.data[1].operation.params]
    job = AerSimulator().run(circuit, parameter_binds=[{t: [1.0, 3.0]}], shots=100)
    results = len(job.result().results)
    after = [str(each) for each in circuit.data[1].operation.params]
    print(f"{gate.name}: {results} results, angles before {before}, after {after}")
    return results, before == after


assert run(RXGate(t)) == (2, True)
assert run(CUGate(t, 0.1, 0.2, 0.3)) == (1, False)
PY
