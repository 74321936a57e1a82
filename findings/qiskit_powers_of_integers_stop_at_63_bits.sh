#!/usr/bin/env bash
# qiskit 2.6.2: an integer to the power of a parameter, beyond 2**63.
#
# Guess:     10**a bound at a = 19.5 is 3.2e19, as 10.0**a is, and as plain Python says.
# Behaviour: it is 9223372036854775807: integer bases keep 64-bit integers, which stop at their largest value, with or
#            without a fraction in the exponent. Products of integers go round instead: a*a*a*a at a = 2**20 is 0.
# Output seen:
#   10**a at 19.5: 9.223372036854776e+18; 10.0**a: 3.162277660168379e+19
#   a*a*a*a at 2**20: 0.0; at 2.0**20: 1.2089258196146292e+24
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
import qiskit
from qiskit.circuit import Parameter

print("qiskit", qiskit.__version__)
a = Parameter("a")
stopped, right = (float((base**a).bind({a: 19.5})) for base in (10, 10.0))
print(f"10**a at 19.5: {stopped}; 10.0**a: {right}")
fourth = a * a * a * a
round_trip, exact = (float(fourth.bind({a: value})) for value in (2**20, 2.0**20))
print(f"a*a*a*a at 2**20: {round_trip}; at 2.0**20: {exact}")
assert stopped == float(2**63 - 1) and abs(right / 10**19.5 - 1) < 1e-12
assert round_trip == 0.0 and exact == 2.0**80
PY
