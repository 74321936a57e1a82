from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.cli.main import main
from qdm_qiskit.errors import InvalidData, MissingData
from qdm_qiskit.evaluation.run import nearest_distance, run_report
from qdm_qiskit.reports.run_render import write_run_report
from qdm_qiskit.sampling import SamplingConfig, load_run, sample, write_samples
from qdm_qiskit.training import resolve_run, train
from tests.pages.reading import assert_self_contained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    settings = {
        "image_size": 2,
        "depth": 1,
        "classes": (0, 1),
        "train_count": 20,
        "test_count": 10,
        "epochs": 2,
        "num_steps": 2,
        "sample_every": 0,
    }
    train(resolve_run("qddm", settings), folder)
    return folder


@pytest.fixture(scope="module")
def sampled(run: Path) -> Path:
    trained = load_run(run)
    exact = SamplingConfig(num_images=5)
    noisy = SamplingConfig(
        target="noisy:fake_torino",
        shots=256,
        num_images=4,
        mitigation="m3",
        calibration_shots=256,
        layout_trials=1,
    )
    for name, config in (("exact", exact), ("noisy", noisy)):
        write_samples(sample(trained, config), run / name)
    return run


def test_nearest_distance_against_its_definition() -> None:
    rng = np.random.default_rng(3)
    images, references = rng.random((5, 1, 4, 4)), rng.random((7, 1, 4, 4))
    slow = [min(np.sqrt(np.mean((a - b) ** 2)) for b in references) for a in images]
    assert nearest_distance(images, references) == pytest.approx(np.mean(slow))
    assert nearest_distance(references, references) == pytest.approx(0, abs=1e-7)


def test_report_gathers_the_run_and_every_sample_folder(sampled: Path) -> None:
    report, pictures = run_report(sampled)
    assert (report.model, report.parameters, report.qubits) == ("qddm", 9, 3)
    assert [each["epoch"] for each in report.history] == [1, 2]
    exact, noisy = report.targets
    assert (exact.folder, exact.target, exact.shots, exact.raw_distance) == (
        "exact",
        "engine",
        None,
        None,
    )
    assert (noisy.target, noisy.shots, noisy.mitigation) == ("noisy:fake_torino", 256, "m3")
    steps = json.loads((sampled / "noisy" / "manifest.json").read_text())["device"]["steps"]
    assert noisy.raw_distance == pytest.approx(np.mean([each["raw_distance"] for each in steps]))
    left = np.mean([each["signal_left"] for each in steps])
    assert f"about {left:.0%} of the signal" in noisy.sentence
    assert exact.sentence == "No device noise."
    assert list(pictures.samples) == ["test images", "exact", "noisy"]
    assert pictures.samples["exact"].shape == (5, 1, 2, 2)
    assert pictures.forward.shape == (3, 1, 2, 2)


def test_written_page_names_both_baselines_and_every_target(sampled: Path, tmp_path: Path) -> None:
    paths = write_run_report(*run_report(sampled), tmp_path)
    assert [path.name for path in paths] == [
        "report.png",
        "report.md",
        "report.html",
        "report.json",
    ]
    last = json.loads(paths[3].read_text())["history"][-1]
    for path in paths[1:3]:
        text = path.read_text()
        assert f"{last['identity_loss']:.4f}" in text
        assert f"{last['baseline_loss']:.4f}" in text
        assert "noisy:fake_torino" in text
    assert paths[0].read_bytes().startswith(b"\x89PNG")


def test_the_page_has_loss_chains_samples_and_cost(sampled: Path, tmp_path: Path) -> None:
    report, pictures = run_report(sampled)
    assert {name: each.shape for name, each in pictures.chains.items()} == {
        "exact": (3, 5, 1, 2, 2),
        "noisy": (3, 4, 1, 2, 2),
    }
    np.testing.assert_array_equal(pictures.chains["exact"][-1], pictures.samples["exact"])
    text = write_run_report(report, pictures, tmp_path)[2].read_text()
    assert len(text) < 100_000
    page = assert_self_contained(text)
    # Three baselines and the model's two losses, by epoch; then the seconds.
    assert len(page.all("polyline")) == len([k for k in report.history[0] if "loss" in k][:4]) + 1
    sliders = [each for each in page.all("input") if each["type"] == "range"]
    assert [each["max"] for each in sliders] == ["2", "2"]
    assert len(page.all("img")) == 3
    assert len(page.all("image")) == 3
    assert "Training took" in page.words()
    for note in report.targets:
        assert note.sentence in page.words()


def test_a_path_of_other_images_is_refused(sampled: Path) -> None:
    path = sampled / "exact" / "samples.npz"
    content = path.read_bytes()
    np.savez(path, images=np.zeros((5, 1, 2, 2)), trajectory=np.zeros((3, 4, 1, 2, 2)))
    try:
        with pytest.raises(InvalidData, match="path of other images"):
            run_report(sampled)
        np.savez(path, images=np.zeros((5, 1, 2, 2)))
        assert list(run_report(sampled)[1].chains) == ["noisy"]
    finally:
        path.write_bytes(content)


def test_page_escapes_what_a_folder_is_called(sampled: Path, tmp_path: Path) -> None:
    hostile = sampled.parent / "<script>alert(1)</script>".replace("/", "_")
    sampled.rename(hostile)
    try:
        _, _, page, _ = write_run_report(*run_report(hostile), tmp_path)
        assert "<script>alert" not in page.read_text()
        assert "&lt;script&gt;alert" in page.read_text()
    finally:
        hostile.rename(sampled)


def test_run_without_samples_says_how_to_make_some(tmp_path: Path) -> None:
    settings = {"image_size": 2, "depth": 1, "train_count": 10, "test_count": 10, "epochs": 1}
    train(resolve_run("qddm", {**settings, "sample_every": 0}), tmp_path / "run")
    with pytest.raises(MissingData, match="qdm sample"):
        run_report(tmp_path / "run")


def test_damaged_samples_are_refused(sampled: Path) -> None:
    path = sampled / "exact" / "samples.npz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    try:
        with pytest.raises(InvalidData, match="holds no samples"):
            run_report(sampled)
    finally:
        path.write_bytes(content)


def test_command_prints_json(sampled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["report", "run", str(sampled), "--json"])
    assert exit_.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["schema"] == "qdm-run-report/1"
    assert [each["folder"] for each in printed["targets"]] == ["exact", "noisy"]
