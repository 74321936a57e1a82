"""Callbacks: what they measure, keep and end, also after a stop."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidArgument, InvalidData, InvalidOption, UnknownName
from qdm_qiskit.evaluation import MeasureSamples
from qdm_qiskit.evaluation.of_arrays import measure_images
from qdm_qiskit.sampling import QDMPipeline, load_run
from qdm_qiskit.training import (
    BestCheckpoint,
    Callback,
    EarlyStopping,
    find_checkpoint,
    load_training_state,
    load_weights,
    train,
)
from qdm_qiskit.training.progress import StepDone


class Scripted(Callback):
    """Measures what a list says."""

    measures = ("score",)

    def __init__(self, values, draws=0):
        self.values, self.draws, self.seen = values, draws, []

    def measure(self, after):
        if self.draws:
            self.seen.append((after.number, after.samples(self.draws)))
        value = self.values[after.number - 1]
        return {} if value is None else {"score": value}


SCORES = (0.5, 0.2, 0.4, 0.3, 0.35, 0.1)


def ends_of(values, **options):
    """Epochs after which a stopping callback ends a run of these values."""
    stopping = EarlyStopping("score", **options)
    rows = [{} if each is None else {"score": each} for each in values]
    ended = [n for n in range(1, len(rows) + 1) if stopping.ends(rows[:n])]
    return ended[0] if ended else None


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (SCORES, {"patience": 3}, 5),
        (SCORES, {"patience": 4}, None),
        (SCORES, {"patience": 1}, 3),
        (SCORES, {"patience": 1, "better": "higher"}, 2),
        ((0.5, 0.45, 0.41, 0.3), {"patience": 2, "min_delta": 0.1}, 3),
        ((0.5, None, None, 0.6, None, 0.7), {"patience": 2}, 6),
        ((None, None), {"patience": 1}, None),
    ],
)
def test_early_stopping_counts_epochs_without_a_better_value(values, options, expected):
    assert ends_of(values, **options) == expected


def test_a_run_ends_early_and_keeps_its_best_epoch(tmp_path, small_run):
    callbacks = [Scripted(SCORES), BestCheckpoint("score"), EarlyStopping("score", patience=3)]
    config = small_run(epochs=6, keep_checkpoints=1, checkpoint_every=1)
    result = train(config, tmp_path / "run", callbacks=callbacks)
    assert (result.epochs, result.interrupted) == (5, False)
    assert result.ended == "score has not fallen below 0.2 for 3 epochs."
    assert [row["score"] for row in result.history] == list(SCORES[:5])
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["score"] for line in lines] == list(SCORES[:5])
    assert result.best == tmp_path / "run/checkpoints/best" == find_checkpoint(result.run, "best")
    assert load_training_state(result.best).epoch == 2
    two = train(small_run(epochs=2), tmp_path / "two")
    states = [load_weights(each).state_dict() for each in (result.best, two.checkpoint)]
    assert states[0].keys() == states[1].keys()
    assert all((states[0][name] == states[1][name]).all() for name in states[0])
    best, same = (QDMPipeline(load_run(each)) for each in (result.best, two.run))
    assert (best(num_images=2).images == same(num_images=2).images).all()


def test_a_run_that_was_stopped_ends_where_the_whole_one_ends(tmp_path, small_run, outcome):
    def given():
        return [Scripted(SCORES), BestCheckpoint("score"), EarlyStopping("score", patience=3)]

    config = small_run(epochs=6)
    whole = train(config, tmp_path / "whole", callbacks=given())
    first = train(small_run(epochs=3), tmp_path / "parts", callbacks=given())
    assert not first.ended
    resumed = train(config, tmp_path / "parts", resume="latest", callbacks=given())
    assert outcome(resumed) == outcome(whole)
    assert resumed.ended == whole.ended
    assert load_training_state(resumed.best).epoch == 2
    again = train(config, tmp_path / "parts", resume="latest", callbacks=given())
    assert (again.epochs, again.ended) == (5, whole.ended)


def test_weights_are_those_of_a_run_without_callbacks(tmp_path, small_run, outcome):
    bare = train(small_run(), tmp_path / "bare")
    watched = train(small_run(), tmp_path / "watched", callbacks=[Scripted(SCORES, draws=3)])
    for row in watched.history:
        del row["score"]
    one, other = (load_weights(each.checkpoint).state_dict() for each in (bare, watched))
    assert all((one[name] == other[name]).all() for name in one)


def test_an_earlier_best_that_was_not_kept_is_said(tmp_path, small_run):
    train(small_run(epochs=1), tmp_path / "run")
    told = []
    done = train(
        small_run(epochs=2),
        tmp_path / "run",
        resume="latest",
        progress=told.append,
        callbacks=[BestCheckpoint()],
    )
    assert any("No 'best' of epochs 1 to 1 was kept" in each for each in told)
    assert load_training_state(done.best).epoch == 2


def test_the_best_checkpoint_can_be_continued_and_planned(tmp_path, small_run, outcome):
    done = train(small_run(epochs=2), tmp_path / "run", callbacks=[BestCheckpoint("seconds")])
    found = train(small_run(epochs=3), tmp_path / "run", resume="best")
    assert found.epochs == 3
    assert done.best is not None


def test_samples_are_measured_as_anybody_would(tmp_path, small_run):
    measure = MeasureSamples(["psnr"], count=6, every=2)
    watched = Scripted(SCORES, draws=6)
    config = small_run(epochs=2)
    result = train(config, tmp_path / "run", callbacks=[watched, measure, BestCheckpoint("psnr")])
    assert "psnr" not in result.history[0]
    (_, _), (_, images) = watched.seen
    test = QDMPipeline(load_run(result.run)).run
    from qdm_qiskit.training import load_split

    reference = load_split(test.config).test.images
    alone = measure_images(images, reference, ["psnr"], resamples=20).metrics["psnr"].estimate
    assert result.history[1]["psnr"] == pytest.approx(alone)
    assert result.best is not None
    assert images.shape == (6, 1, 4, 4)


def test_callbacks_hear_what_progress_hears(tmp_path, small_run):
    class Steps(Callback):
        heard = 0

        def step(self, epoch, loss):
            self.heard += 1

    steps, told = Steps(), []
    train(small_run(), tmp_path / "run", progress=told.append, callbacks=[steps])
    assert steps.heard == sum(isinstance(each, StepDone) for each in told) > 0


class Bad(Callback):
    def __init__(self, values):
        self.values = values

    def measure(self, after):
        return self.values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"a": np.nan}, "finite numbers, got a = nan"),
        ({"a": "x"}, "`a` is a number"),
        ({"test_loss": 1.0}, "which the row has already"),
    ],
)
def test_what_a_callback_measures_is_checked(tmp_path, small_run, values, words):
    with pytest.raises(InvalidData, match=words):
        train(small_run(), tmp_path / "run", callbacks=[Bad(values)])


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: [EarlyStopping("tset_loss")], UnknownName, "Did you mean 'test_loss'"),
        (lambda: [EarlyStopping], InvalidArgument, "the class EarlyStopping itself"),
        (lambda: EarlyStopping(), InvalidArgument, "in a list"),
        (lambda: [print], InvalidArgument, "`callbacks` is a sequence of Callback"),
        (lambda: [EarlyStopping(patience=0)], InvalidOption, "patience must be at least 1"),
        (lambda: [EarlyStopping(better="less")], InvalidOption, "better is 'lower' or 'higher'"),
        (lambda: [BestCheckpoint(name="../x")], InvalidOption, "called 'best' or like 'best-kid'"),
        (lambda: [BestCheckpoint(), BestCheckpoint("seconds")], InvalidOption, "best-other"),
        (lambda: [MeasureSamples(["psnr"], count=1)], InvalidOption, "at least 2 samples"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(tmp_path, small_run, make, kind, words):
    with pytest.raises(kind, match=words):
        train(small_run(), tmp_path / "run", callbacks=make())
    assert not (tmp_path / "run").exists()


def test_a_metric_that_this_run_lacks_is_told_after_its_first_epoch(tmp_path, small_run):
    with pytest.raises(UnknownName, match="metric of this run called 'average_loss'"):
        train(small_run(), tmp_path / "run", callbacks=[EarlyStopping("average_loss")])
