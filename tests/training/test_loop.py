"""Training trains, and everything about a run can be repeated bit for bit."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from itertools import chain

import numpy as np
import pytest
import torch

from qdm_qiskit.diffusion import ImageProcess, make_process
from qdm_qiskit.errors import (
    InvalidCheckpoint,
    InvalidData,
    InvalidOption,
    MissingData,
    OutputNotWritable,
)
from qdm_qiskit.models import load_model
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.training import ProgressReport, find_checkpoint, load_split, train
from qdm_qiskit.training.epoch_end import TEST_STREAM
from qdm_qiskit.training.run_data import EpochBatches, class_indices
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
    class Losses(ProgressReport):
        def __init__(self):
            self.losses = []

        def step(self, epoch, loss):
            self.losses.append(loss)

    report = Losses()
    history = train(small_run(), tmp_path, report=report).history
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


@pytest.mark.parametrize("model", ["eeqdm", "classical_unet"])
@pytest.mark.parametrize("guided", [False, True])
def test_resume_at_an_epoch_is_the_uninterrupted_run(tmp_path, small_run, outcome, model, guided):
    options = {"guided": guided} if model == "eeqdm" else {}
    whole = outcome(train(small_run(model, epochs=4, **options), tmp_path / "whole"))
    train(small_run(model, epochs=2, **options), tmp_path / "parts")
    resumed = train(small_run(model, epochs=4, **options), tmp_path / "parts", resume="latest")
    assert outcome(resumed) == whole
    assert not resumed.interrupted
    assert json.loads((tmp_path / "parts/config.json").read_text())["training"]["epochs"] == 4


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_resume_after_a_stop_is_the_uninterrupted_run(
    tmp_path, small_run, outcome, stop_after, steps, number
):
    """Three batches an epoch: stops in the middle, at the end of an epoch, and at the very end."""
    config = small_run(guided=True, goal="noise", process="gaussian")
    whole = outcome(train(config, tmp_path / "whole"))
    handler = signal.getsignal(number)
    stopped = train(config, tmp_path / "parts", report=stop_after(steps, number))
    assert signal.getsignal(number) == handler
    assert stopped.interrupted == (steps < 6)
    assert stopped.epochs == steps // 3
    assert stopped.checkpoint.name == f"step-{steps:08d}"
    resumed = train(config, tmp_path / "parts", resume="latest")
    assert outcome(resumed) == whole


def test_many_stops_make_the_same_run(tmp_path, small_run, outcome, stop_after):
    config = small_run()
    whole = outcome(train(config, tmp_path / "whole"))
    result = train(config, tmp_path / "parts", report=stop_after(1))
    while result.interrupted:
        result = train(config, tmp_path / "parts", resume="latest", report=stop_after(1))
    assert outcome(result) == whole


def test_a_second_interrupt_does_not_wait(tmp_path, small_run):
    class Twice(ProgressReport):
        stopped = False

        def step(self, epoch: int, loss: float) -> None:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

        def stop(self) -> None:
            self.stopped = True

    report = Twice()
    with pytest.raises(KeyboardInterrupt):
        train(small_run(), tmp_path, report=report)
    assert report.stopped


def test_a_named_checkpoint_can_be_continued(tmp_path, small_run, outcome):
    config = small_run(epochs=3, checkpoint_every=1)
    whole = outcome(train(config, tmp_path))
    again = train(config, tmp_path, resume="step-00000003")
    assert outcome(again) == whole


def test_resuming_a_finished_run_changes_nothing(tmp_path, small_run, outcome):
    config = small_run()
    whole = outcome(train(config, tmp_path))
    assert outcome(train(config, tmp_path, resume="latest")) == whole


@pytest.mark.parametrize(
    ("keep", "every", "left"), [(1, 1, [12]), (2, 1, [9, 12]), (3, 2, [6, 12]), (9, 3, [9, 12])]
)
def test_old_checkpoints_go(tmp_path, small_run, keep, every, left):
    train(
        small_run(epochs=4, keep_checkpoints=keep, checkpoint_every=every, baseline=False), tmp_path
    )
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == [f"step-{step:08d}" for step in left]


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
    class Record(ProgressReport):
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
    train(config, tmp_path / "a", report=report)
    each = [("step", 1)] * 3 + [("epoch", 1)] + [("step", 2)] * 3 + [("epoch", 2)]
    assert report.calls == [("start", "eeqdm", 6, 0), *each, ("stop",)]
    train(config, tmp_path / "b", report=stop_after(2))
    report = Record()
    train(config, tmp_path / "b", resume="latest", report=report)
    assert report.calls == [("start", "eeqdm", 6, 2), *each[2:], ("stop",)]


def test_epochs_visit_each_image_once_in_an_order_of_their_own():
    batches = EpochBatches(23, 10, seed=1)
    orders = []
    for epoch in range(3):
        batches.epoch = epoch
        parts = list(batches)
        assert len(batches) == 3
        assert [len(part) for part in parts] == [10, 10, 3]
        orders.append(list(chain(*parts)))
        assert sorted(orders[-1]) == list(range(23))
    assert orders[0] != orders[1] != orders[2]
    batches.epoch, batches.first = 0, 1
    assert list(chain(*batches)) == orders[0][10:]


def test_labels_become_positions():
    assert class_indices(np.array([7, 3, 7, 9]), np.array([3, 7, 9])).tolist() == [1, 0, 1, 2]


def refused(error, message, *arguments, **options):
    with pytest.raises(error, match=message) as caught:
        train(*arguments, **options)
    assert "\n" not in str(caught.value)


def test_an_existing_run_is_not_overwritten(tmp_path, small_run, tree):
    train(small_run(epochs=1), tmp_path)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in tree(tmp_path)}
    refused(
        InvalidOption,
        "holds a run already; continue it with --resume latest",
        small_run(),
        tmp_path,
    )
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in tree(tmp_path)} == before


def test_a_run_is_continued_with_its_own_options_only(tmp_path, small_run):
    train(small_run(epochs=1), tmp_path)
    for changes in ({"seed": 5}, {"learning_rate": 0.2}, {"num_steps": 5}, {"train_count": 20}):
        changed = small_run(epochs=2, **changes)
        refused(
            InvalidOption, "only epochs may change on resume", changed, tmp_path, resume="latest"
        )
    refused(InvalidOption, "only epochs may change", small_run("qddm"), tmp_path, resume="latest")


def test_a_run_cannot_be_shortened(tmp_path, small_run):
    train(small_run(epochs=2), tmp_path)
    refused(
        InvalidCheckpoint,
        "beyond the run's 1 epochs",
        small_run(epochs=1),
        tmp_path,
        resume="latest",
    )


def test_a_checkpoint_is_not_a_run(tmp_path, small_run, outcome):
    result = train(small_run(), tmp_path)
    whole = outcome(result)
    refused(
        InvalidOption,
        "is a checkpoint, whose files would be overwritten",
        small_run(epochs=3),
        result.checkpoint,
        resume="latest",
    )
    assert outcome(result) == whole
    assert load_model(result.checkpoint).name == "eeqdm"


def test_nothing_to_resume(tmp_path, small_run, tree):
    refused(MissingData, "There is no checkpoint in", small_run(), tmp_path, resume="latest")
    refused(InvalidCheckpoint, "got '../x'", small_run(), tmp_path, resume="../x")
    assert tree(tmp_path) == []


def test_a_run_below_a_file_is_refused_and_nothing_is_written(tmp_path, small_run, tree):
    (tmp_path / "file").write_text("in the way")
    for where in ("file", "file/run"):
        refused(OutputNotWritable, "Cannot write into", small_run(), tmp_path / where)
    assert tree(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["tensorboard", "samples", "checkpoints", "metrics.jsonl"])
def test_something_in_the_way_is_one_clean_error(tmp_path, small_run, name):
    tmp_path.joinpath(name).mkdir() if name == "metrics.jsonl" else tmp_path.joinpath(
        name
    ).write_text("x")
    refused(OutputNotWritable, "Cannot write", small_run(sample_every=1), tmp_path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"train_count": 10**6}, InvalidOption, "asks for more than"),
        ({"classes": (0, 77)}, InvalidOption, "got 77"),
        (
            {"guided": True, "num_classes": 1},
            InvalidOption,
            "num_classes is 1, but the data have 2 classes",
        ),
    ],
)
def test_data_that_do_not_fit_are_refused_and_nothing_is_written(
    tmp_path, small_run, tree, options, error, message
):
    refused(error, message, small_run(**options), tmp_path / "run")
    assert tree(tmp_path) == []


def black_and_nan(folder):
    images = np.random.default_rng(0).random((20, 8, 8)).astype(np.float32)
    black, nan = images.copy(), images.copy()
    black[3], nan[4, 2, 2] = 0, np.nan
    np.savez(folder / "black.npz", images=black)
    np.savez(folder / "nan.npz", images=nan)


@pytest.mark.parametrize("name", ["black", "nan"])
def test_images_that_are_no_images_are_refused_and_nothing_is_written(
    tmp_path, small_run, tree, name
):
    black_and_nan(tmp_path)
    config = small_run(
        dataset=f"npz:{tmp_path / name}.npz", classes=(), train_count=None, test_count=None
    )
    refused(InvalidData, "image", config, tmp_path / "run")
    assert tree(tmp_path) == ["black.npz", "nan.npz"]


def test_a_diverging_run_says_so(tmp_path, small_run):
    config = small_run("classical_unet", learning_rate=1e30, epochs=3)
    refused(
        InvalidOption,
        r"loss of the model became (inf|nan) at step \d+: training diverged",
        config,
        tmp_path,
    )


FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from qdm_qiskit.errors import OutputNotWritable
from qdm_qiskit.training import resolve_run, train
run, limit = Path(sys.argv[1]), int(sys.argv[2])
options = dict(image_size=4, depth=40, num_steps=2, classes=(0, 1), train_count=10, test_count=5,
               epochs=2, sample_every=1, checkpoint_every=1)
try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    train(resolve_run("eeqdm", options), run)
except OutputNotWritable as error:
    sys.exit(f"one line: {error}")
"""


@pytest.mark.parametrize("limit", [4096, 6000])
def test_a_full_disk_is_one_clean_error(tmp_path, limit):
    """A file-size limit fails writes as a full disk does: first the weights, then the optimizer."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL_DISK, str(tmp_path / "run"), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    assert done.stderr.startswith("one line: Cannot write"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    # Nothing is left in the way of another try, no half checkpoint either.
    assert not (tmp_path / "run").exists()
    with pytest.raises(MissingData):
        find_checkpoint(tmp_path / "run")
