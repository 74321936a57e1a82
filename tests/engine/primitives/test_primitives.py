"""The engine's estimator and sampler beside Qiskit's statevector primitives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import UnitaryGate, efficient_su2
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.quantum_info import Pauli, SparseObservable, SparsePauliOp, Statevector

from qdm_qiskit.engine import CircuitCache, EngineEstimator, EngineSampler
from qdm_qiskit.engine.primitives import primitives
from qdm_qiskit.engine.primitives.circuit_cache import structure_key
from qdm_qiskit.errors import InvalidData, InvalidOption, UnsupportedCircuit

OBSERVABLES = [
    "ZZ",
    Pauli("XI"),
    SparsePauliOp(["IY", "ZX", "II"], [0.3, -1.2, 2.0]),
    {"XX": 1.5, "ZI": -0.5},
]


def two_parameters() -> QuantumCircuit:
    """Two qubits, two angles, one of them twice and in an expression."""
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2, metadata={"made by": "test"})
    circuit.h(0)
    circuit.ry(a, 0)
    circuit.cx(0, 1)
    circuit.rz(2 * a - b, 1)
    circuit.rx(b, 1)
    return circuit


@st.composite
def broadcast_shapes(draw):
    """Two shapes that broadcast, with up to three axes."""
    result = draw(st.lists(st.integers(1, 3), max_size=3))
    pair = []
    for _ in range(2):
        kept = result[draw(st.integers(0, len(result))) :]
        pair.append(tuple(1 if draw(st.booleans()) else size for size in kept))
    return pair


@settings(deadline=None, max_examples=40)
@given(shapes=broadcast_shapes(), seed=st.integers(0, 2**16))
def test_estimator_broadcasts_and_computes_as_qiskit_does(shapes, seed):
    rng = np.random.default_rng(seed)
    values = rng.uniform(-4, 4, (*shapes[0], 2))
    chosen = np.empty(shapes[1], dtype=object)
    for index in np.ndindex(*shapes[1]):
        chosen[index] = OBSERVABLES[rng.integers(len(OBSERVABLES))]
    observables = chosen.tolist() if shapes[1] else chosen[()]
    pub = (two_parameters(), observables, values)
    ours = EngineEstimator().run([pub]).result()
    theirs = StatevectorEstimator().run([pub]).result()
    assert ours[0].data.shape == theirs[0].data.shape == np.broadcast_shapes(*shapes)
    np.testing.assert_allclose(ours[0].data.evs, theirs[0].data.evs, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(ours[0].data.stds, theirs[0].data.stds)
    assert ours[0].metadata == theirs[0].metadata
    assert ours.metadata == theirs.metadata


def test_parameters_by_name_in_several_arrays():
    circuit = two_parameters()
    pub = (circuit, "ZZ", {"b": [0.1, 0.2, 0.3], "a": [1.0, 1.0, 1.0]})
    ours, theirs = (e.run([pub]).result()[0] for e in (EngineEstimator(), StatevectorEstimator()))
    np.testing.assert_allclose(ours.data.evs, theirs.data.evs, rtol=0, atol=1e-12)


def test_circuits_without_parameters_and_empty_arrays():
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    pubs = [(bell, ["ZZ", "XX", "YY", "ZI"]), (two_parameters(), ["ZZ"], np.zeros((0, 2)))]
    first, second = EngineEstimator().run(pubs).result()
    np.testing.assert_allclose(first.data.evs, [1, 1, -1, 0], rtol=0, atol=1e-15)
    assert second.data.evs.shape == (0,)


def test_rows_in_parts_equal_rows_at_once(monkeypatch):
    values = np.random.default_rng(0).uniform(-3, 3, (7, 2))
    pub = (two_parameters(), [["ZZ"], ["XI"]], values)
    whole = EngineEstimator().run([pub]).result()[0].data.evs
    monkeypatch.setattr(primitives, "CHUNK", 8)
    monkeypatch.setattr(primitives.parts, "__defaults__", (8,))
    monkeypatch.setattr("qdm_qiskit.engine.primitives.circuit_cache.TABLE_ENTRIES", 4)
    np.testing.assert_allclose(EngineEstimator().run([pub]).result()[0].data.evs, whole, atol=1e-14)


def test_projectors_are_observables():
    zero_plus = SparseObservable("+0")
    circuit = two_parameters()
    values = [0.3, 1.1]
    found = EngineEstimator().run([(circuit, zero_plus, values)]).result()[0].data.evs
    state = Statevector(circuit.assign_parameters(values)).data.reshape(2, 2)  # qubit 1, qubit 0
    expected = abs((state[0, 0] + state[1, 0]) / np.sqrt(2)) ** 2
    assert found == pytest.approx(expected, abs=1e-14)


def test_precision_is_the_deviation_of_seeded_noise():
    pub = (two_parameters(), ["ZZ"], np.tile([0.4, 0.9], (4000, 1)))
    exact = EngineEstimator().run([pub]).result()[0].data.evs
    noisy = [EngineEstimator(seed=3).run([pub], precision=0.2).result()[0] for _ in range(2)]
    np.testing.assert_array_equal(noisy[0].data.evs, noisy[1].data.evs)
    error = noisy[0].data.evs - exact
    # Standard errors of mean and deviation of 4000 normal numbers, at 5 sigma.
    assert abs(error.mean()) < 5 * 0.2 / np.sqrt(4000)
    assert abs(error.std() - 0.2) < 5 * 0.2 / np.sqrt(8000)
    np.testing.assert_array_equal(noisy[0].data.stds, 0.2)
    first = (pub[0], pub[1], pub[2][:50])
    qiskit = StatevectorEstimator(seed=3).run([first], precision=0.2).result()[0]
    np.testing.assert_allclose(noisy[0].data.evs[:50], qiskit.data.evs, rtol=0, atol=1e-12)
    own = EngineEstimator(default_precision=0.5).run([(*pub, 0.1)]).result()[0]
    assert own.metadata["target_precision"] == 0.1


def test_noise_differs_between_pubs_and_a_generator_goes_on():
    pub = (two_parameters(), "ZZ", [0.4, 0.9])
    first, second = EngineEstimator(seed=3).run([pub, pub], precision=0.1).result()
    assert first.data.evs != second.data.evs
    estimator = EngineEstimator(seed=np.random.default_rng(1), default_precision=0.1)
    assert estimator.default_precision == 0.1
    again = [estimator.run([pub]).result()[0].data.evs for _ in range(2)]
    assert again[0] != again[1]


def test_equal_circuits_are_compiled_once_and_changed_ones_again(monkeypatch):
    calls = []
    compile_circuit = primitives.CompiledCircuit._program.__globals__["compile_circuit"]

    def counting(*arguments):
        calls.append(arguments)
        return compile_circuit(*arguments)

    monkeypatch.setattr("qdm_qiskit.engine.primitives.circuit_cache.compile_circuit", counting)
    estimator = EngineEstimator(cache=CircuitCache(2))
    circuit = two_parameters()
    values = np.random.default_rng(0).uniform(-3, 3, (3, 2))
    for each in (circuit, circuit, circuit.copy()):
        estimator.run([(each, "ZZ", values)]).result()
    assert len(calls) == len(estimator.cache) == 1
    circuit.x(0)
    after = estimator.run([(circuit, "ZZ", values)]).result()[0].data.evs
    assert len(calls) == 2
    expected = StatevectorEstimator().run([(circuit, "ZZ", values)]).result()[0].data.evs
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-12)
    estimator.run([(QuantumCircuit(1), "Z")]).result()
    assert len(estimator.cache) == 2  # bounded


def test_keys_tell_circuits_apart():
    def key(change):
        circuit = QuantumCircuit(2)
        change(circuit)
        return structure_key(circuit)[0]

    half = efficient_su2(1, reps=0)
    gates = [
        lambda c: None,
        lambda c: c.cx(0, 1),
        lambda c: c.cx(1, 0),
        lambda c: c.cx(0, 1, ctrl_state=0),
        lambda c: c.rx(0.5, 0),
        lambda c: c.rx(0.6, 0),
        lambda c: setattr(c, "global_phase", 0.5),
        lambda c: c.append(UnitaryGate(np.eye(2)), [0]),
        lambda c: c.append(UnitaryGate(np.diag([1, -1])), [0]),
        lambda c: c.append(half.to_gate(), [0]),
    ]
    assert len({key(change) for change in gates}) == len(gates)


def test_shared_columns_are_weights_and_growing_ones_take_their_vector():
    x, w = ParameterVector("x", 3), ParameterVector("w", 2)
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.rx(x[qubit], qubit)
        circuit.ry(w[qubit % 2], qubit)
    entry = CircuitCache().find(circuit)  # order of parameters: w[0], w[1], x[0], x[1], x[2]
    rng = np.random.default_rng(0)

    def bind(columns, differentiated=()):
        values = np.tile(rng.uniform(-1, 1, 5), (4, 1))
        values[:, columns] = rng.uniform(-1, 1, (4, len(columns)))
        return entry.bind(circuit, values, torch.float64, torch.device("cpu"), differentiated)

    assert entry.bind(circuit, np.zeros((1, 5)), torch.float64, torch.device("cpu")).columns == ()
    assert bind([2]).columns == (2,)
    assert bind([3]).columns == (2, 3, 4)  # one more pixel differs: take the whole image
    assert bind([]).columns == (2, 3, 4)
    assert bind([], [0]).columns == (0, 2, 3, 4)


def registers() -> QuantumCircuit:
    """Two registers, a measured subset in another order, a bit that is never written."""
    alpha, beta = ClassicalRegister(10, "alpha"), ClassicalRegister(2, "beta")
    circuit = QuantumCircuit(QuantumRegister(4, "q"), alpha, beta)
    circuit.ry(Parameter("t"), 3)
    circuit.cx(3, 1)
    circuit.x(0)
    circuit.measure([3, 0], [alpha[9], alpha[2]])
    circuit.measure(1, beta[1])
    return circuit


def test_sampler_fills_registers_as_qiskit_does():
    values = np.linspace(0, np.pi, 6).reshape(3, 2, 1)
    pub = (registers(), values, 2000)
    ours, theirs = (s.run([pub]).result()[0] for s in (EngineSampler(seed=1), StatevectorSampler()))
    assert ours.metadata == theirs.metadata
    assert list(ours.data) == list(theirs.data)
    assert ours.data.shape == theirs.data.shape
    for name in ours.data:
        a, b = ours.data[name], theirs.data[name]
        assert (a.shape, a.num_bits, a.num_shots) == (b.shape, b.num_bits, b.num_shots)
        assert a.array.shape == b.array.shape
    for index in np.ndindex(3, 2):
        p = np.sin(values[index][0] / 2) ** 2
        counts = ours.join_data().get_counts(index)
        assert set(counts) <= {"000000000100", "101000000100"}
        measured = counts.get("101000000100", 0) / 2000
        assert abs(measured - p) < 5 * np.sqrt(p * (1 - p) / 2000) + 1e-12
        assert set(theirs.join_data().get_counts(index)) <= {"000000000100", "101000000100"}


def test_samples_follow_the_distribution():
    circuit = efficient_su2(3, reps=1).decompose()
    circuit.measure_all()
    values = np.random.default_rng(5).uniform(-2, 2, circuit.num_parameters)
    shots = 40_000
    counts = EngineSampler(seed=2).run([(circuit, values)], shots=shots).result()[0].data.meas
    counts = counts.get_counts()
    bare = circuit.remove_final_measurements(inplace=False).assign_parameters(values)
    for outcome, p in Statevector(bare).probabilities_dict().items():
        sigma = np.sqrt(p * (1 - p) / shots)
        assert abs(counts.get(outcome, 0) / shots - p) < 5 * sigma + 1e-12


def test_sampler_seeds_rows_and_defaults():
    pub = (registers(), np.full((2, 1), 1.5))
    runs = [EngineSampler(seed=4, default_shots=50).run([pub]).result()[0] for _ in range(2)]
    np.testing.assert_array_equal(runs[0].data.beta.array, runs[1].data.beta.array)
    assert runs[0].data.beta.num_shots == 50
    assert (runs[0].data.beta.array[0] != runs[0].data.beta.array[1]).any()
    single = EngineSampler().run([registers().assign_parameters([0.0])], shots=3).result()[0]
    assert single.data.beta.get_counts() == {"00": 3}


def test_last_measurement_into_a_bit_wins_and_a_qubit_may_be_read_twice():
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(1, 0)
    circuit.measure(0, 0)
    circuit.measure(0, 1)
    for sampler in (EngineSampler(), StatevectorSampler()):
        assert sampler.run([circuit], shots=5).result()[0].data.c.get_counts() == {"11": 5}


def test_a_circuit_that_measures_nothing():
    circuit = QuantumCircuit(1, 1)
    assert EngineSampler().run([circuit], shots=4).result()[0].data.c.get_counts() == {"0": 4}
    with pytest.warns(UserWarning, match=r"no classical registers.*measure_all"):
        result = EngineSampler().run([QuantumCircuit(1)], shots=4).result()[0]
    assert list(result.data) == []


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "0.1", True])
def test_wrong_precision_is_refused(value):
    pub = (two_parameters(), "ZZ", [0, 0])
    for call in (
        lambda: EngineEstimator(default_precision=value),
        lambda: EngineEstimator().run([pub], precision=value),
        lambda: EngineEstimator().run([(*pub, value)]),
    ):
        with pytest.raises(InvalidOption, match="precision is"):
            call()


@pytest.mark.parametrize("value", [0, -3, 1.5, True])
def test_wrong_shots_are_refused(value):
    for call in (
        lambda: EngineSampler(default_shots=value),
        lambda: EngineSampler().run([registers()], shots=value),
        lambda: EngineSampler().run([(registers(), [0.1], value)]),
    ):
        with pytest.raises(InvalidOption, match="shots is an integer of at least 1"):
            call()


@pytest.mark.parametrize(
    ("pub", "said"),
    [
        ((two_parameters(), "ZZ"), "number of parameters"),
        ((two_parameters(), "ZZ", [0.1]), "parameter values|inconsistent"),
        ((two_parameters(), "ZZ", {"a": 0.1, "c": 0.2}), "'c'"),
        ((two_parameters(), "ZZZ", [0.1, 0.2]), "number of qubits"),
        ((two_parameters(), ["ZZ"] * 2, np.zeros((3, 2))), "not broadcastable"),
        ((two_parameters(), SparsePauliOp("ZZ", 1j), [0.1, 0.2]), "Hermitian"),
        ((two_parameters(), "ZZ", [np.nan, 0.2]), "finite"),
        ((two_parameters(),), "length of pub"),
    ],
)
def test_wrong_estimator_pubs_are_refused_in_one_line(pub, said):
    with pytest.raises(InvalidData, match=said) as error:
        EngineEstimator().run([pub])
    assert "\n" not in str(error.value)


def test_wrong_sampler_pubs_are_refused():
    with pytest.raises(InvalidData, match="number of parameters"):
        EngineSampler().run([registers()])
    with pytest.raises(InvalidData, match="finite"):
        EngineSampler().run([(registers(), [np.inf])])


def test_circuits_that_cannot_run_are_refused_before_the_job():
    measured = QuantumCircuit(1, 1)
    measured.measure(0, 0)
    with pytest.raises(UnsupportedCircuit, match="without measurements"):
        EngineEstimator().run([(measured, "Z")])
    measured.x(0)
    with pytest.raises(UnsupportedCircuit, match="measured qubit"):
        EngineSampler().run([measured])
    nested = QuantumCircuit(1, 1)
    inner = QuantumCircuit(1, 1, name="inner")
    inner.measure(0, 0)
    nested.append(inner.to_instruction(), [0], [0])
    with pytest.raises(UnsupportedCircuit, match="'inner' uses classical bits"):
        EngineSampler().run([nested])


def test_options_are_checked_and_float32_is_allowed():
    for kind in (EngineEstimator, EngineSampler):
        with pytest.raises(InvalidOption, match="float32 or float64"):
            kind(dtype=torch.float16)
    with pytest.raises(InvalidOption, match="at least 1"):
        CircuitCache(0)
    pub = (two_parameters(), "ZZ", [0.3, 0.2])
    single, double = (
        EngineEstimator(dtype=d).run([pub]).result()[0].data.evs
        for d in (torch.float32, torch.float64)
    )
    assert single == pytest.approx(double, abs=1e-6)
    assert single != double
