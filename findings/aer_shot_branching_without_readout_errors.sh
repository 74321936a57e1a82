#!/usr/bin/env bash
# qiskit-aer 0.18.2: shot branching with a noise model that has readout errors.
#
# Guess:     `shot_branching_enable` is a faster way to the same distribution.
# Behaviour: with it nearly all readout errors are lost, without a word; errors of gates are there.
# Output seen:
#   of 4000 shots of |1>, read as 0: 1215 without branching, 59 with it; 1220 are expected
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-aer==0.18.2 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
import qiskit_aer
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

print("qiskit-aer", qiskit_aer.__version__)
circuit = QuantumCircuit(1, 1)
circuit.x(0)
circuit.measure(0, 0)
noise = NoiseModel(basis_gates=["x"])
noise.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), ["x"])
noise.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.3, 0.7]]))


def zeros(branching):
    simulator = AerSimulator(
        method="statevector", noise_model=noise, shot_branching_enable=branching, seed_simulator=7
    )
    return simulator.run(circuit, shots=4000).result().get_counts().get("0", 0)


expected = 4000 * (0.99 * 0.3 + 0.01 * 0.9)
plain, branched = zeros(False), zeros(True)
print(
    f"of 4000 shots of |1>, read as 0: {plain} without branching, {branched} with it; "
    f"{expected:.0f} are expected"
)
assert abs(plain - expected) < 150 and branched < 150
PY
