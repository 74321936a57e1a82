"""Delays whose length is free, or not known before it runs."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit_aer.noise import NoiseModel

from qdm_qiskit.engine import compile_noisy
from qdm_qiskit.errors import InvalidData, UnsupportedCircuit
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.execution.region import noise_of
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.cost import circuit_cost
from qdm_qiskit.transpiling.passes import transpile_for

LENGTH, ANGLE = Parameter("length"), Parameter("angle")
VALUES = np.array([[0.0, 1000.0], [0.3, 200000.0], [0.5, 200000.0], [0.3, 0.0]])


@pytest.fixture(scope="module")
def quito():
    return load_backend("fake_quito")


def decay(free_angle=True):
    circuit = QuantumCircuit(5, 1)
    circuit.x(1)
    if free_angle:
        circuit.rz(ANGLE, 1)
        circuit.sx(1)
    circuit.delay(LENGTH, 1, "dt")
    circuit.measure(1, 0)
    return circuit


@pytest.mark.parametrize("free_angle", [True, False])
def test_rows_have_the_relaxation_of_their_own_lengths(free_angle, quito):
    circuit = decay(free_angle)
    values = VALUES if free_angle else VALUES[:, 1:]
    runner = make_runner("noisy:fake_quito", seed=1)
    exact = runner.exact_probabilities(circuit, values)
    for row, found in zip(values, exact, strict=True):
        bound = circuit.assign_parameters(row)
        [alone] = runner.exact_probabilities(bound, np.zeros((1, 0)))
        np.testing.assert_allclose(found, alone, atol=1e-12)
    assert np.ptp(exact[:, 0]) > 0.2
    for target in ("noisy:fake_quito", "local:fake_quito"):
        other = QuantumCircuit(5, 1)
        other.x(1)
        other.measure(1, 0)
        first, second = make_runner(target, seed=2).run(
            [(circuit, values), (other, np.zeros((1, 0)))], shots=4000
        )
        assert first.shape == (len(values), 2)
        assert second.shape == (1, 2)
        np.testing.assert_allclose(first / 4000, exact, atol=0.04)


def test_the_decay_is_that_of_the_qubit(quito):
    runner = make_runner("noisy:fake_quito", seed=1)
    circuit = decay(free_angle=False)
    one = runner.exact_probabilities(circuit, np.array([[0.0], [1e5], [3e5], [1e9]]))[:, 1]
    t1 = quito.target.qubit_properties[1].t1
    rates = np.exp(-quito.target.dt * np.array([1e5, 3e5]) / t1)
    np.testing.assert_allclose((one[1:3] - one[3]) / (one[0] - one[3]), rates, rtol=1e-6)


def test_a_delay_in_seconds_and_equal_rows():
    circuit = QuantumCircuit(5, 1)
    circuit.x(0)
    circuit.delay(2 * LENGTH, 0, "s")
    circuit.measure(0, 0)
    runner = make_runner("local:fake_quito", seed=3)
    [counts] = runner.run([(circuit, np.array([[5e-5], [5e-5], [0.0]]))], shots=2000)
    assert counts[2, 1] > counts[0, 1] + 500
    assert counts[0, 1] != counts[1, 1]  # equal rows are drawn anew
    assert abs(counts[0, 1] - counts[1, 1]) < 200


@pytest.mark.parametrize(("length", "said"), [(-5.0, "positive"), (10.5, "Integer duration")])
@pytest.mark.parametrize("target", ["noisy:fake_quito", "local:fake_quito"])
def test_lengths_that_cannot_be_are_refused(length, said, target):
    with pytest.raises(InvalidData, match=said):
        make_runner(target, seed=1).run([(decay(), np.array([[0.1, length]]))], shots=10)


def test_free_lengths_that_decide_a_number_are_named(quito):
    with pytest.raises(
        UnsupportedCircuit, match=r"free length \(length\), and what a circuit costs"
    ):
        circuit_cost(decay(), quito.target)
    noise = noise_of(quito, frozenset([1]))
    with pytest.raises(UnsupportedCircuit, match=r"free length \(length\), and the noise model's"):
        compile_noisy(decay(), noise, [LENGTH], [ANGLE])
    free = compile_noisy(decay(), NoiseModel(), [LENGTH], [ANGLE])  # nothing relaxes in it
    assert free.weights == (ANGLE,)


def test_stretches_are_named_and_laid_out(quito):
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.delay(circuit.add_stretch("s"), 0)
    assert transpile_for(circuit, quito, seed=1).count_ops()["delay"] == 1
    circuit.measure([0, 1], [0, 1])
    isa = transpile_for(circuit, quito, seed=1)
    message = "as long as a stretch or an expression says"
    with pytest.raises(UnsupportedCircuit, match=message):
        circuit_cost(isa, quito.target)
    for target in ("noisy:fake_quito", "local:fake_quito", "aer"):
        with pytest.raises(UnsupportedCircuit, match=message):
            make_runner(target, seed=1).run([(isa, np.zeros((1, 0)))], shots=10)
    with pytest.raises(UnsupportedCircuit, match=message):
        compile_noisy(isa, noise_of(quito, frozenset(range(5))), [])
