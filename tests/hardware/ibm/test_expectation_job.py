"""Requests for expectation values: what they send, what they refuse, what counts as a result."""

from types import SimpleNamespace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BitArray
from qiskit.quantum_info import Pauli, SparseObservable, SparsePauliOp

from qdm_qiskit.errors import InvalidArgument, InvalidData, InvalidOption
from qdm_qiskit.hardware.ibm.expectation_job import checked_bits
from qdm_qiskit.hardware.plan.run_plan import ExecutionOptions
from qdm_qiskit.hardware.providers.requests import EstimateRequest


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


def test_nothing_is_mitigated_unless_asked_for():
    plain = request().job("estimate-0001", 128, None)
    assert not plain.options.twirl_measure
    assert [each.num_clbits for each in plain.circuits] == [2, 2]  # ZZ; IX and XX together
    trex = request(trex=True).job("estimate-0001", 128, 64)
    assert trex.options.twirl_measure
    assert not trex.options.twirl_gates
    assert dict(trex.circuits[-1].count_ops()) == {"measure": 2, "barrier": 1}
    assert (plain.rows, trex.rows) == (4, 5)


def test_the_precision_decides_the_shots():
    assert request(precision=0.02).shots == 2501
    sums = (SparsePauliOp(["ZZ", "IX", "II"], [3.0, -4.0, 7.0]), SparsePauliOp("ZZ"))
    assert request(observables=sums, precision=0.1).shots == 2501


def test_a_job_is_what_it_sends():
    made = request().job("estimate-0001", 128, None)
    others = [
        request().job("estimate-0001", 256, None),
        request().job("estimate-0001", 128, 64),
        request(trex=True).job("estimate-0001", 128, None),
        request(values=np.array([[0.1], [0.3]])).job("estimate-0001", 128, None),
        request(observables=made_observables()).job("estimate-0001", 128, None),
    ]
    assert len({made.payload_sha256, *(each.payload_sha256 for each in others)}) == 6
    assert request().job("estimate-0001", 128, None).tag(1) == made.tag(1)


def made_observables():
    return (SparsePauliOp("ZZ"), SparsePauliOp("YI"), SparsePauliOp("XX"))


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
        ({"observables": (SparsePauliOp("ZZ", 1j),)}, InvalidData),
        ({"observables": (SparsePauliOp("ZZ", np.nan),)}, InvalidData),
        ({"observables": (SparsePauliOp("ZZ", np.array([Parameter("c")])),)}, InvalidData),
        ({"observables": (SparsePauliOp("ZZ", 1e200),)}, InvalidOption),
        ({"observables": (SparsePauliOp(["ZZ", "ZZ"], [1 + 1j, 1]),)}, InvalidData),
        ({"observables": SparsePauliOp(["ZZ", "XI"])}, InvalidArgument),  # its terms one by one
        ({"observables": "ZZ"}, InvalidArgument),
        ({"observables": (Pauli("ZZ"),)}, InvalidArgument),
        ({"observables": (SparseObservable("ZZ"),)}, InvalidArgument),
        ({"observables": None}, InvalidArgument),
        ({"precision": 1e-200}, InvalidOption),
        ({"precision": "0.1"}, InvalidArgument),
        ({"precision": None}, InvalidArgument),
        ({"values": "a"}, InvalidData),
        ({"values": [[1], [1, 2]]}, InvalidData),
        ({"values": np.array([[1j]])}, InvalidData),
        ({"circuit": None}, InvalidArgument),
        ({"circuit": "bell"}, InvalidArgument),
        ({"options": None}, InvalidArgument),
        ({"backend": None}, InvalidArgument),
        ({"part": "../../estimate"}, InvalidOption),
        ({"part": "a/b"}, InvalidOption),
        ({"run_id": ".."}, InvalidOption),
        ({"observables": (SparsePauliOp("II", 2),)}, InvalidData),
        ({"observables": (SparsePauliOp(["ZZ", "ZZ"], [1, -1]),)}, InvalidData),
    ],
)
def test_what_cannot_be_is_refused(changes, error):
    with pytest.raises(error) as told:
        request(**changes)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("observable", "same"),
    [
        (SparsePauliOp(["ZZ", "ZZ"], [1, 1]), SparsePauliOp("ZZ", 2)),
        (SparsePauliOp(["ZZ", "ZZ"], [1 + 1j, 1 - 1j]), SparsePauliOp("ZZ", 2)),
        # .1 + .2 - .3 is 5.6e-17: no circuit is paid for that.
        (SparsePauliOp(["XX", "XX", "XX", "ZZ"], [0.1, 0.2, -0.3, 1]), SparsePauliOp("ZZ")),
        (SparsePauliOp(Pauli("-ZZ")), SparsePauliOp("ZZ", -1)),
    ],
)
def test_an_observable_is_the_sum_of_its_terms(observable, same):
    made, expected = (request(observables=(each,)) for each in (observable, same))
    assert made.shots == expected.shots
    [basis], [other] = made.measurements.bases, expected.measurements.bases
    assert basis.letters == other.letters
    np.testing.assert_array_equal(basis.weights, other.weights)


def test_a_measured_circuit_is_refused():
    circuit = request().circuit.copy()
    circuit.measure_all()
    with pytest.raises(InvalidData, match="no measurements, got 2 bits"):
        request(circuit=circuit)


def test_a_circuit_without_parameters_has_one_row():
    fixed = QuantumCircuit(2)
    assert request(circuit=fixed, values=np.zeros((1, 0))).shape == (1, 3)
    with pytest.raises(InvalidData, match="one row"):
        request(circuit=fixed, values=np.zeros((2, 0)))


def result(*bits: np.ndarray) -> list[SimpleNamespace]:
    """What the Sampler returns; bits of shape ``(rows, shots, width)``."""
    found = [BitArray.from_bool_array(each.astype(bool), order="little") for each in bits]
    return [SimpleNamespace(data={"meas": each}) for each in found]


def test_only_its_own_result_is_taken():
    job = request().job("estimate-0001", 4, None)
    good = np.zeros((2, 4, 2))
    good[1, 2, 1] = 1
    found = checked_bits(result(good, good), job)
    assert (found.each, found.calibration) == (1, None)
    assert [each.shape for each in found.circuits] == [(2, 4, 1)] * 2
    assert found.circuits[0][1, :, 0].tolist() == [0, 0, 2, 0]
    for bad in (
        None,
        "text",
        [],
        3,
        result(good),
        result(good, good, good),
        result(good, good[:1]),
        result(good, good[:, :3]),
        result(good, good[:, :, :1]),
        [object(), object()],
        [SimpleNamespace(data={}), SimpleNamespace(data={})],
        [SimpleNamespace(data={"meas": object()})] * 2,
    ):
        with pytest.raises(InvalidData):
            checked_bits(bad, job)


def test_the_last_circuit_of_trex_is_its_calibration():
    job = request(trex=True).job("estimate-0001", 8, 4)
    two, one = np.zeros((2, 8, 2)), np.ones((1, 8, 2))
    found = checked_bits(result(two, two, one), job)
    assert found.each == 2
    assert found.calibration is not None
    assert found.calibration.tolist() == [[3]] * 8
