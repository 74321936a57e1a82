"""TensorBoard's table of hyperparameters holds the options of a run, beside its metrics."""

from __future__ import annotations

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from qdm_qiskit.training import train
from qdm_qiskit.training.hyperparameters import METRICS, plain_options


def hyperparameters(folder):
    log = EventAccumulator(str(folder))
    log.Reload()
    content = log.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = metadata.parse_session_start_info_plugin_data(content).hparams
    assert set(METRICS) <= set(log.Tags()["scalars"]), "the metrics that the table asks for"
    return {name: getattr(start[name], start[name].WhichOneof("kind")) for name in start}


def test_options_of_a_run_are_in_its_log_also_after_a_resume(small_run, tmp_path):
    config = small_run(epochs=1, baseline=False)
    train(config, tmp_path / "run")
    found = hyperparameters(tmp_path / "run" / "tensorboard")
    assert found == plain_options(config)
    assert found["learning_rate"] == 0.05
    assert found["classes"] == "(0, 1)"
    assert [
        each.name for each in (tmp_path / "run" / "tensorboard").iterdir() if each.is_dir()
    ] == []
    train(config.with_epochs(2), tmp_path / "run", resume="latest")
    assert hyperparameters(tmp_path / "run" / "tensorboard")["depth"] == 2
