"""What a plan says that a run will cost, and what the server charges for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from qdm_qiskit.errors import BudgetExceeded
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.files import read_json_object, write_json
from qdm_qiskit.hardware.ibm.account import look
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.prepare import PlanConfig
from qdm_qiskit.hardware.plan.run_plan import ExecutionOptions, RunPlan
from qdm_qiskit.hardware.plan.target_choice import FallbackPolicy, plan_on_first
from qdm_qiskit.hardware.providers.settings import read_settings
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.reports.hardware_plan import plan_lines, plan_summary
from qdm_qiskit.reports.hardware_render import render_markdown
from tests.runtime.conftest import BACKEND
from tests.runtime.server import LocalServer

pytestmark = pytest.mark.slow  # seconds each: whole runs on the server

Make = Callable[..., RunPlan]


@pytest.fixture
def make(server: LocalServer, trained: Callable[[int], Path], root: Path) -> Make:
    """`make(seed=1, ...)`: a plan for the server's device, made where the ledger is."""

    def plan(**changes: object) -> RunPlan:
        options: dict[str, object] = {
            "targets": (f"ibm:{BACKEND}",),
            "num_images": 2,
            "shots": 128,
            "mitigation": "m3",
            "calibration_shots": 8192,
            "layout_trials": 2,
            "budget": "qpu",
            **changes,
        }
        config = PlanConfig(**options)  # type: ignore[arg-type]
        see = look(read_settings(root))
        return plan_on_first(trained(2), config, FallbackPolicy(), root=root, look=see)

    return plan


def charged(server: LocalServer) -> float:
    return float(server.ledger()["charged_seconds"])


def reserved(root: Path, plan: RunPlan) -> float:
    """What a run reserved before its first job."""
    ledger = Ledger.open(root)
    rows = ledger.reservations(plan.run_id)
    ledger.close()
    first = min(float(row["reserved_at"]) for row in rows)
    return sum(float(row["seconds"]) for row in rows if row["reserved_at"] == first)


def age(plan: RunPlan, seconds: float) -> None:
    """Make the calibration of a run older."""
    path = plan.folder / "calibration-0001.json"
    content = read_json_object(path)
    taken = datetime.fromisoformat(content["taken_at"]) - timedelta(seconds=seconds)
    write_json(path, {**content, "taken_at": taken.isoformat()})


@pytest.mark.parametrize(
    "changes",
    [
        {"options": ExecutionOptions(rep_delay_seconds=1e-4)},
        {"options": ExecutionOptions(twirl_gates=True, twirl_measure=True)},
        {"options": ExecutionOptions(dynamical_decoupling="XpXm")},
        {"calibration_method": "independent"},
        {"shots": 1024, "num_images": 5},
        {"seconds": 60.0},
    ],
    ids=["rep-delay", "twirled", "decoupled", "independent", "larger", "seconds"],
)
def test_the_estimate_is_within_a_fifth_of_the_charge(server, root, make, changes):
    plan = make(**changes)
    assert submit_run(plan.folder).state == "done"
    paid = charged(server)
    assert abs(plan.total_seconds - paid) < 0.2 * paid
    assert reserved(root, plan) == pytest.approx(plan.total_seconds)
    for job in hardware_report(plan.folder)[0].jobs:
        assert abs(job.estimated - job.charged) < 0.2 * job.charged


def test_the_second_run_is_estimated_without_the_calibration_that_it_finds(server, root, make):
    first = make()
    assert first.calibration.found is None
    assert first.num_jobs == 2 + 1
    assert submit_run(first.folder).state == "done"
    paid = charged(server)
    assert abs(first.total_seconds - paid) < 0.2 * paid

    second = make(seed=1)  # other images on the same qubits
    assert second.circuit.measured_qubits == first.circuit.measured_qubits
    assert second.calibration.found.path == f"{first.run_id}/calibration-0001.json"
    assert second.num_jobs == 2
    assert second.most_seconds == first.total_seconds
    assert submit_run(second.folder).state == "done"
    paid = charged(server) - paid
    assert abs(second.total_seconds - paid) < 0.2 * paid
    # The calibration that is not taken would have been off by more than that.
    assert abs(second.most_seconds - paid) > 0.2 * paid
    assert reserved(root, second) == pytest.approx(second.total_seconds)
    assert len(server.ledger()["jobs"]) == 3 + 2


def test_both_figures_are_shown_and_the_budget_is_asked_for_what_is_sent(server, root, make):
    first = make()
    submit_run(first.folder)
    second = make(seed=1)
    summary = plan_summary(second)
    assert summary["seconds"] == second.total_seconds
    assert summary["seconds_if_calibrated"] == first.total_seconds
    assert summary["calibration"]["found"]["path"].startswith(first.run_id)
    text = "\n".join(plan_lines(second))
    assert f"in all     2 jobs, 4 circuits, 512 shots, about {second.total_seconds:.1f}" in text
    assert f"by {first.run_id}, and used again until" in text
    assert f"makes it {second.most_seconds:.1f} QPU seconds in all" in text

    ledger = Ledger.open(root)
    spent = ledger.budget("qpu").spent_seconds
    between = (second.total_seconds + second.most_seconds) / 2
    ledger.set_budget("qpu", seconds=spent + between)
    assert "if the readout has to be calibrated anew" in "\n".join(
        plan_lines(second, ledger.budget("qpu"))
    )
    ledger.close()
    assert submit_run(second.folder).state == "done"


def test_a_calibration_that_went_stale_is_taken_and_paid_from_the_budget(server, root, make):
    first = make()
    submit_run(first.folder)
    second, third = make(seed=1), make(seed=2)
    age(first, first.calibration.ttl_seconds + 60)
    paid = charged(server)
    assert submit_run(second.folder).state == "done"
    paid = charged(server) - paid
    assert reserved(root, second) == pytest.approx(second.most_seconds)
    assert abs(second.most_seconds - paid) < 0.2 * paid
    text = render_markdown(hardware_report(second.folder)[0].to_dict())
    assert "was expected to be used again, and was taken anew" in text

    # Where the budget holds what the plan said, but not a calibration, nothing is sent.
    age(second, first.calibration.ttl_seconds + 60)
    ledger = Ledger.open(root)
    between = (third.total_seconds + third.most_seconds) / 2
    ledger.set_budget("qpu", seconds=ledger.budget("qpu").spent_seconds + between)
    ledger.close()
    jobs = len(server.ledger()["jobs"])
    with pytest.raises(BudgetExceeded, match=f"does not allow {third.most_seconds:.6g}"):
        submit_run(third.folder)
    assert len(server.ledger()["jobs"]) == jobs


def test_a_calibration_taken_in_the_meantime_is_used_and_the_page_says_so(server, root, make):
    first, second = make(), make(seed=1)
    assert second.calibration.found is None
    submit_run(first.folder)
    paid = charged(server)
    submit_run(second.folder)
    paid = charged(server) - paid
    assert reserved(root, second) == pytest.approx(
        second.total_seconds - second.calibration.seconds
    )
    report = hardware_report(second.folder)[0].to_dict()
    assert "one of another run was used" in render_markdown(report)
    assert report["seconds_charged"] == pytest.approx(paid)
    ratio = (second.total_seconds - second.calibration.seconds) / paid
    assert f"of the jobs that were sent make {ratio:.2f} times the charge" in render_markdown(
        report
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"calibration_shots": 9000},
        {"calibration_method": "independent"},
        {"targets": ("ibm:ibm_lagos",)},
    ],
)
def test_a_calibration_that_does_not_serve_is_not_counted_on(server, make, changes):
    submit_run(make().folder)
    plan = make(**changes)
    assert plan.calibration.found is None
    assert plan.total_seconds == plan.most_seconds
