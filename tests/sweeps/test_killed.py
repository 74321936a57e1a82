"""Sweeps whose processes are killed: every run is still the one that it is alone, bit for bit."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from qdm_qiskit.errors import WorkersUnavailable
from qdm_qiskit.sweeps import plan_sweep, read_plan, run_sweep
from qdm_qiskit.training import find_checkpoint, train
from qdm_qiskit.work import WorkItem, run_items
from tests.helpers import QDM, ROOT
from tests.work import to_do

SETTINGS = {
    "image_size": 4,
    "depth": 2,
    "num_steps": 4,
    "train_count": 20,
    "test_count": 6,
    "batch_size": 5,
    "epochs": 3,
    "checkpoint_every": 1,
    "baseline": False,
    "sample_every": 0,
}
GRID = {"depth": [1, 2, 3], "learning_rate": [0.01, 0.03, 0.1, 0.3]}
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}", "OMP_NUM_THREADS": "1"}


def weights(run: Path) -> str:
    return hashlib.sha256((find_checkpoint(run) / "model.safetensors").read_bytes()).hexdigest()


def check_runs(folder: Path, alone: Path) -> None:
    """Train every run of a sweep alone, and compare weights."""
    for run in read_plan(folder).runs:
        train(run.config, alone / run.name)
        assert weights(alone / run.name) == weights(folder / "runs" / run.name), run.name


def wait_for(condition, what: str, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} in {seconds} s"
        time.sleep(0.05)


def finished_items(folder: Path) -> list[Path]:
    """Return the files of finished items; one that is being written has a hidden name."""
    return [path for path in (folder / "items").glob("*.json") if not path.name.startswith(".")]


def done(folder: Path) -> int:
    return len(finished_items(folder))


def processes_with(text: str) -> list[int]:
    """Processes whose command line has a text."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                words = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if text in words:
                found.append(int(each.name))
    return found


def children(pid: int) -> list[int]:
    """Child processes of a process that do Python's work: no trackers of resources."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                stat = (each / "stat").read_text().rpartition(")")[2].split()
                words = (each / "cmdline").read_bytes()
            except OSError:
                continue
            if int(stat[1]) == pid and stat[0] != "Z" and b"resource_tracker" not in words:
                found.append(int(each.name))
    return found


@pytest.mark.slow
def test_a_sweep_whose_processes_are_killed_goes_on(tmp_path):
    out = tmp_path / "sweep"
    settings = [part for k, v in SETTINGS.items() if k != "depth" for part in ("--set", f"{k}={v}")]
    command = [QDM, "sweep", "--model", "eeqdm", *settings, "--grid", "depth=1,2", "--seeds", "3"]
    command += ["--workers", "2", "--out", str(out)]
    with open(tmp_path / "log", "w") as log:
        first = subprocess.Popen(command, env=ENVIRONMENT, stderr=log, stdout=log)
        wait_for(lambda: done(out) >= 1, "run")
        workers = children(first.pid)
        assert len(workers) == 2
        first.kill()
        first.wait()
    assert done(out) < 6
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "end of workers")
    resumed = subprocess.run(
        [QDM, "sweep", "--out", str(out), "--resume", "--workers", "2"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "are done already" in resumed.stderr
    assert done(out) == 6
    check_runs(out, tmp_path / "alone")


@contextmanager
def started(*command: str, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with all that it starts, ended at the end."""
    with open(log, "a") as file:
        process = subprocess.Popen(
            command,
            env={**ENVIRONMENT, **environment},
            cwd=log.parent,  # "python -m" would find a package of the folder of the tests first
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def scheduler(port: int, folder: Path):
    return started(
        *(sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard"),
        *("--host", "127.0.0.1", "--port", str(port)),
        log=folder / "scheduler.log",
    )


def worker(port: int, folder: Path, number: int = 0, **environment: str):
    """A worker in a loop of the shell, for Dask's end when their scheduler does."""
    local = folder / f"worker-{number}"
    words = (
        *(sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}"),
        *("--nthreads", "1", "--no-dashboard", "--local-directory", str(local)),
    )
    loop = 'while true; do "$@"; sleep 0.2; done'
    return started("sh", "-c", loop, "sh", *words, log=folder / "worker.log", **environment)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def worker_processes(folder: Path, number: int) -> list[int]:
    """The process that works, below the nanny, of a worker."""
    nannies = processes_with(str(folder / f"worker-{number}"))
    return [child for nanny in nannies for child in children(nanny) if child not in nannies]


@pytest.mark.slow
def test_a_sweep_on_dask_whose_worker_and_scheduler_die(tmp_path, port):
    pytest.importorskip("distributed")
    from qdm_qiskit.work.dask import DaskWorkers

    plan = plan_sweep(
        "eeqdm",
        {k: v for k, v in SETTINGS.items() if k != "depth"},
        grid=GRID,
        seeds=2,
    )
    assert len(plan.runs) == 24
    out = tmp_path / "sweep"
    events: list[str] = []
    with ExitStack() as stack:
        first = stack.enter_context(scheduler(port, tmp_path))
        for number in range(2):
            stack.enter_context(worker(port, tmp_path, number))

        def interfere(message: str) -> None:
            """Kill a worker after some runs, and the scheduler after some more."""
            if not events and done(out) >= 4:
                for pid in worker_processes(tmp_path, 0):
                    os.kill(pid, signal.SIGKILL)
                    events.append("worker")
            elif events == ["worker"] and done(out) >= 10:
                first.kill()
                first.wait()
                stack.enter_context(scheduler(port, tmp_path))
                events.append("scheduler")

        workers = DaskWorkers(f"tcp://127.0.0.1:{port}")
        try:
            found = run_sweep(plan, out, workers=workers, progress=interfere)
        finally:
            workers.close()
    assert events == ["worker", "scheduler"]
    assert (found.failures, found.interrupted) == ({}, False)
    assert {row.state for row in found.table.rows} == {"done"}
    check_runs(out, tmp_path / "alone")


@pytest.mark.slow
def test_a_worker_with_another_version_is_refused(tmp_path, port):
    distributed = pytest.importorskip("distributed")
    from qdm_qiskit.work.dask import DaskWorkers

    info = tmp_path / "other" / "qdm_qiskit-0.0.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: qdm_qiskit\nVersion: 0.0.9\n")
    path = f"{info.parent}{os.pathsep}{ROOT}"
    with scheduler(port, tmp_path), worker(port, tmp_path, PYTHONPATH=path):
        address = f"tcp://127.0.0.1:{port}"
        with distributed.Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=240)
        workers = DaskWorkers(address)
        try:
            with pytest.raises(WorkersUnavailable, match=r"has qdm_qiskit 0\.0\.9, and this"):
                run_items([WorkItem("a", to_do.draw, {"name": "a"})], tmp_path / "out", workers)
        finally:
            workers.close()
