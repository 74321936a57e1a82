"""A run killed with SIGKILL at any moment and resumed: same images, every circuit paid once.

The default tests kill at the moments that matter most; the slow ones at every transaction of the
ledger, before, within and after it, and at random moments.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.run_files import read_counts
from qdm_qiskit.hardware.plan.plan_file import read_plan
from tests.helpers import ROOT
from tests.runtime.conftest import clean, make_root, make_settings
from tests.runtime.server import LocalServer

STEPS = 2
SIDES = ("before", "within", "after")
HOUR, DAY = 3600.0, 86_400.0
JUMPS = (HOUR, -HOUR, DAY, -DAY)
LONGEST_SILENCE = 10.0
"""Seconds that a process may wait without saying what for."""


class Forge:
    """The process of forge.py."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        environment = {
            **os.environ,
            **variables,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "RAYON_NUM_THREADS": "1",
            "QISKIT_PARALLEL": "FALSE",
        }
        self._folder, self._environment = folder, environment
        self._numbers = count()
        self._anew: dict[int, subprocess.Popen[bytes]] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.runtime.forge"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def _read(self) -> dict:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the forge died"
        return json.loads(line)

    def _ask(self, **command: object) -> dict:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._read()

    def start(
        self, call: str, root: Path, run: str, anew: bool = False, **more: object
    ) -> tuple[int, Path]:
        """Fork a child, or start a process `anew` that imports all; its pid, and its answer's file."""
        out = self._folder / f"{next(self._numbers)}.json"
        command = {"call": call, "root": str(root), "run": run, "out": str(out), **more}
        if anew:
            arguments = [sys.executable, "-m", "tests.runtime.forge", json.dumps(command)]
            process = subprocess.Popen(arguments, cwd=ROOT, env=self._environment)
            self._anew[process.pid] = process
            return process.pid, out
        return self._ask(do="fork", **command)["pid"], out

    def load(self, *modules: str) -> None:
        """Import these once, for all children to come."""
        self._ask(do="import", modules=modules)

    def kill(self, pid: int) -> None:
        """Kill a child; a zombie if it has ended already."""
        os.kill(pid, signal.SIGKILL)

    def wait(self, pid: int) -> int:
        """Exit code of a child; -9 if it was killed."""
        if pid in self._anew:
            return self._anew.pop(pid).wait()
        return self._ask(do="wait", pid=pid)["status"]

    def finish(self, call: str, root: Path, run: str, **more: object) -> dict:
        """Run a child to its end; its answer."""
        pid, out = self.start(call, root, run, **more)
        status = self.wait(pid)
        assert status == 0, out.with_suffix(".err").read_text()[-3000:]
        return json.loads(out.read_text())

    def close(self) -> None:
        for each in self._anew.values():
            each.kill()
            each.wait()
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="session")
def forge(running_server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    made = Forge(tmp_path_factory.mktemp("forge"), running_server.env)
    yield made
    made.close()


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody killed, and what it takes to do it again."""

    run: str
    folder: Path
    """The plan before it was submitted."""
    images: dict[str, np.ndarray]
    """Arrays of what it ends with: images, or the outputs of a QNN."""
    counts: dict[str, np.ndarray]
    payloads: list[str]
    charged: float
    jobs: int
    writes: list[list[str]]
    """Kinds of the events of each of its transactions."""
    files: list[str]
    """Files in the order in which they got their names."""
    seconds: float


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def results(folder: Path) -> dict[str, np.ndarray]:
    """Images of a model's run, outputs of a QNN's, or weights of one that trained."""
    for weights in (folder / "trained").rglob("model.safetensors"):
        return load_file(weights)
    images = folder / "images.npz"
    return arrays(images if images.exists() else folder / "outputs.npz")


def all_counts(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(folder.glob("steps/step-*.npz")):
        stored = read_counts(path)
        assert stored is not None
        arrays = stored.counts or stored.estimates
        found[path.stem] = np.concatenate([each.ravel() for each in arrays])
    return found


def left_alone(
    server: LocalServer, forge: Forge, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    """Send a planned run on a server of its own, and let nobody kill it."""
    root = make_root(tmp_path_factory.mktemp("undisturbed") / "root")
    plan = read_plan(shutil.copytree(template, root / template.name))
    began = time.monotonic()
    answer = forge.finish("submit", root, plan.run_id)
    seconds = time.monotonic() - began
    assert answer["state"]["state"] == "done"
    ledger = server.ledger()
    check_account(server, root, plan.num_jobs)
    return Undisturbed(
        run=plan.run_id,
        folder=template,
        images=results(plan.folder),
        counts=all_counts(plan.folder),
        payloads=sorted(ledger["by_payload"]),
        charged=ledger["charged_seconds"],
        jobs=plan.num_jobs,
        writes=answer["writes"],
        files=answer["files"],
        seconds=seconds,
    )


@pytest.fixture(scope="session")
def undisturbed(
    running_server: LocalServer,
    plans: Callable[..., Path],
    forge: Forge,
    tmp_path_factory: pytest.TempPathFactory,
) -> Undisturbed:
    server = running_server
    clean(server)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        template = plans(STEPS, {"mitigation": "m3"})
    found = left_alone(server, forge, template, tmp_path_factory)
    assert len(found.counts) == STEPS
    return found


def check_account(server: LocalServer, root: Path, jobs: int) -> None:
    """Every job and every circuit sent and paid once; the budget says what the server charged."""
    found = server.ledger()
    assert [each["status"] for each in found["jobs"]] == ["Completed"] * jobs
    for kind in ("by_tag", "by_payload"):
        assert len(found[kind]) == jobs
        assert {(each["submitted"], each["paid"]) for each in found[kind].values()} == {(1, 1)}
    ledger = Ledger.open(root)
    budget = ledger.budget("qpu")
    assert budget.spent_seconds == pytest.approx(found["charged_seconds"], abs=1e-6)
    assert budget.reserved_seconds == 0
    open_sessions = {each["id"] for each in found["sessions"] if each["accepting_jobs"]}
    # One whose id the killed process never learnt cannot be closed by anyone; it is told.
    assert len(open_sessions) <= len(ledger.sessions("lost"))
    ledger.close()


def check_same(server: LocalServer, root: Path, expected: Undisturbed) -> None:
    folder = root / expected.run
    check_account(server, root, expected.jobs)
    assert sorted(server.ledger()["by_payload"]) == expected.payloads
    assert server.ledger()["charged_seconds"] == pytest.approx(expected.charged, abs=1e-6)
    for got, want in (
        (all_counts(folder), expected.counts),
        (results(folder), expected.images),
    ):
        assert got.keys() == want.keys()
        for name, array in want.items():
            np.testing.assert_array_equal(got[name], array, err_msg=name)


def fresh(server: LocalServer, parent: Path, expected: Undisturbed, name: str) -> Path:
    """Another root with the same plan, and a server that has seen none of it."""
    root = make_root(parent / name)
    shutil.copytree(expected.folder, root / expected.run)
    server.reset()
    return root


def killed_at(forge: Forge, root: Path, expected: Undisturbed, number: int, side: str) -> None:
    pid, out = forge.start("submit", root, expected.run, kill=[number, side])
    status = forge.wait(pid)
    assert status == -signal.SIGKILL, (number, side, out.with_suffix(".err").read_text()[-2000:])


def next_call(root: Path, expected: Undisturbed) -> str:
    """What a user does after a crash: resume; submit if the run was not begun yet."""
    ledger = Ledger.open(root)
    known = {state.run_id: state.state for state in ledger.runs()}
    ledger.close()
    return "submit" if known.get(expected.run, "planned") == "planned" else "resume"


def go_on(forge: Forge, root: Path, expected: Undisturbed) -> None:
    answer = forge.finish(next_call(root, expected), root, expected.run)
    assert answer["state"]["state"] == "done"


def moments(expected: Undisturbed, kind: str) -> list[int]:
    """Numbers of the transactions with an event of this kind, from 1."""
    found = [i for i, kinds in enumerate(expected.writes, start=1) if kind in kinds]
    assert found, f"no transaction has an event {kind!r}: {expected.writes}"
    return found


@pytest.mark.parametrize(
    ("kind", "which", "side"),
    [
        pytest.param("intended", 0, "after", marks=pytest.mark.slow),
        ("sending", 0, "before"),
        pytest.param("submitted", 0, "before", marks=pytest.mark.slow),
        ("submitted", 1, "before"),
        pytest.param("collected", 1, "before", marks=pytest.mark.slow),
        pytest.param("settled", 1, "before", marks=pytest.mark.slow),
    ],
    ids=[
        "intended and not sent",
        "about to be sent",
        "calibration answered and not written down",
        "step answered and not written down",
        "counts saved and not written down",
        "collected and not settled",
    ],
)
def test_killed_at_the_moments_that_matter(server, forge, undisturbed, tmp_path, kind, which, side):
    root = fresh(server, tmp_path, undisturbed, "again")
    killed_at(forge, root, undisturbed, moments(undisturbed, kind)[which], side)
    go_on(forge, root, undisturbed)
    check_same(server, root, undisturbed)


@pytest.mark.slow
def test_killed_while_the_client_asks_its_questions_nothing_is_waited_for(
    server, forge, undisturbed, tmp_path
):
    root = fresh(server, tmp_path, undisturbed, "questions")
    make_settings(root, grace_seconds=60.0)
    server.fault(method="GET", path="/instances/usage", skip=1, delay=30.0)  # the first is ours
    pid, _ = forge.start("submit", root, undisturbed.run)
    end = time.monotonic() + 30.0
    while not server.faults()["used"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    forge.kill(pid)
    assert forge.wait(pid) == -signal.SIGKILL
    ledger = Ledger.open(root)
    kinds = [row["kind"] for row in ledger.events(undisturbed.run)]
    ledger.close()
    assert "intended" in kinds
    assert "sending" not in kinds
    began = time.monotonic()
    go_on(forge, root, undisturbed)
    assert time.monotonic() - began < 30.0
    check_same(server, root, undisturbed)


@pytest.mark.slow
def test_killed_when_it_is_written_down_the_grace_is_waited_for(
    server, forge, undisturbed, tmp_path
):
    """Nobody can know whether the POST went out, so the tag is looked for as long as agreed."""
    root = fresh(server, tmp_path, undisturbed, "sending")
    make_settings(root, grace_seconds=3.0)
    killed_at(forge, root, undisturbed, moments(undisturbed, "sending")[0], "after")
    ledger = Ledger.open(root)
    [intention] = ledger.intentions(undisturbed.run)
    sent = ledger.last_sending(intention)
    ledger.close()
    assert sent is not None
    go_on(forge, root, undisturbed)
    ledger = Ledger.open(root)
    again = [
        float(str(row["at"])) for row in ledger.events(undisturbed.run) if row["kind"] == "sending"
    ]
    ledger.close()
    assert again[1] - sent >= 3.0
    check_same(server, root, undisturbed)


# -- a wall clock that is wrong: all of it, IBM's client included; the server's is right ----------


@pytest.mark.parametrize(
    "ahead", [HOUR, *(pytest.param(each, marks=pytest.mark.slow) for each in JUMPS[1:])]
)
def test_a_job_accepted_late_is_found_by_a_process_whose_clock_is_wrong(
    server, forge, undisturbed, tmp_path, ahead
):
    """Accepted a second after the first look. 0.1 took the hour for the grace time, and paid twice."""
    root = fresh(server, tmp_path, undisturbed, "late")
    make_settings(root, grace_seconds=60.0)
    server.fault(method="POST", path="^/jobs$", after="GET /jobs.*tags=", delay=1.0)
    pid, _ = forge.start("submit", root, undisturbed.run)
    end = time.monotonic() + 30.0
    while not server.faults()["used"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    forge.kill(pid)
    assert forge.wait(pid) == -signal.SIGKILL
    answer = forge.finish("resume", root, undisturbed.run, ahead=ahead)
    assert answer["state"]["state"] == "done"
    assert [each for each in answer["said"] if "the clock of this machine is" in each]
    check_same(server, root, undisturbed)


def test_a_clock_that_was_a_day_ahead_while_sending_is_not_waited_for(
    server, forge, undisturbed, tmp_path
):
    """0.1 waited for that day, and said nothing."""
    root = fresh(server, tmp_path, undisturbed, "ahead")
    make_settings(root, grace_seconds=2.0)
    number = moments(undisturbed, "sending")[0]
    pid, _ = forge.start("submit", root, undisturbed.run, kill=[number, "after"], ahead=DAY)
    assert forge.wait(pid) == -signal.SIGKILL
    answer = forge.finish("resume", root, undisturbed.run)
    assert answer["state"]["state"] == "done"
    assert answer["slept"] < LONGEST_SILENCE
    check_same(server, root, undisturbed)


@pytest.mark.parametrize(
    ("kind", "which"),
    [("calibrated", 0), pytest.param("submitted", 1, marks=pytest.mark.slow)],
    ids=["no step is sent", "a step is sent"],
)
def test_a_clock_a_day_ahead_makes_no_calibration_too_old(
    server, forge, undisturbed, tmp_path, kind, which
):
    """The clock decided until the service was asked something, and another calibration was paid."""
    root = fresh(server, tmp_path, undisturbed, "old")
    killed_at(forge, root, undisturbed, moments(undisturbed, kind)[which], "after")
    answer = forge.finish("resume", root, undisturbed.run, ahead=DAY)
    assert answer["state"]["state"] == "done"
    check_same(server, root, undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_clock_that_jumps_at_recorded_points(server, forge, undisturbed, tmp_path):
    """Jumps take turns; half of the processes are killed there, and the next has a right clock."""
    numbers = list(range(1, len(undisturbed.writes) + 1))
    random.Random(5).shuffle(numbers)
    for turn, number in enumerate(numbers[:4]):
        root = fresh(server, tmp_path, undisturbed, f"point-{number}")
        jump = [number, JUMPS[turn % len(JUMPS)]]
        if turn % 2:
            answer = forge.finish("submit", root, undisturbed.run, jump=jump)
        else:
            kill = [min(number + 1, len(undisturbed.writes)), "after"]
            pid, _ = forge.start("submit", root, undisturbed.run, jump=jump, kill=kill)
            assert forge.wait(pid) == -signal.SIGKILL
            call = next_call(root, undisturbed)
            answer = forge.finish(call, root, undisturbed.run)
        assert answer["state"]["state"] == "done"
        assert answer["slept"] < LONGEST_SILENCE
        check_same(server, root, undisturbed)
        shutil.rmtree(root)


# -- kills at every point and at random ----------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_killed_at_every_transaction_and_every_file(server, forge, undisturbed, tmp_path):
    transactions = range(1, len(undisturbed.writes) + 1)
    points = [(number, side) for number in transactions for side in SIDES]
    points += [(number, "unnamed") for number in range(1, len(undisturbed.files) + 1)]
    wrong = []
    for number, side in points:
        root = fresh(server, tmp_path, undisturbed, f"{number}-{side}")
        killed_at(forge, root, undisturbed, number, side)
        try:
            go_on(forge, root, undisturbed)
            check_same(server, root, undisturbed)
        except AssertionError as error:
            names = undisturbed.files if side == "unnamed" else undisturbed.writes
            wrong.append(f"{number} {side} {names[number - 1]}: {error}")
        else:
            shutil.rmtree(root)
    print(f"{len(points)} kills, {len(wrong)} wrong")
    assert len(points) >= 60
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_killed_at_random_moments(server, forge, undisturbed, tmp_path):
    """Each run is killed until it is done; answers to POSTs are late, so that kills meet them."""
    rng = random.Random(20)
    kills, runs = 0, 0
    while kills < 50:
        root = fresh(server, tmp_path, undisturbed, f"random-{runs}")
        server.fault(method="POST", path="^/jobs$", delay_answer=0.1, times=1000)
        runs += 1
        status, longest = -signal.SIGKILL, 0.8 * undisturbed.seconds
        while status == -signal.SIGKILL:
            pid, out = forge.start(next_call(root, undisturbed), root, undisturbed.run)
            time.sleep(rng.uniform(0.02, longest))
            longest *= 1.05  # so that a run ends also on a machine that has become slower
            forge.kill(pid)
            status = forge.wait(pid)
            kills += status == -signal.SIGKILL
        assert status == 0, out.with_suffix(".err").read_text()[-3000:]
        check_same(server, root, undisturbed)
    print(f"{kills} kills in {runs} runs")
