#!/usr/bin/env bash
# qiskit-machine-learning 0.9.1, SamplerQNN: what `interpret` may return, and a circuit that measures some of its qubits.
#
# Guess:     an interpret that returns -1 is refused as one that returns output_shape is; two measured bits of a circuit of
#            three qubits are four outputs.
# Behaviour: -1 is counted into the last class (numpy's index from the end). Two measured bits give eight outputs, of which
#            four are 0 whatever the circuit does.
# Output seen:
#   interpret -1: [0.75 0.   0.25]
#   2 of 3 qubits measured: output shape (8,), largest of the last four outputs 0.0
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-machine-learning==0.9.1 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.primitives import StatevectorSampler
from qiskit_machine_learning.neural_networks import SamplerQNN

print("qiskit-machine-learning", version("qiskit-machine-learning"))
uniform = QuantumCircuit(2)
uniform.h([0, 1])
counted = SamplerQNN(
    circuit=uniform,
    sampler=StatevectorSampler(default_shots=100_000, seed=1),
    interpret=lambda outcome: -1 if outcome == 0 else 0,
    output_shape=3,
).forward([], [])[0]
print("interpret -1:", counted.round(2))
assert np.allclose(counted, [0.75, 0, 0.25], atol=0.01)

part = QuantumCircuit(QuantumRegister(3, "q"), ClassicalRegister(2, "meas"))
part.h([0, 1, 2])
part.measure([0, 1], [0, 1])
qnn = SamplerQNN(circuit=part, sampler=StatevectorSampler(seed=1))
last = float(qnn.forward([], [])[0, 4:].max())
print(f"2 of 3 qubits measured: output shape {qnn.output_shape}, largest of the last four outputs {last}")
assert qnn.output_shape == (8,) and last == 0
PY
