"""A run that was stopped anywhere and continued is the undisturbed one."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from qdm_qiskit.training import TrainingProgress, train


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


STOPS = [(signal.SIGINT, steps) for steps in (1, 2, 3, 4, 6)] + [
    (number, steps) for number in (signal.SIGTERM, signal.SIGHUP) for steps in (1, 4, 6)
]


@pytest.fixture
def hangups() -> Iterator[None]:
    """Hangups that end this process, also where it was started to ignore them."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups")
@pytest.mark.parametrize(("number", "steps"), STOPS)
def test_resume_after_a_stop_is_the_uninterrupted_run(
    tmp_path, small_run, outcome, stop_after, steps, number
):
    """Three batches an epoch: stops in the middle, at the end of an epoch, and at the very end."""
    config = small_run(guided=True, goal="noise", process="gaussian")
    whole = outcome(train(config, tmp_path / "whole"))
    handler = signal.getsignal(number)
    stopped = train(config, tmp_path / "parts", progress=stop_after(steps, number))
    assert signal.getsignal(number) == handler
    assert stopped.interrupted == (steps < 6)
    assert stopped.epochs == steps // 3
    assert stopped.checkpoint.name == f"step-{steps:08d}"
    resumed = train(config, tmp_path / "parts", resume="latest")
    assert outcome(resumed) == whole


def test_a_hangup_that_is_ignored_stays_ignored(tmp_path, small_run, stop_after):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        result = train(small_run(), tmp_path / "run", progress=stop_after(1, signal.SIGHUP))
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not result.interrupted


def test_many_stops_make_the_same_run(tmp_path, small_run, outcome, stop_after):
    config = small_run()
    whole = outcome(train(config, tmp_path / "whole"))
    result = train(config, tmp_path / "parts", progress=stop_after(1))
    while result.interrupted:
        result = train(config, tmp_path / "parts", resume="latest", progress=stop_after(1))
    assert outcome(result) == whole


def test_a_second_interrupt_does_not_wait(tmp_path, small_run):
    class Twice(TrainingProgress):
        stopped = False

        def step(self, epoch: int, loss: float) -> None:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

        def stop(self) -> None:
            self.stopped = True

    report = Twice()
    with pytest.raises(KeyboardInterrupt):
        train(small_run(), tmp_path, progress=report)
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
