#!/usr/bin/env bash
# qiskit-mitigation 0.1.1, GateFolding: the standard error that the extrapolator "fallback" reports.
#
# Guess:     "fallback" is the value measured at the lowest noise factor, so its standard error is the one measured there:
#            sqrt((1 - .9^2) / shots), .0044 with 10,000 shots and .00044 with 1,000,000.
# Behaviour: stds holds the deviation of a single shot, .44, however many shots were taken; stds_noise_factors of the same
#            result holds the right one.
# Output seen:
#   10000 shots: fallback +- 0.4379, at noise factor 1 +- 0.0044
#   1000000 shots: fallback +- 0.4369, at noise factor 1 +- 0.0004
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-mitigation==0.1.1 samplomatic==0.21.0 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from qiskit.quantum_info import SparsePauliOp
from qiskit_mitigation import GateFolding

print("qiskit-mitigation", version("qiskit-mitigation"))
rng = np.random.default_rng(1)
for shots in (10_000, 1_000_000):
    items = [{"_meas": rng.random((1, 1, shots, 1)) < (1 - 0.9**f) / 2} for f in (1, 3, 5)]
    data = GateFolding.compute_expectation_value_gate_folding(
        items, [SparsePauliOp("Z")], (), None, [1, 3, 5], ["fallback"], [0.0], meas_bases=["Z"]
    ).data
    fallback, measured = float(data.stds[0]), float(data.stds_noise_factors[0][0])
    print(f"{shots} shots: fallback +- {fallback:.4f}, at noise factor 1 +- {measured:.4f}")
    assert abs(fallback - np.sqrt(1 - 0.9**2)) < 0.01
    assert abs(measured - np.sqrt((1 - 0.9**2) / shots)) < 0.1 * measured
PY
