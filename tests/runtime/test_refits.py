"""Refits on the local service: priced, paid once, killed, used again; calibrations that runs share."""

# ruff: noqa: F811 (a fixture of another file is an argument here)

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qdm_qiskit.errors import BudgetExceeded
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.ibm.account import connect
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.reports.hardware_plan import plan_lines
from qdm_qiskit.reports.hardware_render import render_markdown
from tests.helpers import write_run
from tests.runtime.conftest import BACKEND, check_budget, clean, make_settings
from tests.runtime.server import LocalServer
from tests.runtime.test_kills import (
    Forge,
    check_account,
    forge,  # noqa: F401 (a fixture)
)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EEQDM on 2 x 2 pixels: one circuit, whose probabilities are corrected; one step."""
    return write_run(tmp_path_factory.mktemp("trained") / "eeqdm", "eeqdm", num_steps=1)


@pytest.fixture
def make(server: LocalServer, root: Path, small: Path) -> Callable[..., RunPlan]:
    """`make(shots=..., ...)`: a plan for the server's device, in `root`."""

    def plan(**changes: object) -> RunPlan:
        config: dict[str, object] = {
            "targets": (f"ibm:{BACKEND}",),
            "budget": "qpu",
            "num_images": 1,
            "shots": 64,
            "calibration_shots": 128,
            "layout_trials": 1,
            **changes,
        }
        backend = connect().backend(BACKEND)
        return make_plan(small, PlanConfig(**config), root=root, backend=backend)  # type: ignore

    return plan


def paid_parts(server: LocalServer, kind: str) -> list[int]:
    """How often the job of each part of a kind was paid."""
    tags = server.ledger()["by_tag"]
    return [each["paid"] for tag, each in tags.items() if f"-{kind}-0" in tag]


def test_a_refit_is_priced_paid_once_and_used_again(server, root, make):
    plan = make(refit="20x512")
    assert plan.total_seconds == pytest.approx(plan.refit.seconds + plan.steps[0].seconds)
    assert submit_run(plan.folder).state == "done"
    check_account(server, root, plan.num_jobs)
    paid = server.ledger()["charged_seconds"]
    assert abs(plan.total_seconds - paid) < 0.2 * paid
    report = hardware_report(plan.folder)[0]
    [job] = [each for each in report.jobs if each.part == "refit-0001"]
    assert abs(job.estimated - job.charged) < 0.2 * job.charged
    page = render_markdown(report.to_dict())
    assert "measured values were fitted to the device by 20 circuits of 512 shots, taken by" in page
    assert "times the charge" in page
    assert replay(plan.folder).difference == 0.0
    again = make(refit="20x512", seed=1)
    assert again.refit.found is not None
    assert submit_run(again.folder).state == "done"
    assert paid_parts(server, "refit") == [1]
    more = server.ledger()["charged_seconds"] - paid
    assert abs(again.total_seconds - more) < 0.2 * more
    check_budget(server, root)


def test_a_budget_that_does_not_cover_the_refit_refuses_it_before_anything_is_sent(
    server, root, make
):
    plan = make(refit="20x512")
    ledger = Ledger.open(root)
    ledger.set_budget("qpu", seconds=plan.total_seconds - 0.1)
    state = ledger.budget("qpu")
    ledger.close()
    assert "of the budget's rest" in "\n".join(plan_lines(plan, state))
    with pytest.raises(BudgetExceeded):
        submit_run(plan.folder)
    assert server.ledger()["jobs"] == []
    ledger = Ledger.open(root)
    assert ledger.budget("qpu").reserved_seconds == 0
    assert not ledger.has_claims(plan.run_id)  # nobody waits for what nobody takes
    ledger.set_budget("qpu", seconds=plan.total_seconds + 0.1)
    ledger.close()
    assert submit_run(plan.folder).state == "done"
    check_budget(server, root)


# -- shared by runs that begin together -----------------------------------------------------------


def pair_together(forge: Forge, root: Path, plans: list[RunPlan]) -> list[tuple[int, Path]]:
    return [forge.start("submit", root, plan.run_id) for plan in plans]


@pytest.mark.parametrize(
    ("pairs", "changes", "kind"),
    [
        (1, {"mitigation": "m3"}, "calibration"),
        pytest.param(3, {"mitigation": "m3"}, "calibration", marks=pytest.mark.slow),
        pytest.param(1, {"refit": "8x64"}, "refit", marks=pytest.mark.slow),
    ],
)
def test_of_two_runs_that_begin_together_one_calibrates(
    server, root, make, forge, pairs, changes, kind
):
    for number in range(pairs):
        clean(server)
        own = root.parent / f"pair-{number}"
        two = [make(**changes, seed=2 * number + k) for k in (0, 1)]
        own.mkdir()
        (own / "service.json").write_text((root / "service.json").read_text())
        for plan in two:
            plan.folder.rename(own / plan.run_id)
        ledger = Ledger.open(own)
        # So scarce that a second calibration does not fit.
        once = two[0].total_seconds + sum(each.seconds for each in two[1].steps)
        ledger.set_budget("qpu", seconds=once + 0.5)
        ledger.close()
        started = pair_together(forge, own, two)
        assert [forge.wait(pid) for pid, _ in started] == [0, 0], [
            out.with_suffix(".err").read_text()[-800:]
            for _, out in started
            if out.with_suffix(".err").exists()
        ]
        assert paid_parts(server, kind) == [1]
        for plan in two:
            assert replay(own / plan.run_id).difference == 0.0


@pytest.mark.slow
def test_two_that_were_killed_with_a_claim_do_not_wait_for_each_other(server, root, make, forge):
    two = [make(mitigation="m3", seed=seed) for seed in (0, 1)]
    make_settings(root, calibration_wait_seconds=5.0)
    wanted = two[0].calibration
    what = f"readout {wanted.method} {two[0].target}"
    covers, shots = [str(q) for q in two[0].measured_qubits], wanted.shots * wanted.circuits
    ledger = Ledger.open(root)
    assert ledger.claim(two[0].run_id, what, covers, shots) is None
    assert ledger.claim(two[1].run_id, what, covers, shots, {two[0].run_id}) is None
    ledger.close()
    started = pair_together(forge, root, two)
    assert [forge.wait(pid) for pid, _ in started] == [0, 0]
    assert paid_parts(server, "calibration") == [1]
    check_budget(server, root)


@pytest.mark.parametrize("kind", ["calibration", pytest.param("refit", marks=pytest.mark.slow)])
def test_if_the_taker_is_killed_the_other_takes_over(server, root, make, forge, kind):
    changes = {"mitigation": "m3"} if kind == "calibration" else {"refit": "8x64"}
    first, second = (make(**changes, seed=seed) for seed in (0, 1))
    pid, _ = forge.start("submit", root, first.run_id)
    ledger = Ledger.open(root)
    end = time.monotonic() + 60
    while not ledger.has_claims(first.run_id) and time.monotonic() < end:
        time.sleep(0.002)
    assert ledger.has_claims(first.run_id)
    forge.kill(pid)
    assert forge.wait(pid) == -signal.SIGKILL
    assert submit_run(second.folder).state == "done"
    # The first goes on: with what the second has, unless its own had been sent before it died.
    sent = [each for each in ledger.intentions(first.run_id) if each.part.startswith(kind)]
    assert submit_run(first.folder).state == "done"
    assert paid_parts(server, kind) == [1] * (1 + bool(sent))
    ledger.close()
    check_budget(server, root)
