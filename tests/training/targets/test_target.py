"""Runs on every target: weights move, resume is bit for bit, losses are those of Aer's densities."""

from __future__ import annotations

import json

import pytest
import torch
from qiskit_aer.noise import NoiseModel, depolarizing_error

import qdm_qiskit as qdm
from qdm_qiskit.cli.main import main
from qdm_qiskit.diffusion import make_process
from qdm_qiskit.errors import (
    InvalidCheckpoint,
    InvalidOption,
    QdmError,
    TargetUnavailable,
    UnknownName,
)
from qdm_qiskit.execution.calls import CallResult
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.layers.calling import answered_by
from qdm_qiskit.models import load_model
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import TrainingProgress, load_split, train
from qdm_qiskit.training.objective import Objective
from qdm_qiskit.training.session import fresh_learners
from qdm_qiskit.training.targets.places import PLACES, read_places
from qdm_qiskit.training.targets.target import training_target
from qdm_qiskit.transpiling.passes import transpile_for

TORINO = "noisy:fake_torino"
WITH_CIRCUITS = {
    "qddm": {},
    "coded": {"train_count": 20, "batch_size": 20, "num_steps": 1},
}
MORE_WITH_CIRCUITS = {
    "eeqdm": {},
    "q_dense": {},
    "line_amplitudes": {"image_size": 4, "latent_qubits": 2, "depth": 1, "train_count": 20},
}
OF_STATES = ("q_dense_unitary", "cacioppo", "cacioppo_latent", "qamp_december", "quddpm")
CLASSICAL = ("classical_unet", "koelle_unet", "hybrid_unet")


class First(TrainingProgress):
    """Keeps the weights that a run begins with."""

    def start(self, config, model, steps, done) -> None:
        self.weights = {k: v.detach().clone() for k, v in model.named_parameters()}


def unmoved(config, folder) -> dict[str, int]:
    """Count the weights of each tensor that an epoch leaves where they were."""
    first = First()
    result = train(config, folder, progress=first)
    after = dict(load_model(result.checkpoint).named_parameters())
    # Adam's first step is the learning rate wherever a gradient is more than rounding.
    least = config.training.learning_rate / 2
    counts = {k: int(((after[k] - v).abs() < least).sum()) for k, v in first.weights.items()}
    return {k: count for k, count in counts.items() if count}


def check_moves(tiny_run, tmp_path, model, options) -> None:
    """Only weights that nothing reads stay, as in exact training."""
    still = unmoved(tiny_run(model, train_on=TORINO, **options), tmp_path / "noisy")
    exactly = unmoved(tiny_run(model, **options), tmp_path / "exact")
    assert set(still) <= set(exactly)
    assert all(still[name] <= exactly[name] for name in still), (still, exactly)


@pytest.mark.parametrize("model", WITH_CIRCUITS)
def test_an_epoch_through_noise_moves_every_weight(tiny_run, tmp_path, model):
    check_moves(tiny_run, tmp_path, model, WITH_CIRCUITS[model])


@pytest.mark.slow
@pytest.mark.parametrize("model", MORE_WITH_CIRCUITS)
def test_an_epoch_through_noise_moves_every_weight_of_more_models(tiny_run, tmp_path, model):
    check_moves(tiny_run, tmp_path, model, MORE_WITH_CIRCUITS[model])


@pytest.mark.parametrize("model", OF_STATES + CLASSICAL)
def test_models_that_cannot_say_why(tiny_run, tmp_path, model):
    reason = "has no circuits" if model in CLASSICAL else "hands states"
    with pytest.raises(TargetUnavailable, match=reason) as caught:
        train(tiny_run(model, train_on=TORINO), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


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


class ByAer:
    """Answers calls by Aer's density matrix, on a layout that it is given."""

    def __init__(self, place) -> None:
        self.place, self.runner = place, NoisyRunner("fake_torino", seed=0)

    def answer(self, calls):
        return [self._one(call) for call in calls]

    def _one(self, call):
        isa = transpile_for(
            call.spec.full_circuit(),
            self.runner.backend,
            seed=self.place.transpiler_seed,
        )
        weights = dict(zip((w.name for w in call.spec.weights), call.angles, strict=True))
        bound = isa.assign_parameters(
            {p: weights[p.name] for p in isa.parameters if p.name in weights}
        )
        names = sorted(p.name for p in call.spec.full_circuit().parameters if p.name[0] == "x")
        columns = [names.index(p.name) for p in bound.parameters]
        joint = self.runner.exact_probabilities(bound, call.values[:, columns])
        readout = call.spec.readout
        found = joint[:, readout.selection(call.spec.num_qubits)].sum(-1)
        if readout.renormalise:
            found /= found.sum(axis=1, keepdims=True)
        return CallResult(outputs=found)


@pytest.mark.parametrize("model", ["eeqdm", "q_dense"])
def test_the_loss_through_noise_is_that_of_aers_density_matrix(tiny_run, tmp_path, model):
    config = tiny_run(model, train_on=TORINO)
    result = train(config, tmp_path / "run")
    [place] = read_places(tmp_path / "run")["fake_torino"]
    run = load_run(tmp_path / "run")
    images = torch.from_numpy(load_split(run.config).test.images)
    objective = Objective(run.process, run.model)
    seed = derived_seed(run.config.training.seed, "noise", 1_000_000_000, 0)
    pairs = objective.pairs(images, torch.Generator().manual_seed(seed))
    with answered_by(run.model, ByAer(place)):
        by_aer = float(objective.losses(run.model, pairs, None).mean())
    assert result.history[-1]["test_loss"] == pytest.approx(by_aer, abs=1e-6)
    with torch.no_grad():
        exactly = float(objective.losses(run.model, pairs, None).mean())
    assert abs(exactly - by_aer) > 1e-4


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


def leaky() -> NoiseModel:
    """A model whose error of sx loses a tenth of the trace, which Aer itself lets pass."""
    noise = NoiseModel(basis_gates=["rz", "sx", "cz"])
    error = depolarizing_error(0.1, 1)
    error._probs = [share * 0.9 for share in error._probs]
    noise.add_all_qubit_quantum_error(error, ["sx"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["cz"])
    return noise


WRONG = {
    "shots 0": ({"train_shots": 0}, InvalidOption, "train_shots must be at least 1"),
    "no GPU": ({"train_on": "engine:cuda"}, TargetUnavailable, "needs a CUDA device"),
    "no GPU of Aer": ({"train_on": "aer:gpu"}, TargetUnavailable, "needs a GPU"),
    "no such device": ({"train_on": "noisy:fake_torin"}, UnknownName, "fake_torino"),
    "no such target": ({"train_on": "engin"}, InvalidOption, "train_on is engine"),
    "a QPU": ({"train_on": "ibm:ibm_fez"}, InvalidOption, "trained in simulation"),
    "twice": ({"train_on": f"{TORINO}+fake_torino"}, InvalidOption, "a device twice"),
    "no noise": ({"noise_injection": True}, InvalidOption, "no noise of a device"),
    "no readout": ({"train_readout": "none"}, InvalidOption, "train_readout is one of"),
    "epochs": ({"train_on": TORINO, "noise_epochs": -1}, InvalidOption, "noise_epochs"),
    "metric": ({"train_on": "aer", "optimizer": "natural"}, InvalidOption, "metric of 'natural'"),
    "QNN without shots": ({"train_on": "qnn"}, InvalidOption, "set train_shots"),
    "both starts": ({"start_from": "a", "transfer_epochs": 1}, InvalidOption, "start_from or"),
    "two qubits": ({"train_on": "noisy:fake_armonk"}, QdmError, "qubit"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_line(tiny_run, tmp_path, case):
    options, error, message = WRONG[case]
    with pytest.raises(error, match=message) as caught:
        train(tiny_run(**options), tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_noise_models_that_cannot_be_used_are_one_line(tiny_run, tmp_path):
    unknown = NoiseModel()  # whose basis has sx, without an entry, while x has one
    unknown.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["x"])
    unknown.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["cx"])
    no_pairs = NoiseModel(basis_gates=["rz", "sx"])
    no_pairs.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["rz", "sx"])
    cases = {
        "trace": leaky(),
        "cannot be transpiled|lacks": unknown,
        "cannot be transpiled": no_pairs,
    }
    for message, noise in cases.items():
        with pytest.raises(QdmError, match=message) as caught:
            train(tiny_run(train_on=noise), tmp_path / "run")
        assert "\n" not in str(caught.value)


def test_more_memory_than_there_is_is_refused_first(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("qdm_qiskit.training.targets.device.available_bytes", lambda device: 1000)
    with pytest.raises(TargetUnavailable, match="'layer' uses 3 qubits of fake_torino") as caught:
        train(tiny_run(train_on=TORINO), tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_noise_model_is_a_device_to_train_on(tiny_run, tmp_path):
    noise = NoiseModel(basis_gates=["rz", "sx", "cz"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), ["rz", "sx"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.05, 2), ["cz"])
    config = tiny_run(train_on=noise)
    assert config.training.train_on.startswith("noisy:noise-model@")
    result = qdm.train(config, tmp_path / "run")
    exact = qdm.train(tiny_run(), tmp_path / "exact")
    assert result.history[-1]["test_loss"] != exact.history[-1]["test_loss"]


def test_the_command_line_takes_it(tmp_path, capsys):
    small = ["depth=1", "image_size=2", "num_steps=2", "train_count=4", "baseline=false"]

    def run(shots: int, folder: str) -> object:
        options = [word for each in small for word in ("--set", each)]
        command = ["train", "--model", "eeqdm", "--epochs", "1", "--quiet", "--train-on", "aer"]
        out = str(tmp_path / folder)
        with pytest.raises(SystemExit) as caught:
            main([*command, "--train-shots", str(shots), "--out", out, *options])
        return caught.value.code

    assert run(8, "run") == 0
    assert load_run(tmp_path / "run").config.training.train_shots == 8
    assert run(0, "other") != 0
    assert "train_shots must be at least 1" in capsys.readouterr().err
