"""The short form of `make storm`, and that it names what waits for ever."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.runtime import storm
from tests.runtime.storm import Storm, Tally, blow


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_storm_breaks_no_promise():
    tally = blow(minutes=0.2, seed=1, rounds=3)
    print(tally)
    assert tally.counts["runs"] >= 1
    assert not tally.wrong


class Sleepers:
    """A forge whose processes say something and sleep."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, call: str, root: Path, run: str, **more: object) -> tuple[int, Path]:
        out = self._folder / f"{len(self._found)}.json"
        out.with_suffix(".err").write_text("waiting for the moon, 900 s at most\n")
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        self._found[process.pid] = process
        return process.pid, out

    def kill(self, pid: int) -> None:
        self._found[pid].send_signal(signal.SIGKILL)

    def wait(self, pid: int) -> int:
        return self._found[pid].wait()


class Calm:
    """Draws by which nothing is killed."""

    def choice(self, values: tuple[float, ...]) -> float:
        return values[0]

    def uniform(self, low: float, high: float) -> float:
        return 0.0

    def random(self) -> float:
        return 1.0


class Deadly(Calm):
    """Draws by which everything is killed at once."""

    def random(self) -> float:
        return 0.0


class Named:
    """As much of a plan as a storm needs to start it."""

    run_id = "some-run"


def test_a_process_that_waits_for_ever_is_ended_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(storm, "MOST_SECONDS", 0.3)
    made = Storm.__new__(Storm)
    made.tally, made.draw, made._forge = Tally(), Calm(), Sleepers(tmp_path)
    made._call = lambda root, run: "submit"
    made._drive(tmp_path, [Named(), Named()])
    assert made.tally.counts["kills"] == 0
    assert made.tally.wrong == 2 * [
        "some-run waited for more than 0.3 s; it said last: waiting for the moon, 900 s at most"
    ]


def test_a_round_that_comes_to_no_end_is_ended_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(storm, "MOST_ROUND_SECONDS", 60.0)
    ticks = iter([0.0, 15.0, 30.0, 61.0, 62.0])
    clock = SimpleNamespace(monotonic=lambda: next(ticks), sleep=lambda _: None)
    monkeypatch.setattr(storm, "time", clock)
    made = Storm.__new__(Storm)
    made.tally, made.draw, made._forge = Tally(), Deadly(), Sleepers(tmp_path)
    made.server = SimpleNamespace(clear_faults=lambda: None)
    made._call = lambda root, run: "submit"
    made._drive(tmp_path, [Named()])
    assert made.tally.counts["kills"] == 2  # a start at 15 s and one at 30 s
    [wrong] = made.tally.wrong
    assert "did not end after 2 starts in 62 s" in wrong
    assert "said last: waiting for the moon" in wrong
