"""Plan of a fleet on disk: read as it was written, refused when anything in it changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qdm_qiskit.errors import InvalidOption, InvalidPlan, MissingData
from qdm_qiskit.hardware.plan.config import PlanConfig
from qdm_qiskit.hardware.plan.fleet_plan import FleetPlan, SharedRun, read_fleet, write_fleet
from qdm_qiskit.hardware.plan.image_split import DeviceCost
from qdm_qiskit.hardware.plan.types import ExecutionOptions

IDS = ("2026-11-29-eeqdm-00000001", "2026-11-29-eeqdm-00000002")


def fleet(**changes: object) -> FleetPlan:
    targets = ("local:fake_manila", "local:fake_nairobi")
    values: dict[str, object] = {
        "date": "2026-11-29",
        "model": "eeqdm",
        "model_run": "first",
        "content": "0" * 64,
        "config": PlanConfig(
            targets=targets,
            num_images=3,
            budget="open",
            options=ExecutionOptions(rep_delay_seconds=1e-4),
        ),
        "split": "auto",
        "longest_wait_seconds": 60.0,
        "costs": tuple(
            DeviceCost(target=each, jobs=3, fixed_seconds=6.0, image_seconds=0.5, queue=2)
            for each in targets
        ),
        "runs": tuple(
            SharedRun(run_id=run_id, target=target, plan_sha256="1" * 64, images=images)
            for run_id, target, images in zip(IDS, targets, ((0, 1), (2,)), strict=True)
        ),
    }
    return FleetPlan(**{**values, **changes})  # type: ignore[arg-type]


def test_it_is_read_as_it_was_written(tmp_path: Path):
    plan = fleet()
    write_fleet(plan, tmp_path / "fleet.json")
    assert read_fleet(tmp_path) == plan
    assert plan.fleet_id.startswith("2026-11-29-eeqdm-fleet-")


def test_the_id_is_of_what_was_asked_for():
    assert fleet(costs=fleet().costs[::-1]).fleet_id == fleet().fleet_id
    assert fleet(longest_wait_seconds=None).fleet_id != fleet().fleet_id
    assert fleet(content="2" * 64).fleet_id != fleet().fleet_id


@pytest.mark.parametrize("key", ["split", "content", "runs", "config", "longest_wait_seconds"])
def test_a_changed_one_is_refused(tmp_path: Path, key: str):
    path = tmp_path / "fleet.json"
    write_fleet(fleet(), path)
    whole = json.loads(path.read_text())
    whole["content"][key] = None
    path.write_text(json.dumps(whole))
    with pytest.raises(InvalidPlan, match="plan again") as caught:
        read_fleet(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"runs": fleet().runs[:1]},
        {"runs": (fleet().runs[0], fleet().runs[0])},
        {"costs": fleet().costs[:1]},
        {"config": PlanConfig(targets=("aer",), num_images=3)},
        {"date": "today"},
        {"longest_wait_seconds": 0.0},
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object]):
    with pytest.raises(InvalidOption):
        fleet(**changes)


def test_there_is_none(tmp_path: Path):
    with pytest.raises(MissingData, match="no fleet"):
        read_fleet(tmp_path)
