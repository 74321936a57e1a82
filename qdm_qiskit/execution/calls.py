"""Circuit calls: the unit of execution between a model and the target of its circuits.

A model's step is classical arithmetic around calls in a fixed order. A call holds a circuit, its
values for every row, its readout and its number of shots; a target answers it. No model knows where
its calls go, and no target knows the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from qiskit import QuantumCircuit

from ..arguments import of_kind
from ..circuits.composition import with_reused_qubits
from ..circuits.fingerprint import circuit_fingerprint
from ..circuits.readouts import ProbabilityReadout
from ..circuits.spec import CircuitSpec
from ..errors import InvalidData

__all__ = [
    "CallResult",
    "CallTarget",
    "CircuitCall",
    "ErrorRecorder",
    "joined_errors",
    "joined_results",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class CircuitCall:
    """A circuit, its values for every row, and its readout.

    >>> from qdm_qiskit.circuits import eeqdm
    >>> spec = eeqdm(num_data=2, depth=1)
    >>> call = CircuitCall(name="layer", spec=spec, angles=np.zeros(6), amplitudes=np.eye(4)[:3])
    >>> call.num_rows, call.values.shape, call.circuit.num_parameters
    (3, (3, 3), 3)
    """

    name: str
    """Address within the step: path of the layer in its model; its second call ends in ``#2``."""
    spec: CircuitSpec
    """The circuit, its roles and its readout."""
    angles: np.ndarray
    """``(num_weights,)`` float64: angles of the weights in radians, the same for all rows."""
    amplitudes: np.ndarray | None = None
    """``(rows, 2**n)`` with unit rows, for amplitude encoding: float64, or complex128 where the spec
    takes complex amplitudes."""
    inputs: np.ndarray | None = None
    """``(rows, num_inputs)`` float64, in radians, where the circuit has inputs."""
    shots: int | None = None
    """Shots of each row and of each circuit that its readout takes; None asks for exact values."""
    reuse_qubits: bool = False
    """True to run on as few qubits as possible, measured, reset and used again; see
    :func:`.composition.with_reused_qubits`. Bits and their numbers stay the same."""

    def __post_init__(self) -> None:
        of_kind(self.spec, CircuitSpec, "spec")
        if self.angles.shape != (len(self.spec.weights),):
            raise InvalidData(
                f"Call '{self.name}' needs {len(self.spec.weights)} angles, got shape "
                f"{self.angles.shape}."
            )
        if not np.isfinite(self.angles).all():
            raise InvalidData(
                f"Weights must be finite, got NaN or infinity in '{self.name}': no circuit can be "
                "bound to them."
            )

    @property
    def num_rows(self) -> int:
        """Number of rows of values; 1 for a circuit that takes none."""
        given = self.amplitudes if self.amplitudes is not None else self.inputs
        return 1 if given is None else len(given)

    @cached_property
    def circuit(self) -> QuantumCircuit:
        """Loader and circuit with the weights bound and the inputs free.

        All its qubits are measured where it reads probabilities; none where it reads expectation
        values, whose circuits :func:`.mitigation.expectation.construct_circuits` makes of it.
        """
        measured = isinstance(self.spec.readout, ProbabilityReadout)
        full = self.spec.full_circuit(measure=measured)
        bound = full.assign_parameters(
            dict(zip(self.spec.weights, self.angles.tolist(), strict=True))
        )
        bound.name = self.spec.name  # Qiskit would number the copies
        return with_reused_qubits(bound) if measured and self.reuse_qubits else bound

    @cached_property
    def values(self) -> np.ndarray:
        """Values of the circuit's parameters, ``(rows, number of x_ parameters)`` float64.

        Raises:
            InvalidData: As :meth:`.CircuitSpec.input_values`.
        """
        if self.amplitudes is None and self.inputs is None:
            return np.zeros((1, 0))
        return self.spec.input_values(self.amplitudes, self.inputs)

    @property
    def fidelities(self) -> np.ndarray | None:
        """Fidelity of each row's loaded state, ``(rows,)``; None where the loader is the exact one.

        Raises:
            InvalidData: As :meth:`.Loading.loaded`.
        """
        if self.amplitudes is None or self.spec.loading.trusted:
            return None
        return self.spec.loading.loaded(self.amplitudes).fidelities

    @cached_property
    def content(self) -> str:
        """SHA-256 of the circuit with its weights, its loader and its readout, as 64 hex digits.

        Calls of equal content run the same circuit, whatever their values: it is transpiled once.
        """
        full = self.spec.full_circuit(measure=False)
        digest = hashlib.sha256(circuit_fingerprint(full).encode())
        digest.update(np.ascontiguousarray(self.angles, dtype="<f8").tobytes())
        digest.update(repr((_told(self.spec), self.reuse_qubits)).encode())
        return digest.hexdigest()


def _told(spec: CircuitSpec) -> object:
    readout = spec.readout
    if isinstance(readout, ProbabilityReadout):
        return readout.qubits, readout.postselect, readout.renormalise
    return [[(label, complex(c)) for label, c in each.to_list()] for each in readout.observables]


@dataclass(frozen=True, eq=False, kw_only=True)
class CallResult:
    """A target's answer to a call."""

    outputs: np.ndarray
    """``(rows, num_outputs)`` float64: probabilities or expectation values, as the readout says."""
    standard_errors: np.ndarray | None = None
    """Standard errors of the outputs, of their shape; None for exact values, and if not known."""
    kept: np.ndarray | None = None
    """``(rows,)``: share of the shots that passed the post-selection; None where there is none."""
    errors_of: Callable[[np.ndarray], np.ndarray] | None = None
    """Function that takes weights ``(num_outputs, sums)`` and returns standard errors ``(rows, sums)``
    of weighted sums of probabilities, divided by the share that was kept; None where not known."""

    def scaled(self, outputs: np.ndarray, gain: np.ndarray) -> CallResult:
        """Return the answer with other outputs, each the old one times a gain and moved.

        Errors grow with the gain. What is not known of gains and offsets themselves is not in them.

        Args:
            outputs: ``(rows, num_outputs)``.
            gain: ``(num_outputs,)``.
        """
        known, errors = self.errors_of, self.standard_errors
        return replace(
            self,
            outputs=outputs,
            standard_errors=None if errors is None else errors * np.abs(gain),
            errors_of=None if known is None else lambda weights: known(weights * gain[:, None]),
        )


def joined_results(parts: Sequence[CallResult]) -> CallResult:
    """Return the answer to a call from the answers for its rows, in their order.

    >>> parts = [CallResult(outputs=np.zeros((2, 4))), CallResult(outputs=np.ones((1, 4)))]
    >>> joined_results(parts).outputs.shape
    (3, 4)
    """

    def rows(name: str) -> np.ndarray | None:
        found = [getattr(each, name) for each in parts]
        return None if any(each is None for each in found) else np.concatenate(found)

    if len(parts) == 1:
        return parts[0]
    outputs = np.concatenate([each.outputs for each in parts])
    return CallResult(
        outputs=outputs,
        standard_errors=rows("standard_errors"),
        kept=rows("kept"),
        errors_of=joined_errors([each.errors_of for each in parts]),
    )


def joined_errors(
    parts: Sequence[Callable[[np.ndarray], np.ndarray] | None],
) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the errors of sums of all rows, from those of parts of them; None if one has none."""
    known = [each for each in parts if each is not None]
    if len(known) < len(parts):
        return None
    return lambda weights: np.concatenate([each(weights) for each in known])


@runtime_checkable
class CallTarget(Protocol):
    """Target that answers calls: the engine, Aer, a device's noise, local mode, a QPU, a
    provider."""

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """Answer calls that do not depend on each other, as one job where there are jobs.

        Args:
            calls: At least one.

        Returns:
            One result for each.
        """
        ...


@runtime_checkable
class ErrorRecorder(Protocol):
    """Target that records standard errors of what layers make of its answers."""

    def note(self, name: str, errors: np.ndarray) -> None:
        """Take the errors of values that have no call of their own, such as trained observables.

        Args:
            name: Address of the values within the step, as a call's.
            errors: ``(rows, values)``.
        """
        ...
