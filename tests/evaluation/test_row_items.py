"""Rows of an evaluation as items: bits do not depend on who measures, and nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

import qdm_qiskit as qdm_package
from qdm_qiskit.errors import InvalidArgument, InvalidOption
from qdm_qiskit.evaluation import domain_classifier as classifier_module
from qdm_qiskit.evaluation import row_items
from qdm_qiskit.evaluation.metric import Metric
from qdm_qiskit.work import InThisProcess
from tests.cli.conftest import Qdm, qdm  # noqa: F401 (a fixture)
from tests.helpers import QDM, ROOT, write_run
from tests.sweeps.test_killed import children, done, finished_items, wait_for

FEW = {"count": 40, "resamples": 20, "metrics": ["kid", "psnr"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    options = {"image_size": 4, "num_steps": 2, "train_count": 60, "test_count": 60}
    return [write_run(folder / f"run{seed}", seed=seed, **options) for seed in (3, 4, 5)]


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "home"))


@pytest.fixture
def brief(monkeypatch):
    """A short training of the classifier, in this process."""
    monkeypatch.setattr(classifier_module, "VISITS", 500)
    monkeypatch.setattr("qdm_qiskit.tasks.evaluation.Evaluation.write", lambda *_: ())
    row_items._setting.cache_clear()
    yield
    row_items._setting.cache_clear()


def same(first, second) -> bool:
    """Compare all numbers and pictures of two evaluations, to the bit."""
    one, two = ({**each.report.to_dict(), "classifier": None} for each in (first, second))
    assert one == two
    assert first.pictures.grids.keys() == second.pictures.grids.keys()
    for name, images in first.pictures.grids.items():
        assert np.array_equal(images, second.pictures.grids[name])
    for name, pair in first.pictures.pairs.items():
        assert all(
            np.array_equal(a, b) for a, b in zip(pair, second.pictures.pairs[name], strict=True)
        )
    return True


def test_items_are_the_rows_of_the_table_to_the_bit(runs, brief, tmp_path):
    plain = qdm_package.evaluate(*runs[:2], **FEW)
    items = qdm_package.evaluate(*runs[:2], workers=InThisProcess(), out=tmp_path / "out", **FEW)
    assert same(items, plain)
    assert [row.name for row in items.report.rows] == ["real images", "noise", "run3", "run4"]
    assert done(tmp_path / "out") == 4


def test_more_runs_are_measured_alone_and_damage_is_mended(runs, brief, tmp_path):
    told = []
    options = {"workers": InThisProcess(), "out": tmp_path / "out", **FEW}
    qdm_package.evaluate(*runs[:2], **options)
    [images] = (tmp_path / "out" / "rows").glob("0002-*.npz")
    images.write_bytes(b"no images")
    found = qdm_package.evaluate(*runs, progress=told.append, **options)
    counts = [(each.done, each.total) for each in told if each.total is not None]
    assert counts == [(3, 5), (4, 5), (5, 5)]
    assert same(found, qdm_package.evaluate(*runs, **FEW))


def test_another_seed_is_another_item(runs, brief, tmp_path):
    options = {"workers": InThisProcess(), "out": tmp_path / "out", **FEW}
    first = qdm_package.evaluate(runs[0], **options)
    other = qdm_package.evaluate(runs[0], seed=1, **options)
    assert done(tmp_path / "out") == 6
    assert first.report.rows[-1].metrics != other.report.rows[-1].metrics


def test_samples_and_what_stands_beside_are_rows_too(runs, brief, tmp_path):
    qdm_package.sample(runs[0], num_images=40, out=tmp_path / "samples")
    found = qdm_package.evaluate(
        runs[1], samples=tmp_path / "samples", workers=InThisProcess(), **FEW
    )
    assert same(found, qdm_package.evaluate(runs[1], samples=tmp_path / "samples", **FEW))


class Own(Metric):
    name = "own"

    def measure(self, sets):
        return None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"metrics": [Own()]}, "Workers know metrics by their names"),
        ({"samples": "loaded"}, "have|has objects in their place"),
    ],
)
def test_what_has_no_name_is_refused(runs, brief, options, told):
    if options.get("samples") == "loaded":
        options = {"samples": qdm_package.sample(runs[0], num_images=40)}
    with pytest.raises(InvalidArgument, match=told):
        qdm_package.evaluate(runs[0], workers=InThisProcess(), **{**FEW, **options})


def test_a_row_that_fails_is_named_and_the_others_are_kept(runs, brief, tmp_path, monkeypatch):
    def broken(self, task, progress=None):
        if task.name == "run4":
            raise ZeroDivisionError("no reason")
        return measure(self, task)

    measure = row_items.Setting.measure
    monkeypatch.setattr(row_items.Setting, "measure", broken)
    options = {"workers": InThisProcess(), "out": tmp_path / "out", **FEW}
    with pytest.raises(InvalidOption, match=r"1 of 4 rows failed, 'run4' among them.*goes on"):
        qdm_package.evaluate(*runs[:2], **options)
    assert done(tmp_path / "out") == 3
    monkeypatch.setattr(row_items.Setting, "measure", measure)
    assert len(qdm_package.evaluate(*runs[:2], **options).report.rows) == 4


def test_weights_that_change_under_way_are_refused(runs, brief, tmp_path):
    run = write_run(tmp_path / "run", image_size=4, num_steps=2, train_count=60, test_count=60)
    made = []

    class Keeping(InThisProcess):
        def open(self):
            write_run(run, seed=9, image_size=4, num_steps=2, train_count=60, test_count=60)
            made.append(run)
            return super().open()

    with pytest.raises(InvalidOption, match="other files than when this evaluation began"):
        qdm_package.evaluate(run, workers=Keeping(), **FEW)
    assert made


@pytest.mark.slow
def test_processes_change_nothing_and_a_killed_one_loses_its_item_only(runs, tmp_path):
    plain = qdm_package.evaluate(*runs, **FEW)
    for count in (1, 2):
        assert same(qdm_package.evaluate(*runs, workers=count, **FEW), plain)
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [QDM, "evaluate", *map(str, runs), "--workers", "2", "--out", str(out)]
    command += ["--count", "40", "--resamples", "20", "--metric", "kid", "--metric", "psnr"]
    log = tmp_path / "log"
    with open(log, "w") as file:
        first = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        wait_for(lambda: done(out) >= 1, "row")
        there = {path: path.stat().st_mtime_ns for path in finished_items(out)}
        workers = children(first.pid)
        if workers:  # it may be at its table by now
            os.kill(workers[0], signal.SIGKILL)
        first.wait(timeout=300)
    assert first.returncode == 0, log.read_text()
    assert all(path.stat().st_mtime_ns == when for path, when in there.items())
    report = json.loads((out / "evaluation.json").read_text())
    assert report["rows"] == json.loads(json.dumps(plain.report.to_dict()["rows"]))


def test_the_command_shows_counts(qdm, runs, brief, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("qdm_qiskit.tasks.workers.Processes", lambda count: InThisProcess())
    words = ["evaluate", *runs[:2], "--count", "40", "--resamples", "20", "--metric", "psnr"]
    found = qdm(*words, "--workers", "2", "--out", tmp_path / "out")
    assert found.code == 0, found.err
    assert "4/4" in found.err
    assert "run4" in found.out
    again = qdm(*words, "--workers", "2", "--out", tmp_path / "out")
    assert "4 of 4 are done already" in again.err
