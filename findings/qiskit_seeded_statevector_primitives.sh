#!/usr/bin/env bash
# qiskit 2.6.2, StatevectorSampler and StatevectorEstimator with an integer seed.
#
# Guess:     a seed makes a run repeatable; rows and PUBs of one run still have shots and noise of their own, and an estimator that
#            adds noise of a given precision reports it in stds.
# Behaviour: every row and every PUB of the sampler, and every PUB of the estimator, starts from the seed again: equal circuits
#            have equal shots, so that averages over rows or repetitions gain nothing. The estimator's stds are 0, noise or not.
#            With numpy's default_rng(seed) in place of the number the draws are independent; the stds stay 0.
# Output seen:
#   sampler, ones of 1000 in 4 rows and 2 PUBs: [498, 498, 498, 498] [498, 498, 498, 498]
#   with default_rng(7): [498, 489, 517, 483] [456, 505, 549, 513]
#   estimator of 0 with precision .1, 3 PUBs: [0.0001, 0.0001, 0.0001], stds [0.0, 0.0, 0.0]
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit==2.6.2 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import qiskit
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorEstimator, StatevectorSampler

print("qiskit", qiskit.__version__)
circuit = QuantumCircuit(1)
circuit.rx(Parameter("a"), 0)
measured = circuit.measure_all(inplace=False)
rows = np.full((4, 1), np.pi / 2)


def ones(seed):
    """Ones of 1000 shots for each row of two PUBs."""
    result = StatevectorSampler(seed=seed).run([(measured, rows)] * 2, shots=1000).result()
    return [[pub.data.meas[row].get_counts()["1"] for row in range(4)] for pub in result]


seeded, generated = ones(7), ones(np.random.default_rng(7))
print("sampler, ones of 1000 in 4 rows and 2 PUBs:", *seeded)
print("with default_rng(7):", *generated)
estimator = StatevectorEstimator(seed=7)
result = estimator.run([(circuit, "Z", [np.pi / 2])] * 3, precision=0.1).result()
values, stds = (
    [round(float(each), 4) for each in column]
    for column in zip(*((pub.data.evs, pub.data.stds) for pub in result))
)
print(f"estimator of 0 with precision .1, 3 PUBs: {values}, stds {stds}")
assert len(set(map(tuple, seeded))) == len(set(seeded[0])) == 1 and len(set(generated[0])) > 1
assert len(set(values)) == 1 and stds == [0, 0, 0]
PY
