"""Runs on every target: resume is bit for bit, and samples stand where a run was trained."""

from __future__ import annotations

import json

import pytest
import torch
from qiskit_aer.noise import NoiseModel, depolarizing_error

import qdm_qiskit as qdm
from qdm_qiskit.diffusion import make_process
from qdm_qiskit.errors import (
    InvalidCheckpoint,
    InvalidOption,
)
from qdm_qiskit.models import load_model
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import TrainingProgress, train
from qdm_qiskit.training.session import fresh_learners
from qdm_qiskit.training.targets.places import PLACES, read_places
from qdm_qiskit.training.targets.target import training_target

TORINO = "noisy:fake_torino"


class First(TrainingProgress):
    """Keeps the weights that a run begins with."""

    def start(self, config, model, steps, done) -> None:
        self.weights = {k: v.detach().clone() for k, v in model.named_parameters()}


ON = {
    "injected": {"train_on": TORINO, "noise_injection": True, "weight_average": True},
    "aer": {"train_on": "aer", "train_shots": 32},
}
MORE_ON = {
    "noisy": {"train_on": TORINO},
    "two": {"train_on": f"{TORINO}+fake_fez", "noise_epochs": 2},
    "mitigated shots": {"train_on": TORINO, "train_shots": 64, "train_readout": "mitigated"},
    "engine shots": {"train_shots": 32, "optimizer": "spsa"},
    "qnn": {"train_on": "qnn", "train_shots": 32},
}


@pytest.mark.parametrize(
    "case", [*ON, *(pytest.param(each, marks=pytest.mark.slow) for each in MORE_ON)]
)
def test_resume_is_bit_for_bit(tiny_run, tmp_path, stop_after, outcome, case):
    config = tiny_run(epochs=2, batch_size=2, **(ON | MORE_ON)[case])
    whole = train(config, tmp_path / "whole")
    stopped = train(config, tmp_path / "parts", progress=stop_after(3))
    assert stopped.interrupted
    rest = train(config, tmp_path / "parts", resume="latest")
    assert outcome(rest) == outcome(whole)
    if case == "qnn":  # each step has shots of its own
        assert len({row["train_loss"] for row in whole.history}) == 2


def test_samples_stand_where_the_run_was_trained(tiny_run, tmp_path):
    train(tiny_run(train_on=TORINO, train_layout=(7, 8, 9)), tmp_path / "run")
    [place] = read_places(tmp_path / "run")["fake_torino"]
    assert place.physical_qubits == (7, 8, 9)
    run = load_run(tmp_path / "run")
    config = SamplingConfig(target=TORINO, shots=16, num_images=1, seed=5)
    layout = sample(run, config).manifest["device"]["layout"]
    assert layout["physical_qubits"] == [7, 8, 9]
    assert layout["transpiler_seed"] == place.transpiler_seed
    own = SamplingConfig(target=TORINO, shots=16, num_images=1, initial_layout=(3, 4, 5))
    assert sample(run, own).manifest["device"]["layout"]["physical_qubits"] == [3, 4, 5]


@pytest.mark.slow
def test_noise_grows_and_devices_take_turns(tiny_run, tmp_path):
    """A loss at no noise is the exact one; then it moves with the share and with the device."""
    config = tiny_run(train_on=f"{TORINO}+fake_fez", noise_epochs=4).training
    model = tiny_run()
    model = fresh_learners(model, make_process(model.diffusion))["model"].model
    target = training_target(model, config, tmp_path)
    x, t = torch.full((1, 1, 2, 2), 0.5), torch.ones(1)
    exactly = model(x, t).detach()
    found = {}
    with target.answering(model), torch.no_grad():
        for epoch in (0, 2, 4, 9):
            for step in (0, 1, 2):
                target.begin(epoch, 0, step)
                found[epoch, step] = model(x, t)
    torch.testing.assert_close(found[0, 0], exactly, atol=1e-6, rtol=0)
    assert torch.equal(found[4, 0], found[9, 0])
    assert torch.equal(found[4, 0], found[4, 2])
    assert not torch.allclose(found[4, 0], found[4, 1], atol=1e-5)
    distances = [float((found[epoch, 0] - exactly).norm()) for epoch in (0, 2, 4)]
    assert distances == sorted(distances)
    assert distances[1] > 1e-3
    torch.testing.assert_close(model(x, t).detach(), exactly)  # the engine is back


def test_a_run_starts_from_another(tiny_run, tmp_path):
    exact = train(tiny_run(), tmp_path / "exact")
    first = First()
    config = tiny_run(train_on=TORINO, start_from=str(tmp_path / "exact"), seed=7)
    train(config, tmp_path / "warm", progress=first)
    wanted = dict(load_model(exact.checkpoint).named_parameters())
    assert all(torch.equal(first.weights[name], wanted[name]) for name in wanted)
    with pytest.raises(
        InvalidOption, match="run of the same model with the same options"
    ) as caught:
        train(tiny_run(depth=2, start_from=str(tmp_path / "exact")), tmp_path / "deeper")
    assert "\n" not in str(caught.value)


def test_another_circuit_than_the_runs_is_refused(tiny_run, tmp_path):
    config = tiny_run(train_on=TORINO)
    train(config, tmp_path / "run")
    file = tmp_path / "run" / PLACES
    content = json.loads(file.read_text())
    assert content["schema"] == "qdm-train-on/1"
    content["devices"]["fake_torino"][0]["circuit"] = "0" * 64
    file.write_text(json.dumps(content))
    with pytest.raises(InvalidCheckpoint, match="comes out differently"):
        train(config.with_epochs(2), tmp_path / "run", resume="latest")
    file.write_text("{}")
    with pytest.raises(InvalidCheckpoint, match="cannot be used"):
        train(config.with_epochs(2), tmp_path / "run", resume="latest")


def test_a_noise_model_is_a_device_to_train_on(tiny_run, tmp_path):
    noise = NoiseModel(basis_gates=["rz", "sx", "cz"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), ["rz", "sx"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.05, 2), ["cz"])
    config = tiny_run(train_on=noise)
    assert config.training.train_on.startswith("noisy:noise-model@")
    result = qdm.train(config, tmp_path / "run")
    exact = qdm.train(tiny_run(), tmp_path / "exact")
    assert result.history[-1]["test_loss"] != exact.history[-1]["test_loss"]
