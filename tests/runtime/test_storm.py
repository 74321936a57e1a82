"""The short form of `make storm`, that it names what waits for ever, and its figures."""

# ruff: noqa: F811 (a fixture of another file is an argument here)

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.runtime import storm
from tests.runtime.storm import Fate, Process, Storm, blow
from tests.runtime.storm_record import (
    FILE,
    PAGE,
    Tally,
    page_with,
    read_tallies,
    record,
    total_of,
)
from tests.runtime.test_kills import forge  # noqa: F401 (a fixture)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_storm_breaks_no_promise(tmp_path):
    out = tmp_path / "storm.json"
    blow(minutes=0.2, seed=1, rounds=1, out=out)
    tally = blow(minutes=0.4, seed=1, rounds=2, out=out)
    print("\n".join(tally.lines()))
    assert tally.counts["rounds"] >= 2
    assert tally.counts["kills"] >= 2
    kept = read_tallies(out)["1"]
    assert (kept.counts, kept.kills, kept.points) == (tally.counts, tally.kills, tally.points)
    assert dict(kept.seconds) == pytest.approx(dict(tally.seconds), abs=1e-3)
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


class Named:
    """As much of a plan as a storm needs to start it."""

    run_id = "some-run"


def blown(folder: Path, fate: Fate) -> Storm:
    """A storm of sleepers, all of one fate."""
    made = Storm.__new__(Storm)
    made.tally, made._forge, made._about = Tally(), Sleepers(folder), {}
    made.server = SimpleNamespace(clear_faults=lambda: None)
    made._call = lambda root, run: "submit"
    made._fate = lambda calm: fate
    return made


def test_a_process_that_waits_for_ever_is_ended_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(storm, "MOST_SECONDS", 0.3)
    made = blown(tmp_path, Fate())
    made._drive(tmp_path, [Named(), Named()])
    assert made.tally.counts["kills"] == 0
    assert made.tally.wrong == 2 * [
        "some-run waited for more than 0.3 s; it said last: waiting for the moon, 900 s at most"
    ]


def test_a_round_that_comes_to_no_end_is_ended_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(storm, "MOST_ROUND_SECONDS", 60.0)
    ticks = itertools.count(0.0, 7.0)  # three looks a start: its begin, its kill, its end
    clock = SimpleNamespace(monotonic=lambda: next(ticks), sleep=lambda _: None)
    monkeypatch.setattr(storm, "time", clock)
    made = blown(tmp_path, Fate(after=0.0))
    made._drive(tmp_path, [Named()])
    assert made.tally.counts["kills"] == 3
    assert made.tally.kills["moment"] == {"random": 3}
    [wrong] = made.tally.wrong
    assert "did not end after 3 starts in 77 s" in wrong
    assert "said last: waiting for the moon" in wrong


def test_a_traceback_beside_a_good_answer_is_a_fault(tmp_path):
    made = blown(tmp_path, Fate())
    out = tmp_path / "1.json"
    out.write_text('{"state": {"state": "done"}}')
    out.with_suffix(".err").write_text("Exception in thread Thread-1:\nTraceback ...\n")
    made._lives = {False: 1.0}
    assert made._ended(Process("some-run", Fate(), 1, out), 0)
    [wrong] = made.tally.wrong
    assert "some-run printed a traceback" in wrong


def test_fates_are_those_of_the_seed_and_the_round(tmp_path):
    made = Storm.__new__(Storm)
    made._lives = {False: 1.0, True: 1.0}
    drawn = []
    for seed in (1, 1, 2):
        made.draw = random.Random(f"{seed}/0")
        drawn.append([made._fate(calm=False) for _ in range(400)])
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    kinds = {
        "forked": [each for each in drawn[0] if not each.anew],
        "anew": [each for each in drawn[0] if each.anew],
        "random": [each for each in drawn[0] if each.after is not None],
        "spared": [each for each in drawn[0] if each.after is None and each.point is None],
        **{
            side: [each for each in drawn[0] if each.point and each.point[1] == side]
            for side in storm.SIDES
        },
    }
    assert all(kinds.values()), kinds
    assert made._fate(calm=True) == Fate()


@pytest.mark.slow
def test_a_process_started_anew_dies_at_a_point_of_the_record_and_says_so(
    server, planned, root, forge
):
    plan = planned()
    pid, out = forge.start("submit", root, plan.run_id, anew=True, kill=[2, "after"])
    assert forge.wait(pid) == -signal.SIGKILL, out.with_suffix(".err").read_text()
    assert storm._point(out).startswith("after: ")


# -- figures ------------------------------------------------------------------------------------


def small() -> Tally:
    found = Tally()
    found.counts.update(rounds=1, runs=2, done=2)
    found.killed(work="one circuit", mode="job")
    found.points["after: settled"] += 1
    found.seconds.update({"charged": 2.5, "planned": 3.0})
    return found


def test_figures_are_added_by_seed_and_go_into_the_page(tmp_path):
    path = tmp_path / "storm.json"
    for seed in (18, 18, 19):
        record(path, seed, small())
    tallies = read_tallies(path)
    assert tallies["18"].counts["kills"] == 2
    assert total_of(tallies).kills["work"] == {"one circuit": 3}
    text = page_with("before\n<!-- storm: begin -->\nold\n<!-- storm: end -->\nafter\n", tallies)
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "3 kills" in text
    assert "7.5 s charged, 9.0 s planned" in text
    assert page_with(text, tallies) == text


def test_the_page_has_the_figures_of_the_file():
    text = PAGE.read_text()
    assert page_with(text, read_tallies(FILE)) == text, "run `python -m tests.runtime.storm_record`"
