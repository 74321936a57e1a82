"""Checkpoint folders: found by name, read with suspicion."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qdm_qiskit.errors import InvalidCheckpoint, MissingData, QdmError
from qdm_qiskit.training import (
    RunConfig,
    TrainingState,
    find_checkpoint,
    load_training_state,
    train,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_run) -> tuple[Path, RunConfig]:
    run = tmp_path_factory.mktemp("trained") / "run"
    config = small_run(checkpoint_every=1)
    train(config, run)
    return run, config


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(trained[0], tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def checkpoint(run) -> Path:
    return find_checkpoint(run)


@pytest.fixture
def refused(run, trained) -> Callable[..., None]:
    """Resuming the run is refused in one line, and changes no file."""

    def check(message: str) -> None:
        config = trained[1].with_epochs(3)
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        with pytest.raises(InvalidCheckpoint, match=message) as caught:
            train(config, run, resume="latest")
        assert "\n" not in str(caught.value)
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before

    return check


def test_a_checkpoint_holds_what_its_docstring_draws(checkpoint):
    assert sorted(str(path.relative_to(checkpoint)) for path in checkpoint.rglob("*")) == [
        "baseline",
        "baseline/config.json",
        "baseline/model.safetensors",
        "baseline/optimizer.safetensors",
        "config.json",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    assert load_training_state(checkpoint).step == 6


def test_checkpoints_are_found(run):
    folder = run / "checkpoints"
    assert find_checkpoint(run) == find_checkpoint(run, "latest") == folder / "step-00000006"
    assert find_checkpoint(run, "step-00000003") == folder / "step-00000003"
    assert find_checkpoint(folder / "step-00000003") == folder / "step-00000003"
    # What an interrupted write left behind is none.
    (folder / ".part-abc").mkdir()
    (folder / "step-99999999.bak").mkdir()
    assert find_checkpoint(run) == folder / "step-00000006"


@pytest.mark.parametrize(
    ("which", "error", "message"),
    [
        ("step-00000004", MissingData, "there are: step-00000003, step-00000006"),
        ("../../etc", InvalidCheckpoint, r"got '\.\./\.\./etc'"),
        ("/etc/passwd", InvalidCheckpoint, "got '/etc/passwd'"),
        ("step-3", InvalidCheckpoint, "like 'step-00000120'"),
        ("", InvalidCheckpoint, "got ''"),
    ],
)
def test_names_that_are_none_are_refused(run, which, error, message):
    with pytest.raises(error, match=message):
        find_checkpoint(run, which)


def test_a_run_without_checkpoints(tmp_path):
    with pytest.raises(MissingData, match=r"no checkpoint in .*`qdm train"):
        find_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "state.json",
        "optimizer.safetensors",
        "model.safetensors",
        "config.json",
        "baseline/model.safetensors",
        "baseline/optimizer.safetensors",
    ],
)
@pytest.mark.parametrize("cut", [0.0, 0.3, 0.7, 0.98, None])
def test_truncated_or_missing_files_are_refused(checkpoint, refused, name, cut):
    path = checkpoint / name
    content = path.read_bytes().rstrip() if name.endswith(".json") else path.read_bytes()
    if cut is None:
        path.unlink()
    else:
        path.write_bytes(content[: int(cut * len(content))])
    refused(Path(name).name.replace(".", r"\."))


def test_links_out_of_the_checkpoint_are_refused(checkpoint, refused, tmp_path):
    shutil.move(checkpoint / "state.json", tmp_path / "state.json")
    (checkpoint / "state.json").symlink_to(tmp_path / "state.json")
    refused("leads out of its folder")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "other"}, "not of schema"),
        ({"epoch": -1}, "its counts are"),
        ({"step": 1.5}, "its counts are"),
        ({"batch": True}, "its counts are"),
        ({"epoch": "2"}, "its counts are"),
        ({"batch": 1}, "1 batches of 0 images"),
        ({"images": 5}, "0 batches of 5 images"),
        ({"batch": 3, "images": 24}, "stands after batch 3 .* epochs have 3 batches"),
        ({"batch": 10**9, "images": 1}, "epochs have 3 batches"),
        ({"epoch": 1}, "not one row for each of 1 epochs"),
        ({"history": []}, "not one row for each"),
        ({"history": {"a": 1}}, "not one row for each"),
        ({"history": [1, 2]}, "not one row for each"),
        ({"history": [{"loss": "x"}, {}]}, "losses are no numbers"),
        ({"history": [{"loss": float("nan")}, {}]}, "NaN is no number of JSON"),
        ({"loss_sum": None}, "losses are no numbers"),
        ({"loss_sum": 10**400}, "an integer of 401 digits"),
        ({"baseline_sum": float("inf")}, "Infinity is no number of JSON"),
        ({"unknown": 1}, "cannot be resumed"),
        ({"epoch": 9, "history": [{}] * 9}, "stands at epoch 9, beyond the run's 3 epochs"),
    ],
)
def test_states_that_cannot_be_are_refused(checkpoint, refused, changes, message):
    state = json.loads((checkpoint / "state.json").read_text())
    (checkpoint / "state.json").write_text(json.dumps({**state, **changes}))
    refused(message)


def test_progress_is_what_was_written(checkpoint):
    progress = load_training_state(checkpoint)
    assert isinstance(progress, TrainingState)
    assert (progress.epoch, progress.batch, progress.step, progress.images) == (2, 0, 6, 0)
    assert [row["epoch"] for row in progress.history] == [1, 2]


def edited(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.clear(), "belongs to another model or is damaged"),
        (lambda t: t.pop("0.exp_avg"), "belongs to another model or is damaged"),
        (
            lambda t: t.update({"0.exp_avg": torch.zeros(())}),
            "belongs to another model or is damaged",
        ),
        (
            lambda t: t.update({"0.exp_avg": torch.zeros(3)}),
            "belongs to another model or is damaged",
        ),
        (lambda t: t.update({"1.exp_avg": t["0.exp_avg"].clone()}), "belongs to another model"),
        (lambda t: t["0.exp_avg_sq"].__setitem__(0, float("nan")), "is damaged"),
        (lambda t: t.update({"zero.exp_avg": torch.zeros(1)}), "foreign entry zero.exp_avg"),
        (lambda t: t.update({"0": torch.zeros(1)}), "foreign entry 0"),
    ],
)
def test_foreign_optimizer_states_are_refused(checkpoint, refused, change, message):
    edited(checkpoint / "optimizer.safetensors", change)
    refused(message)


def test_the_baselines_optimizer_is_not_the_models(checkpoint, refused):
    shutil.copy(checkpoint / "baseline/optimizer.safetensors", checkpoint / "optimizer.safetensors")
    refused("belongs to another model or is damaged")


def test_the_baseline_is_not_the_model(checkpoint, refused):
    for name in ("config.json", "model.safetensors", "optimizer.safetensors"):
        shutil.copy(checkpoint / "baseline" / name, checkpoint / name)
    refused("holds a 'classical_unet' model, but 'eeqdm' is needed")


def test_a_checkpoint_of_other_options_is_refused(checkpoint, refused, small_run, tmp_path):
    other = train(small_run(init_std=0.1), tmp_path / "other").checkpoint
    shutil.rmtree(checkpoint)
    shutil.copytree(other, checkpoint)
    refused("was saved with other options")


@pytest.mark.parametrize("content", ["", "[]", '{"schema": "qdm-run/99"}'])
def test_a_damaged_run_configuration_is_refused(run, refused, content):
    (run / "config.json").write_text(content)
    refused("cannot be resumed")


def test_all_of_these_errors_are_ours():
    assert issubclass(InvalidCheckpoint, QdmError)
    assert issubclass(MissingData, QdmError)
