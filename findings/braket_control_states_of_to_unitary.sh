#!/usr/bin/env bash
# Amazon Braket SDK 1.127.5: Circuit.to_unitary with several control states.
#
# Guess:     the matrix is what the local simulator runs: x(2, control=[0, 1], control_state=[1, 0]) exchanges |100> and |101>.
# Behaviour: to_unitary reads the control states from the other end and exchanges |010> and |011>; the simulator runs the
#            right gate. Equal control states, or one control, hide it.
# Output seen:
#   control_state [1, 0]: to_unitary takes |100> to 100, the simulator to 101
#   control_state [1, 1]: to_unitary takes |110> to 111, the simulator to 111
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check amazon-braket-sdk==1.127.5 amazon-braket-default-simulator==1.41.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from braket.circuits import Circuit
from braket.devices import LocalSimulator

print("amazon-braket-sdk", version("amazon-braket-sdk"))


def targets(states):
    """Where the controlled X takes its input, by matrix and by simulation."""
    start = f"{states[0]}{states[1]}0"
    circuit = Circuit().x(2, control=[0, 1], control_state=states)
    by_matrix = int(np.argmax(np.abs(circuit.to_unitary()[:, int(start, 2)])))
    prepared = Circuit().i(0).i(1).i(2)
    for qubit, bit in enumerate(states):
        if bit:
            prepared.x(qubit)
    prepared.x(2, control=[0, 1], control_state=states).state_vector()
    by_run = int(np.argmax(np.abs(LocalSimulator().run(prepared, shots=0).result().values[0])))
    print(
        f"control_state {states}: to_unitary takes |{start}> to {by_matrix:03b}, "
        f"the simulator to {by_run:03b}"
    )
    return by_matrix, by_run


assert targets([1, 0]) == (0b100, 0b101)
assert targets([1, 1]) == (0b111, 0b111)
PY
