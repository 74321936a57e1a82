"""Circuits one behind another: against their steps, on fewer qubits, and beside a reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, Statevector
from qiskit_aer import AerSimulator

from qdm_qiskit.circuits import (
    CircuitSpec,
    ProbabilityReadout,
    cacioppo_denoiser,
    conditioned_latent_denoiser,
    qamp_denoiser,
)
from qdm_qiskit.circuits.composition import Part, composed, referenced, with_reused_qubits
from qdm_qiskit.errors import InvalidData, InvalidTemplate
from qdm_qiskit.execution.calls import CircuitCall


def state(spec: CircuitSpec, data: np.ndarray, inputs: np.ndarray | None = None) -> np.ndarray:
    """Qiskit's state of a spec without weights."""
    start = np.zeros(2**spec.num_qubits, dtype=complex)
    start[spec.data_positions()] = data
    values = {} if inputs is None else dict(zip(spec.inputs, inputs, strict=True))
    return Statevector(start).evolve(spec.circuit.assign_parameters(values)).data


def projected(spec: CircuitSpec, data: np.ndarray, inputs: np.ndarray | None = None) -> np.ndarray:
    """What the post-selection leaves, not renormalised."""
    return state(spec, data, inputs)[spec.readout.selection(spec.num_qubits)[:, 0]]


def random_state(size: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = rng.normal(size=size) + 1j * rng.normal(size=size)
    return found / np.linalg.norm(found)


def bound(spec: CircuitSpec, angles: np.ndarray) -> CircuitSpec:
    return composed(spec.name, [Part(spec, angles)])


def test_a_chain_is_its_steps_one_after_another():
    spec = cacioppo_denoiser(2)
    angles = np.random.default_rng(1).normal(size=(3, len(spec.weights)))
    data = random_state(4)
    stepwise = data
    for each in angles:
        stepwise = projected(bound(spec, each), stepwise)
    chain = composed("chain", [Part(spec, each) for each in angles])
    assert (chain.num_qubits, chain.weights, chain.inputs) == (5, (), ())
    np.testing.assert_allclose(projected(chain, data), stepwise, atol=1e-12)


def test_inputs_are_shared_and_free_weights_stand_behind_them():
    spec = conditioned_latent_denoiser(1, 1, (1, 1, 1), project_labels=True)
    angles = np.random.default_rng(2).normal(size=(2, len(spec.weights)))
    data, label = random_state(2), np.array([np.pi])
    fixed = composed("chain", [Part(spec, each) for each in angles])
    free = composed("chain", [Part(spec), Part(spec)])
    assert len(fixed.inputs) == 1
    assert len(free.inputs) == 1 + angles.size
    values = np.concatenate([label, angles.ravel()])
    np.testing.assert_allclose(projected(fixed, data, label), projected(free, data, values))


def test_repeats_take_weights_of_their_own():
    spec = qamp_denoiser(2, 1)
    angles = np.random.default_rng(3).normal(size=(2, len(spec.weights)))
    data = random_state(4)
    whole = composed("twice", [Part(spec, angles.ravel(), repeats=2)])
    assert whole.num_qubits == 3  # the ancilla is read after the last repeat
    circuit = QuantumCircuit(3)
    for each in angles:
        values = dict(zip(spec.weights, each, strict=True))
        circuit.compose(spec.circuit.assign_parameters(values), inplace=True)
    start = np.zeros(8, dtype=complex)
    start[:4] = data
    expected = Statevector(start).evolve(circuit).data[:4]
    np.testing.assert_allclose(projected(whole, data), expected, atol=1e-12)


def test_recorded_ancillas_are_read_behind_the_data():
    spec = cacioppo_denoiser(1)
    measured = CircuitSpec(
        name="measured",
        circuit=spec.circuit,
        encoding="amplitude",
        data_qubits=spec.data_qubits,
        ancilla_qubits=spec.ancilla_qubits,
        readout=ProbabilityReadout(qubits=spec.data_qubits),
        source="",
    )
    angles = np.random.default_rng(4).normal(size=len(spec.weights))
    chain = composed("chain", [Part(measured, angles)] * 2, record=True)
    assert chain.readout.qubits == (0, 1, 2)
    with pytest.raises(InvalidTemplate, match="post-select or record"):
        composed("chain", [Part(measured, angles)])


def test_parts_that_do_not_fit_are_refused():
    one, two = cacioppo_denoiser(1), cacioppo_denoiser(2)
    zeros = np.zeros(len(one.weights))
    with pytest.raises(InvalidTemplate, match="got none"):
        composed("chain", [])
    with pytest.raises(InvalidTemplate, match="of 1 qubits"):
        composed("chain", [Part(one, zeros), Part(two, np.zeros(len(two.weights)))])
    with pytest.raises(InvalidData, match="finite angles here"):
        composed("chain", [Part(one, zeros[1:])])
    with pytest.raises(InvalidData, match="1 of NaN"):
        composed("chain", [Part(one, np.array([np.nan, *zeros[1:]]))])


def exact_counts(circuit: QuantumCircuit, shots: int = 10_000) -> np.ndarray:
    simulator = AerSimulator(seed_simulator=1)
    counts = simulator.run(circuit, shots=shots).result().get_counts()
    found = np.zeros(2**circuit.num_clbits)
    for bits, count in counts.items():
        found[int(bits, 2)] += count
    return found / shots


def measured(circuit: QuantumCircuit) -> QuantumCircuit:
    full = circuit.copy()
    full.add_register(ClassicalRegister(circuit.num_qubits, "meas"))
    full.measure(range(circuit.num_qubits), range(circuit.num_qubits))
    return full


def test_qubits_are_used_again_without_a_change_in_the_counts():
    spec = cacioppo_denoiser(2)
    angles = np.random.default_rng(5).normal(size=(4, len(spec.weights)))
    chain = composed("chain", [Part(spec, each) for each in angles])
    calls = [
        CircuitCall(
            name="chain",
            spec=chain,
            angles=np.zeros(0),
            amplitudes=random_state(4)[None],
            reuse_qubits=reuse,
        )
        for reuse in (False, True)
    ]
    fresh, reused = (each.circuit.assign_parameters(each.values[0]) for each in calls)
    assert (fresh.num_qubits, reused.num_qubits) == (6, 3)
    assert reused.count_ops()["reset"] == 3
    assert calls[0].content != calls[1].content
    expected = np.abs(state(chain, random_state(4))) ** 2
    found = exact_counts(reused)
    deviation = np.sqrt(np.maximum(expected * (1 - expected), 1e-9) / 10_000)
    assert (np.abs(found - expected) < 5 * deviation + 1e-4).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(0, 4), st.integers(0, 10_000))
def test_any_circuit_keeps_its_counts_on_reused_qubits(qubits, depth, seed):
    circuit = random_circuit(qubits, depth, max_operands=2, seed=seed)
    reused = with_reused_qubits(measured(circuit))
    assert reused.num_qubits <= qubits
    expected = Statevector(circuit).probabilities()
    found = exact_counts(reused.decompose(reps=3), shots=4_000)
    deviation = np.sqrt(np.maximum(expected * (1 - expected), 1e-9) / 4_000)
    assert (np.abs(found - expected) < 6 * deviation + 2e-3).all()


def test_qubits_without_a_measurement_cannot_be_used_again():
    with pytest.raises(InvalidTemplate, match="each is measured once"):
        with_reused_qubits(QuantumCircuit(2, 2))


@pytest.mark.parametrize("spec", [cacioppo_denoiser(2), qamp_denoiser(2, 1)])
def test_beside_a_reference_the_global_phase_shows(spec):
    angles = np.random.default_rng(6).normal(size=len(spec.weights))
    one = bound(spec, angles)
    free = composed(spec.name, [Part(spec)])
    data = random_state(4)
    both = referenced(free)
    assert both.readout.qubits == (0, 1, 2)
    found = projected(both, data, angles) * np.sqrt(2)
    np.testing.assert_allclose(found[:4], data, atol=1e-10)
    np.testing.assert_allclose(found[4:], projected(one, data), atol=1e-10)


def test_chains_that_undo_each_other_stay_uncontrolled():
    spec = composed("step", [Part(cacioppo_denoiser(2))])
    controlled = referenced(spec).circuit
    assert set(controlled.count_ops()) <= {"h", "rz", "ry", "cx"}
    rotations = len(cacioppo_denoiser(2).weights) // 3
    assert controlled.count_ops()["cx"] == spec.circuit.count_ops()["cx"] + 2 * rotations


def test_a_controlled_circuit_is_the_controlled_unitary():
    denoiser = qamp_denoiser(2, 1)
    angles = np.linspace(-1, 1, len(denoiser.weights))
    one = bound(denoiser, angles)
    whole = Operator(referenced(one).circuit).data
    plain = Operator(one.circuit).data
    zero = [k for k in range(16) if not (k >> 2) & 1]  # the reference is qubit 2
    ones = [k for k in range(16) if (k >> 2) & 1]
    np.testing.assert_allclose(whole[np.ix_(zero, zero)] * np.sqrt(2), np.eye(8), atol=1e-9)
    np.testing.assert_allclose(whole[np.ix_(ones, zero)] * np.sqrt(2), plain, atol=1e-9)
