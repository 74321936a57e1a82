"""System metrics of a run on the local server, against the server's own record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qdm_qiskit.evaluation.system import system_report
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.run.commands import submit_run
from tests.runtime.server import LocalServer

pytestmark = pytest.mark.slow  # seconds each: whole runs on the server

QUEUE, RUN = 0.8, 0.4


def test_queue_run_and_charge_are_those_of_the_server(
    server: LocalServer, root: Path, planned: Callable[..., RunPlan]
) -> None:
    plan = planned(steps=2)
    server.change(queue_seconds=QUEUE, run_seconds=RUN)
    assert submit_run(plan.folder).state == "done"
    [run] = system_report(plan.folder, watts=1000.0).runs
    values, jobs = run.values, server.ledger()["jobs"]
    assert values["jobs"] == len(jobs) == 2
    # By the server: from its creation to its end a job waits, then runs.
    whole = sum(job["ended"] - job["created"] for job in jobs)
    assert values["queue_seconds"] + values["run_seconds"] == pytest.approx(whole, abs=1e-3)
    assert values["queue_seconds"] >= 2 * QUEUE
    assert values["run_seconds"] >= 2 * RUN
    assert values["in_jobs_seconds"] == pytest.approx(
        whole + values["communication_seconds"], abs=1e-3
    )
    charged = server.ledger()["charged_seconds"]
    assert values["qpu_charged"] == pytest.approx(charged, abs=1e-6)
    assert values["qpu_charged_step"] == pytest.approx(charged / 2)
    assert values["energy_joules"] == pytest.approx(1000 * charged)
    assert values["device_qubits"] == 7
    assert values["qubits_used"] + values["qubits_idle"] == 7
    # A QPU's durations are its account's to say: what needs them is not known here.
    assert values.get("idle_seconds") is None
    assert run.why("idle_seconds") == f"not known: '{plan.backend}' is not at hand here"
