#!/usr/bin/env bash
# qiskit-mitigation 0.1.1, get_measurement_bases: an observable in which a Pauli stands twice.
#
# Guess:     terms of one Pauli add up, as everywhere in Qiskit; a sum of two SparsePauliOps keeps them apart until simplify().
# Behaviour: the last coefficient replaces the others: Z/2 + Z/2 is measured as Z/2, and <Z> of |0> comes out at .5.
# Output seen (<Z/2 + Z/2> of |0>; 1 is right):
#   as it is: 0.5
#   after simplify(): 1.0
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-mitigation==0.1.1 samplomatic==0.21.0 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from qiskit.quantum_info import SparsePauliOp
from qiskit_mitigation.utils import executor_expectation_values, get_measurement_bases

print("qiskit-mitigation", version("qiskit-mitigation"))
half = SparsePauliOp("Z", 0.5)


def value(observable):
    """Expectation value of |0>, of which 100 shots read 0."""
    _, mapping = get_measurement_bases([observable])
    zeros = np.zeros((1, 100, 1), dtype=bool)
    return executor_expectation_values(zeros, mapping, 0)[0][0]


twice, once = value(half + half), value((half + half).simplify())
print(f"as it is: {twice}")
print(f"after simplify(): {once}")
assert (twice, once) == (0.5, 1.0)
PY
