"""The engine as Qiskit primitives: an estimator and a sampler that compute exactly, in batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.primitives import (
    BaseEstimatorV2,
    BaseSamplerV2,
    BitArray,
    DataBin,
    PrimitiveJob,
    PrimitiveResult,
    PubResult,
    SamplerPubResult,
)
from qiskit.primitives.containers import EstimatorPubLike, SamplerPubLike
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from ...arguments import of_kind, whole_number, wrong
from ...errors import InvalidData, InvalidOption, QdmError, UnsupportedCircuit
from ..lowering.pauli_sums import as_pauli_sum, observable_key
from .batches import row_slices
from .circuit_cache import BoundRows, CircuitCache, CompiledCircuit, check_finite, measurements

__all__ = [
    "EngineEstimator",
    "EngineSampler",
    "Seed",
    "draw",
    "one_line",
]

Seed = np.random.Generator | int | None


class EngineEstimator(BaseEstimatorV2):
    """Expectation values from the engine, exact up to rounding.

    It takes the PUBs of ``qiskit.primitives.StatevectorEstimator`` and gives results of the same
    shapes. All rows of a PUB run as one batch, PUBs that differ in their observables only as one
    too, and a circuit is compiled once. Errors in a PUB are raised by :meth:`run`, before the job
    starts.

    Args:
        default_precision: Standard deviation of the normal noise that is added to each value where
            neither :meth:`run` nor the PUB names one; 0 for exact values.
        seed: Seed of that noise. An integer gives equal results in equal runs; a generator goes on
            from run to run.
        dtype: ``torch.float64``, or ``torch.float32`` for speed.
        device: Device on which torch computes.
        cache: Compiled circuits, to share them between primitives and gradients; a new one if None.

    Raises:
        InvalidOption: If the precision is negative or not finite, or the dtype is another one.

    >>> from qiskit import QuantumCircuit
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0), bell.cx(0, 1)
    >>> values = EngineEstimator().run([(bell, ["ZZ", "ZI"])]).result()[0].data.evs
    >>> [round(float(value), 6) for value in values]
    [1.0, 0.0]
    """

    def __init__(
        self,
        *,
        default_precision: float = 0.0,
        seed: Seed = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        cache: CircuitCache | None = None,
    ) -> None:
        self._default_precision = _precision(default_precision)
        self._seed = _checked_seed(seed)
        self.dtype, self.device = _dtype(dtype), _device(device)
        self.cache = _cache(cache)

    @property
    def default_precision(self) -> float:
        """Standard deviation of the noise where none is named."""
        return self._default_precision

    @property
    def seed(self) -> Seed:
        """Seed or generator of the noise."""
        return self._seed

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        """Estimate the PUBs' observables.

        Args:
            pubs: ``(circuit, observables[, parameter values[, precision]])``. Shapes of observables
                and values are broadcast against each other as numpy does.
            precision: Value for PUBs that name none; the default precision if None.

        Returns:
            A job. Each result has ``data.evs`` and ``data.stds`` (the PUB's precision, 0 where
            exact) of the PUB's shape.

        Raises:
            InvalidOption: If a precision is negative or not finite.
            InvalidData: If parameters are unbound or not finite, or observables do not fit.
            UnsupportedCircuit: If the engine cannot run a circuit, or it holds measurements.
        """
        pubs = _listed(pubs)
        given = self._default_precision if precision is None else _precision(precision)
        coerced: list[EstimatorPub] = []
        for pub in pubs:
            if isinstance(pub, tuple | list) and len(pub) == 4 and pub[3] is not None:
                _precision(pub[3])
            with one_line("estimator PUB"):
                coerced.append(EstimatorPub.coerce(pub, given))
        tasks, readings = self._prepare(coerced)
        job = PrimitiveJob(self._run, coerced, tasks, readings, _generator(self._seed))
        job._submit()
        return job

    def _prepare(self, pubs: list[EstimatorPub]) -> tuple[list[_Task], list[_Reading]]:
        """Return a task for each circuit and values, and where each PUB finds its results."""
        tasks: dict[Hashable, _Task] = {}
        circuits: dict[int, CompiledCircuit] = {}
        readings = []
        for pub in pubs:
            if id(pub.circuit) not in circuits:
                if pub.circuit.num_clbits and measurements(pub.circuit):
                    raise UnsupportedCircuit(
                        "EngineEstimator takes circuits without measurements, got "
                        f"'{pub.circuit.name}'; call remove_final_measurements()."
                    )
                circuits[id(pub.circuit)] = self.cache.find(pub.circuit)
            compiled = circuits[id(pub.circuit)]
            values = _rows(pub, compiled)
            key = (id(compiled), values.shape, values.tobytes())
            if key not in tasks:
                check_finite(values)
                bound = compiled.bind(pub.circuit, values, self.dtype, self.device)
                tasks[key] = _Task(compiled, bound)
            readings.append(tasks[key].reading(pub))
        return list(tasks.values()), readings

    def _run(
        self,
        pubs: list[EstimatorPub],
        tasks: list[_Task],
        readings: list[_Reading],
        rng: np.random.Generator,
    ) -> PrimitiveResult[PubResult]:
        for task in tasks:
            task.evaluate()
        results = []
        for pub, reading in zip(pubs, readings, strict=True):
            evs = reading.values()
            if pub.precision:
                evs = np.asarray(rng.normal(evs, pub.precision))
            stds = np.full(evs.shape, float(pub.precision))
            results.append(
                PubResult(
                    DataBin(evs=evs, stds=stds, shape=evs.shape),
                    metadata={
                        "target_precision": pub.precision,
                        "circuit_metadata": pub.circuit.metadata,
                    },
                )
            )
        return PrimitiveResult(results, metadata={"version": 2})


@dataclass
class _Task:
    """Rows of one circuit, and all observables that some PUB reads from them."""

    compiled: CompiledCircuit
    bound: BoundRows
    observables: dict[Hashable, SparsePauliOp] = field(default_factory=dict)
    """Observables by content, converted before the job starts: the caller may change them."""
    found: np.ndarray | None = None
    """``(rows, observables)`` once evaluated."""

    def reading(self, pub: EstimatorPub) -> _Reading:
        """Add the PUB's observables, and return where their values will stand."""
        columns = np.zeros(pub.observables.shape, dtype=int)
        places = {key: place for place, key in enumerate(self.observables)}
        for place, observable in np.ndenumerate(pub.observables.sparse_observables_array()):
            key = observable_key(observable)
            if key not in places:
                places[key] = len(places)
                self.observables[key] = as_pauli_sum(observable)
            columns[place] = places[key]
        rows = np.arange(len(self.bound.inputs)).reshape(pub.parameter_values.shape)
        return _Reading(self, *np.broadcast_arrays(rows, columns))

    def evaluate(self) -> None:
        """Run the rows, slice by slice."""
        sums = list(self.observables.values())
        rows = len(self.bound.inputs)
        self.found = np.zeros((rows, len(sums)))
        if not self.found.size:
            return
        with torch.no_grad():
            for chosen in row_slices(rows, self.compiled.num_qubits):
                # States first: too many qubits are refused there, before tables are allocated.
                states = self.bound.statevector(chosen).t()
                tables = self.compiled.tables(sums, list(self.observables))
                values = torch.cat([table.evaluate(states) for table in tables])
                self.found[chosen] = values.t().cpu().numpy()


@dataclass
class _Reading:
    task: _Task
    rows: np.ndarray
    columns: np.ndarray

    def values(self) -> np.ndarray:
        assert self.task.found is not None  # the task has run
        return np.asarray(self.task.found[self.rows, self.columns])


class EngineSampler(BaseSamplerV2):
    """Shots drawn from the engine's exact probabilities.

    It takes the PUBs of ``qiskit.primitives.StatevectorSampler`` and gives one ``BitArray`` for
    each classical register. Every row has shots of its own (Statevector's sampler, seeded, repeats
    the same random numbers in each row).

    Args:
        default_shots: Number of shots where neither :meth:`run` nor the PUB names a number.
        seed, dtype, device, cache: As for :class:`EngineEstimator`.

    Raises:
        InvalidOption: If ``default_shots`` is no positive integer, or the dtype is another one.

    >>> from qiskit import QuantumCircuit
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0), bell.cx(0, 1), bell.measure_all()
    >>> counts = EngineSampler(seed=1).run([bell], shots=100).result()[0].data.meas.get_counts()
    >>> sorted(counts), sum(counts.values())
    (['00', '11'], 100)
    """

    def __init__(
        self,
        *,
        default_shots: int = 1024,
        seed: Seed = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        cache: CircuitCache | None = None,
    ) -> None:
        self._default_shots = _shots(default_shots)
        self._seed = _checked_seed(seed)
        self.dtype, self.device = _dtype(dtype), _device(device)
        self.cache = _cache(cache)

    @property
    def default_shots(self) -> int:
        """Shots where no number is named."""
        return self._default_shots

    @property
    def seed(self) -> Seed:
        """Seed or generator of the shots."""
        return self._seed

    def run(
        self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None
    ) -> PrimitiveJob[PrimitiveResult[SamplerPubResult]]:
        """Sample the PUBs' circuits.

        Args:
            pubs: ``(circuit[, parameter values[, shots]])``; measurements stand at the end.
            shots: Value for PUBs that name none; the default if None.

        Returns:
            A job. Each result's data hold a ``BitArray`` of the PUB's shape for each register.

        Raises:
            InvalidOption: If a number of shots is no positive integer.
            InvalidData: If parameters are unbound or not finite.
            UnsupportedCircuit: If the engine cannot run a circuit.
        """
        pubs = _listed(pubs)
        given = self._default_shots if shots is None else _shots(shots)
        coerced: list[SamplerPub] = []
        for pub in pubs:
            if isinstance(pub, tuple | list) and len(pub) == 3 and pub[2] is not None:
                _shots(pub[2])
            with one_line("sampler PUB"):
                coerced.append(SamplerPub.coerce(pub, given))
        bound = []
        for pub in coerced:
            if not pub.circuit.cregs:
                warnings.warn(
                    f"Circuit '{pub.circuit.name}' has no classical registers, so its result is "
                    "empty; call measure_all().",
                    UserWarning,
                    stacklevel=2,
                )
            compiled = self.cache.find(pub.circuit)
            values = _rows(pub, compiled)
            check_finite(values)
            rows = compiled.bind(pub.circuit, values, self.dtype, self.device)
            bound.append((rows, *_wiring(pub.circuit)))
        job = PrimitiveJob(self._run, coerced, bound, _generator(self._seed))
        job._submit()
        return job

    def _run(
        self,
        pubs: list[SamplerPub],
        bound: list[tuple[BoundRows, list[int], dict[str, list[int | None]]]],
        rng: np.random.Generator,
    ) -> PrimitiveResult[SamplerPubResult]:
        results = []
        for pub, (rows, qubits, registers) in zip(pubs, bound, strict=True):
            outcomes = np.zeros((len(rows.inputs), pub.shots), dtype=np.int64)
            for chosen in row_slices(len(outcomes), rows.program.num_qubits) if qubits else ():
                with torch.no_grad():
                    inputs = rows.inputs[chosen] if rows.columns else None
                    found = rows.program.probabilities(inputs, rows.weights, qubits=qubits)
                probabilities = found.double().cpu().numpy()
                drawn = outcomes[chosen]  # a view
                for row in range(len(drawn)):
                    drawn[row] = draw(probabilities[row % len(found)], pub.shots, rng)
            data = {
                name: _bit_array(outcomes.reshape(*pub.shape, pub.shots), places)
                for name, places in registers.items()
            }
            results.append(
                SamplerPubResult(
                    DataBin(**data, shape=pub.shape),
                    metadata={"shots": pub.shots, "circuit_metadata": pub.circuit.metadata},
                )
            )
        return PrimitiveResult(results, metadata={"version": 2})


def draw(probabilities: np.ndarray, shots: int, rng: np.random.Generator) -> np.ndarray:
    """Draw independent outcomes.

    Args:
        probabilities: ``(outcomes,)``, not negative, with a sum near 1.
        shots: Number to draw.
        rng: Source of the uniform numbers.

    Returns:
        ``(shots,)`` integers, in the order in which they fell; outcomes of probability 0 never do.
    """
    cumulated = np.cumsum(probabilities)
    cumulated /= cumulated[-1]
    return np.searchsorted(cumulated, rng.random(shots), side="right")


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Raise Qiskit's complaints about a value as :class:`~qdm_qiskit.errors.InvalidData`."""
    try:
        yield
    except QdmError:
        raise
    except (TypeError, ValueError, QiskitError) as error:
        raise InvalidData(f"Not a valid {what}: {' '.join(str(error).split())}") from error


def _rows(pub: EstimatorPub | SamplerPub, compiled: CompiledCircuit) -> np.ndarray:
    """Return ``(rows, parameters)`` in the order of ``circuit.parameters``."""
    with one_line("set of parameter values"):
        values = pub.parameter_values.as_array(compiled.parameters)
    return values.reshape(pub.parameter_values.size, len(compiled.parameters))


def _wiring(circuit: QuantumCircuit) -> tuple[list[int], dict[str, list[int | None]]]:
    """Return measured qubits, and the place of each register's bits among them, if measured.

    Read before the job starts: the circuit may change while it runs.
    """
    wires = measurements(circuit)
    qubits = sorted(set(wires.values()))
    places = {bit: qubits.index(qubit) for bit, qubit in wires.items()}
    registers = {
        register.name: [places.get(circuit.find_bit(bit).index) for bit in register]
        for register in circuit.cregs
    }
    return qubits, registers


def _bit_array(outcomes: np.ndarray, places: list[int | None]) -> BitArray:
    """Return a register of ``(..., shots)`` outcomes; bits that are not measured are 0."""
    bits = np.zeros((*outcomes.shape, len(places)), dtype=bool)
    for bit, place in enumerate(places):
        if place is not None:
            bits[..., bit] = (outcomes >> place) & 1
    return BitArray.from_bool_array(bits, order="little")


def _listed(pubs: Any) -> list[Any]:
    """Return PUBs as a list; a circuit by itself would be taken apart into gates."""
    if isinstance(pubs, QuantumCircuit | str) or not isinstance(pubs, Iterable):
        raise wrong(pubs, "pubs", "a list of PUBs", "put a single one into a list")
    return list(pubs)


def _cache(cache: CircuitCache | None) -> CircuitCache:
    if cache is None:
        return CircuitCache()
    of_kind(cache, CircuitCache, "cache")
    return cache


def _device(device: torch.device | str) -> torch.device:
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise wrong(device, "device", "a torch.device, or its name such as 'cpu'") from error


def _generator(seed: Seed) -> np.random.Generator:
    """Return a generator for one job, drawn from a caller's now, since jobs run in threads."""
    if isinstance(seed, np.random.Generator):
        return np.random.default_rng(seed.integers(2**63))
    return np.random.default_rng(seed)


def _precision(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidOption(f"precision is a real number of at least 0, got {value!r}.")
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise InvalidOption(f"precision is finite and at least 0 (exact), got {value!r}.")
    return number


def _shots(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise InvalidOption(f"shots is an integer of at least 1, got {value!r}.")
    return int(value)


def _checked_seed(seed: Any) -> Seed:
    if seed is None or isinstance(seed, np.random.Generator):
        return seed
    if whole_number(seed, "seed") < 0:
        raise InvalidOption(f"seed is at least 0, got {seed!r}.")
    return int(seed)


def _dtype(dtype: torch.dtype) -> torch.dtype:
    if dtype not in (torch.float32, torch.float64):
        raise InvalidOption(f"dtype is float32 or float64 of torch, got {dtype}.")
    return dtype
