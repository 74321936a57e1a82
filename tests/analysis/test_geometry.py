"""Fisher spectra of circuits whose metric is known."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qdm_qiskit.analysis import fisher_spectrum
from qdm_qiskit.circuits import eeqdm, strongly_entangling_layers
from qdm_qiskit.errors import UnsupportedCircuit


def test_rotations_of_a_product_are_independent_directions_of_information_one():
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.ry(Parameter(f"w_{qubit:04d}"), qubit)
    found = fisher_spectrum(circuit, samples=4, generator=np.random.default_rng(0))
    assert np.allclose(found.eigenvalues, 1)
    assert (found.rank.value, found.largest_rank, found.bound) == (3, 3, 3)


def test_two_rotations_about_one_axis_are_one_direction():
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("w_0000"), 0)
    circuit.ry(Parameter("w_0001"), 0)
    found = fisher_spectrum(circuit, samples=4, generator=np.random.default_rng(0))
    assert np.allclose(found.eigenvalues, [2, 0])
    assert (found.rank.value, found.bound) == (1, 2)


@pytest.mark.parametrize("num_qubits", [1, 2, 3])
def test_enough_layers_reach_every_direction_of_pure_states(num_qubits):
    circuit = strongly_entangling_layers(num_qubits, 6)
    found = fisher_spectrum(circuit, samples=4, generator=np.random.default_rng(1))
    assert found.largest_rank == found.bound == 2 ** (num_qubits + 1) - 2
    assert (np.diff(found.eigenvalues, axis=1) <= 1e-12).all()


def test_the_start_matters():
    circuit = QuantumCircuit(1)
    circuit.rz(Parameter("w_0000"), 0)
    rng = np.random.default_rng(2)
    assert fisher_spectrum(circuit, samples=2, generator=rng).largest_rank == 0
    tilted = fisher_spectrum(circuit, samples=2, generator=rng, start_angle=np.pi / 2)
    assert np.allclose(tilted.eigenvalues, 1)


def test_too_many_derivatives_are_refused():
    with pytest.raises(UnsupportedCircuit, match="use fewer layers or qubits"):
        fisher_spectrum(eeqdm(num_data=15, depth=80), samples=2, generator=np.random.default_rng(0))
