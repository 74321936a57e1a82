"""The life of a run on the local server: plan, submit, detach, resume elsewhere, collect, cancel."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile

from qdm_qiskit.errors import (
    BudgetExceeded,
    CalibrationMismatch,
    JobFailed,
    LedgerBusy,
    MissingData,
    ServiceUnavailable,
)
from qdm_qiskit.execution.targets import parse_target
from qdm_qiskit.hardware.ibm.account import connect, look
from qdm_qiskit.hardware.ibm.execution_mode import JobMode
from qdm_qiskit.hardware.ibm.provider import IBMProvider
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.run_files import read_calibrations
from qdm_qiskit.hardware.plan.calibration_reuse import check_calibration
from qdm_qiskit.hardware.plan.prepare import PlanConfig
from qdm_qiskit.hardware.plan.run_plan import ExecutionOptions, RunPlan
from qdm_qiskit.hardware.plan.target_choice import FallbackPolicy, plan_on_first
from qdm_qiskit.hardware.providers.collector import Collector
from qdm_qiskit.hardware.providers.requests import JobRequest
from qdm_qiskit.hardware.providers.sender import Sender
from qdm_qiskit.hardware.providers.settings import read_settings
from qdm_qiskit.hardware.run.commands import (
    cancel_run,
    collect_run,
    resume_run,
    run_state,
    submit_run,
)
from qdm_qiskit.mitigation.readout import combine_results, construct_circuits, mitigate
from tests.helpers import QDM, ROOT, images_of
from tests.runtime.conftest import BACKEND, check_budget, make_root, make_settings
from tests.runtime.server import API_KEY, LocalServer

Planned = Callable[..., RunPlan]


def jobs(server: LocalServer) -> list[dict]:
    return server.ledger()["jobs"]


# -- jobs and modes ---------------------------------------------------------------------------


def test_sixteen_images_take_a_job_a_step_and_one_for_the_calibration(server, root, planned):
    plan = planned(steps=4, num_images=16, mitigation="m3")
    state = submit_run(plan.folder / "plan.json")
    assert state.state == "done"
    assert state.step == 0
    assert state.jobs == len(jobs(server)) == 4 + 1
    assert images_of(plan.folder).shape == (16, 1, 2, 2)
    check_budget(server, root)
    charged = server.ledger()["charged_seconds"]
    assert abs(plan.total_seconds - charged) < 0.2 * charged
    for step, job in zip((plan.calibration, *plan.steps), jobs(server), strict=True):
        assert step is not None
        assert abs(step.seconds - job["charged_seconds"]) < 0.2 * job["charged_seconds"]


def test_open_plan_has_a_batch_when_a_session_is_wanted_and_says_so_once(server, root, planned):
    plan = planned(steps=3, mode="session")
    said: list[str] = []
    assert submit_run(plan.folder / "plan.json", progress=said.append).state == "done"
    assert sum("1352" in text for text in said) == 1
    [batch] = server.ledger()["sessions"]
    assert batch["mode"] == "batch"
    assert batch["accepting_jobs"] is False
    assert {job["session_id"] for job in jobs(server)} == {batch["id"]}


def test_open_plan_is_not_asked_for_a_session_by_auto(server, planned):
    plan = planned(steps=1)
    submit_run(plan.folder / "plan.json")
    ledger = server.ledger()
    assert ledger["requests"]["POST /sessions"] == 1
    assert ledger["sessions"][0]["mode"] == "batch"


def test_paid_plan_has_one_session_for_the_chain_and_it_is_closed(server, planned):
    server.change(plan="paygo")
    plan = planned(steps=3)
    assert submit_run(plan.folder / "plan.json").state == "done"
    [session] = server.ledger()["sessions"]
    assert session["mode"] == "dedicated"
    assert session["accepting_jobs"] is False
    assert {job["session_id"] for job in jobs(server)} == {session["id"]}


def test_job_mode_opens_nothing(server, planned):
    plan = planned(steps=2, mode="job")
    assert submit_run(plan.folder / "plan.json").state == "done"
    assert not server.ledger()["sessions"]


@pytest.mark.parametrize("code", [404, 405, 501])
def test_a_service_without_sessions_or_batches_gets_jobs_and_it_is_said_once(
    server, root, planned, code
):
    server.change(plan="paygo")
    server.fault(method="POST", path="^/sessions$", answer="status", code=code, act=False, times=9)
    plan = planned(steps=2, mode="session")
    said: list[str] = []
    submit_run(plan.folder / "plan.json", detach=True, progress=said.append)
    assert resume_run(root, plan.run_id, progress=said.append).state == "done"
    replaced = [text for text in said if "instead" in text]
    assert replaced == [
        f"the service offers no sessions (HTTP {code}); using a batch instead",
        f"the service offers no batches (HTTP {code}); sending jobs one by one instead",
    ]
    assert server.ledger()["requests"]["POST /sessions"] == 2  # nor asked again by the second
    assert [job["session_id"] for job in jobs(server)] == [None, None]
    ledger = Ledger.open(root)
    events = [
        json.loads(str(e["detail"]))
        for e in ledger.events(plan.run_id)
        if e["kind"] == "mode-replaced"
    ]
    assert [(each["mode"], each["by"]) for each in events] == [
        ("session", "batch"),
        ("batch", "job"),
    ]
    assert {row["state"] for row in ledger.sessions()} == {"refused"}
    assert {each.mode for each in ledger.intentions(plan.run_id)} == {"job"}
    ledger.close()
    check_budget(server, root)


def test_a_service_with_batches_only_gets_a_batch(server, root, planned):
    server.change(plan="paygo")
    server.fault(method="POST", path="^/sessions$", answer="status", code=404, act=False)
    plan = planned(steps=2)
    assert submit_run(plan.folder / "plan.json").state == "done"
    [batch] = server.ledger()["sessions"]
    assert (batch["mode"], batch["accepting_jobs"]) == ("batch", False)
    assert {job["session_id"] for job in jobs(server)} == {batch["id"]}


@pytest.mark.parametrize(("code", "times"), [(500, 7), (503, 7), (429, 2), (408, 2)])
def test_an_outage_does_not_replace_the_session(server, root, planned, naps, code, times):
    server.change(plan="paygo")
    server.fault(
        method="POST", path="^/sessions$", answer="status", code=code, act=False, times=times
    )
    plan = planned(steps=1)
    said: list[str] = []
    assert submit_run(plan.folder / "plan.json", progress=said.append).state == "done"
    [session] = server.ledger()["sessions"]
    assert session["mode"] == "dedicated"
    assert not [text for text in said if "instead" in text]


@pytest.mark.parametrize("code", [400, 403])
def test_a_session_that_is_refused_is_not_replaced_either(server, root, planned, code):
    server.fault(method="POST", path="^/sessions$", answer="status", code=code, act=False)
    plan = planned(steps=1)
    with pytest.raises(ServiceUnavailable, match=f"opens no batch on {BACKEND}: HTTP {code}"):
        submit_run(plan.folder / "plan.json")
    assert not jobs(server)


def test_a_session_closed_between_two_steps_is_opened_again(server, root, planned):
    server.change(queue_seconds=0.4)
    plan = planned(steps=2)

    def close() -> None:
        while len(jobs(server)) < 2:
            time.sleep(0.02)
        server.end_session(jobs(server)[1]["session_id"])

    thread = threading.Thread(target=close)
    thread.start()
    state = submit_run(plan.folder / "plan.json")
    thread.join()
    assert state.state == "done"
    found = jobs(server)
    assert [job["reason_code"] for job in found] == [None, 1217, None]
    assert len(server.ledger()["sessions"]) == 2
    assert not any(each["accepting_jobs"] for each in server.ledger()["sessions"])
    check_budget(server, root)


def test_a_user_error_inside_closes_the_session_and_is_not_hidden(server, root, planned):
    plan = planned(steps=2)
    server.fault(method="PATCH", answer="status", code=502, act=False, times=2)

    def stop(text: str) -> None:
        if "done" in text:
            raise ZeroDivisionError("the user's")

    with pytest.raises(ZeroDivisionError, match="the user's"):
        submit_run(plan.folder / "plan.json", progress=stop)
    assert not any(each["accepting_jobs"] for each in server.ledger()["sessions"])
    assert resume_run(root, plan.run_id).state == "done"
    assert len(jobs(server)) == 2


@pytest.mark.parametrize("said", [float("nan"), float("inf"), 10**400], ids=["nan", "inf", "huge"])
def test_a_session_of_senseless_cost_hides_no_error(server, root, planned, monkeypatch, said):
    from qiskit_ibm_runtime import Session

    server.change(plan="paygo")
    plan = planned(steps=1)
    details = Session.details
    monkeypatch.setattr(Session, "details", lambda self: {**details(self), "usage_time": said})

    def stop(text: str) -> None:
        if "done" in text:
            raise ZeroDivisionError("the user's")

    with pytest.raises(ZeroDivisionError, match="the user's"):
        submit_run(plan.folder / "plan.json", progress=stop)
    assert len(server.ledger()["sessions"]) == 1
    told: list[str] = []
    assert resume_run(root, plan.run_id, progress=told.append).state == "done"
    assert not any(each["accepting_jobs"] for each in server.ledger()["sessions"])
    check_budget(server, root)


@pytest.mark.slow
def test_a_batch_that_another_run_left_open_is_closed_and_its_job_is_not_lost(
    server, root, planned
):
    server.change(queue_seconds=1.0)
    left, plan = planned(steps=2, mode="batch"), planned(steps=1, mode="batch", seed=5)
    submit_run(left.folder / "plan.json", detach=True)
    [orphan] = server.ledger()["sessions"]
    assert orphan["accepting_jobs"] is True
    said: list[str] = []
    assert submit_run(plan.folder / "plan.json", progress=said.append).state == "done"
    assert f"closing the batch {orphan['id']} that run {left.run_id} left open" in said
    assert not any(each["accepting_jobs"] for each in server.ledger()["sessions"])
    assert resume_run(root, left.run_id).state == "done"
    assert [job["status"] for job in jobs(server)] == ["Completed"] * 3
    assert not any(each["accepting_jobs"] for each in server.ledger()["sessions"])
    check_budget(server, root)


def test_a_batch_of_a_run_that_is_driven_or_of_another_instance_is_left_alone(
    server, root, planned
):
    plan = planned(steps=1)
    ledger = Ledger.open(root)
    handle = connect(settings=read_settings(root))
    for owner, instance in (("driven", handle.instance), ("idle", "crn:of:another:instance")):
        number = ledger.opening_session(owner, "batch", BACKEND, instance)
        ledger.set_session(number, "open", f"s-{owner}")
    with ledger.run_lock("driven"):
        assert submit_run(plan.folder / "plan.json").state == "done"
    states = {row["session_id"]: row["state"] for row in ledger.sessions()}
    assert (states["s-driven"], states["s-idle"]) == ("open", "open")
    said: list[str] = []
    assert (
        submit_run(planned(steps=1, seed=5).folder / "plan.json", progress=said.append).state
        == "done"
    )
    states = {row["session_id"]: row["state"] for row in ledger.sessions()}
    assert (states["s-driven"], states["s-idle"]) == ("closed", "open")
    ledger.close()


def test_a_session_whose_id_was_never_known_is_told(server, root, planned):
    plan = planned(steps=1)
    ledger = Ledger.open(root)
    handle = connect(settings=read_settings(root))
    number = ledger.opening_session("killed", "session", BACKEND, handle.instance)
    said: list[str] = []
    submit_run(plan.folder / "plan.json", progress=said.append)
    assert [text for text in said if "without its id being known" in text and "killed" in text]
    assert {row["id"]: row["state"] for row in ledger.sessions()}[number] == "lost"
    ledger.close()


# -- detached, resumed, collected, cancelled --------------------------------------------------


def test_detached_then_resumed(server, root, planned):
    server.change(queue_seconds=60.0)
    plan = planned(steps=2, mitigation="m3")
    state = submit_run(plan.folder / "plan.json", detach=True)
    assert state.state == "running"
    assert len(jobs(server)) == 1
    assert jobs(server)[0]["status"] == "Queued"
    server.change(queue_seconds=0.0)
    assert resume_run(root, plan.run_id).state == "done"
    assert len(jobs(server)) == plan.num_jobs
    check_budget(server, root)


def test_same_images_detached_or_not(server, root, planned, tmp_path):
    plan = planned(steps=2, mitigation="m3")
    submit_run(plan.folder / "plan.json", detach=True)
    resume_run(root, plan.run_id)
    first = images_of(plan.folder)
    payloads = sorted(server.ledger()["by_payload"])
    other = make_root(tmp_path / "other")
    for name in ("plan.json", "circuits.qpy", "inputs.npz", "model"):
        source, to = plan.folder / name, other / plan.run_id / name
        to.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, to)
    server.reset()
    submit_run(other / plan.run_id)
    assert sorted(server.ledger()["by_payload"]) == payloads
    with np.load(other / plan.run_id / "images.npz") as file:
        np.testing.assert_array_equal(file["images"], first)


def test_collect_fetches_what_has_ended_and_sends_nothing(server, root, planned):
    server.change(queue_seconds=60.0)
    plan = planned(steps=2)
    submit_run(plan.folder / "plan.json", detach=True)
    state = collect_run(root, plan.run_id)
    assert (state.state, state.step) == ("running", 2)
    server.change(queue_seconds=0.0)
    while jobs(server)[0]["status"] != "Completed":
        time.sleep(0.02)
    state = collect_run(root, plan.run_id)
    assert (state.state, state.step) == ("running", 1)
    assert len(jobs(server)) == 1
    assert (plan.folder / "steps" / "step-0002.npz").exists()


def test_a_cancelled_run_gives_back_what_it_reserved_and_can_go_on(server, root, planned):
    server.change(queue_seconds=60)
    plan = planned(steps=2)
    submit_run(plan.folder / "plan.json", detach=True)
    state = cancel_run(root, plan.run_id)
    assert state.state == "cancelled"
    assert "cancelled" in (state.reason or "")
    assert [job["status"] for job in jobs(server)] == ["Cancelled"]
    check_budget(server, root)
    server.change(queue_seconds=0.0)
    assert resume_run(root, plan.run_id).state == "done"
    assert [job["status"] for job in jobs(server)] == ["Cancelled", "Completed", "Completed"]
    check_budget(server, root)


def test_a_finished_run_is_not_sent_again(server, root, planned):
    plan = planned(steps=1)
    submit_run(plan.folder / "plan.json")
    before = {path: path.stat().st_mtime_ns for path in plan.folder.rglob("*.npz")}
    assert submit_run(plan.folder / "plan.json").state == "done"
    assert resume_run(root, plan.run_id).state == "done"
    assert len(jobs(server)) == 1
    assert before == {path: path.stat().st_mtime_ns for path in plan.folder.rglob("*.npz")}


def test_a_run_that_was_not_submitted_cannot_be_resumed(server, root, planned):
    plan = planned(steps=1)
    with pytest.raises(MissingData):
        resume_run(root, plan.run_id)


def test_two_processes_cannot_drive_one_run(server, root, planned):
    plan = planned(steps=1)
    ledger = Ledger.open(root)
    with ledger.run_lock(plan.run_id), pytest.raises(LedgerBusy):
        submit_run(plan.folder / "plan.json")
    ledger.close()
    assert not jobs(server)


def test_usage_that_is_counted_late_is_settled_at_the_next_command(server, root, planned):
    server.change(metrics_pending_seconds=60)
    settings = json.loads((root / "service.json").read_text())
    (root / "service.json").write_text(json.dumps(settings | {"usage_wait_seconds": 0.1}))
    plan = planned(steps=1)
    assert submit_run(plan.folder / "plan.json").state == "done"
    ledger = Ledger.open(root)
    assert ledger.budget("qpu").reserved_seconds == pytest.approx(plan.total_seconds)
    server.change(metrics_pending_seconds=0)
    resume_run(root, plan.run_id)
    check_budget(server, root)
    assert run_state(root, plan.run_id).seconds_charged == server.ledger()["charged_seconds"]
    ledger.close()


def test_usage_without_a_status_is_settled_in_the_same_command(server, root, planned):
    """IBM's client takes it for pending; it is the job's charge all the same."""
    make_settings(root, usage_wait_seconds=60.0, unmarked_usage_seconds=0.5)
    server.change(metrics_status=False)
    plan = planned(steps=2, mitigation="m3")
    began = time.monotonic()
    assert submit_run(plan.folder / "plan.json").state == "done"
    assert time.monotonic() - began < 30.0
    assert [job["status"] for job in jobs(server)] == 3 * ["Completed"]
    check_budget(server, root)


@pytest.mark.parametrize("charge", [True, False])
def test_a_failed_job_whose_zero_is_not_called_final_is_not_sent_again(
    server, root, planned, charge
):
    """The service counts for longer than a number without a status is watched."""
    make_settings(root, usage_wait_seconds=1.0, unmarked_usage_seconds=0.2)
    server.change(metrics_status=False, metrics_pending_seconds=3600)
    server.fault(job="Failed", charge=charge, reason="the fridge is warm", reason_code=1517)
    plan = planned(steps=1)
    with pytest.raises(JobFailed, match="its cost is not known yet"):
        submit_run(plan.folder / "plan.json")
    assert len(jobs(server)) == 1
    ledger = Ledger.open(root)
    assert ledger.budget("qpu").reserved_seconds == pytest.approx(plan.total_seconds)
    server.change(metrics_status=True, metrics_pending_seconds=0)
    assert resume_run(root, plan.run_id).state == "done"  # asked for: sent within the budget
    assert len(jobs(server)) == 2
    check_budget(server, root)
    ledger.close()


@pytest.mark.slow
def test_a_zero_without_a_status_does_not_settle_a_job_that_ran(server, root, planned):
    make_settings(root, usage_wait_seconds=8.0, unmarked_usage_seconds=0.2)
    server.change(metrics_status=False, metrics_pending_seconds=1.5)
    assert submit_run(planned(steps=1).folder / "plan.json").state == "done"
    assert server.ledger()["charged_seconds"] > 0
    check_budget(server, root)


@pytest.mark.slow
@pytest.mark.parametrize("later", [resume_run, collect_run])
def test_a_second_job_that_is_listed_after_the_settlement_is_found(server, root, planned, later):
    """The POST is repeated on the way, and the list shows neither job for a while."""
    make_settings(root, grace_seconds=2.0)
    plan = planned(steps=1)
    server.change(listing_lag_seconds=1.5)
    server.fault(method="POST", path="/jobs$", twice=True)
    assert submit_run(plan.folder / "plan.json").state == "done"
    ledger = Ledger.open(root)
    first = ledger.budget("qpu").spent_seconds
    assert 0 < first < server.ledger()["charged_seconds"]
    resume_run(root, plan.run_id)  # too early: the look is not spent
    time.sleep(2.0)
    assert later(root, plan.run_id).state == "done"
    check_budget(server, root)
    assert run_state(root, plan.run_id).seconds_charged == pytest.approx(2 * first)
    assert len(jobs(server)) == 2
    before = len(ledger.events(plan.run_id))
    resume_run(root, plan.run_id)  # once is enough
    assert len(ledger.events(plan.run_id)) == before
    ledger.close()


# -- budget -----------------------------------------------------------------------------------


def test_a_run_beyond_its_budget_is_refused_with_the_numbers(server, root, planned):
    ledger = Ledger.open(root)
    ledger.set_budget("qpu", seconds=5.0)
    plan = planned(steps=3)
    with pytest.raises(BudgetExceeded) as told:
        submit_run(plan.folder / "plan.json")
    assert "5" in str(told.value)
    assert f"{plan.total_seconds:.6g}" in str(told.value)
    assert not jobs(server)
    assert ledger.budget("qpu").reserved_seconds == 0
    ledger.set_budget("qpu", seconds=600.0)
    ledger.close()
    assert submit_run(plan.folder / "plan.json").state == "done"
    check_budget(server, root)


# -- readout calibration ----------------------------------------------------------------------


def test_a_calibration_serves_all_steps_and_the_next_run(server, root, planned):
    first, second = planned(steps=2, mitigation="m3"), planned(steps=2, mitigation="m3", seed=5)
    submit_run(first.folder / "plan.json")
    assert len(jobs(server)) == 3
    said: list[str] = []
    submit_run(second.folder / "plan.json", progress=said.append)
    assert len(jobs(server)) == 3 + 2
    assert any("used again" in text for text in said)
    check_budget(server, root)
    one, two = (read_calibrations(plan.folder)["calibration-0001"] for plan in (first, second))
    assert one.to_dict() == two.to_dict()


@pytest.mark.slow
def test_a_stale_calibration_is_taken_anew(server, root, planned):
    first = planned(steps=1, mitigation="m3", calibration_ttl_seconds=1)
    second = planned(steps=1, mitigation="m3", calibration_ttl_seconds=1, seed=5)
    submit_run(first.folder / "plan.json")
    time.sleep(1.1)
    submit_run(second.folder / "plan.json")
    for plan in (first, second):
        # One each at least: on a slow machine one may be stale before the step has run.
        assert [tag for tag in server.ledger()["by_tag"] if f"{plan.run_id}-calibration" in tag]
    check_budget(server, root)


def test_a_foreign_or_stale_calibration_is_refused(server, root, planned):
    plan = planned(steps=1, mitigation="m3")
    submit_run(plan.folder / "plan.json")
    [calibration] = read_calibrations(plan.folder).values()
    good = {
        "backend": BACKEND,
        "qubits": plan.circuit.measured_qubits,
        "ttl_seconds": 3600.0,
        "at": time.time(),
    }
    check_calibration(calibration, **good)
    for wrong in (
        {"backend": "ibm_lagos"},
        {"at": time.time() + 7200},
        {"qubits": (0, 1, 2, 3, 4, 5, 6)},
    ):
        with pytest.raises(CalibrationMismatch):
            check_calibration(calibration, **{**good, **wrong})


def test_m3_raises_the_fidelity_of_a_ghz_state(server, root):
    """On 5 qubits of the device: from what the readout leaves, up by at least 0.05."""
    handle = connect(settings=read_settings(root))
    backend = handle.backend(BACKEND)
    circuit = QuantumCircuit(5)
    circuit.h(0)
    for qubit in range(4):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    isa = transpile(circuit, backend, optimization_level=3, seed_transpiler=3)
    final = isa.layout.final_index_layout()
    qubits = tuple(final[:5])
    ledger = Ledger.open(root)
    ledger.reserve("qpu", "ghz", [("calibration-0001", 20.0, 50_000), ("step-0001", 20.0, 50_000)])
    mode = JobMode(handle, ledger, "ghz", BACKEND, "job")
    provider = IBMProvider(BACKEND, handle=handle, job_mode=mode)
    sender = Sender(provider, ledger, handle.settings, print)
    collector = Collector(provider, handle.settings, print)

    def measured(part: str, circuits: list[QuantumCircuit]) -> list[np.ndarray]:
        nothing = np.zeros((1, 0))
        request = JobRequest(
            run_id="ghz",
            part=part,
            pubs=[(each, nothing) for each in circuits],
            shots=8192,
            options=ExecutionOptions(),
            backend=BACKEND,
            nonce="0" * 16,
        )
        job_id = sender.send(request, None).job_id
        assert job_id is not None
        assert collector.ending(job_id, lambda _: None).status == "DONE"
        return collector.counts(job_id, request)

    calibration = combine_results(
        measured("calibration-0001", construct_circuits(qubits, backend.num_qubits)),
        qubits,
        backend=BACKEND,
        taken_at="2026-03-01T00:00:00+00:00",
    )
    [counts] = measured("step-0001", [isa])
    ledger.close()
    raw = counts[0] / counts[0].sum()
    corrected = mitigate(counts, calibration, qubits, BACKEND)[0]

    def fidelity(p: np.ndarray) -> float:
        """With the ideal distribution, half on each of 00000 and 11111."""
        return float((np.sqrt(0.5 * p[0]) + np.sqrt(0.5 * p[-1])) ** 2)

    assert fidelity(corrected) > fidelity(raw) + 0.05
    assert fidelity(corrected) < 1.0


# -- record and secrets -----------------------------------------------------------------------


def test_the_token_is_in_no_file_and_no_log(server, root, planned, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("qdm_qiskit", "qiskit_ibm_runtime", "urllib3"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    plan = planned(steps=1, mitigation="m3")
    said: list[str] = []
    server.fault(method="POST", path="^/jobs$", answer="status", code=401, act=False)
    server.fault(method="GET", path="/results$", answer="reset_mid")
    submit_run(plan.folder / "plan.json", progress=said.append)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        content = path.read_bytes()
        assert API_KEY.encode() not in content, path
        assert b"eyJhbGci" not in content, path
    logged = [record.getMessage() for record in caplog.records]
    assert len(logged) > 10
    for text in (*said, *logged):
        assert API_KEY not in text
        assert "eyJhbGci" not in text


def test_the_manifest_says_what_the_server_says(server, root, planned):
    plan = planned(steps=2)
    submit_run(plan.folder / "plan.json")
    text = (plan.folder / "manifest.json").read_text()
    for job in jobs(server):
        assert job["id"] in text
    assert json.loads(text)
    assert BACKEND in text


# -- choosing a backend -----------------------------------------------------------------------


def fallback(trained: Path, root: Path, *targets: str, **policy: object) -> RunPlan:
    config = PlanConfig(targets=targets, num_images=2, shots=64, layout_trials=1)
    return plan_on_first(
        trained, config, FallbackPolicy(**policy), root=root, look=look(read_settings(root))
    )


def test_least_busy_is_the_backend_with_the_shorter_queue(server, root, trained):
    assert fallback(trained(1), root, "ibm:least_busy").target == f"ibm:{BACKEND}"
    server.change(queue_length={BACKEND: 9, "ibm_lagos": 3})
    assert fallback(trained(1), root, "ibm:least_busy").target == "ibm:ibm_lagos"


@pytest.mark.parametrize(
    ("settings", "policy"),
    [({"paused": [BACKEND]}, {}), ({"queue_length": {BACKEND: 50}}, {"max_queue": 10})],
    ids=["paused", "long queue"],
)
def test_a_backend_that_cannot_be_used_falls_back_and_says_why(
    server, root, trained, settings, policy
):
    server.change(**settings)
    plan = fallback(trained(1), root, f"ibm:{BACKEND}", "engine", **policy)
    assert plan.target == "engine"
    assert [each.taken for each in plan.decisions] == [False, True]
    assert plan.decisions[0].reason
    assert parse_target(plan.decisions[0].target).kind == "ibm"


# -- the command ------------------------------------------------------------------------------


@pytest.mark.slow  # four starts of the command
def test_the_commands_in_processes_of_their_own(server, root, trained):
    server.change(queue_seconds=0.3)

    def qdm(*arguments: str) -> dict:
        done = subprocess.run(
            [QDM, "run", *arguments, "--json"], capture_output=True, text=True, cwd=ROOT, timeout=90
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert API_KEY not in done.stdout + done.stderr
        return json.loads(done.stdout)

    here = ("--root", str(root))
    plan = qdm(
        "plan", str(trained(2)), "--target", f"ibm:{BACKEND}", "--num-images", "2", "--shots", "64",
        "--budget", "qpu", *here,
    )  # fmt: skip
    assert plan["jobs"] == 2
    assert plan["seconds"] > 4
    assert not jobs(server)  # planning is free
    assert qdm("submit", plan["plan"], "--yes", "--detach", *here)["state"] == "running"
    assert qdm("resume", plan["run"], *here)["state"] == "done"
    state = qdm("status", plan["run"], *here)
    assert state["state"] == "done"
    assert len(jobs(server)) == 2
    check_budget(server, root)
