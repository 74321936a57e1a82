from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qdm_qiskit.diffusion import NoisePrediction
from qdm_qiskit.errors import InvalidOption, MissingData
from qdm_qiskit.evaluation import domain_classifier as classifier_module
from qdm_qiskit.evaluation.paths import forward_paths
from qdm_qiskit.reports import pictures as module
from qdm_qiskit.reports.pictures import class_grid, film, run_pictures, strip, write_pictures
from qdm_qiskit.sampling import QDMPipeline, SamplingConfig, TrainedRun, load_run, sample
from qdm_qiskit.training import load_split, resolve_run, train

TINY = {
    "image_size": 4,
    "depth": 1,
    "classes": (0, 1),
    "train_count": 40,
    "test_count": 20,
    "epochs": 1,
    "num_steps": 3,
    "sample_every": 0,
    "baseline": False,
}
FILES = {
    "samples.png",
    "trajectory.png",
    "trajectory.gif",
    "forward.png",
    "loss.png",
    "classes.png",
}


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_module, "VISITS", 256)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A circuit, and one that knows the class."""
    folder = tmp_path_factory.mktemp("runs")
    train(resolve_run("qddm", TINY), folder / "plain")
    train(resolve_run("qddm", {**TINY, "guided": True}), folder / "guided")
    return {name: folder / name for name in ("plain", "guided")}


def one_step_run(run: TrainedRun) -> TrainedRun:
    """The same run with a process that draws a step for each image."""
    return replace(run, process=NoisePrediction(40))


def png(content: bytes) -> np.ndarray:
    assert content.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))


def test_a_run_is_drawn_whole(runs, tmp_path):
    drawn = run_pictures(runs["plain"], SamplingConfig(num_images=5))
    paths = write_pictures(drawn, tmp_path)
    assert {path.name for path in paths} == FILES
    for name, content in drawn.files.items():
        assert (tmp_path / name).read_bytes() == content
        if name.endswith(".png"):
            assert png(content).std() > 5  # not a blank sheet
    assert "the model is not guided" in drawn.notes[-1]


def test_film_runs_from_noise_to_the_samples(runs):
    made = sample(load_run(runs["plain"]), SamplingConfig(num_images=4))
    pictures = Image.open(io.BytesIO(film(made.trajectory)))
    assert pictures.n_frames == 4
    for moment, images in ((0, made.trajectory[0]), (3, made.images)):
        pictures.seek(moment)
        frame = np.asarray(pictures.convert("L"), dtype=float)
        scale = frame.shape[0] // 9  # 2 x 2 images of 4 pixels, one white pixel between
        assert frame[::scale, ::scale][:4, :4] == pytest.approx(255 * images[0, 0], abs=2)


def test_long_films_are_thinned_but_keep_both_ends():
    trajectory = np.linspace(0, 1, 1001)[:, None, None, None, None] * np.ones((1, 1, 1, 2, 2))
    pictures = Image.open(io.BytesIO(film(trajectory)))
    assert pictures.n_frames == module.FRAMES
    levels = []
    for moment in (0, module.FRAMES - 1):
        pictures.seek(moment)
        levels.append(int(np.asarray(pictures.convert("L")).max()))
    assert levels == [0, 255]


def test_forward_path_of_a_process_that_trains_every_step(runs):
    run = load_run(runs["plain"])
    images = torch.from_numpy(load_split(run.config).train.images[:3])
    paths, steps = forward_paths(run, images, 0)
    assert paths.shape == (4, 3, 1, 4, 4)
    assert steps.tolist() == [0, 1, 2, 3]
    assert np.array_equal(paths[0], images.numpy())
    away = np.abs(paths - paths[0]).mean(axis=(1, 2, 3, 4))
    assert (np.diff(away) > 0).all()


def test_forward_path_of_a_process_that_draws_one_step(runs):
    run = one_step_run(load_run(runs["plain"]))
    images = torch.from_numpy(load_split(run.config).train.images[:2])
    paths, steps = forward_paths(run, images, 0)
    assert paths.shape == (len(steps), 2, 1, 4, 4)
    assert (steps[0], steps[1], steps[-1]) == (0, 1, 40)
    assert paths[0] == pytest.approx(images.numpy(), abs=1e-6)
    # Correlation with the image falls as sqrt(alpha_bar): near 1 at first, near 0 at the end.
    alike = [np.corrcoef(paths[0].ravel(), each.ravel())[0, 1] for each in paths]
    assert alike[1] > 0.9
    assert abs(alike[-1]) < 0.5  # 32 pixels
    assert np.array_equal(paths, forward_paths(run, images, 0)[0])


def test_a_guided_model_is_drawn_class_by_class(runs):
    run = load_run(runs["guided"])
    config = SamplingConfig(num_images=3)
    split = load_split(run.config)
    content, note = class_grid(run, config, np.zeros((3, 1, 4, 4)), split, None)
    assert content is not None
    assert "sampled with its class" in note


def test_one_class_has_no_class_grid(runs):
    run = load_run(runs["plain"])
    config = resolve_run("qddm", {**TINY, "classes": (0,)})
    single = replace(run, config=config)
    split = load_split(config)
    content, note = class_grid(single, SamplingConfig(), np.zeros((3, 1, 4, 4)), split, None)
    assert content is None
    assert "one class" in note


def test_a_saved_pipeline_has_no_losses_and_says_so(runs, tmp_path):
    QDMPipeline.from_pretrained(runs["plain"]).save_pretrained(tmp_path / "saved")
    drawn = run_pictures(tmp_path / "saved", SamplingConfig(num_images=2))
    assert set(drawn.files) == FILES - {"loss.png"}
    assert any("loss.png is left out" in note for note in drawn.notes)


def test_strips_show_first_and_last_moment():
    dark = np.zeros((50, 2, 1, 4, 4))
    dark[-1] = 1
    bright = png(strip(dark, np.arange(50)[::-1], "title"))
    half = bright.shape[1] // 2
    assert (bright[:, :half] < 10).mean() > (bright[:, half:] < 10).mean()


def test_what_cannot_be_drawn_is_refused(runs, tmp_path, monkeypatch):
    with pytest.raises(MissingData, match="qdm train"):
        run_pictures(tmp_path, SamplingConfig())
    with pytest.raises(InvalidOption, match="at most 400 images"):
        run_pictures(runs["plain"], SamplingConfig(num_images=401))
    monkeypatch.setattr(module, "PATH_NUMBERS", 10 * 4 * 16)
    with pytest.raises(InvalidOption, match="at most 10 images"):
        run_pictures(runs["plain"], SamplingConfig(num_images=11))
