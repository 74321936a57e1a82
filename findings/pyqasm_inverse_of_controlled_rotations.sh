#!/usr/bin/env bash
# pyqasm 1.3.0: `inv @` before the controlled rotations of the standard library, unrolled.
#
# Guess:     a gate followed by its inverse does nothing, as it is for rx, s or cx.
# Behaviour: for cp, crx, cry, crz and cu the modifier is lost: the gate is applied twice in the same direction. Nothing is
#            said (p and sx, in contrast, are refused under inv).
# Output seen:
#   gate, then inv @ gate, is the identity: rx True, s True, cx True
#   gate, then inv @ gate, is the identity: cp False, crx False, cry False, crz False, cu False
#   inv @ crx(0.7) is crx(0.7): True
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyqasm==1.3.0 qiskit==2.6.2 qiskit-qasm3-import==0.6.0
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
import pyqasm
from qiskit import qasm3
from qiskit.quantum_info import Operator

print("pyqasm", version("pyqasm"))


def unrolled(*statements):
    """Unitary of a program of two qubits as pyqasm unrolls it."""
    head = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\n'
    module = pyqasm.loads(head + "\n".join(statements) + "\n")
    module.unroll()
    return Operator(qasm3.loads(pyqasm.dumps(module)))


def undone(call):
    return bool(unrolled(f"{call};", f"inv @ {call};").equiv(Operator(np.eye(4))))


plain = {"rx": "rx(0.7) q[0]", "s": "s q[0]", "cx": "cx q[0], q[1]"}
turned = {name: f"{name}(0.7) q[0], q[1]" for name in ("cp", "crx", "cry", "crz")}
turned["cu"] = "cu(0.7, 0.3, 0.2, 0.4) q[0], q[1]"
for calls in (plain, turned):
    found = {name: undone(call) for name, call in calls.items()}
    print("gate, then inv @ gate, is the identity:", ", ".join(f"{k} {v}" for k, v in found.items()))
    assert set(found.values()) == {calls is plain}
same = bool(unrolled(f"inv @ {turned['crx']};").equiv(unrolled(f"{turned['crx']};")))
print("inv @ crx(0.7) is crx(0.7):", same)
assert same
PY
