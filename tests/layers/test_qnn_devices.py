"""A layer's circuit on a primitive that is told its device, or is given a pass manager."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_aer.primitives import EstimatorV2

from qdm_qiskit.circuits import CircuitSpec
from qdm_qiskit.errors import InvalidOption, UnknownName, UnsupportedCircuit
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.layers import qnn_executor
from qdm_qiskit.layers.qnn_circuits import prepare
from qdm_qiskit.transpiling.passes import transpile_for

DEVICE = "fake_manila"
SHOTS = 4_000


def circuit() -> QuantumCircuit:
    """Gates that no device of IBM's has."""
    from qiskit.circuit import Parameter

    found = QuantumCircuit(3)
    a, b, c = (Parameter(name) for name in "abc")
    found.ry(a, 0)
    found.ry(b, 2)
    found.cx(0, 1)
    found.cx(1, 2)
    found.ry(c, 1)
    found.cx(2, 0)
    return found


def spec(*observables: SparsePauliOp) -> CircuitSpec:
    readout = list(observables) or [0, 1, 2]
    return CircuitSpec.from_circuit(
        circuit(), inputs=["a"], weights=["b", "c"], readout=readout, name="tested"
    )


OBSERVABLES = (SparsePauliOp(["ZZI", "XIX"], [1.0, 0.5]), SparsePauliOp("IIZ"))
X, W = torch.tensor([[0.4], [1.9]], dtype=torch.float64), torch.tensor([0.7, 1.3]).double()


@pytest.fixture(scope="module")
def noise() -> NoiseModel:
    return NoiseModel.from_backend(load_backend(DEVICE))


def in_density_matrices(found: QuantumCircuit, observables, noise: NoiseModel) -> np.ndarray:
    """Aer's own density matrices of a transpiled circuit, row by row: no primitive, no QNN."""
    simulator = AerSimulator(method="density_matrix", noise_model=noise)
    laid = [each.apply_layout(found.layout) for each in observables]
    rows = []
    for row in X.numpy():
        values = dict(zip(("x_0000", "w_0000", "w_0001"), [*row, *W.numpy()], strict=True))
        bound = found.assign_parameters({p: values[p.name] for p in found.parameters})
        bound.save_density_matrix()
        rho = simulator.run(bound).result().data(0)["density_matrix"]
        rows.append([np.real(rho.expectation_value(each)) for each in laid])
    return np.array(rows)


def estimator_under(noise, **given):
    """An executor on Aer's own Estimator, which leaves the readout out and says so."""
    primitive = EstimatorV2(
        options={"backend_options": {"noise_model": noise, "method": "density_matrix"}}
    )
    with pytest.warns(UserWarning, match="leaves out those of the readout"):
        return qnn_executor(spec(*OBSERVABLES), primitive, **given)


def outputs_and_gradient(executor) -> tuple[np.ndarray, np.ndarray]:
    angles = W.clone().requires_grad_()
    value = executor(angles, None, X)
    (value * torch.arange(1.0, 5.0).reshape(2, 2)).sum().backward()
    assert angles.grad is not None
    return value.detach().numpy(), angles.grad.numpy()


@pytest.mark.parametrize("way", ["device", "pass manager"])
@pytest.mark.slow
def test_an_estimator_under_a_snapshots_noise_has_the_noise_of_every_gate(noise, way):
    backend, tested = load_backend(DEVICE), spec(*OBSERVABLES)
    manager = generate_preset_pass_manager(1, backend=backend, seed_transpiler=3)
    given = {"device": DEVICE} if way == "device" else {"pass_manager": manager}
    found, gradient = outputs_and_gradient(estimator_under(noise, **given))
    logical = tested.full_circuit(measure=False)
    alone = (
        transpile_for(logical, backend, level=1, seed=0)
        if way == "device"
        else manager.run(logical)
    )
    expected = in_density_matrices(alone, OBSERVABLES, noise)
    np.testing.assert_allclose(found, expected, atol=1e-6)  # float32
    bare = in_density_matrices(alone, OBSERVABLES, NoiseModel())
    assert np.abs(bare - expected).max() > 0.01  # the noise is there to be left out
    # The gradient by differences of the same noisy values.
    step, wanted = 1e-3, []
    for k in range(2):
        values = []
        for sign in (1, -1):
            W[k] += sign * step
            rows = in_density_matrices(alone, OBSERVABLES, noise)
            values.append((rows * np.arange(1.0, 5.0).reshape(2, 2)).sum())
            W[k] -= sign * step
        wanted.append((values[0] - values[1]) / (2 * step))
    np.testing.assert_allclose(gradient, wanted, atol=1e-4)


def test_a_sampler_under_a_snapshots_noise_reads_the_layers_qubits(noise):
    backend, tested = load_backend(DEVICE), spec()
    simulator = AerSimulator(noise_model=noise, method="density_matrix")
    options = {"default_shots": SHOTS, "seed_simulator": 5}
    executor = qnn_executor(
        tested, BackendSamplerV2(backend=simulator, options=options), device=backend
    )
    with torch.no_grad():
        found = executor(W, None, X).numpy()
    measured = transpile_for(tested.full_circuit(), backend, level=1, seed=0)
    rows = []
    for row in X.numpy():
        values = dict(zip(("x_0000", "w_0000", "w_0001"), [*row, *W.numpy()], strict=True))
        bound = measured.assign_parameters({p: values[p.name] for p in measured.parameters})
        counts = simulator.run(bound, shots=200_000, seed_simulator=1).result().get_counts()
        rows.append([counts.get(f"{k:03b}", 0) / 200_000 for k in range(8)])
    spread = np.sqrt(np.array(rows) * (1 - np.array(rows)) * (1 / SHOTS + 1 / 200_000))
    assert (np.abs(found - rows) < 5 * spread + 1e-3).all()


def test_backend_estimators_take_the_device_too(noise):
    simulator = AerSimulator(noise_model=noise, method="density_matrix")
    options = {"default_precision": 0.02, "seed_simulator": 4}
    primitive = BackendEstimatorV2(backend=simulator, options=options)
    tested = spec(*OBSERVABLES)
    with torch.no_grad():
        found = qnn_executor(tested, primitive, device=DEVICE)(W, None, X).numpy()
    logical = tested.full_circuit(measure=False)
    alone = transpile_for(logical, load_backend(DEVICE), level=1, seed=0)
    expected = in_density_matrices(alone, OBSERVABLES, noise)
    # Readout errors come on top of the density matrix's values: some per cent of each term.
    assert np.abs(found - expected).max() < 0.25
    ready = prepare(logical, OBSERVABLES, primitive, "refuse", device=load_backend(DEVICE))
    assert {item.operation.name for item in ready.circuit.data} <= {
        "rz",
        "sx",
        "x",
        "cx",
        "barrier",
    }


def test_copies_keep_the_device(noise):
    backend = load_backend(DEVICE)
    manager = generate_preset_pass_manager(1, backend=backend, seed_transpiler=3)
    executor = estimator_under(noise, pass_manager=manager)
    again = copy.deepcopy(executor)
    with torch.no_grad():
        assert torch.equal(executor(W, None, X), again(W, None, X))


def test_what_cannot_be_transpiled_is_said_in_one_line(noise):
    primitive = EstimatorV2()
    manager = generate_preset_pass_manager(1, basis_gates=["cx", "sx", "x", "rz"])
    tested = spec(*OBSERVABLES)
    with pytest.raises(InvalidOption, match="give one of them"):
        qnn_executor(tested, primitive, device=DEVICE, pass_manager=manager)
    with pytest.raises(UnknownName, match="fake_manilla"):
        qnn_executor(tested, primitive, device="fake_manilla")
    wrong = {"pass_manager": "level 1"}
    with pytest.raises(TypeError, match="pass_manager"):
        qnn_executor(tested, primitive, **wrong)
    narrow = generate_preset_pass_manager(1, basis_gates=["cz", "rz"])
    with pytest.raises(UnsupportedCircuit, match="pass manager cannot transpile 'tested'") as error:
        qnn_executor(tested, primitive, pass_manager=narrow)
    assert "\n" not in str(error.value)
    large = CircuitSpec.from_circuit(
        QuantumCircuit(6), readout=[SparsePauliOp("Z" * 6)], name="large"
    )
    with pytest.raises(UnsupportedCircuit, match=r"6 qubits and .* has 5") as error:
        qnn_executor(large, primitive, device=DEVICE)
    assert "\n" not in str(error.value)


def test_a_pass_manager_into_gates_that_the_noise_does_not_know_is_refused(noise):
    manager = generate_preset_pass_manager(1, basis_gates=["cx", "u"], seed_transpiler=1)
    executor = estimator_under(noise, pass_manager=manager)
    with pytest.raises(UnsupportedCircuit, match="would run free of noise"):
        executor(W, None, X)
    allowed = estimator_under(noise, pass_manager=manager, unknown_gates="noiseless")
    with torch.no_grad():
        assert torch.isfinite(allowed(W, None, X)).all()


@pytest.mark.slow
def test_ibms_primitives_in_local_mode_take_a_layers_circuits(noise):
    from qiskit_ibm_runtime.executor_estimator import Estimator
    from qiskit_ibm_runtime.executor_sampler import Sampler

    backend = load_backend(DEVICE)
    estimator = Estimator(mode=backend, options={"resilience_level": 0, "default_shots": SHOTS})
    sampler = Sampler(mode=backend)
    tested = spec(*OBSERVABLES)
    with torch.no_grad():
        found = qnn_executor(tested, estimator)(W, None, X).numpy()
        read = qnn_executor(spec(), sampler)(W, None, X).numpy()
    alone = transpile_for(tested.full_circuit(measure=False), backend, level=1, seed=0)
    expected = in_density_matrices(alone, OBSERVABLES, noise)
    # Readout errors of manila, a few per cent of each term, and shots.
    assert np.abs(found - expected).max() < 0.25
    measured = transpile_for(spec().full_circuit(), backend, level=1, seed=0)
    rows = [
        dict(zip(("x_0000", "w_0000", "w_0001"), [*row, *W.numpy()], strict=True))
        for row in X.numpy()
    ]
    values = np.array([[row[p.name] for p in measured.parameters] for row in rows])
    ours = NoisyRunner(DEVICE, seed=0).exact_probabilities(measured, values)
    np.testing.assert_allclose(read, ours, atol=5 * 0.5 / np.sqrt(4096))
