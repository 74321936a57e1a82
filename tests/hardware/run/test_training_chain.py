"""Training by a hardware run: planned, priced, sent, stopped, taken up, replayed, used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import qdm_qiskit as qdm
from qdm_qiskit.cli.main import app
from qdm_qiskit.errors import (
    BudgetExceeded,
    InvalidOption,
    InvalidPlan,
    MissingData,
    TargetUnavailable,
    UnknownName,
)
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.qpu_seconds import Timing
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.plan.training_batches import read_batches
from qdm_qiskit.hardware.run.commands import resume_run, submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.hardware.run.training_chain import TrainingChain
from qdm_qiskit.models import whitened_codecs
from qdm_qiskit.reports.hardware_plan import plan_lines, plan_summary
from qdm_qiskit.reports.hardware_render import render_markdown, write_hardware_report
from qdm_qiskit.sampling import load_run
from qdm_qiskit.training.by_calls import CallTraining
from tests.hardware.run.test_call_chain import Killed, Shelf, killed_at
from tests.helpers import write_run
from tests.pages.reading import assert_self_contained

DEVICE = "local:fake_manila"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EEQDM on 2 x 2 pixels, three qubits."""
    return write_run(tmp_path_factory.mktemp("runs") / "eeqdm")


def planned(run: Path, root: Path, **changes: object) -> RunPlan:
    options: dict[str, object] = {
        "targets": ("engine",),
        "num_images": 2,
        "shots": 64,
        "layout_trials": 1,
        "train": 2,
        **changes,
    }
    return make_plan(run, PlanConfig(**options), root=root)  # type: ignore[arg-type]


def trained_weights(plan: RunPlan) -> dict[str, torch.Tensor]:
    [file] = (plan.folder / "trained").rglob("model.safetensors")
    return load_file(file)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="module")
def done(small: Path, tmp_path_factory: pytest.TempPathFactory) -> RunPlan:
    """A run on a device with a calibration, that nobody disturbed."""
    root = tmp_path_factory.mktemp("root")
    changes = {"mitigation": "m3", "calibration_shots": 256, "targets": (DEVICE,)}
    plan = planned(small, root, **changes)
    assert submit_run(plan.folder).state == "done"
    return plan


# -- the whole life --------------------------------------------------------------------------------


def test_a_plan_prices_all_jobs_of_all_steps(done):
    [circuit] = done.calls.circuits
    shifted = done.training.shifted
    assert 0 < shifted <= 6
    assert [job.circuits for job in done.calls.jobs] == [2 * (1 + 2 * shifted)] * 2
    timing = done.timing
    clock = Timing(
        overhead_seconds=timing.overhead_seconds,
        rep_delay_seconds=timing.rep_delay_seconds,
        circuit_seconds=circuit.seconds,
        calibration_seconds=0.0,
    )
    each = clock.job_seconds(64 * 2 * (1 + 2 * shifted))
    assert done.total_seconds == pytest.approx(done.calibration.seconds + 2 * each)
    lines = "\n".join(plan_lines(done))
    assert (
        f"adam, 2 steps, of 6 numbers in layer.weights; gradient: parameter shift, {shifted}"
        in lines
    )
    assert "step 1 .. 2" in lines
    assert plan_summary(done)["training"]["optimizer"] == "adam"
    json.dumps(plan_summary(done))
    assert read_plan(done.folder) == done
    assert json.loads((done.folder / "plan.json").read_text())["schema"] == "qdm-run-plan/4"


def test_the_trained_model_is_a_run_that_others_take(done, tmp_path):
    run = qdm.HardwareRun(done.folder)
    before = load_file(next((done.folder / "model").rglob("model.safetensors")))
    after = trained_weights(done)
    assert not torch.equal(before["layer.weights"], after["layer.weights"])
    assert len(run.losses) == 2
    assert run.images is None
    assert load_run(run.trained).checkpoint.name == "step-00000003"
    result = CliRunner().invoke(
        app, ["sample", str(run.trained), "--num-images", "2", "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    judged = qdm.evaluate(run.trained, metrics=["nearest_training"], count=16, resamples=20)
    assert judged is not None


def test_a_replay_computes_weights_and_losses_again(done, tmp_path):
    found = replay(done.folder)
    assert (found.equal, found.difference) == (True, 0.0)
    assert "the weights are the stored ones to the bit" in found.sentence()
    assert [each.step for each in found.steps] == [2, 1]
    assert all(each.raw_distance > 0 and each.mitigated_distance > 0 for each in found.steps)
    with pytest.raises(MissingData, match="trained a model"):
        _ = found.images
    copy = shutil.copytree(done.folder, tmp_path / done.run_id)
    path = copy / "trained" / "training.json"
    content = json.loads(path.read_text())
    content["losses"][0] += 0.5
    path.write_text(json.dumps(content))
    assert replay(copy).difference == pytest.approx(0.5)
    path.unlink()
    assert not replay(copy).equal


def test_its_page_has_losses_and_cost(done, tmp_path):
    report, pictures = hardware_report(done.folder)
    page = render_markdown(report.to_dict())
    assert "eeqdm trained on local:fake_manila, 2 images with noise a step, done" in page
    assert "## Training" in page
    assert "| step of the optimizer |" in page
    assert "steps to go" in page
    assert {path.name for path in write_hardware_report(report, pictures, tmp_path)} >= {
        "report.html",
        "report.png",
    }
    shown = assert_self_contained((tmp_path / "report.html").read_text())
    assert "loss: loss by step of the optimizer" in [
        each.get("aria-label") for each in shown.all("svg")
    ]


@pytest.mark.slow
def test_weights_follow_the_counts_of_a_walk_in_memory(done):
    """The same steps by the training's own loop, from the counts of the folder."""
    from qdm_qiskit.hardware.ledger.run_files import counts_path, read_calibrations, read_counts
    from qdm_qiskit.hardware.run.call_chain import PlannedTarget
    from qdm_qiskit.hardware.run.parts import Answered

    [calibration] = read_calibrations(done.folder, done.correction).values()

    def answer(jobs):
        return [Answered(read_counts(counts_path(done.folder, j.name)), calibration) for j in jobs]

    target = PlannedTarget(done, answer)
    run = load_run(done.folder / "model")
    made = CallTraining(
        run.model, run.process, ["layer.weights"], optimizer="adam", learning_rate=0.05, shots=64
    )
    for step, batch in zip((2, 1), read_batches(done), strict=True):
        target.begin(step)
        made.step(batch, target)
    assert torch.equal(run.model.layer.weights, trained_weights(done)["layer.weights"])


@pytest.mark.slow
def test_the_loss_goes_down_on_an_easy_problem(tmp_path):
    """Through a device's noise: one time, so that there is one map to learn."""
    run = write_run(tmp_path / "run", num_steps=1, seed=1)
    plan = planned(
        run, tmp_path / "root", targets=(DEVICE,), train=6, num_images=4, shots=200, train_rate=0.3
    )
    assert submit_run(plan.folder).state == "done"
    found = replay(plan.folder).training
    assert found.exact_after < 0.8 * found.exact_before


def test_another_seed_measures_other_batches_and_shots(small, tmp_path):
    plans = [planned(small, tmp_path, seed=k, train_optimizer="spsa") for k in (0, 1)]
    for plan in plans:
        submit_run(plan.folder)
    one, other = (trained_weights(each) for each in plans)
    assert not same(one, other)
    # One question a step, of the rows alone at both weights.
    jobs = plans[0].calls.jobs
    assert [job.name for job in jobs] == ["step-0002", "step-0001"]
    assert [(call.name, call.rows) for call in jobs[0].calls] == [("layer+", 2), ("layer-", 2)]


# -- stopped and taken up ---------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_at_every_write_it_ends_with_the_same_weights(small, tmp_path):
    template = planned(small, tmp_path / "plans", train=1, num_images=1)
    undisturbed = shutil.copytree(template.folder, tmp_path / "alone" / template.run_id)
    with killed_at(0, "never") as (count, files):
        submit_run(undisturbed)
    wanted = trained_weights(read_plan(undisturbed))
    moments = [(k, "after") for k in range(1, count[0] + 1)]
    moments += [(k, "unnamed") for k in range(1, len(files) + 1)]
    assert "training.json" in files
    for number, side in moments:
        folder = shutil.copytree(template.folder, tmp_path / f"{number}-{side}" / template.run_id)
        with pytest.raises(Killed), killed_at(number, side):
            submit_run(folder)
        assert submit_run(folder).state == "done", (number, side)
        assert same(trained_weights(read_plan(folder)), wanted), (number, side)
        assert replay(folder).equal
        shutil.rmtree(folder.parent)


def test_ctrl_c_leaves_it_resumable(small, tmp_path, monkeypatch):
    plan = planned(small, tmp_path)
    again = shutil.copytree(plan.folder, tmp_path / "other" / plan.run_id)
    submit_run(again)
    walk, count = TrainingChain.walk, [0]

    def interrupted(self, target):
        count[0] += 1
        if count[0] == 2:
            raise KeyboardInterrupt
        walk(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingChain, "walk", interrupted)
        with pytest.raises(KeyboardInterrupt):
            submit_run(plan.folder)
    assert not (plan.folder / "trained").exists()
    partial = hardware_report(plan.folder)[0]
    assert (partial.done, len(partial.training["losses"])) == (False, 1)
    assert resume_run(tmp_path, plan.run_id).state == "done"
    assert same(trained_weights(plan), trained_weights(read_plan(again)))


@pytest.mark.slow
def test_a_damaged_result_is_made_again(small, tmp_path):
    plan = planned(small, tmp_path)
    submit_run(plan.folder)
    wanted = trained_weights(plan)
    for name in ("training.json", "model.safetensors"):
        [path] = (plan.folder / "trained").rglob(name)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        assert submit_run(plan.folder).state == "done"
        assert same(trained_weights(plan), wanted)
        assert replay(plan.folder).equal


# -- the last layers only ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A latent model of 3 qubits with a linear head."""
    folder = tmp_path_factory.mktemp("runs") / "line"
    sizes = {"image_size": 4, "latents": 3, "num_qubits": 3, "uploads": 2, "bricks": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whitened_codecs, "STEPS", 20)
        settings = {"guided": True, "classes": (0, 1), "num_steps": 3}
        qdm.train("line", folder, **sizes, **settings, epochs=1, train_count=16, baseline=False)
    return folder


def test_a_linear_tail_costs_one_row_an_image(line, tmp_path):
    plan = planned(line, tmp_path, train=50, num_images=24, train_weights="tail", shots=400)
    assert (plan.training.optimizer, plan.training.once, plan.num_jobs) == ("ridge", True, 1)
    assert len(plan.steps) == 1
    assert plan.training.shifted == 0
    bases = len(plan.calls.circuits)
    assert plan.num_circuits == 24 * bases
    submit_run(plan.folder)
    found = replay(plan.folder)
    assert found.equal
    before = load_file(next((plan.folder / "model").rglob("model.safetensors")))
    after = trained_weights(plan)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias"}
    assert found.training.exact_after < found.training.exact_before
    # By steps on the same counts it comes to the same place, slower.
    by_steps = planned(
        line,
        tmp_path,
        train=40,
        num_images=24,
        train_weights="head",
        train_optimizer="adam",
        shots=400,
    )
    assert (by_steps.num_jobs, by_steps.num_circuits) == (1, plan.num_circuits)
    submit_run(by_steps.folder)
    losses = replay(by_steps.folder).training.losses
    assert len(losses) == 40
    assert losses[-1] < losses[0]


# -- what is refused ---------------------------------------------------------------------------------

REFUSED = {
    "no step": ({"train": 0}, InvalidOption, "train, steps of the optimizer, is at least 1"),
    "no shot": ({"shots": 0}, InvalidOption, "shots must be at least 1"),
    "no rate": ({"train_rate": 0.0}, InvalidOption, "train_rate is above 0"),
    "a rate beyond all": (
        {"train_rate": 1e38},
        InvalidOption,
        r"train_rate is above 0 and at most 1000, got 1e\+38",
    ),
    "unknown weights": ({"train_weights": "head"}, InvalidOption, "no weights 'head' to train"),
    "no tail": ({"train_weights": "tail"}, InvalidOption, "there is no 'tail' to train"),
    "ridge of circuits": ({"train_optimizer": "ridge"}, InvalidOption, "'ridge' fits the linear"),
    "of a chain": (
        {"refit": "12", "scheduler": "ddim"},
        InvalidOption,
        "leave out scheduler, refit",
    ),
    "without train": (
        {"train": None, "train_weights": "head"},
        InvalidOption,
        "belong to train, the steps",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line(small, tmp_path, name):
    changes, kind, text = REFUSED[name]
    with pytest.raises(kind, match=text) as caught:
        planned(small, tmp_path, **changes)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*/plan.json"))


def test_spsa_of_a_tail_is_refused(line, tmp_path):
    with pytest.raises(InvalidOption, match="their gradient is exact and free"):
        planned(line, tmp_path, train_weights="tail", train_optimizer="spsa")


def test_a_classical_model_is_refused(tmp_path):
    run = write_run(tmp_path / "run", "classical_unet", image_size=4)
    with pytest.raises(TargetUnavailable, match=r"has no circuits.*train it by `qdm train`"):
        planned(run, tmp_path / "root")


@pytest.mark.slow
def test_a_batch_that_the_model_cannot_normalise_is_refused(tmp_path):
    run = write_run(tmp_path / "run", "qu_net", levels=2, num_steps=2)
    with pytest.raises(
        InvalidOption, match="'qu_net' cannot be trained on 1 images a step: Expected"
    ):
        planned(run, tmp_path / "root", num_images=1)


SHORT = {
    "few seconds": ({"seconds": 0.5}, DEVICE),
    "no seconds": ({"seconds": 0}, DEVICE),
    "few shots": ({"shots": 100}, "engine"),
    "no shots": ({"shots": 0}, "engine"),
}
IN_DEFAULT = [("no seconds", "adam"), ("no shots", "spsa")]


@pytest.mark.parametrize(
    ("case", "optimizer"),
    [
        pytest.param(case, each, marks=() if (case, each) in IN_DEFAULT else pytest.mark.slow)
        for case in SHORT
        for each in ("adam", "spsa")
    ],
)
def test_a_run_that_overdraws_its_budget_is_not_even_planned(small, tmp_path, case, optimizer):
    """Wherever it runs: a rehearsal of what would be refused is refused too."""
    limits, target = SHORT[case]
    qdm.set_budget("little", **limits, root=tmp_path)
    said = r"^Budget 'little' has .* left, and training takes about .*; take fewer train steps"
    options = {"train": 2, "num_images": 1, "shots": 64, "layout_trials": 1, "root": tmp_path}
    with pytest.raises(BudgetExceeded, match=said) as caught:
        qdm.plan(small, target, budget="little", train_optimizer=optimizer, **options)
    assert "\n" not in str(caught.value)
    words = ["--train", "2", "--num-images", "1", "--shots", "64", "--train-optimizer", optimizer]
    where = ["--target", target, "--budget", "little", "--root", str(tmp_path)]
    result = CliRunner().invoke(app, ["run", "plan", str(small), *words, *where])
    assert isinstance(result.exception, BudgetExceeded)
    assert str(result.exception).startswith("Budget 'little' has ")
    assert not list(tmp_path.glob("*/plan.json"))


@pytest.mark.slow
def test_a_budget_that_is_enough_is_planned_on_a_device(small, tmp_path):
    options = {"train": 2, "num_images": 1, "shots": 64, "layout_trials": 1, "root": tmp_path}
    qdm.set_budget("little", seconds=0.5, root=tmp_path)
    with pytest.raises(BudgetExceeded, match=r"Budget 'little' has 0\.5 QPU seconds left"):
        qdm.plan(small, DEVICE, budget="little", **options)
    qdm.set_budget("much", seconds=600, root=tmp_path)
    assert qdm.plan(small, DEVICE, budget="much", **options).budget == "much"


@pytest.mark.parametrize("optimizer", ["adam", "spsa"])
def test_a_budget_that_is_not_there_is_refused(small, tmp_path, optimizer):
    """None is named though the service charges, or one is named that nobody has set."""
    options = {"train": 2, "num_images": 1, "shots": 64, "train_optimizer": optimizer}
    with pytest.raises(
        InvalidOption, match=r"paid by a budget, and none is named; set one"
    ) as none:
        make_plan(small, PlanConfig(**options), root=tmp_path, provider=Shelf())
    with pytest.raises(UnknownName, match=r"no budget 'absent'.*qdm budget set") as absent:
        qdm.plan(small, "engine", budget="absent", root=tmp_path, **options)
    assert "\n" not in str(none.value) + str(absent.value)
    words = ["--train", "2", "--train-optimizer", optimizer, "--target", "engine"]
    command = ["run", "plan", str(small), *words, "--budget", "absent", "--root", str(tmp_path)]
    assert isinstance(CliRunner().invoke(app, command).exception, UnknownName)
    assert not list(tmp_path.glob("*/plan.json"))


def test_training_in_memory_points_to_the_plan(tmp_path):
    arguments = ["train", "--model", "eeqdm", "--train-on", DEVICE, "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, arguments)
    said = str(result.exception)
    assert f"`qdm run plan RUN --train 20 --num-images 8 --target {DEVICE} --budget NAME`" in said


def test_the_command_line_plans_and_sends(small, tmp_path):
    root = ["--root", str(tmp_path)]
    options = ["--target", "engine", "--train", "1", "--train-optimizer", "spsa", "--shots", "32"]
    result = CliRunner().invoke(app, ["run", "plan", str(small), *options, *root])
    assert result.exit_code == 0, result.output
    assert "gradient: two losses a step, in one question (SPSA)" in result.output
    refused = CliRunner().invoke(app, ["run", "submit", "latest", *root])
    assert "1 jobs, 1024 shots" in str(refused.exception)
    result = CliRunner().invoke(app, ["run", "submit", "latest", "--yes", *root])
    assert result.exit_code == 0, result.output
    assert "trained" in result.output


@pytest.mark.parametrize("change", ["x", "step", "missing"])
def test_batches_that_are_not_the_plans_are_refused(small, tmp_path, change):
    plan = planned(small, tmp_path)
    path = plan.folder / "inputs.npz"
    with np.load(path) as file:
        arrays = dict(file)
    if change == "missing":
        path.unlink()
    else:
        arrays[change] = arrays[change] + 1
        np.savez_compressed(path, **arrays)
    with pytest.raises(InvalidPlan):
        read_batches(plan)


def test_the_state_of_a_planned_training_gets_the_steps_added_or_is_refused(done):
    chain = TrainingChain(done)
    state = json.loads(chain._later("model/state.json", b'{"step": 3, "epoch": 1}'))
    assert state == {"step": 5, "epoch": 1}
    for content in (b"[]", b"\xff", b'{"step": "3"}', b'{"step": -1}', b'{"step": 1e400}', b"{"):
        with pytest.raises(
            InvalidPlan, match=r"state.json cannot be used \(.*plan again"
        ) as caught:
            chain._later("model/state.json", content)
        assert "\n" not in str(caught.value)
