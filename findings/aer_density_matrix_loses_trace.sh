#!/usr/bin/env bash
# qiskit-aer 0.18.2, density matrix: a noise model with an error of less than 1e-10.
#
# Guess:     the probabilities of the outcomes add up to 1, however rare an error is.
# Behaviour: terms of an error whose probability is below 1e-10 are left out, and the others are not scaled up. Each such gate
#            takes its probability away: 100 gates with errors of 9e-11 leave a sum that is 9e-9 short. A snapshot's
#            thermal relaxation has many such terms: a circuit of 1000 gates on fake_torino loses 2e-7.
# Output seen:
#   sum - 1 with 9.0e-11: -9.00e-09; with 1.1e-10: -9.99e-16
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-aer==0.18.2 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
import qiskit_aer
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, pauli_error

print("qiskit-aer", qiskit_aer.__version__)


def missing(probability):
    noise = NoiseModel(basis_gates=["x"])
    error = pauli_error([("X", probability), ("I", 1 - probability)])
    noise.add_quantum_error(error, ["x"], [0])
    circuit = QuantumCircuit(1)
    for _ in range(100):
        circuit.x(0)
    circuit.save_probabilities()
    simulator = AerSimulator(method="density_matrix", noise_model=noise)
    return simulator.run(circuit).result().data(0)["probabilities"].sum() - 1


below, above = missing(9e-11), missing(1.1e-10)
print(f"sum - 1 with 9.0e-11: {below:.2e}; with 1.1e-10: {above:.2e}")
assert abs(below + 100 * 9e-11) < 1e-11 and abs(above) < 1e-13
PY
