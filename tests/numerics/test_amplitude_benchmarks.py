"""The benchmarks of Cacioppo's and QAMP's models measure what their texts say."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from qdm_qiskit.data import ImageSet, Split, load_dataset
from qdm_qiskit.diffusion import DiffusionConfig, make_process
from qdm_qiskit.errors import InvalidData, InvalidOption, MissingData
from qdm_qiskit.training import resolve_run, train
from tests.helpers import ROOT, load_script

BENCHMARKS = ROOT / "benchmarks"
SMALL = {
    "image_size": 4,
    "num_steps": 2,
    "depths": (2, 2, 2),
    "train_count": 40,
    "test_count": 20,
    "sample_every": 0,
    "epochs": 2,
}


@pytest.fixture(scope="module")
def images():
    return load_script(BENCHMARKS / "cacioppo_images.py")


@pytest.fixture(scope="module")
def curves():
    return load_script(BENCHMARKS / "amplitude_curves.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of one setting, and one that differs in its batches as well."""
    folder = tmp_path_factory.mktemp("runs")
    second, other = {"seed": 1, "checkpoint_every": 1}, {"seed": 2, "batch_size": 10}
    for name, more in (("a", {}), ("b", second), ("c", other)):
        train(resolve_run("cacioppo-digits-8x8", {**SMALL, **more}), folder / name)
    return folder


def test_sure_images_of_the_wanted_digits_are_counted(images):
    logits = np.log(
        [[0.95, 0.04, 0.01], [0.05, 0.92, 0.03], [0.02, 0.89, 0.09], [0.01, 0.01, 0.98]]
    )
    classifier = SimpleNamespace(classes=(0, 1, 2), read=lambda _: (None, logits))
    found = images.judge(classifier, np.zeros((4, 1, 2, 2)), (0, 1))
    assert found["share"] == 0.5
    assert found["each"] == {"0": 0.25, "1": 0.25}
    assert found["likeliest"] == {"0": 0.25, "1": 0.5, "2": 0.25}
    assert found["standard_error"] == pytest.approx(0.25)


@pytest.mark.parametrize("noise", ["real", "complex"])
def test_linear_steps_are_the_regression_of_the_target_on_the_noisy_state(images, noise):
    process = make_process(
        DiffusionConfig(
            process="complex_gaussian",
            num_steps=3,
            schedule="linear",
            beta_start=0.2,
            beta_end=0.9,
            data_norm=2.0,
            noise=noise,
        )
    )
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(50, 1, 2, 2, generator=generator)
    maps = images.linear_steps(process, pictures)
    x_0 = process.to_states(pictures).repeat(4_000, 1, 1, 1)
    for t in (1, 2, 3):
        step = torch.full((len(x_0),), t)
        x_t = process.add_noise(x_0, process.draw(tuple(x_0.shape), generator), step)
        target = process.posterior_mean(x_0, x_t, step)
        fitted = torch.linalg.lstsq(x_t.flatten(1).cdouble(), target.flatten(1).cdouble()).solution
        # 200,000 pairs: an entry's standard error is below 1 / sqrt(200,000) = 0.0022.
        torch.testing.assert_close(maps[t - 1].cdouble(), fitted, rtol=0, atol=0.011)


def test_an_image_is_its_own_nearest(images):
    known = np.random.default_rng(0).uniform(size=(5, 1, 3, 3))
    assert images.nearest_fidelity(3 * known[1:3], known) == pytest.approx(1)
    apart = np.zeros((2, 1, 1, 2))
    apart[0, ..., 0] = apart[1, ..., 1] = 1
    assert images.nearest_fidelity(apart[:1], apart[1:]) == 0
    assert images.nearest_fidelity(np.ones((1, 1, 1, 2)), apart) == pytest.approx(0.5)


def test_runs_of_one_setting_are_judged_together_and_others_are_refused(images, runs):
    assert len(images.load_group([runs / "a", runs / "b"])) == 2
    with pytest.raises(InvalidOption, match="differ in their seeds only"):
        images.load_group([runs / "a", runs / "c"])


def test_the_command_writes_figures_and_picture(images, runs, tmp_path, monkeypatch, capsys):
    found, picture = tmp_path / "found.json", tmp_path / "found.png"
    words = [str(runs / "a"), str(runs / "b"), "--images", "12", "--columns", "6"]
    monkeypatch.setattr(sys, "argv", ["x", *words, "--json", str(found), "--png", str(picture)])
    images.main()
    content = json.loads(found.read_text())
    shares = [run["share"] for run in content["runs"]]
    assert content["share"]["mean"] == pytest.approx(np.mean(shares))
    assert [run["seed"] for run in content["runs"]] == [0, 1]
    # The one sanity check that needs no trained model: it knows digits, and noise is none.
    assert content["unseen"]["share"] > 0.5 > content["noise"]["share"]
    assert all(run["linear"]["infidelity"] < run["linear"]["identity"] for run in content["runs"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "seed 1" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["x", str(runs / "none")])
    with pytest.raises(SystemExit, match="error: "):
        images.main()


@pytest.fixture
def simple(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = load_script(BENCHMARKS / "amplitude_floors.py")
    yield module
    sys.modules.pop("cacioppo_images", None)


def test_one_image_is_all_there_is_to_learn_if_all_are_alike(simple):
    part = ImageSet(np.full((30, 1, 4, 4), 0.5, np.float32), np.zeros(30, np.int64), "flat")
    found = simple.floors(simple.PUBLISHED, Split(part, part))
    for name in ("fixed", "linear", "real"):
        assert found[f"{name}_first_step"] == pytest.approx(0, abs=1e-5)
    assert found["linear"] < found["identity"]


def test_simple_answers_stand_in_their_order(simple):
    split = load_dataset("digits", image_size=16, classes=(0, 1))
    found = simple.floors(simple.PUBLISHED, split)
    parts = (split.train, split.test)
    flat = [part.images.reshape(len(part), -1).astype(np.float64) for part in parts]
    known, unseen = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in flat)
    best = np.linalg.svd(known)[2][0]
    assert found["fixed_first_step"] == pytest.approx(1 - np.mean((unseen @ best) ** 2), abs=1e-5)
    assert found["identity"] == pytest.approx(0.097, abs=0.001)  # of the published setting
    order = ("real", "linear", "fixed", "identity")
    values = [found[f"{name}_first_step"] for name in order]
    assert values == sorted(values)


def test_curves_hold_what_the_run_recorded(curves, runs, tmp_path, monkeypatch, capsys):
    found, picture = tmp_path / "found.json", tmp_path / "found.png"
    words = [f"K=2=one={runs / 'a'}", "--published", "qamp", "--json", str(found)]
    monkeypatch.setattr(sys, "argv", ["x", *words, "--png", str(picture)])
    curves.main()
    (curve,) = json.loads(found.read_text())["runs"]
    rows = [json.loads(line) for line in (runs / "a" / "metrics.jsonl").read_text().splitlines()]
    assert curve["label"] == "K=2=one"
    assert curve["step"] == [row["step"] for row in rows]
    for key in ("train_loss", "identity_loss", "test_loss_first_step"):
        np.testing.assert_allclose(curve[key], [row[key] for row in rows], rtol=1e-4)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "2 epochs" in capsys.readouterr().out


def test_curves_refuse_runs_without_a_term_of_the_first_step(curves, runs, tmp_path):
    row = json.loads((runs / "a" / "metrics.jsonl").read_text().splitlines()[0])
    del row["test_loss_first_step"]
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row))
    (tmp_path / "config.json").write_text((runs / "a" / "config.json").read_text())
    with pytest.raises(InvalidData, match="no losses at t = 1"):
        curves.read_run("x", tmp_path)
    with pytest.raises(MissingData):
        curves.read_run("x", tmp_path / "none")


def test_curves_want_labels(curves, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "runs/a"])
    with pytest.raises(SystemExit, match="LABEL=FOLDER"):
        curves.main()
