"""A flipped bit in any file of a run: noticed, and made again from what remains, or named."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.archives import read_arrays
from qdm_qiskit.errors import InvalidData, InvalidPlan
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.run_files import read_counts
from qdm_qiskit.hardware.ledger.stored_files import StoredFiles
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.run.commands import resume_run, submit_run
from tests.hardware.ledger.test_bit_flips import flip
from tests.hardware.run.test_commands import planned
from tests.helpers import write_run

CALIBRATION, COUNTS = "calibration-0001.json", "steps/step-0002.npz"
FILES = (
    "plan.json",
    "nonce",
    "manifest.json",
    "images.npz",
    "samples.png",
    COUNTS,
    CALIBRATION,
    "calibration-0001.npz",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that is done, mitigated, beside its ledger."""
    folder = tmp_path_factory.mktemp("finished")
    plan = planned(write_run(folder / "trained", num_steps=2), folder / "root")
    assert submit_run(plan.folder).state == "done"
    return plan.folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, with its ledger."""
    return shutil.copytree(finished.parent, tmp_path / "root") / finished.name


def files_of(folder: Path) -> StoredFiles:
    return StoredFiles(folder, Ledger.open(folder.parent), folder.name)


def resumed(folder: Path) -> list[str]:
    told: list[str] = []
    assert resume_run(folder.parent, folder.name, progress=told.append).state == "done"
    return told


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "times", [pytest.param(25, id="25"), pytest.param(600, id="600", marks=pytest.mark.slow)]
)
def test_no_flipped_bit_is_silent(folder, name, times):
    files, path = files_of(folder), folder / name
    good, draw = path.read_bytes(), random.Random(times)
    assert set(FILES) <= set(files.known())
    for number in range(times):
        flip(path, draw.randrange(8 * len(good)))
        assert files.damaged() == [name], f"flip {number}"
        path.write_bytes(good)
    assert files.damaged() == []


def test_a_flipped_bit_of_a_plan_is_refused_or_changes_nothing(folder):
    path, draw = folder / "plan.json", random.Random(3)
    good, plan = path.read_bytes(), read_plan(folder)
    refused = 0
    for _ in range(25):
        flip(path, draw.randrange(8 * len(good)))
        try:
            assert read_plan(folder) == plan
        except InvalidPlan:
            refused += 1
        path.write_bytes(good)
    assert refused > 20


def test_what_a_run_ends_with_is_computed_again(folder):
    """All at once; the images are the same to the byte, the manifest tells of it."""
    names = ("nonce", "manifest.json", "images.npz", "samples.png")
    before = {name: (folder / name).read_bytes() for name in names}
    for name in ("nonce", "images.npz", "samples.png"):
        flip(folder / name, 8 * (len(before[name]) // 2) + 3)
    (folder / "manifest.json").write_bytes(before["manifest.json"][:100])
    told = resumed(folder)
    for name in names:
        assert [each for each in told if each.startswith(f"{name} of run") and "damaged" in each]
        [kept] = folder.glob(f"{name}.damaged-*")
        assert kept.read_bytes() != before[name]
    for name in ("nonce", "images.npz", "samples.png"):
        assert (folder / name).read_bytes() == before[name]
    assert files_of(folder).damaged() == []
    assert resumed(folder) == []


def test_counts_and_calibration_are_fetched_again(folder):
    wanted = {name: read_counts(folder / name) for name in (COUNTS, "calibration-0001.npz")}
    images = read_arrays(folder / "images.npz")["images"]
    for name in wanted:
        flip(folder / name, 8 * 60 + 1)
    (folder / "images.npz").unlink()  # so that they are computed again
    resumed(folder)
    for name, good in wanted.items():
        found = read_counts(folder / name)
        assert found is not None
        assert good is not None
        for mine, theirs in zip(found.counts, good.counts, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(read_arrays(folder / "images.npz")["images"], images)
    assert files_of(folder).damaged() == []


def test_a_calibration_comes_back_from_its_counts_or_from_the_run_that_took_it(folder):
    path = folder / CALIBRATION
    good = path.read_bytes()
    flip(path, 300)
    resumed(folder)
    assert path.read_bytes() == good
    flip(path, 300)
    (folder / "calibration-0001.npz").unlink()  # as one that was taken over has none
    with pytest.raises(InvalidData, match=r"calibration-0001.json was damaged .* from a backup"):
        resume_run(folder.parent, folder.name)
    other = folder.parent / "another-run"
    other.mkdir()
    (other / CALIBRATION).write_bytes(good)
    resumed(folder)
    assert path.read_bytes() == good


@pytest.mark.parametrize("name", ["manifest.json", "images.npz", COUNTS])
def test_without_a_checksum_what_cannot_be_read_is_damaged(folder, monkeypatch, name):
    """Runs of an earlier version have none."""
    monkeypatch.setattr(StoredFiles, "known", lambda self: {})
    assert files_of(folder).damaged() == []
    (folder / name).write_bytes((folder / name).read_bytes()[:-30])
    assert files_of(folder).damaged() == [name]
