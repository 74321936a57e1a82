"""A run on tiles on the local service: one circuit with a register a tile, paid as one."""

from __future__ import annotations

import numpy as np
import pytest

from qdm_qiskit.hardware.ibm.account import connect
from qdm_qiskit.hardware.ledger.run_files import counts_path, read_counts
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from tests.helpers import write_run
from tests.runtime.conftest import BACKEND
from tests.runtime.test_kills import check_account


@pytest.mark.parametrize("mitigation", ["none", "m3"])
def test_tiles_are_paid_as_one_circuit_and_read_apart(server, root, tmp_path, mitigation):
    run = write_run(tmp_path / "trained", num_steps=1)
    config = PlanConfig(
        targets=(f"ibm:{BACKEND}",),
        budget="qpu",
        num_images=3,
        shots=256,
        calibration_shots=128,
        layout_trials=1,
        tiles="2",
        mitigation=mitigation,
    )
    plan = make_plan(run, config, root=root, backend=connect().backend(BACKEND))
    [job] = plan.calls.jobs
    assert job.together == ((0, 1),)
    assert job.circuits == 2  # three images on two tiles
    assert submit_run(plan.folder).state == "done"
    check_account(server, root, plan.num_jobs)
    paid = server.ledger()["charged_seconds"]
    assert abs(plan.total_seconds - paid) < 0.2 * paid
    assert paid < plan.calls.tiles.seconds_without
    assert replay(plan.folder).equal
    counts = read_counts(counts_path(plan.folder, job.name)).counts
    assert [each.shape for each in counts] == [(2, 8), (1, 8)]
    assert all((each.sum(axis=1) == 256).all() for each in counts)
    # Two rows of one tile are other images; had registers been mixed up, a replay would not tell.
    found = replay(plan.folder).steps[0]
    assert found.raw_distance < 0.3
    assert np.isfinite(found.raw_fidelity)
