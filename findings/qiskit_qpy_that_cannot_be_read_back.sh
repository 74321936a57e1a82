#!/usr/bin/env bash
# qiskit 2.6.2: QPY of an angle in which a parameter has cancelled before two functions.
#
# Guess:     what dump writes load reads: rz((x/x).sign().sin(), 0) comes back.
# Behaviour: dump succeeds and load raises QpyError: the file cannot be opened again. (x/x).sin() and x.sign().sin() come back.
# Output seen:
#   (x/x).sin(): read back
#   x.sign().sin(): read back
#   (x/x).sign().sin(): QpyError, malformed expression stack: 2 remaining items
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
import io

import qiskit
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter

print("qiskit", qiskit.__version__)
x = Parameter("x")


def round_trip(angle):
    circuit = QuantumCircuit(1)
    circuit.rz(angle, 0)
    file = io.BytesIO()
    qpy.dump(circuit, file)
    file.seek(0)
    try:
        qpy.load(file)
    except qpy.QpyError as error:
        return f"QpyError, {str(error).strip(chr(39)).partition(': ')[2]}"
    return "read back"


seen = {
    "(x/x).sin()": round_trip((x / x).sin()),
    "x.sign().sin()": round_trip(x.sign().sin()),
    "(x/x).sign().sin()": round_trip((x / x).sign().sin()),
}
for name, outcome in seen.items():
    print(f"{name}: {outcome}")
assert [each == "read back" for each in seen.values()] == [True, True, False]
PY
