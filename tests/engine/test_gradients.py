"""Gradients, computed by autograd, against finite differences and the parameter-shift rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector

from qdm_qiskit.circuits import eeqdm
from qdm_qiskit.engine import CircuitProgram, compile_circuit

p, q, r = Parameter("p"), Parameter("q"), Parameter("r")
OBSERVABLES = [SparsePauliOp(["XZ", "YI", "ZZ"], [0.3, -1.2, 0.7]), SparsePauliOp("IY")]


def program() -> CircuitProgram:
    """Inputs and weights, each alone, in expressions and together in one gate."""
    circuit = QuantumCircuit(2, global_phase=q)
    circuit.h(0)
    circuit.rx(p, 0)
    circuit.crz(q, 0, 1)
    circuit.u(r.sin() * 2, p * q, r / (q + 3), 1)
    circuit.rxx(p + r, 1, 0)
    circuit.ry(q**2, 1)
    circuit.cp(r, 1, 0)
    return compile_circuit(circuit, [p], [q, r])


def points(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(2, 1, dtype=torch.float64, generator=g)
    w = torch.rand(2, dtype=torch.float64, generator=g)
    state = torch.randn(2, 4, dtype=torch.complex128, generator=g)
    return tuple(each.requires_grad_() for each in (x, w, state))  # type: ignore[return-value]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w, s: torch.view_as_real(program().statevector(x, w, s)),
        lambda x, w, s: program().probabilities(x, w, s),
        lambda x, w, s: program().probabilities(x, w, s, qubits=[1]),
        lambda x, w, s: program().expectation(OBSERVABLES, x, w, s),
    ],
    ids=["statevector", "probabilities", "marginal", "expectation"],
)
def test_gradcheck_in_inputs_weights_and_state(function):
    assert torch.autograd.gradcheck(function, points())


def test_second_derivatives():
    x, w, s = points()
    assert torch.autograd.gradgradcheck(
        lambda x, w: program().expectation(OBSERVABLES, x, w, s.detach()), (x, w)
    )


def test_real_initial_states_have_gradients_too():
    x, w, _ = points()
    state = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: program().probabilities(x, w, s), (state,))


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_eeqdm_follow_the_parameter_shift_rule(seed):
    """Every weight stands in one RZ or RY: df/dw = (f(w + pi/2) - f(w - pi/2)) / 2, from Qiskit."""
    spec = eeqdm(2, 2)
    observable = SparsePauliOp(["ZZX", "XIZ", "IYI"], [1.0, 0.5, -0.3])
    w = np.random.default_rng(seed).uniform(-np.pi, np.pi, len(spec.weights))

    def value(weights: np.ndarray) -> float:
        state = Statevector(spec.circuit.assign_parameters(weights))
        return float(state.expectation_value(observable).real)

    shift = np.pi / 2 * np.eye(len(w))
    expected = [(value(w + each) - value(w - each)) / 2 for each in shift]
    weights = torch.tensor(w, requires_grad=True)
    compile_circuit(spec.circuit, (), spec.weights).expectation(
        [observable], weights=weights
    ).sum().backward()
    assert weights.grad is not None
    np.testing.assert_allclose(weights.grad.numpy(), expected, atol=1e-12)


def test_gradient_of_a_shared_weight_is_the_sum_over_the_batch():
    spec = eeqdm(2, 2, guided=True)
    compiled = compile_circuit(spec.circuit, spec.inputs, spec.weights)
    g = torch.Generator().manual_seed(4)
    x = torch.rand(5, 1, dtype=torch.float64, generator=g)
    w = torch.randn(len(spec.weights), dtype=torch.float64, generator=g, requires_grad=True)

    def gradient(rows: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad((compiled.probabilities(rows, w)[:, :3] ** 2).sum(), w)[0]

    one_by_one = sum(gradient(row[None]) for row in x)
    torch.testing.assert_close(gradient(x), one_by_one, rtol=1e-12, atol=1e-13)
    assert float(gradient(x).abs().min()) >= 0
    assert float(gradient(x).abs().max()) > 1e-3


def test_mixed_precision_keeps_gradients():
    x, w, _ = points()
    low = x.detach().float().requires_grad_()
    program().probabilities(low, w)[:, 0].sum().backward()
    assert low.grad is not None
    assert low.grad.dtype == torch.float32
    program().probabilities(x, w)[:, 0].sum().backward()
    torch.testing.assert_close(low.grad.double(), x.grad, rtol=1e-5, atol=1e-6)


def test_angles_between_fixed_gates_of_one_run():
    # H, SX and angles on one qubit are one run of a block: each derivative is read through the
    # gates before it, and no run holds two angles.
    w = [Parameter(f"w_{k:04d}") for k in range(4)]
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.ry(w[0], 0)
    circuit.ry(w[1], 0)
    circuit.sx(0)
    circuit.ry(w[2], 0)
    circuit.h(1)
    circuit.rxx(w[3], 0, 1)
    circuit.h(0)
    program = compile_circuit(circuit, (), w)
    weights = torch.tensor([0.3, -1.1, 0.8, 0.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: program.expectation(OBSERVABLES, None, w), (weights,))
