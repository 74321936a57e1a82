#!/usr/bin/env bash
# PennyLane 0.45.1, from_qasm3: gates that a program defines itself.
#
# Guess:     `gate g(a) c, t {...}` called as `g(0.7) q[0], q[1];` acts on q[0] and q[1]; `inv @ g` is its inverse and
#            `pow(2) @ g` the gate twice, as these modifiers work on built-in gates.
# Behaviour: with a register the formal names become wires ('c', 't', whatever the call says), and inv, pow and ctrl are
#            dropped: all calls below give the same two gates. With single qubits the wires are right, the modifiers are lost.
#            `h q;` on a register of two is one Hadamard on a wire named 'q'.
# Output seen:
#   g(0.7) q[0], q[1];        ['RX on c', 'CNOT on c t']
#   g(0.7) q[1], q[0];        ['RX on c', 'CNOT on c t']
#   inv @ g(0.7) q[0], q[1];  ['RX on c', 'CNOT on c t']
#   pow(2) @ g(0.7) q[0], q[1]; ['RX on c', 'CNOT on c t']
#   h q;                      ['Hadamard on q']
#   inv @ s q[0];             ['Adjoint(S) on q[0]']
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pennylane==0.45.1 openqasm3==1.0.1 antlr4-python3-runtime==4.13.2
"$work/venv/bin/python" -W ignore - <<'PY'
import pennylane as qml

print("pennylane", qml.__version__)


def read(call):
    """Operations and wires that a program's call becomes."""
    source = f"OPENQASM 3.0; gate g(a) c, t {{ rx(a) c; cx c, t; }} qubit[2] q; {call}"
    function = qml.from_qasm3(source)
    with qml.queuing.AnnotatedQueue() as queue:
        function()
    operations = qml.tape.QuantumScript.from_queue(queue).operations
    return [f"{each.name} on {' '.join(map(str, each.wires))}" for each in operations]


calls = ["g(0.7) q[0], q[1];", "g(0.7) q[1], q[0];", "inv @ g(0.7) q[0], q[1];"]
calls += ["pow(2) @ g(0.7) q[0], q[1];", "h q;", "inv @ s q[0];"]
seen = {call: read(call) for call in calls}
for call, operations in seen.items():
    print(f"{call:25s} {operations}")
assert all(seen[call] == ["RX on c", "CNOT on c t"] for call in calls[:4])
assert seen["h q;"] == ["Hadamard on q"] and seen["inv @ s q[0];"] == ["Adjoint(S) on q[0]"]
PY
