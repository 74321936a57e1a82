#!/usr/bin/env bash
# mthree 3.0.0: counts of a qubit whose readout is worse than a coin.
#
# Guess:     apply_correction warns of each faulty qubit that was used.
# Behaviour: if qubit 0 is the only one, it does not: the check is `any(bad_qubits)`, and any({0}) is False. The corrected
#            distribution, here probabilities of 4 and -3, comes without a word. Calibrating an inoperable qubit 0 passes in
#            the same way.
# Output seen:
#   qubit 0 faulty [0]: warnings [], {'0': 4.0, '1': -3.0}
#   qubit 1 faulty [1]: warnings ['Using faulty qubits: {1}'], {'0': 4.0, '1': -3.0}
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check mthree==3.0.0 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
import warnings
from importlib.metadata import version

import numpy as np
from mthree import M3Mitigation

print("mthree", version("mthree"))
good, bad = np.array([[0.97, 0.05], [0.03, 0.95]]), np.array([[0.45, 0.55], [0.55, 0.45]])
seen = []
for qubit in (0, 1):
    mitigation = M3Mitigation()
    mitigation.cals_from_matrices([bad if each == qubit else good for each in (0, 1)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = mitigation.apply_correction({"0": 15, "1": 85}, [qubit])
    seen.append([str(each.message) for each in caught])
    rounded = {key: round(float(value), 1) for key, value in found.items()}
    print(f"qubit {qubit} faulty {mitigation.faulty_qubits}: warnings {seen[-1]}, {rounded}")
    assert mitigation.faulty_qubits == [qubit]
assert seen == [[], ["Using faulty qubits: {1}"]]
PY
