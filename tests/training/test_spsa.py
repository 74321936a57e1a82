"""SPSA and QN-SPSA, step by step: the library's own iterations, from losses alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit.primitives import StatevectorSampler
from qiskit_machine_learning.optimizers import QNSPSA, SPSA
from qiskit_machine_learning.utils import algorithm_globals

from qdm_qiskit.circuits.koelle import q_dense
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.layers import QuantumLayer, qnn_executor
from qdm_qiskit.models import build_model, resolve
from qdm_qiskit.training import spsa
from qdm_qiskit.training.spsa import Spsa

X = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(1))


def small_model(name: str = "q_dense", **options):
    choice = resolve(name, {"image_size": 2, "depth": 2, **options})
    return build_model(choice, generator=torch.Generator().manual_seed(0))


def loss_of(model) -> float:
    with torch.no_grad():
        return float((model(X, torch.ones(6)) - X).square().mean())


class OneStream:
    """Stands for ``algorithm_globals``, whose seed the library sets once and our steps do not."""

    random_seed = 0


@pytest.mark.parametrize("kind", ["spsa", "qn-spsa"])
def test_steps_are_the_iterations_of_the_library(monkeypatch, kind):
    steps, rate, perturbation = 5, 0.3, 0.1
    ours, theirs = small_model().double(), small_model().double()
    k = np.arange(1, steps + 1)
    rates, eps = rate / k**0.602, perturbation / k**0.101

    def loss(x: np.ndarray) -> float:
        with torch.no_grad():
            theirs.layer.weights.copy_(torch.from_numpy(x))
        return loss_of(theirs)

    def fidelity(x: np.ndarray, y: np.ndarray) -> float:
        found = []
        with torch.no_grad():
            for weights in (x, y):
                theirs.layer.weights.copy_(torch.from_numpy(weights))
                found.append(theirs.layer.statevector(X.double().flatten(1)))
        return float((found[0].conj() * found[1]).sum(1).abs().square().mean())

    start = theirs.layer.weights.detach().numpy().copy()
    algorithm_globals.random_seed = 7
    if kind == "spsa":
        whole = SPSA(steps, learning_rate=rates, perturbation=eps)
    else:
        whole = QNSPSA(
            fidelity, steps, blocking=False, learning_rate=lambda: iter(rates),
            perturbation=lambda: iter(eps), regularization=0.01,
        )  # fmt: skip
    expected = whole.minimize(loss, start).x

    algorithm_globals.random_seed = 7
    monkeypatch.setattr(spsa, "algorithm_globals", OneStream())
    optimizer = Spsa(ours, kind=kind, learning_rate=rate, perturbation=perturbation)
    for _ in range(steps):
        optimizer.step(lambda: loss_of(ours))
    # The metric is kept in float32, as checkpoints give it back.
    np.testing.assert_allclose(
        ours.layer.weights.detach().numpy(), expected, atol=1e-10 if kind == "spsa" else 1e-5
    )
    assert float(np.abs(expected - start).max()) > 0.01


@pytest.mark.parametrize(("kind", "losses"), [("spsa", 2), ("qn-spsa", 2)])
def test_a_step_takes_few_losses_and_no_gradient(kind, losses):
    model = small_model()
    optimizer = Spsa(model, kind=kind, learning_rate=0.1)
    taken = []

    def closure() -> float:
        taken.append(loss_of(model))
        return taken[-1]

    before = model.layer.weights.detach().clone()
    optimizer.step(closure)
    assert len(taken) == losses
    assert bool((model.layer.weights != before).all())  # every weight is perturbed, and moved
    assert model.layer.weights.grad is None
    assert not optimizer.circuits or optimizer.circuits[0].runs == []


@pytest.mark.parametrize("kind", ["spsa", "qn-spsa"])
def test_losses_fall(kind):
    model = small_model()
    rate = 1.0 if kind == "spsa" else 0.3
    optimizer = Spsa(model, kind=kind, learning_rate=rate, regularisation=0.5)
    before = loss_of(model)
    for _ in range(60):
        optimizer.step(lambda: loss_of(model))
    assert loss_of(model) < 0.6 * before


def test_perturbations_depend_on_seed_and_step_only():
    def weights(seed: int, noise: int) -> torch.Tensor:
        model = small_model()
        optimizer = Spsa(model, kind="spsa", learning_rate=0.1, seed=seed)
        algorithm_globals.random_seed = noise
        for _ in range(2):
            optimizer.step(lambda: loss_of(model))
            algorithm_globals.random.random(noise)
        return model.layer.weights.detach()

    assert torch.equal(weights(0, 1), weights(0, 2))
    assert not torch.equal(weights(0, 1), weights(1, 1))


def test_it_trains_a_circuit_that_only_gives_shots():
    """No gradient could be had here: 64 shots of a sampler."""
    model = small_model()
    spec = q_dense(2, 2)
    sampler = StatevectorSampler(default_shots=64, seed=3)
    model.layer = QuantumLayer(
        spec, executor=qnn_executor(spec, sampler), weight_map="pi_tanh",
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    optimizer = Spsa(model, kind="spsa", learning_rate=1.0)
    before = model.layer.weights.detach().clone()
    for _ in range(2):
        optimizer.step(lambda: loss_of(model))
    assert bool((model.layer.weights != before).all())
    assert bool(torch.isfinite(model.layer.weights).all())
    with pytest.raises(InvalidOption, match="computed on the engine"):
        Spsa(model, kind="qn-spsa", learning_rate=1.0)


def test_all_weights_are_perturbed_classical_ones_too():
    model = build_model(resolve("qu_net", {"image_size": 4, "levels": 1, "depth": 1}))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    x = torch.rand(2, 1, 4, 4)
    Spsa(model, kind="spsa", learning_rate=0.1).step(
        lambda: float((model(x, torch.ones(2)) - x).square().mean().detach())
    )
    for name, p in model.named_parameters():
        assert bool((p != before[name]).all()), name


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (small_model, {"kind": "sgd"}, "kind 'spsa' or 'qn-spsa'.*got 'sgd'"),
        (small_model, {"kind": "spsa", "perturbation": 0.0}, "perturbation > 0"),
        (small_model, {"kind": "qn-spsa", "regularisation": -1.0}, "regularisation > 0"),
        (
            lambda: small_model("qu_net", levels=1),
            {"kind": "qn-spsa"},
            "of 'qu_net' are not; use 'spsa'",
        ),
        (
            lambda: build_model(resolve("classical_unet")),
            {"kind": "qn-spsa"},
            "'classical_unet' has no circuit layer",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        Spsa(make(), learning_rate=0.1, **options)
    assert "\n" not in str(caught.value)
