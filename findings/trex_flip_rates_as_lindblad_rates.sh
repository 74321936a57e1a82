#!/usr/bin/env bash
# qiskit-mitigation 0.1.1, TREX: readout errors that a calibration has measured, taken out of an expectation value.
#
# Guess:     bits that flip with probability p shrink <Z...Z> of n qubits by (1 - 2p)^n; TREX divides by that, so |0...0> gives 1.
# Behaviour: p is stored as a rate of a Pauli-Lindblad map, where a flip of probability p has the rate -log(1 - 2p) / 2: the
#            factor is exp(-2pn). What is left of the error grows with n: p = .05 on 20 qubits is off by 10 %, p = .1 on 6 by 13 %,
#            whatever the number of shots. The executor-based Estimator of qiskit-ibm-runtime 0.51.0 has it from here.
# Output seen:
#   p = 0.1, 1 qubits: mitigated 0.977, (1 - 2p)^n exp(2pn) 0.977
#   p = 0.1, 6 qubits: mitigated 0.868, (1 - 2p)^n exp(2pn) 0.870
#   p = 0.05, 20 qubits: (1 - 2p)^n exp(2pn) 0.898
#   IBM's Estimator, resilience level 1, p = 0.1, 1 and 6 qubits: 0.98, 0.88
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-mitigation==0.1.1 samplomatic==0.21.0 qiskit==2.6.2 \
    qiskit-ibm-runtime==0.51.0 qiskit-aer==0.18.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_mitigation import TREX, MitigationTask

print("qiskit-mitigation", version("qiskit-mitigation"))
rng = np.random.default_rng(1)
flip, shots = 0.1, 400_000


def left(flip, qubits):
    """What is left of <Z...Z> = 1 after division by exp(-2pn)."""
    return ((1 - 2 * flip) * np.exp(2 * flip)) ** qubits


def mitigated(qubits):
    """<Z...Z> of |0...0> with readout errors, after TREX with a calibration of its own."""
    twirls = rng.random((1, shots, qubits)) < 0.5
    read = twirls ^ (rng.random(twirls.shape) < flip)
    told = {"mitigation": "trex", "version": "0.1", "program_item_index": 0}
    trex = TREX.create_instance_from_passthrough_data(told)
    noise = trex.compute_noise_model([{"_meas": read, "measurement_flips._meas": twirls}])
    item = {"_meas": rng.random((1, 1, shots, qubits)) < flip}
    result = MitigationTask.compute_expectation_value(
        item, [SparsePauliOp("Z" * qubits)], meas_bases=["Z" * qubits], measure_noise_data=noise
    )
    return float(result.data.evs[0])


for qubits in (1, 6):
    found, guess = mitigated(qubits), left(flip, qubits)
    print(f"p = {flip}, {qubits} qubits: mitigated {found:.3f}, (1 - 2p)^n exp(2pn) {guess:.3f}")
    assert abs(found - guess) < 0.015
assert found < 0.9
print(f"p = 0.05, 20 qubits: (1 - 2p)^n exp(2pn) {left(0.05, 20):.3f}")
noise = NoiseModel()
noise.add_all_qubit_readout_error(ReadoutError([[1 - flip, flip], [flip, 1 - flip]]))
estimator = Estimator(mode=AerSimulator(noise_model=noise))
estimator.options.resilience_level = 1
estimator.options.simulator.seed_simulator = 1
circuit = QuantumCircuit(6)
circuit.x(0)
circuit.x(0)
values = estimator.run([(circuit, ["IIIIIZ", "ZZZZZZ"])], precision=0.003).result()[0].data.evs
print(
    f"IBM's Estimator, resilience level 1, p = {flip}, 1 and 6 qubits: "
    f"{values[0]:.2f}, {values[1]:.2f}"
)
assert values[0] < 0.99 and values[1] < 0.93
PY
