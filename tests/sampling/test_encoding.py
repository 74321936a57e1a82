"""Models whose loader trains, or which live in another type, through everything that takes numpy."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector

from qdm_qiskit.cli.main import main
from qdm_qiskit.evaluation.paths import forward_paths
from qdm_qiskit.hardware.plan.files import inputs as planned_inputs
from qdm_qiskit.hardware.plan.shot_allocation import PilotChains
from qdm_qiskit.layers.arrays import to_array, to_exact_array
from qdm_qiskit.layers.executors import read_probabilities
from qdm_qiskit.models import EEQDM, catalog, take_class
from qdm_qiskit.sampling import (
    DevicePredictor,
    QDMPipeline,
    SamplingConfig,
    sample,
    unrolled_circuit,
)


class LearnedLoader(EEQDM):
    """EEQDM behind a trainable gain of each pixel: what its circuit loads takes part in a graph."""

    name = "learned_loader"

    def __init__(self, config, *, generator=None):
        super().__init__(config, generator=generator)
        pixels = config.channels * config.image_size**2
        self.gain = torch.nn.Parameter(torch.linspace(0.5, 1.5, pixels))
        self.shift = torch.nn.Parameter(torch.zeros(()))

    def encode(self, x, labels):
        amplitudes, inputs = super().encode(x, labels)
        gain = torch.nn.functional.pad(self.gain, (0, amplitudes.shape[1] - len(self.gain)))
        return amplitudes * gain, None if inputs is None else inputs + self.shift

    def decode_data(self, data):
        return data * torch.sigmoid(20 + self.shift)


@pytest.fixture
def learned(monkeypatch, make_run):
    """Runs of the model, a class of the user's own."""
    monkeypatch.setattr(catalog, "_given", {})
    take_class(LearnedLoader)

    def make(**settings):
        return make_run(LearnedLoader.name, **{"image_size": 4, "depth": 2, **settings})

    return make


@pytest.mark.parametrize("guided", [False, True])
def test_a_loader_that_trains_is_loaded_as_it_is(learned, guided):
    run = learned(guided=guided, num_classes=3)
    x = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 2]) if guided else None
    rows, angles = run.model.encode(x, labels)
    assert rows.requires_grad
    values = run.model.circuit_values(*run.model.encode(x, labels))
    np.testing.assert_array_equal(values, run.model.circuit_values(rows.detach(), angles))
    unit = run.model.circuit_inputs(x, labels)
    assert not any(each.requires_grad for each in unit if each is not None)
    assert all(each.dtype == torch.float64 for each in unit if each is not None)
    # The circuit with these values is the model: Qiskit against the engine.
    circuit = unrolled_circuit(run.model).remove_final_measurements(inplace=False)
    p = np.array([Statevector(circuit.assign_parameters(row)).probabilities() for row in values])
    outputs = read_probabilities(run.model.spec, torch.from_numpy(p))
    found = run.model.decode(outputs).numpy()
    expected = run.model(x, torch.ones(2), labels).detach().numpy()
    # A pixel is 16 times a probability that the engine computes in float32 in some ten products.
    np.testing.assert_allclose(found, expected, atol=16 * 10 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("target", ["engine", "aer", "local:fake_quito"])
def test_every_target_samples_it(learned, target):
    run = learned(image_size=2, depth=1)
    config = SamplingConfig(target=target, shots=200, num_images=2, layout_trials=1)
    with torch.enable_grad():
        images = sample(run, config).images
    assert images.shape == (2, 1, 2, 2)
    assert np.isfinite(images).all()


def test_an_answer_outside_no_grad(learned):
    run = learned(image_size=2, depth=1)
    from qdm_qiskit.execution.factory import make_runner
    from qdm_qiskit.execution.targets import parse_target

    config = SamplingConfig(target="aer", shots=100, num_images=2)
    prediction = DevicePredictor.prepare(
        run.model, make_runner(parse_target("aer"), seed=0), config
    )
    assert not prediction(torch.rand(2, 1, 2, 2) + 0.1, 1).requires_grad


def test_plans_pictures_and_pipelines_take_it(learned):
    run = learned(guided=True, num_classes=2)
    x, labels = planned_inputs(run, 3, None, 0)
    assert x.dtype == np.float32
    assert labels.tolist() == [0, 1, 0]
    pilot = PilotChains(run, seed=1, num_images=2)
    assert pilot.error([64] * pilot.num_steps, repeats=1) > 0
    moments, _ = forward_paths(run, torch.rand(2, 1, 4, 4) + 0.1, seed=0)
    assert np.isfinite(moments).all()
    assert QDMPipeline(run)(num_images=2, target="aer", shots=64).images.shape == (2, 1, 4, 4)


@pytest.mark.parametrize("guided", ["false", "true"])
def test_the_transpile_report_takes_it(learned, guided, tmp_path, capsys):
    learned()
    arguments = f"report transpile learned_loader --set image_size=2 --set guided={guided}"
    arguments += " --set depth=1 --trials 1 --backend fake_quito --quiet --json --out"
    with pytest.raises(SystemExit) as left:
        main([*arguments.split(), str(tmp_path)])
    assert left.value.code == 0
    report = json.loads(capsys.readouterr().out)
    assert report["backends"][0]["verdict"]["method"] == "simulated"


def test_the_report_of_a_run_takes_it(learned, tmp_path, capsys):
    run = learned(image_size=2, depth=1)
    QDMPipeline(run).save_pretrained(tmp_path / "run")
    arguments = "--trials 1 --backend fake_quito --quiet --out"
    with pytest.raises(SystemExit) as left:
        main(["report", "transpile", str(tmp_path / "run"), *arguments.split(), str(tmp_path)])
    assert left.value.code == 0
    assert "fake_quito: depth" in capsys.readouterr().out


def test_a_model_in_double_precision_gives_the_same(make_run):
    run = make_run(image_size=2)
    config = SamplingConfig(target="aer", shots=4096, num_images=2)
    single = sample(run, config).images
    double = sample(replace(run, model=run.model.double()), config).images
    # The same shots of the same circuits, whose angles differ by float32's rounding.
    np.testing.assert_allclose(double, single, atol=4 * 5 * np.sqrt(0.25 / 4096))


def test_arrays_of_every_kind_of_tensor():
    x = torch.tensor([1.5, -2.0], requires_grad=True)
    z = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    for tensor, expected in (
        (x * 1, [1.5, -2.0]),
        (x.bfloat16(), [1.5, -2.0]),
        (x.half(), [1.5, -2.0]),
        (z.conj(), [1 - 2j, 3 + 1j]),
        (z.conj().imag, [-2.0, 1.0]),  # lazily negated
        (torch.tensor([3, 7]), [3, 7]),
    ):
        np.testing.assert_array_equal(to_array(tensor), expected)
        found = to_exact_array(tensor)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == (np.complex128 if tensor.is_complex() else np.float64)
    assert to_array(x).dtype == np.float32
    assert to_array(torch.tensor([3])).dtype == np.int64
