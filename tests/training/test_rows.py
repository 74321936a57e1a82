"""Runs on rows of numbers: trained, sampled into a table, measured; from Python and by commands."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import qdm_qiskit as qdm
from qdm_qiskit.errors import InvalidData, InvalidOption, MissingData
from qdm_qiskit.evaluation import domain_classifier as classifier_module
from qdm_qiskit.training import resolve_run

SMALL = {
    "codec": "pca",
    "latents": 3,
    "num_qubits": 2,
    "num_steps": 2,
    "epochs": 1,
    "sample_every": 0,
    "baseline": False,
}
TABLE = "size,colour,kind\n" + "".join(
    f"{k / 4},{('red', 'blue')[k % 2]},{('a', 'b')[k // 20]}\n" for k in range(40)
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(TABLE)
    return path


def test_image_size_is_the_least_that_holds_a_row(file):
    sizes = {
        ("line", "iris"): 3,
        ("qddm", "iris"): 4,  # a power of two
        ("line", "waves"): 4,
        ("eeqdm", "breast-cancer"): 8,
        ("line", f"csv:{file}"): 3,
        ("line", "digits"): 8,
    }
    for (model, dataset), size in sizes.items():
        found = resolve_run(model, {"dataset": dataset})
        assert found.model_options.image_size == size, (model, dataset)
    chosen = resolve_run("line", {"dataset": "iris", "image_size": 5})
    assert chosen.model_options.image_size == 5


def test_classes_of_a_guided_model_are_those_of_the_rows(file):
    assert resolve_run("line", {"dataset": "ising", "guided": True}).model_options.num_classes == 3
    own = resolve_run("line", {"dataset": f"csv:{file}", "guided": True})
    assert own.model_options.num_classes == 2


def test_a_table_is_trained_on_and_sampled_into_a_table(tmp_path, file):
    folder = tmp_path / "run"
    run = qdm.train(
        "line", folder, dataset=f"csv:{file}", guided=True, **SMALL, log_with="none"
    ).run
    record = json.loads((folder / "config.json").read_text())["record"]
    assert [column["name"] for column in record["rows"]["columns"]] == ["size", "colour", "kind"]
    file.rename(tmp_path / "moved.csv")  # sampling needs no data
    samples = qdm.sample(run, num_images=6, out=folder / "made")
    read = list(csv.DictReader((folder / "made/samples.csv").read_text().splitlines()))
    assert len(read) == 6
    assert list(read[0]) == ["size", "colour", "kind", "told_class"]
    assert [row["told_class"] for row in read] == ["a", "b"] * 3
    assert all(0 <= float(row["size"]) <= 9.75 for row in read)
    assert {row["colour"] for row in read} <= {"red", "blue"}
    assert samples.table() == (folder / "made/samples.csv").read_text()
    np.testing.assert_array_equal(
        samples.rows.values(samples.images)[:, 0], [float(row["size"]) for row in read]
    )
    with pytest.raises(MissingData, match=r"no file mine\.csv"):
        qdm.continue_training(folder, epochs=2, log_with="none")
    gone_on = qdm.continue_training(folder, epochs=2, data=tmp_path / "moved.csv", log_with="none")
    assert gone_on.epochs == 2
    (tmp_path / "moved.csv").write_text(TABLE.replace("red", "green"))
    with pytest.raises(InvalidData, match="are not those that the run was trained on"):
        qdm.continue_training(folder, epochs=3, data=tmp_path / "moved.csv", log_with="none")


def test_images_make_no_table(tmp_path):
    small = {"image_size": 2, "depth": 1, "num_steps": 2, "train_count": 8, "epochs": 1}
    run = qdm.train("eeqdm", tmp_path / "run", **small, baseline=False, log_with="none").run
    samples = qdm.sample(run, num_images=2, out=tmp_path / "made")
    assert samples.rows is None
    assert not (tmp_path / "made/samples.csv").exists()
    with pytest.raises(InvalidData, match="These samples are images"):
        samples.table()


def test_too_small_a_size_names_the_least(tmp_path):
    with pytest.raises(InvalidOption, match="image_size=3 or more"):
        qdm.train("line", tmp_path / "run", dataset="iris", image_size=2, **SMALL)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_rows_are_measured_by_their_own_metrics(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier_module, "VISITS", 500)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    small = {**SMALL, "latents": 8, "train_count": 60, "test_count": 60}
    run = qdm.train("line", tmp_path / "run", dataset="ising", **small, log_with="none").run
    found = qdm.evaluate(run, count=40, resamples=20, out=tmp_path / "evaluation")
    rows = {row.name: row.metrics for row in found.report.rows}
    assert {"spin_energy", "magnetisation", "marginals", "correlations"} <= set(rows["noise"])
    assert not {"ssim", "psnr", "tstr", "energy_sum"} & set(rows["noise"])
    real, noise = (rows[name]["spin_energy"].estimate for name in ("real images", "noise"))
    assert real < noise
    page = (tmp_path / "evaluation/evaluation.md").read_text()
    assert "test rows of ising, spins of 16 columns" in page
    samples = qdm.sample(run, num_images=40, out=tmp_path / "made")
    again = qdm.evaluate(samples=tmp_path / "made", metrics=["spin_energy"], count=40, resamples=20)
    assert again.report.rows[-1].count == len(samples.images)
