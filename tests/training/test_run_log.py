"""Metrics, options and sample images reach each tracker that is named; a wrong name is one line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import IMAGES, EventAccumulator

from qdm_qiskit.errors import InvalidOption, MissingDependency, TargetUnavailable
from qdm_qiskit.training import run_log, train
from qdm_qiskit.training.progress import Warned
from qdm_qiskit.training.run_log import LOGS, RunLog, log_names


def test_sample_images_are_in_tensorboard(small_run, tmp_path):
    train(small_run(epochs=2, baseline=False, sample_every=1), tmp_path / "run")
    log = EventAccumulator(str(tmp_path / "run" / "tensorboard"), {IMAGES: 0})
    log.Reload()
    found = log.Images("samples")
    assert [each.step for each in found] == [1, 2]
    png = tmp_path / "shown.png"
    png.write_bytes(found[1].encoded_image_string)
    with Image.open(png) as shown, Image.open(tmp_path / "run/samples/epoch-0002.png") as written:
        assert np.array_equal(np.asarray(shown.convert("RGB")), np.asarray(written.convert("RGB")))
    assert {"test_loss", "train_loss"} <= set(log.Tags()["scalars"])


def test_nothing_is_logged_where_nothing_is_asked_for(small_run, tmp_path, outcome):
    config = small_run(epochs=1, baseline=False)
    logged = outcome(train(config, tmp_path / "logged"))
    assert outcome(train(config, tmp_path / "plain", log_with="none")) == logged
    assert (tmp_path / "logged" / "tensorboard").is_dir()
    assert not (tmp_path / "plain" / "tensorboard").exists()


@pytest.mark.parametrize("given", ["board", "tensorboard,", "", "none,tensorboard", ["wand"]])
def test_other_names_are_refused_before_anything_is_trained(small_run, tmp_path, given):
    with pytest.raises(InvalidOption, match="log_with takes tensorboard, wandb, mlflow, or none"):
        train(small_run(), tmp_path / "run", log_with=given)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", LOGS)
def test_a_package_that_is_missing_is_one_line(monkeypatch, name):
    monkeypatch.setattr(run_log, "find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match=rf"pip install 'qdm_qiskit\[{name}\]'"):
        log_names(name)


@pytest.mark.slow
def test_mlflow_gets_options_metrics_and_grids(small_run, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'store'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file:{tmp_path / 'store'}")
    config = small_run(epochs=2, baseline=False, sample_every=2)
    result = train(config, tmp_path / "run", log_with="mlflow")
    [experiment] = mlflow.search_experiments(filter_string="name = 'qdm_qiskit'")
    client = mlflow.MlflowClient()
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "run"
    assert run.info.status == "FINISHED"
    assert run.data.params["learning_rate"] == "0.05"
    losses = [each.value for each in client.get_metric_history(run.info.run_id, "test_loss")]
    assert losses == [row["test_loss"] for row in result.history]
    [grid] = client.list_artifacts(run.info.run_id, "samples")
    assert grid.path == "samples/epoch-0002.png"


@pytest.mark.slow
def test_wandb_gets_a_run_without_a_network(small_run, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    config = small_run(epochs=1, baseline=False, sample_every=1)
    result = train(config, tmp_path / "run", log_with=["tensorboard", "wandb"])
    assert result.epochs == 1
    [log] = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"test_loss" in log.read_bytes()
    assert b"learning_rate" in log.read_bytes()


class Broken:
    def __init__(self, *given, **named):
        pass

    def start(self):
        if "no login" in self.fails:
            raise RuntimeError("no login\n here.")

    def store_init_configuration(self, options):
        assert options["learning_rate"] == 0.05

    def log(self, row, step):
        if "the server is gone" in self.fails:
            raise RuntimeError("the server is gone")

    def finish(self):
        if "the server is gone" in self.fails:
            raise RuntimeError("still gone")


@pytest.fixture
def broken(monkeypatch):
    from accelerate import tracking

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", Broken)


def test_a_tracker_that_cannot_begin_says_so(small_run, tmp_path, broken, monkeypatch):
    monkeypatch.setattr(Broken, "fails", "no login", raising=False)
    with pytest.raises(
        TargetUnavailable, match=r"wandb cannot log .*: no login here\. Set it up, or"
    ):
        RunLog(["wandb"], tmp_path, small_run())


def test_a_tracker_that_fails_later_is_left_out_and_the_run_goes_on(
    small_run, tmp_path, broken, monkeypatch
):
    monkeypatch.setattr(Broken, "fails", "the server is gone", raising=False)
    said = []
    log = RunLog(["wandb", "tensorboard"], tmp_path, small_run(), said.append)
    log.write({"test_loss": 0.5}, 1)
    log.write({"test_loss": 0.25}, 2)
    log.close()
    assert said == [Warned("wandb is left out from here on: the server is gone.")]
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [each.value for each in board.Scalars("test_loss")] == [0.5, 0.25]
