"""Derivatives by shifted rows of a call: against the engine's, for every kind of gate, and shots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector

from qdm_qiskit.circuits import CircuitSpec, eeqdm
from qdm_qiskit.execution.calls import CircuitCall
from qdm_qiskit.layers.calling import ExactTarget
from qdm_qiskit.layers.executors import EngineExecutor
from qdm_qiskit.sampling import EngineShots
from qdm_qiskit.sampling.call_targets import Programs
from qdm_qiskit.training.targets.called import ShiftedExecutor, shifted_rows

X, W, V = Parameter("x"), Parameter("w"), Parameter("v")


def asking(calls: list[CircuitCall], target=None):
    exact = ExactTarget() if target is None else target

    def ask(call: CircuitCall) -> np.ndarray:
        calls.append(call)
        return exact.answer([call])[0].outputs

    return ask


def one_gate(name: str) -> QuantumCircuit:
    """Two qubits in a state that every gate changes, one gate of the weights, and an input."""
    circuit = QuantumCircuit(2)
    circuit.ry(0.7, 0), circuit.ry(X, 1), circuit.rz(0.4, 0), circuit.cx(0, 1), circuit.ry(0.3, 0)
    {
        "ry": lambda: circuit.ry(W, 0),
        "scaled": lambda: circuit.ry(3 * W + 0.2, 0),
        "square": lambda: circuit.rx(W * W, 0),
        "twice": lambda: (circuit.ry(W, 0), circuit.rx(W, 1)),
        "with an input": lambda: circuit.ry(W * X, 0),
        "p": lambda: circuit.p(W, 0),
        "rzz": lambda: circuit.rzz(W, 0, 1),
        "crx": lambda: circuit.crx(W, 0, 1),
        "open crz": lambda: circuit.append(circuit_gate("crz"), [0, 1]),
        "cp": lambda: circuit.cp(W, 0, 1),
        "cu": lambda: circuit.cu(W, V, 0.3, W, 0, 1),
        "u": lambda: circuit.u(W, V, W, 1),
    }[name]()
    circuit.ry(0.9, 1), circuit.rx(0.5, 0)
    return circuit


def circuit_gate(name: str):
    from qiskit.circuit.library import CRZGate

    assert name == "crz"
    return CRZGate(W, ctrl_state=0)


GATES = ["ry", "scaled", "square", "twice", "with an input", "p", "rzz", "crx", "open crz", "cp"]
GATES += ["cu", "u"]


@pytest.mark.parametrize("name", GATES)
def test_gradients_are_the_engines_and_those_of_differences(name):
    circuit = one_gate(name)
    observables = [SparsePauliOp(["ZI", "XX"], [0.5, 1.0]), SparsePauliOp("IY")]
    used = [p for p in (W, V) if p in circuit.parameters]
    spec = CircuitSpec.from_circuit(circuit, inputs=[X], weights=used, readout=observables)
    values = torch.tensor([0.37, -0.81][: len(used)], dtype=torch.float64)
    inputs = torch.tensor([[0.3], [1.1]], dtype=torch.float64)
    shifted = ShiftedExecutor("layer", spec, asking([]))
    exactly = EngineExecutor(spec)

    def slopes(executor):
        w, x = values.clone().requires_grad_(), inputs.clone().requires_grad_()
        found = executor(w, None, x)
        weight = torch.arange(1.0, 1 + found.numel(), dtype=torch.float64).reshape(found.shape)
        return found.detach(), torch.autograd.grad((weight * found.sin()).sum(), [w, x])

    (said, ours), (wanted, theirs) = slopes(shifted), slopes(exactly)
    torch.testing.assert_close(said, wanted, atol=1e-10, rtol=0)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-9, rtol=0)

    def by_statevector(w: float) -> np.ndarray:
        bound = circuit.assign_parameters({X: 0.3, W: w, **({V: -0.81} if V in used else {})})
        return np.array([Statevector(bound).expectation_value(each).real for each in observables])

    step = 1e-4
    difference = (by_statevector(0.37 + step) - by_statevector(0.37 - step)) / (2 * step)
    w = values.clone().requires_grad_()
    rows = shifted(w, None, inputs)[0]
    found = [torch.autograd.grad(each, w, retain_graph=True)[0][0].item() for each in rows]
    np.testing.assert_allclose(found, difference, atol=1e-6)


@pytest.mark.parametrize(("name", "rows"), [("ry", 2), ("crx", 4), ("twice", 4), ("u", 6)])
def test_a_gate_costs_the_rows_of_its_rule(name, rows):
    circuit = one_gate(name)
    used = [p for p in (W, V) if p in circuit.parameters]
    spec = CircuitSpec.from_circuit(
        circuit, inputs=[X], weights=used, readout=[SparsePauliOp(["ZZ", "XY"], [1, 1])]
    )
    calls: list[CircuitCall] = []
    executor = ShiftedExecutor("layer", spec, asking(calls))
    weights = torch.zeros(len(used), dtype=torch.float64, requires_grad=True)
    executor(weights, None, torch.zeros(5, 1, dtype=torch.float64))
    assert calls[-1].num_rows == 5 * (1 + rows)
    with torch.no_grad():
        executor(weights, None, torch.zeros(5, 1, dtype=torch.float64))
    assert calls[-1].num_rows == 5  # nothing asks for a derivative
    assert calls[0].content == calls[1].content
    moved = (weights + 1.0).detach().requires_grad_()
    executor(moved, None, torch.ones(5, 1, dtype=torch.float64))
    assert calls[-1].content == calls[0].content  # so that it is transpiled once


def test_phases_that_nothing_sees_are_not_paid_for():
    circuit = QuantumCircuit(1)
    circuit.ry(W, 0), circuit.rz(V, 0)
    spec = CircuitSpec.from_circuit(circuit, weights=[W, V], readout=[0])
    executor = ShiftedExecutor("layer", spec, asking([]))
    executor(torch.zeros(2, dtype=torch.float64, requires_grad=True), None, None)
    assert executor.shifted == 1


def test_a_quotient_of_a_post_selection_has_the_engines_gradient():
    spec = eeqdm(num_data=2, depth=2)
    spec = replace(spec, readout=replace(spec.readout, renormalise=True))
    x = torch.nn.functional.normalize(torch.rand(3, 4, dtype=torch.float64), dim=1)
    weights = torch.linspace(-1, 1, len(spec.weights), dtype=torch.float64)
    scale = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)

    def slope(executor):
        w = weights.clone().requires_grad_()
        return torch.autograd.grad((executor(w, x, None) * scale).sum(), w)[0]

    ours = slope(ShiftedExecutor("layer", spec, asking([])))
    torch.testing.assert_close(ours, slope(EngineExecutor(spec)), atol=1e-10, rtol=0)


def test_shots_are_unbiased_in_the_gradient_of_a_square():
    """200 draws: values and shifted values have shots of their own, so their product has no bias."""
    circuit = QuantumCircuit(2)
    circuit.ry(X, 0), circuit.ry(W, 0), circuit.cx(0, 1), circuit.crx(V, 0, 1)
    spec = CircuitSpec.from_circuit(
        circuit, inputs=[X], weights=[W, V], readout=[SparsePauliOp(["ZI", "IZ"], [1, 0.5])]
    )
    x = torch.tensor([[0.4], [-0.9]], dtype=torch.float64)
    wanted = torch.tensor([[0.3], [0.9]], dtype=torch.float64)

    def slope(executor):
        w = torch.tensor([0.6, 0.8], dtype=torch.float64, requires_grad=True)
        loss = (executor(w, None, x) - wanted).square().mean()
        return torch.autograd.grad(loss, w)[0].numpy()

    exact = slope(EngineExecutor(spec))
    programs, found = Programs(), []
    executor = ShiftedExecutor("layer", spec, lambda call: answers(call))
    for seed in range(200):
        target = EngineShots(seed, programs, single=False)

        def answers(call, target=target):
            return target.answer([replace(call, shots=8)])[0].outputs

        found.append(slope(executor))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(mean - exact) < 4 * error).all()
    assert (np.abs(exact) > 10 * error).any()  # a gradient of 0, or of half, would be seen


def test_rows_ahead_come_before_those_behind():
    rows = shifted_rows(np.array([[0.0, 1.0], [2.0, 3.0]]), [1])
    quarter = np.pi / 2
    wanted = [
        [0, 1],
        [2, 3],
        [0, 1 + quarter],
        [2, 3 + quarter],
        [0, 1 - quarter],
        [2, 3 - quarter],
    ]
    np.testing.assert_allclose(rows, wanted)
