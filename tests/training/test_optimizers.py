"""Optimizers by name, their step sizes, and runs that resume bit for bit with each of them."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from qdm_qiskit.errors import InvalidCheckpoint, InvalidOption
from qdm_qiskit.models import build_model, load_model, resolve
from qdm_qiskit.models.plain_optimizers import Adam, RMSprop, Sgd
from qdm_qiskit.training import TrainingConfig, resolve_run, train
from qdm_qiskit.training.natural_gradient import NaturalGradient
from qdm_qiskit.training.optimizers import make_optimizer, set_learning_rate, state_shapes
from qdm_qiskit.training.spsa import Spsa

KINDS = {
    "adam": Adam,
    "rmsprop": RMSprop,
    "sgd": Sgd,
    "natural": NaturalGradient,
    "spsa": Spsa,
    "qn-spsa": Spsa,
}
GRADIENTS = ("adam", "rmsprop", "sgd", "natural")


def small_model(name: str = "q_dense"):
    options = {"image_size": 4, "depth": 1}
    if name == "qu_net":
        options["levels"] = 1
    return build_model(resolve(name, options), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", KINDS)
def test_each_name_makes_its_optimizer(name):
    config = TrainingConfig(optimizer=name, learning_rate=0.03, metric_samples=5)
    optimizer = make_optimizer(small_model(), config)
    assert type(optimizer) is KINDS[name]
    assert [group["lr"] for group in optimizer.param_groups] == [0.03]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        *((name, "q_dense") for name in KINDS),
        *((name, "qu_net") for name in KINDS if name[:2] != "qn"),
    ],
)
def test_a_checkpoint_holds_what_a_step_leaves(name, model):
    made = small_model(model)
    optimizer = make_optimizer(made, TrainingConfig(optimizer=name))
    x = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))

    def loss() -> torch.Tensor:
        return (made(x, torch.ones(3)) - x).square().mean()

    if name in GRADIENTS:
        loss().backward()
        optimizer.step()
    else:
        optimizer.step(lambda: float(loss().detach()))
    left = {
        position: {entry: tuple(torch.as_tensor(value).shape) for entry, value in entries.items()}
        for position, entries in optimizer.state_dict()["state"].items()
    }
    assert left == state_shapes(optimizer)


def test_step_sizes_of_circuits_and_of_the_rest_decay_together():
    config = TrainingConfig(
        optimizer="natural", learning_rate=0.01, circuit_learning_rate=0.5, decay_every=2,
        decay_factor=0.5,
    )  # fmt: skip
    optimizer = make_optimizer(small_model("qu_net"), config)
    for epoch, factor in ((0, 1), (1, 1), (2, 0.5), (5, 0.25), (0, 1)):
        set_learning_rate(optimizer, config, epoch=epoch)
        assert [group["lr"] for group in optimizer.param_groups] == [0.5 * factor, 0.01 * factor]


@pytest.mark.parametrize("optimizer", [name for name in KINDS if name != "adam"])
def test_resume_after_a_stop_is_the_uninterrupted_run(
    tmp_path, small_run, outcome, stop_after, optimizer
):
    config = small_run(optimizer=optimizer, metric_samples=4, depth=1)
    whole = outcome(train(config, tmp_path / "whole"))
    result = train(config, tmp_path / "parts", progress=stop_after(1))
    while result.interrupted:
        result = train(config, tmp_path / "parts", resume="latest", progress=stop_after(2))
    assert outcome(result) == whole


def test_a_hybrid_resumes_with_natural_gradients(tmp_path, outcome, stop_after):
    """State of Adam for some parameters only."""
    config = resolve_run(
        "qu_net",
        {
            "image_size": 4, "levels": 1, "depth": 1, "num_steps": 2, "classes": (0, 1),
            "train_count": 8, "test_count": 4, "batch_size": 4, "epochs": 2, "sample_every": 0,
            "baseline": False, "optimizer": "natural", "circuit_learning_rate": 0.1,
        },
    )  # fmt: skip
    whole = outcome(train(config, tmp_path / "whole"))
    train(config, tmp_path / "parts", progress=stop_after(3))
    parts = train(config, tmp_path / "parts", resume="latest")
    assert outcome(parts) == whole
    entries = load_file(parts.checkpoint / "optimizer.safetensors")
    circuits = sum("layer.weights" in key for key in load_model(parts.checkpoint).state_dict())
    moments = [int(key.partition(".")[0]) for key in entries if key.endswith("exp_avg")]
    assert min(moments) == circuits > 0


@pytest.mark.parametrize("optimizer", [name for name in KINDS if name != "adam"])
def test_one_step_moves_every_weight_that_matters(tmp_path, small_run, optimizer):
    config = small_run(
        "qddm", optimizer=optimizer, depth=1, epochs=1, batch_size=24, baseline=False
    )
    from qdm_qiskit.rng import derived_seed

    generator = torch.Generator().manual_seed(derived_seed(0, "init", 0))
    before = build_model(resolve("qddm", vars(config.model_options)), generator=generator)
    after = load_model(train(config, tmp_path).checkpoint)
    moved = (before.layer.weights != after.layer.weights).view(5, 3)
    if optimizer in GRADIENTS:
        # RZ(omega) has no gradient, as only CNOTs follow; the ancilla's first RZ is a phase.
        assert bool(moved[:4, :2].all())
        assert bool(moved[4, 1])
    else:
        assert bool(moved.all())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.clear(), "should hold finite metric, step for 1 parameters"),
        (lambda t: t.pop("0.metric"), "belongs to another model or is damaged"),
        (lambda t: t.update({"0.metric": torch.zeros(2, 2)}), "belongs to another model"),
        (lambda t: t["0.metric"].__setitem__((0, 0), float("nan")), "is damaged"),
        (lambda t: t.update({"1.step": torch.zeros(())}), "belongs to another model"),
    ],
)
def test_foreign_states_are_refused(tmp_path, small_run, change, message):
    config = small_run(optimizer="qn-spsa", depth=1, baseline=False)
    path = train(config, tmp_path).checkpoint / "optimizer.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(InvalidCheckpoint, match=message) as caught:
        train(config.with_epochs(3), tmp_path, resume="latest")
    assert "\n" not in str(caught.value)


def test_the_baseline_keeps_adam(tmp_path, small_run, outcome):
    one, two = (
        outcome(train(small_run(optimizer=name, depth=1), tmp_path / name))
        for name in ("adam", "spsa")
    )
    keys = [key for key in one["tensors"] if key.startswith("baseline/")]
    assert keys
    assert all(one["tensors"][key] == two["tensors"][key] for key in keys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"optimizer": "lbfgs"},
            "optimizer is one of adam, rmsprop, sgd, natural, spsa, qn-spsa; got 'lbfgs'",
        ),
        ({"metric_blocks": "gate"}, "metric_blocks is .* got 'gate'"),
        ({"metric_samples": 0}, "metric_samples must be at least 1, got 0"),
        ({"metric_regularisation": 0.0}, "metric_regularisation must be .* above 0, got 0.0"),
        ({"circuit_learning_rate": float("inf")}, "circuit_learning_rate must be .* got inf"),
        ({"perturbation": float("nan")}, "perturbation must be .* got nan"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        TrainingConfig(**options)
    assert "\n" not in str(caught.value)


def test_a_model_without_circuits_is_refused_before_anything_is_written(tmp_path, small_run):
    with pytest.raises(InvalidOption, match="'classical_unet' has no circuit layer"):
        train(small_run("classical_unet", optimizer="natural"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
