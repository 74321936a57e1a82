"""A run fitted again to a device: the seam of calls and results, files, qubits, corrections."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import qdm_qiskit as qdm
from qdm_qiskit.cli.main import app
from qdm_qiskit.errors import InvalidData, InvalidOption, TargetUnavailable
from qdm_qiskit.execution.calls import CallResult
from qdm_qiskit.layers.calling import ExactTarget
from qdm_qiskit.models import whitened_codecs
from qdm_qiskit.sampling.refit import corrections_of, refit_calls, refit_pairs, refitted
from qdm_qiskit.sampling.refit_record import read_refit
from qdm_qiskit.tasks import refit

SMALL = {"image_size": 4, "latents": 3, "num_qubits": 3, "uploads": 2, "bricks": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refit") / "run"
    settings = {
        "skip": True,
        "guided": True,
        "classes": (0, 1),
        "num_steps": 3,
        "epochs": 30,
        "baseline": False,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whitened_codecs, "STEPS", 50)
        qdm.train("line", folder, **SMALL, **settings)
    return folder


@pytest.fixture(scope="module")
def trained(run):
    return qdm.load_run(run)


class Shrinking:
    """A device that shrinks and shifts each expectation value."""

    def __init__(self, gain: float = 0.6, offset: float = 0.1) -> None:
        self.gain, self.offset = gain, offset

    def answer(self, calls):
        return [
            CallResult(outputs=self.gain * each.outputs + self.offset)
            for each in ExactTarget().answer(calls)
        ]


def test_calls_are_those_of_the_models_own_step(trained):
    pairs = refit_pairs(trained, 20, seed=1)
    [call] = refit_calls(trained, pairs, 256)
    assert (call.num_rows, call.shots) == (20, 256)
    inputs = trained.model.encode_at(pairs.x, pairs.t, pairs.labels)[1]
    np.testing.assert_allclose(call.inputs, inputs.detach().numpy(), atol=1e-6)
    assert set(pairs.labels.tolist()) == {0, 1}
    again = refit_pairs(trained, 20, seed=1)
    assert torch.equal(again.x, pairs.x)
    assert not torch.equal(refit_pairs(trained, 20, seed=2).x, pairs.x)


def test_a_shrunk_device_is_undone_by_the_head(trained):
    """On the shrunk values the new head says what the old one said on the exact ones."""
    pairs = refit_pairs(trained, 60)
    calls = refit_calls(trained, pairs, 256)
    device = Shrinking()
    made, record = refitted(trained, pairs, device.answer(calls))
    other = refit_calls(trained, refit_pairs(trained, 30, seed=5), 256)
    [exact], [measured] = ExactTarget().answer(other), device.answer(other)
    wanted = trained.model.decode(torch.from_numpy(exact.outputs)).detach()
    raw = trained.model.decode(torch.from_numpy(measured.outputs)).detach()
    found = made.model.decode(torch.from_numpy(measured.outputs)).detach()
    before, after = (float((each - wanted).square().mean()) for each in (raw, found))
    assert after < 0.01 * before
    assert record["error_left_out"] < 0.01 * record["error_before"]
    assert record["circuits"] == 60
    # The given run keeps its head, and both what needs no circuit.
    assert trained.model.skip.weight.abs().max() > 0
    assert torch.equal(trained.model.skip.weight, made.model.skip.weight)
    assert not torch.equal(trained.model.head.weight, made.model.head.weight)


def test_the_head_is_fitted_to_what_is_left_for_the_circuit(trained):
    """A device that returns exact values leaves head and prediction as they are."""
    pairs = refit_pairs(trained, 60)
    results = ExactTarget().answer(refit_calls(trained, pairs, 9))
    made, record = refitted(trained, pairs, results)
    assert record["error_before"] < 1e-9
    states = pairs.x, pairs.t, pairs.labels
    torch.testing.assert_close(made.model(*states), trained.model(*states), atol=1e-4, rtol=0)


def test_a_fit_to_data_lowers_the_loss_of_training(trained):
    pairs = refit_pairs(trained, 300)
    results = Shrinking(gain=-0.8).answer(refit_calls(trained, pairs, 9))
    _, record = refitted(trained, pairs, results, goal="data")
    assert record["goal"] == "data"
    assert record["error_left_out"] < record["error_before"]


def test_corrections_undo_the_device_for_any_model(trained):
    pairs = refit_pairs(trained, 60)
    calls = refit_calls(trained, pairs, 100)
    found = corrections_of(calls, Shrinking().answer(calls), strength=0.0)
    other = refit_calls(trained, refit_pairs(trained, 9, seed=3), 100)
    [exact], [measured] = ExactTarget().answer(other), Shrinking().answer(other)
    np.testing.assert_allclose(found[calls[0].name](measured.outputs), exact.outputs, atol=1e-9)


def test_what_does_not_fit_is_refused(trained):
    pairs = refit_pairs(trained, 5)
    calls = refit_calls(trained, pairs, 10)
    with pytest.raises(InvalidOption, match="at least 3 circuits, got 2"):
        refit_pairs(trained, 2)
    with pytest.raises(InvalidOption, match="shots is at least 1, got 0"):
        refit_calls(trained, pairs, 0)
    with pytest.raises(InvalidData, match="one result with a row for each"):
        refitted(trained, pairs, [])
    with pytest.raises(InvalidData, match="1 calls have as many results, got 0"):
        corrections_of(calls, [])
    with pytest.raises(InvalidOption, match="The engine is exact"):
        refit(trained, "engine")


@pytest.mark.slow
def test_a_model_without_a_linear_head_gets_corrections(tmp_path):
    settings = {"image_size": 4, "depth": 1, "num_steps": 2, "train_count": 20, "epochs": 1}
    folder = qdm.train("q_dense", tmp_path / "run", **settings, baseline=False).run
    found = refit(folder, "noisy:fake_torino", circuits=12, shots=200, layout_trials=1)
    assert found.record["error_after"] < found.record["error_before"]
    options = {"shots": 50, "num_images": 2, "layout_trials": 1}
    plain = qdm.sample(folder, "noisy:fake_torino", **options)
    corrected = qdm.sample(folder, "noisy:fake_torino", corrections=found.corrections, **options)
    assert not np.array_equal(plain.images, corrected.images)
    assert corrected.manifest["corrections"]
    with pytest.raises(InvalidOption, match="that circuits return"):
        qdm.sample(folder, num_images=2, corrections=found.corrections)
    pairs = refit_pairs(qdm.load_run(folder), 3)
    with pytest.raises(TargetUnavailable, match="'q_dense' has no linear head"):
        refitted(qdm.load_run(folder), pairs, [])


def test_a_fitted_run_is_a_run_on_the_qubits_of_its_fit(run, tmp_path):
    """From the command line: refit, then sample; on another target the transpiler chooses."""
    out, layout = tmp_path / "fitted", "83,82,81"
    given = [str(run), "--target", "noisy:fake_torino", "--out", str(out), "--layout", layout]
    done = CliRunner().invoke(app, ["refit", *given, "--circuits", "40", "--shots", "64"])
    assert done.exit_code == 0, done.output
    assert "qubits [83, 82, 81]" in done.output
    record = json.loads((out / "refit.json").read_text())
    assert (record["schema"], record["shots"], record["circuits"]) == ("qdm-refit/1", 64, 40)
    found = qdm.sample(out, "noisy:fake_torino", shots=20, num_images=2)
    assert found.manifest["device"]["layout"]["physical_qubits"] == [83, 82, 81]
    assert qdm.sample(out, num_images=2).images.shape == (2, 1, 4, 4)
    with pytest.raises(InvalidOption, match="holds a refit already"):
        refit(run, "noisy:fake_torino", out=out)
    with pytest.raises(InvalidOption, match="for each of the 3 qubits of 'line', got 2"):
        qdm.sample(run, "noisy:fake_torino", shots=20, num_images=2, initial_layout=(1, 2))
    with pytest.raises(InvalidOption, match="has no physical qubits"):
        qdm.sample(run, "aer", shots=20, initial_layout=(0, 1, 2))


def test_a_run_fitted_on_tiles_is_sampled_on_them(run, tmp_path):
    """Its samples say so; where a layout or tiles are given, those are taken."""
    out = tmp_path / "fitted"
    given = [str(run), "--target", "noisy:fake_torino", "--out", str(out), "--tiles", "3"]
    done = CliRunner().invoke(app, ["refit", *given, "--circuits", "40", "--shots", "64"])
    assert done.exit_code == 0, done.output
    assert "noisy:fake_torino, tiles 3" in done.output
    options = {"shots": 20, "num_images": 6}
    fitted = qdm.sample(out, "noisy:fake_torino", **options)
    assert len(fitted.manifest["device"]["tiles"]["tiles"]) == 3
    assert fitted.manifest["sampling"]["tiles"] == 3
    assert (fitted.manifest["refit"]["circuits"], fitted.manifest["refit"]["tiles"]) == (40, 3)
    other = qdm.sample(out, "noisy:fake_torino", tiles=2, **options)
    assert len(other.manifest["device"]["tiles"]["tiles"]) == 2
    placed = qdm.sample(out, "noisy:fake_torino", initial_layout=(83, 82, 81), **options)
    assert "tiles" not in placed.manifest["device"]
    assert "refit" not in qdm.sample(run, num_images=2).manifest


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"schema": "other"}, "is not of schema"),
        ({"physical_qubits": [1.5]}, "whole numbers"),
        ({"tiles": [1]}, "a number or a rule"),
    ],
)
def test_a_damaged_record_of_a_refit_is_named(tmp_path, record, says):
    (tmp_path / "refit.json").write_text(json.dumps({"schema": "qdm-refit/1", **record}))
    with pytest.raises(InvalidData, match=says):
        read_refit(tmp_path)
