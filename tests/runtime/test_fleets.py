"""Two devices of the local service share a run: whole, half dead, killed at any moment; paid once."""

# ruff: noqa: F811 (a fixture of another file is an argument here)

from __future__ import annotations

import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.errors import (
    BudgetExceeded,
    InvalidOption,
    JobFailed,
    UnknownName,
)
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.tasks.fleets import Fleet, plan_fleet
from tests.runtime.conftest import clean, make_root, make_settings
from tests.runtime.server import LocalServer
from tests.runtime.test_kills import SIDES, Forge, arrays, forge  # noqa: F401 (a fixture)

DEVICES = ("ibm:ibm_nairobi", "ibm:ibm_lagos")
IMAGES, STEPS = 5, 2
SPLIT = "3,2"


def planned(run: Path, root: Path, **changes: object) -> Fleet:
    options: dict[str, object] = {
        "num_images": IMAGES,
        "shots": 64,
        "layout_trials": 1,
        "budget": "qpu",
        "split": SPLIT,
        **changes,
    }
    return plan_fleet(run, options.pop("targets", DEVICES), root=root, **options)  # type: ignore[arg-type]


@pytest.fixture
def fleet(server: LocalServer, trained: Callable[[int], Path], root: Path) -> Fleet:
    return planned(trained(STEPS), root)


def member(fleet: Fleet, target: str) -> str:
    return next(each.run_id for each in fleet.plan.runs if each.target == target)


def check_paid(server: LocalServer, root: Path) -> None:
    """All work was paid once, and the budget has spent just that."""
    found = server.ledger()
    paid = [each["paid"] for each in found["by_payload"].values()]
    assert set(paid) <= {0, 1}
    assert {each["paid"] for each in found["by_tag"].values()} <= {0, 1}
    ledger = Ledger.open(root)
    budget = ledger.budget("qpu")
    ledger.close()
    assert budget.spent_seconds == pytest.approx(found["charged_seconds"], abs=1e-6)
    assert budget.reserved_seconds == 0


def answered(fleet: Fleet) -> np.ndarray:
    """How often each step of each image has counts on disk: ``(images, steps)``."""
    found = np.zeros((fleet.plan.num_images, STEPS), dtype=int)
    for run in fleet.runs:
        share = run.plan.share
        assert share is not None
        for path in run.folder.glob("steps/step-*.npz"):
            step = int(path.stem.split("-")[1])
            found[list(share.images), STEPS - step] += 1
    return found


def check_whole(server: LocalServer, fleet: Fleet) -> None:
    """Each step of each image was answered once, and a replay gives the images to the bit."""
    assert fleet.state.state == "done"
    assert (answered(fleet) == 1).all()
    assert fleet.images is not None
    assert len(fleet.images) == fleet.plan.num_images
    replayed = fleet.replay()
    assert (replayed.done, replayed.equal, replayed.handed_on) == (True, True, True)
    check_paid(server, fleet.folder.parent)


def test_a_whole_run_on_two_devices(server, fleet, root):
    with pytest.raises(InvalidOption, match="takes 4 jobs, 640 shots"):
        fleet.submit()
    assert server.ledger()["jobs"] == []
    fleet.submit(yes=True)
    check_whole(server, fleet)
    jobs = server.ledger()["jobs"]
    assert sorted(each["backend"] for each in jobs) == ["ibm_lagos"] * 2 + ["ibm_nairobi"] * 2
    assert all(each.clean for each in fleet.verify())
    with pytest.raises(InvalidOption, match="qdm run resume"):
        submit_run(root / member(fleet, DEVICES[0]))


@pytest.mark.slow
def test_images_are_those_of_one_device_up_to_shots(server, trained, root):
    """x_T and noise by address: exact chains of the shares are those of the whole."""
    from qdm_qiskit.hardware.run.reverse_chain import planned_chain
    from qdm_qiskit.tasks import plan

    fleet = planned(trained(STEPS), root)
    one = planned_chain(plan(trained(STEPS), DEVICES[0], num_images=IMAGES, shots=64, root=root))
    chains = [planned_chain(each.plan) for each in fleet.runs]
    for _ in range(STEPS + 1):
        np.testing.assert_allclose(
            np.concatenate([each.images() for each in chains]), one.images(), atol=1e-6
        )
        for each in (one, *chains):
            if each.step:
                each.advance_exactly()


def test_a_device_that_dies_half_way_leaves_its_images_to_the_other(server, fleet, root):
    make_settings(root, job_attempts=2)
    dead = member(fleet, DEVICES[1])
    server.fault(job="Failed", path=f"{dead}-step-0001", times=50)
    said: list[str] = []
    fleet.submit(yes=True, progress=said.append)
    check_whole(server, fleet)
    state = fleet.state
    [gone] = [each for each in state.members if each.retired]
    [heir] = [each for each in state.members if each.after]
    assert (gone.run.run_id, gone.moved) == (dead, (heir.run.run_id,))
    assert (heir.target, heir.images, heir.begins_at) == (DEVICES[0], 2, 1)
    tags = [each["tags"][0] for each in server.ledger()["jobs"]]
    assert sum(f"{dead}-step-0001" in each for each in tags) == 2  # so often it was tried
    assert any("2 images go to ibm:ibm_nairobi" in text for text in map(str, said))
    assert all(each.clean for each in fleet.verify())


@pytest.mark.slow
@pytest.mark.parametrize("when", ["paused before", "too long in the queue", "refused"])
def test_other_ways_to_fail(server, trained, root, when):
    wait = 0.3 if when == "too long in the queue" else None
    fleet = planned(trained(STEPS), root, longest_wait_seconds=wait)
    if when == "refused":
        server.fault(
            method="POST", path="/jobs$", answer="status", code=400, act=False, skip=1, times=1
        )
    else:
        server.change(paused=["ibm_lagos"])
    if when == "too long in the queue":
        # The service says "active" to whoever asks, and runs nothing.
        server.fault(
            method="GET",
            path="/backends/ibm_lagos/status",
            answer="status",
            code=200,
            body='{"state": true, "status": "active", "message": "", "length_queue": 1}',
            times=1000,
        )
    fleet.submit(yes=True)
    check_whole(server, fleet)
    assert [each.target for each in fleet.state.members if each.retired] == [DEVICES[1]]


@pytest.mark.slow
def test_the_last_device_is_not_given_up(server, fleet, root):
    make_settings(root, job_attempts=1)
    server.fault(job="Failed", path="step-0001", times=2)
    with pytest.raises(JobFailed):
        fleet.submit(yes=True)
    assert fleet.state.state == "failed"
    fleet.resume()
    check_whole(server, fleet)


@pytest.mark.slow
def test_who_cancels_a_job_is_heard(server, fleet, root):
    server.fault(job="Cancelled", path=f"{member(fleet, DEVICES[1])}-step-0002")
    with pytest.raises(JobFailed, match="cancelled"):
        fleet.submit(yes=True)
    assert not [each for each in fleet.state.members if each.retired]
    fleet.resume()
    check_whole(server, fleet)


@pytest.mark.slow
def test_cancelled_and_resumed(server, fleet, root):
    server.change(queue_seconds=60.0)
    fleet.submit(yes=True, detach=True)
    assert (fleet.state.state, fleet.state.jobs) == ("running", 2)
    fleet.cancel()
    assert fleet.state.state == "cancelled"
    check_paid(server, root)
    server.change(queue_seconds=0.0)
    fleet.resume()
    check_whole(server, fleet)


@pytest.mark.slow
def test_detached_and_collected(server, fleet):
    fleet.submit(yes=True, detach=True)
    for _ in range(400):
        jobs = server.ledger()["jobs"]
        if all(each["status"] == "Completed" for each in jobs):
            break
        time.sleep(0.05)
    fleet.collect()
    assert [each.run.step for each in fleet.state.members] == [1, 1]
    assert len(server.ledger()["jobs"]) == 2
    fleet.resume()
    check_whole(server, fleet)


# -- budgets --------------------------------------------------------------------------------------


def set_budget(root: Path, seconds: float) -> None:
    ledger = Ledger.open(root)
    ledger.set_budget("qpu", seconds=seconds)
    ledger.close()


def test_a_budget_for_one_device_alone_sends_nothing(server, fleet, root):
    runs = [each.plan.total_seconds for each in fleet.runs]
    set_budget(root, sum(runs) - 0.1)
    with pytest.raises(BudgetExceeded):
        fleet.submit(yes=True)
    assert server.ledger()["jobs"] == []
    ledger = Ledger.open(root)
    assert ledger.budget("qpu").reserved_seconds == 0
    ledger.close()
    set_budget(root, sum(runs) + 0.1)
    fleet.submit(yes=True)
    check_whole(server, fleet)


@pytest.mark.slow
def test_an_account_with_less_than_all_takes_sends_nothing(server, fleet, root):
    both = sum(each.plan.total_seconds for each in fleet.runs)
    server.change(limit_seconds=both - 0.1)
    with pytest.raises(BudgetExceeded, match="the account has"):
        fleet.submit(yes=True)
    assert server.ledger()["jobs"] == []
    server.change(limit_seconds=600.0)
    fleet.submit(yes=True)
    check_whole(server, fleet)


@pytest.mark.slow
def test_images_wait_for_a_budget_that_lets_them_move(server, fleet, root):
    make_settings(root, job_attempts=1)
    dead = member(fleet, DEVICES[1])
    server.fault(job="Failed", path=f"{dead}-step-0002", times=50)
    first = next(each for each in fleet.runs if each.folder.name == dead).plan
    need = sum(each.plan.total_seconds for each in fleet.runs)
    set_budget(root, need)
    # What the dead device had reserved is free again; so another run takes some of it.
    ledger = Ledger.open(root)
    server.fault(job="Failed", path="nothing")
    ledger.set_budget("qpu", seconds=need + 1.0)
    ledger.reserve("qpu", "2026-01-01-other-00000000", [("step-0001", 1.0, 1)])
    ledger.close()
    fail_at_move = need - 0.5 * first.total_seconds
    import qdm_qiskit.hardware.run.driver as driver

    retire = driver.DrivenRun.retire

    def and_lower(self: driver.DrivenRun) -> None:
        retire(self)
        set_budget(root, fail_at_move)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver.DrivenRun, "retire", and_lower)
        with pytest.raises(BudgetExceeded, match="leaves open cannot move"):
            fleet.submit(yes=True)
    state = fleet.state
    assert (state.state, state.reason is not None) == ("failed", True)
    with pytest.raises(BudgetExceeded):
        fleet.resume()
    set_budget(root, 600.0)
    fleet.resume()
    assert (answered(fleet) == 1).all()
    assert fleet.replay().equal


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"targets": ("ibm:ibm_lagos", "ibm:ibm_lagos")}, InvalidOption, "twice"),
        ({"targets": ("ibm:ibm_nairobi", "ibm:ibm_lagoss")}, UnknownName, "Did you mean"),
        ({"targets": ("ibm:ibm_nairobi",)}, InvalidOption, "alone"),
        ({"split": "3,3"}, InvalidOption, "5 in all"),
        ({"split": "most"}, InvalidOption, "'auto', 'even', or numbers"),
        ({"budget": "open"}, UnknownName, "budget"),
        ({"seconds": 20.0}, InvalidOption, "give shots"),
        ({"longest_wait_seconds": 0.0}, InvalidOption, "above 0"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_left(server, trained, root, changes, error, says):
    with pytest.raises(error, match=says) as caught:
        planned(trained(STEPS), root, **changes)
    assert "\n" not in str(caught.value)
    assert not [each for each in root.iterdir() if each.is_dir() and each.name[0].isdigit()]
    assert server.ledger()["jobs"] == []


# -- kills ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Undisturbed:
    """A fleet one of whose devices dies half way, that nobody killed."""

    fleet: str
    template: Path
    """Folder with the folders of the fleet and its runs before they were submitted."""
    dead: str
    images: np.ndarray
    trajectory: np.ndarray
    charged: float
    paid: list[str]
    writes: list[list[str]]
    files: list[str]
    seconds: float


def prepared(server: LocalServer, dead: str) -> None:
    server.reset()
    server.fault(job="Failed", path=f"{dead}-step-0001", times=1000)


def paid_payloads(server: LocalServer) -> list[str]:
    return sorted(k for k, v in server.ledger()["by_payload"].items() if v["paid"])


@pytest.fixture(scope="session")
def undisturbed(
    running_server: LocalServer,
    forge: Forge,
    trained: Callable[[int], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Undisturbed:
    server = running_server
    clean(server)
    folder = tmp_path_factory.mktemp("fleet")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        made = planned(trained(STEPS), make_root(folder / "plans"))
    template = folder / "template"
    for each in (made.folder, *(run.folder for run in made.runs)):
        shutil.copytree(each, template / each.name)
    dead = member(made, DEVICES[1])
    root = again(folder / "root", template)
    prepared(server, dead)
    began = time.monotonic()
    answer = forge.finish("submit-fleet", root, made.folder.name)
    seconds = time.monotonic() - began
    fleet = Fleet(root / made.folder.name)
    check_whole(server, fleet)
    found = arrays(fleet.folder / "images.npz")
    return Undisturbed(
        fleet=made.folder.name,
        template=template,
        dead=dead,
        images=found["images"],
        trajectory=found["trajectory"],
        charged=server.ledger()["charged_seconds"],
        paid=paid_payloads(server),
        writes=answer["writes"],
        # The first run of a machine also writes caches, named by a hash; later ones read them.
        files=[each for each in answer["files"] if not re.fullmatch("[0-9a-f]{64}", each)],
        seconds=seconds,
    )


def again(root: Path, template: Path) -> Path:
    make_root(root, job_attempts=1)
    for each in template.iterdir():
        shutil.copytree(each, root / each.name)
    return root


def check_same(server: LocalServer, root: Path, expected: Undisturbed) -> None:
    fleet = Fleet(root / expected.fleet)
    check_whole(server, fleet)
    assert server.ledger()["charged_seconds"] == pytest.approx(expected.charged, abs=1e-6)
    assert paid_payloads(server) == expected.paid
    found = arrays(fleet.folder / "images.npz")
    np.testing.assert_array_equal(found["images"], expected.images)
    np.testing.assert_array_equal(found["trajectory"], expected.trajectory)


def next_call(root: Path, expected: Undisturbed) -> str:
    planned_still = Fleet(root / expected.fleet).state.state == "planned"
    return "submit-fleet" if planned_still else "resume-fleet"


def killed_and_resumed(
    server: LocalServer,
    forge: Forge,
    expected: Undisturbed,
    root: Path,
    point: tuple[int, str, str],
) -> None:
    again(root, expected.template)
    prepared(server, expected.dead)
    pid, out = forge.start("submit-fleet", root, expected.fleet, kill=list(point))
    status = forge.wait(pid)
    assert status == -signal.SIGKILL, (point, out.with_suffix(".err").read_text()[-2000:])
    forge.finish(next_call(root, expected), root, expected.fleet)
    check_same(server, root, expected)


def points(expected: Undisturbed, *kinds: str) -> list[tuple[int, str, str]]:
    """Before, within and after each transaction with an event of these kinds.

    They are counted by kind: how often a process asks, and so the number of all transactions, is a
    matter of time.
    """
    found = [
        (number, side, kind)
        for kind in kinds
        for number in range(1, sum(kind in got for got in expected.writes) + 1)
        for side in SIDES
    ]
    assert {kind for _, _, kind in found} == set(kinds)
    return found


OWN_FILES = ("images.npz", "samples.png", "manifest.json", "plan.json")


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_killed_at_each_recorded_point_of_the_fleet(server, forge, undisturbed, tmp_path):
    own = points(undisturbed, "fleet-planned", "retired", "moved", "fleet-done", "reserved")
    for name in OWN_FILES:
        times = undisturbed.files.count(name)
        own += [(number, "unnamed", name) for number in range(1, times + 1)]
    for point in own:
        root = tmp_path / "-".join(map(str, point))
        killed_and_resumed(server, forge, undisturbed, root, point)
    print(f"{len(own)} kills")


@pytest.mark.slow
def test_killed_between_giving_up_and_moving(server, forge, undisturbed, tmp_path):
    killed_and_resumed(server, forge, undisturbed, tmp_path / "root", (1, "before", "moved"))


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_killed_at_random_moments(server, forge, undisturbed, tmp_path):
    """Each fleet is killed until it is done; answers to POSTs are late, so that kills meet them."""
    rng = random.Random(61)
    kills, runs = 0, 0
    while kills < 40:
        root = again(tmp_path / f"random-{runs}", undisturbed.template)
        prepared(server, undisturbed.dead)
        server.fault(method="POST", path="^/jobs$", delay_answer=0.1, times=1000)
        runs += 1
        status, longest = -signal.SIGKILL, 0.8 * undisturbed.seconds
        while status == -signal.SIGKILL:
            pid, out = forge.start(next_call(root, undisturbed), root, undisturbed.fleet)
            time.sleep(rng.uniform(0.02, longest))
            longest *= 1.2  # so that a run ends also on a machine that has become much slower
            forge.kill(pid)
            status = forge.wait(pid)
            kills += status == -signal.SIGKILL
        assert status == 0, out.with_suffix(".err").read_text()[-3000:]
        check_same(server, root, undisturbed)
    print(f"{kills} kills in {runs} runs")
