"""A runner whose circuits are rewritten before they run, and which remembers what it ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from qiskit import QuantumCircuit

from .counts import Pub
from .runner import CircuitRunner

__all__ = ["Executed", "RewrittenRunner"]


@dataclass(frozen=True, eq=False)
class Executed:
    """A circuit that ran."""

    circuit: QuantumCircuit
    """The circuit, as it was handed to the device."""
    rows: int
    """Rows of values."""
    shots: int
    """Shots of each row."""


@final
class RewrittenRunner(CircuitRunner):
    """Another runner, before which circuits are rewritten and after which counts are read anew.

    Dynamical decoupling is such a rewriting, and a check of each shot is one with new counts.

    Args:
        inner: The runner; its calls, seeds and backend are this one's.
        rewrite: Makes the circuit that runs of a transpiled one; of equal bits, unless ``read`` undoes
            it. None changes nothing.
        read: Makes the counts ``(batch, 2**num_clbits)`` of the transpiled circuit of those that came
            back. None changes nothing.
        told: Rewriting in words, for the metadata.
    """

    def __init__(
        self,
        inner: CircuitRunner,
        *,
        rewrite: Callable[[QuantumCircuit], QuantumCircuit] | None = None,
        read: Callable[[np.ndarray], np.ndarray] | None = None,
        told: str = "",
    ) -> None:
        super().__init__(inner.target, inner.backend, seed=inner.seed)
        self.inner = inner
        self.executed: list[Executed] = []
        """Everything that ran, calibrations too."""
        self._rewrite, self._told = rewrite, told
        self._read = read
        self._known: dict[int, tuple[QuantumCircuit, QuantumCircuit]] = {}

    @property
    def changes_counts(self) -> bool:
        """True if counts are read anew, so that shots may have been dropped."""
        return self._read is not None

    def rewritten(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit that runs in the place of another; each is rewritten once."""
        if self._rewrite is None:
            return circuit
        if id(circuit) not in self._known:  # a kept circuit keeps its id
            self._known[id(circuit)] = circuit, self._rewrite(circuit)
        return self._known[id(circuit)][1]

    def _execute(self, pubs: list[Pub], shots: int, seed: int) -> list[np.ndarray]:
        ready = [(self.rewritten(circuit), values) for circuit, values in pubs]
        found = self.inner.run(ready, shots=shots, seed=seed)
        self.executed += [Executed(circuit, len(values), shots) for circuit, values in ready]
        return found if self._read is None else [self._read(each) for each in found]

    def _options(self) -> Mapping[str, Any]:
        told = {"rewritten": self._told} if self._told else {}
        return {**self.inner._options(), **told}
