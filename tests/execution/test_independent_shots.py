"""No two circuits of one run may share their shots: means over them would scatter too much."""

from __future__ import annotations

import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.mitigation.readout import combine_results, construct_circuits
from qdm_qiskit.transpiling.passes import transpile_for

TARGETS = ("aer", "noisy:fake_lagos", "local:fake_lagos")


def coin(name: str) -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1, name=name)
    circuit.h(0)
    circuit.measure(0, 0)
    return circuit


def turned() -> QuantumCircuit:
    """The same coin with a parameter."""
    circuit = QuantumCircuit(1, 1)
    circuit.ry(Parameter("x_0000"), 0)
    circuit.measure(0, 0)
    return circuit


@pytest.mark.parametrize("target", TARGETS)
def test_equal_circuits_and_rows_of_one_job_are_uncorrelated(target):
    runner = make_runner(target, seed=1)
    plain, free = (transpile_for(c, runner.backend, level=1, seed=0) for c in (coin("a"), turned()))
    nothing, half = np.zeros((1, 0)), np.full((2, 1), math.pi / 2)
    jobs, shots = 40, 200
    ones = []
    for seed in range(jobs):
        pubs = [(plain, nothing), (free, half), (plain, nothing), (plain.copy(), nothing)]
        counts = runner.run(pubs, shots=shots, seed=1000 + seed)
        ones.append(np.concatenate([c[:, 1] for c in counts]))
    table = np.array(ones, dtype=float)
    z = (table - table.mean(axis=0)) / math.sqrt(shots / 4)
    products = z.T @ z / jobs
    # Ten covariances of unit normals over 40 jobs: sigma is 1 / sqrt(jobs), 5 of them.
    upper = products[np.triu_indices(5, 1)]
    assert np.abs(upper).max() < 5 / math.sqrt(jobs)
    # Variances are binomial: sigma of each is sqrt(2 / jobs).
    assert np.abs(np.diag(products) - 1).max() < 5 * math.sqrt(2 / jobs)


@pytest.mark.parametrize("target", TARGETS)
def test_a_job_of_many_circuits_repeats_by_its_seed(target):
    runner = make_runner(target, seed=1)
    plain = transpile_for(coin("a"), runner.backend, level=1, seed=0)
    pubs = [(plain, np.zeros((1, 0)))] * 4
    first, other, again = (runner.run(pubs, shots=500, seed=seed) for seed in (5, 6, 5))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({tuple(c[0]) for c in first}) > 1


@pytest.mark.parametrize(
    ("target", "method", "seeds"),
    [
        ("noisy:fake_lagos", "balanced", 16),
        ("local:fake_lagos", "balanced", 4),
        pytest.param("local:fake_lagos", "balanced", 40, marks=pytest.mark.slow),
        pytest.param("local:fake_lagos", "independent", 40, marks=pytest.mark.slow),
    ],
)
def test_matrices_of_calibrations_scatter_as_their_shots_say(target, method, seeds):
    """Shots that the eight circuits shared would make the variance four times as large."""
    qubits, shots = (0, 1, 3, 5), 400
    runner = make_runner(target, seed=1)
    circuits = construct_circuits(qubits, runner.backend.num_qubits, method=method)
    found = []
    for seed in range(seeds):
        counts = runner.run([(c, np.zeros((1, 0))) for c in circuits], shots=shots, seed=seed)
        calibration = combine_results(
            counts, qubits, backend="fake_lagos", taken_at="2026-11-28T00:00:00", method=method
        )
        found.append([calibration.matrices[q][1] for q in qubits])
    table = np.array(found)  # (seeds, qubits, prepared): the chance to read 1
    p = table.mean(axis=0)
    of_each = shots * (len(circuits) / 2 if method == "balanced" else 1)
    ratio = table.var(axis=0, ddof=1) / (p * (1 - p) / of_each)
    # Eight variances with seeds - 1 degrees of freedom each; 5 sigma of their mean.
    assert abs(ratio.mean() - 1) < 5 * math.sqrt(2 / (8 * (seeds - 1)))


def test_the_first_circuit_of_a_local_job_keeps_ibms_shots():
    runner = make_runner("local:fake_lagos", seed=1)
    plain = transpile_for(coin("a"), runner.backend, level=1, seed=0)
    nothing = np.zeros((1, 0))
    (alone,) = runner.run([(plain, nothing)], shots=300, seed=9)
    first, second = runner.run([(plain, nothing), (plain, nothing)], shots=300, seed=9)
    np.testing.assert_array_equal(first, alone)
    assert not np.array_equal(second, alone)


def on_its_way(qubits: int = 1) -> QuantumCircuit:
    """A circuit that resets a qubit, so that there is no state from which all shots are drawn."""
    circuit = QuantumCircuit(qubits, 1)
    for qubit in range(qubits):
        circuit.ry(Parameter(f"x_{qubit:04d}"), qubit)
    circuit.reset(0)
    circuit.sx(0)
    circuit.measure(0, 0)
    return circuit


def at_its_end(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, 1)
    for qubit in range(qubits):
        circuit.ry(Parameter(f"x_{qubit:04d}"), qubit)
    circuit.measure(0, 0)
    return circuit


@pytest.mark.parametrize(
    ("target", "circuit", "apart"),
    [
        ("aer", on_its_way(), True),
        ("aer", at_its_end(1), False),
        ("noisy:fake_guadalupe", on_its_way(), True),
        ("noisy:fake_guadalupe", at_its_end(2), False),
        ("noisy:fake_guadalupe", at_its_end(11), True),
        ("local:fake_guadalupe", on_its_way(), True),
        ("local:fake_guadalupe", at_its_end(2), False),
    ],
)
def test_no_two_rows_run_a_shot_with_one_seed(monkeypatch, target, circuit, apart):
    """Aer's row k runs its shot s with seed + 2113 k + s, where it runs shot by shot."""
    from qiskit_aer import AerSimulator

    seen: list[tuple[int, int]] = []
    run = AerSimulator.run

    def spied(self, circuits, parameter_binds=None, **options):
        seen.append((options["seed_simulator"], options["shots"]))
        return run(self, circuits, parameter_binds, **options)

    monkeypatch.setattr(AerSimulator, "run", spied)
    runner = make_runner(target, seed=1)
    isa = transpile_for(circuit, runner.backend, level=0, seed=0)
    rows, shots = 2, 2200
    (counts,) = runner.run(
        [(isa, np.full((rows, circuit.num_parameters), math.pi / 2))], shots=shots, seed=3
    )
    assert (counts.sum(axis=1) == shots).all()
    assert sum(each for _, each in seen) == shots
    assert seen[0][0] == 3  # a job that is not cut keeps the shots it had
    assert len(seen) == (2 if apart else 1)
    spans = [
        range(seed + 2113 * row, seed + 2113 * row + count)
        for seed, count in seen
        for row in range(rows)
    ]
    taken = [number for span in spans for number in span]
    assert (len(set(taken)) == len(taken)) == apart


@pytest.mark.slow
def test_counts_of_rows_that_run_shot_by_shot_are_uncorrelated():
    runner = make_runner("aer", seed=1)
    isa = transpile_for(on_its_way(), runner.backend, level=0, seed=0)
    rows, shots = 150, 4500
    (counts,) = runner.run([(isa, np.full((rows, 1), math.pi / 2))], shots=shots, seed=3)
    ones = counts[:, 1] - counts[:, 1].mean()
    neighbours = float((ones[1:] * ones[:-1]).mean() / (ones**2).mean())
    # 0.53 if they share 2387 of 4500 shots; sigma is 1 / sqrt(rows).
    assert abs(neighbours) < 4.5 / math.sqrt(rows)
    # Binomial: the variance has a relative sigma of sqrt(2 / rows).
    p = counts[:, 1].mean() / shots
    assert abs(ones.var() / (shots * p * (1 - p)) - 1) < 5 * math.sqrt(2 / rows)
