#!/usr/bin/env bash
# qiskit-mitigation 0.1.1, GateFolding: a fit with as many parameters as noise factors.
#
# Guess:     "linear" needs two noise factors, "polynomial_degree_2" three (the default), "exponential" two; the package
#            checks that, so with exactly these the extrapolated value comes with the standard error that the shots give.
# Behaviour: the standard error is always inf, since scipy's covariance needs one point more. A fit with an infinite error
#            is never selected while another model is listed: ["exponential", "fallback"] on exact exponential data with
#            two factors returns the unmitigated value.
# Output seen:
#   linear, 2 factors:              0.984 +- inf by linear
#   polynomial_degree_2, 3 factors: 0.996 +- inf by polynomial_degree_2
#   exponential, 3 factors:         1.002 +- 0.001 by exponential
#   exponential or fallback, 2:     0.900 +- 0.435 by fallback
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


def extrapolate(factors, models):
    """Zero-noise value, error and model for <Z> = 0.9**factor, 100,000 shots each."""
    items = [{"_meas": rng.random((1, 1, 100_000, 1)) < (1 - 0.9**f) / 2} for f in factors]
    result = GateFolding.compute_expectation_value_gate_folding(
        items, [SparsePauliOp("Z")], (), None, list(factors), models, [0.0], meas_bases=["Z"]
    )
    return result.data.evs[0], result.data.stds[0], result.metadata["selected_extrapolators"][0][0]


rows = {
    "linear, 2 factors": extrapolate((1, 3), ["linear"]),
    "polynomial_degree_2, 3 factors": extrapolate((1, 3, 5), ["polynomial_degree_2"]),
    "exponential, 3 factors": extrapolate((1, 3, 5), ["exponential"]),
    "exponential or fallback, 2": extrapolate((1, 3), ["exponential", "fallback"]),
}
for name, (value, error, model) in rows.items():
    print(f"{name}: {value:.3f} +- {error:.3f} by {model}")
assert np.isinf(rows["linear, 2 factors"][1])
assert np.isinf(rows["polynomial_degree_2, 3 factors"][1])
assert np.isfinite(rows["exponential, 3 factors"][1])
assert rows["exponential or fallback, 2"][2] == "fallback"
assert abs(rows["exponential or fallback, 2"][0] - 0.9) < 0.01
PY
