#!/usr/bin/env bash
# qiskit 2.6.2: the sign of a parameter expression.
#
# Guess:     sign() of a bound expression is 1 for every positive number, as Python's math.copysign and NumPy's sign have it.
# Behaviour: it is 0 for numbers up to 1.776e-15 in size (8 times the machine's epsilon). sign(cos(x)) at pi/2, where cos is
#            6e-17 in doubles, is 0, so that a rotation by sign(cos(x)) * pi / 2 is left out.
# Output seen:
#   sign(1e-15) = 0, sign(2e-15) = 1, sign(cos(pi/2)) = 0; NumPy: 1.0, 1.0, 1.0
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import qiskit
from qiskit.circuit import Parameter

print("qiskit", qiskit.__version__)
x = Parameter("x")


def sign(expression, value):
    return expression.sign().bind({x: value}).numeric()


found = [sign(x, 1e-15), sign(x, 2e-15), sign(x.cos(), np.pi / 2)]
numpy = [float(np.sign(each)) for each in (1e-15, 2e-15, np.cos(np.pi / 2))]
print(f"sign(1e-15) = {found[0]:g}, sign(2e-15) = {found[1]:g}, sign(cos(pi/2)) = {found[2]:g}; NumPy: {', '.join(map(str, numpy))}")
assert found == [0, 1, 0] and numpy == [1.0, 1.0, 1.0]
PY
