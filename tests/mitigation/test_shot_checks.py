"""Checks of shots: kept counts, and what they do to readout errors."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError
from qiskit_ibm_runtime.fake_provider.backends.fractional.fake_fractional import (
    FakeFractionalBackend,
)

from qdm_qiskit.errors import MissingDependency, TargetUnavailable
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.mitigation.shot_checks import ShotChecks


def by_hand(counts: np.ndarray, bits: int) -> np.ndarray:
    """Keep each outcome whose second reading is its complement, written out."""
    kept = np.zeros((len(counts), 2**bits), dtype=counts.dtype)
    for row, each in enumerate(counts):
        for index, number in enumerate(each):
            first, second = index % 2**bits, index // 2**bits
            if first ^ second == 2**bits - 1:
                kept[row, first] += number
    return kept


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_shots_are_kept_whose_bits_have_all_flipped(bits):
    counts = np.random.default_rng(bits).integers(0, 100, (3, 4**bits))
    np.testing.assert_array_equal(ShotChecks.counts(counts), by_hand(counts, bits))


def test_a_device_without_rx_cannot_check():
    with pytest.raises(TargetUnavailable, match=r"slow rx, which fake_torino lacks"):
        ShotChecks.of(load_backend("fake_torino"))


def test_the_package_is_asked_for_where_it_is_needed(monkeypatch):
    name = "qiskit_mitigation.postselection.passes"
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(MissingDependency, match=r"pip install qiskit-mitigation"):
        ShotChecks.of(FakeFractionalBackend())


def test_kept_shots_hold_the_true_outcome_and_are_all_kept_without_noise():
    checks = ShotChecks.of(FakeFractionalBackend())
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    checked = checks.circuit(circuit)
    assert (checked.num_clbits, len(checked.cregs)) == (4, 1)
    found = AerSimulator().run(checked, shots=200).result().get_counts()
    counts = np.zeros((1, 16), dtype=np.int64)
    for outcome, number in found.items():
        counts[0, int(outcome, 2)] += number
    assert ShotChecks.counts(counts).tolist() == [[0, 200, 0, 0]]


def test_a_misread_bit_is_dropped_unless_it_is_misread_twice():
    """Kept shots are right with (1 - p)**2 to p**2, for readout errors p alone."""
    error, shots = 0.1, 40_000
    noise = NoiseModel()
    noise.add_all_qubit_readout_error(ReadoutError([[1 - error, error], [error, 1 - error]]))
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    checked = ShotChecks.of(FakeFractionalBackend()).circuit(circuit)
    simulator = AerSimulator(noise_model=noise, seed_simulator=3)
    counts = np.zeros((1, 4), dtype=np.int64)
    for outcome, number in simulator.run(checked, shots=shots).result().get_counts().items():
        counts[0, int(outcome, 2)] += number
    [kept] = ShotChecks.counts(counts)
    share, wanted = (1 - error) ** 2 + error**2, error**2 / ((1 - error) ** 2 + error**2)
    assert kept.sum() / shots == pytest.approx(share, abs=5 * 0.5 / np.sqrt(shots))
    assert kept[0] / kept.sum() == pytest.approx(wanted, abs=5 * np.sqrt(wanted / shots))
