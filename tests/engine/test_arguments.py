"""Exact and noisy programs take the same tensors, and refuse the same with the same words."""

from __future__ import annotations

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit_aer.noise import NoiseModel

from qdm_qiskit.engine import compile_circuit, compile_noisy
from qdm_qiskit.errors import InvalidData, QdmError, UnsupportedCircuit

X, W = Parameter("x"), Parameter("w")
ONE = torch.ones(1)
ROWS = torch.tensor([[1.0], [2.0], [-1.0]])


def circuit() -> QuantumCircuit:
    found = QuantumCircuit(2)
    found.rx(X, 0)
    found.ry(W, 0)
    found.cx(0, 1)
    return found


EXACT = compile_circuit(circuit(), [X], [W])
NOISY = [
    compile_noisy(circuit(), NoiseModel(), [X], [W], method=method)
    for method in ("density", "trajectories")
]


def refusal(program, *given, **named) -> QdmError:
    with pytest.raises(QdmError) as caught:
        program.probabilities(*given, **named)
    return caught.value


@pytest.mark.parametrize("noisy", NOISY, ids=["density", "trajectories"])
@pytest.mark.parametrize(
    ("given", "named"),
    [
        pytest.param((ROWS.numpy(), ONE), {}, id="an array"),
        pytest.param((None, ONE), {}, id="no inputs"),
        pytest.param((ROWS[:, 0], ONE), {}, id="one axis"),
        pytest.param((ROWS[:0], ONE), {}, id="no samples"),
        pytest.param((ROWS / 0, ONE), {}, id="infinite"),
        pytest.param((ROWS * 1j, ONE), {}, id="complex"),
        pytest.param((ROWS.half(), ONE.half()), {}, id="half precision"),
        pytest.param((ROWS, ONE.int()), {}, id="integer weights"),
        pytest.param((ROWS, ONE, torch.ones(3, 2)), {}, id="half a state"),
        pytest.param((ROWS, ONE, torch.ones(2, 4)), {}, id="another batch"),
        pytest.param((ROWS, ONE, torch.ones(3, 4)), {"initial_qubits": [0, 0]}, id="twice"),
        pytest.param((ROWS, ONE, torch.ones(3, 4)), {"initial_qubits": [0, 2]}, id="no such qubit"),
    ],
)
def test_the_same_refusal(noisy, given, named):
    exact = refusal(EXACT, *given, **named)
    found = refusal(noisy, *given, **named)
    assert type(found) is type(exact)
    assert str(found) == str(exact)


@pytest.mark.parametrize("noisy", NOISY, ids=["density", "trajectories"])
def test_only_exact_programs_take_weights_for_each_sample(noisy):
    assert EXACT.probabilities(ROWS, torch.ones(3, 1)).shape == (3, 4)
    assert str(refusal(noisy, ROWS, torch.ones(3, 1))) == ("Weights have shape (1,), got (3, 1).")


@pytest.mark.parametrize("program", [EXACT, *NOISY], ids=["exact", "density", "trajectories"])
def test_inputs_are_converted_to_the_precision_of_the_weights(program):
    whole = program.probabilities(ROWS.int(), ONE.double())
    assert whole.dtype == torch.float64
    torch.testing.assert_close(whole, program.probabilities(ROWS.double(), ONE.double()))


def test_initial_states_cover_qubits_on_which_gates_act():
    wide = QuantumCircuit(3)
    wide.x([0, 2])
    program = compile_noisy(wide, NoiseModel())
    with pytest.raises(InvalidData, match=r"initial_qubits are among .*\[0, 2\], got \[1\]"):
        program.probabilities(None, None, torch.ones(1, 2), initial_qubits=[1])


@pytest.mark.parametrize(
    ("inputs", "weights"), [([X], []), ([], []), ([X], [W, X]), ([X], [W, Parameter("z")])]
)
def test_lists_of_parameters_are_refused_in_the_same_words(inputs, weights):
    with pytest.raises(UnsupportedCircuit) as exact:
        compile_circuit(circuit(), inputs, weights)
    with pytest.raises(UnsupportedCircuit) as noisy:
        compile_noisy(circuit(), NoiseModel(), inputs, weights)
    assert str(noisy.value) == str(exact.value)
    assert "`inputs`" in str(exact.value)
