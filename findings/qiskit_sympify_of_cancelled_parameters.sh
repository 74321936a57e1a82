#!/usr/bin/env bash
# qiskit 2.6.2: ParameterExpression.sympify() where a parameter cancels.
#
# Guess:     (a - a + b).sympify() is b, which is what bind computes with.
# Behaviour: it is a. So are a*0 + b and -(a/b) + a/b + b with their first parameter. Code that reads angles through sympy
#            takes the value of another parameter, and no error tells.
# Output seen:
#   a - a + b: binds to 0.4 for a = 0.7, b = 0.4; sympify gives a
#   a*0 + b: binds to 0.4 for a = 0.7, b = 0.4; sympify gives a
#   a + b: binds to 1.1 for a = 0.7, b = 0.4; sympify gives a + b
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit==2.6.2 sympy==1.14.0
"$work/venv/bin/python" -W ignore - <<'PY'
import qiskit
from qiskit.circuit import Parameter

print("qiskit", qiskit.__version__)
a, b = Parameter("a"), Parameter("b")
seen = {}
for name, expression in (("a - a + b", a - a + b), ("a*0 + b", a * 0 + b), ("a + b", a + b)):
    value, symbol = float(expression.bind({a: 0.7, b: 0.4})), str(expression.sympify())
    print(f"{name}: binds to {value:.1f} for a = 0.7, b = 0.4; sympify gives {symbol}")
    seen[name] = round(value, 6), symbol
assert seen["a - a + b"] == seen["a*0 + b"] == (0.4, "a") and seen["a + b"] == (1.1, "a + b")
PY
