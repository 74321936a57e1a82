#!/usr/bin/env bash
# qiskit-machine-learning 0.9.1: QNNs of circuits that a pass manager has put on other qubits of a device.
#
# Guess:     a QNN of one qubit gives the same output when its circuit is placed on qubit 2 of 3: cos(2) = -0.42 for Z
#            after RX(2), and probabilities of 0.29 and 0.71.
# Behaviour: EstimatorQNN with pass_manager and its default observable reads Z of qubit 0 of the device, an idle one: about 1.
#            SamplerQNN of a circuit that was measured first and transpiled then takes the number of the physical
#            qubit for that of the classical bit: the outcome is 0 always.
# Output seen:
#   EstimatorQNN: -0.41 plain, 1.01 placed
#   SamplerQNN: [0.29 0.71] plain, [1. 0.] placed
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-machine-learning==0.9.1 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.transpiler import CouplingMap, generate_preset_pass_manager
from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN

print("qiskit-machine-learning", version("qiskit-machine-learning"))
x = Parameter("x")
circuit = QuantumCircuit(1)
circuit.rx(x, 0)
line = CouplingMap.from_line(3)
manager = generate_preset_pass_manager(
    1, basis_gates=["rx", "rz", "sx", "x", "cx"], coupling_map=line, initial_layout=[2]
)
roles = {"input_params": [x], "weight_params": []}


def expectation(**options):
    qnn = EstimatorQNN(
        circuit=circuit, estimator=StatevectorEstimator(seed=1), **roles, **options
    )
    return float(qnn.forward([[2.0]], []).item())


def probabilities(given):
    qnn = SamplerQNN(circuit=given, sampler=StatevectorSampler(seed=1), **roles)
    return qnn.forward([[2.0]], []).ravel()


plain, placed = expectation(), expectation(pass_manager=manager)
print(f"EstimatorQNN: {plain:.2f} plain, {placed:.2f} placed")
measured = circuit.copy()
measured.measure_all()
first, second = probabilities(measured), probabilities(manager.run(measured))
print(f"SamplerQNN: {first.round(2)} plain, {second.round(2)} placed")
assert abs(plain - np.cos(2.0)) < 0.1 and abs(placed - 1) < 0.1
assert abs(first[1] - np.sin(1.0) ** 2) < 0.1 and second.tolist() == [1.0, 0.0]
PY
