"""Every family of models through a device's noise: it trains there, or says in one line why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit

from qdm_qiskit.circuits.readouts import ExpectationReadout
from qdm_qiskit.cli.main import main
from qdm_qiskit.diffusion import make_process
from qdm_qiskit.engine.noise import MAX_AUTO_DENSITY_QUBITS
from qdm_qiskit.errors import TargetUnavailable
from qdm_qiskit.execution.calls import CallResult, CircuitCall
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.layers.calling import answered_by, quantum_layers
from qdm_qiskit.mitigation.expectation import construct_circuits, measurement_plan
from qdm_qiskit.models import MODELS
from qdm_qiskit.progress import Message
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import TrainedRun, load_run
from qdm_qiskit.training import (
    RunConfig,
    TrainingProgress,
    TrainingResult,
    load_split,
    resolve_run,
    train,
)
from qdm_qiskit.training.by_calls import check_by_calls
from qdm_qiskit.training.epoch_end import TEST_STREAM
from qdm_qiskit.training.objective import Objective
from qdm_qiskit.training.progress import WithoutGradient
from qdm_qiskit.training.run_data import class_indices, classes_of
from qdm_qiskit.training.session import fresh_learners
from qdm_qiskit.training.targets.device import Place
from qdm_qiskit.training.targets.places import read_places
from qdm_qiskit.training.targets.target import check_trainable, training_target
from qdm_qiskit.transpiling.passes import transpile_for
from tests.helpers import ROOT, load_script

TORINO = "noisy:fake_torino"
ROWS = load_script(ROOT / "benchmarks" / "target_rows.py")
"""The table of all families, of which none may be left out here."""
SMALL = {"image_size": 2, "depth": 1, "init_std": 1.0}
RUN: dict[str, Any] = {
    "num_steps": 2,
    "train_count": 4,
    "test_count": 2,
    "batch_size": 2,
    "epochs": 2,
    "checkpoint_every": 1,
    "baseline": False,
    "sample_every": 0,
    "weight_average": False,
    "train_on": TORINO,
}


@dataclass(frozen=True)
class Family:
    """A small run of a family."""

    model: str | Callable[[], Any]
    options: dict[str, Any] = field(default_factory=dict)
    fast: bool = False

    @property
    def injected(self) -> bool:
        return bool(self.options.get("noise_injection"))

    def config(self) -> RunConfig:
        source = self.model if isinstance(self.model, str) else self.model()
        return resolve_run(source, {**RUN, **self.options})


INJECTED = {
    "num_steps": 1,
    "test_count": 1,
    "batch_size": 1,
    "train_count": 2,
    "noise_injection": True,
}
TRAINED = {
    "eeqdm": Family("eeqdm", SMALL, fast=True),
    "qddm": Family("qddm", SMALL),
    "q_dense": Family("q_dense", SMALL),
    "q_dense_guided": Family(
        "q_dense", {**SMALL, "ancilla": True, "guided": True, "depth": 2, "reuploads": 2}
    ),
    "qu_net": Family("qu_net", {"image_size": 4, "levels": 2, "depth": 1, "num_steps": 1}),
    "hybrid_unet": Family("hybrid_unet", {"circuits": 1, "layers": 1, **INJECTED}),
    "quanvu_net": Family("hybrid_unet", {"quanvolution": True, **INJECTED}),
    "line": Family(
        "line",
        {"image_size": 4, "latents": 3, "num_qubits": 3, "uploads": 2, "bricks": 1},
    ),
    "line_amplitudes": Family(
        "line_amplitudes",
        {"image_size": 4, "latent_qubits": 2, "depth": 1, "train_count": 20, "batch_size": 10},
    ),
    "coded": Family(
        "coded", {"side": 2, "num_steps": 1, "train_count": 20, "batch_size": 10, "epochs": 2}
    ),
    "hybrid_score": Family(
        "hybrid_score",
        {"image_size": 4, "codec": "pca", "latents": 3, "width": 2, "neck": 2, "num_qubits": 2},
    ),
    "series": Family(
        "series",
        {"width": 2, "num_qubits": 2, "blocks": 1, "train_count": 20, "batch_size": 10},
    ),
    "mixed_quddpm": Family(
        "mixed_quddpm",
        {"num_qubits": 1, "num_traced": 0, "depth": 1, "train_count": 20, "batch_size": 10},
    ),
    "own": Family(ROWS.reader_of_values, {"num_steps": 1}),
}
"""Families that train through noise."""
REFUSED = {
    "q_dense_unitary": ("q_dense_unitary", {}, "hands states from circuit to circuit"),
    "cacioppo": ("cacioppo", {"image_size": 4}, "hands states from circuit to circuit"),
    "cacioppo_linear": (
        "cacioppo",
        {"image_size": 4, "activation": False},
        "hands states from circuit to circuit",
    ),
    "cacioppo_latent": ("cacioppo_latent", {}, "hands states from circuit to circuit"),
    "cacioppo_conditioned": (
        "cacioppo_latent",
        {"guided": True},
        "hands states from circuit to circuit",
    ),
    "qamp_december": ("qamp_december", {}, "hands states from circuit to circuit"),
    "qamp_january": ("qamp_january", {}, "hands states from circuit to circuit"),
    "quddpm": ("quddpm", {}, "hands states from circuit to circuit"),
    "classical_unet": ("classical_unet", {}, "has no circuits"),
    "koelle_unet": ("koelle_unet", {}, "has no circuits"),
    "hybrid_unet_classical": ("hybrid_unet", {}, "has no circuits"),
}
"""Families that cannot, and the reason."""
EACH = [
    pytest.param(name, marks=() if family.fast else pytest.mark.slow)
    for name, family in TRAINED.items()
]
WITHOUT = [
    pytest.param(
        name, marks=() if name in ("cacioppo", "quddpm", "koelle_unet") else pytest.mark.slow
    )
    for name in REFUSED
]
COMPARED = [each for each in EACH if not TRAINED[str(each.values[0])].injected]


class Watch(TrainingProgress):
    """Keeps how far each weight has moved in the first epoch, and what was said of weights."""

    def __init__(self) -> None:
        self.said: list[WithoutGradient] = []

    def __call__(self, message: Message) -> None:
        if isinstance(message, WithoutGradient):
            self.said.append(message)
        super().__call__(message)

    def start(self, config: RunConfig, model: Any, steps: int, done: int) -> None:
        self.model = model
        self.first = {k: v.detach().clone() for k, v in model.named_parameters()}
        self.moved = {k: torch.zeros_like(v) for k, v in self.first.items()}

    def step(self, epoch: int, loss: float) -> None:
        if epoch == 1:
            for name, weight in self.model.named_parameters():
                distance = (weight.detach() - self.first[name]).abs()
                self.moved[name] = torch.maximum(self.moved[name], distance)


@dataclass(frozen=True)
class Done:
    """A run that nothing has disturbed."""

    config: RunConfig
    result: TrainingResult
    watch: Watch


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Done]]:
    """Run of a family, trained once for all that is asked of it."""
    known: dict[str, Done] = {}

    def of(name: str) -> Done:
        if name not in known:
            config, watch = TRAINED[name].config(), Watch()
            result = train(config, tmp_path_factory.mktemp(name) / "run", progress=watch)
            known[name] = Done(config, result, watch)
        return known[name]

    yield of
    known.clear()


def test_no_family_is_left_out():
    """Neither a row of the table of families nor a registered model."""
    assert set(ROWS.FAMILIES) <= set(TRAINED) | set(REFUSED)
    models = {family.model for family in TRAINED.values()} | {each[0] for each in REFUSED.values()}
    assert set(MODELS) <= models


def table_of_the_page() -> dict[str, list[str]]:
    """Return the cells of each family in docs/training.md."""
    page = (ROOT / "docs" / "training.md").read_text()
    lines = page.split("| family |")[1].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip(" `") for cell in line.strip("| ").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows}


def cells_by_the_code(config: RunConfig) -> list[str]:
    """Return what the code says of training a model on noise, on Aer, on QNNs and on hardware."""
    process = make_process(config.diffusion)
    model = fresh_learners(config, process)["model"].model
    reasons = []
    for check in (check_trainable, lambda *each: check_by_calls(each[0], process, each[1])):
        try:
            check(model, "local:fake_torino")
            reasons.append("yes")
        except TargetUnavailable as error:
            words = {"hands states": "states", "trains on ensembles": "ensembles"}
            said = [word for text, word in words.items() if text in str(error)]
            reasons.append(said[0] if said else "no circuits")
    trains, sent = reasons
    if trains != "yes":
        return [trains] * 3 + [sent]
    layers = quantum_layers(model).values()
    wide = any(each.spec.num_qubits > MAX_AUTO_DENSITY_QUBITS for each in layers)
    by_values = {isinstance(each.spec.readout, ExpectationReadout) for each in layers}
    assert len(by_values) == 1
    on_qnn = "exact" if by_values.pop() else "shots"
    if trains_what_it_loads(model, process, config):
        on_qnn = "no"
    return ["injected" if wide else "yes", "yes", on_qnn, sent]


def trains_what_it_loads(model: Any, process: Any, config: RunConfig) -> bool:
    """Return whether a gradient is asked for in amplitudes, or in inputs beside them."""
    found = []
    loaded = [e for e in quantum_layers(model).values() if e.spec.encoding == "amplitude"]
    if not loaded:
        return False
    for layer in loaded:

        def probe(angles: Any, *given: Any, inner: Any = layer.executor) -> Any:
            found.append(any(each is not None and each.requires_grad for each in given))
            return inner(angles, *given)

        layer.executor = probe
    images = torch.from_numpy(load_split(config).train.images)
    model.fit_data(images, torch.Generator().manual_seed(0))
    objective = Objective(process, model)
    pairs = objective.pairs(images[:2], torch.Generator().manual_seed(0))
    guided = getattr(config.model_options, "guided", False)
    objective.losses(model, pairs, torch.zeros(2, dtype=torch.long) if guided else None)
    return any(found)


@pytest.mark.slow
def test_the_page_says_which_family_trains_where():
    """All models are made, and those with loaders asked what they would load; nothing is trained."""
    configs = {name: family.config() for name, family in TRAINED.items()}
    for name, (model, options, _) in REFUSED.items():
        configs[name] = resolve_run(model, options)
    page = table_of_the_page()
    assert set(page) == set(configs)
    for name, config in configs.items():
        assert page[name] == cells_by_the_code(config), name


@pytest.mark.parametrize("name", EACH)
def test_an_epoch_moves_every_weight_or_says_which_it_cannot(done, name):
    """What is not named moves; what is named changes nothing that is measured."""
    run = done(name)
    said = [each.weights for each in run.watch.said]
    still = said[0] if said else {}
    assert len(said) <= 1
    for message in run.watch.said:
        assert "\n" not in message
        assert all(tensor in message for tensor in still)
    # With a gradient of 1e-9 Adam's first step is 0.09 of the learning rate, and one that comes with
    # the second of an epoch 0.05 of it.
    least = 0.04 * run.config.training.learning_rate
    for tensor, moved in run.watch.moved.items():
        places = (moved.flatten() < least).nonzero().flatten().tolist()
        assert set(places) <= set(still.get(tensor, ())), tensor
    assert sum(map(len, still.values())) < sum(v.numel() for v in run.watch.moved.values())
    _check_without_influence(run, still)


def _check_without_influence(run: Done, still: dict[str, tuple[int, ...]]) -> None:
    """Weights of circuits far from where they were give the same loss, and the others do not."""
    trained = load_run(run.result.run)
    model = trained.model
    target = training_target(model, run.config.training, run.result.run, resume=True)
    assert target is not None
    loss_now = loss_of_test_images(trained)

    def loss() -> float:
        with target.answering(model):
            target.begin(2, -1, 0)
            return loss_now()

    def change(*, named: bool) -> None:
        for layer, each in quantum_layers(model).items():
            tensor, weight = f"{layer}.weights", each.weights
            chosen = torch.full((weight.numel(),), not named)
            chosen[list(still.get(tensor, ()))] = named
            with torch.no_grad():
                weight.view(-1)[chosen] += 0.4

    before = loss()
    change(named=True)
    assert loss() == pytest.approx(before, abs=2e-6)
    if not run.config.training.noise_injection:  # De Falco's net hardly depends on its circuits
        change(named=False)
        assert abs(loss() - before) > 1e-4


def loss_of_test_images(trained: TrainedRun) -> Callable[[], float]:
    """Return the loss of a run's test images with the noise of its metrics, for its model as it is."""
    test, training = load_split(trained.config).test, trained.config.training
    seed = derived_seed(training.seed, "noise", TEST_STREAM, 0)
    objective = Objective(trained.process, trained.model)
    labels = None
    if getattr(trained.config.model_options, "guided", False):
        split = load_split(trained.config)
        labels = torch.from_numpy(class_indices(test.labels, classes_of(split)))

    def loss() -> float:
        with torch.no_grad():
            generator = torch.Generator().manual_seed(seed)
            pairs = objective.pairs(torch.from_numpy(test.images), generator)
            pairs = objective.as_generated(trained.model, pairs, labels, generator)
            return float(objective.losses(trained.model, pairs, labels).mean())

    return loss


@pytest.mark.parametrize("name", EACH)
def test_resume_is_bit_for_bit(done, tmp_path, stop_after, outcome, name):
    run = done(name)
    stopped = train(run.config, tmp_path / "run", progress=stop_after(3))
    assert stopped.interrupted
    rest = train(run.config, tmp_path / "run", resume="latest")
    assert outcome(rest) == outcome(run.result)


class ByAer:
    """Answers calls by Aer's density matrix, on the qubits that a run was trained on.

    Args:
        places: Of the run's layers.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = {place.layer: place for place in places}
        self.runner = NoisyRunner("fake_torino", seed=0)

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        return [CallResult(outputs=self._one(call)) for call in calls]

    def _one(self, call: CircuitCall) -> np.ndarray:
        # A layer that is called again, as by a chain before its loss, is numbered behind its name.
        layer, _, _ = call.name.partition("#")
        spec, seed = call.spec, self.places[layer].transpiler_seed
        if not isinstance(spec.readout, ExpectationReadout):
            isa = transpile_for(spec.full_circuit(), self.runner.backend, seed=seed)
            joint = self._joint(isa, call)
            found = joint[:, spec.readout.selection(spec.num_qubits)].sum(-1)
            if spec.readout.renormalise:
                found /= found.sum(axis=1, keepdims=True)
            return found
        plan = measurement_plan(spec.readout.observables)
        plain = spec.full_circuit(measure=False)
        isa = transpile_for(plain, self.runner.backend, seed=seed, read=plan.qubits)
        where = isa.layout.final_index_layout(filter_ancillas=True)
        circuits = construct_circuits(isa, plan.on(where), target=self.runner.backend.target)
        found = np.tile(plan.constants, (call.num_rows, 1))
        for circuit, basis in zip(circuits, plan.bases, strict=True):
            joint = self._joint(circuit, call)
            bits = (np.arange(joint.shape[1])[:, None] >> np.arange(len(plan.qubits))) & 1
            signs = (-1.0) ** (bits @ basis.masks.T)
            found = found + joint @ signs @ basis.weights
        return found

    def _joint(self, isa: QuantumCircuit, call: CircuitCall) -> np.ndarray:
        weights = dict(zip((w.name for w in call.spec.weights), call.angles, strict=True))
        bound = isa.assign_parameters(
            {p: weights[p.name] for p in isa.parameters if p.name in weights}
        )
        names = [p.name for p in call.spec.full_circuit().parameters if p.name not in weights]
        columns = [sorted(names).index(p.name) for p in bound.parameters]
        return self.runner.exact_probabilities(bound, call.values[:, columns])


@pytest.mark.parametrize("name", COMPARED)
def test_the_loss_through_noise_is_that_of_aers_density_matrix(done, name):
    run = done(name)
    places = read_places(run.result.run)["fake_torino"]
    trained = load_run(run.result.run)
    loss_now = loss_of_test_images(trained)
    with answered_by(trained.model, ByAer(places)):
        by_aer = loss_now()
    assert run.result.history[-1]["test_loss"] == pytest.approx(by_aer, abs=1e-6)
    assert abs(loss_now() - by_aer) > 1e-4  # without noise it is another one


@pytest.mark.parametrize("name", WITHOUT)
def test_a_family_that_cannot_says_why(tmp_path, capsys, name):
    """From Python and by the command, in one line, before anything is written."""
    model, options, reason = REFUSED[name]
    given = {"num_steps": 2, "train_count": 4, "test_count": 2, "epochs": 1, **options}
    config = resolve_run(model, {**given, "train_on": TORINO})
    with pytest.raises(TargetUnavailable, match=reason) as caught:
        train(config, tmp_path / "run")
    words = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    command = ["train", "--model", model, "--train-on", TORINO, "--quiet"]
    with pytest.raises(SystemExit) as left:
        main([*command, *words, "--out", str(tmp_path / "run")])
    assert left.value.code != 0
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert str(caught.value) in said
    assert "leave train_on at 'engine'" in said
    assert not (tmp_path / "run").exists()
