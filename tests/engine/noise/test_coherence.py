"""The coherent part of errors: the sine of a rotation, and nothing of what is random."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit.library import RXGate, RZGate, RZZGate
from qiskit_aer.noise import (
    NoiseModel,
    amplitude_damping_error,
    coherent_unitary_error,
    pauli_error,
    thermal_relaxation_error,
)

from qdm_qiskit.engine.noise.coherence import coherent_part
from qdm_qiskit.execution.region import noise_of
from qdm_qiskit.execution.snapshots import load_backend


def model(error, name: str = "x") -> NoiseModel:
    noise = NoiseModel()
    noise.add_quantum_error(error, name, list(range(error.num_qubits)))
    return noise


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([(RXGate, "x"), (RZGate, "sx"), (RZZGate, "cz")]), st.floats(0.01, 1.5))
def test_a_rotation_has_its_sine(gate, angle):
    made, name = gate
    noise = model(coherent_unitary_error(made(angle).to_matrix()), name)
    assert coherent_part(noise) == pytest.approx(math.sin(angle), abs=1e-9)
    assert coherent_part(noise, ("delay",)) == 0


@settings(max_examples=5, deadline=None)
@given(st.floats(0.001, 0.3), st.floats(10e-6, 300e-6), st.floats(0.1, 1.99))
def test_random_errors_have_none(chance, t1, ratio):
    relaxed = thermal_relaxation_error(t1, ratio * t1, 3e-6)
    flipped = pauli_error([("XZ", chance), ("II", 1 - chance)])
    damped = amplitude_damping_error(chance)
    for error in (flipped, relaxed.tensor(damped)):
        assert coherent_part(model(error, "cz")) == 0


def test_a_half_of_a_rotation_has_half_its_sine():
    # E = (1 - p) id + p U: chi is linear in the channel.
    error = coherent_unitary_error(RXGate(0.3).to_matrix())
    still = coherent_unitary_error(RXGate(0.0).to_matrix())
    mixed = type(error)([(error.circuits[0], 0.5), (still.circuits[0], 0.5)])
    assert coherent_part(model(mixed)) == pytest.approx(math.sin(0.3) / 2, abs=1e-9)


@pytest.mark.parametrize("name", ["fake_manila", "fake_torino"])
def test_aers_model_of_a_snapshot_has_none(name):
    assert coherent_part(noise_of(load_backend(name), frozenset(range(2)))) == 0
