"""`qdm run verify`: ledger, folder and account side by side, and what is not as it should be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qdm_qiskit.cli.main import app
from qdm_qiskit.errors import InvalidPlan
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.run.commands import resume_run, submit_run
from qdm_qiskit.hardware.run.verify import Verification, verify_run
from tests.hardware.ledger.test_bit_flips import flip
from tests.runtime.conftest import check_budget, make_root


def kinds(found: Verification) -> list[str]:
    return [each.kind for each in found.findings]


def test_a_run_and_what_slipped_through(server, root, planned, submit):
    """Clean, then foreign, doubled, settled otherwise, damaged; repaired but for the money."""
    plan = planned(steps=2, mode="job")
    submit_run(plan.folder)
    posts = len(server.ledger()["jobs"])
    clean = verify_run(root, plan.run_id)
    assert clean.clean
    assert clean.listed
    assert kinds(clean) == []
    assert len(clean.jobs) == 2
    assert clean.charged_seconds == pytest.approx(clean.settled_seconds)
    assert clean.charged_seconds == pytest.approx(server.ledger()["charged_seconds"])

    nobody = submit(tag="somebody")
    twin = submit(tag=clean.jobs[0].tag)
    nobody.wait_for_final_state()
    twin.wait_for_final_state()
    other = clean.jobs[1]
    assert other.tag is not None
    ledger = Ledger.open(root)
    ledger.correct(other.tag, {other.job_id: 0.5}, 0)
    ledger.close()
    flip(plan.folder / "images.npz", 1000)

    found = verify_run(root, plan.run_id)
    assert not found.clean
    assert sorted(kinds(found)) == ["charge", "double", "file", "foreign", "unknown"]
    by_kind = {each.kind: each for each in found.findings}
    assert by_kind["foreign"].job_id == nobody.job_id()
    assert by_kind["unknown"].job_id == twin.job_id()
    assert by_kind["charge"].job_id == other.job_id
    assert by_kind["double"].seconds == pytest.approx(by_kind["unknown"].seconds)

    command = ["run", "verify", plan.run_id, "--root", str(root)]
    result = CliRunner().invoke(app, [*command, "--repair", "--json"])
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    repaired = {e["kind"] for e in said["findings"] if e["repaired"]}
    left = {e["kind"] for e in said["findings"] if not e["repaired"]}
    assert repaired == {"charge", "unknown"}
    assert left == {"double", "foreign", "file"}
    ledger = Ledger.open(root)
    spent = ledger.budget("qpu").spent_seconds
    ledger.close()
    theirs = by_kind["foreign"].seconds
    assert spent == pytest.approx(server.ledger()["charged_seconds"] - theirs, abs=1e-6)

    assert resume_run(root, plan.run_id).state == "done"
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1
    assert "paid 2 times" in again.stdout
    assert "damaged" not in again.stdout
    assert len(server.ledger()["jobs"]) == posts + 2


def test_a_folder_without_its_ledger_is_recognised_and_taken_in(server, root, planned, tmp_path):
    """0.1 sent it all again, and paid again."""
    plan = planned(steps=2)
    submit_run(plan.folder, detach=True)
    other = make_root(tmp_path / "other")
    shutil.copytree(plan.folder, other / plan.run_id)
    for _ in range(2):
        with pytest.raises(InvalidPlan, match="used with another ledger than that of"):
            submit_run(other / plan.run_id)
    assert len(server.ledger()["jobs"]) == 1
    found = verify_run(other, plan.run_id)
    assert kinds(found) == ["copied", "unknown"]
    mended = verify_run(other, plan.run_id, repair=True)
    assert mended.clean, mended.findings
    assert resume_run(other, plan.run_id).state == "done"
    assert len(server.ledger()["jobs"]) == 2
    check_budget(server, other)
    assert verify_run(other, plan.run_id).clean


def test_counts_with_a_flipped_bit_are_fetched_again_and_not_paid(server, root, planned):
    plan = planned(steps=1, mode="job")
    submit_run(plan.folder)
    path = plan.folder / "steps" / "step-0001.npz"
    good, images = path.read_bytes(), (plan.folder / "images.npz").read_bytes()
    flip(path, 4 * len(good))
    (plan.folder / "manifest.json").write_text("{")
    told: list[str] = []
    assert resume_run(root, plan.run_id, progress=told.append).state == "done"
    assert sum("was damaged" in each for each in told) == 2
    assert path.read_bytes() == good
    assert (plan.folder / "images.npz").read_bytes() == images
    assert len(server.ledger()["jobs"]) == 1
    check_budget(server, root)
    assert verify_run(root, plan.run_id).clean


def test_a_run_of_which_nothing_is_paid_is_its_files_and_ledger(tmp_path, trained):
    from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan

    config = PlanConfig(targets=("engine",), num_images=2, shots=64)
    plan = make_plan(trained(2), config, root=tmp_path)
    submit_run(plan.folder)
    assert verify_run(tmp_path, plan.run_id).clean
    flip(plan.folder / "samples.png", 300)
    found = verify_run(tmp_path, plan.run_id)
    assert kinds(found) == ["file"]
    assert Path(plan.folder / "samples.png").exists()


def test_a_folder_of_which_nothing_was_paid_says_that_it_came_from_elsewhere(tmp_path, trained):
    """It said that ledger, folder and account agree on 0 jobs."""
    from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan

    config = PlanConfig(targets=("engine",), num_images=2, shots=64)
    plan = make_plan(trained(1), config, root=tmp_path / "old")
    submit_run(plan.folder)
    assert "ledger and folder agree" in verify_run(tmp_path / "old", plan.run_id).sentence()
    shutil.copytree(plan.folder, tmp_path / "new" / plan.run_id)
    for repair in (False, True):
        found = verify_run(tmp_path / "new", plan.run_id, repair=repair)
        assert kinds(found) == ["copied"]
        assert not found.clean
        assert "knows no job of it" in found.findings[0].text
    shutil.copytree(tmp_path / "old", tmp_path / "whole")
    assert verify_run(tmp_path / "whole", plan.run_id).clean
