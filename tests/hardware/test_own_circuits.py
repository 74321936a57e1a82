"""Circuits from outside go all the way: trained, sampled, costed, planned, submitted, replayed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import UnitaryGate, efficient_su2
from qiskit.quantum_info import Statevector, random_unitary

from qdm_qiskit.circuits import CircuitSpec
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.evaluation.transpile import transpile_report
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.layers import QuantumLayer
from qdm_qiskit.models import Denoiser, ModelChoice, SpecDenoiser, build_model
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import QDMPipeline, SamplingConfig, load_run, sample, unrolled_circuit
from qdm_qiskit.training import RunConfig, resolve_run, train

DEVICE = "fake_lagos"
TINY = {
    "train_count": 8,
    "test_count": 4,
    "batch_size": 4,
    "num_steps": 2,
    "epochs": 1,
    "baseline": False,
    "sample_every": 0,
    "classes": (0, 1),
}


def loaded() -> SpecDenoiser:
    """A library circuit behind a loader: four of its five qubits take and give the image."""
    circuit = efficient_su2(5, reps=1, entanglement="linear", parameter_prefix="theta")
    spec = CircuitSpec.from_circuit(
        circuit,
        weights=["theta"],
        loads="amplitudes",
        data_qubits=range(4),
        readout=range(4),
        name="su2",
    )
    return Denoiser.from_spec(spec, image_shape=(1, 4, 4))


def measured() -> SpecDenoiser:
    """A measured circuit with registers of its own, told the time and the class."""
    image, helper = QuantumRegister(2, "image"), QuantumRegister(1, "helper")
    seen = ClassicalRegister(2, "seen")
    circuit = QuantumCircuit(helper, image, seen, name="mine")
    pixel, theta = ParameterVector("pixel", 4), ParameterVector("theta", 5)
    for k in range(4):
        circuit.ry(pixel[k], image[k % 2])
        circuit.rz(theta[k], image[k % 2])
    circuit.append(UnitaryGate(random_unitary(4, seed=1)), [helper[0], image[1]])
    circuit.rx(Parameter("when"), helper)
    circuit.ry(Parameter("kind"), image[0])
    circuit.cx(helper, image)
    circuit.ry(theta[4], image[0])
    circuit.cx(image[0], image[1])
    circuit.measure(image, [seen[1], seen[0]])
    spec = CircuitSpec.from_circuit(
        circuit, inputs=[pixel], weights=[theta], time="when", label="kind"
    )
    return Denoiser.from_spec(spec, image_shape=(1, 2, 2), num_classes=2)


MAKERS = {"su2": loaded, "mine": measured}


def run_of(make: Callable[[], SpecDenoiser], **settings: object) -> RunConfig:
    return resolve_run(make(), {**TINY, **settings})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("own")
    for name, make in MAKERS.items():
        train(run_of(make), root / name)
    return {name: root / name for name in MAKERS}


@pytest.mark.parametrize("name", MAKERS)
def test_training_moves_the_weights_and_resumes_to_the_same_ones(runs, name, tmp_path):
    config = run_of(MAKERS[name], epochs=2)
    choice = ModelChoice(
        model=config.model, preset=None, config=config.model_options, source="test"
    )
    seed = torch.Generator().manual_seed(derived_seed(config.training.seed, "init", 0))
    fresh = build_model(choice, generator=seed).layer.weights
    once = load_run(runs[name]).model
    assert isinstance(once, SpecDenoiser)
    assert bool((once.layer.weights != fresh).any())
    train(run_of(MAKERS[name]), tmp_path / "parts")
    # The circuit is made again from its code, as in another process.
    train(config, tmp_path / "parts", resume="latest")
    train(config, tmp_path / "whole")
    one, other = (load_run(tmp_path / each).model.layer.weights for each in ("parts", "whole"))
    assert torch.equal(one, other)
    assert not torch.equal(one, once.layer.weights)


def test_a_run_is_not_continued_with_another_circuit(runs):
    circuit = efficient_su2(5, reps=1, entanglement="circular", parameter_prefix="theta")
    spec = CircuitSpec.from_circuit(
        circuit,
        weights=["theta"],
        loads="amplitudes",
        data_qubits=range(4),
        readout=range(4),
        name="su2",
    )
    other = Denoiser.from_spec(spec, image_shape=(1, 4, 4))
    with pytest.raises(InvalidOption, match="started with other options"):
        train(resolve_run(other, {**TINY, "epochs": 2}), runs["su2"], resume="latest")


@pytest.mark.parametrize("name", MAKERS)
def test_every_target_samples_what_the_engine_computes(runs, name):
    run = load_run(runs[name])
    exact = sample(run, SamplingConfig(target="engine", num_images=2)).images
    for target in ("aer", f"noisy:{DEVICE}", f"local:{DEVICE}"):
        config = SamplingConfig(
            target=target, num_images=2, shots=4000, layout_trials=1, optimization_level=1
        )
        found = sample(run, config)
        assert found.images.shape == exact.shape
        assert (found.manifest["device"]["circuit"]["two_qubit_gates"] is None) == (target == "aer")
        if target == "aer":  # 2 steps of multinomial noise in pixels of 4 or 16 outcomes
            pixels = exact[0].size
            assert np.abs(found.images - exact).max() < 6 * 2 * np.sqrt(pixels / 4000)
        for record in found.records:
            assert record.raw_distance < (0.1 if target == "aer" else 1)


@pytest.mark.parametrize("name", MAKERS)
def test_the_circuit_that_runs_is_the_layer(runs, name):
    """The full circuit, loader and all, by Statevector, at each time; time and class count."""
    model = load_run(runs[name]).model
    assert isinstance(model, SpecDenoiser)
    circuit = unrolled_circuit(model).remove_final_measurements(inplace=False)
    x = torch.rand(2, *model.image_shape, generator=torch.Generator().manual_seed(4)).double()
    labels = torch.tensor([0, 1]) if model.config.guided else None
    seen = []
    for time in (0.5, 1.0):
        t = torch.full((2,), time)
        values = model.circuit_values(*model.encode_at(x, t, labels))
        states = [Statevector(circuit.assign_parameters(row)) for row in values]
        qubits = list(model.spec.readout.qubits)
        expected = np.array([state.probabilities(qubits) for state in states])
        layer = QuantumLayer(model.spec).double()
        layer.load_state_dict(model.layer.state_dict())
        amplitudes, inputs = model.encode_at(x, t, labels)
        found = layer(amplitudes, None if inputs is None else inputs).detach().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-7)  # weights are float32
        seen.append(found)
    assert np.allclose(*seen) == (model.spec.time_input is None)


def test_each_step_is_told_its_own_time(runs, tmp_path, monkeypatch):
    told: list[float] = []
    encode_at = SpecDenoiser.encode_at

    def listening(self, x, t, labels):
        assert t is not None
        assert bool((t == t[0]).all())
        told.append(float(t[0]))
        return encode_at(self, x, t, labels)

    monkeypatch.setattr(SpecDenoiser, "encode_at", listening)
    run, times = load_run(runs["mine"]), [1.0, 0.5]  # T is 2
    for target, shots in (("engine", None), ("engine", 50), ("aer", 50)):
        sample(run, SamplingConfig(target=target, num_images=2, shots=shots))
        assert told == times, target
        told.clear()
    config = PlanConfig(
        targets=(f"local:{DEVICE}",), num_images=2, shots=200, layout_trials=1, schedule="variance"
    )
    plan = make_plan(runs["mine"], config, root=tmp_path)
    assert told[:2] == times  # the exact pilot chain, then chains from each of its states
    assert set(told) == set(times)
    told.clear()
    submit_run(plan.folder)
    assert set(told) == set(times)
    assert told == sorted(told, reverse=True)


def test_a_pipeline_carries_the_circuit(runs, tmp_path):
    pipe = QDMPipeline.from_pretrained(runs["mine"])
    pipe.save_pretrained(tmp_path / "saved")
    again = QDMPipeline.from_pretrained(tmp_path / "saved")
    one, other = (
        each(num_images=2, generator=torch.Generator().manual_seed(1)).images
        for each in (pipe, again)
    )
    assert np.array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_cost_plan_and_run_on_a_device(runs, name, tmp_path):
    run = load_run(runs[name])
    assert isinstance(run.model, SpecDenoiser)
    x = torch.rand(1, *run.model.image_shape)
    labels = torch.zeros(1, dtype=torch.int64) if run.model.config.guided else None
    values = run.model.circuit_values(*run.model.encode_at(x, torch.ones(1), labels))
    report = transpile_report(
        run.model.spec.name,
        unrolled_circuit(run.model),
        [DEVICE],
        level=1,
        seeds=[0],
        example_values=values[0],
    )
    cost = report.backends[0].cost
    assert cost.denoiser.two_qubit_count > 0
    assert (cost.loader.two_qubit_count > 0) == (name == "su2")
    config = PlanConfig(
        targets=(f"local:{DEVICE}",), num_images=2, shots=200, layout_trials=1, seed=2
    )
    plan = make_plan(runs[name], config, root=tmp_path)
    assert plan.model == "circuit"
    assert submit_run(plan.folder).state == "done"
    images = np.load(plan.folder / "images.npz")["images"]
    assert images.shape == (2, *run.model.image_shape)
    assert replay(plan.folder).equal
