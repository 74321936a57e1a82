"""Training from the answers of calls: gradients, what is trained, what is asked how often."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from qdm_qiskit.diffusion import DiffusionProcess
from qdm_qiskit.errors import InvalidOption, TargetUnavailable
from qdm_qiskit.execution.calls import CallResult, CircuitCall
from qdm_qiskit.layers.calling import ExactTarget
from qdm_qiskit.sampling import EngineShots, load_run
from qdm_qiskit.sampling.call_targets import Programs
from qdm_qiskit.training.by_calls import (
    Batch,
    CallTraining,
    check_by_calls,
    chosen_weights,
    exact_loss,
)
from tests.helpers import generator, write_run


class Counted:
    """A target that counts the rows of each question."""

    def __init__(self, target) -> None:
        self.target, self.rows = target, list[int]()

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        self.rows.append(sum(each.num_rows for each in calls))
        return self.target.answer(calls)


def loaded(folder: Path, model: str, **settings: object):
    run = load_run(write_run(folder / model, model, **settings))
    run.model.train()
    return run.model, run.process


def batch_of(model, process: DiffusionProcess, rows: int = 3) -> Batch:
    source = generator(5)
    images = torch.rand(rows, *model.image_shape, generator=source)
    with torch.no_grad():
        pairs = process.training_pairs(process.to_states(model.encode_data(images)), source)
    chosen = torch.randperm(len(pairs.step), generator=source)[:rows]
    return Batch(pairs.noisy[chosen], pairs.step[chosen], pairs.target[chosen], None)


def training(model, process, weights, **options) -> CallTraining:
    return CallTraining(
        model, process, weights, **{"optimizer": "adam", "learning_rate": 0.05, **options}
    )


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("eeqdm", {}),
        ("qddm", {}),
        pytest.param("qu_net", {"levels": 2, "num_steps": 2}, marks=pytest.mark.slow),
    ],
)
def test_a_models_gradient_is_the_engines(tmp_path, name, settings):
    """QU-Net has classical weights too, and circuits behind circuits."""
    model, process = loaded(tmp_path, name, **settings)
    batch = batch_of(model, process, 2)
    names, once = chosen_weights(model, process, batch, "all")
    assert not once
    batch.loss(model, process).backward()
    wanted = {name: each.grad.clone() for name, each in model.named_parameters()}
    made = training(model, process, names)
    found = made.gradient(batch, ExactTarget())
    assert found.keys() == wanted.keys()
    for each in names:
        torch.testing.assert_close(found[each], wanted[each], atol=2e-6, rtol=1e-4)
    assert max(float(each.abs().max()) for each in wanted.values()) > 1e-3


@pytest.mark.slow
def test_the_mean_of_spsas_steps_is_the_exact_gradient(tmp_path):
    """120 perturbations of a size so small that what is left of the bias is below the errors."""
    model, process = loaded(tmp_path, "eeqdm")
    batch = batch_of(model, process)
    wanted = training(model, process, ["layer.weights"]).gradient(batch, ExactTarget())
    target, found = ExactTarget(), []
    start = model.layer.weights.detach().clone()
    made = training(
        model, process, ["layer.weights"], optimizer="spsa", learning_rate=1.0, perturbation=1e-2
    )
    for seed in range(120):
        with torch.no_grad():
            model.layer.weights.copy_(start)
        made._optimizer.seed = seed
        made._optimizer.state.clear()  # each is a first step
        made.step(batch, target)
        found.append((start - model.layer.weights.detach()).double().numpy())
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    exact = wanted["layer.weights"].double().numpy()
    assert (np.abs(mean - exact) < 4 * error + 1e-4).all()
    assert (np.abs(exact) > 6 * error).any()


@pytest.mark.parametrize("optimizer", ["adam", "spsa"])
def test_the_loss_goes_down_by_shots(tmp_path, optimizer):
    model, process = loaded(tmp_path, "eeqdm", num_steps=1)
    batch = batch_of(model, process, 4)
    before = exact_loss(model, process, [batch])
    rate = 0.2 if optimizer == "adam" else 1.5
    made = training(
        model, process, ["layer.weights"], optimizer=optimizer, learning_rate=rate, shots=500
    )
    target = EngineShots(1, Programs(), single=False)
    for _ in range(12):
        made.step(batch, target)
    assert exact_loss(model, process, [batch]) < 0.8 * before
    assert len(made.losses) == 12


def test_what_is_asked_is_what_was_promised(tmp_path):
    model, process = loaded(tmp_path, "eeqdm")
    batch = batch_of(model, process)
    counted = Counted(ExactTarget())
    made = training(model, process, ["layer.weights"])
    made.step(batch, counted)
    assert counted.rows == [3 * (1 + 2 * made.shifted)]
    counted.rows.clear()
    made = training(model, process, ["layer.weights"], optimizer="spsa")
    made.step(batch, counted)
    assert counted.rows == [6]  # both weights in one question


def with_tail(tmp_path):
    model, process = loaded(tmp_path, "eeqdm")
    model.tail = nn.Linear(4, 4)
    forward = type(model).forward

    class Tailed(type(model)):  # type: ignore[misc]
        def forward(self, x, t, labels=None):
            made = forward(self, x, t, labels)
            return self.tail(made.flatten(1)).reshape(made.shape)

    model.__class__ = Tailed
    return model, process


def test_a_tail_is_what_no_circuit_depends_on_and_is_measured_once(tmp_path):
    model, process = with_tail(tmp_path)
    batch = batch_of(model, process)
    assert chosen_weights(model, process, batch, "tail") == (("tail.weight", "tail.bias"), True)
    assert chosen_weights(model, process, batch, "tail.bias") == (("tail.bias",), True)
    assert chosen_weights(model, process, batch, "layer, tail.bias")[1] is False
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    counted = Counted(EngineShots(1, Programs(), single=False))
    made = training(model, process, ["tail.weight", "tail.bias"], shots=100)
    made.steps_on(batch, counted, 20)
    assert counted.rows == [3]  # not one shifted row, and no second time
    assert made.losses[-1] < made.losses[0]
    assert len(made.losses) == 20
    same = {n: torch.equal(before[n], each) for n, each in model.named_parameters()}
    assert same == {"layer.weights": True, "tail.weight": False, "tail.bias": False}


def test_what_cannot_be_trained_says_so_in_a_line(tmp_path):
    model, process = loaded(tmp_path, "eeqdm")
    batch = batch_of(model, process)
    with pytest.raises(InvalidOption, match=r"no weights 'head' to train.*layer.weights"):
        chosen_weights(model, process, batch, "head")
    with pytest.raises(InvalidOption, match="no weights '' to train"):
        chosen_weights(model, process, batch, "layer.weights,")
    with pytest.raises(InvalidOption, match="there is no 'tail' to train"):
        chosen_weights(model, process, batch, "tail")
    check_by_calls(model, process, "local:fake_manila")
    classical, own = loaded(tmp_path, "classical_unet", image_size=4)
    with pytest.raises(TargetUnavailable, match=r"no circuits.*train it by `qdm train`"):
        check_by_calls(classical, own, "local:fake_manila")
    states, own = loaded(tmp_path, "cacioppo", depths=(2, 2, 2))
    with pytest.raises(TargetUnavailable, match="hands states from circuit to circuit"):
        check_by_calls(states, own, "local:fake_manila")


@pytest.mark.slow
def test_spsas_losses_asked_together_are_those_of_one_after_the_other(tmp_path):
    """Of circuits behind circuits: as many questions as layers are called, each of both weights."""
    from qdm_qiskit.training.spsa import Spsa

    model, process = loaded(tmp_path, "qu_net", levels=2, num_steps=2)
    batch = batch_of(model, process, 2)
    names, _ = chosen_weights(model, process, batch, "all")
    start = {n: each.detach().clone() for n, each in model.named_parameters()}
    plain = Spsa(model, kind="spsa", learning_rate=0.5, perturbation=0.1, seed=3)
    plain.step(lambda: batch.loss(model, process).item())
    wanted = {n: each.detach().clone() for n, each in model.named_parameters()}
    with torch.no_grad():
        for name, each in model.named_parameters():
            each.copy_(start[name])
    counted = Counted(ExactTarget())
    made = training(
        model, process, names, optimizer="spsa", learning_rate=0.5, perturbation=0.1, seed=3
    )
    made.step(batch, counted)
    for name, each in model.named_parameters():
        torch.testing.assert_close(each.detach(), wanted[name], atol=1e-4, rtol=1e-3)
    once = Counted(ExactTarget())
    with torch.no_grad():
        made.evaluate(batch, once)
    assert counted.rows == [2 * rows for rows in once.rows]
    assert len(once.rows) > 1
