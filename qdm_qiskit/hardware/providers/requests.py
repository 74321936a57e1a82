"""Work of a job as data: circuits, values, shots, options, and their hash and tag."""

from __future__ import annotations

import hashlib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, final

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from ...arguments import all_of_kind, checked_number, checked_text, of_kind
from ...errors import InvalidData, InvalidOption
from ...execution.counts import Pub, checked_pubs, checked_shots
from ...mitigation.checks import real_numbers
from ...mitigation.expectation import MeasurementPlan, construct_circuits, measurement_plan
from ..plan.canonical_json import content_sha256
from ..plan.types import ExecutionOptions

if TYPE_CHECKING:
    from qiskit.transpiler import Target as DeviceTarget

__all__ = [
    "MOST_RATIO",
    "EstimateRequest",
    "EstimatorPub",
    "EstimatorRequest",
    "JobRequest",
    "MeasureRequest",
    "Request",
    "RunRequest",
]

MOST_RATIO = 1e7
"""Largest coefficient over precision: 1e14 shots, far more than all jobs of a request have."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Request(ABC):
    """The work of one job."""

    run_id: str
    part: str
    """Part of the run: ``step-0010``, ``calibration-0001``, ``estimate-0001``."""
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

    def __post_init__(self) -> None:
        checked_shots(self.shots)
        object.__setattr__(self, "pubs", tuple(checked_pubs(self.pubs)))

    @property
    def rows(self) -> int:
        """Bound circuits."""
        return sum(len(values) for _, values in self.pubs)

    @property
    def executions(self) -> int:
        """Circuits times shots."""
        return self.rows * self.shots

    def _content(self) -> bytes:
        parts = [_circuit_bytes(c) + np.ascontiguousarray(v).tobytes() for c, v in self.pubs]
        return b"".join(parts) + f"shots {self.shots}".encode()


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


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class MeasureRequest(Request):
    """Circuits to sample shot by shot, as expectation values need it."""

    circuits: tuple[QuantumCircuit, ...]
    """For the backend, each with one register ``meas`` of any width."""
    values: np.ndarray
    """``(batch, num_parameters)`` of each circuit that has parameters, in radians."""
    shots: int
    """Shots of each row."""
    randomizations: int | None
    """Number of randomizations of evenly split shots where something is twirled; else None."""
    calibrated: bool
    """True if the last circuit is TREX's, which prepares 0."""

    @property
    def rows(self) -> int:
        """Bound circuits."""
        return sum(len(self.values) if each.num_parameters else 1 for each in self.circuits)

    def _content(self) -> bytes:
        circuits = b"".join(_circuit_bytes(each) for each in self.circuits)
        values = np.ascontiguousarray(self.values).tobytes()
        return circuits + values + f"shots {self.shots} {self.randomizations}".encode()


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class EstimateRequest:
    """Expectation values of observables, all of them for every row of values."""

    run_id: str
    part: str
    """``estimate-0001``."""
    options: ExecutionOptions
    backend: str
    """Name of the backend."""
    nonce: str
    """As for a :class:`Request`."""
    circuit: QuantumCircuit
    """For the backend, without measurements."""
    observables: tuple[SparsePauliOp, ...]
    """On all qubits of the circuit (``observable.apply_layout(circuit.layout)``)."""
    values: np.ndarray
    """``(batch, num_parameters)``, in radians."""
    precision: float
    """Standard error that is wanted for each expectation value; it decides the shots, and jobs
    follow each other until it is met."""
    trex: bool = False
    """Twirled readout error extinction: measurement noise is learned in the same job."""

    def __post_init__(self) -> None:
        of_kind(self.circuit, QuantumCircuit, "circuit", "transpiled for the backend")
        of_kind(self.options, ExecutionOptions, "options")
        for name in ("run_id", "part", "backend", "nonce"):
            text = checked_text(getattr(self, name), name)
            if not _NAME.fullmatch(text):  # it becomes part of tags and of files
                raise InvalidOption(
                    f"{name} holds letters, digits, '_', '.' and '-', got {text!r:.80}."
                )
        observables = all_of_kind(
            self.observables,
            SparsePauliOp,
            "observables",
            "SparsePauliOp(...) makes one of a Pauli",
        )
        object.__setattr__(self, "observables", tuple(observables))
        checked_number(self.precision, "precision")
        if not (math.isfinite(self.precision) and 0 < self.precision <= 1):
            raise InvalidOption(f"A precision is more than 0 and at most 1, got {self.precision}.")
        if self.circuit.num_clbits:
            raise InvalidData(
                f"A circuit to estimate has no measurements, got {self.circuit.num_clbits} bits."
            )
        if not self.observables or any(
            each.num_qubits != self.circuit.num_qubits for each in self.observables
        ):
            raise InvalidData(
                f"Observables act on the circuit's {self.circuit.num_qubits} qubits, got "
                f"{[each.num_qubits for each in self.observables]}; use apply_layout."
            )
        values = real_numbers(self.values, "Values")
        if (
            values.ndim != 2
            or not len(values)
            or values.shape[1] != self.circuit.num_parameters
            or not np.isfinite(values).all()
        ):
            raise InvalidData(
                f"Values are finite with the shape (batch, {self.circuit.num_parameters}), got "
                f"{values.shape}."
            )
        if self.circuit.num_parameters == 0 and len(values) > 1:
            raise InvalidData(
                f"A circuit without parameters has one row of values, got {len(values)}."
            )
        object.__setattr__(self, "values", values)
        if not self.measurements.bases:
            raise InvalidData(
                "Observables of the identity alone need no job: each value is its coefficient, "
                f"{self.measurements.constants.tolist()}."
            )
        largest = float(np.abs(np.concatenate([b.weights for b in self.measurements.bases])).max())
        if largest / self.precision > MOST_RATIO:
            raise InvalidOption(
                f"A precision of {self.precision:g} for coefficients of up to {largest:g} takes more "
                "shots than there can be; ask for a larger precision, or scale the observable."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the result, (rows, observables)."""
        return len(self.values), len(self.observables)

    @cached_property
    def measurements(self) -> MeasurementPlan:
        """Circuits that measure the observables."""
        return measurement_plan(self.observables)

    @property
    def executions_per_shot(self) -> int:
        """Number of bound circuits of a job: of every basis and row, and TREX's own."""
        return len(self.values) * len(self.measurements.bases) + self.trex

    @property
    def shots(self) -> int:
        """Shots of each bound circuit that suffice if terms are independent and readouts perfect."""
        return math.ceil(float(self.measurements.squares.max()) / self.precision**2) + 1

    @cached_property
    def payload_sha256(self) -> str:
        """Hash of the request: circuit, observables, values, precision, options, backend."""
        text = repr([each.to_list() for each in self.observables])
        digest = hashlib.sha256(
            _circuit_bytes(self.circuit)
            + np.ascontiguousarray(self.values).tobytes()
            + f"{text} {self.precision} {self.trex}".encode()
        )
        digest.update(content_sha256([asdict(self.options), self.backend, self.nonce]).encode())
        return digest.hexdigest()

    def job(
        self,
        part: str,
        shots: int,
        randomizations: int | None,
        target: DeviceTarget | None = None,
    ) -> MeasureRequest:
        """Return the job of some shots.

        Args:
            part: Its name in the ledger.
            shots: Shots of each bound circuit.
            randomizations: As for a :class:`MeasureRequest`.
            target: The device, in whose gates qubits are turned into the bases.

        Raises:
            UnsupportedCircuit: If the device has no gates for that.
        """
        options = self.options
        if self.trex:
            options = replace(options, twirl_measure=True)
        return MeasureRequest(
            run_id=self.run_id,
            part=part,
            options=options,
            backend=self.backend,
            nonce=self.nonce,
            circuits=tuple(
                construct_circuits(
                    self.circuit, self.measurements, calibration=self.trex, target=target
                )
            ),
            values=self.values,
            shots=shots,
            randomizations=randomizations,
            calibrated=self.trex,
        )


def _circuit_bytes(circuit: QuantumCircuit) -> bytes:
    from qiskit import qasm3

    return str(qasm3.dumps(circuit)).encode()
