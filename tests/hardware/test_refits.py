"""Refits as a step of hardware runs: planned, priced, sent once, kept, used again, replayed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import qdm_qiskit as qdm
from qdm_qiskit.errors import CalibrationMismatch, InvalidOption, InvalidPlan, TargetUnavailable
from qdm_qiskit.execution.calls import CallResult
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.run_files import calibration_names, read_refits
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.refits import read_pairs
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.providers.context import RunContext
from qdm_qiskit.hardware.providers.local import LocalProvider
from qdm_qiskit.hardware.providers.settings import ServiceSettings
from qdm_qiskit.hardware.run import call_chain
from qdm_qiskit.hardware.run.commands import resume_run, submit_run
from qdm_qiskit.hardware.run.job_requests import RunParts
from qdm_qiskit.hardware.run.refits import RunRefits
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.mitigation.device_fit import DeviceFit, fitted_corrections, fitted_heads
from qdm_qiskit.mitigation.refit import ridge
from qdm_qiskit.models import whitened_codecs
from qdm_qiskit.reports.hardware_plan import plan_lines, plan_summary
from tests.hardware.ledger.test_bit_flips import flip
from tests.hardware.reading_model import write_reading_run
from tests.hardware.run.test_call_chain import Killed, copied, killed_at
from tests.helpers import images_of, write_run
from tests.state_runs import write_state_run

SMALL = {"image_size": 4, "latents": 3, "num_qubits": 3, "uploads": 2, "bricks": 1}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A latent model of 3 qubits with a linear head, by class, three steps."""
    folder = tmp_path_factory.mktemp("runs") / "line"
    settings = {"skip": True, "guided": True, "classes": (0, 1), "num_steps": 3}
    settings |= {"epochs": 2, "baseline": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whitened_codecs, "STEPS", 20)
        qdm.train("line", folder, **SMALL, **settings)
    return folder


def planned(run: Path, root: Path, **changes: object) -> RunPlan:
    options: dict[str, object] = {
        "targets": ("aer",),
        "num_images": 2,
        "shots": 64,
        "calibration_shots": 500,
        "layout_trials": 1,
        "refit": "12",
        **changes,
    }
    return make_plan(run, PlanConfig(**options), root=root)  # type: ignore[arg-type]


def text_of(plan: RunPlan) -> str:
    return "\n".join(plan_lines(plan))


class Shrinking:
    """Results as a device gives them that shrinks and shifts each expectation value."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gain: float, offset: float) -> None:
        made = call_chain.call_result

        def shrunk(call, counts):
            found = made(call, counts)
            return CallResult(outputs=gain * found.outputs + offset)

        monkeypatch.setattr(call_chain, "call_result", shrunk)


# --- the arithmetic -----------------------------------------------------------------------------


def places_of(rng: np.random.Generator, gains: dict[str, float], rows: int):
    """Values of a head of 4 numbers at places that shrink them, and what the head should say."""
    weight, bias = rng.normal(size=(2, 4)), rng.normal(size=2)
    exact = {place: rng.uniform(-1, 1, size=(rows, 4)) for place in gains}
    values = {
        place: gains[place] * each + 0.03 * rng.normal(size=each.shape)
        for place, each in exact.items()
    }
    return weight, bias, exact, values, {p: e @ weight.T + bias for p, e in exact.items()}


def test_one_place_has_the_head_of_a_plain_refit():
    rng = np.random.default_rng(0)
    weight, bias, _, values, targets = places_of(rng, {"a": 0.7}, 40)
    maps, before, after = fitted_heads(values, targets, weight, bias)
    plain = ridge(values["a"], targets["a"], weight, bias)
    np.testing.assert_array_equal(maps["a"].weight, plain.weight)
    assert (before, after) == (plain.error_before, plain.error_left_out)


def test_places_that_differ_have_heads_of_their_own_and_others_share_one():
    rng = np.random.default_rng(1)
    weight, bias, _, values, targets = places_of(rng, {"a": 0.9, "b": 0.4}, 60)
    maps, before, after = fitted_heads(values, targets, weight, bias)
    for place, gain in (("a", 0.9), ("b", 0.4)):
        np.testing.assert_allclose(maps[place].weight, weight / gain, rtol=0.15, atol=0.15)
    shared = ridge(
        np.concatenate([*values.values()]), np.concatenate([*targets.values()]), weight, bias
    )
    assert after < 0.5 * shared.error_left_out < before
    # Where few circuits of a place tell nothing of their own, all places have what they share.
    weight, bias, _, values, targets = places_of(rng, dict.fromkeys("abcdef", 0.7), 4)
    maps, _, _ = fitted_heads(values, targets, weight, bias)
    found = [each.weight for each in maps.values()]
    assert max(sum(np.array_equal(one, each) for each in found) for one in found) >= 4


def test_corrections_of_places_that_differ_undo_each_its_own():
    rng = np.random.default_rng(2)
    _, _, exact, values, _ = places_of(rng, {"a": 0.9, "b": 0.5}, 50)
    maps, before, after = fitted_corrections(values, exact)
    assert after < 0.1 * before
    np.testing.assert_allclose(maps["a"].weight, 1 / 0.9, atol=0.1)
    np.testing.assert_allclose(maps["b"].weight, 1 / 0.5, atol=0.2)
    for place, each in maps.items():
        assert np.square(each(values[place]) - exact[place]).mean() < 0.2 * before


# --- planned and priced -------------------------------------------------------------------------


def test_a_plan_has_the_refits_job_and_price(line, tmp_path):
    plan = planned(line, tmp_path, targets=("local:fake_torino",), refit="40x128", num_images=3)
    refit, clock = plan.refit, plan.timing
    assert (refit.kind, refit.circuits, refit.bound, refit.shots) == ("head", 40, 40, 128)
    [entry] = plan.calls.circuits
    wanted = 2.0 + 40 * 128 * (clock.rep_delay_seconds + entry.seconds)
    assert refit.seconds == pytest.approx(wanted, rel=1e-12)
    steps = sum(each.seconds for each in plan.steps)
    assert plan.total_seconds == plan.most_seconds == pytest.approx(refit.seconds + steps)
    assert (plan.num_jobs, plan.num_circuits) == (4, 40 + 3 * 3)
    assert plan.total_shots == 40 * 128 + 9 * 64
    assert plan.jobs()[0] == ("refit", 1, 40, 128, refit.seconds)
    assert read_plan(plan.folder) == plan
    text = text_of(plan)
    assert f"its linear head, on 40 circuits: {refit.seconds:.2f} QPU seconds" in text
    summary = plan_summary(plan)["refit"]
    assert summary["seconds"] == refit.seconds
    assert summary["found"] is None
    # Its states are training images at random times, as `qdm refit` draws them.
    pairs = read_pairs(plan)
    again = qdm.load_run(line)
    from qdm_qiskit.sampling.refit import refit_pairs

    assert torch.equal(pairs.x, refit_pairs(again, 40).x)
    assert set(pairs.labels.tolist()) == {0, 1}


def test_on_tiles_it_runs_on_all_at_once(line, tmp_path):
    plan = planned(line, tmp_path, targets=("local:fake_torino",), tiles="3", num_images=6)
    assert [(e.first, e.rows) for e in plan.refit.calls] == [(0, 4), (4, 4), (8, 4)]
    assert plan.refit.bound == 4
    assert len({plan.refit.place(each) for each in plan.refit.calls}) == 3
    assert "on 12 circuits at 3 places" in text_of(plan)
    with pytest.raises(InvalidOption, match="at each of 3 places of the chip, 9 in all, got 8"):
        planned(line, tmp_path, targets=("local:fake_torino",), tiles="3", num_images=6, refit="8")


def test_a_plan_without_a_refit_is_written_as_before(line, tmp_path):
    plan = planned(line, tmp_path, refit=None)
    assert "refit" not in json.loads((plan.folder / "plan.json").read_text())["content"]
    assert plan_summary(plan)["refit"] is None
    assert read_plan(plan.folder) == plan


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"refit": "0"}, r"A refit takes 3 to \d+ circuits, got 0"),
        ({"refit": "2x64"}, r"A refit takes 3 to \d+ circuits, got 2"),
        ({"refit": "many"}, "refit is 'auto', a number of circuits"),
        ({"refit": "30x0"}, "1 to 10000000 shots a circuit, got 0"),
        ({"seconds": 9.0}, "give shots in place of seconds"),
        ({"targets": ("engine",)}, "The engine is exact, so there is nothing to refit"),
        ({"refit": "80000x64"}, "A refit is one job"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(line, tmp_path, changes, words):
    with pytest.raises(InvalidOption, match=words) as refused:
        planned(line, tmp_path, **changes)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("2*"))


def test_models_with_nothing_to_refit_are_refused_in_a_line(tmp_path):
    classical = write_run(tmp_path / "c", "classical_unet", image_size=4)
    with pytest.raises(TargetUnavailable, match="classical model has nothing to refit"):
        planned(classical, tmp_path / "root")
    states = write_state_run(tmp_path / "s", "unitary")
    with pytest.raises(InvalidOption, match="A chain in one circuit has no values between"):
        planned(states, tmp_path / "root", chain="coherent")


def test_numbers_stand_for_texts():
    assert PlanConfig(refit=30).refit_choice.circuits == 30  # type: ignore[arg-type]
    assert PlanConfig(refit="auto").refit_choice.circuits == 300
    with pytest.raises(InvalidOption, match="refit"):
        PlanConfig(refit=True)  # type: ignore[arg-type]


# --- sent, used, replayed -----------------------------------------------------------------------


@pytest.mark.parametrize("model", ["line", pytest.param("readings", marks=pytest.mark.slow)])
def test_a_shrinking_device_is_undone(line, tmp_path, monkeypatch, model):
    """With a refit the images are those of the exact chain, up to shots; without they are not."""
    run = line if model == "line" else write_reading_run(tmp_path / "readings", num_steps=2)
    Shrinking(monkeypatch, 0.5, 0.2)
    far = {}
    for refit in (None, "30"):
        plan = planned(run, tmp_path / str(refit), shots=20_000, refit=refit)
        assert submit_run(plan.folder).state == "done"
        exact = call_chain.CallChain(plan)
        while exact.left:
            exact.advance_exactly()
        far[refit] = np.abs(images_of(plan.folder) - exact.images()).mean()
        assert replay(plan.folder).difference == 0.0
    assert far["30"] < (0.35 if model == "line" else 0.6) * far[None]
    kind = "head" if model == "line" else "values"
    [fit] = read_refits(plan.folder).values()
    assert (plan.refit.kind, fit.kind) == (kind, kind)
    assert fit.error_after < 0.1 * fit.error_before


@pytest.mark.slow
def test_each_place_has_the_head_of_its_own_refit(line, tmp_path, monkeypatch):
    """Tiles that shrink by factors of their own: rows are decoded by the fit of their tile."""
    made = call_chain.call_result
    calls = [0]

    def shrunk(call, counts):
        calls[0] += 1
        found = made(call, counts)
        return CallResult(outputs=(0.9 if calls[0] % 2 else 0.35) * found.outputs)

    monkeypatch.setattr(call_chain, "call_result", shrunk)
    plan = planned(
        line,
        tmp_path,
        targets=("local:fake_torino",),
        tiles="2",
        num_images=4,
        shots=3000,
        refit="80",
    )
    submit_run(plan.folder)
    exact = call_chain.CallChain(plan)
    while exact.left:
        exact.advance_exactly()
    far = np.abs(images_of(plan.folder) - exact.images()).mean(axis=(1, 2, 3))
    assert far.max() < 0.12  # a head of both places is off by more on one of them
    [fit] = read_refits(plan.folder).values()
    first, second = (np.linalg.norm(each.weight) for each in fit.maps.values())
    assert max(first, second) > 1.8 * min(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"mitigation": "m3"}, {"mitigation": "m3", "tiles": "2"}])
def test_readout_is_mended_before_the_fit(line, tmp_path, changes):
    plan = planned(line, tmp_path, targets=("local:fake_torino",), num_images=4, **changes)
    assert submit_run(plan.folder).state == "done"
    [fit] = read_refits(plan.folder).values()
    assert fit.correction == "all"
    assert calibration_names(plan.folder) == ["calibration-0001"]
    assert replay(plan.folder).difference == 0.0
    manifest = json.loads((plan.folder / "manifest.json").read_text())
    assert manifest["refits"]["refit-0001"]["places"] == (2 if "tiles" in changes else 1)


@pytest.mark.parametrize(
    ("first", "every"),
    [(1, 11), pytest.param(1, 1, marks=pytest.mark.slow)],
    ids=["some writes", "every write"],
)
def test_killed_at_any_write_it_ends_with_the_same_images(line, tmp_path, first, every):
    plan = planned(line, tmp_path / "fresh")
    whole = copied(plan, tmp_path / "whole")
    with killed_at(0, "") as (writes, files):
        submit_run(whole.folder)
    sides = ("before", "within", "after")
    points = [(n, sides[n % 3]) for n in range(first, writes[0] + 1, every)]
    points += [(n, "unnamed") for n in range(first, len(files) + 1, every)]
    assert {"refit-0001.npz", "refit-0001.json"} <= set(files)
    assert len(points) > (3 if every > 1 else 30)
    for number, side in points:
        again = copied(plan, tmp_path / f"killed-{number}-{side}")
        with pytest.raises(Killed), killed_at(number, side):
            submit_run(again.folder)
        state = submit_run(again.folder)
        assert (state.state, state.jobs) == ("done", 4), (number, side)
        np.testing.assert_array_equal(images_of(again.folder), images_of(whole.folder))
        assert replay(again.folder).difference == 0.0
        ledger = Ledger.open(again.folder.parent)
        assert not [row for row in ledger.reservations(again.run_id) if row["state"] == "held"]
        assert not ledger.has_claims(again.run_id)
        ledger.close()


def test_stopped_after_every_job_it_ends_with_the_same_images(line, tmp_path, monkeypatch):
    whole = planned(line, tmp_path / "whole")
    submit_run(whole.folder)
    monkeypatch.setattr(LocalProvider, "in_process", False)
    monkeypatch.setattr(LocalProvider, "status", lambda self, job_id: "done")
    parts = planned(line, tmp_path / "parts")
    state, times = submit_run(parts.folder, detach=True), 1
    assert not (parts.folder / "refit-0001.json").exists()
    while state.state != "done":
        state, times = resume_run(tmp_path / "parts", parts.run_id, detach=True), times + 1
        assert times < 20
    assert times > 3
    np.testing.assert_array_equal(images_of(parts.folder), images_of(whole.folder))


# --- kept ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(line: Path, tmp_path_factory: pytest.TempPathFactory) -> RunPlan:
    plan = planned(line, tmp_path_factory.mktemp("kept"))
    submit_run(plan.folder)
    return plan


def test_the_next_run_of_the_model_takes_it_over_and_its_job_is_saved(kept, line, tmp_path):
    shutil.copytree(kept.folder.parent, tmp_path / "root")
    plan = planned(line, tmp_path / "root", seed=1)
    assert plan.refit.found.path == f"{kept.run_id}/refit-0001.json"
    assert (plan.new_refit, plan.num_jobs) == (None, 3)
    assert plan.most_seconds - plan.total_seconds == pytest.approx(plan.refit.seconds)
    assert f"by {kept.run_id}, and used again until" in text_of(plan)
    said: list[str] = []
    state = submit_run(plan.folder, progress=lambda m: said.append(str(m)))
    assert state.jobs == 3
    assert any("refit of" in each and "used again" in each for each in said)
    # The folder has all that a replay needs, without the other run's.
    shutil.copytree(plan.folder, tmp_path / "alone" / plan.run_id)
    assert replay(tmp_path / "alone" / plan.run_id).difference == 0.0


@pytest.mark.parametrize("reason", ["stale", "damaged", "circuits", "shots", "model", "target"])
def test_one_that_does_not_serve_is_made_again(kept, line, tmp_path, monkeypatch, reason):
    root = tmp_path / "root"
    shutil.copytree(kept.folder.parent, root)
    changes: dict[str, object] = {"seed": 1}
    run = line
    if reason == "damaged":
        (root / kept.run_id / "refit-0001.json").write_text('{"schema": "qdm-hardware-refit/1"}')
    elif reason == "stale":
        changes["calibration_ttl_seconds"] = 1
        path = root / kept.run_id / "refit-0001.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "taken_at": "2026-01-01T00:00:00+00:00"}))
    elif reason == "circuits":
        changes["refit"] = "13"
    elif reason == "shots":
        changes["shots"] = 65
    elif reason == "target":
        changes["targets"] = ("local:fake_nairobi",)
    else:
        run = tmp_path / "other"
        shutil.copytree(line, run)
        [weights] = run.glob("checkpoints/*/model.safetensors")
        from safetensors.torch import load_file, save_file

        tensors = load_file(weights)
        tensors["head.bias"] += 0.1
        save_file(tensors, weights, metadata=_metadata(weights))
    plan = planned(run, root, **changes)
    assert plan.refit.found is None
    if reason in ("stale", "circuits"):
        assert submit_run(plan.folder).jobs == 4


def _metadata(path: Path) -> dict[str, str] | None:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.metadata()


@pytest.mark.slow
def test_one_of_fewer_places_does_not_serve(line, tmp_path):
    changes = {"targets": ("local:fake_torino",), "tiles": "2", "num_images": 4}
    first = planned(line, tmp_path, **changes)
    submit_run(first.folder)
    more = planned(line, tmp_path, **{**changes, "tiles": "3", "num_images": 6}, seed=1)
    assert more.refit.found is None
    fewer = planned(line, tmp_path, **{**changes, "tiles": "1"}, seed=2)
    assert fewer.refit.found is not None


def test_a_refit_that_was_changed_is_refused(kept, tmp_path):
    folder = tmp_path / kept.run_id
    shutil.copytree(kept.folder, folder)
    path = folder / "refit-0001.json"
    content = json.loads(path.read_text())
    [place] = content["maps"]
    content["maps"][place]["bias"][0] += 1e-3
    path.write_text(json.dumps(content))
    with pytest.raises(CalibrationMismatch, match="not what the counts of refit-0001 give"):
        replay(folder)
    path.unlink()
    with pytest.raises(CalibrationMismatch, match="holds no refit within"):
        replay(folder)
    states = folder / "refit.npz"
    states.write_bytes(states.read_bytes()[:-1] + b"x")
    with pytest.raises(InvalidPlan, match=r"refit\.npz was changed"):
        replay(folder)


@pytest.mark.parametrize("name", ["refit-0001.json", "refit-0001.npz"])
def test_a_damaged_refit_comes_back_and_is_not_paid_again(kept, tmp_path, name):
    folder = shutil.copytree(kept.folder.parent, tmp_path / "root") / kept.run_id
    before = (folder / name).read_bytes()
    flip(folder / name, 4_321)
    told: list[str] = []
    state = resume_run(folder.parent, folder.name, progress=lambda m: told.append(str(m)))
    assert (state.state, state.jobs) == ("done", kept.num_jobs)
    assert any(f"{name} of run" in each and "made again" in each for each in told)
    if name.endswith(".json"):
        assert (folder / name).read_bytes() == before
    assert replay(folder).difference == 0.0


def test_fits_are_read_as_they_were_written(kept):
    [fit] = read_refits(kept.folder).values()
    again = DeviceFit.from_dict(json.loads(json.dumps(fit.to_dict())))
    assert again.to_dict() == fit.to_dict()
    assert again.agrees(fit)


# --- shared -------------------------------------------------------------------------------------


def test_the_wait_for_a_run_that_takes_one_is_bounded_and_said(line, tmp_path):
    first, second, third = (planned(line, tmp_path, seed=seed) for seed in (0, 1, 2))
    ledger = Ledger.open(tmp_path)
    run = RunContext(plan=first, ledger=ledger)
    assert first.refit is not None
    claim = RunRefits(run, first.refit, RunParts(run), None)._claim()
    assert ledger.claim(first.run_id, *claim) is None
    said: list[str] = []
    patience = ServiceSettings(calibration_wait_seconds=0.3)
    with ledger.run_lock(first.run_id):  # a process drives it, and never comes to an end
        state = submit_run(second.folder, detach=True, progress=lambda m: said.append(str(m)))
        assert (state.state, state.jobs) == ("running", 0)
        assert said[-1] == f"run {first.run_id} takes the refit; `qdm run resume` goes on with it"
        state = submit_run(second.folder, settings=patience, progress=lambda m: said.append(str(m)))
    assert (state.state, state.jobs) == ("done", 4)
    assert f"waiting for the refit that run {first.run_id} takes, 0.3 s at most" in said
    assert f"run {first.run_id} has no refit after 0.3 s; taking another one" in said
    # It is here now, and the first run's claim holds up nobody.
    assert submit_run(third.folder).jobs == 3
    assert submit_run(first.folder).jobs == 3
    assert not ledger.has_claims(first.run_id)
    ledger.close()
