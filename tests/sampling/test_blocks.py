"""Sampling in blocks: bits depend on blocks alone, whoever works and whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import qdm_qiskit as qdm_package
from qdm_qiskit.errors import InvalidCheckpoint, InvalidData, InvalidOption
from qdm_qiskit.sampling import SamplingConfig, load_run
from qdm_qiskit.sampling import sample as sample_plainly
from qdm_qiskit.sampling.blocks import (
    block_items,
    block_seed,
    blocks_of,
    check_arrays,
    joined_samples,
    sample_block,
)
from qdm_qiskit.work import Outcome, run_items
from tests.cli.conftest import Qdm, qdm  # noqa: F401 (a fixture)
from tests.helpers import QDM, ROOT, write_run
from tests.sweeps.test_killed import children, done, wait_for

OPTIONS = {"num_images": 5, "shots": 64, "layout_trials": 1}
TARGET = "noisy:fake_quito"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("trained") / "run", num_steps=2)


@pytest.fixture(scope="module")
def whole(trained):
    return qdm_package.sample(trained, TARGET, block=2, **OPTIONS)


def same(first, second) -> bool:
    return np.array_equal(first.images, second.images) and np.array_equal(
        first.trajectory, second.trajectory
    )


def test_each_block_is_a_sampling_with_its_seed_on_the_same_qubits(whole, trained):
    run = load_run(trained)
    layout = whole.manifest["device"]["layout"]
    assert whole.manifest["blocks"] == {
        "images": 2,
        "count": 3,
        "seeds": [block_seed(0, k) for k in range(3)],
    }
    assert block_seed(0, 0) == 0
    found = []
    for number, count in enumerate((2, 2, 1)):
        config = SamplingConfig(
            target=TARGET, **{**OPTIONS, "num_images": count, "seed": block_seed(0, number)}
        )
        if number:  # a place and a seed of the transpiler are the first block's
            config = replace(config, initial_layout=tuple(layout["physical_qubits"]))
        found.append(sample_plainly(run, config))
    assert same(
        found[0], replace(whole, images=whole.images[:2], trajectory=whole.trajectory[:, :2])
    )
    assert found[0].manifest["device"]["layout"] == layout
    # x_T depends on the seed alone, whatever the routing is
    starts = np.concatenate([each.trajectory[0] for each in found])
    assert np.array_equal(starts, whole.trajectory[0])
    assert len({each.tobytes() for each in whole.trajectory[0]}) == 5


def test_each_block_is_a_sampling_with_its_seed_where_there_are_no_qubits(trained):
    run = load_run(trained)
    for shots in (None, 64):
        blocks = qdm_package.sample(trained, block=2, num_images=5, shots=shots, seed=3)
        for number, (first, count) in enumerate(((0, 2), (2, 2), (4, 1))):
            own = SamplingConfig(num_images=count, shots=shots, seed=block_seed(3, number))
            alone = sample_plainly(run, own)
            there = slice(first, first + count)
            assert np.array_equal(blocks.images[there], alone.images)
            assert np.array_equal(blocks.trajectory[:, there], alone.trajectory)


def test_records_are_those_of_all_images(whole, trained, tmp_path):
    run, config = load_run(trained), SamplingConfig(target=TARGET, **OPTIONS)
    items = block_items(run, config, 2, device="fake_quito")
    results = run_items(items, tmp_path).results
    steps = [results[item.address]["manifest"]["device"]["steps"] for item in items]
    for k, record in enumerate(whole.records):
        of = [each[k] for each in steps]
        for name in ("raw_distance", "signal_left", "postselected"):
            mean = np.average([each[name] for each in of], weights=(2, 2, 1))
            assert getattr(record, name) == pytest.approx(mean)
        assert record.erased_images == sum(each["erased_images"] for each in of)
    runner = whole.manifest["device"]["runner"]
    assert runner["total_shots"] == 5 * 2 * 64
    assert runner["options"]["circuits_on"] == {"engine": 10, "aer": 0}
    assert whole.manifest["sampling"]["num_images"] == 5
    assert whole.manifest["sampling"]["seed"] == 0


@pytest.mark.slow
def test_processes_change_nothing(whole, trained, tmp_path):
    pool = qdm_package.sample(trained, TARGET, block=2, workers=1, out=tmp_path / "out", **OPTIONS)
    assert same(pool, whole)
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        "samples.npz",
        "samples.png",
    ]
    written = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert written["blocks"] == whole.manifest["blocks"]


def test_workers_of_dask_change_nothing(whole, trained):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        assert same(qdm_package.sample(trained, TARGET, block=2, dask=cluster, **OPTIONS), whole)


def test_a_calibration_is_shared(trained, tmp_path):
    run = load_run(trained)
    config = SamplingConfig(
        target=TARGET, **{**OPTIONS, "mitigation": "m3", "calibration_shots": 100}
    )
    items = block_items(run, config, 2, device="fake_quito")
    there = run_items(items, tmp_path / "there").results
    sample_block.__globals__["_shared"].cache_clear()
    backwards = run_items(items[::-1], tmp_path / "backwards").results
    for item in items:
        assert there[item.address]["sha256"] == backwards[item.address]["sha256"]
    calibrations = [there[item.address]["manifest"]["device"]["calibration"] for item in items]
    assert calibrations[0] == calibrations[1] == calibrations[2] is not None


def test_classes_take_turns_over_blocks(tmp_path):
    run = write_run(tmp_path / "run", guided=True, classes=(0, 1, 2))
    blocks = qdm_package.sample(run, block=2, num_images=5)
    plain = qdm_package.sample(run, num_images=5)
    assert blocks.manifest["labels"] == plain.manifest["labels"] == [0, 1, 2, 0, 1]
    assert blocks.manifest["classes"] == plain.manifest["classes"]
    assert np.array_equal(blocks.images[:2], qdm_package.sample(run, num_images=2).images)


def test_what_is_done_is_not_done_again(whole, trained, tmp_path):
    run, config = load_run(trained), SamplingConfig(target=TARGET, **OPTIONS)
    items = block_items(run, config, 2, device="fake_quito")
    run_items(items[:2], tmp_path)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "blocks").iterdir()}
    damaged = sorted(written)[1]
    damaged.write_bytes(b"no arrays")
    for item in items:
        check_arrays(item, tmp_path)
    kept = [item.result_file(tmp_path).is_file() for item in items]
    assert kept == [True, False, False]
    results = run_items(items, tmp_path).results
    first = sorted(written)[0]
    assert first.stat().st_mtime_ns == written[first]
    ordered = [results[item.address] for item in items]
    assert same(joined_samples(run, config, 2, ordered, tmp_path), whole)
    damaged.unlink()
    with pytest.raises(InvalidData, match="missing or not what its block wrote"):
        joined_samples(run, config, 2, ordered, tmp_path)
    broken = [{**each, "manifest": {}} for each in results.values()]
    run_items(items[1:2], tmp_path / "other")
    damaged.write_bytes(next((tmp_path / "other" / "blocks").iterdir()).read_bytes())
    with pytest.raises(InvalidData, match="Results of blocks in"):
        joined_samples(run, config, 2, broken, tmp_path)


def test_other_weights_are_refused(trained, tmp_path):
    [item] = block_items(
        load_run(trained), SamplingConfig(target=TARGET, **OPTIONS), 5, device="fake_quito"
    )
    with pytest.raises(InvalidCheckpoint, match="other weights"):
        sample_block(tmp_path, **{**item.arguments, "weights": "0"})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"block": 0}, "block is a whole number of at least 1"),
        ({"workers": 0}, "workers is a whole number of at least 1"),
        ({"block": 2, "threads": 0}, "threads is a whole number"),
        ({"block": 2, "on_step": lambda left, x: None}, "give a name for on_step"),
        ({"block": 2, "label": 1}, "is not guided and takes no label"),
        ({"block": 2, "target": "aer", "primitive": "estimator"}, "An Estimator transpiles"),
    ],
)
def test_what_does_not_go_in_blocks_is_said(trained, options, told):
    with pytest.raises(InvalidOption, match=told):
        qdm_package.sample(trained, **{"target": TARGET, **OPTIONS, **options})


def test_sizes_of_blocks():
    assert [(b.number, b.first, b.count) for b in blocks_of(5, 2)] == [
        (0, 0, 2),
        (1, 2, 2),
        (2, 4, 1),
    ]
    assert [b.count for b in blocks_of(3, 256)] == [3]


def test_the_command(qdm, trained, whole, tmp_path):  # noqa: F811
    words = ["sample", trained, "--target", TARGET, "--num-images", "5", "--shots", "64"]
    words += ["--layout-trials", "1", "--out", tmp_path / "out"]
    done_ = qdm(*words, "--block", "2")
    assert done_.code == 0, done_.err
    assert "3/3" in done_.err
    with np.load(tmp_path / "out" / "samples.npz") as arrays:
        assert np.array_equal(arrays["images"], whole.images)
    again = qdm(*words, "--block", "2")
    assert again.code == 2
    assert "already" in again.err
    other = qdm(*words[:-1], tmp_path / "other", "--scheduler", "tcp://127.0.0.1:1")
    assert other.code == 2
    assert "--dask" in other.err


@pytest.mark.slow
def test_a_sampling_whose_processes_are_killed_goes_on(trained, tmp_path):
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [QDM, "sample", str(trained), "--target", "noisy:fake_torino", "--shots", "64"]
    command += ["--num-images", "60", "--layout-trials", "1", "--block", "1", "--workers", "2"]
    command += ["--out", str(out)]
    log = tmp_path / "log"
    with open(log, "w") as file:
        first = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        wait_for(lambda: done(out) >= 2, "block")
        workers = children(first.pid)
        os.kill(workers[0], signal.SIGKILL)
        wait_for(lambda: "lost" in log.read_text() or first.poll() is not None, "loss")
        at_loss = done(out)
        wait_for(lambda: done(out) > at_loss or first.poll() is not None, "block after the loss")
        workers = children(first.pid)
        first.kill()
        first.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "end of workers")
    kept = {path: path.stat().st_mtime_ns for path in (out / "blocks").glob("*.npz")}
    assert 0 < len(kept) < 60
    started = time.time_ns()
    resumed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    assert "are done already" in resumed.stderr
    assert all(when < started for when in kept.values())
    assert not (out / "blocks").exists()
    alone = qdm_package.sample(
        trained, "noisy:fake_torino", num_images=60, shots=64, layout_trials=1, block=1
    )
    with np.load(out / "samples.npz") as arrays:
        assert np.array_equal(arrays["images"], alone.images)


def test_a_stop_says_how_to_go_on(qdm, trained, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(
        "qdm_qiskit.tasks.block_sampling.run_items",
        lambda items, folder, workers, progress: Outcome(interrupted=True),
    )
    words = ["sample", trained, "--num-images", "2", "--block", "1", "--out", tmp_path / "out"]
    stopped = qdm(*words)
    assert stopped.code == 130
    assert "the same command goes on" in stopped.err


def test_a_block_that_fails_is_one_line(qdm, trained, tmp_path, monkeypatch):  # noqa: F811
    def failing(items, folder, workers, progress):
        return Outcome(failures={each.address: "It is bad." for each in items[1:]})

    monkeypatch.setattr("qdm_qiskit.tasks.block_sampling.run_items", failing)
    words = ["sample", trained, "--num-images", "3", "--block", "1", "--out", tmp_path / "out"]
    bad = qdm(*words)
    assert bad.code == 2
    assert "2 of 3 blocks failed: It is bad." in bad.err
    assert not (tmp_path / "out" / "manifest.json").exists()
