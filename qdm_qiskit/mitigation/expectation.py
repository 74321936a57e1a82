"""Expectation values and their standard errors from measured bits.

``measurement_plan`` -> ``construct_circuits`` -> any sampler -> ``combine_results``. Terms of the
observables that agree qubit by qubit are read from the same shots, so their errors are correlated.
Here each shot first gives one number for each observable, and the spread of those numbers is the
error. IBM's Estimator adds the variances of the terms instead: for the sum of Z over a GHZ state of
8 qubits it reports .28 where values scatter by .92.

TREX (twirled readout error extinction): with random flips before each measurement, undone in its
result, the readout of a Pauli term shrinks by one factor, whatever errors there are and however they
are correlated. A circuit that prepares 0 measures the factor in the same job. Its error is part of
the result's, and so is the scatter between randomizations, whose shots share their flips.

References:
    van den Berg, Minev and Temme, Phys. Rev. A 105, 032620 (2022), for TREX.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target as DeviceTarget

from ..arguments import all_of_kind
from ..errors import InvalidData
from ..transpiling.passes import in_gates_of
from .bit_readout import BitReadout

__all__ = [
    "CHUNK_SHOTS",
    "LEAST_DEVIATIONS",
    "ROUNDING",
    "Basis",
    "MeasurementPlan",
    "Shots",
    "calibration_growth",
    "combine_counts",
    "combine_results",
    "construct_circuits",
    "errors_of_sums",
    "measurement_plan",
    "outcome_values",
    "pack_bits",
]

CHUNK_SHOTS = 1 << 16
"""Number of shots whose signs are held at once."""
ROUNDING = 1e-14
"""Share of an observable's largest coefficient below which another is a rounded 0."""
LEAST_DEVIATIONS = 5.0
"""Standard errors from 0 that a readout's factor needs to be divided by."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Terms that one circuit measures."""

    letters: str
    """``X``, ``Y`` or ``Z`` for each measured qubit; ``I`` where no term needs it, read as Z."""
    masks: np.ndarray
    """``(terms, measured)`` bool: the bits whose parity is the term."""
    weights: np.ndarray
    """``(terms, observables)`` float64: the term's coefficient in each observable."""


@dataclass(frozen=True, eq=False)
class MeasurementPlan:
    """Circuits that measure some observables."""

    qubits: tuple[int, ...]
    """Measured qubits: bit k reads ``qubits[k]``; the same in every circuit."""
    bases: tuple[Basis, ...]
    """Basis of each circuit."""
    constants: np.ndarray
    """``(observables,)``: coefficients of the identity, which needs no measurement."""

    def on(self, qubits: Sequence[int]) -> MeasurementPlan:
        """Return the plan for a circuit that holds qubit k as ``qubits[k]``, as a device's does."""
        return replace(self, qubits=tuple(int(qubits[each]) for each in self.qubits))

    @property
    def squares(self) -> np.ndarray:
        """``(observables,)``: variance of one shot, were the terms independent and all 0."""
        return np.asarray(sum((b.weights**2).sum(axis=0) for b in self.bases))


@dataclass(frozen=True, eq=False)
class Shots:
    """The bits of one job."""

    circuits: tuple[np.ndarray, ...]
    """Arrays ``(rows, shots, bytes)`` uint8, one a basis: the bytes of each shot, most significant
    first, as in Qiskit's ``BitArray``."""
    each: int = 1
    """Shots in a row that share one randomization; 1 where nothing is twirled."""
    calibration: np.ndarray | None = None
    """``(shots, bytes)`` of TREX's circuit that prepares 0, with the same randomizations."""


@dataclass
class _Moments:
    """Sums over clusters of shots, for each observable."""

    clusters: int = 0
    shots: int = 0
    squared_shots: float = 0.0
    first: np.ndarray | float = 0.0
    second: np.ndarray | float = 0.0
    mixed: np.ndarray | float = field(default=0.0)

    def add(self, sums: np.ndarray, each: int) -> None:
        """Add clusters of ``each`` shots with these sums, ``(clusters, observables)``."""
        self.clusters += len(sums)
        self.shots += each * len(sums)
        self.squared_shots += float(each) ** 2 * len(sums)
        self.first = self.first + sums.sum(axis=0)
        self.second = self.second + (sums**2).sum(axis=0)
        self.mixed = self.mixed + each * sums.sum(axis=0)

    @property
    def variance(self) -> np.ndarray:
        """Variance of the mean over all shots, from the spread of clusters of any size."""
        mean = self.first / self.shots
        spread = self.second - 2 * mean * self.mixed + mean**2 * self.squared_shots
        correction = self.clusters / (self.clusters - 1)
        return np.asarray(np.maximum(spread, 0.0) * correction / self.shots**2)


def measurement_plan(observables: Sequence[SparsePauliOp]) -> MeasurementPlan:
    """Group the terms of observables that can be read from the same shots.

    Args:
        observables: Hermitian, on the same number of qubits.

    Returns:
        The plan. Without a term but the identity it has no circuits.

    Raises:
        InvalidData: If there are none, sizes differ, or a coefficient is not a finite real number.
    """
    observables = all_of_kind(observables, SparsePauliOp, "observables")
    sizes = {each.num_qubits for each in observables}
    if len(sizes) != 1:
        raise InvalidData(f"Observables act on the same qubits, got sizes {sorted(sizes)}.")
    [num_qubits] = sizes
    constants = np.zeros(len(observables))
    weights: dict[str, np.ndarray] = {}
    for k, each in enumerate(observables):
        for label, coefficient in _terms(each).items():
            if set(label) <= {"I"}:
                constants[k] += coefficient
            else:
                weights.setdefault(label, np.zeros(len(observables)))[k] += coefficient
    weights = {label: found for label, found in weights.items() if found.any()}
    if not weights:
        return MeasurementPlan((), (), constants)
    from qiskit.quantum_info import PauliList

    terms = PauliList(sorted(weights))
    qubits = tuple(int(q) for q in np.flatnonzero((terms.x | terms.z).any(axis=0)))
    bases = []
    for group in terms.group_commuting(qubit_wise=True):
        z, x = group.z.any(axis=0), group.x.any(axis=0)
        letters = "".join("IZXY"[int(z[q]) + 2 * int(x[q])] for q in qubits)
        bases.append(
            Basis(
                letters=letters,
                masks=np.asarray((group.x | group.z)[:, list(qubits)]),
                weights=np.stack([weights[label] for label in group.to_labels()]),
            )
        )
    assert num_qubits is not None
    return MeasurementPlan(qubits, tuple(bases), constants)


def construct_circuits(
    circuit: QuantumCircuit,
    plan: MeasurementPlan,
    *,
    calibration: bool = False,
    target: DeviceTarget | None = None,
) -> list[QuantumCircuit]:
    """Return the circuits to sample.

    Args:
        circuit: Circuit for the device, without classical bits.
        plan: Of observables on the circuit's qubits.
        calibration: True to add TREX's circuit, which prepares 0, at the end.
        target: The device in whose gates qubits are turned, as some have no ``sx``; by ``rz`` and
            ``sx`` if None.

    Returns:
        For each basis the circuit, turned into it, with the register ``meas``: bit k reads
        ``plan.qubits[k]``. Its parameters are the circuit's.

    Raises:
        UnsupportedCircuit: If the device has no gates that turn one of the qubits.
    """
    found = []
    for basis in plan.bases:
        turn = _empty_like(circuit)
        for qubit, letter in zip(plan.qubits, basis.letters, strict=True):
            if letter == "X":
                turn.rz(np.pi / 2, qubit)
            if letter in "XY":
                turn.sx(qubit)
        if target is not None:
            turn = in_gates_of(turn, target)
        turned = circuit.copy()
        for item in turn.data:
            turned.append(item)
        found.append(_measured(turned, plan.qubits))
    if calibration:
        found.append(_measured(_empty_like(circuit), plan.qubits))
    return found


def combine_results(plan: MeasurementPlan, jobs: Sequence[Shots]) -> tuple[np.ndarray, np.ndarray]:
    """Return expectation values and standard errors from the bits of one or more jobs.

    Args:
        plan: The measured observables.
        jobs: Their bits, all with a calibration or all without; with one, terms are divided by the
            factor that the readout leaves of them.

    Returns:
        Two float64 arrays of shape ``(rows, observables)``. An error is the standard error of its
        value: the spread over shots, or over randomizations, correlations of terms included, and
        the calibration's share. It is 0 where all shots agreed.

    Raises:
        InvalidData: If bits do not fit the plan, there are too few to tell an error, or the readout
            leaves nothing of a term.
    """
    _check_jobs(plan, jobs)
    factors = _Factors(plan, jobs)
    factors.check()
    rows = len(jobs[0].circuits[0])
    values = np.tile(plan.constants, (rows, 1))
    variances = np.zeros_like(values)
    for row in range(rows):
        shares = []
        for number, basis in enumerate(plan.bases):
            scaled = basis.weights / factors.of(basis)[:, None]
            moments, signs = _Moments(), np.zeros(len(basis.masks))
            for job in jobs:
                for sums in _sums(job.circuits[number][row], basis.masks, job.each):
                    moments.add(sums @ scaled, job.each)
                    signs += sums.sum(axis=0)
            values[row] += moments.first / moments.shots
            variances[row] += moments.variance
            means = signs / moments.shots
            shares.append(scaled * (means / factors.of(basis))[:, None])
        variances[row] += factors.variance(np.concatenate(shares))
    return values, np.sqrt(variances)


def outcome_values(basis: Basis) -> np.ndarray:
    """Return the contribution of one shot of each outcome to each observable.

    Args:
        basis: A basis of a plan.

    Returns:
        ``(2**measured, observables)`` float64: the signs of the basis's terms, times their weights.
    """
    outcomes = np.arange(1 << basis.masks.shape[1])
    found = np.zeros((len(outcomes), basis.weights.shape[1]))
    for mask, weights in zip(basis.masks, basis.weights, strict=True):
        bits = int((mask.astype(np.int64) << np.arange(len(mask))).sum())
        odd = np.bitwise_count(outcomes & bits) & 1
        used = np.flatnonzero(weights)
        found[:, used] += (1.0 - 2.0 * odd)[:, None] * weights[used]
    return found


def combine_counts(
    plan: MeasurementPlan,
    counts: Sequence[np.ndarray],
    *,
    corrected: Sequence[np.ndarray] | None = None,
    readout: BitReadout | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return expectation values and standard errors from counts, or from distributions of them.

    As :func:`combine_results` without randomizations, from the counts of the outcomes in place of the
    bits of the shots.

    Args:
        plan: The measured observables.
        counts: For each basis ``(rows, 2**measured)``, two shots at least in each row.
        corrected: The counts as quasi-probabilities with corrected readout errors; values come from
            them.
        readout: With ``corrected``, the readout of the measured qubits.

    Returns:
        Two float64 arrays of shape ``(rows, observables)``. Errors are those of the shots,
        correlations of terms included: the spread of the shots' contributions. Where readout errors
        were corrected, the inverse of the readout acts on a shot's outcome before it is added, so
        that errors grow with the correction, and the calibration's own shots add theirs; see
        :class:`.BitReadout`.

    Raises:
        InvalidData: If counts do not fit the plan, or a row has fewer than two shots.
    """
    wanted = (len(plan.bases), 1 << len(plan.qubits))
    if len(counts) != wanted[0] or any(c.ndim != 2 or c.shape[1] != wanted[1] for c in counts):
        raise InvalidData(
            f"Counts of {wanted[0]} circuits have the shape (rows, {wanted[1]}) each, got "
            f"{[each.shape for each in counts]}."
        )
    rows = len(counts[0]) if counts else 1
    values = np.tile(plan.constants, (rows, 1))
    variances = np.zeros_like(values)
    slopes: np.ndarray | float = 0.0
    for number, basis in enumerate(plan.bases):
        shots = counts[number].sum(axis=1, keepdims=True)
        if (shots < 2).any():
            raise InvalidData("An error needs two shots at least in each row; got fewer.")
        raw = counts[number] / shots
        each = outcome_values(basis)
        if corrected is None:
            mean = raw @ each
            values += mean
        else:
            values += corrected[number] @ each
            if readout is not None:
                slopes = slopes + readout.slopes(each, corrected[number])
                each = readout.through_inverse(each)
            mean = raw @ each
        spread = raw @ each**2 - mean**2
        variances += np.maximum(spread, 0.0) / (shots - 1)
    if readout is not None and isinstance(slopes, np.ndarray):
        variances += readout.variance(slopes)  # one calibration for all bases
    return values, np.sqrt(variances)


def errors_of_sums(
    values: np.ndarray, counts: np.ndarray, readout: BitReadout | None = None
) -> np.ndarray:
    """Return standard errors of means of the shots' contributions.

    Args:
        values: ``(outcomes, sums)``: contribution of a shot of each outcome to each sum.
        counts: ``(rows, outcomes)``, two shots at least in each row.
        readout: The readout of the bits if its errors were corrected: the standard errors grow with
            the correction, and the calibration's own shots add theirs.

    Returns:
        ``(rows, sums)`` float64.
    """
    shots = counts.sum(axis=1, keepdims=True)
    raw = counts / shots
    each = values if readout is None else readout.through_inverse(values)
    spread = raw @ each**2 - (raw @ each) ** 2
    variances = np.maximum(spread, 0.0) / (shots - 1)
    if readout is not None:
        variances += readout.variance(readout.slopes(values, readout.corrected(raw)))
    return np.asarray(np.sqrt(variances))


def calibration_growth(plan: MeasurementPlan, jobs: Sequence[Shots]) -> float:
    """Return the factor of shots that makes every term's remaining signal visible.

    Args:
        plan: The measured observables.
        jobs: Their bits.

    Returns:
        At most 1 where :func:`combine_results` accepts the readout; 0 without calibration.
    """
    _check_jobs(plan, jobs)
    return _Factors(plan, jobs).growth


class _Factors:
    """The share of each term that the readout leaves: 1, or TREX's calibrated factor."""

    def __init__(self, plan: MeasurementPlan, jobs: Sequence[Shots]) -> None:
        self._plan, self._jobs = plan, jobs
        self._masks = np.concatenate([basis.masks for basis in plan.bases])
        self._factors = np.ones(len(self._masks))
        self._errors = np.zeros(len(self._masks))
        self._calibrated = jobs[0].calibration is not None
        if self._calibrated:
            moments = _Moments()
            for sums, each in self._calibrations():
                moments.add(sums, each)
            self._factors = np.asarray(moments.first / moments.shots)
            self._errors = np.sqrt(moments.variance)
        self._known = {m.tobytes(): f for m, f in zip(self._masks, self._factors, strict=True)}

    @property
    def growth(self) -> float:
        """See :func:`calibration_growth`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = LEAST_DEVIATIONS * self._errors / np.abs(self._factors)
        return float(np.where(self._factors == 0, np.inf, ratios).max() ** 2)

    def check(self) -> None:
        """Refuse a readout that leaves nothing of a term that its shots can show."""
        if self.growth <= 1:
            return
        worst = int(np.argmax(self._errors / np.maximum(np.abs(self._factors), 1e-300)))
        qubits = [self._plan.qubits[k] for k in np.flatnonzero(self._masks[worst])]
        raise InvalidData(
            f"The readout leaves {self._factors[worst]:.3g} +- {self._errors[worst]:.2g} of the parity "
            f"of qubits {qubits}, so it cannot be corrected; choose a layout with better readouts, "
            "more shots, or terms of fewer qubits."
        )

    def of(self, basis: Basis) -> np.ndarray:
        """Return the factors of a basis, ``(terms,)``."""
        return np.array([self._known[mask.tobytes()] for mask in basis.masks])

    def variance(self, shares: np.ndarray) -> np.ndarray:
        """Return the calibration's part of the variance.

        Args:
            shares: ``(terms, observables)`` of all bases: change of a value with the relative
                change of a factor, but for the sign, divided by the factor.

        Returns:
            ``(observables,)``.
        """
        if not self._calibrated:
            return np.zeros(shares.shape[1])
        moments = _Moments()
        for sums, each in self._calibrations():
            moments.add(sums @ shares, each)
        return moments.variance

    def _calibrations(self) -> Iterator[tuple[np.ndarray, int]]:
        for job in self._jobs:
            assert job.calibration is not None
            for sums in _sums(job.calibration, self._masks, job.each):
                yield sums, job.each


def _sums(bits: np.ndarray, masks: np.ndarray, each: int) -> Iterator[np.ndarray]:
    """Yield sums of the terms' signs over clusters of shots, some clusters at a time.

    Args:
        bits: ``(shots, bytes)``.
        masks: ``(terms, measured)``.
        each: Shots of a cluster.

    Yields:
        ``(clusters, terms)`` float64.
    """
    packed = pack_bits(masks)
    step = each * max(1, CHUNK_SHOTS // each)
    for start in range(0, len(bits), step):
        chunk = bits[start : start + step]
        sums = np.empty((len(chunk) // each, len(masks)))
        for k, mask in enumerate(packed):
            parity = np.bitwise_count(np.bitwise_xor.reduce(chunk & mask, axis=-1)) & 1
            sums[:, k] = each - 2.0 * parity.reshape(-1, each).sum(axis=-1)
        yield sums


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """Return bits as the bytes of Qiskit's ``BitArray``: most significant byte first.

    Args:
        bits: ``(..., num_bits)`` bool, bit 0 first.

    Returns:
        ``(..., bytes)`` uint8.
    """
    return np.packbits(bits, axis=-1, bitorder="little")[..., ::-1]


def _terms(observable: SparsePauliOp) -> dict[str, float]:
    """Return coefficients by label: equal terms are added, and terms that cancel are left out."""
    try:
        coefficients = np.asarray(observable.coeffs, dtype=np.complex128)
    except (TypeError, ValueError):
        raise InvalidData(
            "Coefficients of an observable are numbers, got free parameters; assign them first."
        ) from None
    if not np.isfinite(coefficients).all():
        raise InvalidData("Coefficients of an observable are finite, got NaN or infinity.")
    largest = float(np.abs(coefficients).max(initial=0.0))
    sums: dict[str, complex] = {}
    for label, coefficient in zip(
        observable.paulis.to_labels(), coefficients.tolist(), strict=True
    ):
        sums[label] = sums.get(label, 0.0) + coefficient
    for label, coefficient in sums.items():
        if abs(coefficient.imag) > 1e-12 * max(1.0, largest):
            raise InvalidData(
                f"An observable is Hermitian, with real coefficients, got {coefficient} for {label}."
            )
    return {label: c.real for label, c in sums.items() if abs(c.real) > ROUNDING * largest}


def _empty_like(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit without gates on the same qubits, with or without registers."""
    return QuantumCircuit(circuit.qubits, *circuit.qregs)


def _measured(circuit: QuantumCircuit, qubits: Sequence[int]) -> QuantumCircuit:
    circuit.barrier(*qubits)
    circuit.add_register(ClassicalRegister(len(qubits), "meas"))
    circuit.measure(list(qubits), range(len(qubits)))
    return circuit


def _check_jobs(plan: MeasurementPlan, jobs: Sequence[Shots]) -> None:
    if not plan.bases:
        raise InvalidData("Observables of the identity alone have no bits to combine.")
    width = -(-len(plan.qubits) // 8)
    calibrated = {job.calibration is not None for job in jobs}
    good = len(jobs) > 0 and len(calibrated) == 1
    shapes = [bits.shape for job in jobs for bits in job.circuits]
    for job in jobs:
        arrays = [*job.circuits, *(() if job.calibration is None else (job.calibration[None],))]
        good = good and len(job.circuits) == len(plan.bases)
        good = good and all(a.ndim == 3 and a.shape[2] == width for a in arrays)
        good = good and all(a.shape[1] % job.each == 0 and a.shape[1] > 0 for a in arrays)
    if not good or len({shape[0] for shape in shapes}) != 1:
        raise InvalidData(
            f"Bits of {len(plan.bases)} circuits with {len(plan.qubits)} measured qubits have the "
            f"shape (rows, shots, {width}), in whole randomizations, got {shapes[:4]}."
        )
    for arrays in zip(*(job.circuits for job in jobs), strict=True):
        if sum(a.shape[1] // job.each for a, job in zip(arrays, jobs, strict=True)) < 2:
            raise InvalidData("An error needs two shots, or two randomizations, at least; got 1.")
