"""The metric of a model's circuits, and the step that it makes."""

from __future__ import annotations

import copy
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.primitives import StatevectorSampler
from qiskit.quantum_info import SparsePauliOp, Statevector
from torch import nn

from qdm_qiskit.circuits import (
    CircuitSpec,
    ExpectationReadout,
    strongly_entangling_layers,
    weight_parameters,
)
from qdm_qiskit.circuits.koelle import q_dense
from qdm_qiskit.circuits.spec import register_spec
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.layers import QuantumLayer, qnn_executor
from qdm_qiskit.layers.state_layer import StateLayer
from qdm_qiskit.models import build_model, resolve
from qdm_qiskit.training.circuit_weights import circuit_weights, weight_blocks
from qdm_qiskit.training.natural_gradient import NaturalGradient
from tests.helpers import generator


class Holder(nn.Module):
    """As much of a model as an optimizer sees."""

    name = "holder"

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer


def product_spec(num_qubits: int = 3) -> CircuitSpec:
    circuit = QuantumCircuit(num_qubits, name="ry_product")
    for qubit, weight in enumerate(weight_parameters(num_qubits)):
        circuit.ry(weight, qubit)
    return CircuitSpec(
        name="ry_product",
        circuit=circuit,
        encoding="angle",
        data_qubits=tuple(range(num_qubits)),
        readout=ExpectationReadout(observables=(SparsePauliOp("Z" * num_qubits),)),
        source="a test",
    )


def optimizer(model, **options) -> NaturalGradient:
    values = {"learning_rate": 0.01, "circuit_learning_rate": 0.1, **options}
    return NaturalGradient(model, **values)


def metrics(circuit, blocks="circuit") -> list[tuple[list[int], np.ndarray]]:
    return [(positions.tolist(), g.numpy()) for positions, g in circuit.metric(blocks)]


@pytest.mark.parametrize("blocks", ["layer", "circuit"])
def test_the_metric_of_an_ry_product_state_is_a_quarter(blocks):
    model = Holder(QuantumLayer(product_spec(), generator=generator()))
    [circuit] = circuit_weights(model, 8)
    model.layer()
    [(positions, g)] = metrics(circuit, blocks)
    assert positions == [0, 1, 2]
    np.testing.assert_allclose(g, np.eye(3) / 4, atol=1e-7)


def test_the_map_from_weights_to_angles_is_part_of_the_metric():
    model = Holder(QuantumLayer(product_spec(), weight_map="pi_tanh", generator=generator()))
    [circuit] = circuit_weights(model, 8)
    model.layer()
    slope = np.pi / np.cosh(model.layer.weights.detach().numpy()) ** 2
    np.testing.assert_allclose(metrics(circuit)[0][1], np.diag(slope**2) / 4, rtol=1e-5, atol=1e-12)


def test_the_step_is_the_damped_natural_gradient():
    model = Holder(QuantumLayer(product_spec(), generator=generator()))
    chosen = optimizer(model, regularisation=0.05)
    before = model.layer.weights.detach().clone()
    model.layer().sum().backward()
    gradient = model.layer.weights.grad.clone()
    assert float(gradient.abs().min()) > 1e-3
    chosen.step()
    torch.testing.assert_close(
        model.layer.weights.detach(), before - 0.1 * gradient / (0.25 + 0.05)
    )


def fidelity_metric(states, weights: np.ndarray, eps: float = 1e-3) -> np.ndarray:
    """``-1/2`` times the Hessian of the fidelity, by finite differences: another way to the metric."""
    size, here = len(weights), states(weights)

    def fidelity(shift: np.ndarray) -> float:
        return abs(np.vdot(here, states(weights + shift))) ** 2

    found = np.zeros((size, size))
    e = eps * np.eye(size)
    for i in range(size):
        for j in range(size):
            found[i, j] = (
                fidelity(e[i] + e[j]) - fidelity(e[i] - e[j])
                - fidelity(e[j] - e[i]) + fidelity(-e[i] - e[j])
            )  # fmt: skip
    return -0.5 * found / (4 * eps**2)


def test_the_metric_is_the_curvature_of_the_fidelity():
    """... of the whole register, averaged over the samples, for states as they really go in."""
    model = build_model(
        resolve("q_dense", {"image_size": 2, "depth": 1, "ancilla": True}), generator=generator()
    )
    [circuit] = circuit_weights(model, 8)
    x = torch.rand(3, 1, 2, 2, generator=generator(1))
    model(x, torch.ones(3))
    spec, weights = model.spec, model.layer.weights.detach().double().numpy()

    def states(image):
        full = np.zeros(8)
        full[spec.data_positions()] = image / np.linalg.norm(image)

        def state(w):
            bound = spec.circuit.assign_parameters(list(np.pi * np.tanh(w)))
            return Statevector(full).evolve(bound).data

        return state

    rows = [fidelity_metric(states(row), weights) for row in x.flatten(1).double().numpy()]
    [(_, g)] = metrics(circuit)
    np.testing.assert_allclose(g, np.mean(rows, axis=0), atol=3e-4)
    for positions, block in metrics(circuit, "layer"):
        np.testing.assert_allclose(block, g[np.ix_(positions, positions)], atol=1e-10)


@pytest.mark.slow
def test_each_row_and_repetition_of_a_table_has_its_own_metric():
    spec = register_spec(strongly_entangling_layers(2, 1), source="a test")
    layer = StateLayer(spec, 3, repeats=2, init_std=1.0, generator=generator())
    [circuit] = circuit_weights(Holder(layer), 8)
    x = torch.randn(4, 4, dtype=torch.complex64, generator=generator(1))
    layer(x, torch.tensor([2, 0, 2, 0]))
    found = metrics(circuit)
    assert [positions[0] for positions, _ in found] == [0, 6, 12, 18, 24, 30]
    assert not any(np.any(g) for _, g in found[2:4])  # row 1 was not run
    table = layer.weights.detach().double().numpy()

    def states(image, row, repeat):
        def state(w):
            values = table[row].reshape(2, 6).copy()
            values[repeat] = w
            now = Statevector(image / np.linalg.norm(image))
            for part in values:
                now = now.evolve(spec.circuit.assign_parameters(list(part)))
            return now.data

        return state

    for row, samples in ((0, x[1::2]), (2, x[::2])):
        for repeat in range(2):
            here = table[row].reshape(2, 6)[repeat]
            images = samples.to(torch.complex128).numpy()
            wanted = np.mean(
                [fidelity_metric(states(image, row, repeat), here) for image in images], axis=0
            )
            np.testing.assert_allclose(found[2 * row + repeat][1], wanted, atol=3e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_layers_of_a_circuit_are_blocks(num_data, depth, ancilla):
    spec = q_dense(num_data, depth, ancilla=ancilla)
    wires = num_data + ancilla
    blocks = weight_blocks(spec, "layer")
    assert sorted(chain(*blocks)) == list(range(len(spec.weights)))
    if wires > 1:
        assert [len(block) for block in blocks] == [3 * wires] * depth
    else:  # nothing entangles: one block
        assert len(blocks) == 1
    assert weight_blocks(spec, "circuit") == [list(range(len(spec.weights)))]


def test_gates_on_two_qubits_are_blocks_and_shared_weights_stay_in_the_first():
    a, b, c, d = weight_parameters(4)
    circuit = QuantumCircuit(2, name="mixed")
    circuit.rx(b, 0)
    circuit.ry(a, 1)
    circuit.crz(2 * c, 0, 1)
    circuit.rx(b + d, 0)
    assert weight_blocks(register_spec(circuit, source="a test"), "layer") == [[1, 0], [2], [3]]


def test_other_parameters_are_adams():
    model = build_model(
        resolve("qu_net", {"image_size": 4, "levels": 2, "depth": 1}), generator=generator()
    )
    twin = copy.deepcopy(model)
    ours = optimizer(model, learning_rate=0.02, betas=(0.9, 0.99), weight_decay=0.1)
    circuits = {id(p) for p in ours.param_groups[0]["params"]}
    names = [name for name, p in model.named_parameters() if id(p) not in circuits]
    assert len(names) == model.num_parameters - model.num_quantum_parameters - sum(
        p.numel() - 1 for name, p in model.named_parameters() if name in names
    )
    others = dict(twin.named_parameters())
    adam = torch.optim.Adam(
        [others[name] for name in names], lr=0.02, betas=(0.9, 0.99), weight_decay=0.1
    )
    x = torch.rand(2, 1, 4, 4, generator=generator(1))
    for _ in range(3):
        for each, chosen in ((model, ours), (twin, adam)):
            chosen.zero_grad()
            each(x, torch.ones(2)).square().mean().backward()
            chosen.step()
        with torch.no_grad():  # the circuits of the twin do as ours did
            for name, p in model.named_parameters():
                if name not in names:
                    others[name].copy_(p)
        twin.zero_grad()
    for name in names:
        assert torch.equal(dict(model.named_parameters())[name], others[name]), name


def test_samples_are_spread_and_dropped_after_the_step():
    model = build_model(resolve("q_dense", {"image_size": 2, "depth": 1}), generator=generator())
    chosen = optimizer(model, samples=3)
    [circuit] = chosen.circuits
    x = torch.rand(9, 1, 2, 2, generator=generator(1))
    with torch.no_grad():
        model(x, torch.ones(9))
    assert circuit.runs == []  # measuring is not training
    model(x, torch.ones(9)).sum().backward()
    [run] = circuit.runs
    expected = x[[0, 4, 8]].flatten(1)
    torch.testing.assert_close(run.states, expected / expected.norm(dim=1, keepdim=True))
    assert not run.states.requires_grad
    chosen.step()
    assert circuit.runs == []


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (
            lambda: build_model(resolve("classical_unet")),
            {},
            "'classical_unet' has no circuit layer",
        ),
        (
            lambda: Holder(QuantumLayer(product_spec())),
            {"regularisation": 0.0},
            "regularisation > 0",
        ),
        (lambda: Holder(QuantumLayer(product_spec())), {"regularisation": float("nan")}, "got nan"),
        (lambda: Holder(QuantumLayer(product_spec())), {"samples": 0}, "samples >= 1"),
        (lambda: Holder(QuantumLayer(product_spec())), {"blocks": "gate"}, "got .*'gate'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        optimizer(make(), **options)
    assert "\n" not in str(caught.value)


def test_circuits_on_other_primitives_have_no_metric():
    spec = q_dense(1, 1)
    layer = QuantumLayer(spec, executor=qnn_executor(spec, StatevectorSampler()))
    with pytest.raises(InvalidOption, match="computed on the engine, got another executor"):
        optimizer(Holder(layer))
