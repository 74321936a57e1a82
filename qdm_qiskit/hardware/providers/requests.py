"""Work of a job as data: circuits, values, shots, options, and their hash and tag."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import final

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from ...canonical_json import content_sha256
from ...errors import InvalidOption
from ...execution.counts import Pub, checked_pubs, checked_shots
from ..plan.types import ExecutionOptions

__all__ = [
    "EstimatorPub",
    "EstimatorRequest",
    "JobRequest",
    "Request",
    "RunRequest",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Request(ABC):
    """The work of one job."""

    run_id: str
    part: str
    """Part of the run: ``step-0010``, ``calibration-0001``."""
    options: ExecutionOptions
    backend: str
    """Name of the backend."""
    nonce: str
    """Random text of the run's folder: equal plans in two folders have different tags."""

    @cached_property
    def payload_sha256(self) -> str:
        """Hash of all that is run: circuits, values, options, backend."""
        digest = hashlib.sha256(self._content())
        digest.update(content_sha256([asdict(self.options), self.backend, self.nonce]).encode())
        return digest.hexdigest()

    def tag(self, attempt: int) -> str:
        """``qdm-<run id>-<part>-<attempt>-<16 hex digits>``."""
        return f"qdm-{self.run_id}-{self.part}-{attempt}-{self.payload_sha256[:16]}"

    @property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Sizes of the job, by the options of a plan that limit them."""

    @abstractmethod
    def _content(self) -> bytes:
        """Return the content of the work, as bytes."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class JobRequest(Request):
    """Circuits to sample."""

    pubs: Sequence[Pub]
    """Circuits for the backend, each with its ``(batch, num_parameters)`` values."""
    shots: int
    """Shots of each row."""
    probabilities: np.ndarray | Sequence[np.ndarray] | None = None
    """Exact distribution, ``(batch, 2**bits)``, for the engine, which runs no circuits; of several
    circuits one each."""
    together: tuple[tuple[int, ...], ...] = ()
    """Circuits, by their number, that lie on tiles of the device and run as one; all circuits, each
    once, or none where each runs alone. Counts are those of each circuit all the same."""

    def __post_init__(self) -> None:
        checked_shots(self.shots)
        object.__setattr__(self, "pubs", tuple(checked_pubs(self.pubs)))
        numbers = sorted(number for group in self.together for number in group)
        if self.together and numbers != list(range(len(self.pubs))):
            raise InvalidOption(
                f"together names each of {len(self.pubs)} circuits once, got {self.together}."
            )

    @property
    def rows(self) -> int:
        """Bound circuits; those that run as one count once."""
        alone = [(number,) for number in range(len(self.pubs))]
        groups = self.together or alone
        return sum(max(len(self.pubs[number][1]) for number in group) for group in groups)

    @property
    def executions(self) -> int:
        """Circuits times shots."""
        return self.rows * self.shots

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the job, by the options of a plan that limit them."""
        return _sizes(self.executions, self.shots, [values for _, values in self.pubs])

    def _content(self) -> bytes:
        parts = [_circuit_bytes(c) + np.ascontiguousarray(v).tobytes() for c, v in self.pubs]
        as_one = f" together {self.together}" if self.together else ""
        return b"".join(parts) + f"shots {self.shots}{as_one}".encode()


EstimatorPub = tuple[QuantumCircuit, tuple[SparsePauliOp, ...], np.ndarray]
"""Circuit for the backend, observables on its qubits, ``(rows, num_parameters)`` in radians."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class EstimatorRequest(Request):
    """Expectation values to ask an Estimator for."""

    pubs: tuple[EstimatorPub, ...]
    shots: int
    """Shots, which stand for a precision of ``1/sqrt(shots)``."""
    estimator_options: str
    """Options of the Estimator as canonical JSON."""
    executions: int
    """Circuits times shots that it is expected to run."""

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Rows and observables of each PUB."""
        return [(len(values), len(observables)) for _, observables, values in self.pubs]

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the job, by the options of a plan that limit them."""
        return _sizes(self.executions, self.shots, [values for _, _, values in self.pubs])

    def _content(self) -> bytes:
        parts = [
            _circuit_bytes(circuit)
            + repr([each.to_list() for each in observables]).encode()
            + np.ascontiguousarray(values).tobytes()
            for circuit, observables, values in self.pubs
        ]
        return b"".join(parts) + f"precision of {self.shots} {self.estimator_options}".encode()


RunRequest = JobRequest | EstimatorRequest
"""Job of a run."""


def _sizes(executions: int, shots: int, values: Sequence[np.ndarray]) -> dict[str, int]:
    return {
        "max_job_executions": executions,
        "max_job_circuits": -(-executions // shots),
        "max_job_values": sum(each.size for each in values),
    }


def _circuit_bytes(circuit: QuantumCircuit) -> bytes:
    from qiskit import qasm3

    return str(qasm3.dumps(circuit)).encode()
