#!/usr/bin/env bash
# qiskit-machine-learning 0.9.1, fidelity kernels: enforce_psd, the default.
#
# Guess:     "project to the closest positive semidefinite matrix": a matrix that is one already stays as it is, and what
#            comes back is one.
# Behaviour: the projection takes the eigenvectors for orthogonal, which those of numpy.linalg.eig are not where an eigenvalue
#            is there twice, as on data with a symmetry. The exact kernel of points on a grid around the circle is off by
#            more than .5, its diagonal goes from .46 to 1.46, and nothing warns. FidelityStatevectorKernel draws the entries
#            above and below the diagonal apart, and what it projects keeps clearly negative eigenvalues.
# Output seen:
#   9 points on a grid: exact matrix off by 0.000, lowest eigenvalue 0.562; projected one off by 0.537, diagonal 0.46 to 1.46
#   40 random points, 1000 shots: lowest eigenvalue after projection -0.119
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-machine-learning==0.9.1 qiskit==2.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit_machine_learning.kernels import FidelityQuantumKernel, FidelityStatevectorKernel
from qiskit_machine_learning.utils import algorithm_globals

print("qiskit-machine-learning", version("qiskit-machine-learning"))
x = ParameterVector("x", 2)
circuit = QuantumCircuit(2)
for qubit in range(2):
    circuit.ry(x[qubit], qubit)
turns = np.arange(3) * 2 * np.pi / 3
grid = np.array([(first, second) for first in turns for second in turns])
halves = (grid[:, None] - grid[None]) / 2
right = (np.cos(halves) ** 2).prod(-1)
plain = FidelityQuantumKernel(feature_map=circuit, enforce_psd=False).evaluate(grid)
lowest = np.linalg.eigvalsh(plain).min()
projected = FidelityQuantumKernel(feature_map=circuit).evaluate(grid)
diagonal = projected.diagonal()
print(
    f"9 points on a grid: exact matrix off by {abs(plain - right).max():.3f}, lowest eigenvalue "
    f"{lowest:.3f}; projected one off by {abs(projected - right).max():.3f}, diagonal "
    f"{diagonal.min():.2f} to {diagonal.max():.2f}"
)
assert abs(plain - right).max() < 1e-9 and lowest > -1e-9
assert abs(projected - right).max() > 0.1
algorithm_globals.random_seed = 1
points = np.random.default_rng(0).uniform(0, np.pi, (40, 2))
drawn = FidelityStatevectorKernel(feature_map=circuit, shots=1000, enforce_psd=True).evaluate(points)
left = np.linalg.eigvalsh((drawn + drawn.T) / 2).min()
print(f"40 random points, 1000 shots: lowest eigenvalue after projection {left:.3f}")
assert left < -0.02
PY
