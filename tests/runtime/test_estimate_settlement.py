"""Jobs of expectation values are capped by the budget, and their late duplicates are paid."""

from __future__ import annotations

import json
import time

import pytest

from qdm_qiskit.hardware.ibm import sampler
from qdm_qiskit.hardware.ibm.account import connect
from qdm_qiskit.hardware.ibm.expectation_job import estimate
from qdm_qiskit.hardware.providers.settings import read_settings
from tests.runtime.conftest import QUICK
from tests.runtime.test_estimates import (  # noqa: F401 (fixtures)
    handle,
    ledger,
    request,
)


def test_a_job_is_stopped_where_the_budget_would_be_eaten(
    server,
    handle,  # noqa: F811
    ledger,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    """As a step's: at four times its estimate and 30 s, and never beyond what the budget has left."""
    limits: list[int | None] = []
    options = sampler.sampler_options

    def seen(*given: object, max_seconds: int | None = None, **more: object) -> object:
        limits.append(max_seconds)
        return options(*given, max_seconds=max_seconds, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(sampler, "sampler_options", seen)
    estimate(handle, ledger, request(handle), budget="lab", seconds=10.0, folder=tmp_path)
    assert limits == [4 * 10 + 30]
    left = ledger.budget("lab").remaining_seconds
    other = request(handle, "estimate-0002")
    estimate(handle, ledger, other, budget="lab", seconds=60.0, folder=tmp_path)
    assert limits[1:] == [int(left)]


def test_a_second_job_that_is_listed_late_is_found_and_paid_the_next_time(
    server,
    handle,  # noqa: F811
    ledger,  # noqa: F811
    tmp_path,
):
    """The POST is repeated on the way, and the list shows neither job for a while."""
    (tmp_path / "service.json").write_text(json.dumps(QUICK | {"grace_seconds": 2.0}))
    server.change(listing_lag_seconds=1.5)
    server.fault(method="POST", path="/jobs$", twice=True)
    wanted, work = request(handle), {"budget": "lab", "seconds": 10.0, "folder": tmp_path}
    estimate(connect(settings=read_settings(tmp_path)), ledger, wanted, **work)
    assert 0 < ledger.budget("lab").spent_seconds < server.ledger()["charged_seconds"]
    time.sleep(2.0)
    estimate(connect(settings=read_settings(tmp_path)), ledger, wanted, **work)
    assert len(server.ledger()["jobs"]) == 2
    paid = server.ledger()["charged_seconds"]
    assert ledger.budget("lab").spent_seconds == pytest.approx(paid)
    assert ledger.budget("lab").reserved_seconds == 0
