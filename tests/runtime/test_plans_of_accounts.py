"""The default life of a run on accounts with every limit that a plan may have: done, and paid once."""

# ruff: noqa: F811 (a fixture of another file is an argument here)

from __future__ import annotations

import json
import shlex
from dataclasses import fields

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from qdm_qiskit.cli.main import app
from qdm_qiskit.errors import JobFailed, ServiceUnavailable
from qdm_qiskit.hardware.ibm.client_errors import understand
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan import work
from qdm_qiskit.hardware.plan.config import PlanConfig
from qdm_qiskit.hardware.plan.job_limits import FLAGS, command_again, note_asked
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.types import ExecutionOptions
from qdm_qiskit.hardware.providers.failures import size_limit
from qdm_qiskit.hardware.run.commands import resume_run, submit_run
from qdm_qiskit.hardware.run.replay import replay
from tests.runtime.conftest import BACKEND, check_budget, make_settings
from tests.runtime.test_calls import filters, make  # noqa: F401 (fixtures)
from tests.runtime.test_faults import paid

SAID = "as IBM says it"
TEXTS = {
    SAID: ("max_ttl {asked} exceeds the maximum of {most} for this plan", [600]),
    "in minutes": ("max_ttl must be 10 minutes or less on this plan", [600]),
    "in hours": ("max_ttl of 2h is over the 0.1h that this plan has", [360]),
    "no number": ("max_ttl is too long for this plan", [None]),
    "a number that is too large": ("max_ttl above 9000 s", [None]),
}


LIVES = [
    pytest.param(plan, text, marks=[] if (plan, text) == ("open", SAID) else pytest.mark.slow)
    for plan in ("open", "paygo")
    for text in TEXTS
]


@pytest.mark.parametrize(("plan", "text"), LIVES)
def test_a_plan_with_a_shorter_life_of_sessions(server, root, planned, plan, text):
    said, expected = TEXTS[text]
    server.change(plan=plan, max_session_seconds=600, max_session_text=said)
    run = planned(steps=2)
    told: list[str] = []
    assert submit_run(run.folder, detach=False, progress=told.append).state == "done"
    sessions = server.ledger()["sessions"]
    assert [each["mode"] for each in sessions] == ["batch" if plan == "open" else "dedicated"]
    assert [each["max_ttl"] for each in sessions] == [each or 600 for each in expected]
    assert sum("may not live 7200 s" in each for each in told) == 1
    assert paid(server) == 2
    check_budget(server, root)


@pytest.mark.slow
def test_a_second_process_asks_for_the_life_that_the_first_one_learnt(server, root, planned):
    server.change(max_session_seconds=600)
    run = planned(steps=2, mode="batch")
    submit_run(run.folder, detach=True)
    asked = server.ledger()["requests"]["POST /sessions"]
    ledger = Ledger.open(root)
    [event] = [e for e in ledger.events(run.run_id) if e["kind"] == "session-life"]
    ledger.close()
    assert json.loads(str(event["detail"]))["seconds"] == 600
    server.end_session(server.ledger()["sessions"][0]["id"])
    assert resume_run(root, run.run_id).state == "done"
    assert server.ledger()["requests"]["POST /sessions"] == asked + 1
    assert [each["max_ttl"] for each in server.ledger()["sessions"]] == [600, 600]
    check_budget(server, root)


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["open", "paygo"])
def test_no_life_will_do(server, root, planned, plan):
    """Jobs are sent one by one, after a Session and then a Batch were asked for in vain."""
    server.change(
        plan=plan,
        max_session_seconds=600,
        max_session_default=False,
        max_session_text="max_ttl is not what this plan has",
    )
    assert submit_run(planned(steps=2).folder).state == "done"
    assert not server.ledger()["sessions"]
    assert paid(server) == 2
    check_budget(server, root)


@pytest.mark.slow
def test_a_mode_that_was_asked_for_is_refused_in_one_line(server, root, planned):
    server.change(max_session_seconds=600, max_session_default=False, max_session_text="max_ttl!")
    with pytest.raises(
        ServiceUnavailable, match=r"opens no batch on ibm_nairobi: HTTP 400: max_ttl!"
    ):
        submit_run(planned(mode="batch").folder)
    assert not server.ledger()["jobs"]


@pytest.mark.slow
def test_batches_that_end_before_a_job_is_done_are_given_up(server, root, planned):
    """The queue is longer than a batch lives: twice at no cost, then one job after the other."""
    make_settings(root, session_max_seconds=1)
    server.change(queue_seconds=1.6)
    told: list[str] = []
    assert submit_run(planned(steps=1).folder, progress=told.append).state == "done"
    assert len(server.ledger()["sessions"]) == 2
    assert [each for each in told if "sending jobs one by one" in each]
    assert paid(server) == 1
    check_budget(server, root)


class Told:
    """Messages about a wait; the first of them ends the queue, however long it took to come there."""

    def __init__(self, server, text: str) -> None:
        self._server, self._text = server, text
        self.waits: list[str] = []

    def __call__(self, message: object) -> None:
        if self._text in str(message):
            self.waits.append(str(message))
            self._server.change(queue_seconds=0.0)


@pytest.mark.slow
def test_as_many_jobs_at_once_as_the_plan_allows(server, root, make, monkeypatch):
    """Two parts of a call, both sent before one is waited for: the second goes as the first ends."""
    monkeypatch.setattr(work, "MAX_EXECUTIONS", 2 * 64)
    server.change(max_pending_jobs=1, queue_seconds=60.0)
    plan, told = make(), Told(server, "is not sent yet")
    assert submit_run(plan.folder, progress=told).state == "done"
    assert len(server.ledger()["jobs"]) == plan.num_jobs == paid(server)
    assert [each for each in told.waits if "limit of 1 pending" in each]
    check_budget(server, root)


@pytest.mark.slow
def test_a_run_waits_while_another_one_has_all_the_places(server, root, planned, make):
    server.change(max_pending_jobs=1, queue_seconds=60.0)
    first = planned(steps=1)
    submit_run(first.folder, detach=True)
    second, told = make(), Told(server, "waits until another job has ended")
    assert submit_run(second.folder, progress=told).state == "done"
    assert len(told.waits) == 1
    assert resume_run(root, first.run_id).state == "done"
    assert len(server.ledger()["jobs"]) == paid(server) == 1 + second.num_jobs
    check_budget(server, root)


@pytest.mark.slow
def test_a_detached_run_does_not_wait_for_room(server, root, planned, make):
    server.change(max_pending_jobs=1, queue_seconds=30.0)
    submit_run(planned(steps=1).folder, detach=True)
    told: list[str] = []
    second = make()
    assert submit_run(second.folder, detach=True, progress=told.append).state == "running"
    assert [each for each in told if "not sent yet" in each and "limit of 1 pending" in each]
    assert not [each for each in told if "is sent" in each]
    assert len(server.ledger()["jobs"]) == 1
    server.change(queue_seconds=0.0, max_pending_jobs=0)
    assert resume_run(root, second.run_id).state == "done"
    assert len(server.ledger()["jobs"]) == 1 + second.num_jobs


@pytest.mark.parametrize(
    ("text", "kind", "seconds"),
    [
        ('400 Client Error: {"code": 1222, "message": "max_ttl 7200 exceeds the maximum of 600"}',
         "session-life", (7200.0, 600.0)),
        ('400 Client Error: {"code": 1300, "message": "max_time is at most 8 h"}',
         "session-life", (28800.0,)),
        ('400 Client Error: {"code": 3458, "message": "Reached maximum number (5) of concurrent jobs"}',
         "jobs-at-once", ()),
        ("400 Client Error: You have reached the limit of 3 pending jobs. Please wait.",
         "jobs-at-once", ()),
        ("429 Client Error: limit of 3 pending jobs", "jobs-at-once", ()),
        ("429 Client Error: too fast", "rate", ()),
        ('400 Client Error: {"code": 1217, "message": "the session has reached its max_ttl"}',
         "session-closed", ()),
    ],
)  # fmt: skip
def test_refusals_are_told_apart(text, kind, seconds):
    from qiskit_ibm_runtime.exceptions import IBMRuntimeError

    found = understand(IBMRuntimeError(text), submitting=True)
    assert (found.kind, found.seconds) == (kind, seconds)
    assert found.nothing_created


# -- sizes of jobs ----------------------------------------------------------------------------

SIZES = {
    "circuits": ({"max_circuits": 1}, "--max-job-circuits 1"),
    "executions": ({"max_executions": 100}, "--max-job-executions 100"),
}


@pytest.fixture
def small(server, root, trained):
    """`small(...)`: a plan of two images by way of `qdm_qiskit.plan`, which keeps what was asked."""

    def make(**options):
        from qdm_qiskit.tasks import plan

        given = {"num_images": 2, "shots": 64, "layout_trials": 1, "budget": "qpu", **options}
        return plan(trained(2), f"ibm:{BACKEND}", root=root, **given)

    return make


@pytest.mark.parametrize(
    ("limits", "late"),
    [
        ("circuits", False),
        pytest.param("executions", False, marks=pytest.mark.slow),
        pytest.param("circuits", True, marks=pytest.mark.slow),
        pytest.param("executions", True, marks=pytest.mark.slow),
    ],
)
def test_a_job_that_is_too_large_names_the_command_that_plans_smaller_ones(
    server, root, small, limits, late
):
    """Refused, or taken and failed at no cost; then the command that is named runs to its end."""
    settings, flag = SIZES[limits]
    server.change(**settings, max_size_late=late)
    first = small()
    kind = JobFailed if late else ServiceUnavailable
    with pytest.raises(kind, match=r"plans smaller ones\.$") as caught:
        submit_run(first.folder)
    assert "\n" not in str(caught.value)
    assert len(server.ledger()["jobs"]) == (1 if late else 0)
    assert paid(server) == 0
    ledger = Ledger.open(root)
    assert ledger.budget("qpu").reserved_seconds == 0
    ledger.close()
    command = str(caught.value).split("`")[1]
    assert flag in command
    again = planned_by(command, root)
    assert submit_run(again).state == "done"
    assert paid(server) == 2 * len({each.step for each in read_plan(again).calls.jobs})
    check_budget(server, root)
    assert replay(again).equal


def planned_by(command, root):
    """The folder of the run that a command of ours plans."""
    found = CliRunner().invoke(app, [*shlex.split(command)[1:], "--json"])
    assert found.exit_code == 0, found.output
    return root / json.loads(found.stdout)["run"]


@pytest.mark.slow
def test_a_payload_that_is_too_large(server, root, small):
    """Two thirds of it are circuits; a service's bytes are not ours to know, so values are halved."""
    server.change(max_body_bytes=10)
    plan = small()
    with pytest.raises(ServiceUnavailable, match=r"payload is too large.*--max-job-values \d"):
        submit_run(plan.folder)
    assert not server.ledger()["jobs"]


@pytest.mark.slow
def test_the_next_plan_of_the_root_respects_what_was_refused(server, root, small):
    server.change(max_circuits=1)
    with pytest.raises(ServiceUnavailable):
        submit_run(small().folder)
    told: list[str] = []
    plan = small(seed=1, progress=lambda message: told.append(str(message)))
    assert [each for each in told if "max_job_circuits=1: a larger job of run" in each]
    assert submit_run(plan.folder).state == "done"
    check_budget(server, root)
    server.change(max_circuits=0)
    assert small(seed=2, max_job_circuits=2).calls is None


@pytest.mark.parametrize(
    ("text", "name", "most"),
    [
        ("The number of circuits (400) exceeds the maximum of 300", "max_job_circuits", 300),
        ("The number of experiments in the Qobj (400) is higher than the number of experiments "
         "supported by the device (75)", "max_job_circuits", 75),
        ("Too many experiments", "max_job_circuits", 200),
        ("At most 5 million executions are allowed", "max_job_executions", 5_000_000),
        ("max executions: 10,000,000 (got 12,000,000)", "max_job_executions", 10_000_000),
        ("nats: maximum payload exceeded", "max_job_values", 200),
        ("Error code 6002; too many circuits", "max_job_circuits", 200),
        ("the circuits are not valid", None, 0),
        ("no circuit with 200 qubits", None, 0),
    ],
)  # fmt: skip
def test_limits_on_the_size_of_a_job_are_told_apart(text, name, most):
    size = {"max_job_executions": 12_000_000, "max_job_circuits": 400, "max_job_values": 400}
    found = size_limit(text)
    assert (None if found is None else found.name) == name
    assert found is None or found.below(size[found.name]) == most


def test_every_option_of_a_plan_has_its_flag():
    """Or it is one that the command line does not have, and the refusal says it in Python."""
    names = {each.name for kind in (PlanConfig, ExecutionOptions) for each in fields(kind)}
    assert names - FLAGS.keys() == {"options", "optimization_level"}
    flags = {flag for each in get_command(app).commands["run"].commands["plan"].params
             for flag in each.opts}  # fmt: skip
    assert set(FLAGS.values()) <= flags


def test_the_command_plans_what_was_asked(tmp_path, trained):
    ledger = Ledger.open(tmp_path)
    config = PlanConfig(
        targets=("ibm:ibm_nairobi", "engine"), num_images=3, seed=7, mitigation="m3",
        calibration_ttl_seconds=1800, max_job_circuits=9, kept_shots=11, fractional_gates=True,
        options=ExecutionOptions(twirl_gates=True, rep_delay_seconds=2e-4),
    )  # fmt: skip
    note_asked(ledger, "run", config, "runs/a run")
    said = command_again(ledger, "run", {"max_job_circuits": 4}, tmp_path)
    assert said == (
        "`qdm run plan 'runs/a run' --target ibm:ibm_nairobi,engine --num-images 3 --mitigation m3 "
        "--calibration-hours 0.5 --kept-shots 11 --fractional-gates --seed 7 --max-job-circuits 4 "
        f"--twirl-gates --rep-delay 0.0002 --root {tmp_path}`"
    )
    note_asked(ledger, "other", PlanConfig(optimization_level=1), "runs/a")
    assert command_again(ledger, "other", {"max_job_circuits": 4}, tmp_path) == (
        "plan it again as before, with max_job_circuits=4"
    )
    ledger.close()
