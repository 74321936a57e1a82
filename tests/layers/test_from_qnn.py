"""``QuantumLayer.from_qnn`` beside ``TorchConnector``."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import ParameterVector
from qiskit.primitives import BackendEstimatorV2, StatevectorEstimator
from qiskit.quantum_info import Pauli, SparsePauliOp
from qiskit.transpiler import CouplingMap, generate_preset_pass_manager
from qiskit_aer.noise import NoiseModel, depolarizing_error
from qiskit_aer.primitives import EstimatorV2 as AerEstimator
from qiskit_aer.primitives import SamplerV2 as AerSampler
from qiskit_machine_learning.circuit.library import raw_feature_vector
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN

from qdm_qiskit.engine import (
    EngineEstimator,
    EngineEstimatorGradient,
    EngineSampler,
    EngineSamplerGradient,
)
from qdm_qiskit.errors import InvalidData, UnsupportedCircuit
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.layers import QnnLayer, QuantumLayer

OBSERVABLES = [SparsePauliOp("IZ"), Pauli("XX"), SparsePauliOp(["YI", "ZZ"], [0.5, -1.0])]
SHOTS = 100_000


def ansatz(inputs: int = 2) -> tuple[QuantumCircuit, list, list]:
    # Names chosen so that weights sort before inputs, and w[10] is there.
    x, w = ParameterVector("x", inputs), ParameterVector("a", 11)
    circuit = QuantumCircuit(2)
    for qubit in range(inputs):
        circuit.rx(x[qubit], qubit)
    for place in range(11):
        (circuit.ry if place % 3 else circuit.rz)(w[place], place % 2)
        if place % 2:
            circuit.cx(0, 1)
    return circuit, list(x), list(w)


def estimator_qnn(inputs: int = 2, observables=OBSERVABLES, **options) -> EstimatorQNN:
    circuit, x, w = ansatz(inputs)
    return EstimatorQNN(
        circuit=circuit,
        estimator=StatevectorEstimator(),
        observables=observables,
        input_params=x,
        weight_params=w,
        input_gradients=True,
        default_precision=0.0,
        **options,
    )


def sampler_qnn(circuit: QuantumCircuit | None = None, **options) -> SamplerQNN:
    bare, x, w = ansatz()
    return SamplerQNN(
        circuit=bare if circuit is None else circuit,
        sampler=EngineSampler(seed=1, default_shots=SHOTS),
        input_params=x if circuit is None else [p for p in circuit.parameters if p.name[0] == "x"],
        weight_params=w if circuit is None else [p for p in circuit.parameters if p.name[0] == "a"],
        input_gradients=True,
        **options,
    )


WEIGHTS = np.linspace(-2, 2, 11)


@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3)])
def test_outputs_and_gradients_equal_torch_connectors(leading):
    qnn = estimator_qnn()
    pair = [QuantumLayer.from_qnn(qnn, WEIGHTS), TorchConnector(qnn, WEIGHTS)]
    given = torch.rand(*leading, 2, generator=torch.Generator().manual_seed(1))
    found = []
    for module in pair:
        inputs = given.clone().requires_grad_()
        outputs = module(inputs)
        assert outputs.shape == (*leading, 3)
        cotangent = torch.arange(1.0, outputs.numel() + 1).reshape(outputs.shape)
        if len(leading) < 2:  # TorchConnector cannot go back through more axes than one
            (outputs * cotangent).sum().backward()
            found.append((outputs.detach(), inputs.grad, module.weight.grad))
        else:
            found.append((outputs.detach(),))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a.reshape(b.shape), b, rtol=1e-5, atol=1e-5)


def test_no_inputs():
    qnn = estimator_qnn(0)
    layer, connector = QuantumLayer.from_qnn(qnn, WEIGHTS), TorchConnector(qnn, WEIGHTS)
    assert layer().shape == connector().shape == (3,)
    torch.testing.assert_close(layer(), connector(), rtol=0, atol=1e-6)
    rows = torch.zeros(2, 0)
    torch.testing.assert_close(layer(rows), connector(rows), rtol=0, atol=1e-6)


def test_state_dicts_go_both_ways_and_initial_weights_are_drawn_alike():
    qnn = estimator_qnn()
    torch.manual_seed(3)
    connector = TorchConnector(qnn)
    torch.manual_seed(3)
    layer = QuantumLayer.from_qnn(qnn)
    assert isinstance(layer, QnnLayer)
    assert torch.equal(layer.weight, connector.weight)
    assert layer.state_dict().keys() == connector.state_dict().keys()
    other = QuantumLayer.from_qnn(qnn, np.zeros(11))
    other.load_state_dict(connector.state_dict())
    assert torch.equal(other.weight, connector.weight)
    connector.load_state_dict(QuantumLayer.from_qnn(qnn, WEIGHTS).state_dict())
    torch.testing.assert_close(connector.weight, torch.tensor(WEIGHTS, dtype=torch.float))
    assert len(list(layer.parameters())) == 1


def test_double_precision_and_copies():
    layer = QuantumLayer.from_qnn(estimator_qnn(), WEIGHTS)
    twin = copy.deepcopy(layer).double()
    assert twin.weight is twin._weights
    inputs = torch.rand(3, 2, dtype=torch.float64)
    outputs = twin(inputs)
    assert outputs.dtype == torch.float64
    assert layer(inputs).dtype == torch.float32
    torch.testing.assert_close(layer(inputs).double(), outputs, rtol=0, atol=1e-5)
    assert torch.autograd.gradcheck(
        lambda x, w: torch.func.functional_call(twin, {"weight": w, "_weights": w}, (x,)),
        (inputs.requires_grad_(), twin.weight.detach().clone().requires_grad_()),
    )
    assert "inputs=2, weights=11" in repr(layer)


def measured(*, order: str) -> QuantumCircuit:
    circuit, _, _ = ansatz()
    if order == "meas":
        circuit.measure_all()
        return circuit
    one, two = ClassicalRegister(1, "one"), ClassicalRegister(2, "two")
    full = QuantumCircuit(QuantumRegister(2), one, two)
    full.compose(circuit, [0, 1], inplace=True)
    full.measure(1, one[0])  # bit 0
    full.measure(0, two[1])  # bit 2: outcomes from 4 on are dropped by SamplerQNN
    return full


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"circuit": measured(order="meas")},
        {"circuit": measured(order="joined")},
        {"interpret": lambda k: k.bit_count() % 2, "output_shape": 2},
        {"interpret": lambda k: (k % 2, k // 2 + 1), "output_shape": (2, 3)},
        {"interpret": lambda k: -1 if k else 0, "output_shape": 5},
    ],
    ids=["default", "meas", "registers", "parity", "tuple", "negative"],
)
def test_sampler_outputs_are_within_shot_noise_and_gradients_equal(options):
    qnn = sampler_qnn(**options)
    qnn.gradient = EngineSamplerGradient(qnn.sampler)
    layer, connector = QuantumLayer.from_qnn(qnn, WEIGHTS), TorchConnector(qnn, WEIGHTS)
    inputs = torch.rand(2, 2, generator=torch.Generator().manual_seed(2))
    exact, noisy = layer(inputs), connector(inputs)
    assert exact.shape == noisy.shape
    sigma = (exact * (1 - exact) / SHOTS).clamp(min=0).sqrt()
    assert ((exact - noisy).abs() <= 5 * sigma + 1e-6).all()
    cotangent = torch.arange(1.0, exact[0].numel() + 1).reshape(exact[0].shape)
    layer.zero_grad()
    (exact * cotangent).sum().backward()
    (noisy * cotangent).sum().backward()
    torch.testing.assert_close(layer.weight.grad, connector.weight.grad, rtol=1e-5, atol=1e-5)


def test_what_is_not_supported_is_named():
    class Own(EstimatorQNN):
        pass

    circuit, x, w = ansatz()
    own = Own(circuit=circuit, input_params=x, weight_params=w, estimator=StatevectorEstimator())
    with pytest.raises(UnsupportedCircuit, match="got Own"):
        QuantumLayer.from_qnn(own)
    sparse = sampler_qnn()
    sparse._sparse = True  # the package `sparse` is not installed here
    with pytest.raises(UnsupportedCircuit, match="sparse=True"):
        QuantumLayer.from_qnn(sparse)
    line = generate_preset_pass_manager(
        1, coupling_map=CouplingMap.from_line(3), basis_gates=["rz", "sx", "cx"]
    )
    with pytest.raises(UnsupportedCircuit, match="layout"):
        QuantumLayer.from_qnn(sampler_qnn(pass_manager=line))
    flow = circuit.copy()
    flow.add_register(ClassicalRegister(1, "c"))
    with flow.if_test((flow.clbits[0], 1)):
        flow.x(0)
    with pytest.raises(UnsupportedCircuit, match="if_else"):
        QuantumLayer.from_qnn(sampler_qnn(flow))


def test_wrong_values_are_refused():
    layer = QuantumLayer.from_qnn(estimator_qnn())
    for inputs in (torch.zeros(3), torch.zeros(()), torch.zeros(2, 1), None):
        with pytest.raises(InvalidData, match=r"shape \(\.\.\., 2\)"):
            layer(inputs)
    with pytest.raises(InvalidData, match="finite"):
        layer(torch.full((1, 2), torch.nan))
    with pytest.raises(InvalidData, match=r"initial_weights have shape \(11,\)"):
        QuantumLayer.from_qnn(estimator_qnn(), np.zeros(3))
    with pytest.raises(InvalidData, match="Hermitian"):
        QuantumLayer.from_qnn(estimator_qnn(observables=[SparsePauliOp("ZZ", 1j)]))
    with pytest.raises(InvalidData, match="all 2 qubits"):
        QuantumLayer.from_qnn(estimator_qnn(observables=[SparsePauliOp("ZZZ")]))
    for interpret in (lambda k: k, lambda k: (k, 0), lambda k: "a"):
        with pytest.raises(InvalidData, match="interpret gives an index"):
            QuantumLayer.from_qnn(sampler_qnn(interpret=interpret, output_shape=2))


def constant_qnn(kind: str):
    """Outputs on which the weights, or the inputs, or both have no effect."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    if kind == "sampled phase":
        circuit.ry(x[0], 0)
        circuit.rz(w[0], 1)
        circuit.rz(w[1], 0)
        circuit.rz(x[1], 1)
        given = {"sampler": EngineSampler(), "gradient": EngineSamplerGradient()}
        return SamplerQNN(
            circuit=circuit, input_params=x, weight_params=w, input_gradients=True, **given
        )
    circuit.rx(x[0], 0)
    circuit.rz(x[1], 1)
    if kind == "global phase":
        circuit.global_phase = w[0] + w[1]
    elif kind == "cancelled":
        circuit.ry(0 * w[0] + 0.3 + w[1] - w[1], 1)
    else:
        circuit.rx(w[0], 1)
        circuit.rz(w[1], 0)
    return EstimatorQNN(
        circuit=circuit,
        estimator=EngineEstimator(),
        gradient=EngineEstimatorGradient(),  # parameter shift knows no global phase
        observables=SparsePauliOp("IX" if kind != "no input" else "XI"),
        input_params=x,
        weight_params=w,
        input_gradients=True,
        default_precision=0.0,
    )


@pytest.mark.parametrize(
    "kind", ["no weight", "global phase", "cancelled", "sampled phase", "no input"]
)
@pytest.mark.parametrize("of_inputs", [False, True])
def test_what_has_no_effect_has_a_gradient_of_zero(kind, of_inputs):
    qnn = constant_qnn(kind)
    rows = torch.tensor([[0.3, 0.4], [0.5, 1.0]], requires_grad=of_inputs)
    found = []
    for layer in (QnnLayer(qnn, [0.1, 0.2]), TorchConnector(qnn, np.array([0.1, 0.2]))):
        rows.grad = None
        outputs = layer(rows)
        (outputs * torch.arange(1.0, outputs.numel() + 1).reshape(outputs.shape)).sum().backward()
        found.append([layer.weight.grad, rows.grad if of_inputs else torch.zeros(1)])
    for own, theirs in zip(*found, strict=True):
        torch.testing.assert_close(own, theirs, atol=1e-5, rtol=0)


def test_a_layer_without_weights_can_stand_in_a_model():
    x = ParameterVector("x", 1)
    circuit = QuantumCircuit(1)
    circuit.ry(x[0], 0)
    qnn = EstimatorQNN(circuit=circuit, estimator=StatevectorEstimator(), input_params=x)
    layer = QnnLayer(qnn)
    layer(torch.zeros(2, 1)).sum().backward()
    assert layer.weight.grad.shape == (0,)
    with torch.no_grad():
        assert not layer(torch.zeros(2, 1)).requires_grad


def noisy_aer(primitive):
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.2, 1), ["rx", "ry", "rz"])
    return primitive(options={"backend_options": {"noise_model": model}})


@pytest.mark.parametrize(
    "make",
    [
        lambda: noisy_aer(AerEstimator),
        lambda: noisy_aer(AerSampler),
        lambda: AerEstimator.from_backend(load_backend("fake_quito")),
        lambda: BackendEstimatorV2(backend=load_backend("fake_quito")),
    ],
)
def test_what_a_noisy_primitive_adds_is_left_out_aloud(make):
    circuit, x, w = ansatz()
    primitive = make()
    options = {"circuit": circuit, "input_params": x, "weight_params": w}
    if type(primitive) is AerSampler:
        qnn = SamplerQNN(sampler=primitive, **options)
    else:
        qnn = EstimatorQNN(estimator=primitive, **options)
    with pytest.warns(UserWarning, match="leaves out what the QNN's .* adds") as caught:
        layer = QuantumLayer.from_qnn(qnn, WEIGHTS)
    assert [each.filename for each in caught] == [__file__]
    ideal = QuantumLayer.from_qnn(
        sampler_qnn() if type(primitive) is AerSampler else estimator_qnn(observables=None), WEIGHTS
    )
    torch.testing.assert_close(layer(torch.ones(1, 2)), ideal(torch.ones(1, 2)))


@pytest.mark.parametrize("kind", [EstimatorQNN, SamplerQNN])
@pytest.mark.parametrize("own", [False, True])
def test_ideal_primitives_are_no_reason_to_warn(kind, own):
    circuit, x, w = ansatz()
    place = "estimator" if kind is EstimatorQNN else "sampler"
    ideal = {"estimator": AerEstimator, "sampler": AerSampler}[place]()
    options = {place: ideal} if own else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        qnn = kind(circuit=circuit, input_params=x, weight_params=w, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        QuantumLayer.from_qnn(qnn)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("kind", [EstimatorQNN, SamplerQNN])
def test_parameters_that_are_amplitudes_are_refused_by_name(kind, wrap):
    loader = raw_feature_vector(4)
    circuit = QuantumCircuit(2)
    circuit.compose(loader, inplace=True)
    (w,) = ParameterVector("w", 1)
    circuit.ry(w, 0)
    if wrap:
        outer = QuantumCircuit(2)
        outer.append(circuit.to_instruction(), [0, 1])
        circuit = outer
    place = "estimator" if kind is EstimatorQNN else "sampler"
    primitive = EngineEstimator() if kind is EstimatorQNN else EngineSampler()
    x = [p for p in circuit.parameters if p != w]
    qnn = kind(circuit=circuit, input_params=x, weight_params=[w], **{place: primitive})
    with pytest.raises(UnsupportedCircuit, match="amplitude" if not wrap else "Initialize"):
        QuantumLayer.from_qnn(qnn)
