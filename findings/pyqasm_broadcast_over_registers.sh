#!/usr/bin/env bash
# pyqasm 1.3.0: a two-qubit gate on two registers of equal size, unrolled.
#
# Guess:     OpenQASM 3 broadcasts: `cx q, r;` on registers of two is `cx q[0], r[0]; cx q[1], r[1];`, as Qiskit reads it.
# Behaviour: the qubits of all operands are put in a row and cut into pairs: the gates act inside each register. With
#            registers of three the second gate even joins the end of one with the start of the other. Nothing is said.
# Output seen:
#   2 + 2 qubits: cx q[0], q[1]; cx r[0], r[1]; | same unitary as Qiskit reads: False
#   3 + 3 qubits: cx q[0], q[1]; cx q[2], r[0]; cx r[1], r[2]; | same unitary as Qiskit reads: False
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyqasm==1.3.0 qiskit==2.6.2 qiskit-qasm3-import==0.6.0
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import pyqasm
from qiskit import qasm3
from qiskit.quantum_info import Operator

print("pyqasm", version("pyqasm"))
for size in (2, 3):
    source = (
        'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
        f"qubit[{size}] q;\nqubit[{size}] r;\ncx q, r;\n"
    )
    module = pyqasm.loads(source)
    module.unroll()
    unrolled = pyqasm.dumps(module)
    gates = " ".join(line for line in unrolled.splitlines() if line.startswith("cx"))
    same = Operator(qasm3.loads(source)).equiv(Operator(qasm3.loads(unrolled)))
    print(f"{size} + {size} qubits: {gates} | same unitary as Qiskit reads: {same}")
    assert not same and gates.startswith("cx q[0], q[1];")
PY
