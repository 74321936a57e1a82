"""A learner whose predictions are constant is named: in the result, on the screen, in the report."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from qdm_qiskit.cli.main import app
from qdm_qiskit.reports.run_render import render_markdown
from qdm_qiskit.training import resolve_run, train
from qdm_qiskit.training.constant_predictions import constant_predictions, relative_spread

TINY = {"image_size": 4, "train_count": 12, "test_count": 8, "epochs": 1, "sample_every": 0}


def test_spread_is_the_deviation_in_units_of_the_targets():
    target = torch.randn(6000, 3, generator=torch.Generator().manual_seed(0))
    assert relative_spread(0.3 * target + 7, target, None) == pytest.approx(0.3, rel=1e-5)
    assert relative_spread(torch.full_like(target, 7.0), target, None) == 0
    assert relative_spread(target, torch.ones_like(target), None) is None
    # A different image in every pixel is no spread; a different one at every step is none either.
    fixed = torch.arange(3.0).expand(6000, 3)
    assert relative_spread(fixed, target, None) == 0
    step = torch.arange(6000) % 4
    assert relative_spread(fixed * step[:, None], target, step) == pytest.approx(0, abs=1e-6)
    assert relative_spread(fixed * step[:, None], target, None) > 1


def test_spread_of_complex_states():
    target = torch.randn(500, 2, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    assert relative_spread(1j * target, target, None) == pytest.approx(1, rel=1e-5)
    assert relative_spread(target[:1].expand(500, 2), target, None) == pytest.approx(0, abs=1e-6)


def silence(monkeypatch) -> None:
    """Fresh classical U-Nets that are dead: no filter in front of a ReLU is above zero."""
    from qdm_qiskit.models import classical_unet

    def dead(weight, generator):
        torch.nn.init.constant_(weight, -1.0)

    monkeypatch.setattr(classical_unet, "mirrored_filters", dead)


def test_a_dead_baseline_is_named_in_the_result_and_its_metrics(tmp_path, monkeypatch):
    config = resolve_run("eeqdm", {**TINY, "depth": 1})
    assert train(config, tmp_path / "alive").warnings == ()
    silence(monkeypatch)
    result = train(config, tmp_path / "dead")
    assert [w.split(" are ")[0] for w in result.warnings] == [
        "The predictions of the classical U-Net beside it"
    ]
    assert "\n" not in result.warnings[0]
    row = json.loads((tmp_path / "dead" / "metrics.jsonl").read_text().splitlines()[-1])
    assert row["baseline_spread"] == 0
    assert "spread" not in row


def test_a_dead_model_is_named_on_the_command_line_and_in_the_report(tmp_path, monkeypatch):
    silence(monkeypatch)
    run = tmp_path / "run"
    options = ["train", "--model", "classical_unet", "--out", str(run), "--quiet"]
    for name, value in {**TINY, "num_steps": 3, "train_count": 40}.items():
        options += ["--set", f"{name}={value}"]
    told = CliRunner().invoke(app, options)
    assert told.exit_code == 0, told.output
    assert "warning: The predictions of the model are constant" in told.stderr
    from qdm_qiskit.evaluation.run import run_report
    from qdm_qiskit.sampling import SamplingConfig, load_run, sample, write_samples

    write_samples(sample(load_run(run), SamplingConfig(num_images=2)), run / "exact")
    report, _ = run_report(run)
    page = render_markdown(report.to_dict())
    assert "* Warning: The predictions of the model are constant" in page


def test_metrics_of_older_runs_have_no_warnings():
    assert constant_predictions({"test_loss": 0.1, "baseline_loss": 0.2}) == ()
    assert len(constant_predictions({"spread": 0.0, "baseline_spread": 0.001})) == 2
    assert constant_predictions({"spread": 0.02, "baseline_spread": 0.9}) == ()


def test_a_report_is_warned_and_training_goes_on_without_a_picture(tmp_path, monkeypatch):
    """A chain of 0.1 at T = 400 multiplies an untrained model's noise by e**80, beyond float32."""
    from qdm_qiskit.training import TrainingProgress

    told: list[str] = []

    class Report(TrainingProgress):
        def warn(self, sentence):
            told.append(sentence)

    silence(monkeypatch)
    options = {
        **TINY,
        "train_count": 2,
        "test_count": 2,
        "process": "gaussian",
        "goal": "noise",
        "num_steps": 400,
        "beta_start": 0.02,
        "beta_end": 0.8,
        "sample_every": 1,
    }
    result = train(resolve_run("classical_unet", options), tmp_path / "run", progress=Report())
    assert result.epochs == 1
    assert any(told_.startswith("The predictions of the model are constant") for told_ in told)
    assert any(
        "no sample grid of epoch 1: Sampling left the finite numbers at step t=" in t for t in told
    )
    assert not list((tmp_path / "run").glob("samples/*.png"))
