"""Models of several circuits on targets with shots, call by call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import SparsePauliOp, Statevector

from qdm_qiskit.circuits import CircuitSpec
from qdm_qiskit.circuits.readouts import ProbabilityReadout
from qdm_qiskit.engine import compile_circuit
from qdm_qiskit.errors import CalibrationMismatch, InvalidData, InvalidOption, TargetUnavailable
from qdm_qiskit.execution.calls import CircuitCall
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.files import write_json
from qdm_qiskit.models import Denoiser, ModelChoice, build_model, save_model
from qdm_qiskit.sampling import SamplingConfig, by_step, call_targets, load_run, sample
from qdm_qiskit.sampling.call_targets import EngineShots, Programs, RunnerTarget
from qdm_qiskit.sampling.readings import Reading
from qdm_qiskit.training import resolve_run
from tests.helpers import generator

QUITO = "noisy:fake_quito"
OBSERVABLES = [
    SparsePauliOp(["ZI", "IZ", "ZZ"], [1.0, 1.0, 0.5]),
    SparsePauliOp(["XI", "II"], [2.0, 0.25]),
    SparsePauliOp("YX"),
]


def written(folder: Path, model: str, **settings_) -> Path:
    """A run with random weights."""
    config = resolve_run(model, {"num_steps": 2, **settings_})
    choice = ModelChoice(
        model=config.model, preset=None, config=config.model_options, source="test"
    )
    step = folder / "checkpoints" / "step-00000001"
    save_model(build_model(choice, generator=generator(3)), step)
    write_json(step / "state.json", {})
    write_json(folder / "config.json", config.to_dict())
    return folder


@pytest.fixture(scope="module")
def qu_net(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calls") / "r"
    return load_run(written(folder, "qu_net", image_size=2, levels=1, depth=1))


@pytest.fixture(scope="module")
def two_filters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calls") / "r"
    return load_run(written(folder, "qu_net", image_size=4, levels=2, depth=1))


@pytest.fixture(scope="module")
def de_falco(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calls") / "r"
    return load_run(written(folder, "hybrid_unet", circuits=1, layers=1, num_steps=4))


def rows_of(spec, count=2, seed=1):
    return np.random.default_rng(seed).uniform(-3, 3, (count, len(spec.inputs)))


def two_qubits(readout=OBSERVABLES):
    circuit = QuantumCircuit(2, name="two")
    x, w = Parameter("x"), Parameter("w")
    circuit.ry(x, 0)
    circuit.cx(0, 1)
    circuit.rx(w, 1)
    circuit.s(0)
    return CircuitSpec.from_circuit(circuit, inputs=[x], weights=[w], readout=readout)


def call_of(spec, count=2, shots=400, name="layer"):
    angles = np.full(len(spec.weights), 0.7)
    inputs = rows_of(spec, count) if spec.inputs else None
    return CircuitCall(name=name, spec=spec, angles=angles, inputs=inputs, shots=shots)


def exact_values(call):
    """Expectation values by Qiskit, of the circuit without measurements."""
    circuit = call.spec.full_circuit(measure=False)
    weights = dict(zip(call.spec.weights, call.angles, strict=True))
    bound = circuit.assign_parameters(weights)
    states = [Statevector(bound.assign_parameters(row)) for row in call.values]
    observables = call.spec.readout.observables
    return np.array([[s.expectation_value(o).real for o in observables] for s in states])


def engine_target(spec, seed=0):
    program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
    return EngineShots(seed, Programs([(spec, program)]), single=False)


def runner_target(target, **options):
    config = SamplingConfig(target=target, shots=1, layout_trials=1, **options)
    return RunnerTarget(make_runner(target, seed=config.seed), config)


# --- expectation values -------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["engine", "aer"])
def test_values_are_unbiased_and_their_errors_are_their_spread(target):
    # 200 repetitions in one call on Aer, whose rows have shots of their own.
    spec, repetitions = two_qubits(), 200
    one = call_of(spec, 1, shots=300)
    assert Reading.of(spec).num_circuits == 3
    many = replace(one, inputs=np.repeat(one.inputs, repetitions, axis=0))
    asked = engine_target(spec) if target == "engine" else runner_target("aer")
    [found] = asked.answer([many])
    spread = found.outputs.std(axis=0, ddof=1)
    off = np.abs(found.outputs.mean(axis=0) - exact_values(one)[0])
    assert (off < 4 * spread / np.sqrt(repetitions)).all()
    # 200 values know their spread to 5 %: 2 of these are the 10 % that are asked for.
    reported = np.sqrt((found.standard_errors**2).mean(axis=0))
    np.testing.assert_allclose(reported / spread, 1, atol=0.1)


@given(seed=st.integers(0, 10_000), num_qubits=st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_exact_distributions_of_bases_give_qiskits_values(seed, num_qubits):
    rng = np.random.default_rng(seed)
    circuit = random_circuit(num_qubits, 3, max_operands=2, seed=seed)
    labels = ["".join(rng.choice(list("IXYZ"), num_qubits)) for _ in range(4)]
    readout = [SparsePauliOp(labels[:3], rng.normal(size=3)), SparsePauliOp(labels[3])]
    spec = CircuitSpec.from_circuit(circuit, readout=readout)
    call = call_of(spec, 1, shots=None)
    reading = Reading.of(spec)
    program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
    exact = reading.exact(call, program)
    large = [np.round(p * 1e12) for p in exact]
    found = reading.result(large).outputs
    np.testing.assert_allclose(found, exact_values(call), atol=1e-8)


def test_observables_of_the_identity_alone_take_no_job():
    spec = two_qubits([SparsePauliOp("II", 2.5)])
    target = runner_target("aer")
    [found] = target.answer([call_of(spec, 3)])
    np.testing.assert_array_equal(found.outputs, np.full((3, 1), 2.5))
    np.testing.assert_array_equal(found.standard_errors, np.zeros((3, 1)))
    assert target.runner.metadata["jobs"] == 0


# --- jobs ---------------------------------------------------------------------------------------


def test_calls_that_are_asked_together_are_one_job_and_equal_contents_one_circuit():
    spec, target = two_qubits(), runner_target("aer")
    calls = [call_of(spec, 2), call_of(two_qubits(), 1, name="other")]
    ready = target.prepare(calls)
    assert ready[0] is ready[1]
    found = target.answer(calls)
    assert target.runner.metadata["jobs"] == 1
    assert target.runner.metadata["circuits"] == 3 * (2 + 1)
    assert [each.outputs.shape for each in found] == [(2, 3), (1, 3)]


def test_rows_beyond_the_limit_go_into_further_jobs_and_come_back_in_order(monkeypatch):
    spec = two_qubits([0, 1])
    call = call_of(spec, 7, shots=4000)
    monkeypatch.setattr(call_targets, "MOST_COUNTS", 3 * 4 + 1)
    target = runner_target("aer")
    [found] = target.answer([call])
    assert target.runner.metadata["jobs"] == 3
    program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
    [exact] = Reading.of(spec).exact(call, program)
    sigma = np.sqrt(exact * (1 - exact) / 4000)
    assert (np.abs(found.outputs - exact) < 5 * sigma + 2 / 4000).all()
    assert not np.allclose(found.outputs[0], found.outputs[1])


def test_shots_have_an_address_that_no_other_prediction_moves():
    call = call_of(two_qubits(), 2)
    first, second = runner_target("aer"), runner_target("aer")
    first.begin(3)
    first.answer([call])
    for target in (first, second):
        target.begin(2)
    one, other = (t.answer([call])[0].outputs for t in (first, second))
    np.testing.assert_array_equal(one, other)
    first.begin(2)  # asked about the same step again, as Heun's second stage does
    assert not np.array_equal(first.answer([call])[0].outputs, one)


def test_rows_whose_values_nothing_sees_have_shots_of_their_own():
    circuit = QuantumCircuit(1)
    x = Parameter("x")
    circuit.h(0)
    circuit.rz(x, 0)  # before a measurement of Z, the transpiler leaves it out
    spec = CircuitSpec.from_circuit(circuit, inputs=[x], readout=[0])
    target = runner_target("aer")
    [found] = target.answer([call_of(spec, 5, shots=1000)])
    assert target.prepared(call_of(spec)).isa.num_parameters == 0
    assert found.outputs.shape == (5, 2)
    assert len(np.unique(found.outputs[:, 0])) > 1
    np.testing.assert_allclose(found.outputs, 0.5, atol=5 * 0.5 / np.sqrt(1000))


def test_the_kept_share_of_shots_is_the_predicted_one():
    spec = two_qubits([0, 1])
    for renormalise in (False, True):
        readout = ProbabilityReadout(qubits=(1,), postselect=((0, 0),), renormalise=renormalise)
        one = replace(spec, readout=readout)
        call, shots = call_of(one, 3, shots=20_000), 20_000
        program = compile_circuit(one.circuit, one.inputs, one.weights)
        kept = (
            program.probabilities(
                torch.from_numpy(call.inputs), torch.from_numpy(call.angles), postselect={0: 0}
            )
            .sum(1)
            .numpy()
        )
        for target in (engine_target(one), runner_target("aer")):
            [found] = target.answer([call])
            sigma = np.sqrt(kept * (1 - kept) / shots)
            assert (np.abs(found.kept - kept) < 5 * sigma + 1e-9).all()
            total = found.outputs.sum(axis=1)
            np.testing.assert_allclose(total, 1 if renormalise else found.kept, atol=1e-12)


def test_exact_values_are_not_to_be_had_here():
    call = replace(call_of(two_qubits()), shots=None)
    with pytest.raises(InvalidData, match=r"asks for exact values.*set shots"):
        runner_target("aer").answer([call])


# --- readout mitigation -------------------------------------------------------------------------


def test_m3_brings_expectation_values_and_probabilities_nearer():
    # One qubit after another in 1: readout errors are nearly all that is wrong.
    circuit = QuantumCircuit(2)
    w = Parameter("w")
    circuit.x(0)
    circuit.rx(w, 1)
    values = CircuitSpec.from_circuit(
        circuit,
        weights=[w],
        readout=[SparsePauliOp("IZ"), SparsePauliOp("ZZ"), SparsePauliOp("ZI")],
    )
    chances = CircuitSpec.from_circuit(circuit, weights=[w], readout=[0, 1])
    calls = [call_of(each, shots=40_000, name=n) for each, n in ((values, "v"), (chances, "p"))]
    truth = [exact_values(calls[0])[0], [0, np.cos(0.35) ** 2, 0, np.sin(0.35) ** 2]]
    plain = runner_target(QUITO)
    mended = runner_target(QUITO, mitigation="m3", calibration_shots=40_000)
    mended.prepare(calls)
    assert mended.runner.metadata["jobs"] == 1  # one calibration for both
    for raw, good, wanted in zip(plain.answer(calls), mended.answer(calls), truth, strict=True):
        before, after = (np.abs(each.outputs[0] - wanted).max() for each in (raw, good))
        assert before > 0.02
        assert after < 0.4 * before
    assert (good.standard_errors > raw.standard_errors).any()
    assert (np.abs(good.outputs[0] - wanted) < 5 * good.standard_errors[0] + 0.01).all()  # gates


def test_a_foreign_calibration_is_refused_before_the_first_job(qu_net):
    config = SamplingConfig(target=QUITO, shots=20, num_images=1, mitigation="m3", layout_trials=1)
    taken = sample(qu_net, config)
    calibration = taken.manifest["device"]["calibration"]
    from qdm_qiskit.mitigation.readout import ReadoutCalibration

    again = sample(qu_net, config, calibration=ReadoutCalibration.from_dict(calibration))
    jobs = [each.manifest["device"]["runner"]["jobs"] for each in (taken, again)]
    assert jobs[0] == jobs[1] + 1
    foreign = ReadoutCalibration.from_dict({**calibration, "backend": "fake_fez"})
    with pytest.raises(CalibrationMismatch, match="fake_fez"):
        sample(qu_net, config, calibration=foreign)


# --- chains -------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["engine", "aer"])
@pytest.mark.parametrize("family", ["two_filters", "de_falco"])
def test_shots_lead_to_the_engines_samples(family, target, request):
    run = request.getfixturevalue(family)
    steps = {"scheduler": "ddim", "num_inference_steps": 2} if family == "de_falco" else {}
    exact = sample(run, SamplingConfig(num_images=2, **steps)).images
    off = {}
    for shots in (20, 2000):
        config = SamplingConfig(target=target, shots=shots, num_images=2, **steps)
        off[shots] = np.sqrt(((sample(run, config).images - exact) ** 2).mean())
    assert 0 < off[2000] < 0.35 * off[20]  # 0.1 by 1/sqrt(shots)


def test_a_patch_of_which_no_shot_is_kept_is_black_and_stops_no_image(two_filters):
    """Two shots of 16 outcomes: most patches keep none of theirs, as in a hardware run."""
    samples = sample(two_filters, SamplingConfig(target="engine", shots=2, num_images=1))
    assert np.isfinite(samples.images).all()


def test_the_manifest_says_what_each_layer_ran(qu_net):
    samples = sample(qu_net, SamplingConfig(target=QUITO, shots=50, num_images=2, layout_trials=1))
    device = samples.manifest["device"]
    assert sorted(device) == ["calibration", "calls", "runner", "steps"]
    [entry] = device["calls"]
    assert entry["name"] == "down.0.0.layer"
    assert entry["circuits"] == 1
    assert len(entry["layout"]["measured_qubits"]) == 4
    assert 0 < entry["circuit"]["expected_success"] < 1
    assert [(each["step"], each["call"]) for each in device["steps"]] == [
        (2, "down.0.0.layer"),
        (1, "down.0.0.layer"),
    ]
    assert device["runner"]["jobs"] == 2
    assert device["runner"]["circuits"] == 2 * 2 * 4  # steps, images, patches
    assert [each.step for each in by_step(samples.records)] == [2, 1]
    assert "'down.0.0.layer'" in by_step(samples.records)[-1].sentence


def test_a_denoiser_that_reads_expectation_values_runs_on_every_target(tmp_path):
    circuit = QuantumCircuit(4)
    x, w = [Parameter(f"x{k}") for k in range(4)], [Parameter(f"w{k}") for k in range(4)]
    for k in range(4):
        circuit.ry(x[k], k)
        circuit.rx(w[k], k)
    circuit.cz(0, 1)
    readout = [SparsePauliOp.from_sparse_list([("X", [k], 1.0)], 4) for k in range(4)]
    spec = CircuitSpec.from_circuit(circuit, inputs=x, weights=w, readout=readout)
    model = Denoiser.from_spec(spec, image_shape=(1, 2, 2))
    run = load_run(_of_model(tmp_path, model))
    exact = sample(run, SamplingConfig(num_images=2)).images
    for target in ("engine", "aer", "local:fake_quito"):
        found = sample(
            run, SamplingConfig(target=target, shots=2000, num_images=2, layout_trials=1)
        )
        # Two steps of shot noise of 0.02 each; the device's own noise is larger.
        assert np.abs(found.images - exact).max() < (0.15 if "local" not in target else 0.5)


def _of_model(folder, model):
    config = resolve_run(model, {"num_steps": 2})
    step = folder / "checkpoints" / "step-00000001"
    save_model(model, step)
    write_json(step / "state.json", {})
    write_json(folder / "config.json", config.to_dict())
    return folder


def test_models_without_calls_are_refused_by_their_kind(tmp_path):
    classical = load_run(written(tmp_path / "a", "classical_unet", image_size=2))
    with pytest.raises(
        TargetUnavailable, match="has no circuits, so nothing of it can run on 'aer'"
    ):
        sample(classical, SamplingConfig(target="aer", shots=10))
    with pytest.raises(InvalidOption, match="has no circuits and has no shots"):
        sample(classical, SamplingConfig(shots=10))
    with pytest.raises(TargetUnavailable, match="hands on images and no states"):
        sample(classical, SamplingConfig(target="aer", shots=10, chain="coherent"))
