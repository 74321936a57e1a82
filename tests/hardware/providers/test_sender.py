"""Tags, payloads, options; and the decisions of the sender, against a service made of lists."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qdm_qiskit.errors import InvalidData, ServiceUnavailable, SubmissionUncertain
from qdm_qiskit.hardware.ibm.client_errors import CallFailed, Failure
from qdm_qiskit.hardware.ibm.provider import IBMProvider
from qdm_qiskit.hardware.ibm.sampler import resolved_options, sampler_options
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.run_plan import ExecutionOptions
from qdm_qiskit.hardware.providers.requests import JobRequest
from qdm_qiskit.hardware.providers.sender import Sender
from qdm_qiskit.hardware.providers.settings import ServiceSettings

RUN = "2026-01-01-eeqdm-00000000"
SETTINGS = ServiceSettings(
    first_pause_seconds=0,
    longest_pause_seconds=0,
    rate_pause_seconds=0,
    lookup_pauses_seconds=(0, 0),
    grace_seconds=0,
    submit_attempts=3,
    jobs_per_minute=0,
)


def request(**changes) -> JobRequest:
    circuit = QuantumCircuit(1, name="step")
    circuit.rx(Parameter("x_0000"), 0)
    circuit.measure_all()
    fields = {
        "run_id": RUN,
        "part": "step-0003",
        "pubs": [(circuit, np.array([[0.1], [0.2]]))],
        "shots": 100,
        "options": ExecutionOptions(),
        "backend": "ibm_test",
        "nonce": "0123456789abcdef",
    }
    return JobRequest(**{**fields, **changes})


def test_a_tag_names_run_part_attempt_and_payload():
    made = request()
    assert made.tag(2) == f"qdm-{RUN}-step-0003-2-{made.payload_sha256[:16]}"
    assert len(made.tag(2)) <= 86  # what IBM takes


def test_the_payload_is_what_runs_and_nothing_else():
    made = request()
    assert made.payload_sha256 == request().payload_sha256
    [(circuit, values)] = made.pubs
    other = [
        request(shots=101),
        request(backend="ibm_other"),
        request(nonce="f" * 16),
        request(options=ExecutionOptions(twirl_gates=True)),
        request(pubs=[(circuit, values + 1e-15)]),
        request(pubs=[(circuit, values[::-1])]),
    ]
    assert made.payload_sha256 not in [each.payload_sha256 for each in other]


@pytest.mark.parametrize("values", [[[np.nan], [0.0]], [[0.0, 1.0]], np.zeros((0, 1))])
def test_values_that_cannot_be_are_refused(values):
    [(circuit, _)] = request().pubs
    with pytest.raises(InvalidData):
        request(pubs=[(circuit, np.asarray(values))])


def test_options_reach_ibm():
    options = ExecutionOptions(
        dynamical_decoupling="XY4",
        twirl_gates=True,
        twirl_measure=True,
        rep_delay_seconds=1e-4,
        max_execution_seconds=50,
    )
    found = sampler_options(options, tag="t", max_seconds=70)
    assert found.dynamical_decoupling.enable
    assert found.dynamical_decoupling.sequence_type == "XY4"
    assert (found.twirling.enable_gates, found.twirling.enable_measure) == (True, True)
    assert found.execution.rep_delay == 1e-4
    assert found.max_execution_time == 50
    assert found.environment.job_tags == ["t"]
    assert sampler_options(options, max_seconds=7).max_execution_time == 7
    plain = sampler_options(ExecutionOptions())
    assert not plain.dynamical_decoupling.enable
    assert plain.max_execution_time is None
    assert resolved_options(options)["twirling"]["enable_gates"] is True


class Service:
    """A service made of lists, behind the two methods that IBM's provider uses."""

    def __init__(self, answers: list[object]) -> None:
        self.settings = SETTINGS
        self.instance = "crn:1"
        self.generation = 1
        self.answers = answers
        self.jobs: list[tuple[str, str]] = []
        """Id and state, oldest first."""
        self.posts = 0
        self.rebuilt = 0
        self.cancelled: list[str] = []
        self.said: list[str] = []

    def rebuild(self) -> None:
        self.rebuilt += 1

    def ask(self, what: str, call: object) -> object:
        return call(self._client())  # type: ignore[operator]

    def once(
        self, what: str, call: object, *, submitting: bool = False, before_post: object = None
    ) -> object:
        if not submitting:
            return call(self._client())  # type: ignore[operator]
        answer = self.answers.pop(0)
        if answer == "unsent":
            raise CallFailed(Failure("network", "a question failed", "Error", unsent=True))
        before_post()  # type: ignore[operator]
        self.posts += 1
        created, failure = answer if isinstance(answer, tuple) else (answer is None, answer)
        for _ in range(int(created)):
            self.jobs.append((f"job{len(self.jobs) + 1}", "QUEUED"))
        if failure is not None:
            raise CallFailed(Failure(failure, f"a {failure} failure", "Error"))
        return self.jobs[-1][0]

    def _client(self) -> SimpleNamespace:
        def job(job_id: str) -> SimpleNamespace:
            return SimpleNamespace(
                status=lambda: dict(self.jobs)[job_id],
                cancel=lambda: self._cancel(job_id),
            )

        def jobs(job_tags: list[str], limit: object) -> list[SimpleNamespace]:
            return [
                SimpleNamespace(job_id=lambda job_id=job_id: job_id, tags=job_tags, creation_date=k)
                for k, (job_id, _) in enumerate(self.jobs)
            ]

        return SimpleNamespace(job=job, jobs=jobs)

    def _cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)
        self.jobs = [(j, "CANCELLED" if j == job_id else s) for j, s in self.jobs]


class Mode:
    mode = "job"
    session_id = None

    def __init__(self) -> None:
        self.reopened = 0

    def target(self) -> None:
        return None

    def expired(self, *, sure: bool) -> None:
        self.reopened += 1


@pytest.fixture
def ledger(tmp_path: Path):
    found = Ledger.open(tmp_path)
    found.reserve(None, RUN, [("step-0003", 5.0, 200)])
    yield found
    found.close()


def send(ledger: Ledger, answers: list[object], intention=None):
    service, mode = Service(answers), Mode()
    sender = sender_of(service, ledger, mode)
    return service, mode, lambda: sender.send(request(), intention)


def sender_of(service: Service, ledger: Ledger, mode: Mode) -> Sender:
    provider = IBMProvider("ibm_test", handle=service, job_mode=mode)  # type: ignore[arg-type]
    return Sender(provider, ledger, service.settings, service.said.append)


def kinds(ledger: Ledger) -> list[str]:
    return [str(row["kind"]) for row in ledger.events(RUN)]


def test_the_intention_is_written_before_and_the_id_after(ledger):
    service, _, go = send(ledger, [None])
    found = go()
    assert (found.state, found.job_id, service.posts) == ("submitted", "job1", 1)
    assert kinds(ledger) == ["reserved", "intended", "sending", "submitted"]


@pytest.mark.parametrize("kind", ["network", "timeout", "other", "before"])
def test_a_job_that_was_created_after_all_is_adopted(ledger, kind):
    service, _, go = send(ledger, [(1, kind)])
    assert go().job_id == "job1"
    assert (service.posts, len(service.jobs)) == (1, 1)


@pytest.mark.parametrize("kind", ["network", "rate", "before", "unauthorized", "session-closed"])
def test_it_is_sent_again_when_nothing_was_created(ledger, kind):
    service, mode, go = send(ledger, [(0, kind), None])
    assert go().job_id == "job1"
    assert (service.posts, len(service.jobs)) == (2, 1)
    assert service.rebuilt == (kind == "unauthorized")
    assert mode.reopened == (kind == "session-closed")
    assert len(ledger.intentions(RUN)) == 1  # under the same tag


@pytest.mark.parametrize("kind", ["refused", "other"])
def test_what_is_refused_is_not_sent_again(ledger, kind):
    service, _, go = send(ledger, [(0, kind)])
    with pytest.raises((ServiceUnavailable, ValueError), match="no job was created"):
        go()
    assert service.posts == 1


def test_attempts_are_bounded(ledger):
    service, _, go = send(ledger, [(0, "rate")] * 10)
    with pytest.raises(ServiceUnavailable, match="no job was created"):
        go()
    assert service.posts == SETTINGS.submit_attempts


def test_in_doubt_at_the_end_it_says_so_and_looks_first_the_next_time(ledger):
    _, _, go = send(ledger, [(0, "network")] * 3)
    with pytest.raises(SubmissionUncertain, match="looks for it again"):
        go()
    [intention] = ledger.intentions(RUN)
    assert intention.state == "intended"
    later, _, go = send(ledger, [], intention)
    later.jobs.append(("late", "RUNNING"))
    assert go().job_id == "late"
    assert later.posts == 0


def test_after_a_hanging_call_nothing_is_sent_again(ledger):
    """Its thread may still be on its way."""
    service, _, go = send(ledger, [(0, "timeout"), None])
    with pytest.raises(SubmissionUncertain):
        go()
    assert service.posts == 1


def test_of_two_jobs_the_older_is_adopted_and_the_other_cancelled(ledger):
    service, _, go = send(ledger, [(2, None)])
    assert go().job_id == "job1"
    assert service.cancelled == ["job2"]
    roles = {row["job_id"]: (row["role"], row["state"]) for row in ledger.jobs(RUN)}
    assert roles == {"job1": ("main", "submitted"), "job2": ("duplicate", "cancelled")}


def test_a_duplicate_that_runs_is_recorded_and_not_cancelled(ledger):
    service, _, go = send(ledger, [(1, None)])
    tag = go().tag
    service.jobs = [("job1", "RUNNING"), ("job2", "RUNNING")]
    sender = sender_of(service, ledger, Mode())
    assert sender.resolve(tag) == "job1"
    assert service.cancelled == []
    roles = {row["job_id"]: (row["role"], row["state"]) for row in ledger.jobs(RUN)}
    assert roles["job2"] == ("duplicate", "running")


def test_a_live_job_is_preferred_to_an_older_dead_one(ledger):
    service, _, go = send(ledger, [])
    service.jobs = [("dead", "ERROR"), ("alive", "QUEUED")]
    assert go().job_id == "alive"
    assert service.posts == 0


def test_what_is_collected_stays_the_main_job(ledger):
    service, _, go = send(ledger, [None])
    tag = go().tag
    ledger.collected(tag, "steps/step-0003.npz")
    service.jobs = [("older", "DONE"), *service.jobs]
    sender = sender_of(service, ledger, Mode())
    assert sender.resolve(tag) == "job1"
    assert ledger.intention(tag).state == "collected"
    assert {r["job_id"]: r["role"] for r in ledger.jobs(RUN)}["older"] == "duplicate"


def test_a_killed_sender_waits_for_the_grace_time(ledger, monkeypatch):
    """Sent by a process that died: only after the grace time is it sent again."""
    _, _, go = send(ledger, [(0, "network")] * 3)
    with pytest.raises(SubmissionUncertain):
        go()
    [intention] = ledger.intentions(RUN)
    later, mode, _ = send(ledger, [None], intention)
    later.settings = dataclasses.replace(SETTINGS, grace_seconds=0.3)
    looks = []
    original = later.ask
    monkeypatch.setattr(later, "ask", lambda what, call: looks.append(what) or original(what, call))
    found = sender_of(later, ledger, mode).send(request(), intention)
    assert found.job_id == "job1"
    assert later.posts == 1
    assert len(looks) >= 4


@pytest.mark.parametrize(
    ("wall", "uptime", "least", "said"),
    [
        (3600.0, 2.0, 58.0, "58 s at most"),
        (-3600.0, 2.0, 58.0, "58 s at most"),
        (86_400.0, 59.5, 0.5, "2 s at most"),
        (-86_400.0, 100.0, 1.5, "2 s at most"),
        (0.0, None, 60.0, "60 s at most"),
    ],
    ids=["an hour on", "an hour back", "a day on", "a day back", "booted again"],
)
def test_the_wait_rests_on_the_uptime_and_is_said(ledger, monkeypatch, wall, uptime, least, said):
    """A wall clock that jumps between two processes shortens no wait and lengthens none."""
    import qdm_qiskit.hardware.providers.sender as module
    from qdm_qiskit import clocks

    up, now, boot = [1000.0], [1e9], ["a"]
    monkeypatch.setattr(clocks, "uptime", lambda: up[0])
    monkeypatch.setattr(clocks, "boot_id", lambda: boot[0])
    ledger._clock = lambda: now[0]  # type: ignore[assignment]
    _, _, go = send(ledger, [(0, "network")] * 3)
    with pytest.raises(SubmissionUncertain):
        go()
    [intention] = ledger.intentions(RUN)
    slept = [0.0]

    def sleep(seconds: float) -> None:
        slept[0] += seconds

    timer = SimpleNamespace(sleep=sleep, monotonic=lambda: slept[0])
    monkeypatch.setattr(module, "time", timer)
    now[0] += wall
    if uptime is None:
        boot[0], up[0] = "b", 5.0
    else:
        up[0] += uptime
    later, mode, _ = send(ledger, [None], intention)
    later.settings = dataclasses.replace(
        SETTINGS, grace_seconds=60.0, lookup_pauses_seconds=(0.5, 1.0)
    )
    assert sender_of(later, ledger, mode).send(request(), intention).job_id == "job1"
    assert least <= slept[0] <= least + 2.0
    assert [each for each in later.said if "looking for its job, " in each and said in each]


def test_what_fails_before_the_post_was_not_sent_and_is_sent_again_at_once(ledger):
    service, _, go = send(ledger, ["unsent", "unsent", None])
    assert go().job_id == "job1"
    assert service.posts == 1
    assert kinds(ledger)[2:] == ["send-failed", "send-failed", "sending", "submitted"]


def test_only_a_sending_in_doubt_is_waited_for(ledger):
    """Of a killed process: nothing was sent, or nothing was created, or nobody knows."""
    now = [100.0]
    ledger._clock = lambda: now[0]  # type: ignore[assignment]
    _, _, go = send(ledger, ["unsent"] * 9)
    with pytest.raises(ServiceUnavailable, match="no job was created"):
        go()
    [intention] = ledger.intentions(RUN)

    def sending(at: float) -> None:
        now[0] = at
        ledger.sending(intention.tag, "job", None)

    def failed(at: float, *, nothing: bool) -> None:
        now[0] = at
        ledger.send_failed(intention.tag, "network", "", nothing_created=nothing)

    assert ledger.last_sending(intention) is None
    sending(101)
    assert ledger.last_sending(intention) == 101  # as a killed process leaves it
    failed(102, nothing=True)
    assert ledger.last_sending(intention) is None
    sending(103)
    failed(104, nothing=False)
    assert ledger.last_sending(intention) == 104
    failed(105, nothing=True)  # before a POST: the one before is still in doubt
    assert ledger.last_sending(intention) == 104
    sending(106)
    failed(107, nothing=True)
    assert ledger.last_sending(intention) == 104
    sending(108)
    sending(109)  # the process of the first was killed
    failed(110, nothing=True)
    assert ledger.last_sending(intention) == 108


def test_a_failure_of_an_older_ledger_is_in_doubt(ledger):
    _, _, go = send(ledger, ["unsent"] * 9)
    with pytest.raises(ServiceUnavailable):
        go()
    [intention] = ledger.intentions(RUN)
    ledger.event(RUN, "send-failed", "step-0003", tag=intention.tag, failure="rate", message="")
    assert ledger.last_sending(intention) is not None


@pytest.mark.parametrize("refused", [True, False])
def test_jobs_are_paced_once_the_service_says_that_they_come_too_fast(ledger, monkeypatch, refused):
    import qdm_qiskit.hardware.providers.sender as module

    now = [1000.0]
    ledger._clock = lambda: now[0]  # type: ignore[assignment]
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(module.time, "sleep", sleep)
    service, mode, _ = send(ledger, [None] * 4)
    service.settings = dataclasses.replace(SETTINGS, jobs_per_minute=2)
    sender = sender_of(service, ledger, mode)
    ledger.reserve(None, RUN, [(f"step-{k:04d}", 1.0, 200) for k in range(4, 7)])
    ledger.event(RUN, "send-failed", "step-0009", tag="x", failure="rate" if refused else "network")
    for k in (3, 4, 5):
        service.jobs = []
        sender.send(request(part=f"step-{k:04d}"), None)
    waits = [s for s in slept if s > 1]
    assert waits == ([pytest.approx(60.0, abs=1.0)] if refused else [])
    assert ledger.rate_limited_since(900.0) == refused
    assert not ledger.rate_limited_since(1000.0)
