"""Runs on a file of one's own, from the command line: elsewhere, moved, changed, of version 0.1."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A folder with `mine.npz` and `run`, one epoch of a guided model on it."""
    from qdm_qiskit.cli.main import main

    folder = tmp_path_factory.mktemp("begun")
    rng = np.random.default_rng(0)
    labels = np.array([3, 7] * 20)
    images = 0.1 + rng.random((40, 4, 4)) * 0.2 + (labels == 7)[:, None, None] * 0.6
    np.savez(folder / "mine.npz", images=images, labels=labels)
    options = "--model qddm --set depth=1 --set image_size=4 --set num_steps=3 --set guided=true"
    options += f" --set dataset=npz:{folder}/mine.npz --epochs 1 --quiet --out {folder}/run"
    with pytest.raises(SystemExit) as left:
        main(["train", *options.split()])
    assert left.value.code == 0
    return folder


@pytest.fixture
def place(begun, tmp_path, monkeypatch) -> Path:
    """A copy of it whose run looks for its data where they were copied from, which are gone."""
    shutil.copytree(begun, tmp_path / "copy")
    content = (tmp_path / "copy/run/config.json").read_text()
    gone = str(tmp_path / "gone")
    (tmp_path / "copy/run/config.json").write_text(content.replace(str(begun), gone))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "copy"


def swap(file: Path) -> None:
    with np.load(file) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    np.savez(file, images=1 - images, labels=10 - labels)


def one_line(result, *words: str) -> None:
    assert result.code == 2
    assert result.out == ""
    assert len(result.err.strip().splitlines()) == 1
    for word in words:
        assert word in result.err


EVALUATE = ("--count", "40", "--resamples", "20", "--quiet", "--json")


def test_a_run_is_evaluated_from_another_folder(qdm, begun, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = qdm("evaluate", begun / "run", *EVALUATE, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    table = json.loads(result.out)
    # 8 test images: no Fréchet distance over 32 features, and it says so; the rest is there.
    assert any("Fréchet distance is left out" in each for each in table["warnings"])
    assert not any("cannot be verified" in each for each in table["notes"])
    for row in table["rows"]:
        assert "domain_frechet" not in row["metrics"]
        assert {"domain_kid", "psnr", "nearest_training"} <= set(row["metrics"])
    assert (tmp_path / "out/evaluation.png").is_file()
    assert [row["name"] for row in table["rows"]] == ["real images", "noise", "run"]


def test_labels_that_were_never_seen_are_refused(qdm, begun, tmp_path):
    for label in (0, 1, 4, 10, -3):
        result = qdm("sample", begun / "run", "--label", label, "--out", tmp_path / "s")
        one_line(result, f"label is one of 3, 7; got {label}.")
    assert not (tmp_path / "s").exists()
    result = qdm(
        *("sample", begun / "run", "--label", 7, "--num-images", 2, "--out", tmp_path / "s"),
        "--quiet",
    )
    assert result.code == 0, result.err
    manifest = json.loads((tmp_path / "s/manifest.json").read_text())
    assert manifest["labels"] == [1, 1]
    assert manifest["classes"] == {"3": 0, "7": 1}


@pytest.mark.slow
def test_every_command_takes_data_that_moved(qdm, place):
    """And refuses to guess, and to take other data instead."""
    run, file = place / "run", place / "mine.npz"
    samples = qdm("sample", run, "--num-images", 4, "--out", run / "exact", "--quiet")
    assert samples.code == 0, samples.err  # sampling needs no data
    commands = (
        ("train", "--out", run, "--resume", "latest", "--epochs", 2, "--quiet"),
        ("evaluate", run, *EVALUATE),
        ("report", "run", run),
        ("report", "pictures", run, "--num-images", 4, "--quiet"),
    )
    other = place / "other.npz"
    shutil.copy(file, other)
    swap(other)
    for command in commands:
        one_line(qdm(*command), "no file mine.npz", "data=PATH", "(--data)")
        one_line(qdm(*command, "--data", other), "not those that the run was trained on")
        one_line(qdm(*command, "--data", place / "nowhere.npz"), "There is no file")
    for command in commands[2::-1]:  # the first writes the new place down
        result = qdm(*command, "--data", file)
        assert result.code == 0, result.err
    assert json.loads((run / "config.json").read_text())["data"]["dataset"] == f"npz:{file}"
    assert qdm("evaluate", run, *EVALUATE).code == 0
    swap(file)
    for command in (("train", "--out", run, "--resume", "latest", "--epochs", 3), *commands[1:]):
        one_line(qdm(*command), "mine.npz has SHA-256", "data=PATH", "(--data)")


def test_each_run_of_a_table_takes_the_place_that_holds_its_data(qdm, begun, place):
    run, file = place / "run", place / "mine.npz"
    result = qdm("evaluate", run, begun / "run", *EVALUATE, "--data", file, "--out", place / "e")
    assert result.code == 0, result.err
    assert [row["name"] for row in json.loads(result.out)["rows"]][2:] == ["run", "run (2)"]
    other = place / "other.npz"
    shutil.copy(file, other)
    swap(other)
    table = ("evaluate", run, begun / "run", *EVALUATE, "--out", place / "e")
    one_line(qdm(*table, "--data", file, "--data", other), "other.npz does not hold the data")


@pytest.mark.slow
def test_samples_are_evaluated_against_the_data_of_their_run(qdm, begun, place):
    folder = place / "samples"
    made = qdm("sample", place / "run", "--num-images", 40, "--out", folder, "--quiet")
    assert made.code == 0, made.err
    table = ("evaluate", "--samples", folder, *EVALUATE)
    one_line(qdm(*table), "no file mine.npz")
    assert qdm(*table, "--data", place / "mine.npz").code == 0


def test_a_run_of_version_01_is_resumed_evaluated_and_reported_with_a_note(qdm, place):
    run = place / "run"
    content = json.loads((run / "config.json").read_text())
    del content["record"]
    content["data"]["dataset"] = "npz:copy/mine.npz"
    (run / "config.json").write_text(json.dumps(content))
    assert qdm("sample", run, "--num-images", 4, "--out", run / "exact", "--quiet").code == 0
    one_line(qdm("sample", run, "--label", 1, "--out", place / "s"), "label is one of 3, 7; got 1.")
    table = json.loads(qdm("evaluate", run, *EVALUATE).out)
    assert [each for each in table["notes"] if "cannot be verified" in each] != []
    for command in (("report", "run", run), ("report", "pictures", run, "--num-images", 4)):
        result = qdm(*command)
        assert result.code == 0, result.err
        assert result.out.count("cannot be verified") == 1
    for quiet in (["--quiet"], []):
        copy = place / f"again{len(quiet)}"
        shutil.copytree(run, copy)
        result = qdm("train", "--out", copy, "--resume", "latest", "--epochs", 2, *quiet)
        assert result.code == 0, result.err
        said = [line for line in result.err.splitlines() if "cannot be verified" in line]
        assert len(said) == 1
        assert said[0].startswith("note: ")
        assert json.loads((copy / "config.json").read_text())["record"]["train_classes"] == {
            "3": 16,
            "7": 16,
        }


def test_data_belong_to_a_resumed_run(qdm, begun, tmp_path):
    new = ("train", "--model", "eeqdm", "--out", tmp_path / "new", "--data", begun / "mine.npz")
    one_line(qdm(*new), "a new run names its own by dataset and folder")
    assert not (tmp_path / "new").exists()
