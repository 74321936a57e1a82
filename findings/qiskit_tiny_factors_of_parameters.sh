#!/usr/bin/env bash
# qiskit 2.6.2: a parameter times a number of at most about 1e-15.
#
# Guess:     a * 1e-15 is linear in a: bound at a = 3e15 it is 3. Femtoseconds are written this way.
# Behaviour: it is the constant 1e-15. The parameter stays in `parameters`, so binding raises nothing, and the value is
#            lost. The same holds for a / 1e17, a**2 * 1e-17 and 1e-17 * a + 1e-17 * b.
# Output seen:
#   a * 1e-14: 30.000000000000000
#   a * 1e-15: 0.000000000000001
#   a / 1e17: 0.000000000000000
#   RX angle of a * 1e-15 at a = 3e15: 1e-15
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
import qiskit
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

print("qiskit", qiskit.__version__)
a = Parameter("a")
seen = {}
for name, expression in (
    ("a * 1e-14", a * 1e-14),
    ("a * 1e-15", a * 1e-15),
    ("a / 1e17", a / 1e17),
):
    seen[name] = float(expression.bind({a: 3e15}))
    assert a in expression.parameters
    print(f"{name}: {seen[name]:.15f}")
circuit = QuantumCircuit(1)
circuit.rx(a * 1e-15, 0)
angle = circuit.assign_parameters([3e15]).data[0].params[0]
print("RX angle of a * 1e-15 at a = 3e15:", angle)
assert seen["a * 1e-15"] == angle == 1e-15 and seen["a / 1e17"] < 1e-16
PY
