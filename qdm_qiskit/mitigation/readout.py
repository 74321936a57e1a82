"""Readout mitigation by M3: calibrate each measured qubit once, then correct counts.

``construct_circuits`` -> any runner -> ``combine_results`` -> a calibration -> ``mitigate``.
M3 itself checks neither the device nor the qubits of a calibration; here both are checked.

References:
    Nation et al., PRX Quantum 2, 040326 (2021), for M3; Bravyi et al., Phys. Rev. A 103, 042605
    (2021), for balanced calibration.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, get_args

import numpy as np
from qiskit import QuantumCircuit
from qiskit.transpiler import Target as DeviceTarget

from ..arguments import checked_text, of_kind, wrong
from ..errors import CalibrationMismatch, InvalidData, InvalidOption
from ..transpiling.passes import in_gates_of
from .bit_readout import BitReadout
from .checks import indices, real_numbers, whole_counts
from .m3 import solve_seen
from .m3_of_0_1 import solve_near

__all__ = [
    "LEAST_CONTRAST",
    "LEAST_DEVIATIONS",
    "SCHEMA",
    "Correction",
    "Method",
    "ReadoutCalibration",
    "check_correction",
    "combine_results",
    "construct_circuits",
    "merged_calibration",
    "mitigate",
    "prepared_bits",
]

Method = Literal["balanced", "independent"]
"""``balanced``: all qubits at once, in at most ``2 * len(qubits)`` circuits, each qubit in 0 and 1
equally often beside every other's state. ``independent``: two circuits for each qubit alone."""

Correction = Literal["all", "distance-3"]
"""``all``: between all outcomes that were seen, in double precision. ``distance-3``: version 0.1's
correction, in single precision and between outcomes that differ in 3 bits at most; for its runs."""

SCHEMA = "readout-calibration/1"

LEAST_CONTRAST = 1e-3
"""Least ``p(0 | 0) - p(0 | 1)`` of a corrected qubit: a correction divides by it."""
LEAST_DEVIATIONS = 3.0
"""Least number of its calibration's standard deviations above 0."""


def prepared_bits(num_qubits: int, method: Method = "balanced") -> np.ndarray:
    """Return the qubits that each calibration circuit prepares in 1.

    Args:
        num_qubits: Number of calibrated qubits, at least 1.
        method: ``"balanced"`` or ``"independent"``.

    Returns:
        Int64 bits of shape ``(circuits, num_qubits)``. For ``balanced`` the circuits are a power of
        two, more than ``num_qubits``, and every qubit is 1 in half of them. For ``independent``
        row ``2 k`` and ``2 k + 1`` prepare qubit ``k`` in 0 and in 1.

    Raises:
        InvalidOption: If the method is unknown or there is no qubit.

    >>> prepared_bits(2).tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    _check_method(method)
    of_kind(num_qubits, int | np.integer, "num_qubits")
    if num_qubits < 1:
        raise InvalidOption(f"A readout calibration needs at least 1 qubit, got {num_qubits}.")
    if method == "independent":
        bits = np.zeros((2 * num_qubits, num_qubits), dtype=np.int64)
        bits[2 * np.arange(num_qubits) + 1, np.arange(num_qubits)] = 1
        return bits
    # Not by mthree, which comes with a client of its own for IBM's primitives (decision 0051).
    rows = np.arange(1 << int(num_qubits).bit_length())[:, None]
    columns = np.arange(1, num_qubits + 1)[None, :]
    return np.bitwise_count(rows & columns).astype(np.int64) % 2


def construct_circuits(
    qubits: Sequence[int],
    num_device_qubits: int,
    *,
    method: Method = "balanced",
    target: DeviceTarget | None = None,
) -> list[QuantumCircuit]:
    """Return the calibration circuits, in device instructions.

    Args:
        qubits: Physical qubits to calibrate, each once.
        num_device_qubits: Qubits of the device.
        method: ``"balanced"`` or ``"independent"``.
        target: The device in whose gates they are written, as some have no ``x``; they are ``x`` and
            ``measure`` if None.

    Returns:
        Circuits without parameters on ``num_device_qubits`` qubits with one register ``meas``: for
        ``balanced`` bit ``k`` reads ``qubits[k]``, for ``independent`` one bit reads one qubit.

    Raises:
        InvalidOption: If the method is unknown, or qubits repeat or are outside the device.
        UnsupportedCircuit: If the device has no gates that prepare 1 on one of the qubits.
    """
    of_kind(
        num_device_qubits, int | np.integer, "num_device_qubits", "a backend has them as num_qubits"
    )
    qubits = _checked_qubits(qubits, num_device_qubits)
    circuits = []
    for k, bits in enumerate(prepared_bits(len(qubits), method)):
        read = qubits if method == "balanced" else (qubits[k // 2],)
        circuit = _empty(num_device_qubits, len(read), f"readout_{method}_{k:04d}")
        for qubit, bit in zip(qubits, bits, strict=True):
            if bit:
                circuit.x(qubit)
        circuit.measure(list(read), range(len(read)))
        circuits.append(circuit if target is None else in_gates_of(circuit, target))
    return circuits


def combine_results(
    counts: Sequence[np.ndarray],
    qubits: Sequence[int],
    *,
    backend: str,
    taken_at: str,
    method: Method = "balanced",
    correction: Correction = "all",
) -> ReadoutCalibration:
    """Return the calibration from the counts of its circuits.

    Args:
        counts: For each circuit of :func:`construct_circuits`, in order, its counts of shape
            ``(2**bits,)`` or ``(1, 2**bits)``, as runners return them.
        qubits: The same physical qubits, in the same order.
        backend: Name of the device or snapshot.
        taken_at: Time at which the circuits ran, ISO 8601.
        method: The same method.
        correction: Use of the calibration.

    Returns:
        One matrix for each qubit, with their origin.

    Raises:
        InvalidOption: If the method is unknown or qubits repeat.
        InvalidData: If counts do not fit the circuits or are no whole numbers >= 0, a circuit has
            none, or a qubit reads the same whatever is prepared.
    """
    checked_text(backend, "backend", "give the device's name")
    qubits = _checked_qubits(qubits, None)
    bits = prepared_bits(len(qubits), method)
    width = len(qubits) if method == "balanced" else 1
    if not isinstance(counts, Iterable):
        raise wrong(counts, "counts", "a sequence of arrays")
    rows = [whole_counts(each).reshape(-1) for each in counts]
    if len(rows) != len(bits) or any(row.shape != (1 << width,) for row in rows):
        raise InvalidData(
            f"A {method} calibration of {len(qubits)} qubits needs {len(bits)} counts of "
            f"{1 << width} outcomes, got {len(rows)} of sizes {sorted({len(r) for r in rows})}."
        )
    shots = np.array([row.sum() for row in rows])
    if (shots <= 0).any():
        raise InvalidData("Every calibration circuit needs counts, got one without any.")
    matrices = {}
    for k, qubit in enumerate(qubits):
        circuits = range(len(bits)) if method == "balanced" else (2 * k, 2 * k + 1)
        position = k if method == "balanced" else 0
        seen = np.zeros((2, 2))  # [read, prepared]
        for c in circuits:
            ones = rows[c][(np.arange(1 << width) >> position) & 1 == 1].sum()
            seen[:, bits[c, k]] += shots[c] - ones, ones
        matrices[qubit] = seen / seen.sum(axis=0)
    return ReadoutCalibration(
        backend=backend,
        qubits=qubits,
        method=method,
        shots=int(shots.sum()),
        taken_at=taken_at,
        matrices=matrices,
        correction=correction,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadoutCalibration:
    """Measured readout of some qubits of one device, on one day.

    Raises:
        InvalidData: If a matrix is missing, is no 2x2 matrix of probabilities, or cannot be told
            from a readout that says the same whatever is prepared.

    >>> matrix = np.array([[0.98, 0.05], [0.02, 0.95]])
    >>> taken = ReadoutCalibration(
    ...     backend="fake_torino",
    ...     qubits=(3,),
    ...     method="balanced",
    ...     shots=4096,
    ...     taken_at="2026-01-01",
    ...     matrices={3: matrix},
    ... )
    >>> float(taken.matrices[3][1, 0])  # the share of 1 that is read where 0 was prepared
    0.02
    """

    backend: str
    """Name of the device or snapshot."""
    qubits: tuple[int, ...]
    """Physical qubits."""
    method: Method
    """Method by which it was taken."""
    shots: int
    """Shots of all its circuits together."""
    taken_at: str
    """Time, ISO 8601."""
    matrices: Mapping[int, np.ndarray]
    """Matrix ``[read, prepared]`` of each physical qubit; columns sum to 1."""
    correction: Correction = "all"
    """Use, which decides the refusals: 0.1 took every qubit that is right more often than wrong. It
    is no part of the measurement, and not in :meth:`to_dict`."""
    qubit_shots: Mapping[int, int] | None = None
    """Shots of the circuits that read each qubit, where calibrations of different qubits were merged;
    None where ``shots`` tells them."""

    def __post_init__(self) -> None:
        _check_method(self.method)
        check_correction(self.correction)
        checked_text(self.backend, "backend", "give the device's name")
        of_kind(self.matrices, Mapping, "matrices", "one for each physical qubit")
        object.__setattr__(self, "qubits", _checked_qubits(self.qubits, None))
        if not isinstance(self.shots, int | np.integer) or self.shots < 1:
            raise InvalidData(
                f"A calibration's shots are a whole number above 0, got {self.shots!r}."
            )
        try:
            datetime.fromisoformat(self.taken_at)
        except (TypeError, ValueError):
            raise InvalidData(
                f"A calibration's taken_at is an ISO 8601 time, got {self.taken_at!r}."
            ) from None
        if set(self.matrices) != set(self.qubits):
            raise InvalidData(
                f"A calibration needs one matrix for each of its qubits {self.qubits}, got "
                f"matrices for {sorted(self.matrices)}."
            )
        matrices = {
            int(q): real_numbers(m, f"The readout matrix of qubit {q}: its entries")
            for q, m in self.matrices.items()
        }
        object.__setattr__(self, "matrices", matrices)
        for qubit, matrix in matrices.items():
            _check_matrix(qubit, matrix)
        if self.qubit_shots is not None:
            _check_qubit_shots(self.qubit_shots, self.qubits, self.shots)
        self._check_readable()

    def prepared_shots(self, qubit: int) -> float:
        """Return the shots that prepared a qubit in 0; as many prepared it in 1."""
        if self.qubit_shots is not None:
            return self.qubit_shots[qubit] / 2
        return self.shots / 2 if self.method == "balanced" else self.shots / len(self.qubits) / 2

    def of_bits(self, qubits: Sequence[int]) -> BitReadout:
        """Return the readout of bits.

        Args:
            qubits: Physical qubit of each bit, one of the calibration's.
        """
        return BitReadout(
            matrices=tuple(self.matrices[q] for q in qubits),
            qubits=tuple(qubits),
            shots=tuple(self.prepared_shots(q) for q in qubits),
        )

    def _check_readable(self) -> None:
        """Refuse qubits whose readout depends on their state by no more than chance allows."""
        useless = {
            q: m
            for q, m in self.matrices.items()
            if not (
                _is_readable(m, self.prepared_shots(q))
                if self.correction == "all"
                else m[0, 0] > m[0, 1]
            )
        }
        if len(useless) > 0:  # not any(): the only one may be qubit 0
            shown = "; ".join(f"qubit {q}: {m.round(4).tolist()}" for q, m in useless.items())
            each = min(self.prepared_shots(q) for q in useless)
            raise InvalidData(
                f"The readout of {self.backend} ({self.taken_at}) reads the same whatever is prepared, "
                f"or more often wrong than right, on {len(useless)} qubit(s) ({shown}; columns are "
                f"prepared 0 and 1, {each:.0f} shots each), so it cannot be corrected; choose a "
                "layout without them."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration, ready for JSON; :meth:`from_dict` reads it back."""
        return {
            "schema": SCHEMA,
            "backend": self.backend,
            "qubits": list(self.qubits),
            "method": self.method,
            "shots": self.shots,
            "taken_at": self.taken_at,
            "matrices": {str(q): self.matrices[q].tolist() for q in self.qubits},
        } | (
            {}
            if self.qubit_shots is None
            else {"qubit_shots": {str(q): self.qubit_shots[q] for q in self.qubits}}
        )

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], correction: Correction = "all"
    ) -> ReadoutCalibration:
        """Read a calibration back, and check it.

        Args:
            data: The result of :meth:`to_dict`.
            correction: Use of the calibration.

        Raises:
            InvalidData: If keys are missing, unknown or of a wrong form, or numbers make no sense.
        """
        keys = {"schema", "backend", "qubits", "method", "shots", "taken_at", "matrices"}
        known = set(data) - {"qubit_shots"} if isinstance(data, Mapping) else None
        if not isinstance(data, Mapping) or known != keys or data["schema"] != SCHEMA:
            found = sorted(data) if isinstance(data, Mapping) else type(data).__name__
            raise InvalidData(
                f"A readout calibration has schema '{SCHEMA}' and the keys {sorted(keys)}, "
                f"got {found}; take a new calibration."
            )
        try:
            return cls(
                backend=data["backend"],
                qubits=data["qubits"],
                method=data["method"],
                shots=data["shots"],
                taken_at=data["taken_at"],
                matrices={int(q): np.array(m) for q, m in data["matrices"].items()},
                correction=correction,
                qubit_shots={int(q): n for q, n in data["qubit_shots"].items()}
                if "qubit_shots" in data
                else None,
            )
        except (AttributeError, InvalidOption, TypeError, ValueError) as error:
            if isinstance(error, InvalidData):
                raise
            raise InvalidData(
                f"The readout calibration cannot be read ({error}); take a new one."
            ) from error


def merged_calibration(parts: Sequence[ReadoutCalibration]) -> ReadoutCalibration:
    """Return calibrations of different qubits, taken together on one device, as one.

    Args:
        parts: At least one, by one method.
    """
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        qubits=tuple(qubit for each in parts for qubit in each.qubits),
        shots=sum(each.shots for each in parts),
        matrices={qubit: matrix for each in parts for qubit, matrix in each.matrices.items()},
        # Independent circuits read one qubit each, so that the sum says how many shots that is.
        qubit_shots={qubit: each.shots for each in parts for qubit in each.qubits}
        if parts[0].method == "balanced"
        else None,
    )


def mitigate(
    counts: np.ndarray,
    calibration: ReadoutCalibration,
    qubits: Sequence[int],
    backend: str,
    *,
    correction: Correction = "all",
) -> np.ndarray:
    """Correct counts for readout errors with M3, on the outcomes that were seen.

    Outcomes of all distances enter, up to m flipped bits (:mod:`~qdm_qiskit.mitigation.m3`).

    Args:
        counts: ``(batch, 2**m)`` counts; bit ``k`` of an outcome was read from ``qubits[k]``.
        calibration: A calibration of these qubits of this backend.
        qubits: The ``m`` physical qubits, as ``measured_physical_qubits`` gives them; one that was
            measured, reset and measured again stands at each of its bits.
        backend: Name of the device or snapshot that the counts come from.
        correction: ``"all"``; or ``"distance-3"``, by which version 0.1 corrected.

    Returns:
        Float64 quasi-probabilities of shape ``(batch, 2**m)``; rows sum to 1 and may hold small
        negative numbers (``simplex.nearest_probability`` removes them).

    Raises:
        CalibrationMismatch: If the calibration is of another backend or lacks a qubit.
        InvalidData: If counts do not fit the qubits, are no whole numbers >= 0, or a row is empty;
            or if the readout is too close to random to be corrected.
    """
    of_kind(calibration, ReadoutCalibration, "calibration", "combine_results makes one")
    checked_text(backend, "backend", "give the device's name")
    check_correction(correction)
    qubits = indices(qubits, "qubits")
    _checked_qubits(tuple(dict.fromkeys(qubits)), None)
    _check_fits(calibration, qubits, backend)
    counts = whole_counts(counts)
    m = len(qubits)
    if counts.ndim != 2 or counts.shape[1] != 1 << m:
        raise InvalidData(
            f"Counts of {m} measured qubits have the shape (batch, {1 << m}), got {counts.shape}."
        )
    empty = np.flatnonzero(counts.sum(axis=1) == 0)
    if len(empty) > 0:
        raise InvalidData(f"Counts have at least one shot in each row, got none in row {empty[0]}.")
    if correction == "distance-3":
        return solve_near(counts, calibration.matrices, qubits)
    matrices = [calibration.matrices[q] for q in qubits]
    quasi = [solve_seen(row / row.sum(), matrices) for row in counts]
    return np.array(quasi).reshape(counts.shape)


def _check_fits(calibration: ReadoutCalibration, qubits: Sequence[int], backend: str) -> None:
    if calibration.backend != backend:
        raise CalibrationMismatch(
            f"A readout calibration fits its own device only: it is of {calibration.backend} "
            f"({calibration.taken_at}), the counts are from {backend}; take one there."
        )
    missing = sorted(set(qubits) - set(calibration.qubits))
    if missing:
        raise CalibrationMismatch(
            f"The readout calibration of {calibration.backend} ({calibration.taken_at}) holds "
            f"qubits {calibration.qubits} and lacks {missing}; calibrate them too."
        )


def _check_method(method: str) -> None:
    if method not in get_args(Method):
        raise InvalidOption(
            f"Readout calibration methods are {', '.join(get_args(Method))}; got {method!r}."
        )


def check_correction(correction: str) -> None:
    """Refuse a value that is no correction.

    Raises:
        InvalidOption: With the list of corrections.
    """
    if correction not in get_args(Correction):
        raise InvalidOption(
            f"Readout corrections are {', '.join(get_args(Correction))}; got {correction!r}."
        )


def _checked_qubits(qubits: Sequence[int], num_device_qubits: int | None) -> tuple[int, ...]:
    found = indices(qubits, "qubits")
    limit = math.inf if num_device_qubits is None else num_device_qubits
    if not found or len(set(found)) != len(found) or not all(0 <= q < limit for q in found):
        device = "" if num_device_qubits is None else f" below {num_device_qubits}"
        raise InvalidOption(
            f"Measured qubits are different physical indices >= 0{device}, got {found}."
        )
    return found


def _check_matrix(qubit: int, matrix: np.ndarray) -> None:
    good = (
        matrix.shape == (2, 2)
        and np.isfinite(matrix).all()
        and (matrix >= 0).all()
        and np.allclose(matrix.sum(axis=0), 1, atol=1e-6)
    )
    if not good:
        raise InvalidData(
            f"The readout matrix of qubit {qubit} must be 2x2, >= 0, with columns that sum to 1, "
            f"got {matrix.tolist()}."
        )


def _check_qubit_shots(given: Mapping[int, int], qubits: Sequence[int], shots: int) -> None:
    whole = all(isinstance(n, int | np.integer) and 1 <= n <= shots for n in given.values())
    if set(given) != set(qubits) or not whole:
        raise InvalidData(
            f"A merged calibration has for each of its qubits {tuple(qubits)} a whole number of shots "
            f"from 1 to all {shots}, got {dict(given)!r:.200}."
        )


def _is_readable(matrix: np.ndarray, shots: float) -> bool:
    """Return True if a readout is right more often than chance explains.

    Args:
        matrix: ``[read, prepared]``.
        shots: Shots of each prepared state.
    """
    contrast = matrix[0, 0] - matrix[0, 1]
    deviation = math.sqrt(
        (matrix[0, 0] * matrix[1, 0] + matrix[0, 1] * matrix[1, 1]) / max(1.0, shots)
    )
    return bool(contrast > max(LEAST_CONTRAST, LEAST_DEVIATIONS * deviation))


def _empty(num_qubits: int, num_clbits: int, name: str) -> QuantumCircuit:
    from qiskit import ClassicalRegister, QuantumRegister

    return QuantumCircuit(
        QuantumRegister(num_qubits, "q"), ClassicalRegister(num_clbits, "meas"), name=name
    )
