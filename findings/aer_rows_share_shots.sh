#!/usr/bin/env bash
# qiskit-aer 0.18.2: shots that are simulated one by one, in rows of parameters and in runs with neighbouring seeds.
#
# Guess:     rows of a parameter sweep, and runs with seeds 100 and 101, have shots of their own.
# Behaviour: shot s of row k draws with the seed `seed + 2113 k + s`. The run with the next seed is the same run, one shot later;
#            and from shot 2113 on a row repeats the first shots of the next row. Circuits whose shots are drawn from one final
#            state are not concerned; noise on state vectors, resets and measurements on the way are.
# Output seen:
#   next seed, one shot later: equal in 1.000 of the shots; next row, 2113 shots later: 1.000; 2112 shots later: 0.510
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-aer==0.18.2 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import qiskit_aer
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

print("qiskit-aer", qiskit_aer.__version__)
angle = Parameter("angle")
circuit = QuantumCircuit(1, 1)
circuit.rz(angle, 0)
for _ in range(3):
    circuit.x(0)
circuit.measure(0, 0)
noise = NoiseModel(basis_gates=["x", "rz"])
noise.add_all_qubit_quantum_error(depolarizing_error(0.6, 1), ["x"])


def shots(seed):
    simulator = AerSimulator(method="statevector", noise_model=noise, seed_simulator=seed)
    job = simulator.run(circuit, parameter_binds=[{angle: [0.1, 0.1]}], shots=4000, memory=True)
    return [np.array([int(bit) for bit in job.result().get_memory(row)]) for row in (0, 1)]


def equal(first, second, later):
    return float(np.mean(first[later:] == second[: len(second) - later]))


(row, following), (other, _) = shots(100), shots(101)
found = [equal(row, other, 1), equal(row, following, 2113), equal(row, following, 2112)]
print(
    f"next seed, one shot later: equal in {found[0]:.3f} of the shots; next row, 2113 shots later: "
    f"{found[1]:.3f}; 2112 shots later: {found[2]:.3f}"
)
assert found[0] == found[1] == 1.0 and found[2] < 0.7
PY
