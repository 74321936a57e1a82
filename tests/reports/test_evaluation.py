"""Figures of runs beside real images and noise: right numbers, right ends, right refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.data import load_dataset
from qdm_qiskit.errors import (
    InvalidData,
    InvalidOption,
    MissingData,
    MissingDependency,
    QdmError,
    UnknownName,
)
from qdm_qiskit.evaluation import domain_classifier as classifier_module
from qdm_qiskit.evaluation.config import PROTOCOLS, EvaluationConfig
from qdm_qiskit.evaluation.distances import frechet_distance, kernel_distance
from qdm_qiskit.evaluation.domain_classifier import domain_classifier
from qdm_qiskit.evaluation.evaluate import EvaluationReport, evaluate
from qdm_qiskit.evaluation.inception import InceptionWeights
from qdm_qiskit.evaluation.subjects import Subject, run_subject, samples_subject
from qdm_qiskit.reports.evaluation_render import (
    METRICS,
    render_markdown,
    render_table,
    sentences,
    write_evaluation,
)
from qdm_qiskit.sampling import SamplingConfig, load_run, sample, write_samples
from qdm_qiskit.training import RunConfig, resolve_run, train
from tests.pages.reading import assert_self_contained

CONFIG = EvaluationConfig(count=80, resamples=20)
SETTINGS = {
    "image_size": 4,
    "depth": 1,
    "classes": (0, 1, 2),
    "train_count": 60,
    "test_count": 40,
    "epochs": 1,
    "num_steps": 2,
    "sample_every": 0,
    "baseline": False,
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classifiers")


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_module, "VISITS", 4000)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(resolve_run("qddm", SETTINGS), folder)
    return folder


Fake = Callable[..., Subject]


@pytest.fixture(scope="module")
def fake(run: Path) -> Fake:
    """A model that gives chosen images."""
    config = load_run(run).config

    def make(images: np.ndarray, name: str = "fake", config: RunConfig = config) -> Subject:
        channels, height, width = images.shape[1:]
        return Subject(
            name, "chosen", config, (channels, height, width), lambda count: images[:count]
        )

    return make


def row(report: EvaluationReport, name: str):
    return next(each for each in report.rows if each.name == name)


def test_figures_are_those_of_the_formulas(run, fake, cache):
    split = load_dataset("digits", image_size=4, classes=(0, 1, 2))
    whole = load_dataset("digits", image_size=4)
    images = np.random.default_rng(1).random((80, 1, 4, 4), dtype=np.float32) * 0.8
    report, _ = evaluate([fake(images)], CONFIG, cache=cache)
    network = domain_classifier(
        whole.train.images, whole.train.labels, whole.test.images, whole.test.labels, folder=cache
    )
    reference = split.test.images[:80]
    x, y = network.read(images)[0], network.read(reference)[0]
    found = row(report, "fake").metrics
    assert found["domain_frechet"].estimate == pytest.approx(frechet_distance(x, y))
    assert found["domain_kid"].estimate == pytest.approx(kernel_distance(x, y))
    difference = images[:, None].astype(float) - reference[None]
    errors = (difference**2).mean(axis=(2, 3, 4)).min(axis=1)
    assert found["psnr"].estimate == pytest.approx(-10 * np.log10(errors.mean()))
    training = load_dataset("digits", image_size=4, classes=(0, 1, 2), train_count=60).train.images
    to_training = images[:, None].astype(float) - training[None]
    nearest = np.sqrt((to_training**2).mean(axis=(2, 3, 4)).min(axis=1))
    assert found["nearest_training"].estimate == pytest.approx(nearest.mean())
    assert set(found) <= set(METRICS)
    assert report.classifier["accuracy"] == network.accuracy
    assert report.reference["count"] == len(reference)


def test_the_scale_has_its_ends(run, cache):
    report, pictures = evaluate([run_subject(run, seed=0)], CONFIG, cache=cache)
    assert [each.kind for each in report.rows] == ["real", "noise", "samples"]
    real, noise, tiny = (each.metrics["domain_frechet"] for each in report.rows)
    assert real.high < noise.low
    assert real.estimate < tiny.estimate
    kid = row(report, "real images").metrics["domain_kid"]
    assert kid.low < 0 < kid.high
    assert list(pictures.grids) == ["test images", "tiny"]
    assert pictures.pairs["tiny"][0].shape == pictures.pairs["tiny"][1].shape == (8, 1, 4, 4)


def test_copies_of_training_images_are_found(run, fake, cache):
    training = load_dataset("digits", image_size=4, classes=(0, 1, 2), train_count=60).train.images
    report, pictures = evaluate([fake(training)], CONFIG, cache=cache)
    found = row(report, "fake").metrics
    assert found["nearest_training"].estimate == 0
    assert found["copies"].estimate == 1
    assert row(report, "real images").metrics["copies"].estimate < 0.05
    assert row(report, "noise").metrics["copies"].estimate == 0
    shown, nearest = pictures.pairs["fake"]
    assert np.array_equal(shown, nearest)


def test_the_same_seed_gives_the_same_report(run, cache):
    evaluate(
        [run_subject(run, seed=3)], CONFIG, cache=cache
    )  # from now on the classifier is cached
    config = replace(CONFIG, seed=3)
    one, two = (evaluate([run_subject(run, seed=3)], config, cache=cache)[0] for _ in range(2))
    assert one.to_dict() == two.to_dict()
    other = evaluate([run_subject(run, seed=4)], replace(CONFIG, seed=4), cache=cache)[0]
    assert other.rows[2].metrics != one.rows[2].metrics


def test_sampling_in_batches_gives_as_many_images(run, monkeypatch):
    monkeypatch.setattr("qdm_qiskit.evaluation.subjects.PATH_NUMBERS", 48 * 7)
    images = run_subject(run, seed=0).draw(20)  # 3 moments of 16 pixels: 7 images at once
    assert images.shape == (20, 1, 4, 4)
    assert len(np.unique(images.reshape(20, -1), axis=0)) == 20  # no batch is drawn twice


def test_runs_and_sample_folders_stand_in_one_table(run, cache, tmp_path):
    samples = sample(load_run(run), SamplingConfig(num_images=40, shots=128))
    write_samples(samples, tmp_path / "tiny")
    subjects = [run_subject(run, seed=0), samples_subject(tmp_path / "tiny")]
    report, pictures = evaluate(subjects, CONFIG, cache=cache)
    assert [each.name for each in report.rows] == ["real images", "noise", "tiny", "tiny (2)"]
    assert [each.count for each in report.rows[2:]] == [80, 40]
    assert any("differ in size" in note for note in report.notes)
    paths = write_evaluation(report, pictures, tmp_path / "out")
    assert [path.name for path in paths] == [
        "evaluation.png",
        "nearest.png",
        "evaluation.md",
        "evaluation.json",
        "evaluation.html",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[:2])
    saved = json.loads(paths[3].read_text())
    assert saved["schema"] == "qdm-evaluation/2"
    text = paths[2].read_text()
    for each in saved["rows"]:
        assert each["name"] in text
        assert f"{each['metrics']['ssim']['estimate']:.3g}" in text
    table = render_table(saved)
    assert len(table.columns) == 5
    assert "named rightly" in text
    assert "nearest to it" in text  # what SSIM and PSNR are paired with
    assert "Inception FID is left out" in text


def test_the_papers_protocol():
    paper = PROTOCOLS["defalco"]
    assert (paper.count, paper.kid_subset_size, paper.score_splits) == (7000, 100, 10)


def test_subsets_and_splits_are_reported(fake, cache):
    images = np.random.default_rng(1).random((80, 1, 4, 4), dtype=np.float32)
    config = replace(CONFIG, kid_subset_size=10, kid_subsets=5, score_splits=4)
    report, _ = evaluate([fake(images)], config, cache=cache)
    mean, spread = row(report, "fake").subset_kid["domain"]
    assert mean == pytest.approx(row(report, "fake").metrics["domain_kid"].estimate, rel=0.5)
    assert spread > 0
    assert "5 subsets of 10" in render_markdown(report.to_dict())


def test_warnings_are_said(run, fake, cache):
    images = np.random.default_rng(1).random((80, 1, 4, 4), dtype=np.float32)
    report, _ = evaluate([fake(images)], replace(CONFIG, part="train"), cache=cache)
    text = " ".join(sentences(report.to_dict()))
    assert "biased upward" in text
    assert "memorises" in text
    other = replace(load_run(run).config, training=replace(load_run(run).config.training, seed=5))
    report, _ = evaluate([fake(images), fake(images, "b", other)], CONFIG, cache=cache)
    assert any("differ in their seed" in each for each in report.warnings)


def test_an_uncommon_name_is_no_markup(fake, cache, tmp_path):
    images = np.random.default_rng(1).random((80, 1, 4, 4), dtype=np.float32)
    report, pictures = evaluate([fake(images, "<b>|[red]$x$")], CONFIG, cache=cache)
    *_, page = write_evaluation(report, pictures, tmp_path)
    found = assert_self_contained(page.read_text())
    assert not found.all("b")
    assert "<b>|[red]$x$" in found.words()
    for row in report.to_dict()["rows"]:
        assert row["source"] in found.words()
    assert len(found.all("img")) == len(pictures.grids) + len(pictures.pairs)
    render_table(report.to_dict())


def _npz(folder: Path, images: np.ndarray, **arrays: np.ndarray) -> str:
    path = folder / "images.npz"
    np.savez(path, images=images, **arrays)
    return f"npz:{path}"


def test_a_reference_of_ones_own(fake, cache, tmp_path):
    rng = np.random.default_rng(2)
    images = rng.random((300, 1, 4, 4)).astype(np.float32)
    labels = np.arange(300) % 2
    images[labels == 1, :, :2] *= 0.2
    name = _npz(tmp_path, images, labels=labels)
    report, _ = evaluate([fake(images[:80])], CONFIG, dataset=name, cache=cache)
    assert report.reference["dataset"] == name
    assert any("Not every model" in each for each in report.warnings)
    found = row(report, "fake").metrics["domain_frechet"]
    assert found.low < row(report, "real images").metrics["domain_frechet"].high


def refused(error: type[QdmError], says: str, *arguments, **options) -> None:
    with pytest.raises(error, match=says) as raised:
        evaluate(*arguments, **options)
    assert "\n" not in str(raised.value)


def test_bad_references_are_refused_before_sampling(run, fake, cache, tmp_path):
    def never(count: int) -> np.ndarray:
        raise AssertionError("sampled before the refusal")

    subject = replace(fake(np.zeros((80, 1, 4, 4), dtype=np.float32)), draw=never)
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    small = _npz(tmp_path, rng.random((40, 4, 4)), labels=labels)
    refused(InvalidData, "needs more than 32 images", [subject], CONFIG, dataset=small)
    (tmp_path / "b").mkdir()
    other = _npz(tmp_path / "b", rng.random((300, 5, 5)), labels=np.arange(300) % 2)
    refused(InvalidData, "bring them to one size", [subject], CONFIG, dataset=other)
    (tmp_path / "c").mkdir()
    bare = _npz(tmp_path / "c", rng.random((300, 4, 4)))
    refused(InvalidData, "labels of at least two classes", [subject], CONFIG, dataset=bare)
    (tmp_path / "d").mkdir()
    bright = _npz(tmp_path / "d", 255 * rng.random((300, 4, 4)), labels=np.arange(300) % 2)
    refused(InvalidData, r"lie in \[0, 1\]", [subject], CONFIG, dataset=bright)
    refused(UnknownName, "no dataset", [subject], CONFIG, dataset="minst")
    refused(InvalidData, "are 20", [subject], replace(CONFIG, count=20), cache=cache)
    weights = InceptionWeights(tmp_path / "none.pth", "0")
    refused(InvalidData, "2048", [subject], CONFIG, cache=cache, inception=weights)
    refused(InvalidOption, "nothing to evaluate", [], CONFIG)


def test_bad_samples_are_refused(run, fake, cache):
    zeros = np.zeros((80, 1, 4, 4), dtype=np.float32)
    refused(InvalidData, "rescale", [fake(zeros + 2)], CONFIG, cache=cache)
    refused(InvalidData, "rescale", [fake(zeros * np.nan)], CONFIG, cache=cache)
    refused(InvalidData, "are 10: take more", [fake(zeros[:10])], CONFIG, cache=cache)
    wide = np.zeros((80, 1, 8, 8), dtype=np.float32)
    refused(InvalidData, "one size", [fake(zeros), fake(wide, "wide")], CONFIG, cache=cache)


def test_identical_black_samples_are_measured(fake, cache):
    report, _ = evaluate([fake(np.zeros((80, 1, 4, 4), dtype=np.float32))], CONFIG, cache=cache)
    found = row(report, "fake").metrics
    assert found["domain_score"].estimate == pytest.approx(1)
    json.dumps(report.to_dict(), allow_nan=False)


def test_exact_copies_of_the_reference_have_a_finite_psnr(fake, cache):
    reference = load_dataset("digits", image_size=4, classes=(0, 1, 2)).test.images
    report, _ = evaluate([fake(reference)], CONFIG, cache=cache)
    assert row(report, "fake").metrics["psnr"].estimate == 100
    json.dumps(report.to_dict(), allow_nan=False)


def test_empty_and_damaged_folders_are_refused(run, tmp_path):
    with pytest.raises(MissingData, match="qdm train"):
        run_subject(tmp_path, seed=0)
    with pytest.raises(MissingData, match="qdm sample"):
        samples_subject(tmp_path)
    folder = tmp_path / "samples"
    write_samples(sample(load_run(run), SamplingConfig(num_images=40)), folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sampling"]["num_images"] = 41
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidData, match="and not 41 images"):
        samples_subject(folder)
    content = (folder / "samples.npz").read_bytes()
    (folder / "samples.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidData, match="holds no samples"):
        samples_subject(folder)
    shutil.copy(run / "config.json", folder / "manifest.json")
    with pytest.raises(InvalidData, match="schema"):
        samples_subject(folder)


def test_a_scheduler_that_does_not_fit_is_refused_at_once(run):
    with pytest.raises(InvalidOption, match="predicts the noise"):
        run_subject(run, seed=0, scheduler="ddim", num_inference_steps=2)


@pytest.mark.parametrize(
    "options",
    [
        {"count": 1},
        {"count": 10**9},
        {"part": "all"},
        {"resamples": 3},
        {"level": 2.0},
        {"seed": -1},
        {"kid_subset_size": 1},
        {"kid_subsets": 0},
        {"score_splits": 0},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InvalidOption):
        EvaluationConfig(**options)


def test_inception_without_its_package_is_refused_before_training(fake, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    monkeypatch.setattr("qdm_qiskit.evaluation.rows.INCEPTION_FEATURES", 40)
    images = np.zeros((80, 1, 4, 4), dtype=np.float32)
    weights = InceptionWeights(tmp_path / "w.pth", "0")
    refused(
        MissingDependency, r"qdm_qiskit\[inception\]", [fake(images)], CONFIG, inception=weights
    )


def test_inceptions_figures_come_with_their_warning(fake, cache, tmp_path, monkeypatch):
    """A stand-in network: what is shown here is where its predictions go, not what Inception says."""

    class Network:
        def __init__(self, weights: InceptionWeights) -> None:
            assert weights.sha256 == "abc"

        def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            flat = images.reshape(len(images), -1).astype(np.float64)
            return flat, flat[:, :5]

    monkeypatch.setattr("qdm_qiskit.evaluation.rows.INCEPTION_FEATURES", 40)
    monkeypatch.setattr("qdm_qiskit.evaluation.rows.InceptionNetwork", Network)
    images = np.random.default_rng(1).random((80, 1, 4, 4), dtype=np.float32)
    weights = InceptionWeights(tmp_path / "w.pth", "abc")
    report, _ = evaluate([fake(images)], CONFIG, cache=cache, inception=weights)
    reference = load_dataset("digits", image_size=4, classes=(0, 1, 2)).test.images[:80]
    wanted = frechet_distance(images.reshape(80, -1), reference.reshape(len(reference), -1))
    found = row(report, "fake").metrics
    assert found["inception_frechet"].estimate == pytest.approx(wanted, rel=1e-6)
    text = " ".join(sentences(report.to_dict()))
    assert "misleading" in text
    assert "SHA-256 abc" in text
    assert "not the published file" in text
