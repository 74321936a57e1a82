"""A routing policy on the local service: a device that dies half way, kills, and the same images."""

# ruff: noqa: F811 (a fixture of another file is an argument here)

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidOption, InvalidPlan, TargetUnavailable
from qdm_qiskit.hardware.ledger.decision_files import DECISIONS, read_decisions
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.routing import StepQuestion, Verdict
from qdm_qiskit.tasks import HardwareRun, plan
from qdm_qiskit.tasks.fleets import Fleet, plan_fleet
from tests.runtime.conftest import make_root, make_settings
from tests.runtime.server import LocalServer
from tests.runtime.test_fleets import check_paid
from tests.runtime.test_kills import SIDES, Forge, arrays, forge  # noqa: F401 (a fixture)

DEVICE = "ibm:ibm_nairobi"
STEPS = 4


def planned(
    run: Path, root: Path, routing: str | None = "limits", **options: object
) -> HardwareRun:
    options = {"num_images": 2, "shots": 64, "layout_trials": 1, "budget": "qpu", **options}
    made = plan(run, DEVICE, root=root, routing=routing, **options)
    return HardwareRun(made.folder)


def routes(run: HardwareRun) -> list[tuple[int, str]]:
    return [(each.step, each.route) for each in read_decisions(run.folder)]


def check_done(server: LocalServer, run: HardwareRun, wanted: list[str]) -> None:
    """The run is done by these routes, a replay gives it to the bit, and all work was paid once."""
    assert run.state.state == "done"
    found = run.replay()
    assert (found.done, found.equal) == (True, True)
    assert [each.route for each in found.steps] == wanted
    check_paid(server, run.folder.parent)
    assert run.verify().clean


@pytest.mark.slow
def test_a_device_that_dies_half_way_leaves_its_steps_to_this_machine(server, trained, root):
    run = planned(trained(STEPS), root)
    server.fault(job="Failed", path="step-000[12]", times=50)
    said: list[str] = []
    run.submit(yes=True, progress=said.append)
    check_done(server, run, ["device", "device", "exact", "exact"])
    assert routes(run) == [
        (4, "device"), (3, "device"),
        (2, "device"), (2, "device"), (2, "exact"),
        (1, "device"), (1, "device"), (1, "exact"),
    ]  # fmt: skip
    told = read_decisions(run.folder)[4]
    assert "failed" in str(told.failure)
    assert (told.facts["failures"], told.facts["exact_allowed"]) == (2, True)
    assert any("step t=2: exact, the device failed 2 time(s)" in str(each) for each in said)
    # What was not spent is free again, and what was spent is what the device answered.
    assert run.state.seconds_charged < run.plan.total_seconds * 0.51
    costs = [each.seconds_charged for each in run.decisions]
    assert costs[2:] == [0.0] * 6  # jobs that failed cost nothing
    assert sum(costs) == pytest.approx(run.state.seconds_charged, abs=1e-9)


def test_a_budget_that_ends_is_no_end_of_the_run(server, trained, root):
    run = planned(trained(STEPS), root)
    ledger = Ledger.open(root)
    ledger.set_budget("qpu", seconds=2.4 * run.plan.steps[0].seconds)
    ledger.close()
    run.submit(yes=True)
    found = [each.route for each in run.replay().steps]
    assert found == sorted(found)  # first the device, then this machine
    assert set(found) == {"device", "exact"}
    check_done(server, run, found)
    last = read_decisions(run.folder)[-1]
    assert "the budget has" in last.reason
    assert last.facts["budget_left"] < last.facts["seconds"]


@pytest.mark.slow
def test_a_job_that_waits_too_long_is_taken_back(server, trained, root):
    run = planned(trained(2), root, "limits:wait=0.3")
    server.change(queue_seconds=60.0)
    run.submit(yes=True)
    check_done(server, run, ["exact", "exact"])
    assert [each["status"] for each in server.ledger()["jobs"]] == ["Cancelled"] * 2
    assert all(each.facts["waited"] > 0.3 for each in read_decisions(run.folder)[1::2])


@pytest.mark.slow
def test_queue_pause_and_success_are_asked_before_each_step(server, trained, root):
    server.change(queue_length={"ibm_nairobi": 7})
    run = planned(trained(2), root, "limits:queue=5")
    run.submit(yes=True)
    check_done(server, run, ["exact", "exact"])
    assert read_decisions(run.folder)[0].facts["queue"] == 7
    assert server.ledger()["jobs"] == []
    other = planned(trained(2), root, "limits:queue=7", seed=1)
    other.submit(yes=True)
    check_done(server, other, ["device", "device"])
    third = planned(trained(2), root, "limits:success=0.999", seed=2)
    third.submit(yes=True)
    check_done(server, third, ["exact", "exact"])
    fourth = planned(trained(2), root, "limits:tries=1", seed=3)
    server.change(paused=["ibm_nairobi"])
    fourth.submit(yes=True)
    check_done(server, fourth, ["exact", "exact"])


class Stubborn:
    """A policy of one's own: this machine at odd steps, and nobody at t = 1 until it is told."""

    def __init__(self, last: str) -> None:
        self.last, self.asked = last, list[StepQuestion]()

    def decide(self, question: StepQuestion) -> Verdict:
        self.asked.append(question)
        if question.step == 1:
            return Verdict(self.last, "the last one")  # type: ignore[arg-type]
        return Verdict("exact" if question.step % 2 else "device", "as it comes")


@pytest.mark.slow
def test_a_policy_of_ones_own_stops_and_goes_on(server, trained, root):
    run = planned(trained(STEPS), root, "given")
    stops = Stubborn("stop")
    with pytest.raises(
        TargetUnavailable, match="lets neither the device nor this machine"
    ) as caught:
        run.submit(yes=True, routing=stops)
    assert "\n" not in str(caught.value)
    assert run.state.state == "running"
    assert [each.step for each in stops.asked] == [4, 3, 2, 1]
    goes = Stubborn("hold")
    run.resume(routing=goes)
    assert [each.step for each in goes.asked] == [1]
    check_done(server, run, ["device", "exact", "device", "hold"])


# -- kills ----------------------------------------------------------------------------------------


def prepared(server: LocalServer) -> None:
    server.reset()
    server.fault(job="Failed", path="step-0002", times=1000)


def copied(root: Path, template: Path) -> Path:
    make_root(root)
    shutil.copytree(template, root / template.name)
    return root


@pytest.fixture
def template(server: LocalServer, trained: Callable[[int], Path], tmp_path: Path) -> Path:
    return planned(trained(STEPS - 1), make_root(tmp_path / "plans")).folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", [(3, "after", "routed"), (4, "unnamed", "decision-000004.json")], ids=str
)
def test_killed_at_the_decision_to_fall_back(server, forge, template, tmp_path, point):
    check_killed(server, forge, template, tmp_path, [point])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_every_decision(server, forge, template, tmp_path):
    points = [(number, side, "routed") for number in range(1, 6) for side in SIDES]
    points += [(1, "unnamed", f"decision-{number:06d}.json") for number in range(1, 6)]
    points += [(number, side, "reserved") for number in (1, 2, 3) for side in SIDES]
    check_killed(server, forge, template, tmp_path, points)


def check_killed(
    server: LocalServer,
    forge: Forge,
    template: Path,
    tmp_path: Path,
    points: list[tuple[int, str, str]],
) -> None:
    root, name = copied(tmp_path / "root", template), template.name
    prepared(server)
    forge.finish("submit", root, name)
    whole = HardwareRun(root / name)
    check_done(server, whole, ["device", "exact", "device"])
    expected, charged = arrays(root / name / "images.npz"), server.ledger()["charged_seconds"]
    for point in points:
        if point[1] == "unnamed":
            point = (1, "unnamed", point[2])
        root = copied(tmp_path / "-".join(map(str, point)), template)
        prepared(server)
        pid, out = forge.start("submit", root, name, kill=list(point))
        status = forge.wait(pid)
        assert status == -signal.SIGKILL, (point, out.with_suffix(".err").read_text()[-2000:])
        run = HardwareRun(root / name)
        forge.finish("submit" if run.state.state == "planned" else "resume", root, name)
        check_done(server, run, ["device", "exact", "device"])
        assert server.ledger()["charged_seconds"] == pytest.approx(charged, abs=1e-6)
        found = arrays(root / name / "images.npz")
        np.testing.assert_array_equal(found["trajectory"], expected["trajectory"])


@pytest.mark.slow
def test_a_damaged_decision_comes_back(server, trained, root):
    run = planned(trained(2), root)
    run.submit(yes=True)
    [first, second] = sorted((run.folder / DECISIONS).iterdir())
    kept = first.read_bytes()
    first.write_bytes(kept.replace(b"device", b"exact!"))
    run.resume()
    assert first.read_bytes() == kept
    second.unlink()
    run.resume()
    assert json.loads(second.read_text())["step"] == 1
    check_done(server, run, ["device", "device"])


@pytest.mark.slow
def test_who_goes_on_without_the_policy_can_still_fetch_and_cancel(server, trained, root):
    run = planned(trained(2), root, "given")
    server.change(queue_seconds=60.0)
    policy = Stubborn("device")
    run.submit(yes=True, detach=True, routing=policy)
    asked = len(policy.asked)
    with pytest.raises(InvalidPlan, match="given as an object; give it again"):
        run.resume()
    run.collect()
    run.cancel()
    assert run.state.state == "cancelled"
    assert len(policy.asked) == asked
    server.change(queue_seconds=0.0)
    run.resume(routing=policy)
    check_done(server, run, ["device", "device"])
    run.resume()  # it is done: nobody is asked


@pytest.mark.slow
def test_a_policy_that_the_plan_does_not_name_is_refused(server, trained, root):
    run = planned(trained(2), root, "limits")
    other = planned(trained(2), root, None, seed=1)
    for each, says in ((run, "the routing policy 'limits'"), (other, "no routing policy")):
        with pytest.raises(InvalidOption, match=says) as caught:
            each.submit(yes=True, routing=Stubborn("device"))
        assert "\n" not in str(caught.value)
    assert server.ledger()["jobs"] == []
    run.submit(yes=True)
    check_done(server, run, ["device", "device"])


# -- groups ---------------------------------------------------------------------------------------


def in_groups(run: Path, root: Path, **options: object) -> Fleet:
    options = {"num_images": 5, "shots": 64, "layout_trials": 1, "budget": "qpu", **options}
    return plan_fleet(run, [DEVICE], root=root, **options)


@pytest.mark.slow
def test_groups_go_on_as_their_calls_come_back(server, trained, root):
    fleet = in_groups(trained(2), root, groups=2)
    assert [len(each.images) for each in fleet.plan.runs] == [3, 2]
    slow = fleet.plan.runs[0].run_id
    # Longer than the other group needs on a machine that is busy: 2 s were not enough there.
    server.change(queue_varies={f"{slow}-step-0002": 30.0})
    said: list[str] = []
    fleet.submit(yes=True, progress=lambda message: said.append(str(message)))
    assert fleet.state.state == "done"
    assert fleet.replay().equal
    check_paid(server, root)
    # The other group had its second step's counts before the slow one had its first.
    ended = {each["tags"][0]: each["ended"] for each in server.ledger()["jobs"]}
    slow_first = next(v for k, v in ended.items() if f"{slow}-step-0002" in k)
    other_last = next(v for k, v in ended.items() if slow not in k and "step-0001" in k)
    assert other_last < slow_first


@pytest.mark.slow
def test_groups_fall_back_where_their_device_dies(server, trained, root):
    make_settings(root, job_attempts=2)
    fleet = in_groups(trained(2), root, groups=2, routing="limits:tries=1")
    server.fault(job="Failed", path="step-0001", times=50)
    fleet.submit(yes=True)
    assert fleet.state.state == "done"
    assert fleet.replay().equal
    check_paid(server, root)
    for each in fleet.runs:
        assert [step.route for step in each.replay().steps] == ["device", "exact"]


@pytest.mark.slow
def test_groups_ask_about_a_job_that_waits(server, trained, root):
    fleet = in_groups(trained(2), root, groups=2, routing="limits:wait=0.5")
    slow = fleet.plan.runs[1].run_id
    server.change(queue_varies={f"{slow}-step-0002": 60.0})
    fleet.submit(yes=True)
    assert fleet.state.state == "done"
    assert fleet.replay().equal
    check_paid(server, root)
    found = [[step.route for step in each.replay().steps] for each in fleet.runs]
    assert found == [["device", "device"], ["exact", "device"]]
    gone = [each for each in server.ledger()["jobs"] if each["status"] == "Cancelled"]
    assert [slow in each["tags"][0] for each in gone] == [True]
    asked = [each for each in read_decisions(root / slow) if each.facts["waited"] is not None]
    assert [(each.step, each.route) for each in asked] == [(2, "exact")]
    assert "waited for longer than 0.5 s" in asked[0].reason


@pytest.mark.slow
def test_groups_that_nobody_may_answer_stop_and_go_on(server, trained, root):
    server.change(queue_length={"ibm_nairobi": 7})
    fleet = in_groups(trained(2), root, groups=2, routing="limits:queue=5,classical=none")
    with pytest.raises(
        TargetUnavailable, match="lets neither the device nor this machine"
    ) as caught:
        fleet.submit(yes=True)
    assert "\n" not in str(caught.value)
    assert server.ledger()["jobs"] == []
    for each in fleet.runs:
        [only] = read_decisions(each.folder)
        assert (only.route, only.failure) == ("stop", None)  # it is no failure of the device
    server.change(queue_length={})
    fleet.resume()
    assert fleet.state.state == "done"
    assert fleet.replay().equal
    check_paid(server, root)


@pytest.mark.slow
def test_groups_whose_device_is_paused_or_fails_ask_at_each_failure(server, trained, root):
    fleet = in_groups(trained(2), root, groups=2, routing="limits:tries=1")
    server.change(paused=["ibm_nairobi"])
    fleet.submit(yes=True)
    assert fleet.state.state == "done"
    assert server.ledger()["jobs"] == []
    assert all(route == "exact" for each in fleet.runs for _, route in routes(each))
    server.change(paused=[])
    other = in_groups(trained(2), root, groups=2, seed=1, routing="limits:tries=2")
    server.fault(job="Failed", path="step-0001", times=50)
    other.submit(yes=True)
    assert other.state.state == "done"
    for each in other.runs:
        assert routes(each)[1:] == [(1, "device"), (1, "device"), (1, "exact")]
    check_paid(server, root)


@pytest.mark.slow
def test_groups_ask_one_policy_of_ones_own(server, trained, root):
    fleet = in_groups(trained(STEPS), root, groups=2, routing="given")
    with pytest.raises(InvalidPlan, match="give it again"):
        fleet.submit(yes=True)
    policy = Stubborn("hold")
    fleet.submit(yes=True, routing=policy)
    assert fleet.state.state == "done"
    assert fleet.replay().equal
    for each in fleet.runs:
        found = [step.route for step in each.replay().steps]
        assert found == ["device", "exact", "device", "hold"]
    assert len([each for each in policy.asked if each.waited is None]) == 2 * STEPS
    check_paid(server, root)


@pytest.mark.slow
def test_more_groups_than_images_of_each(server, trained, root):
    fleet = in_groups(trained(2), root, groups=5)
    assert [len(each.images) for each in fleet.plan.runs] == [1] * 5
    fleet.submit(yes=True)
    assert fleet.state.state == "done"
    # Two images may have the same circuits, each in a job of its own group: paid once by its tag.
    found = server.ledger()
    assert {each["paid"] for each in found["by_tag"].values()} == {1}
    assert len(found["by_tag"]) == 5 * 2


# -- groups that are killed -------------------------------------------------------------------------

KILLS = 12


@dataclass(frozen=True)
class Groups:
    """A routed run in groups that nobody has sent."""

    name: str
    template: Path

    def again(self, root: Path) -> Path:
        """Copy it into a root of its own."""
        # A killed process needs some time to come back, and what it sent may come before that.
        make_root(root, grace_seconds=3.0)
        for each in self.template.iterdir():
            shutil.copytree(each, root / each.name)
        return root

    def call(self, root: Path) -> str:
        """What goes on with it."""
        found = Fleet(root / self.name).state.state
        return "submit-fleet" if found == "planned" else "resume-fleet"


def groups_of(run: Path, folder: Path, routing: str) -> Groups:
    made = in_groups(run, make_root(folder / "plans"), groups=2, routing=routing)
    for each in (made.folder, *(run.folder for run in made.runs)):
        shutil.copytree(each, folder / "template" / each.name)
    return Groups(made.folder.name, folder / "template")


def check_groups(server: LocalServer, root: Path, groups: Groups) -> list[list[str]]:
    """The groups are done, replays give their images, all was paid once; who answered each step."""
    fleet = Fleet(root / groups.name)
    assert fleet.state.state == "done"
    assert fleet.replay().equal
    assert all(each.clean for each in fleet.verify())
    check_paid(server, root)
    return [[step.route for step in each.replay().steps] for each in fleet.runs]


def killed_at_random(
    server: LocalServer, forge: Forge, groups: Groups, root: Path, rng: random.Random, most: float
) -> int:
    """Kill the processes of a run at random moments until one of them ends; return the kills."""
    kills = ends = 0
    while ends < 5:
        pid, out = forge.start(groups.call(root), root, groups.name)
        if kills < KILLS:
            time.sleep(rng.uniform(0.0, most))
            forge.kill(pid)
        status = forge.wait(pid)
        kills += status == -signal.SIGKILL
        ends += status != -signal.SIGKILL
        if status == 0:
            return kills
        # Who dies while a job is taken back leaves one that somebody has cancelled, which is told.
        told = out.read_text() if out.exists() else ""
        meant = status == -signal.SIGKILL or ("JobFailed" in told and "cancelled" in told)
        assert meant, out.with_suffix(".err").read_text()[-2000:]
    raise AssertionError("it comes to no end")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [0, 1])
def test_groups_whose_device_dies_half_way_are_killed_at_random(
    server, forge, trained, tmp_path, seed
):
    groups = groups_of(trained(STEPS - 1), tmp_path, "limits:tries=1")
    rng, seconds, expected, charged = random.Random(seed), 0.0, None, 0.0
    for number in range(2):
        root = groups.again(tmp_path / f"root-{number}")
        prepared(server)
        if expected is None:
            began = time.monotonic()
            forge.finish("submit-fleet", root, groups.name)
            seconds = time.monotonic() - began
        else:
            assert killed_at_random(server, forge, groups, root, rng, 0.6 * seconds) > 0
        found = check_groups(server, root, groups)
        assert found == [["device", "exact", "device"]] * 2
        images = Fleet(root / groups.name).images
        if expected is None:
            expected, charged = images, server.ledger()["charged_seconds"]
        np.testing.assert_array_equal(images, expected)
        assert server.ledger()["charged_seconds"] == pytest.approx(charged, abs=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_groups_whose_jobs_wait_too_long_are_killed_at_random(server, forge, trained, tmp_path):
    """Who answers depends on the moments of the kills; what is paid and recorded must fit."""
    groups = groups_of(trained(STEPS - 1), tmp_path, "limits:wait=1.0")
    root = groups.again(tmp_path / "root")
    server.change(queue_varies={"*": 1.0})
    assert killed_at_random(server, forge, groups, root, random.Random(7), 4.0) > 0
    check_groups(server, root, groups)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("side", SIDES)
def test_groups_are_killed_at_the_decision_to_fall_back(server, forge, trained, tmp_path, side):
    groups = groups_of(trained(STEPS - 1), tmp_path, "limits:tries=1")
    root = groups.again(tmp_path / "root")
    prepared(server)
    pid, out = forge.start("submit-fleet", root, groups.name, kill=[5, side, "routed"])
    assert forge.wait(pid) == -signal.SIGKILL, out.with_suffix(".err").read_text()[-2000:]
    forge.finish(groups.call(root), root, groups.name)
    assert check_groups(server, root, groups) == [["device", "exact", "device"]] * 2
