"""One local server for all tests of this folder, emptied for each of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter

from tests.helpers import write_run
from tests.runtime.server import LocalServer, Settings

if TYPE_CHECKING:
    from qiskit_ibm_runtime import IBMBackend, QiskitRuntimeService

    from qdm_qiskit.hardware.plan.run_plan import RunPlan

collect_ignore = ["acme"]
"""Sources of a package that a test installs; pytest would import them under the package's name."""

BACKEND = "ibm_nairobi"
DEVICES = ("nairobi", "lagos")
"""7 qubits each; jobs of others wait for `ibm_lagos`."""


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with LocalServer(tmp_path_factory.mktemp("server"), devices=list(DEVICES)) as server:
        yield server


def clean(server: LocalServer) -> None:
    """Empty the server and give it its first settings."""
    server.change(**Settings(devices=DEVICES, queue_length={"ibm_lagos": 3}).to_dict())
    server.reset()


@pytest.fixture
def server(running_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> LocalServer:
    """The server, empty and with its first settings; the environment leads the client to it."""
    clean(running_server)
    for name, value in running_server.env.items():
        monkeypatch.setenv(name, value)
    return running_server


@pytest.fixture
def service(server: LocalServer) -> QiskitRuntimeService:
    from qiskit_ibm_runtime import QiskitRuntimeService

    return QiskitRuntimeService()


@pytest.fixture
def backend(service: QiskitRuntimeService) -> IBMBackend:
    return service.backend(BACKEND)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The client's retries without their waiting; the list of what they would have waited."""
    import urllib3.util.retry

    slept: list[float] = []
    clock = SimpleNamespace(sleep=slept.append, time=urllib3.util.retry.time.time)
    monkeypatch.setattr(urllib3.util.retry, "time", clock)
    return slept


Pub = tuple[QuantumCircuit, np.ndarray]


@pytest.fixture
def pub(backend: IBMBackend) -> Pub:
    """Two qubits, three rotations of one of them."""
    return small_pub(backend)


def small_pub(backend: IBMBackend) -> Pub:
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("angle"), 0)
    circuit.cx(0, 1)
    circuit.measure_all()
    isa = transpile(circuit, backend, optimization_level=1, seed_transpiler=1)
    return isa, np.linspace(0.0, np.pi, 3)[:, None]


@pytest.fixture
def submit(backend: IBMBackend, pub: Pub) -> Callable[..., object]:
    """`submit(tag="...", mode=..., shots=...)`: the small PUB through the executor Sampler."""
    from qiskit_ibm_runtime.executor_sampler import Sampler

    def run(tag: str = "tag", mode: object = None, shots: int = 64):
        sampler = Sampler(mode if mode is not None else backend)
        sampler.options.environment.job_tags = [tag]
        return sampler.run([pub], shots=shots)

    return run


# -- runs -------------------------------------------------------------------------------------

QUICK = {
    "poll_seconds": 0.02,
    "first_pause_seconds": 0.02,
    "longest_pause_seconds": 0.2,
    "lookup_pauses_seconds": [0.0, 0.05, 0.1],
    "grace_seconds": 0.3,
    "rate_pause_seconds": 0.05,
    "jobs_per_minute": 0,
    "usage_wait_seconds": 5.0,
    "retry_seconds": 8.0,
    "call_seconds": 20.0,
    "submit_seconds": 20.0,
}
"""`service.json` of a root whose runs wait for nothing that a local server has no need of."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """`trained(steps)`: a run with random weights, 2x2 images on 3 qubits, of that many steps."""
    folder = tmp_path_factory.mktemp("trained")

    def make(steps: int) -> Path:
        run = folder / f"steps-{steps}"
        if not run.exists():
            write_run(run, num_steps=steps)
        return run

    return make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root of runs with quick settings and the budget `qpu`."""
    folder = tmp_path / "root"
    make_root(folder)
    return folder


def make_settings(root: Path, **settings: object) -> None:
    """Write the settings of a root: the quick ones and these."""
    (root / "service.json").write_text(json.dumps(QUICK | settings))


def make_root(folder: Path, **settings: object) -> Path:
    from qdm_qiskit.hardware.ledger.ledger import Ledger

    folder.mkdir(parents=True)
    make_settings(folder, **settings)
    ledger = Ledger.open(folder)
    ledger.set_budget("qpu", seconds=600.0)
    ledger.close()
    return folder


@pytest.fixture(scope="session")
def plans(
    trained: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Folders of plans, each made once, with the backend that the server's client has."""
    from qdm_qiskit.hardware.ibm.account import connect
    from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan

    folder = tmp_path_factory.mktemp("plans")
    made: dict[str, Path] = {}

    def make(steps: int, options: dict[str, object]) -> Path:
        name = repr((steps, sorted(options.items())))
        if name not in made:
            config = {"num_images": 2, "shots": 64, "calibration_shots": 256, "layout_trials": 1}
            config |= {"targets": (f"ibm:{BACKEND}",), "budget": "qpu"} | options
            backend = connect().backend(BACKEND)
            plan = make_plan(trained(steps), PlanConfig(**config), root=folder, backend=backend)
            made[name] = plan.folder
        return made[name]

    return make


@pytest.fixture
def planned(server: LocalServer, plans: Callable[..., Path], root: Path) -> Callable[..., RunPlan]:
    """`planned(steps=1, mitigation="m3", ...)`: a plan for the server's device, in `root`."""
    from qdm_qiskit.hardware.plan.plan_file import read_plan

    def make(steps: int = 1, **options: object) -> RunPlan:
        folder = plans(steps, options)
        shutil.copytree(folder, root / folder.name)
        return read_plan(root / folder.name)

    return make


def check_budget(server: LocalServer, root: Path) -> None:
    """The budget has spent what the server charged, and holds nothing."""
    from qdm_qiskit.hardware.ledger.ledger import Ledger

    ledger = Ledger.open(root)
    budget = ledger.budget("qpu")
    ledger.close()
    assert budget.spent_seconds == pytest.approx(server.ledger()["charged_seconds"], abs=1e-6)
    assert budget.reserved_seconds == 0
