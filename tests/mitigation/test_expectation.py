"""Expectation values from bits: right on average, and as far off as their errors say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, Qubit
from qiskit.circuit.library import CRYGate, XGate
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit.transpiler import Target

from qdm_qiskit.errors import InvalidData, UnsupportedCircuit
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.mitigation.expectation import (
    MeasurementPlan,
    Shots,
    calibration_growth,
    combine_results,
    construct_circuits,
    measurement_plan,
    pack_bits,
)
from qdm_qiskit.transpiling.passes import transpile_for


class Device:
    """Measures a circuit's bases through readout errors, twirled or not; numpy only.

    Args:
        circuit: The circuit.
        observables: What is wanted.
        flips: ``(qubits, 2)``: how often each measured qubit reads 0 as 1, and 1 as 0.
        crosstalk: Chance that qubit 0 reads wrong where qubit 1 reads 1.
        twirled: Whether measurements are twirled and the readout calibrated.
    """

    def __init__(self, circuit, observables, flips=(0.0, 0.0), crosstalk=0.0, twirled=False):
        self.plan = measurement_plan(observables)
        self.exact = np.array([Statevector(circuit).expectation_value(o).real for o in observables])
        width = len(self.plan.qubits)
        self.flips = np.broadcast_to(np.array(flips), (width, 2))
        self.crosstalk, self.twirled = crosstalk, twirled
        self.outcomes = []
        for each in construct_circuits(circuit, self.plan, calibration=twirled):
            state = Statevector(each.remove_final_measurements(inplace=False))
            self.outcomes.append(state.probabilities(list(self.plan.qubits)))

    def shots(self, shots: int, each: int, rng: np.random.Generator) -> Shots:
        found = []
        for p in self.outcomes:
            width = len(self.plan.qubits)
            outcome = rng.choice(len(p), size=shots, p=p / p.sum())
            bits = outcome[:, None] >> np.arange(width) & 1
            turned = np.zeros_like(bits)
            if self.twirled:
                turned = rng.integers(0, 2, (shots // each, width)).repeat(each, axis=0)
            bits ^= turned
            bits ^= rng.random(bits.shape) < np.where(bits, self.flips[:, 1], self.flips[:, 0])
            if self.crosstalk:
                bits[:, 0] ^= (rng.random(shots) < self.crosstalk) & (bits[:, 1] == 1)
            found.append(pack_bits((bits ^ turned).astype(bool)))
        if not self.twirled:
            return Shots(tuple(each[None] for each in found))
        return Shots(tuple(each[None] for each in found[:-1]), each, found[-1])

    def estimate(self, shots, each, rng):
        values, errors = combine_results(self.plan, [self.shots(shots, each, rng)])
        return values[0], errors[0]


def ghz(n):
    circuit = QuantumCircuit(n)
    circuit.h(0)
    for k in range(n - 1):
        circuit.cx(k, k + 1)
    return circuit


def entangled():
    circuit = QuantumCircuit(3)
    circuit.ry(0.7, 0)
    circuit.cx(0, 1)
    circuit.rx(1.1, 2)
    circuit.cz(1, 2)
    circuit.ry(0.4, 1)
    return circuit


def sum_of_z(n):
    return SparsePauliOp.from_sparse_list([("Z", [k], 1.0) for k in range(n)], n)


MIXED = (
    SparsePauliOp(["XXI", "YYZ", "ZIZ", "IIX", "III"], [1, -0.5, 0.3, 2, 0.25]),
    SparsePauliOp(["ZII", "IZI", "IIZ"], [1, 1, -1]),
    SparsePauliOp(["ZZZ"], [-3]),
)
UNEVEN = [(0.02, 0.2), (0.1, 0.05), (0.0, 0.15)]

CASES = {
    "ghz-8, sum of Z": Device(ghz(8), [sum_of_z(8)]),
    "ghz-5, weights that cancel": Device(
        ghz(5), [SparsePauliOp(["IIIIZ", "ZIIII", "XXXXX"], [1, -1, 0.5])]
    ),
    "terms in several bases": Device(entangled(), MIXED),
    "twirled, 10 % flips, one to three qubits": Device(
        QuantumCircuit(3), [SparsePauliOp(t) for t in ("ZZZ", "IZZ", "IIZ")], (0.1, 0.1), 0, True
    ),
    "twirled, weight 8": Device(
        ghz(8), [SparsePauliOp("Z" * 8), SparsePauliOp("X" * 8), sum_of_z(8)], (0.05, 0.1), 0, True
    ),
    "twirled, lopsided": Device(entangled(), MIXED, UNEVEN, 0, True),
    "twirled, crosstalk": Device(entangled(), MIXED, UNEVEN, 0.2, True),
    "twirled, one way only": Device(
        QuantumCircuit(2), [SparsePauliOp(["ZI", "IZ"], [1, 2])], (0.0, 0.3), 0, True
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_values_are_right_and_scatter_by_their_errors(case):
    device, rng, seeds = CASES[case], np.random.default_rng(17), 200
    found = [device.estimate(4096, 32, rng) for _ in range(seeds)]
    values, errors = (np.array(each) for each in zip(*found, strict=True))
    spread = values.std(axis=0, ddof=1)
    # The quotient of two means divides the calibration's own variance in: a bias of a percent here.
    bias = 0.02 * np.abs(device.exact) * device.twirled
    far = np.abs(values.mean(axis=0) - device.exact)
    assert (far <= 5 * spread / np.sqrt(seeds) + bias + 1e-12).all()
    # A variance from N seeds is known to sqrt(2 / N); 64 and more randomizations add a little.
    ratio = (spread**2 + 1e-30) / ((errors**2).mean(axis=0) + 1e-30)
    assert (np.abs(ratio - 1) < 5 * np.sqrt(2 / seeds)).all(), ratio


def test_ghz_is_what_the_issue_of_correlated_terms_is_about():
    """Eight terms, each of variance 1, that are one number: 64 / shots, and not 8 / shots."""
    _, errors = CASES["ghz-8, sum of Z"].estimate(800, 1, np.random.default_rng(0))
    assert errors[0] == pytest.approx(8 / np.sqrt(800), rel=0.01)


@pytest.mark.parametrize("shots", [512, 2048, 8192])
def test_errors_fall_as_one_over_sqrt_shots(shots):
    device = CASES["twirled, lopsided"]
    rng = np.random.default_rng(shots)
    errors = np.mean([device.estimate(shots, 8, rng)[1] for _ in range(20)], axis=0)
    scaled = errors * np.sqrt(shots)
    reference = device.estimate(1 << 17, 8, np.random.default_rng(1))[1] * np.sqrt(1 << 17)
    np.testing.assert_allclose(scaled, reference, rtol=0.1)


def test_it_is_the_mean_and_deviation_of_one_number_a_shot():
    """The same two numbers by the plainest way: for each shot the observable's value."""
    rng = np.random.default_rng(3)
    plan = measurement_plan([SparsePauliOp(["ZZI", "IZZ", "IIZ", "III"], [1.5, -1, 0.25, 4])])
    bits = rng.random((2, 300, 3)) < [[[0.2, 0.5, 0.7]]]
    values, errors = combine_results(plan, [Shots((pack_bits(bits),))])
    z = 1 - 2.0 * bits
    each = 4 + 1.5 * z[..., 1] * z[..., 2] - z[..., 0] * z[..., 1] + 0.25 * z[..., 0]
    np.testing.assert_allclose(values[:, 0], each.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(errors[:, 0], each.std(axis=1, ddof=1) / np.sqrt(300), atol=1e-12)


def test_two_jobs_are_one_with_all_their_shots():
    plan = measurement_plan([sum_of_z(9)])
    bits = pack_bits(np.random.default_rng(0).random((1, 500, 9)) < 0.3)
    whole = combine_results(plan, [Shots((bits,))])
    parts = combine_results(plan, [Shots((bits[:, :123],)), Shots((bits[:, 123:],))])
    np.testing.assert_allclose(parts, whole, atol=1e-12)


def test_many_shots_are_taken_in_chunks(monkeypatch):
    from qdm_qiskit.mitigation import expectation

    device = CASES["twirled, lopsided"]
    found = device.shots(4096, 32, np.random.default_rng(4))
    whole = combine_results(device.plan, [found])
    monkeypatch.setattr(expectation, "CHUNK_SHOTS", 100)
    np.testing.assert_allclose(combine_results(device.plan, [found]), whole, atol=1e-12)


def test_randomizations_are_the_unit_where_shots_share_them():
    """Four shots of each of 50 randomizations agree: 50 independent numbers, not 200."""
    plan = measurement_plan([SparsePauliOp("Z")])
    ones = (np.random.default_rng(1).random(50) < 0.5).repeat(4)
    bits = pack_bits(ones[None, :, None])
    _, shared = combine_results(plan, [Shots((bits,), each=4)])
    _, single = combine_results(plan, [Shots((bits,))])
    assert shared[0, 0] == pytest.approx(2 * single[0, 0], rel=0.02)


# -- circuits -------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    labels=st.lists(st.text("IXYZ", min_size=4, max_size=4), min_size=1, max_size=6),
    seed=st.integers(0, 2**31),
)
def test_turned_circuits_give_every_paulis_value(labels, seed):
    """Exact probabilities in place of shots: 64 of each basis state's share, rounded away."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(4)
    for q in range(4):
        circuit.u(*rng.uniform(-3, 3, 3), q)
    for q in range(3):
        circuit.cx(q, q + 1)
    observable = SparsePauliOp(labels, rng.normal(size=len(labels)))
    plan = measurement_plan([observable])
    value = plan.constants[0]
    for basis, turned in zip(plan.bases, construct_circuits(circuit, plan), strict=True):
        state = Statevector(turned.remove_final_measurements(inplace=False))
        p = state.probabilities(list(plan.qubits))
        bits = np.arange(len(p))[:, None] >> np.arange(len(plan.qubits)) & 1
        for mask, weight in zip(basis.masks, basis.weights[:, 0], strict=True):
            value += weight * float(p @ (1 - 2.0 * (bits[:, mask].sum(axis=1) % 2)))
    assert value == pytest.approx(Statevector(circuit).expectation_value(observable).real, abs=1e-9)


@pytest.mark.parametrize(
    "name", ["fake_johannesburg", "fake_yorktown", "fake_torino", "fake_cairo"]
)
def test_turned_circuits_are_in_the_devices_own_gates(name):
    """Also where there is neither rz nor sx, as on devices of u1, u2 and u3."""
    backend = load_backend(name)
    circuit = QuantumCircuit(3)
    circuit.ry(0.7, 0)
    circuit.cx(0, 1)
    circuit.append(CRYGate(Parameter("a")), [1, 2])
    isa = transpile_for(circuit, backend, level=1, seed=3)
    texts = ("XYZ", "YXX", "ZZX", "IYI")
    plan = measurement_plan([SparsePauliOp(each).apply_layout(isa.layout) for each in texts])
    circuits = construct_circuits(isa, plan, calibration=True, target=backend.target)
    values, bare = np.zeros(len(texts)), circuit.assign_parameters([0.4])
    for turned, basis in zip(circuits, plan.bases, strict=False):
        small, place = QuantumCircuit(len(plan.qubits)), {q: k for k, q in enumerate(plan.qubits)}
        for item in turned.assign_parameters([0.4]):
            where = tuple(turned.find_bit(q).index for q in item.qubits)
            if item.name == "barrier":
                continue
            assert backend.target.instruction_supported(item.name, where)
            if item.name != "measure":
                small.append(item.operation, [place[q] for q in where])
        p = Statevector(small).probabilities()
        bits = np.arange(len(p))[:, None] >> np.arange(len(plan.qubits)) & 1
        for mask, weights in zip(basis.masks, basis.weights, strict=True):
            values += weights * float(p @ (1 - 2.0 * (bits[:, mask].sum(axis=1) % 2)))
    expected = [Statevector(bare).expectation_value(SparsePauliOp(each)).real for each in texts]
    np.testing.assert_allclose(values, expected, atol=1e-9)
    assert dict(circuits[-1].count_ops()) == {"measure": 3, "barrier": 1}


def test_a_device_that_cannot_turn_a_qubit_is_refused_by_name():
    target = Target(num_qubits=2)
    target.add_instruction(XGate(), {(0,): None, (1,): None})
    plan = measurement_plan([SparsePauliOp("IX")])
    with pytest.raises(UnsupportedCircuit, match="no 'rz' on qubit 0, 'sx' on qubit 0") as told:
        construct_circuits(QuantumCircuit(2), plan, target=target)
    assert "\n" not in str(told.value)


def test_qubits_without_a_register_are_measured_too():
    circuit = QuantumCircuit([Qubit(), Qubit()])
    plan = measurement_plan([SparsePauliOp("ZX")])
    main, calibration = construct_circuits(circuit, plan, calibration=True)
    assert (main.num_qubits, calibration.num_clbits) == (2, 2)


def test_only_what_is_needed_is_measured_and_parameters_stay():
    circuit = QuantumCircuit(30)
    circuit.ry(Parameter("x_0000"), 29)
    plan = measurement_plan([SparsePauliOp.from_sparse_list([("XZ", [29, 3], 1.0)], 30)])
    assert plan.qubits == (3, 29)
    main, calibration = construct_circuits(circuit, plan, calibration=True)
    assert [p.name for p in main.parameters] == ["x_0000"]
    assert dict(calibration.count_ops()) == {"measure": 2, "barrier": 1}
    measured = [(i.qubits[0]._index, i.clbits[0]._index) for i in main if i.name == "measure"]
    assert measured == [(3, 0), (29, 1)]
    assert not circuit.clbits


@pytest.mark.parametrize("width", [1, 7, 8, 9, 20, 33])
def test_bytes_are_those_of_qiskit(width):
    from qiskit.primitives import BitArray

    bits = np.random.default_rng(width).random((2, 5, width)) < 0.5
    expected = BitArray.from_bool_array(bits, order="little").array
    np.testing.assert_array_equal(pack_bits(bits), expected)


def test_equal_terms_are_added_and_identities_are_exact():
    plan = measurement_plan(
        [
            SparsePauliOp(["ZI", "ZI", "II"], [1, 2, 5]),
            SparsePauliOp("II", -2),
            SparsePauliOp("-IZ"),
        ]
    )
    assert plan.constants.tolist() == [5, -2, 0]
    assert len(plan.bases) == 1
    values, errors = combine_results(plan, [Shots((np.zeros((1, 4, 1), dtype=np.uint8),))])
    assert values.tolist() == [[8, -2, -1]]
    assert errors.tolist() == [[0, 0, 0]]


# -- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observables", "says"),
    [
        ([], "same qubits"),
        ([SparsePauliOp("Z"), SparsePauliOp("ZZ")], r"sizes \[1, 2\]"),
        ([SparsePauliOp("Z", 1j)], "Hermitian"),
        ([SparsePauliOp("Z", np.nan)], "finite"),
        ([SparsePauliOp("Z", np.array([Parameter("c")]))], "free parameters"),
    ],
)
def test_observables_that_are_none_are_refused(observables, says):
    with pytest.raises(InvalidData, match=says) as told:
        measurement_plan(observables)
    assert "\n" not in str(told.value)


def coin(qubits):
    """A readout that says nothing about these of three qubits."""
    flips = [(0.5, 0.5) if q in qubits else (0.02, 0.03) for q in range(3)]
    return Device(QuantumCircuit(3), [SparsePauliOp("ZII"), SparsePauliOp("IZZ")], flips, 0, True)


@pytest.mark.parametrize(("qubits", "named"), [((0,), "[0, 1]"), ((2,), "[2]"), ((1,), "[0, 1]")])
def test_a_readout_that_leaves_nothing_is_an_error_that_names_its_qubits(qubits, named):
    device = coin(qubits)
    shots = device.shots(4096, 32, np.random.default_rng(2))
    assert calibration_growth(device.plan, [shots]) > 3
    with pytest.raises(InvalidData, match="so it cannot be corrected") as told:
        combine_results(device.plan, [shots])
    assert f"of qubits {named}" in str(told.value)
    assert "\n" not in str(told.value)


def test_more_shots_tell_a_weak_readout_from_none():
    device = Device(QuantumCircuit(1), [SparsePauliOp("Z")], (0.46, 0.46), 0, True)
    rng = np.random.default_rng(0)
    few, many = device.shots(1024, 16, rng), device.shots(1 << 15, 16, rng)
    assert 1 < calibration_growth(device.plan, [few]) < 32
    values, errors = combine_results(device.plan, [few, many])
    assert abs(values[0, 0] - 1) < 4 * errors[0, 0]


PLAN: MeasurementPlan = measurement_plan([SparsePauliOp("XZ")])
GOOD = np.zeros((1, 4, 1), dtype=np.uint8)


@pytest.mark.parametrize(
    "jobs",
    [
        [],
        [Shots(())],
        [Shots((GOOD, GOOD))],
        [Shots((np.zeros((1, 4, 2), dtype=np.uint8),))],
        [Shots((GOOD[0],))],
        [Shots((GOOD,), each=3)],
        [Shots((GOOD,), each=4)],
        [Shots((GOOD[:, :1],))],
        [Shots((GOOD,)), Shots((np.zeros((2, 4, 1), dtype=np.uint8),))],
        [Shots((GOOD,)), Shots((GOOD,), 1, GOOD[0])],
    ],
)
def test_bits_that_do_not_fit_are_refused(jobs):
    with pytest.raises(InvalidData):
        combine_results(PLAN, jobs)
