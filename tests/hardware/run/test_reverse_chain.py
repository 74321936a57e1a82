"""A run whose states leave the finite numbers says at which step, when submitted and when resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.run.commands import resume_run, submit_run
from tests.helpers import write_run

STEP = r"at step t=[1-8]: the state of sample [01]"


def test_states_that_overflow_are_named_by_their_step(tmp_path: Path):
    """Each step multiplies what the model does not predict by 3e6: beyond float32 after six."""
    steep = {"beta_start": 1 - 1e-13, "beta_end": 1 - 1e-13, "num_steps": 8}
    run = write_run(tmp_path / "r", process="gaussian", goal="noise", **steep)
    options = PlanConfig(
        targets=("aer",), num_images=2, shots=20, layout_trials=1, optimization_level=1
    )
    plan = make_plan(run, options, root=tmp_path / "runs")
    with pytest.raises(InvalidData, match=STEP):
        submit_run(plan.folder)
    with pytest.raises(InvalidData, match=STEP):
        resume_run(plan.folder.parent, plan.run_id)
    assert not (plan.folder / "images.npz").exists()
