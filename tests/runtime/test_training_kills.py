"""Training on the local service: priced, paid once, killed at any moment, the same weights after."""

# ruff: noqa: F811 (a fixture of another file is an argument here)

from __future__ import annotations

from pathlib import Path

import pytest

from qdm_qiskit.errors import BudgetExceeded, InvalidOption
from qdm_qiskit.hardware.ibm.account import connect
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from tests.helpers import write_run
from tests.runtime.conftest import BACKEND, clean, make_root
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


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EEQDM on 2 x 2 pixels, three qubits."""
    return write_run(tmp_path_factory.mktemp("trained") / "eeqdm")


def planned(run: Path, root: Path, **changes: object) -> RunPlan:
    config: dict[str, object] = {
        "targets": (f"ibm:{BACKEND}",),
        "budget": "qpu",
        "train": 2,
        "num_images": 1,
        "shots": 32,
        "layout_trials": 1,
        "optimization_level": 1,
        **changes,
    }
    backend = connect().backend(BACKEND)
    return make_plan(run, PlanConfig(**config), root=root, backend=backend)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_budget_comes_first_and_holds_the_whole_run(server: LocalServer, root: Path, small):
    with pytest.raises(InvalidOption, match="paid by a budget, and none is named"):
        planned(small, root, budget=None)
    plan = planned(small, root)
    ledger = Ledger.open(root)
    ledger.set_budget("qpu", seconds=plan.total_seconds - 0.1)
    with pytest.raises(BudgetExceeded):
        submit_run(plan.folder)
    assert server.ledger()["jobs"] == []
    ledger.set_budget("qpu", seconds=plan.total_seconds + 0.1)
    ledger.close()
    assert submit_run(plan.folder).state == "done"
    check_account(server, root, 2)
    paid = server.ledger()["charged_seconds"]
    assert abs(plan.total_seconds - paid) < 0.2 * paid
    assert replay(plan.folder).equal


@pytest.fixture(scope="session")
def undisturbed_training(
    running_server: LocalServer,
    forge: Forge,
    small: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Undisturbed:
    """A run that nobody kills."""
    clean(running_server)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in running_server.env.items():
            patch.setenv(name, value)
        template = planned(small, make_root(tmp_path_factory.mktemp("plans") / "root"))
    return left_alone(running_server, forge, template.folder, tmp_path_factory)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "which", "side"),
    [
        ("submitted", 1, "before"),
        pytest.param("sending", 0, "before"),
        pytest.param("collected", 0, "before"),
        pytest.param("settled", 1, "before"),
    ],
    ids=[
        "second step answered and not written down",
        "first step about to be sent",
        "counts saved and not written down",
        "collected and not settled",
    ],
)
def test_killed_it_pays_nothing_twice_and_ends_with_the_same_weights(
    server, forge, undisturbed_training, tmp_path, kind, which, side
):
    expected: Undisturbed = undisturbed_training
    root = fresh(server, tmp_path, expected, "again")
    killed_at(forge, root, expected, moments(expected, kind)[which], side)
    go_on(forge, root, expected)
    check_same(server, root, expected)
    assert "layer.weights" in expected.images
    assert replay(root / expected.run).equal


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_training_killed_at_random_moments(server, forge, undisturbed_training, tmp_path):
    random_kills(server, forge, undisturbed_training, tmp_path, 4, seed=30)
