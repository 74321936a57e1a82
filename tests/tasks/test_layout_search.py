"""Reports whose transpiler seeds workers have tried are those of one process."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

import qdm_qiskit as qdm_package
from qdm_qiskit.circuits import eeqdm
from qdm_qiskit.errors import InvalidArgument, InvalidCheckpoint, UnknownName
from qdm_qiskit.tasks import layout_search
from qdm_qiskit.work import InThisProcess
from tests.cli.conftest import Qdm, qdm  # noqa: F401 (a fixture)
from tests.helpers import QDM, ROOT, write_run
from tests.sweeps.test_killed import children, done, wait_for

SMALL = {"image_size": 2, "depth": 1}
MANY = {"image_size": 4, "num_steps": 2}


@pytest.mark.parametrize(
    ("subject", "options", "devices"),
    [
        ("eeqdm", {"settings": SMALL, "level": 1}, ["fake_quito", "fake_lima"]),
        ("coded", {"level": 0, "num_images": 2}, ["fake_lagos"]),
    ],
)
def test_a_report_does_not_depend_on_who_tries(subject, options, devices, tmp_path):
    told = []
    options = {**options, "trials": 3}
    plain = qdm_package.cost(subject, devices, **options)
    given = qdm_package.cost(
        subject,
        devices,
        workers=InThisProcess(),
        folder=tmp_path,
        progress=told.append,
        **options,
    )
    assert given.to_dict() == plain.to_dict()
    assert done(tmp_path) == 3 * len(devices)
    again = qdm_package.cost(
        subject,
        devices,
        workers=InThisProcess(),
        folder=tmp_path,
        progress=told.append,
        **options,
    )
    assert again.to_dict() == plain.to_dict()
    assert f"{3 * len(devices)} of {3 * len(devices)} are done already" in told


def test_a_circuit_that_fits_one_device_only_is_told_as_before():
    options = {"level": 0, "trials": 2, "num_images": 1}
    one = qdm_package.cost("line", ["fake_quito"], **options)
    two = qdm_package.cost("line", ["fake_quito"], workers=InThisProcess(), **options)
    assert one.to_dict() == two.to_dict()
    assert one.backends[0].problem is not None


def test_what_has_no_name_is_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="Workers know a run by its folder"):
        qdm_package.cost(eeqdm(num_data=2, depth=1), "fake_quito", workers=InThisProcess())
    with pytest.raises(UnknownName):
        qdm_package.cost("eeqdmm", "fake_quito", workers=InThisProcess())


def test_other_weights_are_refused(tmp_path):
    run = write_run(tmp_path / "run")
    chain = {"num_images": 1, "scheduler": "process", "steps": None, "chain": "auto"}
    told = layout_search.named_subject(run, {}, None, 0, **chain, shots=10, every=False)
    write_run(tmp_path / "run", seed=8)
    with pytest.raises(InvalidCheckpoint, match="other weights"):
        layout_search.try_seed(
            tmp_path,
            device="fake_quito",
            level=0,
            fractional=False,
            transpiler_seed=0,
            **told,
        )


@pytest.mark.slow
def test_the_command_cleans_up(qdm, tmp_path):  # noqa: F811
    words = ["report", "transpile", "eeqdm", "--set", "image_size=2", "--set", "depth=1"]
    words += ["--trials", "2", "--level", "0", "--backend", "fake_quito"]
    plain = qdm(*words, "--json", "--out", tmp_path / "plain")
    found = qdm(*words, "--json", "--workers", "1", "--out", tmp_path / "out")
    assert found.code == 0, found.err
    assert found.out == plain.out
    assert "2/2" in found.err
    assert not (tmp_path / "out" / "trials").exists()


@pytest.mark.slow
def test_processes_change_nothing_and_a_killed_one_loses_its_item_only(tmp_path):
    options = {"settings": {"image_size": 4, "depth": 10}, "trials": 12}
    plain = qdm_package.cost("eeqdm", "fake_torino", **options)
    for count in (1, 2):
        found = qdm_package.cost("eeqdm", "fake_torino", workers=count, **options)
        assert found.to_dict() == plain.to_dict()
    out, log = tmp_path / "out", tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [QDM, "report", "transpile", "eeqdm", "--set", "image_size=4", "--set", "depth=10"]
    command += ["--trials", "60", "--workers", "2", "--out", str(out)]
    with open(log, "w") as file:
        first = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        wait_for(lambda: done(out / "trials") >= 2, "trial")
        os.kill(children(first.pid)[0], signal.SIGKILL)
        wait_for(lambda: "lost" in log.read_text() or first.poll() is not None, "loss")
        there = {
            path: path.stat().st_mtime_ns for path in (out / "trials" / "items").glob("*.json")
        }
        kept = {path: path.read_bytes() for path in there}
        first.wait(timeout=400)
    assert first.returncode == 0, log.read_text()
    assert 0 < len(kept) < 60, "the kill came too late"
    assert "workers were lost; their items start again" in log.read_text()
    [report] = Path(out).glob("*.json")
    whole = qdm_package.cost("eeqdm", "fake_torino", **{**options, "trials": 60})
    assert report.read_text().strip().startswith("{")
    assert f'"best_seed": {whole.backends[0].best_seed}' in report.read_text()
