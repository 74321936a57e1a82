#!/usr/bin/env bash
# pyqasm 1.3.0: arithmetic of OpenQASM 3 integers inside an angle, unrolled.
#
# Guess:     as the language says, integers divide to an integer and the rest follows C: 7 / 2 is 3 and -7 % 3 is -1.
# Behaviour: Python's rules are used: 3.5 and 2. A loop counter divided by 2 gives other angles than on other stacks.
# Output seen:
#   int 7 / int 2 -> rx(3.5)
#   int -7 % 3 -> rx(2)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyqasm==1.3.0
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import pyqasm

print("pyqasm", version("pyqasm"))


def angle(declarations, expression):
    """The angle of the one RX that is left after unrolling."""
    head = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[1] q;\n'
    module = pyqasm.loads(head + f"{declarations}\nrx({expression}) q[0];\n")
    module.unroll()
    line = next(each for each in pyqasm.dumps(module).splitlines() if each.startswith("rx"))
    return float(line[line.index("(") + 1 : line.index(")")])


quotient = angle("int[32] a = 7; int[32] b = 2;", "a / b")
rest = angle("int[32] a = -7;", "a % 3")
print(f"int 7 / int 2 -> rx({quotient:g})")
print(f"int -7 % 3 -> rx({rest:g})")
assert (quotient, rest) == (3.5, 2)
PY
