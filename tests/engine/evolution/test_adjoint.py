"""The backward pass that computes states again gives the gradients of the one that stores them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.circuits import qddm
from qdm_qiskit.engine import CircuitProgram, compile_circuit
from qdm_qiskit.engine.evolution.adjoint import find_tail
from qdm_qiskit.engine.lowering.fusion import strategies
from qdm_qiskit.errors import InvalidData


def variants(circuit: QuantumCircuit, inputs: list, weights: list, strategy: str) -> list:
    """The same program with and without stored states."""
    plain = compile_circuit(circuit, inputs, weights)
    return [
        CircuitProgram(
            num_qubits=circuit.num_qubits,
            num_inputs=len(inputs),
            num_weights=len(weights),
            operations=plain._operations,
            phases=plain._phases,
            strategy=strategy,
            adjoint=adjoint,
        )
        for adjoint in (False, True)
    ]


def mixed_circuit() -> tuple[QuantumCircuit, list, list]:
    circuit, x, w = QuantumCircuit(4), ParameterVector("x", 4), ParameterVector("w", 24)
    angles = iter(w)
    for q in range(4):
        circuit.rx(x[q], q)
    for _ in range(2):
        for q in range(4):
            circuit.u(next(angles), next(angles), 0.3, q)
        circuit.cx(0, 1)
        circuit.cz(1, 2)
        circuit.swap(2, 3)
        circuit.rzz(next(angles), 0, 3)
        circuit.crx(next(angles), 3, 1)
        circuit.rx(next(angles), 2)
        circuit.sx(0)
        circuit.rxx(next(angles), 1, 3)
    return circuit, list(x), [p for p in w if p in circuit.parameters]


NAMES = list(strategies(compile_circuit(*mixed_circuit())._operations, 4))


@pytest.mark.parametrize("strategy", NAMES)
def test_gradients_equal_those_of_autograd(strategy):
    circuit, x, w = mixed_circuit()
    stored, again = variants(circuit, x, w, strategy)
    values = np.random.default_rng(1).normal(size=(3, 4))
    observable = [SparsePauliOp(["XYZI", "ZZII", "IIXX"], [0.3, 0.5, -0.7])]
    gradients = []
    for program in (stored, again):
        inputs = torch.tensor(values)
        weights = torch.linspace(-2, 2, len(w), dtype=torch.float64)
        inputs.requires_grad_()
        weights.requires_grad_()
        out = program.expectation(observable, inputs, weights)
        (out * torch.tensor([[1.0], [2.0], [-0.5]])).sum().backward()
        gradients.append((out.detach(), inputs.grad, weights.grad))
    for left, right in zip(*gradients, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("strategy", ["monomials apart, blocks of 2", "blocks of 3"])
def test_gradcheck_in_initial_state_and_weights(strategy):
    spec = qddm(2, 2)
    _, program = variants(spec.circuit, [], list(spec.weights), strategy)
    layout = program._layout(tuple(range(3)))
    assert layout.tail.steps, "nothing here is computed again"
    weights = torch.linspace(-1, 1, len(spec.weights), dtype=torch.float64, requires_grad=True)
    state = torch.randn(2, 8, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    state = (state / torch.linalg.vector_norm(state, dim=1, keepdim=True)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda w, s: program.probabilities(None, w, s), (weights, state)
    )


def test_one_state_is_kept_for_each_layer():
    spec = qddm(8, 50)
    program = compile_circuit(spec.circuit, (), spec.weights)
    layout = program._layout(spec.data_qubits)
    assert find_tail(layout.plan.steps) == layout.tail
    assert len(layout.tail.kept) <= 51


@pytest.mark.parametrize("kept", [0, 2**30])
def test_second_derivatives_and_both_backward_passes(monkeypatch, kept):
    monkeypatch.setattr("qdm_qiskit.engine.program.KEPT_AMPLITUDES", kept)
    monkeypatch.setattr("qdm_qiskit.engine.program.OWN_BACKWARD", 0)
    circuit, x, w = mixed_circuit()
    program = compile_circuit(circuit, x, w)
    assert program._layout(()).tail.steps
    inputs = torch.linspace(-1, 1, 8, dtype=torch.float64).view(2, 4).requires_grad_()
    weights = torch.linspace(-2, 2, len(w), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(program.probabilities, (inputs, weights))
    assert torch.autograd.gradgradcheck(
        lambda x, w: program.probabilities(x, w)[:, :2], (inputs, weights)
    )


def test_rounding_does_not_pile_up_in_single_precision():
    spec = qddm(4, 50)
    stored, again = variants(spec.circuit, [], list(spec.weights), "monomials apart, blocks of 3")
    weights = torch.linspace(-3, 3, len(spec.weights), requires_grad=True)
    state = torch.rand(4, 16)
    found = []
    for program in (stored, again):
        out = program.probabilities(None, weights, state, initial_qubits=spec.data_qubits)
        (gradient,) = torch.autograd.grad((out**2).sum(), weights)
        found.append(gradient)
    scale = float(found[0].abs().max())
    # 300 products, each with a relative rounding error of about 6e-8, adding up like a random walk
    # at best and in line at worst.
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=300 * 6e-8 * scale)


def test_a_graph_of_the_gradient_counts_shared_blocks_once(monkeypatch):
    """Steps before the long run use matrices of the same group: weights, inputs, weights."""
    monkeypatch.setattr("qdm_qiskit.engine.program.OWN_BACKWARD", 0)
    x, a, b = Parameter("x"), Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.ry(a, 0)
    circuit.rx(x, 0)
    circuit.ry(b, 0)
    program = compile_circuit(circuit, [x], [a, b])
    inputs = torch.tensor([[0.3], [1.1]], dtype=torch.float64)
    weights = torch.tensor([0.4, 0.9], dtype=torch.float64, requires_grad=True)
    state = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.complex128)

    def value(weights: torch.Tensor) -> torch.Tensor:
        return program.probabilities(inputs, weights, state)[:, 0]

    (plain,) = torch.autograd.grad(value(weights).sum(), weights)
    (graph,) = torch.autograd.grad(value(weights).sum(), weights, create_graph=True)
    torch.testing.assert_close(graph, plain)
    torch.autograd.gradcheck(value, weights)
    torch.autograd.gradgradcheck(value, weights)


def test_weights_may_change_between_forward_and_backward_pass():
    circuit = QuantumCircuit(2)
    names = [Parameter(f"w_{k}") for k in range(2)]
    for qubit, name in enumerate(names):
        circuit.ry(name, qubit)
    program = compile_circuit(circuit, weights=names)
    weights = torch.tensor([0.4, 0.9], requires_grad=True)
    first = torch.autograd.grad(program.probabilities(None, weights)[:, 0].sum(), weights)[0]
    loss = program.probabilities(None, weights)[:, 0].sum()
    with torch.no_grad():
        weights.sub_(0.1)
    torch.testing.assert_close(torch.autograd.grad(loss, weights)[0], first)


def test_a_first_run_in_inference_mode_does_not_spoil_later_gradients():
    circuit = QuantumCircuit(2)
    names = [Parameter(f"w_{k}") for k in range(3)]
    circuit.h(0)
    circuit.crx(names[0], 0, 1)
    circuit.rz(names[2], 0)
    circuit.ry(names[1], 1)
    program = compile_circuit(circuit, weights=names)
    weights = torch.tensor([0.4, 0.9, 0.2], requires_grad=True)
    observables = [SparsePauliOp("ZI"), SparsePauliOp("XX")]
    with torch.inference_mode():
        before = program.expectation(observables, None, weights)
    after = program.expectation(observables, None, weights)
    torch.testing.assert_close(before.clone(), after.detach())
    after.sum().backward()
    assert weights.grad is not None
    assert bool(weights.grad.abs().sum() > 0)


def test_an_empty_batch_is_refused():
    circuit = QuantumCircuit(1)
    x = Parameter("x")
    circuit.ry(x, 0)
    with pytest.raises(InvalidData, match="at least one sample"):
        compile_circuit(circuit, [x]).probabilities(torch.zeros(0, 1))
