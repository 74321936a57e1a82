"""Training trains, and everything about a run can be repeated bit for bit."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from qdm_qiskit.diffusion import ImageProcess, make_process
from qdm_qiskit.errors import (
    InvalidOption,
)
from qdm_qiskit.models import load_model
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.training import TrainingProgress, load_split, train
from qdm_qiskit.training.epoch_end import TEST_STREAM
from qdm_qiskit.training.session import fresh_learners


@pytest.mark.parametrize("goal", ["data", "noise"])
@pytest.mark.parametrize("process", ["interpolated", "gaussian"])
@pytest.mark.parametrize("model", ["eeqdm", "qddm", "classical_unet"])
def test_one_step_moves_every_weight(tmp_path, small_run, model, process, goal):
    config = small_run(
        model, epochs=1, batch_size=24, process=process, goal=goal, learning_rate=1e-3
    )
    fresh = {
        name: {k: v.clone() for k, v in learner.model.state_dict().items()}
        for name, learner in fresh_learners(config, make_process(config.diffusion)).items()
    }
    result = train(config, tmp_path / "run")
    for name, before in fresh.items():
        folder = result.checkpoint if name == "model" else result.checkpoint / name
        after = load_model(folder).state_dict()
        for key, value in before.items():
            moved = after[key] != value
            if model == "classical_unet" or name == "baseline":
                # A ReLU that no pixel reaches passes no gradient to its channel.
                assert bool(moved.any()), (name, key)
            else:
                # Adam's first step is the learning rate times g / (|g| + 1e-8).
                step = (after[key] - value).abs()[can_matter(config)]
                assert float(step.min()) > 0.9e-3, (name, key)
                assert float(step.max()) < 1.1e-3, (name, key)
    assert set(fresh) == ({"model"} if model == "classical_unet" else {"model", "baseline"})


def can_matter(config) -> torch.Tensor:
    """All weights but those that turn phases which no readout sees.

    After the last RZ(omega) come only CNOTs, which permute basis states; the first RZ of an
    ancilla in |0> is a global phase.
    """
    wires = 5 if config.model == "qddm" else 3
    mask = torch.ones(config.model_options.depth, wires, 3, dtype=torch.bool)
    mask[-1, :, 2] = False
    mask[0, -1, 0] = False
    return mask.flatten()


def test_loss_falls_well_below_its_start(tmp_path, small_run):
    config = small_run(
        "eeqdm",
        image_size=8,
        depth=4,
        num_steps=10,
        train_count=80,
        test_count=40,
        batch_size=20,
        epochs=8,
    )
    history = train(config, tmp_path).history
    assert [row["epoch"] for row in history] == list(range(1, 9))
    first, last = history[0], history[-1]
    assert last["train_loss"] < 0.7 * first["train_loss"]
    assert last["test_loss"] < 0.8 * first["test_loss"]
    assert last["baseline_loss"] < 0.8 * first["baseline_loss"]


def test_baselines_stand_beside_the_loss(tmp_path, small_run):
    config = small_run()
    result = train(config, tmp_path)
    promised = {
        "epoch", "step", "train_loss", "test_loss", "identity_loss", "baseline_loss",
        "baseline_train_loss", "seconds", "test_loss_first_step", "identity_loss_first_step",
    }  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == list(result.history)
    assert all(set(row) == promised for row in rows)
    # The identity does not learn and is measured on the same noise in each epoch.
    assert len({row["identity_loss"] for row in rows}) == 1
    assert len({row["baseline_loss"] for row in rows}) == 2
    # ... and it is what a hand computation gives.
    images = torch.from_numpy(load_split(config).test.images)
    seed = torch.Generator().manual_seed(derived_seed(0, "noise", TEST_STREAM, 0))
    path = make_process(config.diffusion).trajectory(images, seed)
    assert math.isclose(
        rows[0]["identity_loss"], float(((path[1:] - path[:-1]) ** 2).mean()), rel_tol=1e-5
    )


def test_baseline_can_be_left_out(tmp_path, small_run):
    result = train(small_run(baseline=False), tmp_path)
    assert not (result.checkpoint / "baseline").exists()
    assert "baseline_loss" not in result.history[0]
    assert "identity_loss" in result.history[0]


def test_the_baseline_does_not_disturb_the_model(tmp_path, small_run, outcome):
    with_it, without = (
        outcome(train(small_run(baseline=flag), tmp_path / str(flag))) for flag in (True, False)
    )
    key = "model.safetensors:layer.weights"
    assert with_it["tensors"][key] == without["tensors"][key]


def test_the_baseline_learns_from_the_same_pairs(tmp_path, small_run, monkeypatch):
    seen = []
    original = ImageProcess.training_pairs

    def record(self, x_0, generator):
        pairs = original(self, x_0, generator)
        seen.append(pairs.noisy)
        return pairs

    monkeypatch.setattr(ImageProcess, "training_pairs", record)
    train(small_run(epochs=1), tmp_path)
    steps = seen[:6]  # three steps of two learners; then the test images
    assert all(torch.equal(a, b) for a, b in zip(steps[::2], steps[1::2], strict=True))
    assert not torch.equal(steps[0], steps[2])


def test_an_epochs_loss_is_the_mean_over_its_images(tmp_path, small_run):
    class Losses(TrainingProgress):
        def __init__(self):
            self.losses = []

        def step(self, epoch, loss):
            self.losses.append(loss)

    report = Losses()
    history = train(small_run(), tmp_path, progress=report).history
    sizes = np.array([10, 10, 4])  # the last batch is smaller
    for row, losses in zip(history, np.split(np.array(report.losses), 2), strict=True):
        assert math.isclose(row["train_loss"], float(sizes @ losses / 24), rel_tol=1e-12)
        assert not math.isclose(row["train_loss"], float(losses.mean()), rel_tol=1e-6)


def test_one_seed_one_run(tmp_path, small_run, outcome):
    one, same, other = (
        outcome(train(small_run(seed=seed), tmp_path / name))
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert one == same
    assert one["tensors"].keys() == other["tensors"].keys()
    assert (
        one["tensors"]["model.safetensors:layer.weights"]
        != other["tensors"]["model.safetensors:layer.weights"]
    )
    assert one["history"] != other["history"]


def test_global_random_state_does_not_matter(tmp_path, small_run, outcome):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 (the legacy state is what is tested)
    one = outcome(train(small_run(), tmp_path / "a"))
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002 (as above)
    assert one == outcome(train(small_run(), tmp_path / "b"))


def test_samples_are_drawn_when_asked(tmp_path, small_run, outcome):
    config = small_run(sample_every=2, guided=True)
    with_samples = outcome(train(config, tmp_path / "a"))
    assert [path.name for path in (tmp_path / "a/samples").iterdir()] == ["epoch-0002.png"]
    assert (tmp_path / "a/samples/epoch-0002.png").read_bytes().startswith(b"\x89PNG")
    without = outcome(train(small_run(guided=True), tmp_path / "b"))
    assert not (tmp_path / "b/samples").exists()
    assert with_samples == without  # drawing moves no other stream


def test_tensorboard_is_written(tmp_path, small_run):
    train(small_run(), tmp_path)
    assert list((tmp_path / "tensorboard").rglob("events.out.tfevents.*"))


def test_the_report_is_told_everything(tmp_path, small_run, stop_after):
    class Record(TrainingProgress):
        def __init__(self):
            self.calls = []

        def start(self, config, model, steps, done):
            self.calls.append(("start", model.name, steps, done))

        def step(self, epoch, loss):
            assert math.isfinite(loss)
            self.calls.append(("step", epoch))

        def epoch(self, row):
            self.calls.append(("epoch", row["epoch"]))

        def stop(self):
            self.calls.append(("stop",))

    config, report = small_run(), Record()
    train(config, tmp_path / "a", progress=report)
    each = [("step", 1)] * 3 + [("epoch", 1)] + [("step", 2)] * 3 + [("epoch", 2)]
    assert report.calls == [("start", "eeqdm", 6, 0), *each, ("stop",)]
    train(config, tmp_path / "b", progress=stop_after(2))
    report = Record()
    train(config, tmp_path / "b", resume="latest", progress=report)
    assert report.calls == [("start", "eeqdm", 6, 2), *each[2:], ("stop",)]


def test_a_diverging_run_says_so(tmp_path, small_run, refused):
    config = small_run("classical_unet", learning_rate=1e30, epochs=3)
    refused(
        InvalidOption,
        r"loss of the model became (inf|nan) at step \d+: training diverged",
        config,
        tmp_path,
    )
