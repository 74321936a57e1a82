"""IBM's own estimate: asked for where the plan allows it; against a service that is made up here.

The real client's dry run is tested in tests/runtime, against a server.
"""

from __future__ import annotations

import pytest

from qdm_qiskit.errors import TargetUnavailable
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.hardware.dry_run import dry_run
from qdm_qiskit.hardware.planning import PlanConfig, make_plan
from tests.hardware.small_runs import write_run


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
