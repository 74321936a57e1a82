"""The layer itself, on the engine."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector

from qdm_qiskit.circuits import (
    CircuitSpec,
    ExpectationReadout,
    ProbabilityReadout,
    eeqdm,
    input_parameters,
    qddm,
    register_spec,
    weight_parameters,
)
from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.layers import QuantumLayer
from qdm_qiskit.layers.executors import read_probabilities
from qdm_qiskit.layers.quantum_layer import normalised
from tests.helpers import generator

EPS = np.finfo(np.float32).eps


def angle_spec() -> CircuitSpec:
    circuit = QuantumCircuit(2)
    for qubit, x in enumerate(input_parameters(2)):
        circuit.rx(x, qubit)
    for qubit, w in enumerate(weight_parameters(2)):
        circuit.ry(w, qubit)
    circuit.cx(0, 1)
    observables = (SparsePauliOp("ZI"), SparsePauliOp(["XX", "IZ"], [0.5, -2.0]))
    return CircuitSpec(
        name="angles",
        circuit=circuit,
        encoding="angle",
        data_qubits=(0, 1),
        readout=ExpectationReadout(observables=observables),
        source="this test",
    )


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("make", [eeqdm, qddm])
def test_probability_layer_against_qiskit(make, guided):
    spec = make(3, 3, guided=guided)
    layer = QuantumLayer(spec, weight_map="pi_tanh", generator=generator()).double()
    vectors = torch.randn(4, 8, dtype=torch.float64, generator=generator(1))
    labels = torch.rand(4, 1, dtype=torch.float64, generator=generator(2)) if guided else None
    got = layer(vectors, labels).detach().numpy()
    angles = np.pi * np.tanh(layer.weights.detach().numpy())
    for row in range(4):
        start = np.zeros(16)
        # data on the ancilla's zeros
        start[::2] = torch.nn.functional.normalize(vectors[row], dim=0).numpy()
        given = {} if labels is None else {spec.inputs[0]: float(labels[row, 0])}
        bound = spec.circuit.assign_parameters(
            {**dict(zip(spec.weights, angles, strict=True)), **given}
        )
        probabilities = Statevector(start).evolve(bound).probabilities()
        np.testing.assert_allclose(got[row], probabilities[::2], atol=1e-12)


def test_expectation_layer_against_qiskit():
    spec = angle_spec()
    layer = QuantumLayer(spec, generator=generator()).double()
    x = torch.randn(3, 2, dtype=torch.float64, generator=generator(1))
    got = layer(inputs=x).detach().numpy()
    for row in range(3):
        values = np.concatenate(
            [layer.weights.detach().numpy(), x[row].numpy()]
        )  # w sorts before x
        state = Statevector(spec.circuit.assign_parameters(values))
        expected = [state.expectation_value(each).real for each in spec.readout.observables]
        np.testing.assert_allclose(got[row], expected, atol=1e-12)


def test_weight_maps_and_initial_weights():
    spec = eeqdm(4, 60)
    layer = QuantumLayer(spec, generator=generator(), weight_map="pi_tanh", init_std=0.4)
    torch.testing.assert_close(layer.angles(), math.pi * torch.tanh(layer.weights))
    again = QuantumLayer(spec, generator=generator(), init_std=0.4)
    assert torch.equal(again.weights, layer.weights)
    assert torch.equal(again.angles(), again.weights)
    # 540 draws: the sample's standard deviation has sigma = 0.4 / sqrt(1080) = 0.012; 4 sigma.
    assert len(layer.weights) == 540
    assert abs(float(layer.weights.detach().std()) - 0.4) < 4 * 0.012
    assert not QuantumLayer(spec, init_std=0).weights.any()


def test_only_the_circuits_weights_are_parameters():
    layer = QuantumLayer(eeqdm(2, 1))
    assert list(layer.state_dict()) == ["weights"]
    assert "eeqdm, qubits=3, weights=6" in repr(layer)


@pytest.mark.parametrize(
    "options", [{"weight_map": "tanh"}, {"init_std": -1.0}, {"init_std": float("nan")}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(InvalidOption, match=r"weight_map 'identity', .* and init_std >= 0"):
        QuantumLayer(eeqdm(2, 1), **options)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-10, 1.0, 1e10, 1e30, 1e38])
def test_any_scale_is_normalised(scale):
    # Squares of the outer ones leave float32; 1e-42 is denormal and keeps three digits.
    vector = torch.tensor([[1.0, -2.0, 0.0, 2.0]]) * scale
    got = normalised(vector, 4)
    torch.testing.assert_close(
        got, torch.tensor([[1.0, -2, 0, 2]]) / 3, rtol=2e-3 if scale < 1e-37 else 4 * EPS, atol=0
    )


def test_normalising_has_the_gradient_of_the_norm():
    vectors = torch.randn(3, 4, dtype=torch.float64, requires_grad=True, generator=generator())
    assert torch.autograd.gradcheck(lambda v: normalised(v, 4), (vectors,))


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (torch.zeros(1, 4), "Vector 0 of 1 .*all-zero"),
        (torch.tensor([[1.0, 0, 0, 0], [float("nan"), 0, 0, 0]]), "Vector 1 of 2 .*nan"),
        (torch.tensor([[float("inf"), 0, 0, 0]]), "Vector 0 of 1 .*inf"),
        (torch.ones(4), r"shape \(batch, 4\), got \(4,\)"),
        (torch.ones(1, 5), r"shape \(batch, 4\), got \(1, 5\)"),
    ],
)
def test_vectors_that_are_no_states_are_refused(vectors, message):
    with pytest.raises(InvalidData, match=message) as caught:
        QuantumLayer(eeqdm(2, 1))(vectors)
    assert "\n" not in str(caught.value)


def test_arguments_that_the_encoding_does_not_take_are_refused():
    with pytest.raises(InvalidData, match="'eeqdm' needs amplitudes"):
        QuantumLayer(eeqdm(2, 1))()
    with pytest.raises(InvalidData, match="takes no amplitudes"):
        QuantumLayer(angle_spec())(torch.ones(1, 4), torch.ones(1, 2))
    with pytest.raises(InvalidData, match="Inputs have shape"):
        QuantumLayer(angle_spec())()
    with pytest.raises(InvalidData, match="Inputs have shape"):
        QuantumLayer(eeqdm(2, 1))(torch.ones(1, 4), torch.ones(1, 1))
    with pytest.raises(InvalidData, match="Inputs have shape"):
        QuantumLayer(eeqdm(2, 1, guided=True))(torch.ones(1, 4))


def test_renormalised_readout_sums_to_one():
    spec = eeqdm(2, 2)
    readout = ProbabilityReadout(qubits=(1, 2), postselect=((0, 0),), renormalise=True)
    conditional = CircuitSpec(
        name="conditional",
        circuit=spec.circuit,
        encoding="amplitude",
        data_qubits=(1, 2),
        ancilla_qubits=(0,),
        readout=readout,
        source="this test",
    )
    joint = QuantumLayer(spec, generator=generator()).double()
    layer = QuantumLayer(conditional, generator=generator()).double()
    x = torch.randn(3, 4, dtype=torch.float64, generator=generator(1))
    expected = joint(x) / joint(x).sum(-1, keepdim=True)
    torch.testing.assert_close(layer(x), expected)
    with pytest.raises(InvalidData, match=r"post-selection .* never happened"):
        read_probabilities(conditional, torch.eye(8)[1:2])  # all weight on ancilla = 1


@pytest.mark.parametrize("renormalise", [False, True])
def test_amplitudes_after_the_readouts_selection(renormalise):
    spec = eeqdm(2, 2)
    layer = QuantumLayer(spec, generator=generator()).double()
    vectors = torch.randn(3, 4, dtype=torch.complex128, generator=generator(1))
    found = layer.statevector(vectors, renormalise=renormalise)
    start = np.zeros((3, 8), dtype=complex)
    start[:, ::2] = (vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)).numpy()
    bound = spec.circuit.assign_parameters(layer.weights.detach().numpy())
    for row in range(3):
        expected = Statevector(start[row]).evolve(bound).data[::2]
        if renormalise:
            expected = expected / np.linalg.norm(expected)
        np.testing.assert_allclose(found[row].detach().numpy(), expected, atol=1e-12)
    torch.testing.assert_close(
        found.abs().square().sum(1) < 0.999, torch.full((3,), not renormalise)
    )
    found.real.sum().backward()
    assert layer.weights.grad is not None


def test_amplitudes_of_another_executor_are_refused():
    layer = QuantumLayer(angle_spec(), executor=lambda angles, amplitudes, inputs: angles)
    with pytest.raises(InvalidOption, match="Only the engine"):
        layer.statevector(inputs=torch.zeros(1, 2))


def test_a_readout_that_no_weight_touches_has_a_gradient_of_zero():
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("x_0000"), 0)
    circuit.ry(Parameter("w_0000"), 1)
    circuit.global_phase = Parameter("w_0001")
    readout = ExpectationReadout(observables=(SparsePauliOp("IZ"),))
    layer = QuantumLayer(register_spec(circuit, source="test", encoding="angle", readout=readout))
    layer(inputs=torch.full((3, 1), 0.4)).sum().backward()
    torch.testing.assert_close(layer.weights.grad, torch.zeros(2))
