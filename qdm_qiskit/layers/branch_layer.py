"""Circuit with measured ancillas, whose outcomes are all kept, with weights for each time step."""

from __future__ import annotations

from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from ..arguments import of_kind
from ..circuits.composition import Part
from ..circuits.readouts import ProbabilityReadout
from ..circuits.spec import WAY_TO_SPEC, CircuitSpec
from ..engine import compile_circuit
from ..errors import InvalidData, InvalidOption
from .arrays import to_exact_array
from .state_calls import StateCalls

__all__ = [
    "BranchLayer",
]


@final
class BranchLayer(nn.Module):
    """Circuit on states and fresh ancillas, which gives the states of each ancilla outcome.

    Args:
        spec: The circuit: amplitude-encoded without inputs, its data qubits below its ancillas.
        num_rows: Rows of the table of weights, such as time steps, at least 1.
        init_std: Standard deviation of the normal initial weights, at least 0.
        generator: Source of the initial weights; torch's default if None.

    Raises:
        InvalidOption: If the spec is another one, a count is below 1 or ``init_std`` negative.
    """

    repeats = 1
    """Runs of the circuit with one row of weights."""

    def __init__(
        self,
        spec: CircuitSpec,
        num_rows: int,
        *,
        init_std: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        of_kind(spec, CircuitSpec, "spec", WAY_TO_SPEC)
        if spec.encoding != "amplitude" or spec.inputs:
            raise InvalidOption(f"BranchLayer takes states and no inputs; '{spec.name}' does not.")
        if spec.data_qubits != tuple(range(len(spec.data_qubits))):
            raise InvalidOption(
                f"BranchLayer wants data qubits below the ancillas, got {spec.data_qubits}."
            )
        if num_rows < 1 or not init_std >= 0:
            raise InvalidOption(
                f"BranchLayer needs num_rows >= 1 and init_std >= 0, got {num_rows=}, {init_std=}."
            )
        self.spec = spec
        self.asked: StateCalls | None = None  # while a target answers
        self.program = compile_circuit(spec.circuit, weights=spec.weights)
        size = (num_rows, len(spec.weights))
        self.weights = nn.Parameter(init_std * torch.randn(size, generator=generator))

    def part(self, row: int, *, postselect: bool = False) -> Part:
        """Return the circuit with a row of the table, as a part of a chain.

        Args:
            row: Of the table, from 0.
            postselect: Keep outcome 0 of all ancillas; otherwise a chain records outcomes.
        """
        chosen = tuple((q, 0) for q in self.spec.ancilla_qubits) if postselect else ()
        readout = ProbabilityReadout(qubits=self.spec.data_qubits, postselect=chosen)
        return Part(replace(self.spec, readout=readout), to_exact_array(self.weights[row]))

    def forward(self, states: Tensor, rows: Tensor) -> Tensor:
        """Return unnormalised states of each outcome; their squared norms are its probabilities.

        Args:
            states: ``(batch, 2**n)`` complex with norm 1.
            rows: ``(batch,)`` int64: the row of the table for each state.

        Returns:
            ``(batch, 2**ancillas, 2**n)``, the first ancilla the least significant bit of an outcome.

        Raises:
            InvalidData: If the states have another shape or are not complex.
        """
        width = self.spec.num_amplitudes
        if states.ndim != 2 or states.shape[1] != width or not states.is_complex():
            raise InvalidData(
                f"'{self.spec.name}' takes complex states of shape (batch, {width}), got "
                f"{tuple(states.shape)} and {states.dtype}."
            )
        if self.asked is not None:
            return self.asked.branches(self.spec, states, self.weights[rows].detach().double())
        whole = self.program.statevector(
            None, self.weights, states, initial_qubits=self.spec.data_qubits, weight_rows=rows
        )
        return whole.reshape(len(states), -1, width)
