"""What IBM's Estimator leaves of readout errors is said, and measured circuits leave nothing of it."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.execution.estimators import EstimatorRunner, left_by_trex
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.execution.targets import parse_target

TARGET = "local:fake_torino"


def zeros(options: dict) -> tuple[float, float, str]:
    """Value of Z on |0>, its error, the note; qubit 0 of fake_torino misreads a sixth of its shots."""
    circuit = QuantumCircuit(1)
    runner = EstimatorRunner(parse_target(TARGET), options, seed=3)
    found, errors, record = runner.run(circuit, [0], [SparsePauliOp("Z")], np.zeros((1, 0)), 40_000)
    return float(found[0, 0]), float(errors[0, 0]), record["note"]


def test_what_trex_leaves_is_said_and_is_what_it_leaves():
    flip = load_backend("fake_torino").target["measure"][(0,)].error
    expected = left_by_trex([(flip, flip)])
    assert expected == pytest.approx((1 - 2 * flip) * np.exp(2 * flip))
    assert 0.9 < expected < 0.95
    value, error, note = zeros({})
    assert f"TREX leaves {expected:.3g} of" in note
    assert value == pytest.approx(expected, abs=4 * error)
    assert 1 - value > 4 * error


def test_without_trex_nothing_is_said_of_it():
    value, _, note = zeros({"resilience": {"measure_mitigation": False}})
    assert "TREX" not in note
    assert value < 0.7


def test_without_readout_errors_nothing_is_left_over():
    assert left_by_trex([(0.0, 0.0)] * 5) == 1
