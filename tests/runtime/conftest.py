"""One local server for all tests of this folder, emptied for each of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # `pytest` instead of `python -m pytest`
    sys.path.insert(0, str(ROOT))

from tests.runtime.server import LocalServer, Settings  # noqa: E402

if TYPE_CHECKING:
    from qiskit_ibm_runtime import IBMBackend, QiskitRuntimeService

BACKEND = "ibm_nairobi"


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with LocalServer(tmp_path_factory.mktemp("server"), devices=["nairobi"]) as server:
        yield server


@pytest.fixture
def server(running_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> LocalServer:
    """The server, empty and with its first settings; the environment leads the client to it."""
    running_server.change(**Settings(devices=("nairobi",)).to_dict())
    running_server.reset()
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
