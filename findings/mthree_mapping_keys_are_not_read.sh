#!/usr/bin/env bash
# mthree 3.0.0, apply_correction: a mapping of classical bits to qubits whose keys are not in order.
#
# Guess:     {1: 0, 0: 1} and {0: 1, 1: 0} are one mapping: bit 0 was read from qubit 1, bit 1 from qubit 0.
# Behaviour: the keys are not read, the qubits are taken in the order in which they stand: the first of these corrects bit 0 with the
#            calibration of qubit 0. A bit that a bad qubit flips in 20 % of the shots is left as it is.
# Output seen (bit 0 from qubit 1, which flips in 20 % of the shots):
#   {0: 1, 1: 0}: {'00': 1.0, '01': 0.0}
#   {1: 0, 0: 1}: {'00': 0.81, '01': 0.19}
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check mthree==3.0.0 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from mthree import M3Mitigation

print("mthree", version("mthree"))
mitigation = M3Mitigation()
mitigation.cals_from_matrices([np.array([[1 - p, p], [p, 1 - p]]) for p in (0.01, 0.2)])


def corrected(mapping):
    found = mitigation.apply_correction({"00": 800, "01": 200}, mapping)
    rounded = {key: round(abs(float(value)), 2) for key, value in found.items()}
    print(f"{mapping}: {rounded}")
    return rounded["01"]


first, second = {0: 1, 1: 0}, {1: 0, 0: 1}
assert first == second
assert corrected(first) == 0 and corrected(second) > 0.15
PY
