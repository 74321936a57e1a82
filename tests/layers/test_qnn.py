"""The same layer on the engine and on Qiskit primitives through TorchConnector."""

from __future__ import annotations

import math

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.primitives import StatevectorSampler
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.primitives import EstimatorV2, SamplerV2

from qdm_qiskit.circuits import (
    CircuitSpec,
    ExpectationReadout,
    eeqdm,
    input_parameters,
    qddm,
    weight_parameters,
)
from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.layers import QuantumLayer, qnn_executor
from tests.helpers import generator

SHOTS = 40_000


def sampler(seed: int = 7, shots: int = SHOTS) -> SamplerV2:
    return SamplerV2(default_shots=shots, seed=seed)


def pair(spec: CircuitSpec, primitive: object) -> tuple[QuantumLayer, QuantumLayer]:
    """One layer on the engine and one on a primitive, with one state dict."""
    engine = QuantumLayer(spec, generator=generator())
    other = QuantumLayer(spec, executor=qnn_executor(spec, primitive))
    other.load_state_dict(engine.state_dict())
    return engine, other


def angle_spec() -> CircuitSpec:
    """Angle encoding, data uploaded twice, three observables."""
    circuit = QuantumCircuit(3)
    inputs, weights = input_parameters(3), weight_parameters(12)
    for layer in range(2):
        for qubit in range(3):
            circuit.rx(inputs[qubit], qubit)
            circuit.ry(weights[6 * layer + 2 * qubit], qubit)
            circuit.rz(weights[6 * layer + 2 * qubit + 1], qubit)
        circuit.cx(0, 1)
        circuit.cx(1, 2)
    observables = (
        SparsePauliOp("ZII"),
        SparsePauliOp("XXI"),
        SparsePauliOp(["IZZ", "YIY"], [0.7, -1.5]),
    )
    return CircuitSpec(
        name="angles",
        circuit=circuit,
        encoding="angle",
        data_qubits=(0, 1, 2),
        readout=ExpectationReadout(observables=observables),
        source="this test",
    )


@pytest.mark.parametrize(("make", "guided"), [(eeqdm, False), (qddm, True)])
def test_sampled_outputs_are_within_shot_noise(make, guided):
    spec = make(2, 2, guided=guided)
    engine, sampled = pair(spec, sampler())
    x = torch.rand(3, 4, generator=generator(1))
    labels = torch.rand(3, 1, generator=generator(2)) if guided else None
    with torch.no_grad():
        exact, noisy = engine(x, labels), sampled(x, labels)
    # A count is binomial: sigma = sqrt(p (1 - p) / shots). 12 values at 5 sigma; at p = 0 no shot
    # ever falls, and float32 rounds.
    sigma = (exact * (1 - exact) / SHOTS).clamp(min=0).sqrt()
    assert torch.all((noisy - exact).abs() <= 5 * sigma + 1e-6)
    assert float((noisy - exact).abs().max()) > 1e-6  # it really was sampled
    assert exact.shape == noisy.shape == (3, 4)


@pytest.mark.slow
def test_sampled_gradients_are_within_shot_noise():
    spec = eeqdm(2, 1)
    engine, sampled = pair(spec, sampler())
    x = torch.rand(2, 4, generator=generator(1))
    pick = torch.tensor([1.0, -1.0, 2.0, 0.5])
    for layer in (engine, sampled):
        (layer(x) * pick).sum().backward()
    # The shift rule: g = sum over both rows of (f+ - f-) / 2 with f a mean of SHOTS values in
    # [-1, 2] (width 3, so sigma <= 1.5 / sqrt(SHOTS)): sigma_g <= sqrt(2 * 2) / 2 * 1.5 / sqrt(SHOTS).
    sigma = 1.5 / math.sqrt(SHOTS)
    assert engine.weights.grad is not None
    assert sampled.weights.grad is not None
    assert float((engine.weights.grad - sampled.weights.grad).abs().max()) < 5 * sigma
    # ... and the gradients are large against that, so the comparison means something.
    assert float(engine.weights.grad.abs().max()) > 20 * sigma


def test_estimated_outputs_and_all_gradients_are_those_of_the_engine():
    engine, estimated = pair(angle_spec(), EstimatorV2())
    pick = torch.tensor([1.0, -0.5, 2.0])
    results = []
    for layer in (engine, estimated):
        x = torch.randn(2, 3, generator=generator(1)).requires_grad_()
        outputs = layer(inputs=x)
        (outputs * pick).sum().backward()
        results.append((outputs.detach(), layer.weights.grad, x.grad))
    for exact, other in zip(*results, strict=True):
        # float32 has eps = 1.2e-7; the connector rounds results, gradients and their sums of about
        # ten terms of size up to 3.
        torch.testing.assert_close(other, exact, rtol=1e-5, atol=1e-5)
    assert all(float(each.abs().max()) > 0.05 for each in results[0])


def test_exact_estimators_give_exact_outputs():
    # EstimatorQNN's own default asks for a precision of 1/64, which Aer grants by adding noise.
    engine, estimated = pair(angle_spec(), EstimatorV2(options={"run_options": {"seed": 1}}))
    x = torch.randn(20, 3, generator=generator(1))
    with torch.no_grad():
        torch.testing.assert_close(estimated(inputs=x), engine(inputs=x), rtol=1e-5, atol=1e-5)


def test_engine_and_primitive_share_a_state_dict():
    spec = qddm(2, 1)
    engine, sampled = pair(spec, StatevectorSampler(seed=1))
    assert list(engine.state_dict()) == list(sampled.state_dict()) == ["weights"]
    assert torch.equal(engine.weights, sampled.weights)
    assert [name for name, _ in sampled.named_parameters()] == ["weights"]
    changed = QuantumLayer(spec, generator=generator(5), init_std=2.0)
    sampled.load_state_dict(changed.state_dict())
    x = torch.rand(1, 4, generator=generator(1))
    with torch.no_grad():
        # The executor uses the layer's weights, not ones that the connector keeps for itself.
        # 1024 shots: sigma <= 0.5 / 32; 5 sigma.
        assert float((sampled(x) - changed(x)).abs().max()) < 5 * 0.5 / 32
        assert float((engine(x) - changed(x)).abs().max()) > 5 * 0.5 / 32


def test_weights_are_mapped_before_the_primitive_too():
    spec = eeqdm(2, 1)
    executor = qnn_executor(spec, sampler())
    engine = QuantumLayer(spec, weight_map="pi_tanh", generator=generator())
    sampled = QuantumLayer(spec, weight_map="pi_tanh", executor=executor, generator=generator())
    x = torch.rand(1, 4, generator=generator(1))
    with torch.no_grad():
        assert float((engine(x) - sampled(x)).abs().max()) < 5 * 0.5 / math.sqrt(SHOTS)


def test_one_training_step_on_a_primitive_moves_the_weights():
    _, sampled = pair(eeqdm(2, 1), sampler(shots=200))
    before = sampled.weights.detach().clone()
    optimizer = torch.optim.SGD(sampled.parameters(), lr=1.0)
    (sampled(torch.rand(1, 4, generator=generator(1)))[:, 0]).sum().backward()
    optimizer.step()
    assert not torch.equal(before, sampled.weights)


def test_gradients_that_a_primitive_cannot_give_are_refused():
    _, sampled = pair(eeqdm(2, 1, guided=True), sampler(shots=10))
    x, label = torch.ones(1, 4), torch.ones(1, 1)
    with pytest.raises(InvalidData, match="no gradient in amplitudes, nor in inputs beside them"):
        sampled(x.requires_grad_(), label)
    with pytest.raises(InvalidData, match="no gradient in amplitudes, nor in inputs beside them"):
        sampled(x.detach(), label.requires_grad_())


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (torch.zeros(1, 4), "all-zero"),
        (torch.full((1, 4), float("nan")), "nan"),
        (torch.ones(1, 3), "shape"),
    ],
)
def test_vectors_that_are_no_states_are_refused(vectors, message):
    _, sampled = pair(eeqdm(2, 1), sampler(shots=10))
    with pytest.raises(InvalidData, match=message):
        sampled(vectors)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, r"inputs of shape \(batch, 3\), got None"),
        (torch.ones(1, 2), r"inputs of shape \(batch, 3\), got \(1, 2\)"),
        (torch.full((1, 3), float("nan")), "must be finite"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, message):
    _, estimated = pair(angle_spec(), EstimatorV2())
    with pytest.raises(InvalidData, match=message):
        estimated(inputs=inputs)


def test_weights_that_are_not_finite_are_refused():
    _, sampled = pair(eeqdm(2, 1), sampler(shots=10))
    with torch.no_grad():
        sampled.weights[0] = float("nan")
    with pytest.raises(InvalidData, match="Weights must be finite"):
        sampled(torch.ones(1, 4))


def test_the_wrong_kind_of_primitive_is_refused():
    with pytest.raises(InvalidOption, match="'eeqdm' reads probabilities and needs a sampler"):
        qnn_executor(eeqdm(2, 1), EstimatorV2())
    with pytest.raises(
        InvalidOption, match="'angles' reads expectation values and needs an estimator"
    ):
        qnn_executor(angle_spec(), sampler())
