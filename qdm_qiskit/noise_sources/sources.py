"""Noise sources of this package: circuits that are measured, and files of measured bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Statevector

from ..archives import Headers, read_arrays
from ..errors import InvalidData, InvalidOption, MissingData
from ..rng import derived_seed
from .extractors import extractable, toeplitz_hash, von_neumann
from .source import NoiseSource
from .walks import walk_circuit, walk_distribution

__all__ = [
    "BLOCK",
    "MOST_BITS",
    "HaarSource",
    "HadamardSource",
    "MeasuredSource",
    "WalkSource",
    "haar_circuit",
    "hashed_bits",
]

BLOCK = 512
"""Outcomes that are hashed together."""
MOST_BITS = 2**26
"""Most measured bits of a file: about a million images of 64 pixels take so many."""
QUBITS = 8
_NO_BITS = "; take another circuit or another device"


def hashed_bits(
    distribution: np.ndarray, count: int, rng: np.random.Generator, what: str
) -> np.ndarray:
    """Return uniform bits from blocks of independent outcomes of a known distribution.

    Args:
        distribution: ``(outcomes,)`` with a power of two outcomes.
        count: At most this many bits are returned; one block gives :func:`.extractable` ones.
        rng: Draws the outcomes and the hash.
        what: The source, for messages.

    Raises:
        InvalidData: If an outcome is so likely that a block holds no bit.
    """
    width = len(distribution).bit_length() - 1
    entropy = -math.log2(min(1.0, float(distribution.max())))
    each = extractable(BLOCK * entropy)
    if not each:
        raise InvalidData(
            f"An outcome of {what} has {entropy:.3g} bits of min-entropy, of which a block of {BLOCK} "
            f"leaves none{_NO_BITS}."
        )
    weights = distribution / distribution.sum()
    parts, left = [], count
    while left > 0:
        outcomes = rng.choice(len(weights), size=BLOCK, p=weights)
        raw = ((outcomes[:, None] >> np.arange(width)) & 1).astype(np.uint8).ravel()
        parts.append(toeplitz_hash(raw, min(each, left), rng))
        left -= len(parts[-1])
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint8)


@final
class HadamardSource(NoiseSource):
    """Hadamard gates, measured: fair coins, or those of a device after von Neumann's rule.

    Args:
        device: Name of a device through whose noise, readout errors of both kinds among them, the
            coins are simulated; "" for ideal ones, which need no extraction.

    Raises:
        UnknownName: If there is no such device.
    """

    name = "hadamard"
    simulated = True

    def __init__(self, device: str = "") -> None:
        self.device = device
        self.chances = np.full(QUBITS, 0.5) if not device else _coins_of(device)
        """``(qubits,)``: the chance that each coin is read as 1."""

    def bits(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """See :meth:`.NoiseSource.bits`."""
        if not self.device:
            return rng.integers(0, 2, count, dtype=np.uint8)
        return _unbiased(lambda shots: rng.random((shots, QUBITS)) < self.chances, count, "coins")

    def record(self) -> dict[str, Any]:
        """See :meth:`.NoiseSource.record`."""
        if not self.device:
            return {**super().record(), "extractor": "none"}
        chances = [round(float(each), 6) for each in self.chances]
        return {
            **super().record(),
            "device": self.device,
            "extractor": "von neumann",
            "read_as_1": chances,
        }


@final
class HaarSource(NoiseSource):
    """Circuits of Haar-random two-qubit gates, measured and hashed; a fresh circuit for each block.

    The hash takes what the likeliest outcome of each circuit leaves.

    Args:
        qubits: Qubits, 2 to 12, as text or number.
    """

    name = "haar"
    simulated = True

    def __init__(self, qubits: str | int = QUBITS) -> None:
        self.qubits = _whole(qubits, "haar", 2, 12)

    def bits(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """See :meth:`.NoiseSource.bits`."""
        parts, left = [np.zeros(0, dtype=np.uint8)], count
        while left > 0:
            state = Statevector(haar_circuit(self.qubits, self.qubits, rng))
            found = state.probabilities()
            most = max(1, extractable(BLOCK * -math.log2(found.max())))
            parts.append(hashed_bits(found, min(left, most), rng, "a random circuit"))
            left -= len(parts[-1])
        return np.concatenate(parts)

    def record(self) -> dict[str, Any]:
        """See :meth:`.NoiseSource.record`."""
        return {**super().record(), "qubits": self.qubits, "extractor": "toeplitz"}


@final
class WalkSource(NoiseSource):
    """Places of a quantum walk on a ring of 16, measured and hashed; ``walk:STEPS,DECOHERENCE``.

    Args:
        options: Steps, 1 to 10000, and the chance of a measurement after each; 9 and 0 if left out.
            On a ring of even size a walk is on even places after an even number of steps.
    """

    name = "walk"
    simulated = True

    def __init__(self, options: str = "") -> None:
        first, _, second = options.partition(",")
        self.steps = _whole(first or 9, "walk", 1, 10_000)
        try:
            self.decoherence = float(second or 0.0)
        except ValueError:
            self.decoherence = math.nan
        if not 0 <= self.decoherence <= 1:
            raise InvalidOption(f"walk:STEPS,DECOHERENCE has a chance from 0 to 1, got {second!r}.")
        self.distribution = walk_distribution(16, self.steps, self.decoherence)
        """``(16,)``: the chance of each place."""

    @property
    def circuit(self) -> QuantumCircuit:
        """The walk without decoherence as a circuit, for a device."""
        return walk_circuit(4, self.steps)

    def bits(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """See :meth:`.NoiseSource.bits`."""
        return hashed_bits(self.distribution, count, rng, f"a walk of {self.steps} steps")

    def record(self) -> dict[str, Any]:
        """See :meth:`.NoiseSource.record`."""
        return {
            **super().record(),
            "steps": self.steps,
            "decoherence": self.decoherence,
            "extractor": "toeplitz",
        }


def _check_headers(headers: Headers) -> None:
    """Refuse what is no table of bits, or a larger one than is read, before it is unpacked."""
    for each in headers.values():
        if each.ndim != 2 or each.dtype.kind not in "biu" or 0 in each.shape:
            raise InvalidData(
                "it holds an array 'bits' of whole numbers and shape (shots, qubits), got "
                f"{each.dtype} of shape {each.shape}"
            )
        if math.prod(each.shape) > MOST_BITS:
            raise InvalidData(f"it has {math.prod(each.shape)} bits; at most {MOST_BITS} are read")


@final
class MeasuredSource(NoiseSource):
    """Bits that a device has measured, from an ``.npz`` file, after von Neumann's rule.

    Args:
        path: File with an array ``bits``, ``(shots, qubits)`` of 0 and 1: shots in their order. Each
            qubit has a bias of its own and shots are taken as independent.

    Raises:
        MissingData: If there is no such file.
        InvalidData: If it holds no such array.
    """

    name = "measured"
    simulated = False

    def __init__(self, path: str | Path = "") -> None:
        if not str(path):
            raise InvalidOption("measured:PATH names an .npz file with an array 'bits'.")
        self.path = Path(path)
        if not self.path.is_file():
            raise MissingData(f"There is no file of measured bits '{self.path}'.")
        try:
            table = read_arrays(self.path, ["bits"], foreign=True, check=_check_headers).get("bits")
        except InvalidData as error:
            raise InvalidData(f"'{self.path}' cannot be read: {error}.") from error
        if table is None:
            raise InvalidData(f"'{self.path}' holds no array 'bits' of shape (shots, qubits).")
        if table.min() < 0 or table.max() > 1:
            raise InvalidData(f"Bits in '{self.path}' are 0 or 1, got {table.max()}.")
        self.raw = table.astype(np.uint8)
        self._fair = np.concatenate([von_neumann(each) for each in self.raw.T])
        self._used = 0

    @property
    def left(self) -> int:
        """Number of uniform bits that are left."""
        return len(self._fair) - self._used

    def bits(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """See :meth:`.NoiseSource.bits`; no bit is given twice by one object.

        Raises:
            InvalidData: If fewer bits are left.
        """
        if count > self.left:
            raise InvalidData(
                f"'{self.path}' has {self.left} uniform bits left of {self.raw.size} measured, and "
                f"{count} are asked for; measure more shots, or take fewer steps."
            )
        found = self._fair[self._used : self._used + count]
        self._used += count
        return found

    def record(self) -> dict[str, Any]:
        """See :meth:`.NoiseSource.record`."""
        return {
            **super().record(),
            "extractor": "von neumann",
            "measured_bits": int(self.raw.size),
            "uniform_bits": len(self._fair),
        }


def haar_circuit(num_qubits: int, depth: int, rng: np.random.Generator) -> QuantumCircuit:
    """Return layers of Haar-random gates on neighbours, even and odd pairs in turn."""
    circuit = QuantumCircuit(num_qubits, name="haar")
    for layer in range(depth):
        for low in range(layer % 2 if num_qubits > 2 else 0, num_qubits - 1, 2):
            parts = rng.normal(size=(2, 4, 4))
            q, r = np.linalg.qr(parts[0] + 1j * parts[1])
            phases = np.diag(r) / np.abs(np.diag(r))
            circuit.append(UnitaryGate(q * phases), [low, low + 1])
    return circuit


def _unbiased(draw: Callable[[int], np.ndarray], count: int, what: str) -> np.ndarray:
    """Return von Neumann's bits of each column of drawn tables."""
    parts, found = [np.zeros(0, dtype=np.uint8)], 0
    while found < count:
        table = draw(max(64, (count - found) * 4 // QUBITS)).astype(np.uint8)
        fair = np.concatenate([von_neumann(each) for each in table.T])
        if not len(fair):
            raise InvalidData(f"All {what} fall on one side and hold no randomness{_NO_BITS}.")
        parts.append(fair)
        found += len(fair)
    return np.concatenate(parts)[:count]


def _coins_of(device: str) -> np.ndarray:
    """Return the chance of reading 1 of Hadamard gates on a device, each qubit by itself."""
    from ..engine.noise import compile_noisy
    from ..execution.aer_circuits import for_aer
    from ..execution.devices import as_backend
    from ..execution.region import ReadoutErrors, active_qubits, has_own_noise, noise_of
    from ..transpiling.passes import transpile_for

    backend = as_backend(device)
    count = min(QUBITS, backend.num_qubits)
    logical = QuantumCircuit(count, count)
    logical.h(range(count))
    logical.measure(range(count), range(count))
    isa = transpile_for(logical, backend, level=1, seed=derived_seed(0, "transpiler"))
    kind: ReadoutErrors = "mean" if has_own_noise(backend) else "asymmetric"
    noise = noise_of(backend, active_qubits([isa]), readout=kind)
    program = compile_noisy(for_aer(isa, labels=False), noise, method="density")
    chances = [float(program.probabilities(qubits=[q])[0, 1]) for q in program.measured]
    return np.resize(np.array(chances), QUBITS)


def _whole(given: str | int, name: str, least: int, most: int) -> int:
    try:
        number = int(given)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise InvalidOption(f"{name} takes a whole number from {least} to {most}, got {given!r}.")
    return number
