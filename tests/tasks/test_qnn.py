"""QNNs that somebody already has, on every target that costs nothing."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_aer.noise import NoiseModel, ReadoutError
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN

import qdm_qiskit as qdm
from qdm_qiskit.errors import (
    InvalidData,
    InvalidOption,
    TargetUnavailable,
    UnsupportedCircuit,
)
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.layers import QuantumLayer
from qdm_qiskit.transpiling.passes import transpile_for

DEVICE = "fake_manila"
X = np.array([[0.4, 1.1], [1.9, -0.3], [0.2, 0.1]])
W = np.array([0.7, 1.3, -0.4])


def circuit() -> tuple[QuantumCircuit, list[Parameter], list[Parameter]]:
    """Three qubits; names sort otherwise than they are listed."""
    inputs, weights = [Parameter("z"), Parameter("a")], [Parameter(n) for n in ("q", "b", "k")]
    found = QuantumCircuit(3, name="mine")
    found.ry(inputs[0], 0)
    found.rx(inputs[1], 2)
    found.cx(0, 1)
    found.ry(weights[0], 1)
    found.cx(2, 1)
    found.rx(weights[1], 0)
    found.ry(weights[2], 2)
    found.cx(0, 2)
    return found, inputs, weights


OBSERVABLES = [SparsePauliOp(["ZZI", "XIX", "IZI"], [1.0, 0.5, -0.3]), SparsePauliOp("IIZ")]


def estimator(observables=OBSERVABLES) -> EstimatorQNN:
    found, inputs, weights = circuit()
    return EstimatorQNN(
        circuit=found,
        observables=observables,
        input_params=inputs,
        weight_params=weights,
        estimator=StatevectorEstimator(),
        default_precision=0.0,
    )


def sampler(measured: bool = False, **options) -> SamplerQNN:
    found, inputs, weights = circuit()
    if measured:
        found = found.copy()
        found.add_register(ClassicalRegister(3, "meas"))
        found.measure([2, 0], [0, 2])
    return SamplerQNN(
        circuit=found,
        input_params=inputs,
        weight_params=weights,
        sampler=StatevectorSampler(default_shots=20_000, seed=1),
        **options,
    )


def parity(outcome: int) -> tuple[int, int]:
    return outcome.bit_count() % 2, outcome & 1


KINDS = {
    "estimator": estimator,
    "sampler": sampler,
    "parity": lambda: sampler(interpret=parity, output_shape=(2, 2)),
    "measured": lambda: sampler(measured=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_exact_outputs_are_the_qnns_own(kind):
    qnn = KINDS[kind]()
    found = qdm.run_qnn(qnn, X, W)
    own = qnn.forward(X, W)
    assert found.outputs.shape == own.shape
    tolerance = 1e-10 if kind == "estimator" else 5 * 0.5 / np.sqrt(20_000)
    np.testing.assert_allclose(found.outputs, own, atol=tolerance)
    assert (found.standard_errors, found.shots, found.circuits) == (None, None, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["engine", "aer", "noisy", "local"])
def test_targets_with_shots_agree_within_their_errors(kind, target):
    qnn, shots = KINDS[kind](), 4_000
    name = target if target in ("engine", "aer") else f"{target}:{DEVICE}"
    options = {"target": name, "shots": shots, "seed": 3, "layout_trials": 1}
    exact, found = qdm.run_qnn(qnn, X, W), qdm.run_qnn(qnn, X, W, **options)
    assert found.outputs.shape == exact.outputs.shape == found.standard_errors.shape
    off = np.abs(found.outputs - exact.outputs)
    if target in ("engine", "aer"):
        assert (off <= 5 * found.standard_errors + 5 / shots).all()
    else:  # gates and readouts of fake_manila: wrong by some per cent, by no wrong qubit
        assert 0.005 < off.max() < 0.25
        assert found.cost[0].two_qubit_count >= 4
    assert found.total_shots == found.circuits * shots
    assert found.circuits == 3 * (2 if kind == "estimator" else 1)
    assert json.loads(json.dumps(found.record))["target"] == name
    again = qdm.run_qnn(qnn, X, W, **options)
    assert np.array_equal(again.outputs, found.outputs)


def test_noise_is_that_of_aers_density_matrix():
    qnn = sampler()
    options = {"target": f"noisy:{DEVICE}", "seed": 3, "layout_trials": 1}
    found = qdm.run_qnn(qnn, X, W, shots=200_000, **options)
    runner = NoisyRunner(DEVICE, seed=0)
    bare, inputs, weights = circuit()
    bare.measure_all()
    bound = [
        bare.assign_parameters(dict(zip([*inputs, *weights], [*x, *W], strict=True))) for x in X
    ]
    layout = found.record["layout"]["physical_qubits"]
    rows = [
        runner.exact_probabilities(
            transpile_for(each, load_backend(DEVICE), seed=1, initial_layout=layout),
            np.zeros((1, 0)),
        )[0]
        for each in bound
    ]
    # Another transpilation on the same qubits: noise within 0.02, where it is up to 0.1 in all.
    assert np.abs(found.outputs - rows).max() < 0.02
    exact = qdm.run_qnn(qnn, X, W).outputs
    assert np.abs(found.outputs - exact).max() > 0.03


def test_mitigated_probabilities_are_nearer_and_have_larger_errors():
    qnn = KINDS["parity"]()
    options = {"target": f"noisy:{DEVICE}", "shots": 20_000, "seed": 2, "layout_trials": 1}
    exact = qdm.run_qnn(qnn, X, W).outputs
    raw = qdm.run_qnn(qnn, X, W, **options)
    mended = qdm.run_qnn(qnn, X, W, mitigation="m3", **options)
    assert np.abs(mended.outputs - exact).mean() < np.abs(raw.outputs - exact).mean()
    assert (mended.standard_errors > raw.standard_errors).all()
    assert mended.record["calibration"] is not None


@pytest.mark.parametrize("target", ["aer", f"noisy:{DEVICE}", f"local:{DEVICE}"])
def test_estimators_agree_with_our_bases_and_say_their_options(target):
    qnn, shots = estimator(), 4_000
    common = {"target": target, "shots": shots, "seed": 3, "layout_trials": 1}
    given = {"resilience_level": 0} if target.startswith("local") else None
    ours = qdm.run_qnn(qnn, X, W, **common)
    warned = pytest.warns(UserWarning, match="leaves out those of the readout")
    with warned if target.startswith("noisy") else nullcontext():
        theirs = qdm.run_qnn(qnn, X, W, primitive="estimator", primitive_options=given, **common)
    off = np.abs(ours.outputs - theirs.outputs)
    spread = np.hypot(ours.standard_errors, theirs.standard_errors)
    # Aer's Estimator leaves readout errors out: some per cent of each term on manila.
    assert (off < 5 * spread + (0.15 if target.startswith("noisy") else 0)).all()
    assert theirs.record["primitive"] == "estimator"
    ratio = theirs.standard_errors / ours.standard_errors
    if target.startswith("local"):
        assert theirs.record["options"]["resilience_level"] == 0
        assert theirs.record["options"]["resilience"]["measure_mitigation"] is False
        # Of one term both say the same; of a sum IBM's adds the terms as if they were independent.
        np.testing.assert_allclose(ratio[:, 1], 1, atol=0.05)
        assert (np.abs(ratio[:, 0] - 1) < 0.6).all()
    else:
        np.testing.assert_allclose(theirs.standard_errors, 1 / np.sqrt(shots))
        assert "readout errors are absent" in theirs.record.get("note", "") or target == "aer"


def test_an_estimator_that_would_show_no_noise_is_refused():
    flips = NoiseModel()
    flips.add_all_qubit_readout_error(ReadoutError([[0.5, 0.5], [0.5, 0.5]]))
    common = {"shots": 100, "primitive": "estimator"}
    refused = "errors of the readout alone, .* use primitive='sampler'"
    with pytest.raises(UnsupportedCircuit, match=refused):
        qdm.run_qnn(estimator(), X, W, target=flips, **common)
    given = {"backend_options": {"noise_model": flips}}
    with pytest.raises(UnsupportedCircuit, match=refused):
        qdm.run_qnn(estimator(), X, W, target="aer", primitive_options=given, **common)


def test_an_estimators_options_reach_it():
    options = {"target": f"local:{DEVICE}", "shots": 1_000, "layout_trials": 1}
    found = qdm.run_qnn(
        estimator(),
        X[:1],
        W,
        primitive="estimator",
        primitive_options={
            "resilience": {"measure_mitigation": True},
            "twirling": {"num_randomizations": 16},
        },
        **options,
    )
    resolved = found.record["options"]
    assert resolved["resilience"]["measure_mitigation"] is True
    assert resolved["twirling"]["num_randomizations"] == 16
    with pytest.raises(InvalidOption, match=r"option 'resilience.trexx'"):
        qdm.run_qnn(
            estimator(),
            X,
            W,
            primitive="estimator",
            primitive_options={"resilience": {"trexx": True}},
            **options,
        )


def test_connectors_and_layers_bring_their_weights():
    qnn = estimator()
    connector = TorchConnector(qnn, initial_weights=W)
    layer = QuantumLayer.from_qnn(qnn, W)
    expected = qdm.run_qnn(qnn, X, W.astype(np.float32)).outputs
    for each in (connector, layer):
        found = qdm.run_qnn(each, torch.from_numpy(X))
        np.testing.assert_allclose(found.outputs, expected, atol=1e-12)
    other = qdm.run_qnn(connector, X, W + 1).outputs
    assert np.abs(other - expected).max() > 0.1


@pytest.mark.parametrize("shape", [(2,), (1, 2), (3, 1, 2)])
def test_shapes_are_those_of_forward(shape):
    qnn = KINDS["parity"]()
    given = np.ones(shape)
    assert qdm.run_qnn(qnn, given, W).outputs.shape == qnn.forward(given, W).shape


def test_a_transpiled_qnn_runs_on_its_own_qubits():
    found, inputs, weights = circuit()
    backend = load_backend(DEVICE)
    manager = generate_preset_pass_manager(1, backend=backend, initial_layout=[4, 2, 3])
    isa = manager.run(found)
    laid = [each.apply_layout(isa.layout) for each in OBSERVABLES]
    roles = {"input_params": inputs, "weight_params": weights}
    estimated = EstimatorQNN(circuit=isa, observables=laid, **roles)
    sampled = SamplerQNN(circuit=found, pass_manager=manager, **roles)
    for transpiled, plain in ((estimated, estimator()), (sampled, sampler())):
        expected = qdm.run_qnn(plain, X, W).outputs
        np.testing.assert_allclose(qdm.run_qnn(transpiled, X, W).outputs, expected, atol=1e-10)
        on_aer = qdm.run_qnn(transpiled, X, W, target="aer", shots=4_000)
        off = np.abs(on_aer.outputs - expected)
        assert (off <= 5 * on_aer.standard_errors + 5 / 4_000).all()
    measured = found.copy()
    measured.measure_all()
    wrong = SamplerQNN(circuit=manager.run(measured), **roles)
    with pytest.raises(UnsupportedCircuit, match="measured and then transpiled"):
        qdm.run_qnn(wrong, X, W)


def test_circuits_without_inputs_or_weights():
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    found = qdm.run_qnn(SamplerQNN(circuit=bell), target="aer", shots=1_000)
    assert found.outputs.shape == (1, 4)
    assert found.outputs[0, [1, 2]].max() == 0
    with pytest.raises(InvalidData, match="takes no inputs"):
        qdm.run_qnn(SamplerQNN(circuit=bell), [[1.0]])


class Mine(EstimatorQNN):
    """A subclass may compute anything."""


def line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_bad_input_is_said_in_one_line_and_nothing_is_sent():
    found, inputs, weights = circuit()
    roles = {"circuit": found, "input_params": inputs, "weight_params": weights}
    wide = QuantumCircuit(6)
    for qubit, angle in enumerate(ParameterVector("w", 6)):
        wide.ry(angle, qubit)
    wide_qnn = EstimatorQNN(circuit=wide, weight_params=wide.parameters)
    matrix = Operator(np.diag([1, 1j, 1, 1, 1, 1, 1, 1]))
    sparse = SamplerQNN(**roles)
    sparse._sparse = True  # what sparse=True sets, where the package of that name is installed
    cases = [
        (UnsupportedCircuit, "sparse=True", sparse, {}),
        (UnsupportedCircuit, "got Mine", Mine(**roles), {}),
        (InvalidData, "Hermitian", estimator([SparsePauliOp("ZZZ", 1j)]), {}),
        (InvalidData, "Hermitian", estimator([matrix]), {}),
        (TargetUnavailable, "nothing was sent", estimator(), {"target": "ibm:ibm_fez"}),
        (InvalidOption, "leave budget out", estimator(), {"target": "aer", "budget": "open"}),
        (InvalidOption, "set shots", estimator(), {"target": "aer"}),
        (InvalidOption, "num_images", estimator(), {"num_images": 3}),
        (InvalidOption, "'sampler' or 'estimator'", estimator(), {"primitive": "both"}),
        (InvalidOption, "needs no Estimator", estimator(), {"primitive": "estimator"}),
        (InvalidOption, "are of an Estimator", estimator(), {"primitive_options": {"a": 1}}),
    ]
    for kind, match, qnn, options in cases:
        with pytest.raises(kind, match=match) as error:
            qdm.run_qnn(qnn, X, W, **options)
        line(error)
    with pytest.raises(UnsupportedCircuit, match=r"6 qubits and .* 5") as error:
        qdm.run_qnn(wide_qnn, None, np.ones(6), target=f"noisy:{DEVICE}", shots=10)
    line(error)
    for x, w, match in [
        (X[:, :1], W, r"shape \(\.\.\., 2\)"),
        (X, W[:2], r"shape \(3,\)"),
        (X, None, "has 3 weights, got none"),
        (X * np.nan, W, "finite"),
        (X, W * np.inf, "finite"),
        (np.zeros((0, 2)), W, "a row at least"),
        (X + 0.5j, W, "inputs are real numbers"),
        (torch.tensor(X) + 0.5j, W, "inputs are real numbers"),
        ((X + 0j).tolist(), W, "inputs are real numbers"),
        (X, W + 1j, "weights are real numbers"),
    ]:
        with pytest.raises(InvalidData, match=match) as error:
            qdm.run_qnn(estimator(), x, w)
        line(error)


# ------------------------------------------------------------------- errors have the right size


@st.composite
def observables(draw) -> list[SparsePauliOp]:
    """Sums whose terms share circuits, with coefficients of both signs."""
    letters = st.text("IXYZ", min_size=3, max_size=3)
    sums = []
    for _ in range(draw(st.integers(1, 3))):
        terms = draw(st.lists(letters, min_size=1, max_size=5, unique=True))
        sizes = draw(st.lists(st.floats(0.2, 2), min_size=len(terms), max_size=len(terms)))
        signs = draw(st.lists(st.sampled_from((-1, 1)), min_size=len(terms), max_size=len(terms)))
        sums.append(SparsePauliOp(terms, np.multiply(sizes, signs)))
    return sums


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(chosen=observables(), seed=st.integers(0, 1_000))
def test_expectation_values_are_unbiased_and_their_errors_right(chosen, seed):
    repetitions, shots = 200, 400
    found, inputs, weights = circuit()
    rng = np.random.default_rng(seed)
    x, w = rng.uniform(-3, 3, 2), rng.uniform(-3, 3, 3)
    run = qdm.run_qnn(
        estimator(chosen), np.tile(x, (repetitions, 1)), w, target="engine", shots=shots, seed=seed
    )
    bound = found.assign_parameters(dict(zip([*inputs, *weights], [*x, *w], strict=True)))
    exact = np.array([Statevector(bound).expectation_value(o).real for o in chosen])
    spread = run.outputs.std(axis=0, ddof=1)
    bias = run.outputs.mean(axis=0) - exact
    assert (np.abs(bias) <= 4 * spread / np.sqrt(repetitions) + 1e-12).all()
    # A standard deviation of 200 values is known to 5 %: 20 % are four of its own.
    reported = np.sqrt((run.standard_errors**2).mean(axis=0))
    noisy = spread > 1e-3
    assert (np.abs(reported[noisy] / spread[noisy] - 1) < 0.2).all()
    assert (spread[~noisy] < 0.01).all()


@pytest.mark.parametrize("target", ["engine", "aer", f"noisy:{DEVICE}"])
def test_errors_of_terms_that_share_a_circuit_are_right_within_ten_per_cent(target):
    # The sum of Z over a GHZ state: IBM's way of adding the terms' variances is wrong by 1.7 here.
    ghz = QuantumCircuit(3)
    angle = Parameter("x")
    ghz.ry(angle, 0)
    ghz.cx(0, 1)
    ghz.cx(1, 2)
    total = SparsePauliOp(["ZII", "IZI", "IIZ", "XXX"], [1, 1, 1, 0.5])
    qnn = EstimatorQNN(circuit=ghz, observables=total, input_params=[angle])
    repetitions, shots = 900, 200
    rows = np.full((repetitions, 1), 1.2)
    options = {"target": target, "shots": shots, "seed": 5, "layout_trials": 1}
    run = qdm.run_qnn(qnn, rows, **options)
    spread = float(run.outputs.std(ddof=1))
    reported = float(np.sqrt((run.standard_errors**2).mean()))
    # 900 values tell their spread to 2.4 %.
    assert abs(reported / spread - 1) < 0.1
    independent = np.sqrt((3 * (1 - np.cos(1.2) ** 2) + 0.25 * (1 - np.sin(1.2) ** 2)) / shots)
    assert spread > 1.3 * independent
    if target != f"noisy:{DEVICE}":
        exact = 3 * np.cos(1.2) + 0.5 * np.sin(1.2)
        assert abs(run.outputs.mean() - exact) < 4 * spread / np.sqrt(repetitions)
