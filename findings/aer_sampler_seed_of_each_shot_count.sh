#!/usr/bin/env bash
# qiskit-aer 0.18.2: two PUBs of one SamplerV2 job with different numbers of shots.
#
# Guess:     the shots of two PUBs are independent, seed or not.
# Behaviour: PUBs are grouped by shots and every group starts from the same seed: 400 and 401 shots of one circuit are the
#            same shots and one more. With equal numbers of shots they are independent.
# Output seen (correlation of the two counts over 60 seeds):
#   400 and 400 shots: 0.1
#   400 and 401 shots: 1.0
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-aer==0.18.2 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from qiskit import QuantumCircuit
from qiskit_aer.primitives import SamplerV2

print("qiskit-aer", version("qiskit-aer"))
circuit = QuantumCircuit(1)
circuit.h(0)
circuit.measure_all()


def correlation(first, second):
    """Correlation of the two PUBs' numbers of ones over 60 seeds."""
    ones = []
    for seed in range(60):
        job = SamplerV2(seed=seed).run([(circuit, None, first), (circuit, None, second)])
        ones.append([each.data.meas.get_counts().get("1", 0) for each in job.result()])
    return float(np.corrcoef(np.transpose(ones))[0, 1])


same, other = correlation(400, 400), correlation(400, 401)
print(f"400 and 400 shots: {same:.1f}")
print(f"400 and 401 shots: {other:.1f}")
assert abs(same) < 0.5 and other > 0.99
PY
