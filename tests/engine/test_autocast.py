"""Autocast around a circuit changes nothing: neither outputs nor gradients lose digits.

torch rounds products of real matrices to bfloat16 there, and leaves those of complex ones alone.
"""

import math

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer.noise import NoiseModel, amplitude_damping_error, depolarizing_error

from qdm_qiskit.circuits import eeqdm
from qdm_qiskit.engine import compile_circuit, compile_noisy
from qdm_qiskit.layers import QuantumLayer

Z = [SparsePauliOp("ZIII"), SparsePauliOp(["XXII", "IZZI"], [0.5, 2.0])]
MATRICES = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(2))


def ansatz(real):
    """Twelve weights and four inputs on four qubits; real amplitudes if asked for."""
    x, w, circuit = ParameterVector("x", 4), ParameterVector("w", 12), QuantumCircuit(4)
    for k in range(4):
        circuit.ry(x[k], k)
    for k in range(12):
        (circuit.ry if real or k % 2 else circuit.rx)(w[k], k % 4)
        circuit.cx(k % 4, (k + 1) % 4)
    return circuit, list(x), list(w)


def noise():
    model = NoiseModel()
    model.add_all_qubit_quantum_error(amplitude_damping_error(0.05), ["rx", "ry"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 2), ["cx"])
    return model


def predictions(real):
    """Each way to read a circuit, as a function of inputs and weights."""
    circuit, x, w = ansatz(real)
    exact = compile_circuit(circuit, x, w)
    density = compile_noisy(circuit, noise(), x, w, method="density")
    drawn = compile_noisy(circuit, noise(), x, w, method="trajectories")

    def trajectories(a, b):
        torch.manual_seed(3)
        return drawn.expectation(Z, a, b)

    return {
        "statevector": lambda a, b: torch.view_as_real(exact.statevector(a, b)),
        "probabilities": lambda a, b: exact.probabilities(a, b, qubits=[2, 0]),
        "expectation": lambda a, b: exact.expectation(Z, a, b),
        "calls": lambda a, b: exact.without_recomputation().expectation(Z, a, b),
        "hermitian": lambda a, b: exact.hermitian_expectation(MATRICES, [1, 3], a, b),
        "density": lambda a, b: density.expectation(Z, a, b),
        "density outcomes": lambda a, b: density.probabilities(a, b),
        "trajectories": trajectories,
    }


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("real", [True, False])
def test_autocast_leaves_every_readout_and_its_gradient_alone(real, dtype):
    inputs = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    for name, prediction in predictions(real).items():
        found = []
        for enabled in (False, True):
            weights = torch.linspace(-2, 2, 12).requires_grad_()
            with torch.autocast("cpu", dtype=dtype, enabled=enabled):
                values = prediction(inputs, weights)
            values.pow(2).sum().backward()
            found.append((values.detach(), weights.grad))
        for plain, cast in zip(*found, strict=True):
            assert cast.dtype == torch.float32, name
            assert torch.equal(plain, cast), name


def test_a_layer_behind_a_linear_one_gets_its_norm_right_under_autocast():
    torch.manual_seed(0)
    layer, linear = QuantumLayer(eeqdm(num_data=5, depth=4)), torch.nn.Linear(8, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        before = linear(torch.rand(6, 8)).abs()
        after = layer(before)
    assert before.dtype == torch.bfloat16
    torch.testing.assert_close(after, layer(before), rtol=1e-6, atol=1e-7)


def test_the_value_under_autocast_is_qiskits():
    circuit, x, w = ansatz(real=True)
    weights, inputs = torch.linspace(-1, 1, 12), torch.full((1, 4), 0.3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = compile_circuit(circuit, x, w).expectation(Z, inputs, weights)
    values = dict(zip([*x, *w], [*inputs[0].tolist(), *weights.tolist()], strict=True))
    state = Statevector(circuit.assign_parameters(values))
    for got, observable in zip(found[0].tolist(), Z, strict=True):
        assert math.isclose(got, state.expectation_value(observable).real, abs_tol=1e-6)
