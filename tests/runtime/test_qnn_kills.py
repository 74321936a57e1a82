"""A QNN's run on the local service: estimated, paid once, killed at any moment, taken up again."""

# ruff: noqa: F811 (a fixture of another file is an argument here)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qdm_qiskit as qdm
from qdm_qiskit.errors import BudgetExceeded
from qdm_qiskit.hardware.ledger.output_files import read_outputs
from qdm_qiskit.hardware.run.replay import replay
from tests.runtime.conftest import BACKEND, check_budget, clean
from tests.runtime.server import LocalServer
from tests.runtime.test_calls import random_kills
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
from tests.tasks.test_qnn import W, X, estimator, sampler

ASKED = {"budget": "qpu", "shots": 64, "layout_trials": 1, "optimization_level": 1}


def test_the_run_of_a_qnn_is_estimated_and_paid_once(server: LocalServer, root: Path):
    found = qdm.run_qnn(estimator(), X, W, target=f"ibm:{BACKEND}", root=root, **ASKED)
    check_account(server, root, 1)
    paid = server.ledger()["charged_seconds"]
    assert found.qpu_seconds == pytest.approx(paid)
    assert abs(found.estimated_seconds - paid) < 0.2 * paid
    exact = qdm.run_qnn(estimator(), X, W).outputs
    assert (np.abs(found.outputs - exact) < 5 * found.standard_errors + 0.2).all()
    assert replay(found.folder).difference == 0.0
    again = qdm.run_qnn(estimator(), X, W, target=f"ibm:{BACKEND}", root=root, **ASKED)
    np.testing.assert_array_equal(again.outputs, found.outputs)
    check_account(server, root, 1)
    check_budget(server, root)


def test_a_budget_that_does_not_allow_it_sends_nothing(server: LocalServer, root: Path):
    qdm.set_budget("qpu", seconds=1.0, root=root)
    with pytest.raises(BudgetExceeded):
        qdm.run_qnn(sampler(), X, W, target=f"ibm:{BACKEND}", root=root, **ASKED)
    assert server.ledger()["jobs"] == []


@pytest.fixture(scope="session")
def undisturbed_qnn(
    running_server: LocalServer,
    forge: Forge,
    tmp_path_factory: pytest.TempPathFactory,
) -> Undisturbed:
    """A run with a calibration that nobody kills."""
    clean(running_server)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in running_server.env.items():
            patch.setenv(name, value)
        plans = tmp_path_factory.mktemp("plans")
        qdm.set_budget("qpu", seconds=600.0, root=plans)
        template = qdm.plan_qnn(
            estimator(),
            X,
            W,
            target=f"ibm:{BACKEND}",
            root=plans,
            mitigation="m3",
            calibration_shots=128,
            **ASKED,
        )
    return left_alone(running_server, forge, template.folder, tmp_path_factory)


@pytest.mark.parametrize(
    ("kind", "which", "side"),
    [("submitted", 1, "before"), pytest.param("collected", 1, "before", marks=pytest.mark.slow)],
    ids=["answered and not written down", "counts saved and not written down"],
)
def test_killed_it_pays_nothing_twice(server, forge, undisturbed_qnn, tmp_path, kind, which, side):
    root = fresh(server, tmp_path, undisturbed_qnn, "again")
    killed_at(forge, root, undisturbed_qnn, moments(undisturbed_qnn, kind)[which], side)
    go_on(forge, root, undisturbed_qnn)
    check_same(server, root, undisturbed_qnn)
    folder = root / undisturbed_qnn.run
    assert replay(folder).difference == 0.0
    assert read_outputs(folder).standard_errors.shape == (3, 2)


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("seed", [20, 21, 22])
def test_a_qnn_killed_at_random_moments(server, forge, undisturbed_qnn, tmp_path, seed):
    random_kills(server, forge, undisturbed_qnn, tmp_path, 15, seed=seed)
