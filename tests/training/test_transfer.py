"""Transfer learning through `train()`: what moves, and that stopping anywhere changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file

from qdm_qiskit.cli.main import main
from qdm_qiskit.errors import InvalidCheckpoint, InvalidData, InvalidOption, MissingData
from qdm_qiskit.models import MODELS, PRESETS
from qdm_qiskit.training import TrainingProgress, load_weights, resolve_run, train
from qdm_qiskit.training.checkpoint import checkpoints
from qdm_qiskit.training.transfer import FOLDER, teacher_run

SMALL = {
    "dataset": "digits",
    "train_count": 8,
    "test_count": 4,
    "batch_size": 4,
    "num_steps": 4,
    "epochs": 1,
    "transfer_epochs": 2,
    "sample_every": 0,
    "learning_rate": 1e-4,
}
"""Two classical epochs and a hybrid one of two steps each."""
CLASSICAL_STEPS = 4


def small_transfer(**options):
    return resolve_run("defalco-transfer-fashion-mnist", {**SMALL, **options})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, outcome):
    run = tmp_path_factory.mktemp("transfer") / "run"
    return run, outcome(train(small_transfer(), run))


def test_a_run_holds_its_classical_part(undisturbed):
    run, whole = undisturbed
    assert [each.name for each in checkpoints(run / FOLDER)] == ["step-00000004"]
    assert [each.name for each in checkpoints(run)] == ["step-00000002"]
    assert [row["epoch"] for row in whole["history"]] == [1]
    theirs = json.loads((run / FOLDER / "config.json").read_text())
    assert theirs["model_options"]["circuits"] == 0
    assert theirs["training"]["epochs"] == 2


@pytest.mark.slow
def test_hybrid_starts_from_the_classical_average_but_for_the_vertex(tmp_path, stop_after):
    """After one step of Adam no weight is further than the step size from where it began."""
    config = small_transfer()
    result = train(config, tmp_path / "run", progress=stop_after(CLASSICAL_STEPS + 1))
    assert result.interrupted
    after = load_file(result.checkpoint / "model.safetensors")
    teacher = load_weights(checkpoints(tmp_path / "run" / FOLDER)[-1]).state_dict()
    alone = replace(config, training=replace(config.training, transfer_epochs=0))
    scratch = train(alone, tmp_path / "scratch", progress=stop_after(1))
    other = load_file(scratch.checkpoint / "model.safetensors")
    moved = [name for name in after if not name.startswith("vertex")]
    assert len(moved) > 100
    for name in moved:
        assert float((after[name] - teacher[name]).abs().max()) <= 1.01e-4, name
    assert float((other["out.weight"] - teacher["out.weight"]).abs().max()) > 0.01
    for name in after:
        if name.startswith("vertex"):  # what a hybrid from scratch begins with
            assert float((after[name] - other[name]).abs().max()) <= 2.02e-4, name


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(1, marks=pytest.mark.slow),
        CLASSICAL_STEPS,
        pytest.param(CLASSICAL_STEPS + 1, marks=pytest.mark.slow),
    ],
)
def test_stopped_anywhere_and_resumed_is_the_undisturbed_run(
    tmp_path, stop_after, undisturbed, outcome, steps
):
    """In the classical part, at its very end, and in the hybrid part."""
    run = tmp_path / "run"
    stopped = train(small_transfer(), run, progress=stop_after(steps))
    assert stopped.interrupted
    assert bool(checkpoints(run)) == (steps > CLASSICAL_STEPS)
    resumed = train(small_transfer(), run, resume="latest")
    assert not resumed.interrupted
    assert outcome(resumed) == undisturbed[1]
    classical = "checkpoints/step-00000004/model.safetensors"
    assert (run / FOLDER / classical).read_bytes() == (
        undisturbed[0] / FOLDER / classical
    ).read_bytes()


@pytest.mark.slow
def test_killed_between_the_parts_and_resumed_is_the_undisturbed_run(
    tmp_path, undisturbed, outcome, monkeypatch
):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("qdm_qiskit.training.session.take_over", killed)
        with pytest.raises(KeyboardInterrupt):
            train(small_transfer(), tmp_path / "run")
    assert not checkpoints(tmp_path / "run")
    assert outcome(train(small_transfer(), tmp_path / "run", resume="latest")) == undisturbed[1]


def test_a_begun_run_is_neither_overwritten_nor_continued_with_other_options(tmp_path, stop_after):
    run = tmp_path / "run"
    train(small_transfer(), run, progress=stop_after(1))
    before = (run / "config.json").read_bytes()
    with pytest.raises(InvalidOption, match="holds a run already"):
        train(small_transfer(learning_rate=1e-3), run)
    with pytest.raises(InvalidOption, match="only epochs may change"):
        train(small_transfer(circuits=7), run, resume="latest")
    with pytest.raises(MissingData, match="step-00000099"):
        train(small_transfer(), run, resume="step-00000099")
    with pytest.raises(InvalidCheckpoint, match="is called"):
        train(small_transfer(), run, resume="../elsewhere")
    assert (run / "config.json").read_bytes() == before


def test_there_is_nothing_to_resume_in_an_empty_folder(tmp_path, tree):
    with pytest.raises(MissingData, match="no"):
        train(small_transfer(), tmp_path, resume="latest")
    assert tree(tmp_path) == []


def test_data_that_cannot_be_read_leave_nothing_behind(tmp_path, tree):
    missing = small_transfer(dataset=f"npz:{tmp_path / 'none.npz'}")
    with pytest.raises(MissingData):
        train(missing, tmp_path / "run")
    assert tree(tmp_path) == []


@pytest.mark.slow
def test_the_hybrid_learns_from_what_its_teacher_learned_from(tmp_path, stop_after):
    """Stopped in the classical part, or between the parts: other data are refused in both."""
    rng = np.random.default_rng(0)
    arrays = {"images": rng.random((12, 28, 28)) * 0.9 + 0.1, "labels": np.arange(12) % 2}
    file = tmp_path / "mine.npz"
    np.savez(file, **arrays)
    config = small_transfer(dataset=f"npz:{file}", test_count=2)
    run = tmp_path / "run"
    assert train(config, run, progress=stop_after(1)).interrupted
    np.savez(file, **arrays | {"images": 1.1 - arrays["images"]})
    with pytest.raises(InvalidData, match="not those that the run was trained on"):
        train(config, run, resume="latest")
    np.savez(file, **arrays)

    class Replaces(TrainingProgress):
        """Other data under the same name as soon as the teacher's last epoch is done."""

        def epoch(self, row):
            if row["epoch"] == 2:
                np.savez(file, **arrays | {"images": 1.1 - arrays["images"]})

    with pytest.raises(InvalidData, match="not those that the run was trained on"):
        train(config, run, resume="latest", progress=Replaces())
    assert not checkpoints(run)
    np.savez(tmp_path / "moved.npz", **arrays)
    result = train(config, run, resume="latest", data=tmp_path / "moved.npz")
    assert not result.interrupted
    mine, theirs = (json.loads((each / "config.json").read_text()) for each in (run, run / FOLDER))
    assert mine["record"] == theirs["record"]
    assert mine["data"]["dataset"] == f"npz:{tmp_path / 'moved.npz'}"


@pytest.mark.parametrize("name", [*sorted(MODELS), "defalco-unet"])
def test_models_without_counterpart_are_refused(tmp_path, tree, name):
    with pytest.raises(InvalidOption, match="no classical counterpart") as caught:
        train(resolve_run(name, {"transfer_epochs": 1}), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_paper_presets_transfer_to_a_hybrid_of_the_same_size(dataset):
    config = resolve_run(f"defalco-transfer-{dataset}")
    teacher = teacher_run(config)
    assert teacher.training.transfer_epochs == 0
    assert teacher.training.epochs == config.training.transfer_epochs
    assert teacher.model_options.circuits == 0 < config.model_options.circuits
    own = {name: getattr(config, name) for name in ("model_options", "training", "preset")}
    assert replace(teacher, **own) == config


def test_classical_part_of_the_reduced_transfer_is_the_begun_classical_run():
    transfer = resolve_run("defalco-reduced-transfer", {"seed": 1})
    classical = resolve_run("defalco-reduced-unet", {"seed": 1})
    assert teacher_run(transfer).with_epochs(3) == replace(classical, preset=None)
    training = PRESETS["defalco-reduced-transfer"].training
    assert training["transfer_epochs"] + training["epochs"] == classical.training.epochs


@pytest.mark.slow
def test_command_line_trains_and_resumes_a_transfer(tmp_path, capsys):
    run = tmp_path / "run"
    settings = [f"--set={key}={value}" for key, value in SMALL.items() if key != "epochs"]
    start = ["train", "--preset=defalco-transfer-fashion-mnist", *settings, "--epochs=1", "--quiet"]

    def qdm(*words: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as left:
            main([*words, f"--out={run}"])
        return left.value.code, *capsys.readouterr()

    code, out, _ = qdm(*start)
    assert code == 0
    assert "step-00000002" in out
    code, out, _ = qdm("train", "--resume=latest", "--epochs=2", "--quiet")
    assert code == 0
    assert "step-00000004" in out
    code, _, errors = qdm(*start)
    assert code == 2
    assert errors.count("\n") == 1
    assert "holds a run already" in errors


@pytest.mark.slow
def test_command_line_resumes_what_was_stopped_in_the_classical_part(tmp_path, stop_after, capsys):
    """Its checkpoints stand one folder deeper, but it is the run that is resumed."""
    run = tmp_path / "run"
    train(small_transfer(), run, progress=stop_after(1))
    with pytest.raises(SystemExit) as left:
        main(["train", "--resume=latest", "--quiet", f"--out={run}"])
    assert left.value.code == 0
    assert "step-00000002" in capsys.readouterr().out


def test_command_line_refuses_a_model_without_counterpart_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["train", "--model=eeqdm", "--set=transfer_epochs=1", f"--out={tmp_path / 'run'}"])
    assert left.value.code == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: 'eeqdm' with these options has no classical counterpart")
    assert errors.count("\n") == 1
