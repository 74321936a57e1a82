"""Budgets that cannot be overdrawn, and a journal from which a run goes on."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from qdm_qiskit.errors import BudgetExceeded, InvalidOption, LedgerBusy, MissingData, UnknownName
from qdm_qiskit.hardware.ledger.budget import DAY_SECONDS
from qdm_qiskit.hardware.ledger.ledger import Ledger

RUN = "2026-01-01-eeqdm-00000000"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(tmp_path, clock):
    found = Ledger.open(tmp_path, clock=clock)
    found.set_budget("lab", seconds=100.0, shots=10_000, period_days=28)
    found.add_run(RUN, plan_sha256="a" * 64, budget="lab", total_steps=2, seconds_estimated=20.0)
    yield found
    found.close()


def intend(ledger: Ledger, part: str = "step-0002", attempt: int = 1) -> str:
    tag = f"qdm-{RUN}-{part}-{attempt}-0123456789abcdef"
    ledger.intend(
        tag=tag,
        run_id=RUN,
        part=part,
        attempt=attempt,
        payload_sha256="b" * 64,
        backend="ibm_test",
        instance="crn:1",
        mode="job",
        session_id=None,
    )
    return tag


def test_a_job_from_reservation_to_settlement(ledger):
    ledger.reserve("lab", RUN, [("step-0002", 10.0, 1000), ("step-0001", 10.0, 1000)])
    assert ledger.budget("lab").reserved_seconds == 20.0
    assert ledger.budget("lab").remaining_shots == 8000
    tag = intend(ledger)
    ledger.sent(tag, "job1", how="answered")
    ledger.collected(tag, "steps/step-0002.npz")
    assert [each.tag for each in ledger.unsettled(RUN)] == [tag]
    ledger.settle(tag, {"job1": 7.5}, 1000)
    assert ledger.unsettled(RUN) == ()
    budget = ledger.budget("lab")
    assert (budget.reserved_seconds, budget.spent_seconds) == (10.0, 7.5)
    assert (budget.reserved_shots, budget.spent_shots) == (1000, 1000)
    assert budget.remaining_seconds == 82.5
    assert ledger.run_state(RUN).seconds_charged == 7.5
    kinds = [row["kind"] for row in ledger.events(RUN)]
    assert kinds == ["planned", "reserved", "intended", "submitted", "collected", "settled"]
    assert json.loads(ledger.events(RUN)[3]["detail"])["job"] == "job1"


def test_settling_twice_counts_once(ledger):
    ledger.reserve("lab", RUN, [("step-0002", 10.0, 1000)])
    tag = intend(ledger)
    ledger.sent(tag, "job1", how="answered")
    ledger.collected(tag, "x")
    ledger.settle(tag, {"job1": 7.5}, 1000)
    before = ledger.budget_history("lab")
    ledger.settle(tag, {"job1": 7.5}, 1000)
    assert ledger.budget("lab").spent_seconds == 7.5
    assert ledger.budget_history("lab") == before
    assert [row["kind"] for row in ledger.events(RUN)].count("settled") == 1


def test_a_duplicate_job_is_paid_and_counted(ledger):
    ledger.reserve("lab", RUN, [("step-0002", 10.0, 1000)])
    tag = intend(ledger)
    ledger.sent(tag, "job1", how="found")
    ledger.duplicate(tag, "job2", "done")
    ledger.collected(tag, "x")
    ledger.settle(tag, {"job1": 7.0, "job2": 6.0}, 1000)
    assert ledger.budget("lab").spent_seconds == 13.0
    assert ledger.run_state(RUN).jobs == 2
    assert [row["role"] for row in ledger.jobs(RUN)] == ["main", "duplicate"]


def test_all_parts_or_none_are_reserved(ledger):
    with pytest.raises(BudgetExceeded, match="does not allow 101 QPU seconds: 100 of 100"):
        ledger.reserve("lab", RUN, [("step-0002", 60.0, 1), ("step-0001", 41.0, 1)])
    assert ledger.reservations(RUN) == []
    assert ledger.budget("lab").reserved_seconds == 0


def test_reserving_again_after_a_crash_adds_nothing(ledger):
    parts = [("step-0002", 40.0, 100), ("step-0001", 40.0, 100)]
    ledger.reserve("lab", RUN, parts)
    ledger.reserve("lab", RUN, parts)
    assert ledger.budget("lab").reserved_seconds == 80.0


def test_another_attempt_is_reserved_once_and_within_the_budget(ledger):
    ledger.reserve("lab", RUN, [("step-0002", 60.0, 1000)])
    again = [("step-0002", 60.0, 1000)]
    ledger.reserve("lab", RUN, again)  # still held: nothing to add
    tag = intend(ledger)
    ledger.sent(tag, "job1", how="answered")
    ledger.job_failed(tag, "1305")
    ledger.settle(tag, {"job1": 50.0}, 0)
    with pytest.raises(BudgetExceeded):
        ledger.reserve("lab", RUN, again)
    ledger.reserve("lab", RUN, [("step-0002", 50.0, 1000)])
    assert [row["state"] for row in ledger.reservations(RUN)] == ["settled", "held"]


def test_a_failed_attempt_whose_cost_is_unknown_keeps_its_reservation(ledger):
    """Two attempts have two reservations, also while the service still counts the first."""
    ledger.reserve("lab", RUN, [("step-0002", 10.0, 1000)])
    first = intend(ledger)
    ledger.sent(first, "job1", how="answered")
    ledger.job_failed(first, "an error")
    ledger.reserve("lab", RUN, [("step-0002", 10.0, 1000)])
    second = intend(ledger, attempt=2)
    assert ledger.budget("lab").reserved_seconds == 20.0
    ledger.sent(second, "job2", how="answered")
    ledger.collected(second, "x")
    ledger.settle(second, {"job2": 9.0}, 1000)
    ledger.settle(first, {"job1": 4.0}, 0)
    budget = ledger.budget("lab")
    assert (budget.reserved_seconds, budget.spent_seconds) == (0.0, 13.0)


def test_a_cancelled_run_can_be_reserved_for_again(ledger):
    ledger.reserve("lab", RUN, [("step-0002", 10.0, 1000)])
    ledger.release(RUN)
    assert ledger.budget("lab").reserved_seconds == 0.0
    ledger.reserve("lab", RUN, [("step-0002", 10.0, 1000)])
    intend(ledger)


def test_release_gives_back_only_what_was_never_sent(ledger):
    ledger.reserve("lab", RUN, [("step-0002", 10.0, 1000), ("step-0001", 11.0, 1000)])
    intend(ledger)
    ledger.release(RUN)
    assert ledger.budget("lab").reserved_seconds == 10.0


def test_nothing_is_sent_without_a_reservation(ledger):
    with pytest.raises(InvalidOption, match="Nothing is reserved for step-0002"):
        intend(ledger)
    assert ledger.intentions(RUN) == ()


def test_spendings_leave_a_rolling_period_and_reservations_do_not(ledger, clock):
    ledger.reserve("lab", RUN, [("step-0002", 30.0, 1), ("step-0001", 20.0, 1)])
    tag = intend(ledger)
    ledger.sent(tag, "job1", how="answered")
    ledger.settle(tag, {"job1": 30.0}, 1)
    clock.now += 27.9 * DAY_SECONDS
    assert ledger.budget("lab").remaining_seconds == 50.0
    clock.now += 0.2 * DAY_SECONDS
    assert ledger.budget("lab").remaining_seconds == 80.0


def test_a_calendar_period_starts_afresh(ledger, clock):
    ledger.set_budget(
        "week", seconds=10.0, period_days=7, window="calendar", starts_at=clock.now - 3600
    )
    ledger.reserve("week", "other", [("step-0001", 10.0, 1)])
    tag = "t1"
    ledger.intend(
        tag=tag,
        run_id="other",
        part="step-0001",
        attempt=1,
        payload_sha256="",
        backend="b",
        instance="",
        mode="job",
        session_id=None,
    )
    ledger.settle(tag, {"j": 9.0}, 1)
    assert ledger.budget("week").remaining_seconds == 1.0
    clock.now += 7 * DAY_SECONDS
    assert ledger.budget("week").remaining_seconds == 10.0


def test_limits_change_and_spendings_stay(ledger):
    ledger.reserve("lab", RUN, [("step-0002", 30.0, 1)])
    state = ledger.set_budget("lab", seconds=20.0)
    assert (state.remaining_seconds, state.reserved_seconds) == (0.0, 30.0)
    assert [b.name for b in ledger.budgets()] == ["lab"]


def test_history_has_every_reservation(ledger):
    ledger.reserve("lab", RUN, [("step-0002", 30.0, 1)])
    [row] = ledger.budget_history("lab")
    assert (row["part"], row["seconds"], row["state"], row["run_id"]) == (
        "step-0002",
        30.0,
        "held",
        RUN,
    )


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "a\n"])
def test_bad_budget_names_are_refused(ledger, name):
    with pytest.raises(InvalidOption, match="name"):
        ledger.set_budget(name, seconds=1.0)


def test_unknown_names_say_what_exists(ledger, tmp_path):
    with pytest.raises(UnknownName, match="there are: lab"):
        ledger.budget("lap")
    with pytest.raises(MissingData, match="not in the ledger"):
        ledger.run_state("nothing")
    with pytest.raises(UnknownName, match="set one with"):
        Ledger.open(tmp_path / "new").budget("lab")


def test_a_run_is_entered_once_and_with_one_plan(ledger):
    ledger.set_run(RUN, "running", step=1)
    ledger.add_run(RUN, plan_sha256="a" * 64, budget="lab", total_steps=2, seconds_estimated=20.0)
    assert (ledger.run_state(RUN).state, ledger.run_state(RUN).step) == ("running", 1)
    with pytest.raises(InvalidOption, match="another plan"):
        ledger.add_run(
            RUN, plan_sha256="c" * 64, budget="lab", total_steps=2, seconds_estimated=20.0
        )


def test_one_process_drives_a_run(ledger, tmp_path):
    script = f"""
        import sys
        sys.path.insert(0, {str(Path.cwd())!r})
        from pathlib import Path
        from qdm_qiskit.hardware.ledger.ledger import Ledger
        with Ledger.open(Path({str(tmp_path)!r})).run_lock("{RUN}"):
            print("held", flush=True)
            sys.stdin.read()
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with (
        pytest.raises(LedgerBusy, match=f"Run {RUN} is in use by another process"),
        ledger.run_lock(RUN),
    ):
        pass
    other.kill()
    other.communicate()
    with ledger.run_lock(RUN, wait_seconds=5):
        pass


def test_four_processes_never_overdraw_one_budget(tmp_path):
    """Each reserves, and settles or leaves held, until it is refused; the sums must fit."""
    limit = 50.0
    ledger = Ledger.open(tmp_path)
    ledger.set_budget("shared", seconds=limit, shots=10**9)
    script = f"""
        import random, sys
        sys.path.insert(0, {str(Path.cwd())!r})
        from pathlib import Path
        from qdm_qiskit.errors import BudgetExceeded
        from qdm_qiskit.hardware.ledger.ledger import Ledger
        name = sys.argv[1]
        rng = random.Random(name)
        ledger = Ledger.open(Path({str(tmp_path)!r}))
        sys.stdin.readline()  # all start together
        done = 0
        for k in range(1000):
            run = f"run-{{name}}-{{k}}"
            seconds = rng.choice([0.5, 1.0, 1.5])
            try:
                ledger.reserve("shared", run, [("a", seconds, 10), ("b", seconds, 10)])
            except BudgetExceeded:
                break
            done += 1
            ledger.intend(tag=run, run_id=run, part="a", attempt=1, payload_sha256="",
                          backend="b", instance="", mode="job", session_id=None)
            if rng.random() < 0.7:
                ledger.settle(run, {{run: seconds * 0.75}}, 10)
        print(done)
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in "abcd"
    ]
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    answers = [each.communicate(timeout=120) for each in processes]
    assert all(each.returncode == 0 for each in processes), answers
    accepted = [int(out) for out, _ in answers]
    rows = ledger.budget_history("shared")
    assert len(rows) == 2 * sum(accepted)
    assert sum(accepted) >= 15
    # Replay in the order of the ledger: at no moment was more promised than there was.
    state = ledger.budget("shared")
    assert state.spent_seconds + state.reserved_seconds <= limit + 1e-6
    assert state.remaining_seconds < 3.0 + 1e-6  # and they stopped only when it was used up
    total = sum(r["spent_seconds"] if r["state"] == "settled" else r["seconds"] for r in rows)
    assert abs(total - state.spent_seconds - state.reserved_seconds) < 1e-9


def test_the_waiting_times_of_a_session_are_charged_once(ledger):
    ledger.reserve("lab", RUN, [("step-0002", 10.0, 1000), ("step-0001", 10.0, 1000)])
    number = ledger.opening_session(RUN, "session", "ibm_test", "crn:1")
    ledger.set_session(number, "open", "s1")
    tags = [intend(ledger, part) for part in ("step-0002", "step-0001")]
    for tag in tags:
        ledger.sending(tag, "session", "s1")
        ledger.sent(tag, f"job-{tag}", how="answered")
        ledger.collected(tag, "x")
    ledger.settle(tags[0], {f"job-{tags[0]}": 5.0}, 1000)
    assert not ledger.charge_session(number, 20.0)  # the other job's cost is not known yet
    assert ledger.budget("lab").spent_seconds == 5.0
    ledger.settle(tags[1], {f"job-{tags[1]}": 6.0}, 1000)
    assert ledger.charge_session(number, 11.0)  # jobs only
    assert ledger.budget("lab").spent_seconds == 11.0
    assert ledger.charge_session(number, 20.0)
    assert ledger.charge_session(number, 20.0)
    assert ledger.budget("lab").spent_seconds == 20.0
    assert ledger.run_state(RUN).seconds_charged == 20.0


def test_sessions_and_calibrations_are_kept(ledger):
    number = ledger.opening_session(RUN, "batch", "ibm_test", "crn:1")
    ledger.set_session(number, "open", "s1")
    assert [row["session_id"] for row in ledger.sessions("open", "opening")] == ["s1"]
    ledger.set_session(number, "closed")
    assert ledger.sessions("open", "opening") == []
    values = {
        "target": "ibm:ibm_test",
        "backend": "ibm_test",
        "method": "balanced",
        "shots": 10,
        "run_id": RUN,
    }
    ledger.add_calibration(**values, qubits=(1, 2), taken_at=5.0, job_id="j", path="a/c.json")
    ledger.add_calibration(**values, qubits=(1, 2), taken_at=5.0, job_id="j", path="a/c.json")
    ledger.add_calibration(**values, qubits=(1, 2), taken_at=9.0, job_id="k", path="b/c.json")
    assert [row["path"] for row in ledger.calibrations("ibm_test")] == ["b/c.json", "a/c.json"]
    assert ledger.calibrations("ibm_other") == []
