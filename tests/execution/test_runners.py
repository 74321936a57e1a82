import json
import subprocess
import sys

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector
from qiskit_aer import AerSimulator

from qdm_qiskit.errors import InvalidData, InvalidOption, UnsupportedCircuit
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.transpiling.passes import select_values, transpile_for

SHOTS = 4096


def rotations(num_qubits=3, layers=2):
    circuit = QuantumCircuit(QuantumRegister(num_qubits, "q"), ClassicalRegister(num_qubits, "out"))
    names = iter(f"x_{k:04d}" for k in range(layers * num_qubits))
    for _ in range(layers):
        for qubit in range(num_qubits):
            circuit.ry(Parameter(next(names)), qubit)
        for qubit in range(num_qubits - 1):
            circuit.cx(qubit, qubit + 1)
    circuit.measure(range(num_qubits), range(num_qubits))
    return circuit


def exact(circuit, values):
    bare = circuit.remove_final_measurements(inplace=False)
    return np.array([Statevector(bare.assign_parameters(row)).probabilities() for row in values])


@pytest.fixture(scope="module")
def circuit():
    return rotations()


@pytest.fixture(scope="module")
def values(circuit):
    return np.random.default_rng(5).uniform(-np.pi, np.pi, (4, circuit.num_parameters))


@pytest.fixture(scope="module")
def isa(circuit):
    return transpile_for(circuit, NoisyRunner("fake_torino", seed=0).backend, seed=3)


@pytest.fixture(scope="module")
def whole_device():
    """Aer with the noise of all 133 qubits: what the runners must agree with, in seconds."""
    return AerSimulator.from_backend(load_backend("fake_torino"), method="density_matrix")


def within_five_sigma(counts, p, shots):
    # 5 sigma of a binomial is 5e-7 under the normal law; the + 1 / shots covers rare outcomes,
    # whose law is not normal.
    assert (counts.sum(axis=1) == shots).all()
    sigma = np.sqrt(p * (1 - p) / shots)
    assert (np.abs(counts / shots - p) <= 5 * sigma + 1 / shots).all()


def test_aer_draws_from_the_exact_distribution(circuit, values):
    runner = make_runner("aer", seed=7)
    (counts,) = runner.run([(circuit, values)], shots=SHOTS)
    assert counts.dtype == np.int64
    within_five_sigma(counts, exact(circuit, values), SHOTS)


def test_qubit_0_is_the_least_significant_bit():
    circuit = QuantumCircuit(3)
    circuit.x(0)
    circuit.measure_all()
    (counts,) = make_runner("aer", seed=1).run([(circuit, np.zeros((1, 0)))], shots=10)
    assert counts.tolist() == [[0, 10, 0, 0, 0, 0, 0, 0]]


def test_values_go_by_the_order_of_parameter_names():
    circuit = QuantumCircuit(2)
    circuit.rx(Parameter("x_0001"), 1)
    circuit.rx(Parameter("x_0000"), 0)
    circuit.measure_all()
    (counts,) = make_runner("aer", seed=1).run([(circuit, [[np.pi, 0.0]])], shots=10)
    assert counts[0, 1] == 10


@pytest.mark.parametrize(
    "target",
    ["aer", pytest.param("noisy:fake_torino", marks=pytest.mark.slow), "local:fake_torino"],
)
def test_runs_repeat_with_their_seed_and_calls_are_independent(target, circuit, values):
    def two_calls(seed):
        runner = make_runner(target, seed=seed)
        isa = transpile_for(circuit, runner.backend, seed=3)
        return [runner.run([(isa, values)], shots=500)[0] for _ in range(2)], runner.metadata

    (first, second), metadata = two_calls(11)
    (again_first, again_second), _ = two_calls(11)
    (other, _), _ = two_calls(12)
    np.testing.assert_array_equal(first, again_first)
    np.testing.assert_array_equal(second, again_second)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert metadata["jobs"] == 2
    assert metadata["circuits"] == 8
    assert metadata["total_shots"] == 4000
    assert metadata["target"] == target
    assert json.loads(json.dumps(metadata)) == metadata


@pytest.mark.parametrize("target", ["aer", "noisy:fake_torino", "local:fake_torino"])
def test_a_seed_of_a_job_decides_whatever_ran_before(target, circuit, values):
    runner = make_runner(target, seed=11)
    isa = transpile_for(circuit, runner.backend, seed=3)
    (first,) = runner.run([(isa, values)], shots=500, seed=5)
    (other,) = runner.run([(isa, values)], shots=500, seed=6)
    (again,) = runner.run([(isa, values)], shots=500, seed=5)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("target", ["aer", "noisy:fake_torino", "local:fake_torino"])
def test_equal_rows_have_independent_shots(target, circuit, values):
    runner = make_runner(target, seed=2)
    isa = transpile_for(circuit, runner.backend, seed=3)
    (counts,) = runner.run([(isa, np.repeat(values[:1], 2, axis=0))], shots=1000)
    assert not np.array_equal(counts[0], counts[1])


def test_noisy_shots_follow_the_exact_noisy_distribution(isa, values):
    runner = NoisyRunner("fake_torino", seed=4)
    p = runner.exact_probabilities(isa, values)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-9)
    (counts,) = runner.run([(isa, values)], shots=SHOTS)
    within_five_sigma(counts, p, SHOTS)


def test_noise_moves_the_distribution(circuit, isa, values):
    p = NoisyRunner("fake_torino", seed=4).exact_probabilities(isa, values)
    assert np.abs(p - exact(circuit, values)).max() > 0.01


@pytest.mark.slow
def test_exact_noisy_distribution_is_the_density_matrix_read_out_by_hand(isa, values, whole_device):
    """Slow reference: the whole device's noise model, no fusion, one outcome at a time."""
    runner = NoisyRunner("fake_torino", seed=0)
    p = runner.exact_probabilities(isa, values[:1])[0]
    qubit_of = {isa.find_bit(i.clbits[0]).index: isa.find_bit(i.qubits[0]).index
                for i in isa.data if i.operation.name == "measure"}  # fmt: skip
    bare = isa.assign_parameters(values[0]).remove_final_measurements(inplace=False)
    qubits = [qubit_of[k] for k in range(3)]
    bare.save_density_matrix(qubits)
    rho = np.asarray(whole_device.run(bare).result().data()["density_matrix"])
    error = [runner.backend.target["measure"][(q,)].error for q in qubits]
    reference = np.zeros(8)
    for true in range(8):
        for read in range(8):
            flips = [(true >> k & 1) != (read >> k & 1) for k in range(3)]
            chance = np.prod([e if f else 1 - e for e, f in zip(error, flips, strict=True)])
            reference[read] += rho[true, true].real * chance
    np.testing.assert_allclose(p, reference, atol=1e-9)


@pytest.mark.slow
def test_noise_of_the_active_qubits_is_the_whole_devices_to_the_bit(isa, values, whole_device):
    runner = NoisyRunner("fake_torino", seed=9)
    (counts,) = runner.run([(isa, values[:2])], shots=500)
    binds = {p: values[:2, k].tolist() for k, p in enumerate(isa.parameters)}
    result = whole_device.run(
        [isa], parameter_binds=[binds], shots=500, seed_simulator=derived_seed(9, "shots", 0)
    ).result()
    for row in range(2):
        reference = {int(k, 16): c for k, c in result.data(row)["counts"].items()}
        assert {k: c for k, c in enumerate(counts[row]) if c} == reference


@pytest.mark.slow
def test_local_mode_gives_what_ibms_sampler_gives_on_the_fake_backend(isa, values):
    from qiskit_ibm_runtime import Batch
    from qiskit_ibm_runtime.executor_sampler import Sampler

    runner = make_runner("local:fake_torino", seed=6)
    (counts,) = runner.run([(isa, values[:2])], shots=200)
    with Batch(backend=runner.backend) as batch:
        sampler = Sampler(mode=batch)
        sampler.options.simulator.seed_simulator = derived_seed(6, "shots", 0)
        bits = sampler.run([(isa, values[:2])], shots=200).result()[0].data.out
    for row in range(2):
        assert {k: c for k, c in enumerate(counts[row]) if c} == bits.get_int_counts(row)


def test_local_mode_sends_all_circuits_in_one_job(isa, values, monkeypatch):
    from qiskit_ibm_runtime.executor_sampler import Sampler

    jobs = []
    run = Sampler.run
    monkeypatch.setattr(Sampler, "run", lambda *a, **k: jobs.append(a) or run(*a, **k))
    plain = isa.assign_parameters(values[0])
    runner = make_runner("local:fake_torino", seed=1)
    counts = runner.run([(isa, values), (plain, np.zeros((1, 0)))], shots=100)
    assert len(jobs) == 1
    assert [c.shape for c in counts] == [(4, 8), (1, 8)]
    assert all((c.sum(axis=1) == 100).all() for c in counts)
    assert runner.metadata["options"]["twirling"]["enable_gates"] is False


def test_circuits_with_and_without_parameters_share_an_aer_job(circuit, values):
    plain = circuit.assign_parameters(values[0])
    runner = make_runner("aer", seed=1)
    a, b = runner.run([(plain, np.zeros((1, 0))), (circuit, values)], shots=100)
    assert a.shape == (1, 8)
    assert b.shape == (4, 8)


@pytest.mark.parametrize("shots", [0, -3, 1.5, True])
def test_shots_below_one_are_refused(circuit, values, shots):
    with pytest.raises(InvalidOption, match=f"shots must be at least 1, got {shots}"):
        make_runner("aer", seed=1).run([(circuit, values)], shots=shots)


def test_negative_seed_is_refused_before_anything_runs():
    with pytest.raises(InvalidOption, match="seed"):
        make_runner("aer", seed=-1)


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 5)), np.zeros(6), np.zeros((0, 6)), np.full((1, 6), np.nan)]
)
def test_values_of_a_wrong_shape_or_nan_are_refused(circuit, bad):
    with pytest.raises(InvalidData, match=r"Circuit|Values"):
        make_runner("aer", seed=1).run([(circuit, bad)], shots=1)


def test_rows_without_parameters_are_refused(circuit, values):
    plain = circuit.assign_parameters(values[0])
    with pytest.raises(InvalidData, match="raise shots"):
        make_runner("aer", seed=1).run([(plain, np.zeros((2, 0)))], shots=1)


def test_no_circuits_are_refused():
    with pytest.raises(InvalidData, match="at least one circuit"):
        make_runner("aer", seed=1).run([], shots=1)


def test_circuit_needs_one_register(values):
    circuit = QuantumCircuit(2, 2)
    circuit.measure_all()
    with pytest.raises(UnsupportedCircuit, match="one classical register"):
        make_runner("aer", seed=1).run([(circuit, np.zeros((1, 0)))], shots=1)


@pytest.mark.parametrize("target", ["noisy:fake_torino", "local:fake_torino"])
def test_circuit_that_was_not_transpiled_is_refused(target, circuit, values):
    with pytest.raises(UnsupportedCircuit, match="call transpile_for"):
        make_runner(target, seed=1).run([(circuit, values)], shots=1)


def test_exact_probabilities_need_final_measurements(isa, values):
    middle = isa.copy()
    middle.x(next(isa.find_bit(i.qubits[0]).index for i in isa.data if i.clbits))
    with pytest.raises(UnsupportedCircuit, match="at the end"):
        NoisyRunner("fake_torino", seed=1).exact_probabilities(middle, values)


def test_ancilla_that_is_not_measured_is_traced_out():
    circuit = QuantumCircuit(2, 1)
    circuit.ry(Parameter("x_0000"), 0)
    circuit.cx(0, 1)
    circuit.measure(1, 0)
    runner = NoisyRunner("fake_torino", seed=3)
    isa = transpile_for(circuit, runner.backend, seed=1)
    values = select_values(np.array([[np.pi / 2]]), circuit, isa)
    assert runner.exact_probabilities(isa, values)[0] == pytest.approx([0.5, 0.5], abs=0.05)


def test_execution_imports_neither_torch_nor_ibms_client():
    code = (
        "import sys, qdm_qiskit.execution.factory, qdm_qiskit.execution.targets; "
        "sys.exit('torch' in sys.modules or 'qiskit_ibm_runtime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_local_mode_draws_the_noise_of_qubits_that_are_used_again():
    """By density matrices; Aer's own choice, state vectors, has the same distribution."""
    from qiskit_aer import AerSimulator

    circuit = QuantumCircuit(2, 3)
    for bit in range(3):
        circuit.ry(0.6 + bit, 0)
        circuit.cx(0, 1)
        circuit.measure(1, bit)
        circuit.reset(1)
    runner = make_runner("local:fake_manila", seed=1)
    isa = transpile_for(circuit, runner.backend, level=1, seed=0)
    shots = 3_000
    [[found]] = runner.run([(isa, np.zeros((1, 0)))], shots=shots)
    simulator = AerSimulator.from_backend(runner.backend, method="statevector")
    counts = simulator.run(isa, shots=shots, seed_simulator=2).result().get_counts()
    other = np.array([counts.get(f"{k:03b}", 0) for k in range(8)])
    sigma = np.sqrt((found + other) * (1 - (found + other) / (2 * shots)))
    assert (np.abs(found - other) < 5 * sigma + 1e-9).all()
    # Not without noise: the errors of a chain of three readouts are there.
    plain = AerSimulator().run(circuit, shots=shots, seed_simulator=2).result().get_counts()
    ideal = np.array([plain.get(f"{k:03b}", 0) for k in range(8)])
    assert np.abs(found - ideal).sum() / shots > 0.02
