"""Twirling by IBM's client: the same distribution for Pauli noise, and all the shots."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import RZZGate
from qiskit_aer.noise import NoiseModel, ReadoutError, coherent_unitary_error, depolarizing_error

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.execution.devices import make_device
from qdm_qiskit.execution.local import LocalRunner
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.twirling import Twirling, randomizations_of
from qdm_qiskit.transpiling.passes import transpile_for

SHOTS = 16_384


def device(noise: NoiseModel, name: str):
    return make_device(noise, name=name, num_qubits=2, coupling_map=[(0, 1), (1, 0)])


def circuit() -> QuantumCircuit:
    found = QuantumCircuit(2)
    found.ry(Parameter("a"), 0)
    for _ in range(4):
        found.cx(0, 1)
        found.ry(0.4, 1)
    found.measure_all()
    return found


def frequencies(runner, isa, values) -> np.ndarray:
    [counts] = runner.run([(isa, values)], shots=SHOTS)
    assert (counts.sum(axis=1) == SHOTS).all()
    return counts / SHOTS


def test_pauli_noise_is_the_same_twirled_and_coherent_noise_is_not():
    values = np.array([[0.3], [2.0]])
    found = {}
    for name, error in {
        "random": depolarizing_error(0.1, 2),
        "turned": coherent_unitary_error(RZZGate(0.4).to_matrix()),
    }.items():
        noise = NoiseModel(basis_gates=["rz", "sx", "x", "cx"])
        noise.add_all_qubit_quantum_error(error, ["cx"])
        made = device(noise, name)
        isa = transpile_for(circuit(), made, seed=1)
        exact = NoisyRunner(made, seed=1).exact_probabilities(isa, values)
        twirl = Twirling(gates=True, randomizations=64)
        ours = frequencies(LocalRunner(made, seed=1, twirling=twirl), isa, values)
        found[name] = float(np.abs(ours - exact).max())
    # Five deviations of a share of so many shots.
    assert found["random"] < 5 * 0.5 / np.sqrt(SHOTS)
    assert found["turned"] > 5 * 0.5 / np.sqrt(SHOTS)


def test_a_twirled_readout_has_the_mean_of_both_errors():
    noise = NoiseModel(basis_gates=["rz", "sx", "x", "cx"])
    noise.add_all_qubit_readout_error(ReadoutError([[0.98, 0.02], [0.2, 0.8]]))
    made = device(noise, "skewed")
    bare = QuantumCircuit(2)
    bare.x(0)
    bare.measure_all()
    isa = transpile_for(bare, made, seed=1)
    twirl = Twirling(measure=True, randomizations=256)
    [ours] = frequencies(LocalRunner(made, seed=1, twirling=twirl), isa, np.zeros((1, 0)))
    ones = ours[1] + ours[3], ours[2] + ours[3]  # of bits 0 and 1, prepared in 1 and 0
    # Randomizations flip half of the circuits up to sqrt(1 / 256) / 2, shots scatter besides.
    assert ones[0] == pytest.approx(1 - 0.11, abs=0.03)
    assert ones[1] == pytest.approx(0.11, abs=0.03)


def test_randomizations_share_the_shots_evenly():
    for shots in (1, 7, 100, 1024):
        for wanted in (1, 8, 60):
            count = randomizations_of(shots, wanted)
            assert shots % count == 0
            assert 1 <= count <= wanted
    for options, message in (
        ({"group": "haar"}, "group is pauli or local_pauli, got 'haar'"),
        ({"randomizations": 0}, "randomizations is a whole number, 1 to 10000, got 0"),
    ):
        with pytest.raises(InvalidOption, match=message):
            Twirling(**options)
