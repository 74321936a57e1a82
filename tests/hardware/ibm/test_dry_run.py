"""IBM's own estimate: asked for where the account's plan allows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdm_qiskit.errors import TargetUnavailable
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.hardware.ibm.account import connect
from qdm_qiskit.hardware.ibm.dry_run import dry_run
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.providers.settings import ServiceSettings
from tests.helpers import write_run
from tests.runtime.server import LocalServer


class Handle:
    """An account with a plan; nothing else may be asked of it."""

    def __init__(self, plan: str) -> None:
        self.plan = plan

    def plan_type(self) -> str:
        return self.plan


def test_the_open_plan_has_none(tmp_path):
    backend = load_backend("fake_nairobi")
    backend.name = "ibm_nairobi"
    config = PlanConfig(targets=("ibm:ibm_nairobi",), num_images=1, layout_trials=1)
    plan = make_plan(write_run(tmp_path / "r"), config, root=tmp_path / "root", backend=backend)
    with pytest.raises(TargetUnavailable, match="Open Plan"):
        dry_run(plan, Handle("open"))


def test_a_simulator_has_none(tmp_path):
    config = PlanConfig(targets=("aer",), num_images=1)
    plan = make_plan(write_run(tmp_path / "r"), config, root=tmp_path / "root")
    with pytest.raises(TargetUnavailable, match="'aer' has none"):
        dry_run(plan, Handle("paygo"))


@pytest.mark.slow
def test_a_paid_plans_service_says_what_it_would_charge_and_charges_nothing(tmp_path, monkeypatch):
    """The real client over HTTP; the server's price is computed on its own side."""
    (tmp_path / "server").mkdir()
    with LocalServer(Path(tmp_path / "server"), plan="paygo", devices=["nairobi"]) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        handle = connect(settings=ServiceSettings(poll_seconds=0.1))
        config = PlanConfig(
            targets=("ibm:ibm_nairobi",),
            num_images=3,
            shots=500,
            layout_trials=1,
            schedule="variance",
        )
        plan = make_plan(
            write_run(tmp_path / "r"),
            config,
            root=tmp_path / "root",
            backend=handle.backend("ibm_nairobi"),
        )
        found = dry_run(plan, handle)
        [job] = server.ledger()["jobs"]
    assert found.step == max(plan.steps, key=lambda each: each.shots).step
    # The server rounds to a thousandth of a second.
    assert found.seconds == pytest.approx(found.ours, abs=1e-3)
    assert (job["backend"], job["charged_seconds"]) == ("mock_nairobi", 0.0)
    assert job["tags"] == ["qdm-dry-run"]
