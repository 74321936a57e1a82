"""Denoisers of states: counts of the papers, the projection, and where it may stand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.quantum_info import Statevector

from qdm_qiskit.circuits import (
    CircuitSpec,
    basis_angles,
    cacioppo_blocks,
    cacioppo_denoiser,
    conditioned_latent_denoiser,
    qamp_blocks,
    qamp_denoiser,
)
from qdm_qiskit.engine import compile_circuit
from qdm_qiskit.errors import InvalidTemplate


def random_state(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    state = rng.normal(size=2**n) + 1j * rng.normal(size=2**n)
    return state / np.linalg.norm(state)


def denoised(spec: CircuitSpec, weights: np.ndarray, state: np.ndarray) -> np.ndarray:
    """The final state's part with ancilla 0, renormalised: the ancilla is the highest qubit."""
    start = np.concatenate([state, np.zeros_like(state)])
    bound = spec.circuit.assign_parameters(dict(zip(spec.weights, weights, strict=True)))
    kept = Statevector(start).evolve(bound).data[: state.size]
    return kept / np.linalg.norm(kept)


@pytest.mark.parametrize(
    ("depths", "steps", "total"), [((2, 2, 2), 10, 1500), ((4, 4, 4), 10, 3000)]
)
def test_cacioppo_has_the_weights_of_the_published_code(depths, steps, total):
    assert steps * len(cacioppo_denoiser(8, depths).weights) == total


def test_cacioppo_on_four_qubits_is_the_bottleneck_of_qamps_december_run():
    assert 10 * len(cacioppo_denoiser(4, (4, 4, 4)).weights) == 1560


def test_qamp_has_1380_weights_a_step():
    assert len(qamp_denoiser(4, 30).weights) == 1380


def test_conditioned_latent_layout_has_1110_weights():
    spec = conditioned_latent_denoiser()
    assert len(spec.weights) == 1110
    assert spec.num_qubits == 8
    assert len(spec.inputs) == 4
    assert spec.data_qubits == (4, 5, 6)
    assert spec.ancilla_qubits == (0, 1, 2, 3, 7)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_cacioppo_is_the_identity_at_zero_angles(n):
    spec = cacioppo_denoiser(n, (2, 4, 2))
    state = random_state(n, n)
    np.testing.assert_allclose(
        denoised(spec, np.zeros(len(spec.weights)), state), state, atol=1e-14
    )
    assert np.abs(denoised(spec, np.full(len(spec.weights), 0.3), state) - state).max() > 0.05


@pytest.mark.parametrize(
    ("spec", "blocks"),
    [
        (cacioppo_denoiser(3, (2, 4, 2)), cacioppo_blocks(3, (2, 4, 2))),
        (qamp_denoiser(3, 2), qamp_blocks(3, 2)),
        (
            qamp_denoiser(2, 1, mixing="rx", sign="minus"),
            qamp_blocks(2, 1, mixing="rx", sign="minus"),
        ),
    ],
    ids=["cacioppo", "qamp", "qamp-rx-minus"],
)
def test_projection_between_the_blocks_or_at_the_end_is_the_same(spec, blocks):
    """The whole denoiser, block after block in numpy, and with a measurement in the middle."""
    n = len(spec.data_qubits)
    weights = np.random.default_rng(5).uniform(-2, 2, len(spec.weights))
    parts = np.split(weights, np.cumsum([block.num_parameters for block in blocks])[:-1])
    state = random_state(n, 1)
    first, middle, last = (
        block.assign_parameters(part) for block, part in zip(blocks, parts, strict=True)
    )

    after = Statevector(state).evolve(first).data
    after = Statevector(np.concatenate([after, 0 * after])).evolve(middle).data[: 2**n]
    probability = np.linalg.norm(after) ** 2
    after = Statevector(after / np.linalg.norm(after)).evolve(last).data
    assert 0.01 < probability < 0.99
    np.testing.assert_allclose(denoised(spec, weights, state), after, atol=1e-13)

    measured = QuantumCircuit(n + 1)
    measured.add_register(ClassicalRegister(1))
    measured.compose(blocks[0].assign_parameters(parts[0]), qubits=range(n), inplace=True)
    measured.compose(blocks[1].assign_parameters(parts[1]), inplace=True)
    measured.measure(n, 0)
    measured.compose(blocks[2].assign_parameters(parts[2]), qubits=range(n), inplace=True)
    program = compile_circuit(measured, postselect={0: 0}, renormalise=True)
    final = program.statevector(
        initial_state=torch.from_numpy(state)[None], initial_qubits=range(n)
    )
    np.testing.assert_allclose(final[0, : 2**n].numpy(), after, atol=1e-13)
    np.testing.assert_allclose(final[0, 2**n :].numpy(), 0, atol=1e-15)


@pytest.mark.parametrize("make", [lambda: cacioppo_denoiser(2), lambda: qamp_denoiser(2, 2)])
def test_middle_block_reaches_the_ancilla_at_the_most_significant_wire(make):
    spec = make()
    touched = {
        spec.circuit.find_bit(qubit).index for item in spec.circuit.data for qubit in item.qubits
    }
    assert touched == {0, 1, 2}
    assert spec.ancilla_qubits == (2,)
    assert spec.readout.postselect == ((2, 0),)
    assert spec.readout.renormalise


def test_complex_states_are_loaded_by_the_full_circuit():
    spec = cacioppo_denoiser(2)
    state = random_state(2, 3)
    values = spec.input_values(state[None])
    full = spec.full_circuit(measure=False)
    assert values.shape == (1, spec.num_loader_inputs) == (1, 6)
    inputs = [p for p in full.parameters if p.name.startswith("x_")]
    weights = np.random.default_rng(2).uniform(-2, 2, len(spec.weights))
    bound = full.assign_parameters(
        dict(zip(inputs, values[0], strict=True))
        | {f"w_{i:04d}": value for i, value in enumerate(weights)}
    )
    kept = Statevector(bound).data[:4]
    overlap = np.vdot(kept / np.linalg.norm(kept), denoised(spec, weights, state))
    assert abs(abs(overlap) - 1) < 1e-12


@pytest.mark.parametrize("project_labels", [False, True])
def test_the_class_changes_what_the_conditioned_step_does(project_labels):
    spec = conditioned_latent_denoiser(2, 2, (1, 2, 1), project_labels=project_labels)
    program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
    weights = torch.from_numpy(np.random.default_rng(0).uniform(-2, 2, len(spec.weights)))
    labels = torch.from_numpy(basis_angles(np.arange(4), 2))
    states = torch.from_numpy(random_state(2, 4)).expand(4, 4)
    outputs = program.probabilities(
        labels,
        weights,
        states,
        initial_qubits=spec.data_qubits,
        qubits=spec.readout.qubits,
        postselect=dict(spec.readout.postselect),
    )
    distributions = (outputs / outputs.sum(1, keepdim=True)).numpy()
    for one in range(4):
        for other in range(one):
            assert np.abs(distributions[one] - distributions[other]).max() > 1e-3


def test_a_projected_label_leaves_a_pure_state():
    """Of the whole register only the data's amplitudes remain, and at zero angles nothing changes."""
    spec = conditioned_latent_denoiser(2, 2, (2, 2, 2), project_labels=True)
    state = random_state(2, 8)
    start = np.zeros(2**5, dtype=complex)
    start[spec.data_positions()] = state
    bound = spec.circuit.assign_parameters(
        dict.fromkeys(spec.weights, 0.0) | dict(zip(spec.inputs, (np.pi, 0.0), strict=True))
    )
    final = Statevector(start).evolve(bound).data
    np.testing.assert_allclose(final[spec.data_positions()], state, atol=1e-14)
    assert dict(spec.readout.postselect) == {4: 0, 0: 0, 1: 0}


def test_label_bits_stand_most_significant_first():
    spec = conditioned_latent_denoiser(1, 3, (2, 2, 2))
    values = dict.fromkeys(spec.weights, 0.0)
    for label in range(8):
        angles = basis_angles(np.array([label]), 3)[0]
        bound = spec.circuit.assign_parameters(values | dict(zip(spec.inputs, angles, strict=True)))
        assert int(np.argmax(Statevector(bound).probabilities([0, 1, 2]))) == label


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: cacioppo_denoiser(0), "num_data >= 1"),
        (lambda: cacioppo_denoiser(3, (2, 3, 2)), "even depth"),
        (lambda: cacioppo_denoiser(3, (2, 2)), "depths has 3 entries"),
        (lambda: cacioppo_denoiser(3, 2), "depths has 3 entries"),
        (lambda: qamp_denoiser(1, 1), "num_data >= 2 and reps >= 1"),
        (lambda: qamp_denoiser(4, 0), "reps=0"),
        (lambda: qamp_denoiser(4, 1, mixing="fft"), "one of qft, rx"),
        (lambda: conditioned_latent_denoiser(0), "num_data >= 1 and num_labels >= 1"),
        (
            lambda: conditioned_latent_denoiser(3, 4, (1, 0, 1)),
            "depth_2 >= 1 .*depth_1=1, depth_2=0, depth_3=1",
        ),
    ],
)
def test_impossible_denoisers_are_refused(build, message):
    with pytest.raises(InvalidTemplate, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
