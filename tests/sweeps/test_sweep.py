"""A sweep's runs are those that train makes alone, bit for bit, whatever stops on the way."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from qdm_qiskit.errors import InvalidData, InvalidOption, MissingData
from qdm_qiskit.sweeps import Halving, item, plan_sweep, read_plan, run_sweep
from qdm_qiskit.sweeps.item import train_run
from qdm_qiskit.sweeps.sweep import collect
from qdm_qiskit.tasks.sweeping import sweep
from qdm_qiskit.training import find_checkpoint, read_history, train
from qdm_qiskit.work import Stopped, run_items
from qdm_qiskit.work import run as running

SMALL = {
    "image_size": 2,
    "num_steps": 2,
    "train_count": 8,
    "test_count": 6,
    "batch_size": 4,
    "epochs": 3,
    "baseline": False,
    "sample_every": 0,
}


def plan(**arguments):
    return plan_sweep("eeqdm", SMALL, **{"grid": {"learning_rate": [0.01, 0.1]}, **arguments})


def weights(run: Path) -> str:
    return hashlib.sha256((find_checkpoint(run) / "model.safetensors").read_bytes()).hexdigest()


def rows(run: Path):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_history(run)]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return run_sweep(plan(), tmp_path_factory.mktemp("sweep") / "out")


def test_each_run_is_the_same_as_alone(swept, tmp_path):
    assert [row.state for row in swept.table.rows] == ["done", "done"]
    for run in swept.plan.runs:
        alone = train(run.config, tmp_path / run.name)
        assert weights(alone.run) == weights(swept.folder / "runs" / run.name)
        assert rows(alone.run) == rows(swept.folder / "runs" / run.name)


def test_the_table_has_options_and_metrics_of_each_run(swept):
    table = swept.table
    assert table.options == ("learning_rate", "seed")
    assert [row.options["learning_rate"] for row in table.rows] == [0.01, 0.1]
    for run, row in zip(swept.plan.runs, table.rows, strict=True):
        assert row.metrics == read_history(swept.folder / "runs" / run.name)[-1]
    losses = {row.name: row.metrics["test_loss"] for row in table.rows}
    assert swept.best == min(losses, key=losses.__getitem__)


def test_a_plan_is_read_back_as_it_was(swept):
    assert read_plan(swept.folder) == swept.plan


def test_nothing_that_is_done_is_done_again(swept, monkeypatch):
    monkeypatch.setattr(item, "train", None)
    again = run_sweep(read_plan(swept.folder), swept.folder)
    assert again.table == swept.table


def test_another_sweep_in_the_folder_is_refused(swept):
    with pytest.raises(InvalidOption, match="holds a sweep with other options"):
        run_sweep(plan(seeds=2), swept.folder)


def test_points_that_stop_early_leave_the_others_as_they_are(swept, tmp_path):
    halved = run_sweep(plan(halving=Halving(1, 2)), tmp_path / "out")
    states = [row.state for row in halved.table.rows]
    assert sorted(states) == ["done", "stopped at 1 of 3"]
    last = halved.table.rows[states.index("done")]
    first_losses = {r.name: swept.curves[r.name][0]["test_loss"] for r in swept.table.rows}
    assert last.name == min(first_losses, key=first_losses.__getitem__)
    place = Path("runs") / last.name
    assert weights(halved.folder / place) == weights(swept.folder / place)
    assert rows(halved.folder / place) == rows(swept.folder / place)


def test_a_run_that_was_stopped_goes_on_bit_for_bit(swept, tmp_path):
    whole = swept.plan.runs[0]
    run = tmp_path / "runs" / whole.name
    train(whole.config.with_epochs(2), run)  # as far as a killed worker came
    result = train_run(tmp_path, name=whole.name, config=whole.config.to_dict(), threads=1)
    assert result["weights"] == weights(run) == weights(swept.folder / "runs" / whole.name)
    assert result["metrics"] == read_history(run)[-1]


def test_a_folder_that_a_killed_worker_left_without_a_checkpoint_is_trained(swept, tmp_path):
    run = swept.plan.runs[0]
    shutil.copytree(swept.folder / "runs" / run.name, tmp_path / "runs" / run.name)
    shutil.rmtree(tmp_path / "runs" / run.name / "checkpoints")
    result = train_run(tmp_path, name=run.name, config=run.config.to_dict(), threads=1)
    assert result["weights"] == weights(swept.folder / "runs" / run.name)


def test_a_run_that_fails_is_a_row_and_stops_nobody(tmp_path):
    missing = str(tmp_path / "missing")
    some = plan_sweep("eeqdm", SMALL, grid={"start_from": [missing, "none"]})
    found = run_sweep(some, tmp_path / "out")
    assert found.table.rows[0].state.startswith("failed: ")
    assert missing in found.table.rows[0].state
    assert found.table.rows[1].state == "done"
    assert list(found.failures) == [some.runs[0].name]
    assert found.best == some.runs[1].name


def test_a_stop_is_said_and_the_rest_is_done_later(swept, tmp_path, monkeypatch):
    def stopped(*args, **kwargs):
        raise Stopped("now")

    first = plan().runs[0]
    with monkeypatch.context() as patch:
        patch.setattr(running, "do_item", stopped)
        found = run_sweep(plan(), tmp_path / "out")
    assert found.interrupted
    assert [row.state for row in found.table.rows] == ["at 0 of 3", "at 0 of 3"]
    found = run_sweep(read_plan(tmp_path / "out"), tmp_path / "out")
    assert not found.interrupted
    place = Path("runs") / first.name
    assert weights(found.folder / place) == weights(swept.folder / place)


def test_a_folder_without_a_sweep_or_with_a_damaged_one_is_named(swept, tmp_path):
    with pytest.raises(MissingData, match="There is no sweep to resume"):
        read_plan(tmp_path)
    content = json.loads((swept.folder / "sweep.json").read_text())
    (tmp_path / "sweep.json").write_text(json.dumps({**content, "runs": [{"name": "../x"}]}))
    with pytest.raises(InvalidData, match="cannot be used"):
        read_plan(tmp_path)
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(InvalidData, match="has schema"):
        read_plan(tmp_path)


def test_threads_of_the_caller_stay(swept, tmp_path):
    import torch

    before = torch.get_num_threads()
    run = swept.plan.runs[0]
    run_items([item.train_item(run.name, run.config, 1, 2)], tmp_path)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    "changed",
    [{"runs": []}, {"name": 3}, {"varied": [{}]}, {"varied": None}, {"halving": {"factor": "x"}}],
)
def test_a_plan_with_values_of_other_kinds_is_refused(swept, tmp_path, changed):
    content = json.loads((swept.folder / "sweep.json").read_text())
    (tmp_path / "sweep.json").write_text(json.dumps({**content, **changed}))
    with pytest.raises((InvalidData, InvalidOption)) as caught:
        read_plan(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_run_without_a_group_of_text_is_refused(swept, tmp_path):
    content = json.loads((swept.folder / "sweep.json").read_text())
    content["runs"][0]["group"] = ["a"]
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    with pytest.raises(InvalidData, match="a text is needed, got"):
        read_plan(tmp_path)


def test_a_curve_whose_epochs_are_no_numbers_is_none(swept, tmp_path):
    shutil.copytree(swept.folder, tmp_path / "out")
    first, second = swept.plan.runs
    curve = tmp_path / "out" / "runs" / first.name / "metrics.jsonl"
    curve.write_text('{"epoch": "three", "test_loss": 0.25}\n')
    with pytest.raises(MissingData, match="line 1 has no number for 'epoch'"):
        read_history(curve.parent)
    found = collect(swept.plan, tmp_path / "out", {}, interrupted=False)
    assert found.best == second.name
    curve.write_text('{"test_loss": 0.25}\n')  # no epoch at all
    assert collect(swept.plan, tmp_path / "out", {}, interrupted=False).best == second.name


def test_trackers_are_chosen_and_change_nothing(swept, tmp_path, monkeypatch):
    out = tmp_path / "out"
    found = run_sweep(plan(), out, log_with=())
    for row in found.table.rows:
        run = out / "runs" / row.name
        assert not (run / "tensorboard").exists()
        assert (swept.folder / "runs" / row.name / "tensorboard").is_dir()
        assert weights(run) == weights(swept.folder / "runs" / row.name)
    monkeypatch.setattr(item, "train", None)  # what is done is not done for another tracker
    again = run_sweep(plan(), out, log_with=("tensorboard",))
    assert again.table == found.table


@pytest.mark.parametrize("trackers", ["board", "none,tensorboard", ""])
def test_trackers_that_do_not_exist_are_refused_before_any_run(tmp_path, trackers):
    with pytest.raises(InvalidOption, match="log_with takes"):
        sweep("eeqdm", tmp_path / "out", grid={"depth": [1]}, log_with=trackers, **SMALL)
    assert not (tmp_path / "out").exists()


def test_trackers_reach_every_run_by_name(tmp_path, monkeypatch):
    asked = []

    def trained(config, run, **given):
        asked.append((run.name, given["log_with"]))
        return train(config, run, **{**given, "log_with": "none"})

    monkeypatch.setattr(item, "train", trained)
    found = run_sweep(plan(), tmp_path / "out", log_with=("mlflow", "wandb"))
    names = {row.name for row in found.table.rows}
    assert {name for name, _ in asked} == names
    assert all(given == ["mlflow", "wandb"] for _, given in asked)
