"""The page of a quantum-state diffusion run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import qdm_qiskit as qdm
from qdm_qiskit.cli.main import app
from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.evaluation.states import states_report
from qdm_qiskit.reports.states_render import write_states_report
from qdm_qiskit.training import resolve_run, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("states") / "run"
    options = {"epochs": 1, "train_count": 20, "test_count": 20, "sample_every": 0, "num_steps": 2}
    train(resolve_run("quddpm-clustered", options), folder)
    return folder


def test_report_has_both_ends_of_the_scale(run):
    report, pictures = states_report(run, states=60, repeats=3)
    assert report.noise.mmd.value > 0.5
    assert abs(report.real.mmd.value) < 0.01
    assert report.real.wasserstein.value < 0.01 < report.noise.wasserstein.value
    assert list(pictures) == ["noise", "t = 1", "generated", "data"]
    for vectors in pictures.values():
        assert vectors.shape == (60, 2, 3)
        assert np.linalg.norm(vectors, axis=2).max() < 1 + 1e-6
    assert pictures["data"][:, 0, 2].min() > 0.8  # near |0>
    again, _ = states_report(run, states=60, repeats=3)
    assert again == report


def test_report_is_written_and_printed(run, tmp_path):
    report, pictures = states_report(run, states=20, repeats=2)
    paths = write_states_report(report, pictures, tmp_path)
    assert [path.name for path in paths] == ["states.png", "states.json"]
    assert paths[0].read_bytes()[:4] == b"\x89PNG"
    assert json.loads(paths[1].read_text()) == report.to_dict()
    printed = CliRunner().invoke(
        app,
        ["report", "states", str(run), "--states", "20", "--repeats", "2", "--out", str(tmp_path)],
    )
    assert printed.exit_code == 0
    assert report.lines()[1] in printed.output


def test_bad_input_is_refused(run, tmp_path):
    with pytest.raises(InvalidOption, match="at least 2"):
        states_report(run, states=1)
    options = {"epochs": 1, "train_count": 4, "test_count": 4, "image_size": 2, "sample_every": 0}
    train(resolve_run("eeqdm", options), tmp_path / "images")
    with pytest.raises(InvalidOption, match="diffuses images"):
        states_report(tmp_path / "images")
    with pytest.raises(InvalidData, match="quantum states: `qdm report states` says"):
        qdm.evaluate(run, count=20)
