#!/usr/bin/env bash
# qiskit-aer 0.18.2, EstimatorV2 with a noise model that has readout errors.
#
# Guess:     <Z> of |0> with readouts that are wrong in 30 % of the shots is 0.4, as a sampler under the same model gives it.
# Behaviour: it is 1: expectation values are saved in front of the measurement, so that readout errors never happen, and no
#            warning says so. SamplerV2 with the same model gives 0.4.
# Output seen:
#   EstimatorV2: 1.000; SamplerV2: 0.403
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-aer==0.18.2 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
import qiskit_aer
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel, ReadoutError
from qiskit_aer.primitives import EstimatorV2, SamplerV2

print("qiskit-aer", qiskit_aer.__version__)
noise = NoiseModel()
noise.add_all_qubit_readout_error(ReadoutError([[0.7, 0.3], [0.3, 0.7]]))
options = {"backend_options": {"noise_model": noise}}
circuit = QuantumCircuit(1)
estimator = EstimatorV2(options={**options, "default_precision": 0.0})
told = float(estimator.run([(circuit, SparsePauliOp("Z"))]).result()[0].data.evs)
measured = circuit.copy()
measured.measure_all()
sampler = SamplerV2(seed=1, options=options)
counts = sampler.run([measured], shots=100_000).result()[0].data.meas.get_counts()
drawn = (counts["0"] - counts["1"]) / 100_000
print(f"EstimatorV2: {told:.3f}; SamplerV2: {drawn:.3f}")
assert told == 1.0 and abs(drawn - 0.4) < 0.02
PY
