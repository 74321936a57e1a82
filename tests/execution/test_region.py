"""What a device is asked for it must have, and its readout errors are those that are named."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector
from qiskit.transpiler import generate_preset_pass_manager

from qdm_qiskit.engine import compile_noisy
from qdm_qiskit.errors import InvalidOption, TargetUnavailable, UnsupportedCircuit
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.region import check_isa, noise_of, readout_matrix
from qdm_qiskit.execution.snapshots import backend_names, load_backend
from qdm_qiskit.mitigation.readout import combine_results, construct_circuits, mitigate
from qdm_qiskit.transpiling.passes import transpile_for


@pytest.fixture(scope="module")
def fractional():
    return load_backend("fake_fractional")


def with_rzz(angle):
    circuit = QuantumCircuit(2)
    circuit.rx(1.2, [0, 1])
    circuit.rzz(angle, 0, 1)
    circuit.rx(0.5, [0, 1])
    circuit.measure_all()
    return circuit


def as_qiskit_transpiles(circuit, backend):
    """Its preset managers leave a free rzz as it is."""
    return generate_preset_pass_manager(1, target=backend.target, seed_transpiler=0).run(circuit)


A, B = Parameter("a"), Parameter("b")


@pytest.mark.parametrize(
    ("angle", "values", "message"),
    [
        (A, [[0.2], [np.pi / 2]], None),
        (A, [[0.2], [-0.3]], "has the angle -0.3"),
        (A, [[2.0]], "has the angle 2"),
        (A - B, [[0.5, 0.1]], None),
        (A - B, [[0.1, 0.5]], "has the angle -0.4"),
        (2 * A, [[1.0]], "has the angle 2"),
        (A, None, "has a free angle, a, which may leave it"),
    ],
)
def test_values_of_an_rzz_are_checked_against_its_range(fractional, angle, values, message):
    isa = as_qiskit_transpiles(with_rzz(angle), fractional)
    assert isa.count_ops()["rzz"] == 1
    rows = None if values is None else np.array(values)
    if message is None:
        check_isa(isa, fractional, rows)
    else:
        with pytest.raises(UnsupportedCircuit, match=message):
            check_isa(isa, fractional, rows)


@pytest.mark.parametrize("angle", [-0.3, 1.6, 3.0, -4.0])
def test_a_bound_rzz_outside_its_range_is_refused(fractional, angle):
    isa = as_qiskit_transpiles(with_rzz(A), fractional).assign_parameters([angle])
    with pytest.raises(UnsupportedCircuit, match=f"has the angle {angle:g}"):
        check_isa(isa, fractional)


def test_an_rzz_in_a_branch_is_checked_too(fractional):
    circuit = QuantumCircuit(5, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.rzz(-0.5, 1, 0)
    with pytest.raises(UnsupportedCircuit, match=r"'rzz' on qubits \(1, 0\).*angle -0.5"):
        check_isa(circuit, fractional)


@pytest.mark.parametrize("kind", ["noisy", "local"])
def test_a_free_rzz_runs_at_any_angle_and_not_as_a_gate_that_is_not_there(fractional, kind):
    runner = make_runner(f"{kind}:fake_fractional", seed=1)
    values = np.array([[0.3], [-2.0], [5.0]])
    raw = as_qiskit_transpiles(with_rzz(A), fractional)
    with pytest.raises(UnsupportedCircuit, match="angle -2"):
        runner.run([(raw, values)], shots=10)
    [counts] = runner.run([(transpile_for(with_rzz(A), fractional, seed=0), values)], shots=8192)
    for row, [angle] in zip(counts, values, strict=True):
        bare = with_rzz(angle).remove_final_measurements(inplace=False)
        assert np.abs(row / 8192 - Statevector(bare).probabilities()).max() < 0.04


# What the snapshots say: qubit, P(1|0), P(0|1).
ASYMMETRIC = [("fake_torino", 86, 0.2144, 0.9160), ("fake_kyiv", 0, None, None),
              ("fake_manhattan", 5, None, None), ("fake_johannesburg", 3, 0.0898, 0.0632)]  # fmt: skip


@pytest.mark.parametrize("readout", ["mean", "asymmetric"])
@pytest.mark.parametrize(("name", "qubit", "one", "zero"), ASYMMETRIC)
def test_both_readout_errors_or_their_mean(name, qubit, one, zero, readout):
    backend = load_backend(name)
    said = backend.properties().qubit_property(qubit)
    found = [said["prob_meas1_prep0"][0], said["prob_meas0_prep1"][0]]
    if one is not None:
        assert found == pytest.approx([one, zero], abs=1e-4)
    if readout == "mean":
        found = [sum(found) / 2] * 2
    expected = np.array([[1 - found[0], found[0]], [found[1], 1 - found[1]]])
    model = noise_of(backend, frozenset([qubit]), readout=readout)
    matrix = np.asarray(model._local_readout_errors[(qubit,)].probabilities)
    np.testing.assert_allclose(matrix, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["mean", "asymmetric"])
def test_readout_of_runners_and_of_the_density_engine_agree(readout):
    expected = {"mean": (0.5652, 0.4378), "asymmetric": (0.2144, 0.0869)}[readout]
    backend = load_backend("fake_torino")
    noise = noise_of(backend, frozenset([86]), readout=readout)
    for one, probability in enumerate(expected):
        circuit = QuantumCircuit(1)
        circuit.x(0) if one else None
        circuit.measure_all()
        isa = transpile_for(circuit, backend, seed=0, initial_layout=[86])
        nothing = np.zeros((1, 0))
        runner = NoisyRunner("fake_torino", seed=1, readout=readout)
        assert runner.exact_probabilities(isa, nothing)[0, 1] == pytest.approx(
            probability, abs=1e-4
        )
        program = compile_noisy(isa, noise)
        engine = program.probabilities(qubits=program.measured)
        assert float(engine[0, 1]) == pytest.approx(probability, abs=1e-4)
        for kind in ("noisy", "local"):
            shots = make_runner(f"{kind}:fake_torino", seed=2, readout=readout)
            [counts] = shots.run([(isa, nothing)], shots=20_000)
            assert counts[0, 1] / 20_000 == pytest.approx(probability, abs=0.02)
            assert shots.metadata["options"]["readout"] == readout


def test_m3_rehearses_with_both_numbers():
    """A calibration finds each number, and the correction is the asymmetric one."""
    backend, qubits = load_backend("fake_johannesburg"), (3,)
    runner = make_runner("noisy:fake_johannesburg", seed=3, readout="asymmetric")
    circuits = construct_circuits(qubits, backend.num_qubits, target=backend.target)
    shots = 100_000
    counts = runner.run([(each, np.zeros((1, 0))) for each in circuits], shots=shots)
    calibration = combine_results(
        counts, qubits, backend=backend.name, taken_at="2026-01-01T00:00:00"
    )
    matrix = readout_matrix(backend, 3)  # [true, read]
    np.testing.assert_allclose(calibration.matrices[3].T, matrix, atol=0.01)
    assert abs(matrix[0, 1] - matrix[1, 0]) > 0.02
    uniform = np.array([[0.5, 0.5]]) @ matrix * shots
    corrected = mitigate(np.rint(uniform).astype(int), calibration, qubits, backend.name)
    assert corrected[0] == pytest.approx([0.5, 0.5], abs=0.01)


def test_snapshots_of_all_ages_say_both_numbers():
    for name in ("fake_aachen", "fake_armonk", "fake_miami", "fake_rochester", "fake_yorktown"):
        assert name in backend_names()
        matrix = readout_matrix(load_backend(name), 0)
        assert ((matrix >= 0) & (matrix <= 1)).all()


def test_a_device_that_says_one_number_only_is_refused_by_name():
    from qiskit.providers.fake_provider import GenericBackendV2

    backend = GenericBackendV2(2, seed=1)
    assert noise_of(backend, frozenset([0])) is not None
    with pytest.raises(TargetUnavailable, match="does not say how often qubit 0 reads 1 for 0"):
        noise_of(backend, frozenset([0]), readout="asymmetric")


def test_readout_names_are_checked():
    with pytest.raises(InvalidOption, match="readout is mean or asymmetric, got 'both'"):
        NoisyRunner("fake_torino", seed=0, readout="both")
    with pytest.raises(InvalidOption, match="no readout errors of a snapshot"):
        make_runner("aer", seed=0, readout="asymmetric")
