"""States through a circuit and a projection, on every path, against Qiskit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qdm_qiskit.circuits import (
    CircuitSpec,
    basis_angles,
    cacioppo_denoiser,
    conditioned_latent_denoiser,
    qamp_layers,
)
from qdm_qiskit.circuits.readouts import ProbabilityReadout
from qdm_qiskit.circuits.spec import register_spec
from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.layers.state_layer import StateLayer
from tests.helpers import generator


def random_states(count: int, qubits: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 2**qubits, dtype=torch.complex128, generator=generator(seed))


def layer(spec: CircuitSpec, rows: int = 3, **options) -> StateLayer:
    return StateLayer(spec, rows, init_std=1.0, generator=generator(), **options).double()


def postselected(
    layer: StateLayer, state: np.ndarray, row: int, inputs: np.ndarray | None
) -> np.ndarray:
    """The reference: Qiskit's state vector, cut to the post-selected outcome, renormalised."""
    spec = layer.spec
    start = np.zeros(2**spec.num_qubits, dtype=complex)
    start[spec.data_positions()] = state / np.linalg.norm(state)
    circuit = QuantumCircuit(spec.num_qubits)
    width = len(spec.weights)
    table = layer.weights.detach().numpy()[row]
    for repeat in range(layer.repeats):
        values = dict(zip(spec.weights, table[repeat * width : (repeat + 1) * width], strict=True))
        if inputs is not None:
            values |= dict(zip(spec.inputs, inputs, strict=True))
        circuit.compose(spec.circuit.assign_parameters(values), inplace=True)
    final = Statevector(start).evolve(circuit).data
    kept = [
        index
        for index in range(len(final))
        if all((index >> qubit) & 1 == outcome for qubit, outcome in spec.readout.postselect)
    ]
    return final[kept] / np.linalg.norm(final[kept])


def ancilla_layers(num_data: int, outcome: int = 0) -> CircuitSpec:
    data = tuple(range(num_data))
    return CircuitSpec(
        name="unit",
        circuit=qamp_layers(num_data + 1, 1),
        encoding="amplitude",
        data_qubits=data,
        ancilla_qubits=(num_data,),
        readout=ProbabilityReadout(
            qubits=data, postselect=((num_data, outcome),), renormalise=True
        ),
        source="test",
    )


@pytest.mark.parametrize(
    ("spec", "repeats"),
    [
        (cacioppo_denoiser(3), 1),
        (register_spec(qamp_layers(3, 1), source="test"), 1),
        (register_spec(qamp_layers(3, 1), source="test"), 5),
        (ancilla_layers(2), 4),
        (ancilla_layers(2, outcome=1), 3),
    ],
)
@pytest.mark.parametrize(
    "count", [4, 40]
)  # few states run through the circuit, many through the map
def test_projection_equals_qiskits_postselected_statevector(spec, repeats, count):
    subject = layer(spec, repeats=repeats)
    states = random_states(count, len(spec.data_qubits))
    rows = torch.randint(0, 3, (count,), generator=generator(2))
    found = subject(states, rows).detach().numpy()
    for index in range(0, count, 3):
        expected = postselected(subject, states[index].numpy(), int(rows[index]), None)
        np.testing.assert_allclose(found[index], expected, atol=1e-12)


@pytest.mark.parametrize("count", [3, 60])
@pytest.mark.parametrize("num_rows", [1, 2])
def test_inputs_choose_the_map_as_rows_do(count, num_rows):
    subject = layer(conditioned_latent_denoiser(2, 2, (1, 2, 1), project_labels=True), num_rows)
    states = random_states(count, 2)
    rows = torch.randint(0, num_rows, (count,), generator=generator(2))
    labels = torch.randint(0, 3, (count,), generator=generator(3)).numpy()
    inputs = torch.as_tensor(basis_angles(labels, 2))
    found = subject(states, rows, inputs).detach().numpy()
    for index in range(0, count, 7):
        expected = postselected(
            subject, states[index].numpy(), int(rows[index]), inputs[index].numpy()
        )
        np.testing.assert_allclose(found[index], expected, atol=1e-12)


@given(
    count=st.integers(1, 30),
    qubits=st.integers(2, 3),
    repeats=st.integers(1, 4),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=25, deadline=None)
def test_map_and_circuit_agree_and_norms_are_one(count, qubits, repeats, seed):
    subject = layer(ancilla_layers(qubits), 2, repeats=repeats)
    states = random_states(count, qubits, seed)
    rows = torch.randint(0, 2, (count,), generator=generator(seed))
    found = subject(states, rows)
    maps = subject.linear_maps(rows)
    expected = (maps @ states.unsqueeze(2)).squeeze(2)
    expected = expected / torch.linalg.vector_norm(expected, dim=1, keepdim=True)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(
        torch.linalg.vector_norm(found, dim=1), torch.ones(count, dtype=torch.float64)
    )
    # Scale and global phase of a state: the first is lost, the second kept.
    moved = subject((0.3 - 4j) * states, rows)
    phase = (0.3 - 4j) / abs(0.3 - 4j)
    torch.testing.assert_close(moved, phase * found, rtol=0, atol=1e-10)


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("count", [2, 12])
def test_gradients_are_exact_on_every_path(repeats, count):
    subject = layer(ancilla_layers(2), 2, repeats=repeats)
    states = random_states(count, 2)
    rows = torch.arange(count) % 2

    def prediction(weights: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(subject, {"weights": weights}, (states, rows))

    assert torch.autograd.gradcheck(
        prediction, (subject.weights.detach().requires_grad_(), states.requires_grad_())
    )


def test_rows_that_no_state_names_get_no_gradient():
    subject = layer(cacioppo_denoiser(2))
    subject(random_states(3, 2), torch.tensor([0, 2, 2])).real.sum().backward()
    moved = subject.weights.grad.abs().amax(dim=1)
    assert moved[0] > 0
    assert moved[1] == 0
    assert moved[2] > 0


def test_same_generator_same_weights():
    one, two = (StateLayer(cacioppo_denoiser(2), 4, generator=generator(3)) for _ in range(2))
    assert torch.equal(one.weights, two.weights)
    assert one.weights.shape == (4, 3 * 2 * (2 + 3 + 2))


@pytest.mark.parametrize(
    ("states", "rows", "message"),
    [
        (
            torch.ones(2, 4),
            torch.zeros(2, dtype=torch.int64),
            "are complex, got .2, 4. of torch.fl",
        ),
        (torch.ones(2, 8) * 1j, torch.zeros(2, dtype=torch.int64), r"shape \(batch, 4\)"),
        (torch.ones(2, 4) * 1j, torch.zeros(3, dtype=torch.int64), r"int64 tensor \(2,\)"),
        (torch.ones(2, 4) * 1j, torch.zeros(2), "int64 tensor"),
        (torch.ones(0, 4) * 1j, torch.zeros(0, dtype=torch.int64), "at least one state"),
        (torch.ones(2, 4) * 1j, torch.tensor([0, 3]), r"rows are 0 \.\. 2.*got 0 \.\. 3"),
        (torch.ones(2, 4) * 1j, torch.tensor([-1, 0]), r"got -1 \.\. 0"),
        (torch.zeros(2, 4) * 1j, torch.tensor([0, 0]), "no norm to divide by"),
        (torch.ones(2, 4) * complex("nan"), torch.tensor([0, 0]), "State 0 of 2"),
    ],
)
def test_bad_states_and_rows_are_refused(states, rows, message):
    with pytest.raises(InvalidData, match=message) as caught:
        layer(cacioppo_denoiser(2)).float()(states, rows)
    assert "\n" not in str(caught.value)


def test_inputs_are_refused_or_asked_for():
    rows = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(InvalidData, match=r"takes inputs of shape None, got \(2, 1\)"):
        layer(cacioppo_denoiser(2))(random_states(2, 2), rows, torch.zeros(2, 1))
    guided = layer(conditioned_latent_denoiser(2, 2, (1, 2, 1), project_labels=True))
    with pytest.raises(InvalidData, match=r"takes inputs of shape \(2, 2\), got None"):
        guided(random_states(2, 2), rows)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (cacioppo_denoiser(2), {"num_rows": 0}, "num_rows=0"),
        (cacioppo_denoiser(2), {"num_rows": 1, "repeats": 0}, "repeats=0"),
        (cacioppo_denoiser(2), {"num_rows": 1, "init_std": float("nan")}, "init_std=nan"),
        (conditioned_latent_denoiser(2, 2), {"num_rows": 1}, "all others post-selected"),
        (
            conditioned_latent_denoiser(2, 2, project_labels=True),
            {"num_rows": 1, "repeats": 2},
            "no inputs",
        ),
        (cacioppo_denoiser(7), {"num_rows": 1, "repeats": 2}, "at most 7 qubits.* 8 qubits"),
    ],
)
def test_bad_options_are_refused(spec, options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        StateLayer(spec, **options)
    assert "\n" not in str(caught.value)
