"""Mistakes: exit code 2, one line on standard error, and nothing written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

LONG = "a" * 300


def refused(result) -> str:
    """The one line that a refusal consists of."""
    assert result.code == 2, result
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert result.err.endswith("\n")
    assert "Traceback" not in result.err
    return result.err.removeprefix("error: ").rstrip("\n")


@pytest.fixture
def place(tmp_path, monkeypatch, trained):
    """A working folder with a copy of a trained run, a file, and images of many kinds."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "file").write_text("mine")
    good = np.random.default_rng(0).random((20, 4, 4))
    for name, pixel in (("nan", np.nan), ("infinite", np.inf), ("large", 2.0)):
        images = good.copy()
        images[7, 1, 2] = pixel
        np.savez(tmp_path / f"{name}.npz", images=images)
    zero = good.copy()
    zero[3] = 0
    np.savez(tmp_path / "zero.npz", images=zero)
    np.savez(tmp_path / "good.npz", images=good)
    (tmp_path / "garbage.npz").write_bytes(b"PK\x03\x04 and so on")
    return tmp_path


TRAIN = "train --out new --quiet"
SAMPLE = "sample run --out new --quiet"
RESUME = "train --out run --quiet --resume"

CASES = [
    (f"{SAMPLE} --target aer --shots 9 --primitive estimator", "'eeqdm' read probabilities"),
    (f"{SAMPLE} --primitive-options [1]", "primitive_options are a JSON object"),
    # names
    (f"{TRAIN} --model eqdm", "no model or preset 'eqdm'.*Did you mean 'eeqdm'"),
    (f"{TRAIN} --preset digits-dmo", "no model or preset 'digits-dmo'.*Did you mean 'digits-demo'"),
    ("models describe qdm", "no model or preset 'qdm'.*Did you mean 'qddm'"),
    (f"{TRAIN} --model eeqdm --set dataset=digit", "no dataset 'digit'.*Did you mean 'digits'"),
    (
        f"{TRAIN} --model eeqdm --set dept=2",
        "no option of 'eeqdm' called 'dept'.*Did you mean 'depth'",
    ),
    (
        "models describe eeqdm --set dept=2",
        "no option of 'eeqdm' called 'dept'.*Did you mean 'depth'",
    ),
    (f"{SAMPLE} --target noisy:fake_torin --shots 9", "Did you mean 'fake_torino'"),
    (f"{SAMPLE} --target local:torino --shots 9", "no device snapshot 'torino'"),
    (f"{SAMPLE} --target engin", "no target 'engin'.*Did you mean 'engine'"),
    (f"{SAMPLE} --target ibm:ibm_fez --shots 9", "never spends QPU time"),
    (f"{SAMPLE} --target ibm: --shots 9", "no target 'ibm:'"),
    (f"{SAMPLE} --mitigation m4", "mitigation is one of none, m3"),
    ("report transpile eeqdm --backend fake_torin --out new", "Did you mean 'fake_torino'"),
    ("report transpile eqdm --out new", "Did you mean 'eeqdm'"),
    ("report system nowhere --out new", "There is no folder nowhere"),
    ("report system . --watts 0 --out new", "watts is a power above 0.*got 0"),
    ("report transpile eeqdm --format sgv --out new", "no format of figures called 'sgv'.*svg"),
    ("compare eeqdm --format png --out new", "no format of figures called 'png'"),
    ("sweep --model eeqdm --format eps --out new", "no format of figures called 'eps'"),
    ("evaluate run run --format svg", "Figures go into a folder: name out"),
    ("trian --out new", "No such command 'trian'.*train"),
    (f"{TRAIN} --model eeqdm --epoch 3", "No such option: --epoch.*--epochs"),
    (f"{SAMPLE} --shot 3", "No such option: --shot.*--shots"),
    (f"{TRAIN} --model eeqdm --epochs many", "Invalid value for '--epochs'"),
    (f"{TRAIN} --model eeqdm --threads 0", "Invalid value for '--threads'"),
    ("sample run", "Missing option '--out'"),
    ("sample --out new", "Missing argument"),
    # options
    (f"{TRAIN} --model eeqdm --set image_size=12", "power of two.*got 12"),
    (f"{TRAIN} --model classical_unet --set image_size=13", "divisible by 2.*got 13"),
    (f"{TRAIN} --model eeqdm --set image_size=0", "power of two.*got 0"),
    (f"{TRAIN} --model eeqdm --set image_size=4096", "from 2 to 1024.*got 4096"),
    (f"{TRAIN} --model eeqdm --set depth=0", "depth must be at least 1.*got 0"),
    (f"{TRAIN} --model eeqdm --set depth={'9' * 4000}", "depth must be"),
    (f"{TRAIN} --model eeqdm --set depth={'9' * 5000}", "depth is a whole number"),
    (f"{TRAIN} --model eeqdm --set depth=2.5", "depth is a whole number, got '2.5'"),
    (f"{TRAIN} --model eeqdm --set depth", "name=value, got 'depth'"),
    (f"{TRAIN} --model eeqdm --set depth=1 --set depth=2", "'depth' is set twice"),
    (f"{TRAIN} --model eeqdm --set epochs=2 --epochs 3", "'epochs' is set twice"),
    (f"{TRAIN} --model eeqdm --epochs 0", "epochs must be at least 1, got 0"),
    (f"{TRAIN} --model eeqdm --epochs -3", "epochs must be at least 1"),
    (f"{TRAIN} --model eeqdm --seed -1", "seed.* >= 0"),
    (f"{TRAIN} --model eeqdm --set batch_size=0", "batch_size must be at least 1"),
    (f"{TRAIN} --model eeqdm --set learning_rate=nan", "learning_rate must be a finite number"),
    (f"{TRAIN} --model eeqdm --set num_steps=0", "num_steps must be 1 to"),
    (f"{TRAIN} --model eeqdm --set process=linear", "process is one of interpolated, gaussian"),
    (f"{TRAIN} --model eeqdm --set goal=score", "goal is one of data, noise"),
    (f"{TRAIN} --model eeqdm --set channels=2", "channels is 1 .* got 2"),
    (f"{TRAIN} --model eeqdm --set classes=0,11", "classes of 'digits' are .* got 11"),
    (f"{TRAIN} --model eeqdm --set train_count=100000", "more than the"),
    (f"{TRAIN} --model eeqdm --set train_count={'9' * 30}", "more than the"),
    (f"{TRAIN} --model eeqdm --set test_fraction=nan", "test_fraction"),
    (f"{TRAIN} --model eeqdm --set guided=perhaps", "guided is true or false"),
    (f"{TRAIN} --model eeqdm --set guided=true --set num_classes=3", "num_classes is 3, but"),
    (f"{TRAIN} --model eeqdm --preset qddm-8x8-L10", "by --model or by --preset"),
    (TRAIN, "Name what to train"),
    (f"{SAMPLE} --shots 0", "shots must be at least 1.*got 0"),
    (f"{SAMPLE} --shots {'9' * 25}", "shots must be at least 1 and at most"),
    (f"{SAMPLE} --num-images 0", "num_images must be at least 1"),
    (f"{SAMPLE} --num-images {10**9}", "num_images must be at least 1 and at most"),
    (f"{SAMPLE} --seed -1", "seed is >= 0"),
    (f"{SAMPLE} --target aer", "set shots, for example 4096"),
    (f"{SAMPLE} --target aer --shots 9 --mitigation m3", "no readout errors to mitigate"),
    (f"{SAMPLE} --calibration file", "used by --mitigation m3 only"),
    (
        f"{SAMPLE} --target noisy:fake_torino --shots 9 --mitigation m3 --calibration file",
        "file is not a readable JSON file",
    ),
    (f"{SAMPLE} --label 3", "not guided"),
    # data
    (f"{TRAIN} --model eeqdm --set image_size=4 --set dataset=npz:nan.npz", "image 7 holds NaN"),
    (f"{TRAIN} --model eeqdm --set dataset=npz:infinite.npz", "image 7 holds NaN or an infinity"),
    (f"{TRAIN} --model eeqdm --set dataset=npz:large.npz", r"lie in \[0, 1\], but image 7"),
    (f"{TRAIN} --model eeqdm --set dataset=npz:zero.npz", "zero everywhere, but image 3 is"),
    (f"{TRAIN} --model eeqdm --set dataset=npz:garbage.npz", "cannot be read as a .npz file"),
    (f"{TRAIN} --model eeqdm --set dataset=npz:nowhere.npz", "no file nowhere.npz"),
    (f"{TRAIN} --model eeqdm --set dataset=npz:good.npz --set classes=1", "no array 'labels'"),
    (f"{TRAIN} --model eeqdm --set dataset=npz:good.npz --set folder=.", "leave the folder option"),
    # places
    ("sample nowhere --out new", "no checkpoint in nowhere"),
    ("sample file --out new", "no checkpoint in file"),
    (f"sample {LONG} --out new", "File name too long"),
    (f"sample run --out {LONG}", "File name too long"),
    ("sample run --out file", "Cannot write into file"),
    ("sample run --out file/new/deep", "Cannot write into file/new/deep"),
    ("train --model eeqdm --out file", "Cannot write into file"),
    ("train --model eeqdm --out file/new", "Cannot write into file/new"),
    (f"train --model eeqdm --out {LONG}", "File name too long"),
    ("train --model eeqdm --out run", "run holds a run already"),
    # resuming
    (f"{RESUME} ../../x", "A checkpoint is called .* got '../../x'"),
    (f"{RESUME} /etc", "A checkpoint is called"),
    (f"{RESUME} step-00000099", "no checkpoint 'step-00000099' .* there are: step-00000006"),
    (f"{RESUME} latest --epochs 1", "epoch 2, beyond the run's 1"),
    (f"{RESUME} latest --set depth=2", "only --epochs may change"),
    (f"{RESUME} latest --seed 4", "only --epochs may change"),
    (f"{RESUME} latest --model eeqdm", "only --epochs may change"),
    ("train --out nowhere --resume latest", "no run to resume in nowhere"),
    (f"train --out {LONG} --resume latest", "File name too long"),
    ("train --out run/checkpoints/step-00000006 --resume latest", r".+"),
]


@pytest.mark.parametrize(("line", "message"), CASES, ids=[line[:60] for line, _ in CASES])
def test_a_mistake_costs_one_line(qdm, place, snapshot, line, message):
    before = snapshot(place)
    text = refused(qdm(*line.split()))
    assert re.search(message, text), text
    assert snapshot(place) == before


CHECKPOINT = "run/checkpoints/step-00000006"


def truncate(path, size=None):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 if size is None else size])


def deep(path, key):
    path.write_text(f'{{"{key}": ' + "[" * 200_000 + "]" * 200_000 + "}")


def edit(path, *keys, value):
    content = json.loads(path.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(content))


def foreign(place, qdm, *options):
    """Another run of three steps, for its files."""
    done = qdm("train", "--out", "other", "--quiet", "--epochs", "1", *options)
    assert done.code == 0
    return next((place / "other" / "checkpoints").iterdir())


WEIGHTS, OPTIMIZER = f"{CHECKPOINT}/model.safetensors", f"{CHECKPOINT}/optimizer.safetensors"
MODEL, STATE, RUN = f"{CHECKPOINT}/config.json", f"{CHECKPOINT}/state.json", "run/config.json"

DAMAGE = {
    "weights-truncated": lambda p: truncate(p / WEIGHTS),
    "weights-empty": lambda p: truncate(p / WEIGHTS, 0),
    "weights-header-only": lambda p: truncate(p / WEIGHTS, 8),
    "weights-huge-header": lambda p: (p / WEIGHTS).write_bytes(b"\xff" * 64),
    "weights-missing": lambda p: (p / WEIGHTS).unlink(),
    "weights-a-folder": lambda p: ((p / WEIGHTS).unlink(), (p / WEIGHTS).mkdir()),
    "weights-linked-out": lambda p: (
        (p / WEIGHTS).rename(p / "outside"),
        (p / WEIGHTS).symlink_to(p / "outside"),
    ),
    "weights-of-the-baseline": lambda p: shutil.copy(
        p / CHECKPOINT / "baseline" / "model.safetensors", p / WEIGHTS
    ),
    "model-truncated": lambda p: truncate(p / MODEL),
    "model-deep": lambda p: deep(p / MODEL, "model"),
    "model-binary": lambda p: (p / MODEL).write_bytes(b"\xff\xfe\x00"),
    "model-linked-out": lambda p: (
        (p / MODEL).rename(p / "outside"),
        (p / MODEL).symlink_to(p / "outside"),
    ),
    "model-unknown": lambda p: edit(p / MODEL, "model", value="os.system"),
    "model-list": lambda p: edit(p / MODEL, "model", value=["eeqdm"]),
    "model-other": lambda p: edit(p / MODEL, "model", value="qddm"),
    "model-options-list": lambda p: edit(p / MODEL, "options", value=[1]),
    "model-depth-huge": lambda p: edit(p / MODEL, "options", "depth", value=10**18),
    "model-depth-text": lambda p: edit(p / MODEL, "options", "depth", value="many"),
    "model-size-huge": lambda p: edit(p / MODEL, "options", "image_size", value=2**40),
    "model-depth-changed": lambda p: edit(p / MODEL, "options", "depth", value=2),
    "model-std-infinite": lambda p: edit(p / MODEL, "options", "init_std", value=1e999),
    "run-truncated": lambda p: truncate(p / RUN),
    "run-deep": lambda p: deep(p / RUN, "model"),
    "run-a-number": lambda p: (p / RUN).write_text("12"),
    "run-unknown-model": lambda p: edit(p / RUN, "model", value="__class__"),
    "run-model-object": lambda p: edit(p / RUN, "model", value={}),
    "run-other-model": lambda p: edit(p / RUN, "model", value="qddm"),
    "run-data-list": lambda p: edit(p / RUN, "data", value=[]),
    "run-unknown-section": lambda p: edit(p / RUN, "extra", value={}),
    "run-unknown-option": lambda p: edit(p / RUN, "training", "extra", value=1),
    "run-steps-huge": lambda p: edit(p / RUN, "diffusion", "num_steps", value=10**12),
    "run-beta-nan": lambda p: (
        edit(p / RUN, "diffusion", "process", value="gaussian"),
        edit(p / RUN, "diffusion", "beta_end", value=float("nan")),
    ),
    "run-classes-object": lambda p: edit(p / RUN, "data", "classes", value={"a": 1}),
    "run-classes-deep": lambda p: edit(p / RUN, "data", "classes", value=[[[1]]]),
    "run-dataset-number": lambda p: edit(p / RUN, "data", "dataset", value=3),
    "run-options-other": lambda p: edit(p / RUN, "model_options", "depth", value=2),
    "run-preset-list": lambda p: edit(p / RUN, "preset", value=[]),
    "run-missing": lambda p: (p / RUN).unlink(),
    "run-a-folder": lambda p: ((p / RUN).unlink(), (p / RUN).mkdir()),
}
"""What both `qdm sample` and `qdm train --resume` have to refuse."""

RESUME_DAMAGE = {
    "optimizer-truncated": lambda p: truncate(p / OPTIMIZER),
    "optimizer-missing": lambda p: (p / OPTIMIZER).unlink(),
    "optimizer-of-the-weights": lambda p: shutil.copy(p / WEIGHTS, p / OPTIMIZER),
    "state-truncated": lambda p: truncate(p / STATE),
    "state-deep": lambda p: deep(p / STATE, "schema"),
    "state-negative": lambda p: edit(p / STATE, "epoch", value=-1),
    "state-text": lambda p: edit(p / STATE, "batch", value="1"),
    "state-huge": lambda p: edit(p / STATE, "epoch", value=10**30),
    "state-batch-huge": lambda p: edit(p / STATE, "batch", value=10**9),
    "state-history": lambda p: edit(p / STATE, "history", value=[{"a": []}]),
    "state-extra": lambda p: edit(p / STATE, "extra", value=1),
    "baseline-missing": lambda p: shutil.rmtree(p / CHECKPOINT / "baseline"),
    "seed-changed": lambda p: edit(p / RUN, "training", "seed", value=-4),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_sampling_refuses_a_damaged_run(qdm, place, snapshot, damage):
    DAMAGE[damage](place)
    before = snapshot(place)
    refused(qdm(*SAMPLE.split()))
    assert snapshot(place) == before


@pytest.mark.parametrize("damage", [*DAMAGE, *RESUME_DAMAGE])
def test_resuming_refuses_a_damaged_run(qdm, place, snapshot, damage):
    {**DAMAGE, **RESUME_DAMAGE}[damage](place)
    before = snapshot(place)
    refused(qdm(*RESUME.split(), "latest", "--epochs", "3"))
    assert snapshot(place) == before


@pytest.mark.parametrize(
    "options",
    [
        ("--model", "qddm"),
        ("--model", "eeqdm", "--set", "weight_map=identity"),
        ("--model", "classical_unet"),
    ],
    ids=lambda options: options[-1],
)
def test_a_checkpoint_of_another_model_is_refused(qdm, place, snapshot, tiny, options):
    size = tiny if options[1] != "classical_unet" else [*tiny[:2], *tiny[4:]]
    other = foreign(place, qdm, *options, *size)
    shutil.rmtree(place / CHECKPOINT)
    shutil.copytree(other, place / CHECKPOINT)
    before = snapshot(place)
    assert refused(qdm(*SAMPLE.split()))
    assert refused(qdm(*RESUME.split(), "latest", "--epochs", "3"))
    assert snapshot(place) == before


def test_samples_are_not_overwritten(qdm, place, snapshot):
    assert qdm("sample", "run", "--out", "new", "--num-images", "1").code == 0
    before = snapshot(place)
    assert "holds a file" in refused(qdm("sample", "run", "--out", "new"))
    assert snapshot(place) == before


@pytest.mark.slow
def test_a_calibration_of_another_layout_or_device_is_refused(qdm, place, snapshot):
    line = "sample run --num-images 1 --shots 50 --mitigation m3 --layout-trials 1"
    noisy = line.split()
    done = qdm(*noisy, "--target", "noisy:fake_torino", "--out", "new")
    assert done.code == 0, done.err
    before = snapshot(place)
    again = [*noisy, "--calibration", "new/calibration.json", "--out", "other"]
    assert "fake_fez" in refused(qdm(*again, "--target", "noisy:fake_fez"))
    assert snapshot(place) == before
    assert qdm(*again, "--target", "noisy:fake_torino").code == 0


@pytest.mark.parametrize("target", ["engine", "aer"])
def test_a_mistake_that_shows_late_is_one_line_as_well(qdm, place, snapshot, target):
    before = snapshot(place)
    line = ["sample", "run", "--target", target, "--shots", "1", "--num-images", "64"]
    text = refused(qdm(*line, "--out", "new"))  # with the progress bar, where there is a screen
    assert "passed the post-selection" in text
    assert snapshot(place) == before


@pytest.mark.parametrize(
    "arguments",
    ["sample run --num-images 400", pytest.param("train --model eeqdm", marks=pytest.mark.slow)],
)
def test_a_disk_that_fills_up(command, place, snapshot, tiny, arguments):
    """The limit lets the first probe of 4096 bytes pass, as a disk that is nearly full would."""
    before = snapshot(place)
    words = [command, *arguments.split(), "--quiet", "--out", "new"]
    if words[1] == "train":
        words += tiny
    limited = ["bash", "-c", 'ulimit -f 5; exec "$@"', "bash", *words]
    done = subprocess.run(limited, capture_output=True, text=True, cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    after = snapshot(place)
    if words[1] == "sample":
        assert after == before
    assert not [name for name in after if ".part-" in name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission(qdm, place, snapshot):
    (place / "locked").mkdir(mode=0o555)
    before = snapshot(place)
    for line in ("sample run --out locked", "train --model eeqdm --out locked/new"):
        assert "Cannot write into locked" in refused(qdm(*line.split()))
    assert snapshot(place) == before
