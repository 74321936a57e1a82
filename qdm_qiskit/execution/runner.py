"""One interface for every target that runs circuits."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from qiskit.providers import BackendV2

from ..rng import derived_seed
from .counts import Pub, checked_pubs, checked_shots
from .delays import in_rows_of_one_length

__all__ = [
    "PACKAGES",
    "CircuitRunner",
]

PACKAGES = ("qiskit", "qiskit-aer", "qiskit-ibm-runtime")
"""The packages whose versions explain a result of this folder."""


class CircuitRunner(ABC):
    """Runs batches of measured circuits with finite shots.

    Shots are drawn from the run's seed: call ``k`` uses ``derived_seed(seed, "shots", k)``, so two
    runners with one seed give the same results call by call, and no two calls share shot noise.

    Args:
        target: The target string, for messages and metadata.
        backend: The backend to transpile for (``transpiling.passes.transpile_for``).
        seed: The run's seed, an integer >= 0.
    """

    def __init__(self, target: str, backend: BackendV2, *, seed: int) -> None:
        self.target = target
        self.backend = backend
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Forget all runs: the next call is the first of a run with this seed, and counts as such.

        Raises:
            InvalidOption: If the seed is not an integer >= 0.
        """
        derived_seed(seed, "shots", 0)  # refuses a bad seed now instead of at the first run
        self.seed = seed
        self._calls = 0
        self._circuits = 0
        self._shots: int | None = None
        self._total_shots = 0
        self._seconds = 0.0

    def run(self, pubs: Sequence[Pub], *, shots: int, seed: int | None = None) -> list[np.ndarray]:
        """Run all circuits with all their values, as one job.

        Args:
            pubs: Pairs of a circuit and its ``(batch, num_parameters)`` values in radians, columns
                in the order of ``circuit.parameters``. A circuit comes from ``transpile_for`` for
                this runner's backend, with one classical register.
            shots: Shots for each row, at least 1.
            seed: Seed of this job's shots, for callers whose jobs may be repeated or left out, so
                that a job's number does not count; by default call ``k`` takes its own as above.

        Returns:
            For each pub int64 counts of shape ``(batch, 2**num_clbits)``; the index is the integer
            of the bit string, classical bit 0 least significant.

        Raises:
            InvalidOption: If shots are below 1.
            InvalidData: If values have a wrong shape or are not finite.
            UnsupportedCircuit: If a circuit was not transpiled for the backend, or has more or
                fewer than one classical register.
        """
        shots = checked_shots(shots)
        checked = checked_pubs(pubs)
        if seed is None:
            seed = derived_seed(self.seed, "shots", self._calls)
        start = time.perf_counter()
        parts = [in_rows_of_one_length(circuit, values) for circuit, values in checked]
        counts = self._execute([pub for pubs in parts for pub in pubs], shots, seed)
        counts = [np.concatenate([counts.pop(0) for _ in pubs]) for pubs in parts]
        self._seconds += time.perf_counter() - start
        rows = sum(len(values) for _, values in checked)
        self._calls += 1
        self._circuits += rows
        self._shots = shots
        self._total_shots += rows * shots
        return counts

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the record of the results so far, ready for JSON.

        Keys: ``target``, ``backend``, ``jobs``, ``circuits`` (bound circuits run), ``shots`` (of
        the last job), ``total_shots``, ``seconds``, ``seed``, ``options`` (as resolved),
        ``versions``.
        """
        return {
            "target": self.target,
            "backend": self.backend.name,
            "jobs": self._calls,
            "circuits": self._circuits,
            "shots": self._shots,
            "total_shots": self._total_shots,
            "seconds": round(self._seconds, 6),
            "seed": int(self.seed),
            "options": dict(self._options()),
            "versions": {package: version(package) for package in PACKAGES},
        }

    @abstractmethod
    def _execute(self, pubs: list[Pub], shots: int, seed: int) -> list[np.ndarray]:
        """Run checked pubs as one job with one seed."""

    @abstractmethod
    def _options(self) -> Mapping[str, Any]:
        """The resolved options that shape a result, ready for JSON."""
