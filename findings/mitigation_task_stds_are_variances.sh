#!/usr/bin/env bash
# qiskit-mitigation 0.1.1, MitigationTask and PEC: the standard errors of the results.
#
# Guess:     stds of an expectation value near 0 is 1 / sqrt(shots): .01 for 10,000 shots, .001 for 1,000,000.
# Behaviour: without broadcast_obs_and_params, the default, stds holds the variance, 1 / shots: error bars are a hundred and
#            a thousand times too short. With broadcasting the same data give the right ones.
# Output seen:
#   10000 shots: stds 1.0e-04, of PEC 1.0e-04, broadcast 1.0e-02
#   1000000 shots: stds 1.0e-06, of PEC 1.0e-06, broadcast 1.0e-03
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-mitigation==0.1.1 samplomatic==0.21.0 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparsePauliOp
from qiskit_mitigation import PEC, MitigationTask

print("qiskit-mitigation", version("qiskit-mitigation"))
rng = np.random.default_rng(1)
pauli = SparsePauliOp("Z")
for shots in (10_000, 1_000_000):
    signs = np.zeros((1, 1, 1), dtype=bool)
    item = {"_meas": rng.random((1, 1, shots, 1)) < 0.5, "pauli_signs": signs}
    plain = MitigationTask.compute_expectation_value(item, [pauli], meas_bases=["Z"])
    pec = PEC.compute_expectation_value_pec(item, [pauli], 1.0, meas_bases=["Z"])
    broadcast = MitigationTask.compute_expectation_value(
        item, ObservablesArray([pauli]), (1,), [((0,), "Z")], broadcast_obs_and_params=True
    )
    said, of_pec, right = (float(each.data.stds[0]) for each in (plain, pec, broadcast))
    print(f"{shots} shots: stds {said:.1e}, of PEC {of_pec:.1e}, broadcast {right:.1e}")
    assert np.allclose([said, of_pec], 1 / shots, rtol=0.01, atol=0)
    assert np.isclose(right, shots**-0.5, rtol=0.01)
PY
