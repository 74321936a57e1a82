"""Circuits that take complex states to complex states, with weights of their own for each time step."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ..arguments import of_kind
from ..circuits.composition import Part
from ..circuits.readouts import ProbabilityReadout
from ..circuits.spec import WAY_TO_SPEC, CircuitSpec
from ..diffusion.states import unit_states
from ..engine import compile_circuit
from ..errors import InvalidData, InvalidOption
from .arrays import to_exact_array
from .state_calls import StateCalls

__all__ = [
    "MAX_REPEATED_QUBITS",
    "OWN_WEIGHTS_BELOW",
    "StateLayer",
]

OWN_WEIGHTS_BELOW = 2**15
"""Amplitudes of all columns together up to which a batch where every column has weights of its own
runs faster than one run for each row of the table."""
MAX_REPEATED_QUBITS = 7
"""Qubits of the largest repeated circuit: its unitary is built for each repetition."""


@final
class StateLayer(nn.Module):
    """A circuit with a table of weights, from states to post-selected, renormalised states.

    The circuit and its projection are one linear map for each row of the table (and each set of
    inputs). Where a batch holds more states than that map has columns, the map is computed once and
    multiplied; otherwise the states run through the circuit. Both give the same.

    Args:
        spec: The circuit: amplitude-encoded, with a probability readout of its data qubits, whose
            post-selection is the projection.
        num_rows: Rows of the table, such as time steps, at least 1.
        repeats: Times that the circuit is applied before the projection, each with weights of its
            own; at least 1.
        init_std: Standard deviation of the normal initial weights, at least 0.
        generator: Source of the initial weights; torch's default if None.

    Raises:
        InvalidOption: If a count is below 1 or ``init_std`` negative, the spec does not read states,
            or a repeated circuit has inputs or more than 7 qubits.
    """

    def __init__(
        self,
        spec: CircuitSpec,
        num_rows: int,
        *,
        repeats: int = 1,
        init_std: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        of_kind(spec, CircuitSpec, "spec", WAY_TO_SPEC)
        if num_rows < 1 or repeats < 1 or not init_std >= 0:
            raise InvalidOption(
                "StateLayer needs num_rows >= 1, repeats >= 1 and init_std >= 0, "
                f"got {num_rows=}, {repeats=}, {init_std=}."
            )
        readout = spec.readout
        if (
            spec.encoding != "amplitude"
            or not isinstance(readout, ProbabilityReadout)
            or readout.qubits != spec.data_qubits
            or len(readout.qubits) + len(readout.postselect) != spec.num_qubits
        ):
            raise InvalidOption(
                f"StateLayer takes amplitudes and reads the same qubits, all others post-selected; "
                f"'{spec.name}' does not."
            )
        if repeats > 1 and (spec.inputs or spec.num_qubits > MAX_REPEATED_QUBITS):
            raise InvalidOption(
                f"A repeated circuit has no inputs and at most {MAX_REPEATED_QUBITS} qubits, got "
                f"{len(spec.inputs)} inputs and {spec.num_qubits} qubits in '{spec.name}'."
            )
        self.spec = spec
        self.repeats = repeats
        self.asked: StateCalls | None = None  # while a target answers
        self.postselect = dict(readout.postselect)
        self.program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
        size = (num_rows, repeats * len(spec.weights))
        self.weights = nn.Parameter(init_std * torch.randn(size, generator=generator))

    @property
    def num_amplitudes(self) -> int:
        """Length of a state."""
        return self.spec.num_amplitudes

    def forward(self, states: Tensor, rows: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Return denoised states.

        Args:
            states: ``(batch, 2**n)`` complex, of any non-zero norm.
            rows: ``(batch,)`` int64: the row of the table for each state.
            inputs: ``(batch, num_inputs)`` angles in radians, where the circuit has inputs.

        Returns:
            ``(batch, 2**n)`` complex with norm 1, differentiable in states and weights.

        Raises:
            InvalidData: If a shape or dtype does not fit, a row does not exist, or a state or what is
                left of it after the projection is zero.
        """
        self._check(states, rows, inputs)
        if self.asked is not None:
            return self.asked.states([self], states, rows, inputs)
        states = unit_states(states)
        keys = rows.unsqueeze(1).to(torch.float64)
        if inputs is not None:
            keys = torch.cat([keys, inputs.detach().to(torch.float64)], dim=1)
        found, group = torch.unique(keys, dim=0, return_inverse=True)
        if self.repeats == 1 and len(found) * self.num_amplitudes >= len(states):
            return unit_states(self._run(states, rows, inputs))
        own = None if inputs is None else found[:, 1:].to(inputs.dtype)
        maps = self.linear_maps(found[:, 0].to(torch.int64), own)
        return unit_states((maps[group] @ states.unsqueeze(2)).squeeze(2))

    def part(self, row: int) -> Part:
        """Return the circuit with a row of the table, as a part of a chain.

        Args:
            row: Of the table, from 0.
        """
        return Part(self.spec, to_exact_array(self.weights[row]), repeats=self.repeats)

    def linear_maps(self, rows: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Return circuit and projection as matrices, not renormalised.

        Args:
            rows: ``(count,)`` int64: rows of the table.
            inputs: ``(count, num_inputs)`` angles, where the circuit has inputs.

        Returns:
            ``(count, 2**n, 2**n)`` complex, to be multiplied from the left.
        """
        if self.repeats > 1:
            return self._repeated_maps(rows)
        size = self.num_amplitudes
        columns = torch.eye(size, dtype=self.weights.dtype, device=self.weights.device)
        own = None if inputs is None else inputs.repeat_interleave(size, dim=0)
        states = columns.repeat(len(rows), 1)
        found = self._run(states, rows.repeat_interleave(size), own)
        return found.reshape(len(rows), size, size).transpose(1, 2)

    def _run(self, states: Tensor, rows: Tensor, inputs: Tensor | None) -> Tensor:
        """Return projected states, not renormalised, from one pass through the circuit."""
        weights: Tensor = self.weights
        chosen = rows if len(weights) > 1 else None
        if chosen is None:
            weights = weights[0]
        elif len(states) * 2**self.spec.num_qubits <= OWN_WEIGHTS_BELOW:
            weights, chosen = weights[rows], None
        return self.program.statevector(
            inputs,
            weights,
            states,
            initial_qubits=self.spec.data_qubits,
            weight_rows=chosen,
            postselect=self.postselect,
        )

    def _repeated_maps(self, rows: Tensor) -> Tensor:
        """As :meth:`linear_maps`: the unitaries of all repetitions at once, then their product."""
        size, count = 2**self.spec.num_qubits, len(rows) * self.repeats
        weights = self.weights[rows].reshape(count, -1)
        columns = torch.eye(size, dtype=weights.dtype, device=weights.device).repeat(count, 1)
        states = self.program.statevector(None, weights.repeat_interleave(size, dim=0), columns)
        # Transposed: a unitary's columns are the states' rows, so products run from left to right.
        product = states.reshape(len(rows), self.repeats, size, size)
        while product.shape[1] > 1:
            pairs = product.shape[1] // 2 * 2
            paired = product[:, 0:pairs:2] @ product[:, 1:pairs:2]
            product = torch.cat([paired, product[:, pairs:]], dim=1)
        positions = torch.as_tensor(self.spec.data_positions(), device=weights.device)
        kept = positions + sum(outcome << qubit for qubit, outcome in self.postselect.items())
        return product[:, 0][:, positions][:, :, kept].transpose(1, 2)

    def _check(self, states: Tensor, rows: Tensor, inputs: Tensor | None) -> None:
        of_kind(states, Tensor, "states", "torch.as_tensor makes one")
        of_kind(rows, Tensor, "rows", "torch.as_tensor makes one")
        if inputs is not None:
            of_kind(inputs, Tensor, "inputs", "torch.as_tensor makes one")
        if states.ndim != 2 or states.shape[1] != self.num_amplitudes or not states.is_complex():
            raise InvalidData(
                f"States have shape (batch, {self.num_amplitudes}) and are complex, got "
                f"{tuple(states.shape)} of {states.dtype}."
            )
        if rows.shape != (len(states),) or rows.dtype != torch.int64 or not len(rows):
            raise InvalidData(
                f"rows is an int64 tensor ({len(states)},), one for each of at least one state, got "
                f"{tuple(rows.shape)} of {rows.dtype}."
            )
        low, high = (int(each) for each in torch.aminmax(rows))
        if low < 0 or high >= len(self.weights):
            raise InvalidData(
                f"rows are 0 .. {len(self.weights) - 1}, the rows of the weights, got {low} .. {high}."
            )
        wanted = (len(states), len(self.spec.inputs))
        got = None if inputs is None else tuple(inputs.shape)
        if got != (wanted if self.spec.inputs else None):
            raise InvalidData(
                f"'{self.spec.name}' takes inputs of shape {wanted if self.spec.inputs else None}, "
                f"got {got}."
            )

    def extra_repr(self) -> str:
        """Return the line that ``print(model)`` shows."""
        rows, width = self.weights.shape
        return f"{self.spec.name}, qubits={self.spec.num_qubits}, rows={rows}, weights={width}"
