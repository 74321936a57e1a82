"""A device's noise, taken apart: the parts together are the whole."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qdm_qiskit.engine.noise.engine_runner import NoisyEngineRunner
from qdm_qiskit.engine.noise.runners import runner_for
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.region import active_qubits, noise_of
from qdm_qiskit.sampling import SamplingConfig
from qdm_qiskit.transpiling.passes import measured_physical_qubits, transpile_for

NO_VALUES = np.zeros((1, 0))
RUNNERS = [NoisyRunner, NoisyEngineRunner]


@pytest.fixture(scope="module")
def circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    for qubit, angle in enumerate((0.4, 1.1, 2.0)):
        circuit.ry(angle, qubit)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.rx(0.7, range(3))
    circuit.measure_all()
    return circuit


def read_out(true: np.ndarray, isa: QuantumCircuit, backend) -> np.ndarray:
    """Outcomes after the readout errors of the measured qubits, one bit after the other."""
    model = noise_of(backend, active_qubits([isa]))
    for bit, qubit in enumerate(measured_physical_qubits(isa)):
        matrix = np.asarray(model._local_readout_errors[(qubit,)].probabilities)
        after = np.zeros_like(true)
        for outcome, chance in enumerate(true):
            for read in (0, 1):
                to = outcome & ~(1 << bit) | read << bit
                after[to] += chance * matrix[outcome >> bit & 1, read]
        true = after
    return true


@pytest.mark.parametrize("runner_class", RUNNERS)
def test_readout_after_gate_noise_is_all_noise_and_none_is_the_circuit(circuit, runner_class):
    runners = {
        part: runner_class("fake_manila", seed=1, noise=part)
        for part in ("all", "gates", "readout", "none")
    }
    backend = runners["all"].backend
    isa = transpile_for(circuit, backend, seed=3)
    found = {part: each.exact_probabilities(isa, NO_VALUES)[0] for part, each in runners.items()}
    plain = Statevector(circuit.remove_final_measurements(inplace=False)).probabilities()
    np.testing.assert_allclose(found["none"], plain, atol=1e-12)
    np.testing.assert_allclose(found["readout"], read_out(plain, isa, backend), atol=1e-12)
    np.testing.assert_allclose(found["all"], read_out(found["gates"], isa, backend), atol=1e-8)
    assert np.abs(found["gates"] - plain).max() > 1e-3
    whole = runner_class("fake_manila", seed=1).exact_probabilities(isa, NO_VALUES)[0]
    np.testing.assert_array_equal(found["all"], whole)


def test_a_part_is_said_in_the_record():
    def options(**chosen: str) -> dict:
        return runner_for("noisy:fake_torino", seed=1, **chosen).metadata["options"]

    assert options(noise="gates")["noise_part"] == "gates"
    assert options(noise="readout", simulator="aer")["noise_part"] == "readout"
    assert "noise_part" not in options()


def test_only_a_devices_noise_is_taken_apart():
    with pytest.raises(InvalidOption, match=r"noise is all or gates or readout or none, got 'x'"):
        runner_for("noisy:fake_torino", seed=1, noise="x")
    with pytest.raises(InvalidOption, match=r"Target 'aer' has no noise of a device to take apart"):
        runner_for("aer", seed=1, noise="gates")
    with pytest.raises(InvalidOption, match=r"Target 'local:fake_torino' has no noise of a device"):
        SamplingConfig(target="local:fake_torino", shots=16, noise="gates")
