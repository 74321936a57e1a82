"""What the unmodified client does over HTTP: its answers, and its behaviour under each fault.

The retries' waiting is taken out (`naps`); everything else is the client as installed.
"""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import requests
from qiskit import QuantumCircuit
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime import (
    Batch,
    QiskitRuntimeService,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobTimeoutError,
    Session,
)
from qiskit_ibm_runtime.accounts.exceptions import InvalidAccountError
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError, IBMRuntimeError
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler

from tests.runtime.server import CRN

# What the client makes of the server: a minute and a half of waiting that changes with either only.
pytestmark = pytest.mark.slow

JOB = r"^/jobs/[^/?]+(\?.*)?$"
RESULTS = "/results$"
JOBS = "^/jobs$"
WAIT = {"Retry-After": "7"}


def counts(result) -> list[dict[str, int]]:
    data = result[0].data.meas
    return [data.get_counts(i) for i in range(data.shape[0])]


# -- the life of a job ------------------------------------------------------------------------


def test_a_job_runs_from_connecting_to_usage(server, service, backend, submit):
    assert service.instances()[0]["pricing_type"] == "free"
    job = submit(tag="life", shots=256)
    measured = counts(job.result(poll_interval=0.1))
    assert measured[0].get("00", 0) > 200  # the angle 0 of a noisy device
    assert measured[2].get("11", 0) > 150  # the angle pi
    assert [each.job_id() for each in service.jobs(job_tags=["life"])] == [job.job_id()]
    assert job.metrics()["usage"]["status"] == "complete"
    assert job.usage() == service.usage()["usage_consumed_seconds"] > 2.0
    assert job.usage_estimation["quantum_seconds"] == job.usage()
    ledger = server.ledger()
    assert ledger["by_tag"]["life"] == {"submitted": 1, "paid": 1, "seconds": job.usage()}


def test_one_submission_in_job_mode_takes_four_requests(server, submit):
    before = server.ledger()["requests"]
    submit()
    after = server.ledger()["requests"]
    new = {name: count - before.get(name, 0) for name, count in after.items()}
    names = ("GET /backends", "GET /instances/usage", "GET /backends/{name}/status", "POST /jobs")
    assert {name: new[name] for name in names} == dict.fromkeys(names, 1)
    assert sum(new.values()) - sum(count for name, count in new.items() if name in names) <= 1


def test_price_is_the_stated_formula(server, submit, pub, backend):
    job = submit(shots=1000)
    job.result(poll_interval=0.1)
    seconds = pub[0].estimate_duration(backend.target, unit="s")
    assert job.usage() == pytest.approx(2.0 + 3 * 1000 * (250e-6 + seconds), abs=2e-3)


def test_counts_depend_on_the_work_alone(server, service, submit):
    first = submit(tag="a", shots=128).result(poll_interval=0.1)
    again = submit(tag="b", shots=128).result(poll_interval=0.1)
    other = submit(tag="a", shots=129).result(poll_interval=0.1)
    assert counts(first) == counts(again)
    assert counts(first) != counts(other)
    by_payload = server.ledger()["by_payload"].values()
    assert sorted(each["submitted"] for each in by_payload) == [1, 2]


def test_recalled_counts_are_those_of_a_simulation(server, submit):
    simulated = counts(submit().result(poll_interval=0.1))
    server.change(recall=True)
    assert counts(submit().result(poll_interval=0.1)) == simulated  # kept from now on
    assert counts(submit().result(poll_interval=0.1)) == simulated
    assert server.ledger()["charged_seconds"] == pytest.approx(
        sum(each["charged_seconds"] for each in server.ledger()["jobs"])
    )
    assert len([each for each in server.ledger()["jobs"] if each["charged_seconds"] > 0]) == 3


def test_another_process_can_decode_by_job_id(server, submit):
    job = submit()
    result = job.result(poll_interval=0.1)
    back = QiskitRuntimeService().job(job.job_id()).result()
    assert counts(back) == counts(result)


def test_estimator_with_its_default_twirling(server, backend):
    from qiskit import transpile
    from qiskit.quantum_info import SparsePauliOp

    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    isa = transpile(circuit, backend, seed_transpiler=1)
    observable = SparsePauliOp(["ZZ", "XX"], [0.5, 0.5]).apply_layout(isa.layout)
    value = Estimator(backend).run([(isa, observable)]).result(poll_interval=0.1)[0].data.evs
    assert value == pytest.approx(1.0, abs=0.15)


def test_dry_run_is_estimated_and_not_paid(server, backend, pub):
    job = Sampler(backend).run([pub], shots=64, dry_run=True)
    assert job.result(poll_interval=0.1)[0].data.meas.shape == (3,)
    assert job.backend().name == "mock_nairobi"
    assert job.usage_estimation["quantum_seconds"] > 2.0
    assert job.usage() == 0
    assert server.ledger()["charged_seconds"] == 0


def test_listing_filters_and_pages(server, service, submit):
    ids = [submit(tag=f"t{i % 2}", shots=16 + i).job_id() for i in range(5)][::-1]

    def listed(**filters: object) -> list[str]:
        return [job.job_id() for job in service.jobs(**filters)]

    assert listed(limit=None) == ids
    assert listed(limit=2, skip=1) == ids[1:3]
    assert listed(job_tags=["t0"]) == ids[::2]
    assert listed(job_tags=["t0", "t1"]) == []  # all tags, not any
    for each in ids:
        service.job(each).wait_for_final_state(poll_interval=0.1)
    assert listed(pending=True) == []
    assert listed(pending=False, descending=False) == ids[::-1]
    assert listed(backend_name="ibm_other") == []


def test_tags_can_be_changed_and_a_final_job_deleted(server, service, submit):
    job = submit()
    job.result(poll_interval=0.1)
    assert sorted(job.update_tags(["new", "tag"])) == ["new", "tag"]
    service.delete_job(job.job_id())
    assert not service.jobs(job_tags=["new"])


def test_jobs_survive_a_killed_server(running_server, server, service, submit):
    server.change(queue_seconds=1.0)
    job = submit(tag="kept")
    server.kill()
    server.start()
    assert counts(job.result(poll_interval=0.1))
    assert server.ledger()["by_tag"]["kept"]["paid"] == 1


# -- faults while waiting for a job: it is safe -----------------------------------------------


@pytest.mark.parametrize(
    ("rule", "waited"),
    [
        ({"path": JOB, "answer": "status", "code": 429, "headers": WAIT}, [7]),
        ({"path": JOB, "answer": "status", "code": 502, "times": 2}, [1.0]),
        ({"path": JOB, "answer": "reset", "times": 2}, [1.0]),
        ({"path": RESULTS, "answer": "status", "code": 503, "times": 2}, [1.0]),
    ],
    ids=["429 with Retry-After", "502 twice", "reset twice", "results 503 twice"],
)
def test_what_the_client_retries_by_itself(server, submit, naps, rule, waited):
    job = submit()
    server.fault(method="GET", **rule)
    assert counts(job.result(poll_interval=0.1))
    assert naps == waited


@pytest.mark.parametrize(
    ("rule", "wrong", "text"),
    [
        ({"path": JOB, "answer": "status", "code": 429}, RequestsApiError, "429"),
        ({"path": JOB, "answer": "status", "code": 500, "times": 6}, RequestsApiError, "500"),
        ({"path": JOB, "answer": "cut"}, RequestsApiError, None),
        ({"path": RESULTS, "answer": "cut"}, RequestsApiError, None),
        ({"path": RESULTS, "answer": "reset_mid"}, RequestsApiError, None),
        ({"path": JOB, "answer": "html"}, requests.exceptions.JSONDecodeError, None),
        ({"path": RESULTS, "answer": "truncate"}, TypeError, "string indices"),
        ({"path": RESULTS, "answer": "html"}, TypeError, "string indices"),
    ],
    ids=[
        "429", "500 six times", "status cut", "results cut", "results reset", "status as HTML",
        "results truncated", "results as HTML",
    ],
)  # fmt: skip
def test_result_raises_and_works_when_called_again(server, submit, naps, rule, wrong, text):
    job = submit()
    job.wait_for_final_state(poll_interval=0.1)
    job._status = "QUEUED"  # so that result() asks for the status again
    server.fault(method="GET", **rule)
    with pytest.raises(wrong, match=text):
        job.result(poll_interval=0.1)
    assert counts(job.result(poll_interval=0.1))
    assert len(server.ledger()["jobs"]) == 1


def test_six_errors_wait_fifteen_seconds_in_all(server, submit, naps):
    job = submit()
    server.fault(method="GET", path=JOB, answer="status", code=500, times=6)
    with pytest.raises(RequestsApiError) as told:
        job.status()
    assert told.value.status_code == -1
    assert naps == [1.0, 2.0, 4.0, 8.0]


def test_results_not_there_yet_are_none(server, submit):
    job = submit()
    server.fault(path=RESULTS, answer="empty")
    assert job.result(poll_interval=0.1) is None
    assert counts(job.result())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_legacy_sampler_returns_a_str_for_truncated_results(server, backend, pub):
    from qiskit_ibm_runtime import SamplerV2

    job = SamplerV2(backend).run([pub], shots=64)
    server.fault(path=RESULTS, answer="truncate")
    assert isinstance(job.result(poll_interval=0.1), str)
    assert counts(job.result())


# -- faults of a submission -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "jobs"),
    [
        ({"answer": "status", "code": 502, "act": False}, 1),
        ({"answer": "status", "code": 502, "act": True}, 2),
    ],
    ids=["502 before", "502 after the job was created"],
)
def test_a_post_is_sent_again_after_502(server, submit, naps, rule, jobs):
    server.fault(method="POST", path=JOBS, **rule)
    job = submit(tag="again")
    rows = server.ledger()["jobs"]
    assert len(rows) == jobs
    assert rows[-1]["id"] == job.job_id()  # the first is known to nobody


@pytest.mark.parametrize(
    ("rule", "wrong", "jobs"),
    [
        ({"answer": "status", "code": 503, "act": False, "times": 6}, IBMRuntimeError, 0),
        ({"answer": "status", "code": 429, "headers": WAIT, "act": False}, IBMRuntimeError, 0),
        ({"answer": "status", "code": 413, "act": False}, IBMRuntimeError, 0),
        ({"answer": "status", "code": 409, "act": False}, IBMRuntimeError, 0),
        ({"answer": "reset", "act": False}, IBMRuntimeError, 0),
        ({"answer": "reset", "act": True}, IBMRuntimeError, 1),
        ({"answer": "reset_mid", "act": True}, IBMRuntimeError, 1),
        ({"answer": "cut", "act": True}, IBMRuntimeError, 1),
        ({"answer": "truncate", "act": True}, requests.exceptions.JSONDecodeError, 1),
        ({"answer": "html", "act": False}, requests.exceptions.JSONDecodeError, 0),
        ({"answer": "html", "act": True}, requests.exceptions.JSONDecodeError, 1),
    ],
    ids=[
        "503 six times", "429", "413", "409", "reset before", "reset after", "reset within",
        "cut", "truncated", "HTML before", "HTML after",
    ],
)  # fmt: skip
def test_a_submission_that_raises_may_have_made_a_job(
    server, service, submit, naps, rule, wrong, jobs
):
    server.fault(method="POST", path=JOBS, **rule)
    with pytest.raises(wrong):
        submit(tag="lost")
    assert len(server.ledger()["jobs"]) == jobs
    assert len(service.jobs(job_tags=["lost"])) == jobs  # the tag finds what the answer lost


def test_backends_failing_in_a_submission_looks_like_an_unknown_backend(server, submit, naps):
    server.fault(path="^/backends\\?", answer="status", code=500, times=6)
    with pytest.raises(QiskitBackendNotFoundError, match="No backend matches"):
        submit()
    assert not server.ledger()["jobs"]


def test_usage_failing_in_a_submission_stops_it_before_the_post(server, submit, naps):
    server.fault(path="/instances/usage", answer="status", code=500, times=6)
    with pytest.raises(RequestsApiError):
        submit()
    assert not server.ledger()["jobs"]


def test_seconds_spent_refuse_a_job(server, submit):
    submit(shots=16).result(poll_interval=0.1)
    server.change(limit_seconds=1.0)
    with (
        pytest.warns(UserWarning, match="usage limit"),
        pytest.raises(IBMRuntimeError, match="409"),
    ):
        submit(shots=17)


# -- jobs that end badly ----------------------------------------------------------------------


def test_a_failed_job_says_its_reason(server, submit):
    server.fault(job="Failed", reason="the fridge is warm", reason_code=1517)
    job = submit()
    with pytest.raises(RuntimeJobFailureError, match=r"1517.*the fridge is warm"):
        job.result(poll_interval=0.1)
    assert "the fridge is warm" in job.error_message()
    assert server.ledger()["charged_seconds"] == 0


def test_a_job_beyond_its_maximum_time_is_charged(server, backend, pub):
    sampler = Sampler(backend)
    sampler.options.max_execution_time = 1
    with pytest.raises(RuntimeJobMaxTimeoutError):
        sampler.run([pub], shots=64).result(poll_interval=0.1)
    assert server.ledger()["charged_seconds"] == 1.0


def test_a_cancelled_job_has_no_result_and_cannot_be_cancelled_again(server, submit):
    server.change(queue_seconds=60)
    job = submit()
    job.cancel()
    with pytest.raises(RuntimeInvalidStateError, match="cancelled"):
        job.result()
    with pytest.raises(RuntimeInvalidStateError):
        job.cancel()
    assert server.ledger()["charged_seconds"] == 0


def test_a_paused_backend_warns_and_queues(server, submit):
    server.change(paused=["ibm_nairobi"])
    with pytest.warns(UserWarning, match="paused"):
        job = submit()
    with pytest.raises(RuntimeJobTimeoutError):
        job.result(timeout=0.2, poll_interval=0.1)
    assert job.status() == "QUEUED"


def test_usage_is_zero_while_the_metrics_are_pending(server, submit):
    server.change(metrics_pending_seconds=60)
    job = submit()
    job.result(poll_interval=0.1)
    assert job.usage() == 0
    assert job.metrics()["usage"]["status"] == "pending"


# -- sessions ---------------------------------------------------------------------------------


def test_open_plan_has_batches_and_no_sessions(server, backend, submit):
    with pytest.raises(RequestsApiError, match="1352"):
        Session(backend)
    with Batch(backend) as batch:
        job = submit(mode=batch)
        job.result()
    assert batch.details()["state"] == "closed"
    assert job.session_id == batch.session_id


def test_paid_plan_has_sessions(server):
    server.change(plan="paygo")
    service = QiskitRuntimeService()
    assert service.instances()[0]["pricing_type"] == "paygo"
    session = Session(service.backend("ibm_nairobi"), max_time=60)
    assert session.details()["mode"] == "dedicated"
    assert Session.from_id(session.session_id, service).session_id == session.session_id
    session.close()
    assert session.status() == "Closed"


def test_a_batch_closed_by_the_service(server, backend, submit):
    server.change(queue_seconds=60)
    batch = Batch(backend)
    job = submit(mode=batch)
    server.end_session(batch.session_id)
    with pytest.raises(RuntimeJobFailureError, match="1217"):
        job.result()
    with pytest.raises(IBMRuntimeError, match=r"400.*1217"):
        submit(mode=batch)
    batch.close()  # silent
    assert server.ledger()["charged_seconds"] == 0


def test_a_session_beyond_its_time_is_closed(server, backend, submit):
    batch = Batch(backend, max_time=6)  # long enough to be sent to on a busy machine
    server.change(queue_seconds=60)
    job = submit(mode=batch)
    time.sleep(6.1)
    assert batch.status() == "Closed"
    with pytest.raises(RuntimeJobFailureError, match="1217"):
        job.result()


def test_a_session_opened_twice_after_502_leaves_an_orphan(server, backend, naps):
    server.fault(method="POST", path="^/sessions$", answer="status", code=502, act=True)
    batch = Batch(backend)
    batch.close()
    states = {each["id"]: each["accepting_jobs"] for each in server.ledger()["sessions"]}
    assert len(states) == 2
    assert states.pop(batch.session_id) is False
    assert list(states.values()) == [True]


def test_closing_that_fails_replaces_the_users_error(server, backend):
    server.fault(method="PATCH", answer="status", code=502, act=False)
    with pytest.raises(IBMRuntimeError, match="Error closing session"), Batch(backend):
        raise ZeroDivisionError("the user's")
    assert server.ledger()["sessions"][0]["accepting_jobs"] is True


# -- identity and connection ------------------------------------------------------------------


def test_a_revoked_token_needs_a_new_service(server, service, submit):
    job = submit()
    server.revoke_tokens()
    for _ in range(2):
        with pytest.raises(IBMNotAuthorizedError):
            job.status()
    assert counts(QiskitRuntimeService().job(job.job_id()).result(poll_interval=0.1))


def test_an_expired_token_is_renewed_silently(server):
    server.change(token_life_seconds=11)  # renewed 10 s before its end, so at once
    service = QiskitRuntimeService()
    tokens = server.ledger()["requests"]["POST /iam/identity/token"]
    time.sleep(1.2)
    service.usage()
    assert server.ledger()["requests"]["POST /iam/identity/token"] > tokens


@pytest.mark.parametrize(
    ("path", "key"),
    [("^$", "a wrong key"), ("/identity/token", None), ("/resources/search", None)],
    ids=["wrong key", "IAM fails", "search fails"],
)
def test_connecting_fails_with_one_and_the_same_error(server, monkeypatch, path, key):
    if key is not None:
        monkeypatch.setenv("QISKIT_IBM_TOKEN", key)
    server.fault(path=path, answer="status", code=500, times=20)
    with pytest.raises(InvalidAccountError, match="valid API token"):
        QiskitRuntimeService()


def test_backends_failing_while_connecting_is_made_up_for_later(server, naps):
    server.fault(path="^/backends", answer="status", code=500, times=6)
    assert QiskitRuntimeService().backend("ibm_nairobi").num_qubits == 7


def test_a_service_that_is_off_and_comes_back(server, submit, naps):
    job = submit()
    server.kill()
    with pytest.raises(RequestsApiError, match="refused"):
        job.status()
    server.start()
    assert counts(job.result(poll_interval=0.1))


def test_client_names_its_instance_in_every_call(server, service):
    client = service._active_api_client._session
    answer = client.get("/instances/usage")
    assert answer.request.headers["Service-CRN"] == CRN
    assert answer.request.headers["IBM-API-Version"] == "2026-04-15"
    assert json.loads(answer.text)["usage_limit_seconds"] == 600.0
    assert np.isfinite(answer.elapsed.total_seconds())


def test_no_two_items_or_groups_share_their_shots(server, backend):
    # Two qubits that do not interact are two groups; item k's second was item k + 1's first before.
    circuit = QuantumCircuit(backend.num_qubits, 2)
    circuit.sx(0)
    circuit.sx(5)
    circuit.measure([0, 5], [0, 1])
    result = Sampler(backend).run([(circuit,), (circuit,), (circuit,)], shots=256).result()
    columns = [
        np.unpackbits(pub.data.c.array, axis=-1)[:, -1 - k] for pub in result for k in (0, 1)
    ]
    agree = np.array([[np.mean(a == b) for b in columns] for a in columns])
    assert np.all(agree[~np.eye(6, dtype=bool)] < 0.75)
