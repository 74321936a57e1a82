"""The measured circuits of a spec with free weights, and its outputs from their distributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.transpiler import Target as DeviceTarget
from torch import Tensor

from ...circuits import CircuitSpec
from ...circuits.readouts import ExpectationReadout, ProbabilityReadout
from ...layers.executors import renormalised
from ...mitigation.expectation import (
    MeasurementPlan,
    construct_circuits,
    measurement_plan,
    outcome_values,
)

__all__ = ["Joint", "TrainedReading"]

Joint = Callable[[Tensor, Tensor], Tensor]
"""``(values, angles) -> frequencies``: ``(rows, values)`` and ``(num_weights,)`` float64 to the joint
distribution ``(rows, 2**bits)`` of :attr:`TrainedReading.bits`, differentiable in both."""


@final
@dataclass(frozen=True, eq=False)
class TrainedReading:
    """Circuits that read a spec, and its outputs from what they measure.

    >>> from qdm_qiskit.circuits import eeqdm
    >>> reading = TrainedReading.of(eeqdm(num_data=2, depth=1))
    >>> len(reading.logical_circuits()), reading.bits
    (1, (0, 1, 2))
    """

    spec: CircuitSpec
    plan: MeasurementPlan | None
    """Of its observables; None where it reads probabilities."""

    @classmethod
    def of(cls, spec: CircuitSpec) -> TrainedReading:
        """Return the reading of a spec.

        Raises:
            InvalidData: If an observable cannot be measured.
        """
        if isinstance(spec.readout, ExpectationReadout):
            return cls(spec, measurement_plan(spec.readout.observables))
        return cls(spec, None)

    @property
    def bits(self) -> tuple[int, ...]:
        """Classical bits whose joint distribution is needed, the first least significant."""
        if self.plan is not None:
            return tuple(range(len(self.plan.qubits)))
        assert isinstance(self.spec.readout, ProbabilityReadout)
        return self.spec.readout.measured

    @property
    def read(self) -> tuple[int, ...] | None:
        """Qubits that are read behind the circuit; None where it measures all of them itself."""
        return None if self.plan is None else self.plan.qubits

    @cached_property
    def logical(self) -> QuantumCircuit:
        """The circuit with its loader; measured where it reads probabilities."""
        return self.spec.full_circuit(measure=self.plan is None)

    def logical_circuits(self) -> list[QuantumCircuit]:
        """Return the measured circuits before any device."""
        return self.circuits(self.logical, None)

    def circuits(self, isa: QuantumCircuit, target: DeviceTarget | None) -> list[QuantumCircuit]:
        """Return the measured circuits: one, or one for each basis.

        Args:
            isa: :attr:`logical`, transpiled or not.
            target: The device; None leaves turns into a basis in gates of Qiskit's.
        """
        if self.plan is None:
            return [isa]
        where: Sequence[int] = range(self.spec.num_qubits)
        if isa.layout is not None:
            where = isa.layout.final_index_layout(filter_ancillas=True)
        return construct_circuits(isa, self.plan.on(where), target=target)

    def outputs(self, joints: Sequence[Tensor], rows: int) -> Tensor:
        """Return the outputs from the distribution of each circuit.

        Args:
            joints: ``(rows, 2**bits)`` float64 each.
            rows: Rows of values.

        Returns:
            ``(rows, num_outputs)`` float64.

        Raises:
            InvalidData: If no shot of a row passed the post-selection that outputs are divided by.
        """
        if self.plan is not None:
            found = torch.from_numpy(self.plan.constants).expand(rows, -1)
            for joint, basis in zip(joints, self.plan.bases, strict=True):
                found = found.to(joint) + joint @ torch.from_numpy(outcome_values(basis)).to(joint)
            return found
        readout = self.spec.readout
        assert isinstance(readout, ProbabilityReadout)
        [joint] = joints
        chosen = joint[:, torch.from_numpy(self._selection).to(joint.device)]
        return renormalised(self.spec, chosen) if readout.renormalise else chosen

    @cached_property
    def _selection(self) -> np.ndarray:
        """Position of each output among the outcomes of :attr:`bits`; all others are summed over."""
        readout = self.spec.readout
        assert isinstance(readout, ProbabilityReadout)
        place = {qubit: k for k, qubit in enumerate(self.bits)}
        base = sum(outcome << place[qubit] for qubit, outcome in readout.postselect)
        index = np.arange(readout.num_outputs)
        found = np.full_like(index, base)
        for position, qubit in enumerate(readout.qubits):
            found |= ((index >> position) & 1) << place[qubit]
        return found
