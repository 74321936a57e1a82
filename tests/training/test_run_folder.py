"""What may begin in a folder, and what a failure leaves in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from qdm_qiskit.errors import InvalidCheckpoint, InvalidOption, MissingData, OutputNotWritable
from qdm_qiskit.models import load_model
from qdm_qiskit.training import find_checkpoint, train


def test_an_existing_run_is_not_overwritten(tmp_path, small_run, tree, refused):
    train(small_run(epochs=1), tmp_path)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in tree(tmp_path)}
    refused(
        InvalidOption,
        "holds a run already: continue_training",
        small_run(),
        tmp_path,
    )
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in tree(tmp_path)} == before


def test_a_run_is_continued_with_its_own_options_only(tmp_path, small_run, refused):
    train(small_run(epochs=1), tmp_path)
    for changes in ({"seed": 5}, {"learning_rate": 0.2}, {"num_steps": 5}, {"train_count": 20}):
        changed = small_run(epochs=2, **changes)
        refused(
            InvalidOption, "only epochs may change on resume", changed, tmp_path, resume="latest"
        )
    refused(InvalidOption, "only epochs may change", small_run("qddm"), tmp_path, resume="latest")


def test_a_run_cannot_be_shortened(tmp_path, small_run, refused):
    train(small_run(epochs=2), tmp_path)
    refused(
        InvalidCheckpoint,
        "beyond the run's 1 epochs",
        small_run(epochs=1),
        tmp_path,
        resume="latest",
    )


def test_a_checkpoint_is_not_a_run(tmp_path, small_run, outcome, refused):
    result = train(small_run(), tmp_path)
    whole = outcome(result)
    refused(
        InvalidOption,
        "is a checkpoint, whose files would be overwritten",
        small_run(epochs=3),
        result.checkpoint,
        resume="latest",
    )
    assert outcome(result) == whole
    assert load_model(result.checkpoint).name == "eeqdm"


def test_nothing_to_resume(tmp_path, small_run, tree, refused):
    refused(MissingData, "There is no checkpoint in", small_run(), tmp_path, resume="latest")
    refused(InvalidCheckpoint, "got '../x'", small_run(), tmp_path, resume="../x")
    assert tree(tmp_path) == []


def test_a_run_below_a_file_is_refused_and_nothing_is_written(tmp_path, small_run, tree, refused):
    (tmp_path / "file").write_text("in the way")
    for where in ("file", "file/run"):
        refused(OutputNotWritable, "Cannot write into", small_run(), tmp_path / where)
    assert tree(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["tensorboard", "samples", "checkpoints", "metrics.jsonl"])
def test_something_in_the_way_is_one_clean_error(tmp_path, small_run, name, refused):
    tmp_path.joinpath(name).mkdir() if name == "metrics.jsonl" else tmp_path.joinpath(
        name
    ).write_text("x")
    refused(OutputNotWritable, "Cannot write", small_run(sample_every=1), tmp_path)


FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from qdm_qiskit.errors import OutputNotWritable
from qdm_qiskit.training import resolve_run, train
run, limit = Path(sys.argv[1]), int(sys.argv[2])
options = dict(image_size=4, depth=40, num_steps=2, classes=(0, 1), train_count=10, test_count=5,
               epochs=2, sample_every=1, checkpoint_every=1)
try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    train(resolve_run("eeqdm", options), run)
except OutputNotWritable as error:
    sys.exit(f"one line: {error}")
"""


@pytest.mark.parametrize(
    "limit", [pytest.param(each, marks=pytest.mark.slow) for each in (4096, 6000)]
)
def test_a_full_disk_is_one_clean_error(tmp_path, limit):
    """A file-size limit fails writes as a full disk does: first the weights, then the optimizer."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL_DISK, str(tmp_path / "run"), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    assert done.stderr.startswith("one line: Cannot write"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    # Nothing is left in the way of another try, no half checkpoint either.
    assert not (tmp_path / "run").exists()
    with pytest.raises(MissingData):
        find_checkpoint(tmp_path / "run")
