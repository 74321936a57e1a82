"""Flips of a device's bits: against the closed form of relaxation, and against Aer's shots."""

import math

import numpy as np
import pytest
from qiskit_aer import AerSimulator

from qdm_qiskit.diffusion import LevelChain
from qdm_qiskit.errors import InvalidOption, TargetUnavailable, UnknownName
from qdm_qiskit.execution.devices import as_backend
from qdm_qiskit.execution.region import noise_of, readout_matrix
from qdm_qiskit.noise_sources.device_flips import device_flips, flip_circuit, flip_qubits, wait_of
from qdm_qiskit.training import resolve_run

DEVICE = "fake_manila"


def test_flips_are_relaxation_gates_and_readout_in_closed_form():
    backend = as_backend(DEVICE)
    wait, [qubit] = 60e-6, flip_qubits(backend, 1)
    found = device_flips(DEVICE, bits=1, wait=wait)
    left = math.exp(-wait / 2 / backend.target.qubit_properties[qubit].t1)
    readout = readout_matrix(backend, qubit)
    for value in (0, 1):
        z = 1.0 - 2 * value
        for _ in range(2):
            z = -(1 - (1 - z) * left)  # towards 0, then turned over
        read = np.array([(1 + z) / 2, (1 - z) / 2]) @ readout
        # Three gates at most, each of which errs and lasts a little.
        slack = 3 * (backend.target["x"][(qubit,)].error + 0.01)
        assert found[value] == pytest.approx(read[1 - value], abs=slack)
        assert 0.05 < found[value] < 0.5


def test_flips_are_what_aer_counts():
    backend, shots = as_backend(DEVICE), 40_000
    [qubit] = flip_qubits(backend, 1)
    expected = device_flips(DEVICE, bits=1, wait=40e-6)
    noise = noise_of(backend, frozenset([qubit]), readout="asymmetric")
    simulator = AerSimulator(noise_model=noise)
    for value in (0, 1):
        circuit = flip_circuit(backend, qubit, value, 40e-6)
        counts = simulator.run(circuit, shots=shots, seed_simulator=7).result().get_counts()
        share = counts.get(str(1 - value), 0) / shots
        sigma = math.sqrt(expected[value] * (1 - expected[value]) / shots)
        assert abs(share - expected[value]) < 5 * sigma


def test_the_wait_leaves_two_percent_and_longer_chains_wait_less():
    backend = as_backend(DEVICE)
    qubits = flip_qubits(backend, 4)
    mean = np.mean([backend.target.qubit_properties[q].t1 for q in qubits])
    assert math.exp(-10 * wait_of(backend, qubits, 10) / mean) == pytest.approx(0.02)
    assert sum(device_flips(DEVICE, num_steps=20)) < sum(device_flips(DEVICE, num_steps=10))


def test_the_best_read_qubit_holds_the_highest_bit():
    backend = as_backend(DEVICE)
    qubits = flip_qubits(backend, 4)
    errors = [backend.target["measure"][(q,)].error for q in qubits]
    assert errors == sorted(errors, reverse=True)
    assert len(device_flips(DEVICE, bits=2)) == 4


def test_a_run_looks_the_flips_up_once_and_keeps_them():
    config = resolve_run("qddm", {"process": "device", "device": DEVICE, "num_steps": 5})
    assert config.diffusion.flips == device_flips(DEVICE, num_steps=5)
    own = resolve_run("qddm", {"process": "device", "flips": "0.1,0.2"})
    assert own.diffusion.flips == (0.1, 0.2)
    from qdm_qiskit.diffusion import make_process

    process = make_process(config.diffusion)
    assert isinstance(process, LevelChain)
    assert process.num_levels == 16


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"bits": 7}, InvalidOption, "bits is 1 to 6, got 7"),
        ({"wait": -1.0}, InvalidOption, "seconds from 0 to 1"),
        ({"num_steps": 0}, InvalidOption, "num_steps must be at least 1"),
        ({"bits": 6}, TargetUnavailable, "choose another device"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(options, error, words):
    with pytest.raises(error, match=words) as caught:
        device_flips(DEVICE, **options)
    assert "\n" not in str(caught.value)


def test_a_run_without_a_device_or_with_an_unknown_one_says_so():
    with pytest.raises(InvalidOption, match="needs the option device"):
        resolve_run("qddm", {"process": "device"})
    with pytest.raises(UnknownName, match="fake_nowhere"):
        resolve_run("qddm", {"process": "device", "device": "fake_nowhere"})
