"""The engine in the place of Aer on ``noisy:``: the same distribution, its own shots."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import XGate
from qiskit.transpiler import CouplingMap
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error, pauli_error
from scipy.stats import chi2

from qdm_qiskit.engine.noise import engine_runner
from qdm_qiskit.engine.noise.engine_runner import NoisyEngineRunner
from qdm_qiskit.errors import InvalidData, InvalidOption, UnsupportedCircuit
from qdm_qiskit.execution.devices import make_device
from qdm_qiskit.execution.noisy import MAX_DENSITY_QUBITS, NoisyRunner
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.mitigation.readout import construct_circuits
from qdm_qiskit.transpiling.passes import transpile_for

NOTHING = np.zeros((1, 0))


def loaded(num_qubits=3, layers=2, *, reset=False):
    """Rotations with free angles between entangling gates, all qubits measured."""
    circuit = QuantumCircuit(num_qubits, num_qubits)
    for layer in range(layers):
        for qubit in range(num_qubits):
            circuit.ry(Parameter(f"x_{layer}_{qubit}"), qubit)
        for qubit in range(num_qubits - 1):
            circuit.cx(qubit, qubit + 1)
        if reset and layer == 0:
            circuit.reset(1)
    circuit.measure(range(num_qubits), range(num_qubits))
    return circuit


def rows_for(circuit, count, seed=0):
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, (count, circuit.num_parameters))


def random_circuit(num_qubits, seed):
    """A random logical circuit with free and with fixed angles."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(num_qubits)
    for k in range(6 * num_qubits):
        qubit = int(rng.integers(num_qubits))
        kind = rng.choice(["ry", "rz", "rx", "x", "h", "cx", "cz", "swap", "rzz"])
        angle = Parameter(f"x_{k:04d}") if rng.random() < 0.4 else float(rng.uniform(-7, 7))
        if kind in ("ry", "rz", "rx"):
            getattr(circuit, kind)(angle, qubit)
        elif kind in ("x", "h"):
            getattr(circuit, kind)(qubit)
        elif num_qubits > 1:
            pair = rng.permutation(num_qubits)[:2].tolist()
            circuit.rzz(angle, *pair) if kind == "rzz" else getattr(circuit, kind)(*pair)
    return circuit


def agree(runner, isa, values, readout="mean"):
    """The two distributions to 1e-8, which Aer's own sums need as well.

    Aer leaves out the terms of an error whose chance is below 1e-10, and with them a part of 1.
    """
    found = runner.exact_probabilities(isa, values)
    aer = NoisyRunner(runner.backend.name, seed=0, readout=readout)
    expected = aer.exact_probabilities(isa, values)
    assert not runner.metadata["options"]["aer_because"]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
    return found


# cz; ecr; cx; ecr and cx mixed, with dead couplers; dead couplers alone; a bounded rzz; u1, u2, u3.
SNAPSHOTS = ("fake_torino", "fake_osaka", "fake_quito", "fake_cairo", "fake_kawasaki",
             "fake_fractional", "fake_cambridge")  # fmt: skip


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_snapshots_have_aers_distribution(name):
    runner = NoisyEngineRunner(name, seed=1)
    reset = "reset" in runner.backend.target.operation_names
    isa = transpile_for(loaded(reset=reset), runner.backend, seed=2)
    found = agree(runner, isa, rows_for(isa, 3))
    assert np.abs(found[0] - found[1]).max() > 1e-3  # rows are not mixed up into one


@pytest.mark.slow
def test_both_readout_errors_are_applied():
    found = {}
    for readout in ("mean", "asymmetric"):
        runner = NoisyEngineRunner("fake_torino", seed=1, readout=readout)
        isa = transpile_for(loaded(2), runner.backend, seed=2)
        found[readout] = agree(runner, isa, rows_for(isa, 2), readout)
        assert runner.metadata["options"]["readout"] == readout
    assert np.abs(found["mean"] - found["asymmetric"]).max() > 1e-4


def test_a_bound_rzz_of_fractional_gates_has_aers_error():
    runner = NoisyEngineRunner("fake_fractional", seed=1)
    circuit = QuantumCircuit(2, 2)
    circuit.rx(1.2, [0, 1])
    circuit.rzz(0.7, 0, 1)
    circuit.rx(Parameter("x"), 0)
    circuit.measure([0, 1], [0, 1])
    isa = transpile_for(circuit, runner.backend, seed=1)
    assert "rzz" in isa.count_ops()
    agree(runner, isa, rows_for(isa, 2))


def test_the_range_of_an_rzz_is_checked_in_every_job():
    runner = NoisyEngineRunner("fake_fractional", seed=1)
    circuit = QuantumCircuit(5, 2)
    circuit.rzz(Parameter("x"), 0, 1)
    circuit.measure([0, 1], [0, 1])
    runner.run([(circuit, [[0.3]])], shots=1)
    with pytest.raises(UnsupportedCircuit, match="has the angle -2"):
        runner.run([(circuit, [[-2.0]])], shots=1)


def test_delays_relax_as_on_aer_each_row_by_its_own_length():
    runner = NoisyEngineRunner("fake_quito", seed=1)
    circuit = QuantumCircuit(5, 1)
    circuit.x(1)
    circuit.rz(Parameter("angle"), 1)
    circuit.sx(1)
    circuit.delay(Parameter("length"), 1, "dt")
    circuit.measure(1, 0)
    values = np.array([[0.0, 1000.0], [0.3, 200000.0], [0.5, 200000.0], [0.3, 0.0]])
    found = agree(runner, circuit, values)
    assert np.ptp(found[:, 0]) > 0.2
    bound = [circuit.assign_parameters(row) for row in values]
    for row, alone in zip(found, bound, strict=True):
        np.testing.assert_allclose(runner.exact_probabilities(alone, NOTHING)[0], row, atol=1e-12)


def own_noise():
    noise = NoiseModel(basis_gates=["rz", "sx", "x", "cz"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.02, 2), ["cz"])
    noise.add_quantum_error(pauli_error([("X", 0.1), ("I", 0.9)]), ["sx"], [1])
    noise.add_all_qubit_readout_error(ReadoutError([[0.97, 0.03], [0.08, 0.92]]))
    return noise


def test_a_noise_model_is_a_device_here_too():
    device = make_device(own_noise(), coupling_map=CouplingMap.from_line(4))
    runner = NoisyEngineRunner(device, seed=3)
    isa = transpile_for(loaded(4), device, seed=1)
    found = runner.exact_probabilities(isa, rows_for(isa, 2))
    expected = NoisyRunner(device, seed=0).exact_probabilities(isa, rows_for(isa, 2))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    assert runner.metadata["options"]["noise"] == "the device's own NoiseModel, active qubits"


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(["fake_torino", "fake_osaka", "fake_quito", "fake_kawasaki"]),
    num_qubits=st.integers(1, 4),
    level=st.sampled_from([0, 1, 3]),
    seed=st.integers(0, 10_000),
)
def test_random_circuits_have_aers_distribution(name, num_qubits, level, seed):
    runner = NoisyEngineRunner(load_backend(name), seed=1)
    circuit = random_circuit(num_qubits, seed)
    circuit.measure_all()
    isa = transpile_for(circuit, runner.backend, level=level, seed=seed)
    agree(runner, isa, rows_for(isa, 2 if isa.num_parameters else 1, seed))


def test_labels_do_not_hide_a_gates_error():
    runner = NoisyEngineRunner("fake_quito", seed=1)
    named, plain = QuantumCircuit(5, 1), QuantumCircuit(5, 1)
    for _ in range(40):
        named.append(XGate(label="mine"), [0])
        plain.x(0)
    for circuit in (named, plain):
        circuit.measure(0, 0)
    np.testing.assert_allclose(agree(runner, named, NOTHING), agree(runner, plain, NOTHING))


def test_a_circuit_that_is_changed_in_place_is_compiled_again():
    runner = NoisyEngineRunner("fake_quito", seed=1)
    circuit = QuantumCircuit(5, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    before = runner.exact_probabilities(circuit, NOTHING)
    circuit.data.insert(0, circuit.data[0])
    after = agree(runner, circuit, NOTHING)
    assert before[0, 1] > 0.9 > 0.1 > after[0, 1]


def test_circuits_that_differ_in_places_angles_or_bits_are_told_apart():
    runner = NoisyEngineRunner("fake_quito", seed=1)

    def turned(angle=0.7, qubit=1, bit=0):
        circuit = QuantumCircuit(5, 2)
        circuit.sx(qubit)
        circuit.rz(angle, qubit)
        circuit.sx(qubit)
        circuit.measure(qubit, bit)
        circuit.measure(3, 1 - bit)
        return circuit

    variants = [turned(), turned(angle=1.9), turned(qubit=2), turned(bit=1)]
    found = [agree(runner, circuit, NOTHING)[0] for circuit in variants]
    for k, other in enumerate(found[1:], start=1):
        assert np.abs(found[0] - other).max() > 1e-4, k


def test_a_circuit_is_compiled_once_and_by_its_content(monkeypatch):
    compiled = []
    lower = engine_runner.lower
    monkeypatch.setattr(engine_runner, "lower", lambda *given: compiled.append(1) or lower(*given))
    runner = NoisyEngineRunner("fake_quito", seed=1)
    isa = transpile_for(loaded(2), runner.backend, seed=1)
    for circuit in (isa, isa.copy(), isa):
        runner.run([(circuit, rows_for(isa, 3))], shots=5)
    runner.mean_output(isa)
    assert len(compiled) == 1


def test_old_circuits_make_room(monkeypatch):
    monkeypatch.setattr(engine_runner, "KEPT_CIRCUITS", 2)
    runner = NoisyEngineRunner("fake_quito", seed=1)
    for count in range(1, 5):
        circuit = QuantumCircuit(5, 1)
        for _ in range(count):
            circuit.x(0)
        circuit.measure(0, 0)
        assert runner.exact_probabilities(circuit, NOTHING)[0, count % 2] > 0.8
    assert len(runner._compiled) == 2


def test_many_rows_come_in_parts(monkeypatch):
    runner = NoisyEngineRunner("fake_quito", seed=1)
    isa = transpile_for(loaded(3), runner.backend, seed=1)
    values = rows_for(isa, 7)
    whole = runner.exact_probabilities(isa, values)
    monkeypatch.setattr(engine_runner, "NUMBERS_AT_ONCE", 2 * 4**3)
    np.testing.assert_allclose(runner.exact_probabilities(isa, values), whole, atol=1e-14)


def test_it_is_exact_without_parameters_and_whatever_torch_computes_in():
    runner = NoisyEngineRunner("fake_torino", seed=1)
    isa = transpile_for(loaded(3), runner.backend, seed=2)
    values = rows_for(isa, 1)
    bound = isa.assign_parameters(values[0])
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float32)
        found = agree(runner, bound, NOTHING)
    finally:
        torch.set_default_dtype(default)
    np.testing.assert_allclose(found, runner.exact_probabilities(isa, values), atol=1e-13)


def test_what_comes_out_whatever_goes_in_is_aers():
    engine, aer = NoisyEngineRunner("fake_torino", seed=1), NoisyRunner("fake_torino", seed=2)
    isa = transpile_for(loaded(3), engine.backend, seed=2)
    np.testing.assert_allclose(engine.mean_output(isa), aer.mean_output(isa), rtol=0, atol=1e-8)
    assert engine.mean_output(isa.assign_parameters(rows_for(isa, 1)[0])) is None


@pytest.mark.slow
def test_readout_calibrations_run_here():
    runner = NoisyEngineRunner("fake_torino", seed=1)
    circuits = construct_circuits([3, 4, 15], 133, target=runner.backend.target)
    for circuit in circuits:
        agree(runner, circuit, NOTHING)
    counts = runner.run([(circuit, NOTHING) for circuit in circuits], shots=100)
    assert [each.shape for each in counts] == [(1, 8)] * len(circuits)


# --- shots --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    runner = NoisyEngineRunner("fake_quito", seed=5)
    isa = transpile_for(loaded(2), runner.backend, seed=1)
    return isa, rows_for(isa, 3)


def test_shots_are_drawn_from_the_distribution(small):
    isa, values = small
    runner = NoisyEngineRunner("fake_quito", seed=5)
    p = runner.exact_probabilities(isa, values)
    shots, jobs = 2000, 40
    counts = np.stack([runner.run([(isa, values)], shots=shots)[0] for _ in range(jobs)])
    assert counts.dtype == np.int64
    assert (counts.sum(axis=2) == shots).all()
    statistic = ((counts - shots * p) ** 2 / (shots * p)).sum(axis=2)
    # Each is chi-squared of 3 degrees of freedom, and so is the sum of them all of 3 a row and job:
    # shots that several rows or jobs share would scatter the sum too much.
    degrees = 3 * statistic.size
    assert chi2.ppf(1e-4, degrees) < statistic.sum() < chi2.ppf(1 - 1e-4, degrees)
    # The mean over jobs lies as near as independent jobs allow.
    total = ((counts.sum(axis=0) - jobs * shots * p) ** 2 / (jobs * shots * p)).sum()
    assert total < chi2.ppf(1 - 1e-4, 9)


def test_equal_rows_jobs_and_circuits_have_independent_shots(small):
    isa, values = small
    same = np.repeat(values[:1], 200, axis=0)
    runner = NoisyEngineRunner("fake_quito", seed=5)
    p = runner.exact_probabilities(isa, values[:1])[0]
    first, second = runner.run([(isa, same), (isa, same)], shots=300)
    [third] = runner.run([(isa, same)], shots=300)
    centred = [(each - 300 * p)[:, 0] for each in (first, second, third)]
    spread = 300 * p[0] * (1 - p[0])
    assert np.var(centred, axis=1) == pytest.approx([spread] * 3, rel=0.45)
    # Correlations of 200 independent pairs are normal with a deviation of 1 / sqrt(200).
    pairs = [(centred[0], centred[1]), (centred[0], centred[2]), (centred[0][:-1], centred[0][1:])]
    for x, y in pairs:
        assert abs(np.corrcoef(x, y)[0, 1]) < 4.5 / np.sqrt(200)


def test_a_row_keeps_its_shots_when_others_are_added(small):
    isa, values = small
    runner = NoisyEngineRunner("fake_quito", seed=5)
    [few] = runner.run([(isa, values[:2])], shots=100, seed=7)
    [more, other] = runner.run([(isa, values), (isa, values)], shots=100, seed=7)
    np.testing.assert_array_equal(few, more[:2])
    assert not np.array_equal(more, other)


def test_a_job_repeats_by_its_seed_in_another_runner(small):
    isa, values = small
    jobs = [NoisyEngineRunner("fake_quito", seed=5) for _ in range(2)]
    first = [jobs[0].run([(isa, values)], shots=100)[0] for _ in range(2)]
    again = [jobs[1].run([(isa, values)], shots=100)[0] for _ in range(2)]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])


# --- what Aer runs ------------------------------------------------------------------------------


def wide(num_qubits=MAX_DENSITY_QUBITS + 1):
    circuit = QuantumCircuit(133, num_qubits)
    circuit.x(range(num_qubits))
    circuit.measure(range(num_qubits), range(num_qubits))
    return circuit


def in_the_middle():
    circuit = QuantumCircuit(133, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.x(0)
    circuit.measure(0, 1)
    return circuit


def a_bit_left_over():
    circuit = QuantumCircuit(133, 2)
    circuit.x(0)
    circuit.measure(0, 1)
    return circuit


def in_a_branch():
    circuit = QuantumCircuit(133, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    return circuit


LEFT_TO_AER = {
    "too wide": (wide, "11 qubits are active, and it takes at most 10"),
    "measured in the middle": (in_the_middle, "acts on a measured qubit"),
    "a bit without measurement": (a_bit_left_over, "Not every classical bit is measured"),
    "control flow": (in_a_branch, "runs gates, resets and channels"),
}


@pytest.mark.parametrize("case", LEFT_TO_AER)
def test_aer_runs_what_the_engine_does_not_and_the_record_says_so(case):
    make, reason = LEFT_TO_AER[case]
    circuit = make()
    runner = NoisyEngineRunner("fake_torino", seed=4)
    [counts] = runner.run([(circuit, NOTHING)], shots=200)
    [aer] = NoisyRunner("fake_torino", seed=4).run([(circuit, NOTHING)], shots=200)
    np.testing.assert_array_equal(counts, aer)
    options = runner.metadata["options"]
    assert options["circuits_on"] == {"engine": 0, "aer": 1}
    assert len(options["aer_because"]) == 1
    assert reason in options["aer_because"][0]
    assert json.loads(json.dumps(runner.metadata)) == runner.metadata


@pytest.mark.parametrize("case", LEFT_TO_AER)
def test_the_engine_alone_refuses_them_before_anything_runs(case, small):
    make, reason = LEFT_TO_AER[case]
    runner = NoisyEngineRunner("fake_torino", seed=4, simulator="engine")
    good = QuantumCircuit(133, 1)
    good.measure(0, 0)
    with pytest.raises(UnsupportedCircuit, match=f"{reason}.*take simulator 'auto' or 'aer'"):
        runner.run([(good, NOTHING), (make(), NOTHING)], shots=10)
    assert runner.metadata["options"]["circuits_on"] == {"engine": 0, "aer": 0}


def test_a_job_of_both_kinds_keeps_its_order():
    runner = NoisyEngineRunner("fake_torino", seed=4)
    ready = QuantumCircuit(133, 1)
    ready.x(0)
    ready.measure(0, 0)
    empty = QuantumCircuit(133, 1)
    empty.measure(0, 0)
    found = runner.run([(ready, NOTHING), (in_the_middle(), NOTHING), (empty, NOTHING)], shots=500)
    assert [int(each.argmax()) for each in found] == [1, 1, 0]
    assert [each.shape for each in found] == [(1, 2), (1, 4), (1, 2)]
    assert runner.metadata["options"]["circuits_on"] == {"engine": 2, "aer": 1}
    assert runner.metadata["circuits"] == 3


def test_circuits_of_other_devices_are_refused():
    runner = NoisyEngineRunner("fake_torino", seed=1)
    circuit = loaded(2)
    with pytest.raises(UnsupportedCircuit, match="call transpile_for"):
        runner.run([(circuit, rows_for(circuit, 1))], shots=1)
    with pytest.raises(InvalidData, match="needs values of shape"):
        runner.exact_probabilities(wide(), np.zeros((1, 2)))
    with pytest.raises(InvalidOption, match="simulator is 'auto' or 'engine', got 'aer'"):
        NoisyEngineRunner("fake_torino", seed=1, simulator="aer")
