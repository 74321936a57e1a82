"""Audits of runs: what is tried, what is kept, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.privacy import AuditOptions, audit_run
from qdm_qiskit.tasks.privacy import audit_privacy
from qdm_qiskit.training import resolve_run, train
from tests.helpers import write_run

TINY = {"dataset": "iris", "test_fraction": 0.5, "depth": 1, "num_steps": 2, "epochs": 1}
QUIET = {"sample_every": 0, "baseline": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "iris"
    train(resolve_run("eeqdm", {**TINY, **QUIET}), folder, log_with="none")
    return folder


def test_an_audit_tries_all_it_is_asked_and_writes_it_down(run, tmp_path):
    found = audit_run(run, AuditOptions(num_images=20, secret="species"), folder=tmp_path)
    assert found.threshold.members == found.threshold.others == 75
    assert found.memorisation.samples == 20
    assert found.attribute.column == "species"
    assert (found.ratios, found.epsilon) == (None, None)
    assert json.loads((tmp_path / "audit.json").read_text()) == found.to_dict()
    assert found.lines()[-1].startswith("nothing is proved")
    again = audit_run(run, AuditOptions(num_images=20, secret="species"))
    assert again.to_dict() == found.to_dict()


@pytest.mark.slow
def test_shadows_are_items_that_resume(run, tmp_path):
    chosen = {"shadows": 4, "num_images": 0, "repeats": 1}
    found = audit_privacy(run, folder=tmp_path, **chosen)
    assert len(found.shadow_thresholds) == 4
    assert found.ratios.members == 75
    items = sorted((tmp_path / "items").glob("*.json"))
    assert len(items) == 4
    # One is lost and made again, by another process: the same to the last bit.
    before = json.loads(items[0].read_text())["result"]
    items[0].unlink()
    again = audit_privacy(run, folder=tmp_path, workers=1, **chosen)
    assert json.loads(items[0].read_text())["result"] == before
    assert again.to_dict() == found.to_dict()


@pytest.mark.slow
def test_a_network_that_was_trained_too_long_on_few_rows_is_found(tmp_path):
    """The twin of the planted model of test_losses.py, by real training."""
    options = {
        "levels": 3,
        "start_channels": 16,
        "dataset": "digits",
        "classes": "0,1",
        "train_count": 12,
        "test_count": 40,
        "epochs": 1000,
        "batch_size": 12,
        "learning_rate": 0.003,
        "num_steps": 5,
        "checkpoint_every": 1000,
    }
    train(resolve_run("classical_unet", {**options, **QUIET}), tmp_path, log_with="none")
    found = audit_run(tmp_path, AuditOptions(num_images=100))
    assert found.threshold.found
    assert found.threshold.auc.estimate > 0.85  # .925 where it was written
    assert found.memorisation.near.low > 0.3


def test_what_does_not_fit_the_run_is_refused_in_one_line(run, tmp_path):
    for options, words in (
        ({"shadows": 4}, "kept in a folder"),
        ({"shadows": 2}, "kept in a folder"),
    ):
        with pytest.raises(InvalidOption, match=words):
            audit_run(run, AuditOptions(**options))
    with pytest.raises(InvalidOption, match="shadows must be at least 4 here"):
        audit_privacy(run, folder=tmp_path, shadows=3, num_images=0)
    said: list[object] = []
    with pytest.raises(LookupError, match="There is no column 'weight'"):
        audit_run(run, AuditOptions(num_images=0, secret="weight"), progress=said.append)
    assert not said  # before the losses, and the shadows, are computed
    with pytest.raises(InvalidOption, match="An audit has the options"):
        audit_privacy(run, folder=tmp_path, shadow=3)
    few = write_run(tmp_path / "few", dataset="digits", classes="0,1", train_count=6)
    with pytest.raises(InvalidData, match="at least 10 training rows, got 6"):
        audit_run(few, AuditOptions())
    alone = write_run(tmp_path / "alone", dataset="digits", train_count=12)
    with pytest.raises(InvalidData, match="no training rows"):
        audit_run(alone, AuditOptions())
    images = write_run(tmp_path / "images", dataset="digits", classes="0,1")
    with pytest.raises(InvalidOption, match="this run learned images"):
        audit_run(images, AuditOptions(secret="species"))
    states = write_run(tmp_path / "states", "quddpm", image_size=None, init_std=None)
    with pytest.raises(InvalidOption, match="compares ensembles"):
        audit_run(states, AuditOptions())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shadows": -1}, "shadows"),
        ({"num_images": 3}, "num_images is 0 or at least 10"),
        ({"repeats": 0}, "repeats"),
        ({"bins": 1}, "bins"),
        ({"level": 1.0}, "level"),
        ({"seed": -1}, "seed"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(InvalidOption, match=words):
        AuditOptions(**options)


def test_the_command_line_audits_given_samples(run, tmp_path, capsys):
    from qdm_qiskit.cli.main import main
    from qdm_qiskit.sampling.samples import write_samples
    from qdm_qiskit.tasks import sample

    write_samples(sample(run, num_images=20), tmp_path / "samples")
    with pytest.raises(SystemExit) as left:
        main(["privacy", "audit", str(run), "--samples", str(tmp_path / "samples"), "--quiet",
              "--out", str(tmp_path / "out"), "--json"])  # fmt: skip
    assert left.value.code == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["memorisation"]["samples"] == 20
    with pytest.raises(SystemExit) as left:
        main(["privacy", "epsilon", "--noise", "1.1", "--rate", "0.05", "--steps", "100"])
    assert left.value.code == 0
    assert np.isclose(float(capsys.readouterr().out), 2.2, atol=1)
