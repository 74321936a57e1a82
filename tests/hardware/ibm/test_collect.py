"""Only the result of what was sent is taken for it."""

from types import SimpleNamespace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, SamplerPubResult

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.hardware.ibm import provider as ibm
from qdm_qiskit.hardware.ibm.collect import charge_of, checked_counts, session_closed
from qdm_qiskit.hardware.ibm.provider import IBMProvider
from qdm_qiskit.hardware.providers import collector as collect
from qdm_qiskit.hardware.providers.collector import Collector, Ending
from qdm_qiskit.hardware.providers.settings import ServiceSettings

SHOTS = 50


def circuit(bits: int = 2) -> QuantumCircuit:
    made = QuantumCircuit(bits)
    made.rx(Parameter("x_0000"), 0)
    made.measure_all()
    return made


PUBS = [(circuit(), np.zeros((3, 1)))]


def result(shape=(3,), bits=2, shots=SHOTS, register="meas", parts=1) -> PrimitiveResult:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 1 << bits, size=(*shape, shots, 1), dtype=np.uint8)
    data = DataBin(**{register: BitArray(values, bits)}, shape=shape)
    return PrimitiveResult([SamplerPubResult(data)] * parts)


def test_counts_are_those_of_the_result():
    found = checked_counts(result(), PUBS, SHOTS, twirled=False)
    assert [each.shape for each in found] == [(3, 4)]
    array = result()[0].data["meas"]
    for row in range(3):
        expected = array[row].get_int_counts()
        assert {k: int(n) for k, n in enumerate(found[0][row]) if n} == dict(expected)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "not there yet"),
        ("Traceback ...", "a text of 13"),
        (b"", "a text"),
        (7, "int"),
        ({}, "0 circuits"),
        ([object()], "no register 'meas'"),
        (result(parts=2), "hold 2 circuits, 1 were sent"),
        (result(shape=(2,)), "2 rows of 2 bits, 3 rows"),
        (result(bits=3), "3 rows of 3 bits"),
        (result(register="c"), "no register 'meas'"),
        (result(shots=SHOTS - 1), "49 shots a row, 50 were sent"),
        (result(shots=SHOTS + 14), "64 shots a row, 50 were sent"),
    ],
)
def test_anything_else_is_not_there_yet(value, words):
    with pytest.raises(InvalidData, match=words):
        checked_counts(value, PUBS, SHOTS, twirled=False)


def test_twirling_may_round_shots_up_and_never_down():
    assert checked_counts(result(shots=64), PUBS, SHOTS, twirled=True)[0].sum() == 3 * 64
    with pytest.raises(InvalidData, match="49 shots"):
        checked_counts(result(shots=SHOTS - 1), PUBS, SHOTS, twirled=True)


def test_a_job_whose_session_was_closed_is_known_by_its_code():
    assert session_closed("Error code 1217; Session closed")
    assert not session_closed("Error code 9999; x")
    assert not session_closed("it was cancelled")


def test_a_short_job_is_not_waited_for_by_the_long_interval(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(collect.time, "sleep", slept.append)
    collector = Collector(IBMProvider("ibm_test"), ServiceSettings(), print)
    done = Ending(status="DONE", reason="")
    looks = iter([(None, "queued")] + [(None, "running")] * 9 + [(done, "done")])
    monkeypatch.setattr(Collector, "_look", lambda self, job_id: next(looks))
    said: list[str] = []
    assert collector.ending("job", said.append) == done
    assert said == ["waiting in the queue", "running"]
    assert slept[0] == 0.5
    assert slept == sorted(slept)
    assert slept[-1] == ServiceSettings().poll_seconds


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"usage": {"status": "complete", "qpu_charge_time_seconds": 4.5}}, (4.5, True)),
        ({"usage": {"status": "complete", "qpu_charge_time_seconds": 0}}, (0.0, True)),
        ({"usage": {"status": "pending", "qpu_charge_time_seconds": 4}}, None),
        ({"usage": {"status": None, "qpu_charge_time_seconds": 4}}, (4.0, False)),
        ({"usage": {"qpu_charge_time_seconds": 4}}, (4.0, False)),
        ({"usage": {"qpu_charge_time_seconds": -1}}, (0.0, False)),
        ({"usage": {"status": "complete"}}, None),
        ({"usage": {"status": "complete", "qpu_charge_time_seconds": True}}, None),
        ({"usage": {"status": "complete", "qpu_charge_time_seconds": float("nan")}}, None),
        ({"usage": {"status": "complete", "qpu_charge_time_seconds": 10**400}}, None),
        ({"usage": None}, None),
        ({}, None),
        (None, None),
        ("half of", None),
    ],
)
def test_what_metrics_say(metrics, expected):
    found = charge_of(metrics)
    assert (None if found is None else (found.seconds, found.final)) == expected


class Clock:
    """A clock that only sleeping moves, and metrics by the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: tuple[float, object]) -> None:
        self.now, self.looks = 0.0, 0
        self._answers = answers
        module = SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        monkeypatch.setattr(collect, "time", module)
        monkeypatch.setattr(ibm, "time", module)
        monkeypatch.setattr(IBMProvider, "_ask", self._ask)
        settings = ServiceSettings(unmarked_usage_seconds=3.0)
        handle = SimpleNamespace(settings=settings)
        provider = IBMProvider("ibm_test", handle=handle)  # type: ignore[arg-type]
        self.collector = Collector(provider, settings, print)

    def _sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def _ask(self, *_: object) -> object:
        self.looks += 1
        return [usage for since, usage in self._answers if since <= self.now][-1]


def unmarked(seconds: float) -> object:
    return {"usage": {"qpu_charge_time_seconds": seconds}}


def test_a_usage_without_a_status_is_taken_once_it_stays_the_same(monkeypatch):
    clock = Clock(monkeypatch, (0, unmarked(5.0)))
    assert clock.collector.seconds("job", 30.0) == 5.0
    assert clock.now == pytest.approx(3.0)
    assert clock.looks <= 5
    assert clock.collector.seconds("job") == 5.0  # at once: it was seen before
    assert clock.collector.seconds("other") is None


def test_a_usage_without_a_status_that_still_grows_is_waited_for(monkeypatch):
    clock = Clock(monkeypatch, (0, unmarked(0.0)), (2, unmarked(4.0)), (4, unmarked(5.0)))
    assert clock.collector.seconds("job", 30.0) == 5.0
    assert 7.0 <= clock.now <= 10.0  # three seconds after it was 5 for the first time


def test_a_zero_without_a_status_is_never_taken(monkeypatch):
    clock = Clock(monkeypatch, (0, unmarked(0.0)))
    assert clock.collector.seconds("job", 30.0) is None
    assert clock.now > 10.0
    final = {"usage": {"status": "complete", "qpu_charge_time_seconds": 0}}
    assert Clock(monkeypatch, (0, final)).collector.seconds("job") == 0.0


@pytest.mark.parametrize(
    ("times", "status", "expected"),
    [
        ({"running": None, "finished": "2026-01-01T00:00:00Z"}, "CANCELLED", 0.0),
        ({"running": None, "finished": "2026-01-01T00:00:00Z"}, "ERROR", None),
        (
            {"running": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:00Z"},
            "CANCELLED",
            None,
        ),
        ({"finished": "2026-01-01T00:00:00Z"}, "CANCELLED", None),
        ({"running": None, "finished": None}, "CANCELLED", None),
    ],
)
def test_only_a_job_cancelled_before_it_ran_cost_nothing_without_a_status(
    monkeypatch, times, status, expected
):
    metrics = {"timestamps": times, "usage": {"qpu_charge_time_seconds": 0}}
    clock = Clock(monkeypatch, (0, metrics))
    monkeypatch.setattr(IBMProvider, "status", lambda self, job_id: ibm.STATES[status])
    assert clock.collector.seconds("job", 10.0) == expected


def test_a_usage_that_changes_at_every_look_stays_unknown(monkeypatch):
    clock = Clock(monkeypatch, *[(t, unmarked(t)) for t in range(100)])
    assert clock.collector.seconds("job", 30.0) is None
    assert clock.now <= 30.0


def test_a_pending_usage_is_waited_for_and_then_stays_unknown(monkeypatch):
    pending = {"usage": {"status": "pending", "qpu_charge_time_seconds": 1.0}}
    final = {"usage": {"status": "complete", "qpu_charge_time_seconds": 2.0}}
    clock = Clock(monkeypatch, (0, pending), (20, final))
    assert clock.collector.seconds("job", 10.0) is None
    assert clock.now <= 10.0
    assert clock.collector.seconds("job", 30.0) == 2.0
