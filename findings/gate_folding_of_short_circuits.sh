#!/usr/bin/env bash
# qiskit-mitigation 0.1.1, GateFolding: noise factors between odd numbers on circuits with few two-qubit gates.
#
# Guess:     noise factors (1, 1.2, 1.5) amplify the noise by about 1, 1.2 and 1.5, or what cannot be made is refused or the
#            factor that was made is the one that the fit uses.
# Behaviour: at least one gate is folded whole. With one CZ the factors 1.2, 1.5 and 2 all give three CZs, and the fit still
#            takes 1.2, 1.5, 2: the "zero-noise" <Z> of a gate that leaves .9 comes out at 1.25, for a true value of 1.
# Output seen:
#   1 CZ: asked {1: 1.0, 1.2: 3.0, 1.5: 3.0, 2: 3.0, 3: 3.0}
#   3 CZ: asked {1: 1.0, 1.2: 1.667, 1.5: 1.667, 2: 2.333, 3: 3.0}
#   linear fit over (1, 1.2, 1.5), 1 CZ: 1.246; over (1, 3, 5): 0.976
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-mitigation==0.1.1 samplomatic==0.21.0 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import PassManager
from qiskit_mitigation import GateFolding
from qiskit_mitigation.zne import GateFoldingPass

print("qiskit-mitigation", version("qiskit-mitigation"))


def made(gates, factor):
    """Two-qubit gates after folding over those before."""
    circuit = QuantumCircuit(2)
    for _ in range(gates):
        circuit.cz(0, 1)
    folded = PassManager([GateFoldingPass(factor, "front")]).run(circuit)
    return folded.num_nonlocal_gates() / gates


for gates in (1, 3):
    print(f"{gates} CZ: asked", {f: round(made(gates, f), 3) for f in (1, 1.2, 1.5, 2, 3)})
assert [made(1, f) for f in (1, 1.2, 1.5, 2, 3)] == [1, 3, 3, 3, 3]
rng = np.random.default_rng(1)


def extrapolate(factors):
    """Zero-noise <Z> where each CZ that is there leaves a factor of .9."""
    values = [0.9 ** made(1, f) for f in factors]
    items = [{"_meas": rng.random((1, 1, 400_000, 1)) < (1 - value) / 2} for value in values]
    result = GateFolding.compute_expectation_value_gate_folding(
        items, [SparsePauliOp("Z")], (), None, list(factors), ["linear"], [0.0], meas_bases=["Z"]
    )
    return float(result.data.evs[0])


short, odd = extrapolate((1, 1.2, 1.5)), extrapolate((1, 3, 5))
print(f"linear fit over (1, 1.2, 1.5), 1 CZ: {short:.3f}; over (1, 3, 5): {odd:.3f}")
assert short > 1.1 and 0.9 < odd < 1
PY
