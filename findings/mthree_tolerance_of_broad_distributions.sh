#!/usr/bin/env bash
# mthree 3.0.0, method="iterative": the tolerance, where there are many outcomes.
#
# Guess:     tol is relative, as that of a solver: with tol = .03 the corrected distribution is right to about 3 %.
# Behaviour: tol is also taken for an absolute bound on the residual, and n outcomes of equal probability have a norm of
#            1 / sqrt(n). What counts is tol * sqrt(n): at .45 the sum of the probabilities is off by 6 %, from 1 on all of them
#            are 0, and no error is raised.
# Output seen (11 qubits, of which one is |1> and the others even; <Z> of the first, -1 is right; sum of the probabilities):
#   direct: <Z> -1.00, sum 1.00
#   iterative, tol 0.0001: <Z> -1.00, sum 1.00
#   iterative, tol 0.01: <Z> -0.90, sum 1.06
#   iterative, tol 0.03: <Z> 0.00, sum 0.00
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check mthree==3.0.0 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from mthree import M3Mitigation

print("mthree", version("mthree"))
qubits, to_one, to_zero = 11, 0.03, 0.08
mitigation = M3Mitigation()
one = np.array([[1 - to_one, to_zero], [to_one, 1 - to_zero]])
mitigation.cals_from_matrices([one] * qubits)
even = one @ [0.5, 0.5]
counts = {}
for outcome in range(2**qubits):
    bits = [outcome >> qubit & 1 for qubit in range(qubits)]
    probability = one[bits[0], 1] * np.prod(even[bits[1:]])
    counts[f"{outcome:0{qubits}b}"] = round(probability * 10_000_000)


def corrected(name, **options):
    found = mitigation.apply_correction(counts, range(qubits), distance=-1, **options)
    value, total = found.expval("I" * (qubits - 1) + "Z"), float(sum(found.values()))
    print(f"{name}: <Z> {value:.2f}, sum {total:.2f}")
    return value, total


assert np.allclose(corrected("direct", method="direct"), (-1, 1), atol=0.01)
seen = {
    tol: corrected(f"iterative, tol {tol}", method="iterative", tol=tol)
    for tol in (0.0001, 0.01, 0.03)
}
assert np.allclose(seen[0.0001], (-1, 1), atol=0.01)
assert seen[0.01][1] > 1.03 and seen[0.03] == (0, 0)
PY
