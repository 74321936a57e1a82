import dataclasses
import json
import sys

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector

from qdm_qiskit.errors import CalibrationMismatch, InvalidArgument, InvalidData, InvalidOption
from qdm_qiskit.execution.distributions import total_variation_distance
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.mitigation.readout import (
    ReadoutCalibration,
    combine_results,
    construct_circuits,
    mitigate,
    prepared_bits,
)
from qdm_qiskit.mitigation.simplex import nearest_probability
from qdm_qiskit.transpiling.passes import measured_physical_qubits, transpile_for

TAKEN_AT = "2026-01-02T03:04:05+00:00"
METHODS = ("balanced", "independent")


def confusion(q):
    """Made-up readout of qubit q, with different errors for 0 and 1: [read, prepared]."""
    e0, e1 = 0.01 + 0.01 * q, 0.05 + 0.02 * q
    return np.array([[1 - e0, e1], [e0, 1 - e1]])


def read(p, qubits):
    """Read (2**m,) true probabilities through the made-up errors, one outcome at a time."""
    seen = np.zeros_like(p)
    m = len(qubits)
    for true in range(2**m):
        for out in range(2**m):
            seen[out] += p[true] * np.prod(
                [confusion(q)[out >> k & 1, true >> k & 1] for k, q in enumerate(qubits)]
            )
    return seen


def calibrated(qubits, method="balanced", backend="fake_toy", shots=10**7):
    """A calibration from exact (rounded) counts of the made-up readout."""
    counts = []
    for k, bits in enumerate(prepared_bits(len(qubits), method)):
        if method == "balanced":
            p = np.zeros(2 ** len(qubits))
            p[int(bits @ (1 << np.arange(len(qubits))))] = 1
            counts.append(np.rint(shots * read(p, qubits)).astype(int))
        else:
            p = np.eye(2)[bits[k // 2]]
            counts.append(np.rint(shots * read(p, [qubits[k // 2]])).astype(int))
    return combine_results(counts, qubits, backend=backend, taken_at=TAKEN_AT, method=method)


@pytest.mark.parametrize("num_qubits", [*range(1, 18), 127, 133])
def test_balanced_bits_are_those_of_mthree(num_qubits):
    from mthree.generators import HadamardGenerator

    expected = np.array(list(HadamardGenerator(num_qubits)))
    assert np.array_equal(prepared_bits(num_qubits), expected)


def test_neither_calibration_nor_correction_needs_mthree(monkeypatch):
    """It brings runningman, which takes primitives of IBM's client that are to be removed."""
    for name in [each for each in sys.modules if each.split(".")[0] in ("mthree", "runningman")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mthree", None)
    monkeypatch.setitem(sys.modules, "runningman", None)
    circuits = construct_circuits((0, 1), 2)
    assert len(circuits) == 4
    counts = np.rint(1e6 * read(np.array([0.5, 0.0, 0.0, 0.5]), (0, 1))).astype(int)
    found = mitigate(counts[None], calibrated((0, 1)), (0, 1), "fake_toy")
    np.testing.assert_allclose(found, [[0.5, 0.0, 0.0, 0.5]], atol=1e-4)


@pytest.mark.parametrize("num_qubits", range(1, 9))
def test_balanced_bits_are_half_ones_and_pairwise_even(num_qubits):
    bits = prepared_bits(num_qubits)
    assert num_qubits < len(bits) <= 2 * num_qubits
    assert (bits.mean(axis=0) == 0.5).all()
    for a in range(num_qubits):
        for b in range(a):
            both = 2 * bits[:, a] + bits[:, b]
            assert (np.bincount(both, minlength=4) == len(bits) / 4).all()


@pytest.mark.parametrize("method", METHODS)
def test_circuits_prepare_what_the_bits_say(method):
    qubits = (4, 1, 3)
    bits = prepared_bits(3, method)
    circuits = construct_circuits(qubits, 6, method=method)
    assert len(circuits) == len(bits)
    for k, circuit in enumerate(circuits):
        assert set(circuit.count_ops()) <= {"x", "measure"}
        state = Statevector(circuit.remove_final_measurements(inplace=False))
        assert state.probabilities(list(qubits)).argmax() == int(bits[k] @ [1, 2, 4])
        expected = qubits if method == "balanced" else (qubits[k // 2],)
        assert measured_physical_qubits(circuit) == expected


@pytest.mark.parametrize("method", METHODS)
def test_calibration_finds_the_matrices(method):
    qubits = (2, 0, 3)
    calibration = calibrated(qubits, method)
    for q in qubits:
        np.testing.assert_allclose(calibration.matrices[q], confusion(q), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_mitigation_undoes_the_readout(method):
    qubits = (2, 0, 3)
    calibration = calibrated(qubits, method)
    true = np.random.default_rng(8).dirichlet(np.ones(8), size=2)
    counts = np.rint(1e8 * np.array([read(p, qubits) for p in true])).astype(np.int64)
    quasi = mitigate(counts, calibration, qubits, "fake_toy")
    np.testing.assert_allclose(quasi.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(quasi, true, atol=1e-5)


def test_qubits_are_taken_in_the_order_of_the_bits():
    calibration = calibrated((2, 0, 3))
    p = np.random.default_rng(3).dirichlet(np.ones(4))
    counts = np.rint(1e8 * read(p, (3, 2))).astype(np.int64)[None]
    np.testing.assert_allclose(mitigate(counts, calibration, (3, 2), "fake_toy")[0], p, atol=1e-5)


@pytest.fixture(scope="module")
def ghz_run():
    """A rotated GHZ circuit of depth 6 on fake_torino, and both calibrations of its qubits."""
    circuit = QuantumCircuit(4)
    circuit.h(0)
    for qubit in range(3):
        circuit.cx(qubit, qubit + 1)
    for qubit in range(4):
        circuit.ry(Parameter(f"x_{qubit:04d}"), qubit)
    circuit.measure_all()
    values = np.array([[0.0] * 4, [0.5, 0.2, -0.4, 0.3]])
    bare = circuit.remove_final_measurements(inplace=False)
    exact = np.array([Statevector(bare.assign_parameters(v)).probabilities() for v in values])

    runner = make_runner("noisy:fake_torino", seed=20)
    # The row of qubits 0-3 has readout errors of up to 17 %: there is something to mitigate.
    isa = transpile_for(circuit, runner.backend, seed=1, initial_layout=[0, 1, 2, 3])
    qubits = measured_physical_qubits(isa)
    (counts,) = runner.run([(isa, values)], shots=8192)
    calibrations = {}
    for method in METHODS:
        pubs = [(c, np.zeros((1, 0))) for c in construct_circuits(qubits, 133, method=method)]
        calibrations[method] = combine_results(
            runner.run(pubs, shots=8192),
            qubits,
            backend="fake_torino",
            taken_at=TAKEN_AT,
            method=method,
        )
    return exact, counts, qubits, calibrations


@pytest.mark.parametrize("method", METHODS)
def test_mitigated_counts_are_closer_to_exact_than_raw_ones(ghz_run, method):
    exact, counts, qubits, calibrations = ghz_run
    raw = total_variation_distance(counts / counts.sum(axis=1, keepdims=True), exact)
    quasi = mitigate(counts, calibrations[method], qubits, "fake_torino")
    mitigated = total_variation_distance(nearest_probability(quasi), exact)
    assert (mitigated < 0.5 * raw).all()


def test_balanced_and_independent_agree(ghz_run):
    *_, qubits, calibrations = ghz_run
    for q in qubits:
        a, b = (calibrations[method].matrices[q] for method in METHODS)
        # Independent has 8192 shots a column: 5 sigma of the difference at an error of 0.17.
        assert np.abs(a - b).max() < 5 * np.sqrt(2 * 0.17 * 0.83 / 8192)


def test_calibration_survives_json():
    calibration = calibrated((2, 0))
    text = json.dumps(calibration.to_dict())
    back = ReadoutCalibration.from_dict(json.loads(text))
    assert json.dumps(back.to_dict()) == text
    assert back.qubits == (2, 0)


def broken(**changes):
    data = calibrated((2, 0)).to_dict()
    data.update(changes)
    return data


@pytest.mark.parametrize(
    "data",
    [
        [],
        {},
        broken(schema="readout-calibration/0"),
        broken(extra=1),
        broken(taken_at="yesterday"),
        broken(taken_at=None),
        broken(method="guess"),
        broken(qubit_shots={"2": 100}),
        broken(qubit_shots={"2": 100, "0": 10**9}),
        broken(qubit_shots={"2": 100, "0": "many"}),
        broken(qubit_shots=7),
        broken(qubits=[2]),
        broken(qubits=[2, 2]),
        broken(qubits=["a", "b"]),
        broken(matrices=[1, 2]),
        broken(matrices={"2": [[1, 0], [0, 1]]}),
        broken(matrices={"2": [[1, 0], [0, 1]], "0": [[0.9, 0.1]]}),
        broken(matrices={"2": [[1, 0], [0, 1]], "0": [[0.9, 0.2], [0.2, 0.8]]}),
        broken(matrices={"2": [[1, 0], [0, 1]], "0": [[1.1, 0.2], [-0.1, 0.8]]}),
        broken(matrices={"2": [[1, 0], [0, 1]], "0": [[0.4, 0.6], [0.6, 0.4]]}),
        broken(matrices={"2": [[1, 0], [0, 1]], "0": [["x", 0.6], [0.6, 0.4]]}),
    ],
)
def test_broken_calibrations_are_refused(data):
    with pytest.raises(InvalidData) as caught:
        ReadoutCalibration.from_dict(data)
    assert "\n" not in str(caught.value)


def test_calibration_of_another_device_is_refused():
    with pytest.raises(CalibrationMismatch, match=r"is of fake_toy .* from fake_fez"):
        mitigate(np.ones((1, 4)), calibrated((2, 0)), (2, 0), "fake_fez")


def test_calibration_of_other_qubits_is_refused():
    with pytest.raises(CalibrationMismatch, match=r"lacks \[5\]"):
        mitigate(np.ones((1, 4)), calibrated((2, 0)), (2, 5), "fake_toy")


@pytest.mark.parametrize(
    "counts", [np.ones(4), np.ones((1, 8)), np.zeros((1, 4)), -np.ones((1, 4))]
)
def test_counts_that_make_no_sense_are_refused(counts):
    with pytest.raises(InvalidData, match="Counts"):
        mitigate(counts, calibrated((2, 0)), (2, 0), "fake_toy")


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ([[0.5, 0.25, 0.25, 0]], "got 0.5; multiply frequencies by the number of shots"),
        ([[10, 2.5, 3, 1]], "whole numbers .* got 2.5"),
        ([[10, np.nan, 3, 1]], "got nan"),
        ([[10, np.inf, 3, 1]], "got inf"),
        ([[10, 3, 2, 1], [5, 4, -1, 0]], "got -1"),
        ([[2**62] * 4], "got 4.6"),
        ([[10, 3, 2, 1j]], "real numbers, got complex"),
        ([["10", "3", "2", "1"]], "real numbers"),
        ([[10, 3, 2, None]], "real numbers"),
        ([[10, 3, 2, 1], [10]], "real numbers"),
        ([{"00": 10}], "real numbers"),
        ([[10, 3, 2, 1], [0, 0, 0, 0]], "got none in row 1"),
    ],
)
def test_what_are_no_counts_is_refused_in_one_line(counts, says):
    calibration = calibrated((2, 0))
    calls = [lambda: mitigate(counts, calibration, (2, 0), "fake_toy")]
    if "row 1" not in says:
        calls.append(lambda: combine_results([counts] * 4, (2, 0), backend="b", taken_at=TAKEN_AT))
    for call in calls:
        with pytest.raises(InvalidData, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.float16, np.uint64, object])
def test_small_types_of_numbers_do_not_overflow(kind):
    """Sums beyond what the type of the counts holds: 127 four times, 65,504 is float16's last."""
    rows = [[127, 20, 9, 101], [60, 0, 3, 0]]
    calibration, factor = calibrated((2, 0)), 512 if kind is np.float16 else 1
    counts = np.array(rows) * factor
    found = mitigate(counts.astype(kind), calibration, (2, 0), "fake_toy")
    np.testing.assert_array_equal(found, mitigate(counts, calibration, (2, 0), "fake_toy"))
    # Rows are corrected one by one, whatever their sums.
    alone = mitigate(counts[1:], calibration, (2, 0), "fake_toy")
    np.testing.assert_array_equal(found[1:], alone)
    expected = [np.roll([110, 9, 4, 4], k) * factor for k in range(4)]
    taken = [each.astype(kind) for each in expected]
    matrices = [
        combine_results(each, (2, 0), backend="b", taken_at=TAKEN_AT).matrices
        for each in (taken, expected)
    ]
    for q in (2, 0):
        np.testing.assert_array_equal(matrices[0][q], matrices[1][q])


def test_no_rows_are_no_rows():
    assert mitigate(np.zeros((0, 4)), calibrated((2, 0)), (2, 0), "fake_toy").shape == (0, 4)


@pytest.mark.parametrize("qubits", ["20", None, 2, (2.0, 0.0), (2, None)])
def test_qubits_that_are_no_integers_are_refused(qubits):
    calls = (
        lambda: mitigate(np.ones((1, 4)), calibrated((2, 0)), qubits, "fake_toy"),
        lambda: construct_circuits(qubits, 6),
        lambda: combine_results([np.ones(4)] * 4, qubits, backend="b", taken_at=TAKEN_AT),
    )
    for call in calls:
        with pytest.raises(InvalidArgument, match="`qubits` is a sequence of int") as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"shots": 0}, {"shots": 1.5}, {"shots": "9"}, {"shots": None}])
def test_shots_of_a_calibration_are_a_number_of_shots(changes):
    with pytest.raises(InvalidData, match="shots are a whole number"):
        ReadoutCalibration.from_dict(calibrated((2, 0)).to_dict() | changes)


@pytest.mark.parametrize("matrix", [None, "m", [[0.9, 0.1]], [[0.9, 0.1j], [0.1, 0.9]]])
def test_matrices_that_are_none_are_refused(matrix):
    good = calibrated((2, 0))
    with pytest.raises(InvalidData, match="readout matrix of qubit 0"):
        dataclasses.replace(good, matrices={**good.matrices, 0: matrix})


def test_results_that_do_not_fit_the_circuits_are_refused():
    with pytest.raises(InvalidData, match="needs 4 counts of 4 outcomes, got 3"):
        combine_results([np.ones(4)] * 3, (0, 1), backend="b", taken_at=TAKEN_AT)
    with pytest.raises(InvalidData, match="without any"):
        combine_results([np.zeros(4)] * 4, (0, 1), backend="b", taken_at=TAKEN_AT)


@pytest.mark.parametrize("qubits", [(), (1, 1), (-1,), (6,)])
def test_bad_qubits_are_refused(qubits):
    with pytest.raises(InvalidOption, match="physical indices"):
        construct_circuits(qubits, 6)


def test_unknown_method_is_refused():
    with pytest.raises(InvalidOption, match="balanced, independent; got 'marginal'"):
        construct_circuits((0,), 6, method="marginal")


def test_a_qubit_that_is_measured_several_times_is_mended_at_each_of_its_bits():
    qubits = (2, 1, 2, 2)
    p = np.random.default_rng(4).dirichlet(np.ones(16))
    counts = np.rint(10**9 * read(p, qubits)).astype(int)[None]
    calibration = calibrated((1, 2))
    found = mitigate(counts, calibration, qubits, "fake_toy")
    np.testing.assert_allclose(found[0], p, atol=1e-6)
    with pytest.raises(CalibrationMismatch, match=r"lacks \[3\]"):
        mitigate(counts, calibration, (2, 1, 3, 3), "fake_toy")
