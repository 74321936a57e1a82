#!/usr/bin/env bash
# PennyLane 0.45.1, from_qasm3: the sign of a controlled global phase.
#
# Guess:     OpenQASM's gphase(a) multiplies by exp(i a), so `ctrl @ gphase(a) q[0];` is a phase gate p(a) on q[0].
# Behaviour: it becomes PennyLane's GlobalPhase(a), which multiplies by exp(-i a): a phase gate of the opposite angle. What is
#            no more than a convention without a control is a different circuit with one.
# Output seen:
#   ctrl @ gphase(0.7) q[0] on |1>: phase -0.70
#   p(0.7) q[0] on |1>: phase 0.70
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pennylane==0.45.1 openqasm3==1.0.1 antlr4-python3-runtime==4.13.2
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pennylane as qml

print("pennylane", qml.__version__)


def phase_of_one(statement):
    """Phase of |1> against |0> after a statement on q[0]."""
    function = qml.from_qasm3(f"OPENQASM 3.0; qubit[1] q; {statement}")
    matrix = qml.matrix(function, wire_order=["q[0]"])()
    return float(np.angle(matrix[1, 1] / matrix[0, 0]))


controlled, gate = phase_of_one("ctrl @ gphase(0.7) q[0];"), phase_of_one("p(0.7) q[0];")
print(f"ctrl @ gphase(0.7) q[0] on |1>: phase {controlled:.2f}")
print(f"p(0.7) q[0] on |1>: phase {gate:.2f}")
assert np.isclose(gate, 0.7) and np.isclose(controlled, -0.7)
PY
