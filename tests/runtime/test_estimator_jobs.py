"""Jobs of IBM's Estimator on the local service: priced, paid once, killed, late duplicates found."""

# ruff: noqa: F811 (a fixture of another file is an argument here)

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import qdm_qiskit as qdm
from qdm_qiskit.errors import BudgetExceeded
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from tests.runtime.conftest import BACKEND, check_budget, clean, make_settings
from tests.runtime.server import LocalServer
from tests.runtime.test_kills import (
    Forge,
    Undisturbed,
    check_account,
    check_same,
    forge,  # noqa: F401 (a fixture)
    fresh,
    go_on,
    killed_at,
    left_alone,
    moments,
)
from tests.tasks.test_qnn import W, X, estimator

ASKED = {"budget": "qpu", "shots": 64, "layout_trials": 1, "primitive": "estimator"}


def plan(root: Path, level: int = 0, **changes: object):
    return qdm.plan_qnn(
        estimator(),
        X,
        W,
        target=f"ibm:{BACKEND}",
        root=root,
        primitive_options={"resilience_level": level},
        **{**ASKED, **changes},
    )


@pytest.mark.parametrize(
    ("level", "shots"), [(1, 2_048), pytest.param(0, 2_000, marks=pytest.mark.slow)]
)
def test_the_estimate_is_within_a_fifth_of_the_charge(server: LocalServer, root, level, shots):
    made = plan(root, level, shots=shots)
    run = qdm.submit(made, yes=True)
    check_account(server, root, 1)
    paid = server.ledger()["charged_seconds"]
    assert abs(made.total_seconds - paid) < 0.2 * paid
    exact = qdm.run_qnn(estimator(), X, W).outputs
    assert (np.abs(run.outputs - exact) < 6 * run.standard_errors + 0.15).all()
    assert replay(run.folder).difference == 0.0
    check_budget(server, root)


def test_a_budget_that_does_not_allow_it_sends_nothing(server: LocalServer, root):
    made = plan(root)
    qdm.set_budget("qpu", seconds=made.total_seconds - 0.1, root=root)
    with pytest.raises(BudgetExceeded):
        qdm.submit(made, yes=True)
    assert server.ledger()["jobs"] == []


@pytest.mark.slow
def test_a_second_job_that_is_listed_late_is_found_and_paid(server: LocalServer, root):
    """The POST is repeated on the way, and the list shows neither job for a while."""
    make_settings(root, grace_seconds=2.0)
    server.change(listing_lag_seconds=1.5)
    server.fault(method="POST", path="/jobs$", twice=True)
    made = plan(root)
    submit_run(made.folder)
    time.sleep(2.0)
    submit_run(made.folder)
    assert len(server.ledger()["jobs"]) == 2
    found = qdm.budget("qpu", root=root)
    assert found.spent_seconds == pytest.approx(server.ledger()["charged_seconds"])
    assert found.reserved_seconds == 0
    roles = sorted(each.role for each in hardware_report(made.folder)[0].jobs)
    assert roles == ["duplicate", "main"]


@pytest.fixture(scope="session")
def undisturbed_estimates(
    running_server: LocalServer,
    forge: Forge,
    tmp_path_factory: pytest.TempPathFactory,
) -> Undisturbed:
    clean(running_server)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in running_server.env.items():
            patch.setenv(name, value)
        plans = tmp_path_factory.mktemp("plans")
        qdm.set_budget("qpu", seconds=600.0, root=plans)
        template = plan(plans)
    return left_alone(running_server, forge, template.folder, tmp_path_factory)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "side"),
    [("submitted", "before"), ("collected", "before")],
    ids=["answered and not written down", "values saved and not written down"],
)
def test_killed_it_pays_nothing_twice(server, forge, undisturbed_estimates, tmp_path, kind, side):
    root = fresh(server, tmp_path, undisturbed_estimates, "again")
    killed_at(forge, root, undisturbed_estimates, moments(undisturbed_estimates, kind)[0], side)
    go_on(forge, root, undisturbed_estimates)
    check_same(server, root, undisturbed_estimates)
    assert replay(root / undisturbed_estimates.run).difference == 0.0
