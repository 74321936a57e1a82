"""Kernels of circuits against closed forms, Qiskit's Statevector and qiskit-machine-learning's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit.quantum_info import DensityMatrix, Statevector, partial_trace
from qiskit_machine_learning.kernels import FidelityQuantumKernel

from qdm_qiskit.circuits import CircuitSpec, eeqdm, register_spec
from qdm_qiskit.circuits.angle_encodings import angle_encoding, dense_angle_encoding
from qdm_qiskit.errors import InvalidArgument, InvalidData, InvalidOption
from qdm_qiskit.kernels import QuantumKernel


def rows(count, width, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width))


def states(circuit, x):
    return [Statevector(circuit.assign_parameters(row)) for row in x]


def by_statevectors(circuit, x, y):
    left, right = (np.array([each.data for each in states(circuit, z)]) for z in (x, y))
    return np.abs(left.conj() @ right.T) ** 2


def reduced(state, qubit):
    others = [each for each in range(state.num_qubits) if each != qubit]
    return partial_trace(state, others).data


def projected_by_traces(circuit, x, y, gamma):
    """From partial traces, without Bloch vectors."""
    found = np.zeros((len(x), len(y)))
    for i, a in enumerate(states(circuit, x)):
        for j, b in enumerate(states(circuit, y)):
            apart = [reduced(a, q) - reduced(b, q) for q in range(circuit.num_qubits)]
            found[i, j] = np.exp(-gamma * sum(np.linalg.norm(each) ** 2 for each in apart))
    return found


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_angle_encoding_gives_products_of_squared_cosines(axis):
    spec = register_spec(angle_encoding(5, axis=axis), source="test", encoding="angle")
    x, y = rows(7, 5), rows(4, 5, seed=1)
    closed = np.prod(np.cos((x[:, None] - y[None]) / 2) ** 2, axis=2)
    np.testing.assert_allclose(QuantumKernel(spec).matrix(x, y), closed, atol=1e-14)


def test_projected_angle_encoding_gives_gaussians_of_chords():
    # RX turns Bloch vectors by x: their chord is 2 sin of half the angle between.
    spec = register_spec(angle_encoding(3), source="test", encoding="angle")
    x, y, gamma = rows(5, 3), rows(6, 3, seed=1), 0.7
    chords = (2 * np.sin((x[:, None] - y[None]) / 2)) ** 2
    closed = np.exp(-0.5 * gamma * chords.sum(axis=2))
    kernel = QuantumKernel(spec, kind="projected", gamma=gamma)
    np.testing.assert_allclose(kernel.matrix(x, y), closed, atol=1e-14)


@pytest.mark.parametrize("kind", ["fidelity", "projected"])
def test_a_users_feature_map_equals_statevectors(kind):
    circuit = zz_feature_map(3, reps=2)
    x, y = rows(5, 3), rows(4, 3, seed=1)
    if kind == "fidelity":
        expected = by_statevectors(circuit, x, y)
        kernel = QuantumKernel(circuit)
    else:
        expected = projected_by_traces(circuit, x, y, 1.3)
        kernel = QuantumKernel(circuit, kind=kind, gamma=1.3)
    np.testing.assert_allclose(kernel.matrix(x, y), expected, atol=1e-13)
    as_tensors = kernel(torch.tensor(x), torch.tensor(y)).numpy()
    np.testing.assert_allclose(as_tensors, expected, atol=1e-13)


def test_equals_qiskit_machine_learnings_kernel():
    circuit = zz_feature_map(3)
    x, y = rows(4, 3), rows(3, 3, seed=2)
    theirs = FidelityQuantumKernel(feature_map=circuit, enforce_psd=False)
    # Their fidelities come from a sampler's shots unless it is exact: 1024 by default.
    ours, found = QuantumKernel(circuit).matrix(x, y), theirs.evaluate(x, y)
    error = np.sqrt(ours * (1 - ours) / 1024)
    assert (np.abs(found - ours) < 5 * error + 1e-9).all()


def test_weights_of_a_spec_are_bound_and_have_gradients():
    features, ansatz = zz_feature_map(2, reps=1), real_amplitudes(2, reps=1)
    whole = features.compose(ansatz).compose(features.copy())
    spec = CircuitSpec.from_circuit(
        whole, inputs=list(features.parameters), weights=list(ansatz.parameters), readout=[0]
    )
    w, x, y = rows(1, 4)[0], rows(3, 2, seed=1), rows(2, 2, seed=2)
    kernel = QuantumKernel(spec, weights=w)
    bound = whole.assign_parameters(dict(zip(ansatz.parameters, w, strict=True)))
    np.testing.assert_allclose(kernel.matrix(x, y), by_statevectors(bound, x, y), atol=1e-13)
    kernel(torch.tensor(x), torch.tensor(y)).sum().backward()
    gradient, shift = kernel.weights.grad.numpy(), 1e-5
    for k in range(4):
        values = []
        for sign in (1, -1):
            moved = QuantumKernel(spec, weights=w + sign * shift * np.eye(4)[k])
            values.append(moved.matrix(x, y).sum())
        assert (values[0] - values[1]) / (2 * shift) == pytest.approx(gradient[k], abs=1e-7)


@pytest.mark.parametrize("kind", ["fidelity", "projected"])
def test_gradients_in_inputs(kind):
    kernel = QuantumKernel(zz_feature_map(2, reps=1), kind=kind)
    x = torch.tensor(rows(3, 2), requires_grad=True)
    y = torch.tensor(rows(2, 2, seed=1), requires_grad=True)
    assert torch.autograd.gradcheck(kernel, (x, y))


def test_gradients_where_all_states_are_real():
    kernel = QuantumKernel(dense_free_circuit())
    x = torch.tensor(rows(3, 2), requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: kernel(z), (x,))


def dense_free_circuit():
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    circuit.ry(Parameter("b"), 1)
    circuit.cx(0, 1)
    return circuit


def test_amplitudes_are_inputs_too_and_any_unitary_behind_them_is_without_effect():
    spec = eeqdm(num_data=2, depth=1)
    x, y = rows(4, 4), rows(3, 4, seed=1)
    kernel = QuantumKernel(spec, weights=rows(1, 6)[0])
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (x, y)]
    np.testing.assert_allclose(kernel.matrix(x, y), (unit[0] @ unit[1].T) ** 2, atol=1e-13)


@st.composite
def random_feature_maps(draw):
    qubits = draw(st.integers(1, 3))
    circuit = QuantumCircuit(qubits)
    parameters = [Parameter(f"p{k}") for k in range(draw(st.integers(1, 3)))]
    for parameter in parameters:
        gate = draw(st.sampled_from(["rx", "ry", "rz"]))
        getattr(circuit, gate)(
            draw(st.floats(-2, 2)) * parameter + 0.3, draw(st.integers(0, qubits - 1))
        )
        if qubits > 1:
            a, b = draw(st.permutations(range(qubits)))[:2]
            circuit.cx(a, b)
        circuit.h(draw(st.integers(0, qubits - 1)))
    return circuit


@settings(max_examples=25, deadline=None)
@given(circuit=random_feature_maps(), seed=st.integers(0, 2**31))
def test_any_circuit_equals_statevectors_and_is_positive_semidefinite(circuit, seed):
    x = rows(6, circuit.num_parameters, seed)
    found = QuantumKernel(circuit).matrix(x)
    np.testing.assert_allclose(found, by_statevectors(circuit, x, x), atol=1e-12)
    projected = QuantumKernel(circuit, kind="projected").matrix(x)
    for matrix in (found, projected):
        assert (matrix == matrix.T).all()
        assert np.linalg.eigvalsh(matrix).min() > -1e-12
        np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-12)


def test_precision_is_that_of_the_rows():
    kernel = QuantumKernel(zz_feature_map(2))
    x = rows(5, 2)
    exact, single = kernel.matrix(x), kernel.matrix(x.astype(np.float32))
    assert exact.dtype == np.float64
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, exact, atol=1e-5)
    assert kernel.matrix(x, x.astype(np.float32)).dtype == np.float64


def test_rows_are_computed_in_batches(monkeypatch):
    kernel = QuantumKernel(zz_feature_map(2))
    x = rows(11, 2)
    whole = kernel.matrix(x)
    monkeypatch.setattr("qdm_qiskit.kernels.kernel.BATCH_NUMBERS", 60)
    np.testing.assert_allclose(kernel.matrix(x), whole, atol=1e-14)


def test_noise_gives_traces_of_products():
    from qiskit_aer.noise import NoiseModel, depolarizing_error

    noise = NoiseModel(basis_gates=["ry", "cx"])
    share = 0.2
    noise.add_all_qubit_quantum_error(depolarizing_error(share, 1), ["ry"])
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    x, y = rows(4, 1), rows(3, 1, seed=1)
    kernel = QuantumKernel(circuit, noise=noise)
    # Bloch vectors shrink by the share: tr(rho sigma) = (1 + r . s) / 2.
    closed = (1 + (1 - share) ** 2 * np.cos(x - y.T)) / 2
    np.testing.assert_allclose(kernel.matrix(x, y), closed, atol=1e-12)
    projected = QuantumKernel(circuit, kind="projected", noise=noise).matrix(x, y)
    chords = (2 * (1 - share) * np.sin((x - y.T) / 2)) ** 2
    np.testing.assert_allclose(projected, np.exp(-0.5 * chords), atol=1e-12)


def test_a_devices_noise_leaves_less_purity_and_no_negative_eigenvalue():
    x = rows(5, 2)
    circuit = zz_feature_map(2, reps=1)
    kernel = QuantumKernel(circuit, noise="fake_torino")
    found = kernel.matrix(x)
    purity = np.diag(found)
    assert (purity < 1).all()
    assert (purity > 0.5).all()
    assert np.linalg.eigvalsh(found).min() > 0
    mixed = DensityMatrix(np.eye(4) / 4)
    assert found.min() > 0
    assert float(mixed.purity().real) < purity.min()
    x = torch.tensor(x[:2], requires_grad=True)
    assert torch.autograd.gradcheck(kernel, (x, x.detach().clone()), atol=1e-6)


def test_amplitudes_through_noise_are_loaded_by_circuits():
    spec = eeqdm(num_data=2, depth=1)
    x = np.abs(rows(3, 4)) + 0.1
    kernel = QuantumKernel(spec, weights=np.zeros(len(spec.weights)), noise="fake_torino")
    found = kernel.matrix(x)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert np.abs(found - (unit @ unit.T) ** 2).max() < 0.2
    with pytest.raises(InvalidData, match="no gradient"):
        kernel(torch.tensor(x, requires_grad=True))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: QuantumKernel(zz_feature_map(2), kind="swap"), InvalidOption, "'fidelity' or"),
        (
            lambda: QuantumKernel(zz_feature_map(2), kind="projected", gamma=0.0),
            InvalidOption,
            "above 0",
        ),
        (
            lambda: QuantumKernel(zz_feature_map(2), kind="projected", gamma=np.nan),
            InvalidOption,
            "above 0",
        ),
        (lambda: QuantumKernel(zz_feature_map(2), gamma=1.0), InvalidOption, "of projected"),
        (lambda: QuantumKernel("zz"), InvalidArgument, "CircuitSpec or a QuantumCircuit"),
        (lambda: QuantumKernel(QuantumCircuit(2)), InvalidData, "no parameters"),
        (lambda: QuantumKernel(eeqdm(num_data=2, depth=1)), InvalidData, "6 weights, got none"),
        (
            lambda: QuantumKernel(eeqdm(num_data=2, depth=1), weights=[1.0]),
            InvalidData,
            "6 finite numbers",
        ),
        (lambda: QuantumKernel(zz_feature_map(2), weights=[1.0]), InvalidData, "0 finite numbers"),
        (lambda: QuantumKernel(zz_feature_map(2), noise=3), InvalidArgument, "noise"),
    ],
)
def test_kernels_that_cannot_be_are_refused_in_one_line(make, error, words):
    with pytest.raises(error, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((3, 4)), None, r"x has shape \(rows, 2\).*\(3, 4\)"),
        (np.zeros((3, 2)), np.zeros((3, 3)), r"y has shape \(rows, 2\).*\(3, 3\)"),
        (np.zeros((0, 2)), None, "shape"),
        (np.zeros(2), None, "shape"),
        ([[0.0, 1.0], [np.nan, 0.0]], None, "Row 1 of x holds NaN"),
    ],
)
def test_rows_that_do_not_fit_are_refused_in_one_line(x, y, words):
    with pytest.raises(InvalidData, match=words) as caught:
        QuantumKernel(zz_feature_map(2)).matrix(x, y)
    assert "\n" not in str(caught.value)


def test_other_kinds_of_rows_are_refused():
    kernel = QuantumKernel(zz_feature_map(2))
    with pytest.raises(InvalidArgument, match="array of real numbers"):
        kernel.matrix([["a", "b"]])
    with pytest.raises(InvalidArgument, match="array of numbers"):
        kernel.matrix([[1.0], [1.0, 2.0]])
    with pytest.raises(InvalidArgument, match="`matrix` takes arrays"):
        kernel(np.zeros((2, 2)))
    with pytest.raises(InvalidData, match="float32 or float64"):
        kernel(torch.zeros(2, 2, dtype=torch.int64))
    spec = eeqdm(num_data=2, depth=1)
    with pytest.raises(InvalidData, match="all 0"):
        QuantumKernel(spec, weights=np.zeros(len(spec.weights))).matrix(np.zeros((1, 4)))


def test_memory_is_known_before_it_is_taken(monkeypatch):
    monkeypatch.setattr("qdm_qiskit.engine.noise.memory.available_bytes", lambda _: 2**27)
    kernel = QuantumKernel(zz_feature_map(2))
    kernel._made = None  # whoever computes fails
    kernel._made = type("Never", (), {"numbers": 8, "work": 8})()
    with pytest.raises(InvalidData, match="GiB are available; take fewer rows") as caught:
        kernel.matrix(np.zeros((10_000, 2)))
    assert "10000 x 10000" in str(caught.value)


def test_dense_angles_of_the_catalogue():
    circuit = dense_angle_encoding(2)
    spec = register_spec(circuit, source="test", encoding="angle")
    x = rows(4, len(spec.inputs))
    np.testing.assert_allclose(
        QuantumKernel(spec).matrix(x), by_statevectors(circuit, x, x), atol=1e-13
    )


def test_measurements_at_the_end_play_no_part():
    circuit = zz_feature_map(2)
    measured = circuit.copy()
    measured.measure_all()
    x = rows(3, 2)
    assert (QuantumKernel(measured).matrix(x) == QuantumKernel(circuit).matrix(x)).all()


def test_a_kernel_says_what_it_is():
    assert "fidelity of ZZFeatureMap, 2 qubits" in repr(QuantumKernel(zz_feature_map(2)))
