#!/usr/bin/env bash
# Amazon Braket's local simulator 1.41.2 (SDK 1.127.5): modifiers on gates that an OpenQASM 3 program defines.
#
# Guess:     `pow(2) @ g` is g twice; `ctrl @ g` controls all of g, its gphase too.
# Behaviour: pow is applied to each gate in the definition, (A B)^2 becomes A^2 B^2; a gphase inside stays an uncontrolled
#            global phase. Both are silent; inv is right.
# Output seen:
#   pow(2) @ g against g; g;                 fidelity 0.250
#   ctrl @ g with a gphase of pi, |+0>:      fidelity 0.000
#   inv @ g after g against nothing:         fidelity 1.000
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check amazon-braket-sdk==1.127.5 amazon-braket-default-simulator==1.41.2
"$work/venv/bin/python" -W ignore - 2> "$work/log" <<'PY' || { cat "$work/log"; exit 1; }
from importlib.metadata import version

import numpy as np
from braket.devices import LocalSimulator
from braket.ir.openqasm import Program

print("amazon-braket-default-simulator", version("amazon-braket-default-simulator"))


def state(body):
    """Final amplitudes of a two-qubit program."""
    source = f"OPENQASM 3.0;\n{body}\n#pragma braket result state_vector\n"
    return LocalSimulator().run(Program(source=source), shots=0).result().values[0]


def fidelity(first, second):
    return abs(np.vdot(state(first), state(second))) ** 2


define = "gate g c, t { h c; cnot c, t; }\nqubit[2] q;\ni q;\n"
power = fidelity(define + "pow(2) @ g q[0], q[1];", define + "g q[0], q[1];\ng q[0], q[1];")
print(f"pow(2) @ g against g; g;                 fidelity {power:.3f}")
phase = "gate m t { gphase(3.141592653589793); i t; }\nqubit[2] q;\ni q;\nh q[0];\n"
control = fidelity(phase + "ctrl @ m q[0], q[1];", phase + "z q[0];")
print(f"ctrl @ g with a gphase of pi, |+0>:      fidelity {control:.3f}")
inverse = fidelity(define + "g q[0], q[1];\ninv @ g q[0], q[1];", define)
print(f"inv @ g after g against nothing:         fidelity {inverse:.3f}")
assert power < 0.9 and control < 1e-9 and np.isclose(inverse, 1)
PY
