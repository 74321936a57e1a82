"""Fleets on this machine: models of all ways, tiles, readout, and devices that fail at each turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidOption, TargetUnavailable, UnsupportedCircuit
from qdm_qiskit.hardware.run.driver import DrivenRun
from qdm_qiskit.tasks.fleets import Fleet, find_run, plan_fleet
from tests.hardware.reading_model import write_reading_run
from tests.helpers import write_run

DEVICES = ("aer", "engine")
SMALL = ("local:fake_manila", "local:fake_nairobi")
LARGER = ("local:fake_nairobi", "local:fake_guadalupe")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("trained")

    def make(model: str = "eeqdm", **options: object) -> Path:
        run = folder / f"{model}-{abs(hash(repr(sorted(options.items()))))}"
        return run if run.exists() else write_run(run, model, **options)

    return make


def planned(run: Path, root: Path, **changes: object) -> Fleet:
    options: dict[str, object] = {"num_images": 4, "shots": 32, "layout_trials": 1, **changes}
    return plan_fleet(run, options.pop("targets", DEVICES), root=root, **options)  # type: ignore[arg-type]


def dies(monkeypatch: pytest.MonkeyPatch, target: str, turn: int) -> None:
    """Have a device fail for good when its run would go on for the nth time."""
    go, turns = DrivenRun.go, [0]

    def gone(self: DrivenRun, *, detach: bool):
        if self._plan.target == target:
            turns[0] += 1
            if turns[0] >= turn:
                raise TargetUnavailable(f"{target} is gone.")
        return go(self, detach=detach)

    monkeypatch.setattr(DrivenRun, "go", gone)


def check(fleet: Fleet, steps: int, again: int = 0) -> None:
    """All is done, each step of each image was answered once, and a replay gives the images."""
    assert fleet.state.state == "done"
    replayed = fleet.replay()
    assert (replayed.done, replayed.equal, replayed.handed_on) == (True, True, True)
    found = np.zeros(fleet.plan.num_images, dtype=int)
    for run, each in zip(fleet.runs, replayed.runs, strict=True):
        assert run.plan.share is not None
        found[list(run.plan.share.images)] += len(each.steps)
    assert found.sum() == fleet.plan.num_images * steps + again


@pytest.mark.parametrize(
    "turn", [1, 2, pytest.param(3, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_a_device_that_fails_at_a_turn(trained, tmp_path, monkeypatch, turn):
    fleet = planned(trained(), tmp_path)
    dies(monkeypatch, DEVICES[1], turn)
    fleet.submit(yes=True)
    check(fleet, steps=3)
    state = fleet.state
    retired = [each for each in state.members if each.retired]
    if turn < 4:
        assert [each.target for each in retired] == [DEVICES[1]]
        assert state.members[-1].begins_at == turn - 1 if turn < 3 else True
    assert find_run("latest", root=tmp_path).folder == fleet.folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "options", "changes", "steps"),
    [
        ("eeqdm", {}, {"mitigation": "m3", "calibration_shots": 128, "targets": SMALL}, 3),
        ("eeqdm", {}, {"tiles": "2", "targets": LARGER}, 3),
        ("eeqdm", {}, {"refit": "12x64", "targets": SMALL}, 3),
        ("qu_net", {"num_steps": 2, "levels": 2}, {"targets": LARGER}, 2),
    ],
    ids=["m3", "tiles", "refit", "calls"],
)
def test_models_and_options(trained, tmp_path, monkeypatch, model, options, changes, steps):
    fleet = planned(trained(model, **options), tmp_path, **changes)
    dies(monkeypatch, fleet.plan.config.targets[0], 3)
    fleet.submit(yes=True)
    check(fleet, steps=steps)
    assert [each.retired is None for each in fleet.state.members] == [False, True, True]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddim", "dpm-solver++"])
def test_a_sampler_goes_on_or_begins_again_where_it_looks_back(
    trained, tmp_path, monkeypatch, name
):
    run = write_reading_run(tmp_path / "readings")
    changes = {"scheduler": name, "num_inference_steps": 3, "eta": 0.5 * (name == "ddim")}
    fleet = planned(run, tmp_path / "root", **changes)
    dies(monkeypatch, DEVICES[1], 3)
    said: list[str] = []
    fleet.submit(yes=True, progress=lambda text: said.append(str(text)))
    again = fleet.plan.runs[1].images if name == "dpm-solver++" else ()
    [heir] = [each for each in fleet.state.members if each.after]
    assert (heir.begins_at == 0) == bool(again)
    assert any("answered again" in text for text in said) == bool(again)
    [gone] = [each for each in fleet.runs if each.folder.name == heir.after]
    check(fleet, steps=3, again=len(again) * len(gone.replay().steps))


@pytest.mark.slow
def test_the_third_takes_what_two_leave(trained, tmp_path, monkeypatch):
    three = (*DEVICES, "local:fake_manila")
    fleet = planned(trained(), tmp_path, targets=three, num_images=6, split="even")
    go = DrivenRun.go

    def gone(self: DrivenRun, *, detach: bool):
        step = self._state().step
        if self._plan.target in DEVICES and step < 3:
            raise TargetUnavailable(f"{self._plan.target} is gone.")
        return go(self, detach=detach)

    monkeypatch.setattr(DrivenRun, "go", gone)
    fleet.submit(yes=True)
    check(fleet, steps=3)
    [last] = {each.target for each in fleet.state.members if each.retired is None}
    assert last == three[2]


def test_a_damaged_hand_over_is_seen(trained, tmp_path, monkeypatch):
    fleet = planned(trained(), tmp_path)
    dies(monkeypatch, DEVICES[1], 2)
    fleet.submit(yes=True)
    [gone] = [each for each in fleet.state.members if each.retired]
    for counts in (tmp_path / gone.run.run_id).glob("steps/*.npz"):
        counts.rename(counts.with_suffix(".away"))
    replayed = fleet.replay()
    assert (replayed.handed_on, replayed.equal) == (False, False)


def test_a_device_that_is_too_small_is_named(trained, tmp_path):
    with pytest.raises(
        UnsupportedCircuit, match=r"'local:fake_manila' cannot share this run: .* qubits"
    ) as caught:
        planned(trained("eeqdm", image_size=8), tmp_path, targets=SMALL)
    assert "\n" not in str(caught.value)
    assert not [each for each in tmp_path.iterdir() if each.name[0].isdigit()]


def test_the_same_fleet_twice_is_one(trained, tmp_path):
    first = planned(trained(), tmp_path)
    with pytest.raises(OSError, match="planned already"):
        planned(trained(), tmp_path)
    assert Fleet.all(tmp_path)[0].plan == first.plan


def test_a_list_of_one_run_is_refused(trained, tmp_path):
    with pytest.raises(InvalidOption, match="share no run with train"):
        planned(trained(), tmp_path, train=2)
