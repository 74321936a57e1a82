"""A target of circuit calls on Aer, small enough to be read: counts, selected by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qdm_qiskit.circuits import ProbabilityReadout
from qdm_qiskit.execution.calls import CallResult, CircuitCall
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.transpiling.passes import select_values, transpile_for


class AerTarget:
    """Answers calls that read probabilities."""

    def __init__(self, name: str = "aer", seed: int = 0) -> None:
        self.runner = make_runner(name, seed=seed)
        self.qubits: list[int] = []

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """See :class:`.CallTarget`."""
        pubs = []
        for call in calls:
            isa = transpile_for(call.circuit, self.runner.backend, level=1, seed=0)
            self.qubits.append(len({q for item in isa.data for q in item.qubits}))
            pubs.append((isa, select_values(call.values, call.circuit, isa)))
        assert calls[0].shots is not None
        counts = self.runner.run(pubs, shots=calls[0].shots)
        return [self._read(*each) for each in zip(calls, counts, strict=True)]

    def _read(self, call: CircuitCall, counts: np.ndarray) -> CallResult:
        readout = call.spec.readout
        assert isinstance(readout, ProbabilityReadout)
        shares = counts / counts.sum(axis=1, keepdims=True)
        outputs = shares[:, readout.selection(call.spec.num_qubits)].sum(axis=2)
        return CallResult(outputs=outputs, kept=outputs.sum(axis=1))
