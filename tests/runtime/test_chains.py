"""Chains in one circuit on the local service: priced, paid once, killed, taken up again."""

# ruff: noqa: F811 (a fixture of another file is an argument here)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.errors import BudgetExceeded, InvalidData, UnsupportedCircuit
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.ibm.account import connect
from qdm_qiskit.hardware.ibm.dry_run import dry_run
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.providers.settings import ServiceSettings
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from tests.runtime.conftest import BACKEND, check_budget
from tests.runtime.server import LocalServer
from tests.runtime.test_calls import random_kills, undisturbed
from tests.runtime.test_kills import (
    Forge,
    Undisturbed,
    check_account,
    check_same,
    forge,  # noqa: F401 (a fixture)
    fresh,
    go_on,
    killed_at,
    moments,
)
from tests.state_runs import write_state_run

FRESH, REUSED = {"num_steps": 2}, {"num_steps": 6}
"""4 and 8 bits on a device of 7 qubits."""


@pytest.fixture(scope="session")
def chains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("chains")
    return {
        "fresh": write_state_run(folder / "fresh", "cacioppo", **FRESH),
        "reused": write_state_run(folder / "reused", "cacioppo", **REUSED),
        "lossy": write_state_run(folder / "lossy", "conditioned"),
        "large": write_state_run(folder / "large", "cacioppo", image_size=16),
    }


def planned(run: Path, root: Path, **changes: object) -> RunPlan:
    config: dict[str, object] = {
        "targets": (f"ibm:{BACKEND}",),
        "budget": "qpu",
        "num_images": 2,
        "shots": 500,
        "calibration_shots": 128,
        "layout_trials": 1,
        **changes,
    }
    backend = connect().backend(BACKEND)
    return make_plan(run, PlanConfig(**config), root=root, backend=backend)  # type: ignore


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("fresh", {}),
        pytest.param("reused", {"shots": 60, "mitigation": "m3"}, marks=pytest.mark.slow),
    ],
)
def test_it_is_one_job_whose_estimate_is_within_a_fifth_of_the_charge(
    server, root, chains, name, changes
):
    plan = planned(chains[name], root, **changes)
    assert plan.chain.reuse_qubits == (name == "reused")
    assert len(plan.calls.jobs) == 1
    assert submit_run(plan.folder).state == "done"
    check_account(server, root, plan.num_jobs)
    check_budget(server, root)
    paid = server.ledger()["charged_seconds"]
    assert abs(plan.total_seconds - paid) < 0.2 * paid
    found = replay(plan.folder)
    assert found.difference == 0.0
    assert found.kept.min() > 0.3
    assert hardware_report(plan.folder)[0].chain["kept"] == found.kept.tolist()


@pytest.mark.slow
def test_a_paid_plans_service_estimates_the_job_of_all_bases(tmp_path, chains, monkeypatch):
    (tmp_path / "server").mkdir()
    run = write_state_run(tmp_path / "quddpm", "quddpm")
    with LocalServer(tmp_path / "server", plan="paygo", devices=["nairobi"]) as paid:
        for name, value in paid.env.items():
            monkeypatch.setenv(name, value)
        plan = planned(run, tmp_path / "root", shots=3_000)
        found = dry_run(plan, connect(settings=ServiceSettings(poll_seconds=0.1)))
        assert found.ours == plan.total_seconds
        assert abs(found.seconds - found.ours) < 0.02 * found.ours
        assert paid.ledger()["charged_seconds"] == 0


def test_what_is_refused_sends_nothing(server, root, chains):
    with pytest.raises(InvalidData, match="less than one"):
        planned(chains["lossy"], root, shots=20, chain="coherent")
    with pytest.raises(UnsupportedCircuit, match="10 qubits and the device has 7"):
        planned(chains["large"], root)
    plan = planned(chains["fresh"], root)
    ledger = Ledger.open(root)
    ledger.set_budget("qpu", seconds=plan.total_seconds - 0.1)
    ledger.close()
    with pytest.raises(BudgetExceeded):
        submit_run(plan.folder)
    assert server.ledger()["jobs"] == []


@pytest.fixture(scope="session")
def undisturbed_chain(
    running_server: LocalServer,
    chains: dict[str, Path],
    forge: Forge,
    tmp_path_factory: pytest.TempPathFactory,
) -> Undisturbed:
    return undisturbed(
        running_server, chains["fresh"], forge, tmp_path_factory, BACKEND, num_images=2
    )


@pytest.mark.parametrize(
    ("kind", "side"),
    [("submitted", "before"), pytest.param("collected", "before", marks=pytest.mark.slow)],
    ids=["answered and not written down", "counts saved"],
)
def test_killed_around_its_job_it_pays_once(server, forge, undisturbed_chain, tmp_path, kind, side):
    root = fresh(server, tmp_path, undisturbed_chain, "again")
    killed_at(forge, root, undisturbed_chain, moments(undisturbed_chain, kind)[0], side)
    go_on(forge, root, undisturbed_chain)
    check_same(server, root, undisturbed_chain)
    assert replay(root / undisturbed_chain.run).difference == 0.0


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("name", ["fresh", "reused"])
def test_a_chain_killed_at_random_moments(server, forge, chains, tmp_path_factory, tmp_path, name):
    expected = undisturbed(
        server, chains[name], forge, tmp_path_factory, BACKEND, num_images=2, shots=60
    )
    assert expected.jobs == 1
    assert np.isfinite(next(iter(expected.images.values()))).all()
    random_kills(server, forge, expected, tmp_path, 30)
