"""Gradient classes beside parameter shift and finite differences, and QNNs that train on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import Operator, Pauli, SparsePauliOp, Statevector
from qiskit_aer.primitives import EstimatorV2
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import (
    ParamShiftEstimatorGradient,
    ParamShiftSamplerGradient,
)
from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN

from qdm_qiskit.engine import (
    EngineEstimator,
    EngineEstimatorGradient,
    EngineSampler,
    EngineSamplerGradient,
)
from qdm_qiskit.engine.primitives import jacobians
from qdm_qiskit.errors import InvalidData, InvalidOption, UnsupportedCircuit

OBSERVABLES = (SparsePauliOp("IIZ"), SparsePauliOp(["XXI", "IZY"], [0.5, -2.0]), Pauli("ZZZ"))


def ansatz(seed: int = 0) -> tuple[QuantumCircuit, ParameterVector, ParameterVector]:
    """Three qubits, inputs uploaded twice, a weight used twice and in an expression."""
    rng = np.random.default_rng(seed)
    x, w = ParameterVector("x", 3), ParameterVector("w", 5)
    circuit = QuantumCircuit(3)
    for layer in range(2):
        for qubit in range(3):
            circuit.rx(x[qubit], qubit)
            circuit.ry(w[(3 * layer + qubit) % 5] * (1 + layer), qubit)
        a, b, _ = rng.permutation(3).tolist()
        circuit.cx(a, b)
        circuit.rzz(w[4] - x[0], a, b)
    return circuit, x, w


def values(rows: int, columns: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-3, 3, (rows, columns))


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**16), data=st.data())
def test_estimator_gradients_equal_parameter_shift(seed, data):
    circuit, _, _ = ansatz(seed)
    known = list(circuit.parameters)
    count = data.draw(st.integers(1, 4))
    rows = values(2, seed=seed)
    pick = st.lists(st.sampled_from(known), unique=True, min_size=1)
    observables = [data.draw(st.sampled_from(OBSERVABLES)) for _ in range(count)]
    chosen = [data.draw(st.none() | pick) for _ in range(count)]
    given_ = [rows[data.draw(st.integers(0, 1))] for _ in range(count)]
    arguments = ([circuit] * count, [SparsePauliOp(o) for o in observables], given_, chosen)
    ours = EngineEstimatorGradient().run(*arguments).result()
    theirs = ParamShiftEstimatorGradient(StatevectorEstimator()).run(*arguments).result()
    for a, b in zip(ours.gradients, theirs.gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)
    assert [list(m["parameters"]) for m in ours.metadata] == [
        list(m["parameters"]) for m in theirs.metadata
    ]


@pytest.mark.parametrize("observable", [Operator(Pauli("XYZ")), Pauli("XYZ")])
def test_gates_without_a_shift_rule_against_finite_differences(observable):
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.crx(a, 0, 1)
    circuit.mcp(b, [0, 1], 2)
    circuit.ry(a.sin() * b, 2)
    circuit.cry(a * b, 2, 0)
    point, step = np.array([0.7, -1.1]), 1e-5
    (found,) = EngineEstimatorGradient().run([circuit], [observable], [point]).result().gradients

    def value(at):
        return Statevector(circuit.assign_parameters(at)).expectation_value(observable).real

    for i in range(2):
        e = step * np.eye(2)[i]
        difference = (value(point + e) - value(point - e)) / (2 * step)
        assert found[i] == pytest.approx(difference, abs=1e-9)


def test_rows_and_outputs_in_parts(monkeypatch):
    circuit, _, _ = ansatz()
    rows = values(3)
    arguments = ([circuit] * 9, [o for o in OBSERVABLES for _ in range(3)], np.tile(rows, (3, 1)))
    whole = EngineEstimatorGradient().run(*arguments).result().gradients
    measured = circuit.copy()
    measured.measure_all()
    sampled = EngineSamplerGradient().run([measured] * 3, rows).result().gradients
    monkeypatch.setattr(jacobians, "REVERSE_CHUNK", 16)
    monkeypatch.setattr(jacobians, "FORWARD_CHUNK", 8)
    monkeypatch.setattr("qdm_qiskit.engine.primitives.gradients.CHUNK", 64)
    again = EngineEstimatorGradient().run(*arguments).result().gradients
    np.testing.assert_allclose(again, whole, rtol=0, atol=1e-13)
    for a, b in zip(
        sampled, EngineSamplerGradient().run([measured] * 3, rows).result().gradients, strict=True
    ):
        for p, q in zip(a, b, strict=True):
            assert p == pytest.approx(q, abs=1e-13)


def exact_differences(circuit, point, wires, step=1e-5):
    """Derivatives of outcome probabilities: ``(parameters, outcomes)``."""
    bare = circuit.remove_final_measurements(inplace=False)

    def value(at):
        return Statevector(bare.assign_parameters(at)).probabilities(wires)

    return [
        (value(point + step * e) - value(point - step * e)) / (2 * step) for e in np.eye(len(point))
    ]


def test_sampler_gradients_against_finite_differences():
    circuit, _, _ = ansatz(1)
    circuit.measure_all()
    rows = values(3, seed=2)
    rows[:, 3:] = rows[0, 3:]  # some columns are shared
    found = EngineSamplerGradient().run([circuit] * 3, rows).result().gradients
    for row, gradients in zip(rows, found, strict=True):
        for gradient, expected in zip(
            gradients, exact_differences(circuit, row, [0, 1, 2]), strict=True
        ):
            dense = [gradient.get(key, 0.0) for key in range(8)]
            np.testing.assert_allclose(dense, expected, rtol=0, atol=1e-9)


def test_sampler_gradients_lie_within_shot_noise_of_parameter_shift():
    circuit, x, w = ansatz(4)
    circuit.measure_all()
    row, shots = values(1, seed=3), 20_000
    chosen = [[w[4], x[0], w[1]]]
    exact = EngineSamplerGradient().run([circuit], row, chosen).result().gradients[0]
    sampler = EngineSampler(seed=1, default_shots=shots)
    shifted = ParamShiftSamplerGradient(sampler).run([circuit], row, chosen).result().gradients[0]
    # A parameter stands in up to 3 gates with factors up to 2; each adds two frequencies, halved.
    sigma = np.sqrt((2**2 + 1 + 1) * 2 * 0.25 * 0.25 / shots)
    for a, b in zip(exact, shifted, strict=True):
        for key in range(8):
            assert abs(a.get(key, 0.0) - b.get(key, 0.0)) < 5 * sigma


def test_sampled_registers_are_joined_as_the_sampler_does():
    circuit, _, _ = ansatz(2)
    alpha, beta = ClassicalRegister(2, "alpha"), ClassicalRegister(2, "beta")
    full = QuantumCircuit(QuantumRegister(3), alpha, beta)
    full.compose(circuit, range(3), inplace=True)
    full.measure([2, 0], [alpha[1], beta[0]])
    row = values(1)
    found = EngineSamplerGradient().run([full], row).result().gradients[0]
    data = EngineSampler(seed=0).run([(full, row[0])], shots=500).result()[0]
    keys = {int(key, 2) for key in data.join_data().get_counts()}
    assert keys == {0, 2, 4, 6}  # alpha[1] is bit 1, beta[0] bit 2
    for gradient, expected in zip(found, exact_differences(full, row[0], [2, 0]), strict=True):
        dense = [gradient.get(key, 0.0) for key in (0, 2, 4, 6)]
        np.testing.assert_allclose(dense, expected, rtol=0, atol=1e-9)


def estimator_qnn(primitive, gradient, **options) -> EstimatorQNN:
    circuit, x, w = ansatz()
    return EstimatorQNN(
        circuit=circuit,
        estimator=primitive,
        observables=[SparsePauliOp(each) for each in OBSERVABLES],
        input_params=list(x),
        weight_params=list(w),
        gradient=gradient,
        default_precision=0.0,
        **options,
    )


@pytest.mark.parametrize("input_gradients", [True, False])
def test_unmodified_estimator_qnn(input_gradients):
    engine = EngineEstimator()
    ours = estimator_qnn(engine, EngineEstimatorGradient(engine), input_gradients=input_gradients)
    theirs = estimator_qnn(StatevectorEstimator(), None, input_gradients=input_gradients)
    inputs, weights = values(4, 3), values(1, 5, seed=1)[0]
    np.testing.assert_allclose(ours.forward(inputs, weights), theirs.forward(inputs, weights))
    for a, b in zip(ours.backward(inputs, weights), theirs.backward(inputs, weights), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)
    assert len(engine.cache) == 1  # primitive and gradient share one compilation


def test_unmodified_sampler_qnn():
    circuit, x, w = ansatz()
    sampler = EngineSampler(seed=1, default_shots=40_000)
    qnn = SamplerQNN(
        circuit=circuit,
        sampler=sampler,
        gradient=EngineSamplerGradient(sampler),
        input_params=list(x),
        weight_params=list(w),
        input_gradients=True,
        interpret=lambda outcome: outcome.bit_count() % 2,
        output_shape=2,
    )
    inputs, weights = values(2, 3), values(1, 5, seed=1)[0]
    parity = Statevector(circuit.assign_parameters([*weights, *inputs[0]])).expectation_value(
        SparsePauliOp("ZZZ")
    )
    # 5 sigma of a frequency
    assert abs(qnn.forward(inputs, weights)[0, 0] - (1 + parity.real) / 2) < 2.5 / np.sqrt(40_000)
    by_inputs, by_weights = qnn.backward(inputs, weights)
    reference = EngineEstimatorGradient().run(
        [circuit] * 2, [SparsePauliOp("ZZZ")] * 2, np.c_[np.tile(weights, (2, 1)), inputs]
    )
    expected = np.array(reference.result().gradients) / 2
    np.testing.assert_allclose(by_weights[:, 0], expected[:, :5], rtol=0, atol=1e-12)
    np.testing.assert_allclose(by_inputs[:, 0], expected[:, 5:], rtol=0, atol=1e-12)
    np.testing.assert_allclose(by_inputs[:, 1], -by_inputs[:, 0], rtol=0, atol=1e-12)


def loss_curve(qnn: EstimatorQNN) -> list[float]:
    """A classical layer in front, so that input gradients count, then the QNN; a few steps of Adam."""
    torch.manual_seed(0)
    connector = TorchConnector(qnn, np.linspace(-1, 1, 5))
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), connector)
    data = torch.rand(6, 2)
    target = torch.stack([data[:, 0].sin(), data[:, 1].cos(), data.prod(1)], dim=1)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    curve = []
    for _ in range(8):
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(model(data), target)
        loss.backward()
        optimiser.step()
        curve.append(float(loss.detach()))
    return curve


@pytest.mark.slow
def test_torch_connector_trains_as_on_aer():
    engine = EngineEstimator()
    ours = loss_curve(estimator_qnn(engine, EngineEstimatorGradient(engine), input_gradients=True))
    aer = loss_curve(estimator_qnn(EstimatorV2(), None, input_gradients=True))
    assert ours[-1] < 0.7 * ours[0]
    # TorchConnector rounds to float32 in each of 8 steps.
    np.testing.assert_allclose(ours, aer, rtol=2e-5)


def test_parameters_without_effect_and_no_parameters():
    circuit, idle = QuantumCircuit(1, 1), Parameter("idle")
    circuit.delay(idle, 0, unit="s")
    found = EngineEstimatorGradient().run([circuit], [SparsePauliOp("Z")], [[0.5]]).result()
    np.testing.assert_array_equal(found.gradients, [[0.0]])
    found = EngineEstimatorGradient().run([circuit], [SparsePauliOp("Z")], [[0.5]], [[]]).result()
    assert found.gradients[0].shape == (0,)
    circuit.measure(0, 0)
    assert EngineSamplerGradient().run([circuit], [[0.5]]).result().gradients == [[{}]]
    assert EngineSamplerGradient().run([circuit], [[0.5]], [[]]).result().gradients == [[]]


def test_too_many_qubits_are_refused_by_number():
    circuit = QuantumCircuit(44)
    circuit.ry(Parameter("t"), 0)
    with pytest.raises(InvalidData, match="44 qubits"):
        EngineEstimatorGradient().run([circuit], [SparsePauliOp("Z" * 44)], [[0.1]]).result()
    with pytest.raises(InvalidData, match="44 qubits"):
        EngineEstimator().run([(circuit, "Z" * 44, [0.1])]).result()
    circuit.measure_all()
    with pytest.raises(UnsupportedCircuit, match="at most 26 qubits, got 44"):
        EngineSamplerGradient().run([circuit], [[0.1]]).result()


def test_other_primitives_are_refused():
    with pytest.raises(InvalidOption, match="EngineEstimator, got StatevectorEstimator"):
        EngineEstimatorGradient(StatevectorEstimator())
    with pytest.raises(InvalidOption, match="EngineSampler, got EngineEstimator"):
        EngineSamplerGradient(EngineEstimator())


def test_wrong_requests_are_refused():
    circuit, _, w = ansatz()
    zzz, row = SparsePauliOp("ZZZ"), values(1)
    gradient = EngineEstimatorGradient()
    bad = [
        (([circuit], [zzz], values(2)), "values and parameters for each circuit"),
        (([circuit], [zzz, zzz], row), "one observable for each circuit"),
        (([circuit], [SparsePauliOp("Z")], row), "all 3 qubits"),
        (([circuit], [zzz], row[:, :4]), "needs as many values"),
        (([QuantumCircuit(3)], [zzz], [[]]), "at least one"),
        (([circuit], [zzz], row, [[w[0], Parameter("foreign")]]), "foreign"),
    ]
    for arguments, said in bad:
        with pytest.raises(InvalidData, match=said):
            gradient.run(*arguments)
    with pytest.raises(InvalidData, match="finite"):
        gradient.run([circuit], [zzz], np.full((1, 8), np.nan)).result()
    with pytest.raises(InvalidData, match="Hermitian"):
        gradient.run([circuit], [1j * zzz], row).result()
    with pytest.raises(UnsupportedCircuit, match="measure_all"):
        EngineSamplerGradient().run([circuit], row).result()
