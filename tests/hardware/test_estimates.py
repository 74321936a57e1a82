"""Requests to the Estimator: what they hold, what they refuse, what counts as their result."""

from types import SimpleNamespace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.hardware.estimates import checked_estimates
from qdm_qiskit.hardware.jobs import EstimateRequest, estimator_options
from qdm_qiskit.hardware.plan import ExecutionOptions


def request(**changes) -> EstimateRequest:
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("x_0000"), 0)
    fields = {
        "run_id": "2026-01-01-eeqdm-00000000",
        "part": "estimate-0001",
        "circuit": circuit,
        "observables": (SparsePauliOp("ZZ"), SparsePauliOp("IX"), SparsePauliOp("XX")),
        "values": np.array([[0.1], [0.2]]),
        "precision": 0.05,
        "options": ExecutionOptions(),
        "backend": "ibm_test",
        "nonce": "0" * 16,
    }
    return EstimateRequest(**{**fields, **changes})


def result(values, errors) -> list[SimpleNamespace]:
    return [SimpleNamespace(data=SimpleNamespace(evs=values, stds=errors))]


def test_nothing_is_mitigated_unless_asked_for():
    plain = estimator_options(ExecutionOptions(), trex=False, tag="t", max_seconds=9)
    assert plain.resilience.measure_mitigation is False
    assert plain.resilience.zne_mitigation is False
    assert (plain.twirling.enable_gates, plain.twirling.enable_measure) == (False, False)
    assert plain.environment.job_tags == ["t"]
    assert plain.max_execution_time == 9
    trex = estimator_options(ExecutionOptions(), trex=True)
    assert trex.resilience.measure_mitigation is True
    assert trex.twirling.enable_measure is True


def test_the_payload_is_what_is_estimated():
    made = request()
    others = [
        request(trex=True),
        request(precision=0.06),
        request(values=np.array([[0.1], [0.3]])),
        request(observables=made.observables[:2]),
    ]
    assert made.payload_sha256 == request().payload_sha256
    assert len({made.payload_sha256, *(each.payload_sha256 for each in others)}) == 5


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"precision": 0.0}, InvalidOption),
        ({"precision": np.nan}, InvalidOption),
        ({"observables": ()}, InvalidData),
        ({"observables": (SparsePauliOp("ZZZ"),)}, InvalidData),
        ({"values": np.zeros((2, 2))}, InvalidData),
        ({"values": np.array([[np.inf]])}, InvalidData),
        ({"values": np.zeros((0, 1))}, InvalidData),
    ],
)
def test_what_cannot_be_is_refused(changes, error):
    with pytest.raises(error):
        request(**changes)


def test_a_measured_circuit_is_refused():
    circuit = request().circuit.copy()
    circuit.measure_all()
    with pytest.raises(InvalidData, match="no measurements, got 2 bits"):
        request(circuit=circuit)


def test_only_its_own_result_is_taken():
    good = np.zeros((2, 3))
    values, errors = checked_estimates(result(good + 1, good), request())
    assert values.tolist() == (good + 1).tolist()
    assert errors.shape == (2, 3)
    for bad in (
        None,
        "text",
        [],
        result(good, good) * 2,
        result(good.T, good.T),
        result(good, good[:1]),
        result(good + np.nan, good),
        [object()],
    ):
        with pytest.raises(InvalidData):
            checked_estimates(bad, request())
