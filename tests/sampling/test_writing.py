"""What a sampling run leaves on the disk, and what it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from qdm_qiskit.errors import InvalidData, OutputNotWritable
from qdm_qiskit.sampling import (
    SamplingConfig,
    check_output,
    read_calibration,
    sample,
    write_samples,
)
from tests.helpers import paths_below

FILES = ["calibration.json", "manifest.json", "samples.npz", "samples.png"]


@pytest.fixture(scope="module")
def mitigated(make_run):
    config = SamplingConfig(
        target="noisy:fake_torino",
        shots=500,
        mitigation="m3",
        calibration_shots=700,
        num_images=5,
        seed=8,
        layout_trials=1,
    )
    return sample(make_run(guided=True, num_classes=2), config)


@pytest.fixture(scope="module")
def exact(make_run):
    return sample(make_run(image_size=4), SamplingConfig(num_images=5))


def test_the_files_and_what_is_in_them(mitigated, tmp_path):
    folder = tmp_path / "new" / "deep"
    written = write_samples(mitigated, folder)
    assert sorted(each.name for each in written) == paths_below(folder) == FILES
    assert written[-1].name == "manifest.json"
    with np.load(folder / "samples.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["images", "labels", "trajectory"]
        assert arrays["labels"].tolist() == mitigated.manifest["labels"]
        assert arrays["images"].shape == (5, 1, 2, 2)
        assert arrays["trajectory"].shape == (4, 5, 1, 2, 2)
        assert arrays["images"].dtype == np.float32
        np.testing.assert_array_equal(arrays["images"], mitigated.images)
        np.testing.assert_array_equal(arrays["trajectory"], mitigated.trajectory)
    with Image.open(folder / "samples.png") as picture:
        picture.load()
        # 5 images of 2 x 2 in 3 columns and 2 rows, a pixel between two, all 8 times as large.
        assert picture.size == (8 * (3 * 3 - 1), 8 * (2 * 3 - 1))
        corner = np.asarray(picture)[:16:8, :16:8] / 255
        np.testing.assert_allclose(corner, mitigated.images[0, 0], atol=0.5 / 255 + 1e-6)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["schema"] == "qdm-samples/1"
    assert manifest["versions"]["qiskit"]
    assert manifest["sampling"] | {"seed": 8, "shots": 500, "num_images": 5} == manifest["sampling"]
    assert manifest["labels"] == [0, 1, 0, 1, 0]
    assert manifest["device"]["runner"]["seed"] == 8
    assert len(manifest["device"]["layout"]["measured_qubits"]) == 3
    assert len(manifest["device"]["steps"]) == 3
    assert manifest["device"]["circuit"]["two_qubit_gates"] >= 3
    assert manifest["run"]["training"]["seed"] == 0
    calibration = read_calibration(folder / "calibration.json")
    assert calibration.to_dict() == manifest["device"]["calibration"]
    assert list(calibration.qubits) == manifest["device"]["layout"]["measured_qubits"]


def test_without_a_device_there_is_no_calibration(exact, tmp_path):
    written = write_samples(exact, tmp_path)
    assert [each.name for each in written] == ["samples.npz", "samples.png", "manifest.json"]


def test_files_are_readable_by_others(exact, tmp_path):
    for each in write_samples(exact, tmp_path / "out"):
        assert each.stat().st_mode & 0o777 == 0o644


def test_colour_images_have_a_colour_grid(make_run, tmp_path):
    samples = sample(make_run(channels=3), SamplingConfig(num_images=2))
    write_samples(samples, tmp_path)
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.mode == "RGB"


def test_the_manifest_holds_neither_secrets_nor_places(make_run, tmp_path, monkeypatch):
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "HF_TOKEN"):
        monkeypatch.setenv(name, "s3cr3t-value")
    config = SamplingConfig(target="local:fake_torino", shots=50, num_images=1, layout_trials=1)
    write_samples(sample(make_run(), config), tmp_path / "out")
    text = (tmp_path / "out" / "manifest.json").read_text()
    assert "s3cr3t" not in text
    # Run folders lie in the temporary folder of this user.
    assert str(tmp_path.parent.parent) not in text
    assert os.path.expanduser("~") + "/" not in text


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_existing_files_are_not_overwritten(exact, tmp_path, name):
    (tmp_path / name).write_text("mine")
    for refuse in (check_output, lambda folder: write_samples(exact, folder)):
        with pytest.raises(OutputNotWritable, match=rf"holds a file {name} already"):
            refuse(tmp_path)
    assert paths_below(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_folder_below_a_file_is_refused(exact, tmp_path):
    (tmp_path / "file").write_text("mine")
    for refuse in (check_output, lambda folder: write_samples(exact, folder)):
        with pytest.raises(OutputNotWritable, match="a file stands where a folder is needed"):
            refuse(tmp_path / "file" / "out")
    assert paths_below(tmp_path) == ["file"]


def test_checking_leaves_nothing_behind(tmp_path):
    check_output(tmp_path / "a" / "b")
    assert paths_below(tmp_path) == []


@pytest.mark.parametrize("failing", FILES)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_all_files_or_none(mitigated, tmp_path, monkeypatch, failing, error):
    replace = os.replace

    def full(source, target):
        if str(target).endswith(failing):
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    (tmp_path / "notes.txt").write_text("mine")
    expected = OutputNotWritable if isinstance(error, OSError) else KeyboardInterrupt
    for folder in (tmp_path, tmp_path / "new" / "deep"):
        with pytest.raises(expected):
            write_samples(mitigated, folder)
    assert paths_below(tmp_path) == ["notes.txt"]


@pytest.mark.slow
def test_a_disk_that_fills_up_while_writing(make_run, tmp_path):
    # The limit lets the probe of 4096 bytes pass, as a disk that is nearly full would.
    folder = make_run(image_size=16, num_steps=8).checkpoint.parent.parent
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from qdm_qiskit.sampling import SamplingConfig, load_run, sample, write_samples\n"
        "from qdm_qiskit.errors import OutputNotWritable\n"
        "samples = sample(load_run(Path(sys.argv[1])), SamplingConfig(num_images=64))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "try: write_samples(samples, Path(sys.argv[2]))\n"
        "except OutputNotWritable as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "File too large" in done.stdout
    assert done.stdout.count("\n") == 1
    assert paths_below(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
def test_a_writer_that_meets_a_full_disk_is_an_output_that_cannot_be_written(tmp_path):
    from qdm_qiskit.files import write_atomic

    def write(part):
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"0")

    with pytest.raises(OutputNotWritable, match="No space left on device"):
        write_atomic(tmp_path / "samples.npz", write)
    assert paths_below(tmp_path) == []


def test_a_calibration_that_cannot_be_read_is_refused(tmp_path):
    path = tmp_path / "calibration.json"
    with pytest.raises(InvalidData, match="not a readable JSON file"):
        read_calibration(path)
    path.write_text('{"schema": "other"}')
    with pytest.raises(InvalidData, match="schema"):
        read_calibration(path)
