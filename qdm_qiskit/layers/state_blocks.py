"""Three blocks of circuits, the middle one with an ancilla, and a nonlinear map between them."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ..circuits.composition import Part
from ..circuits.readouts import ProbabilityReadout
from ..circuits.spec import CircuitSpec, register_spec
from ..circuits.state_denoisers import Blocks
from ..diffusion.states import unit_states
from ..errors import TargetUnavailable
from .observables import AdaptiveObservables
from .state_calls import StateCalls
from .state_layer import StateLayer

__all__ = [
    "SLOPE",
    "StateBlocks",
    "complex_leaky_relu",
]

SLOPE = 0.01
"""Slope of the LeakyReLU on negative parts."""


@final
class StateBlocks(nn.Module):
    """Block, block with ancilla, projection on ancilla 0, optional activation, block.

    Args:
        blocks: Circuits on n, n + 1 and n qubits; the ancilla is qubit n of the second.
        num_rows: Rows of the tables of weights: time steps, or 1 for weights that all steps share.
        repeats: Number of times that each block is applied, each time with weights of its own.
        activation: LeakyReLU on real and imaginary parts behind the projection. It does not commute
            with a global phase.
        phase_counts: Whether what is done with the states behind the blocks depends on their global
            phase, as it does with ``activation`` in a chain of steps. On the engine it is always
            there; a target then tells it besides, at the price of controlled gates.
        init_std: Standard deviation of the normal initial weights.
        source: Paper, for the specs.
        generator: Source of the initial weights; torch's default if None.

    Raises:
        InvalidOption: As for :class:`StateLayer`.
    """

    def __init__(
        self,
        blocks: Blocks,
        num_rows: int,
        *,
        repeats: int = 1,
        activation: bool,
        phase_counts: bool | None = None,
        init_std: float,
        source: str,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        first, middle, last = blocks
        data = tuple(range(first.num_qubits))
        ancilla = first.num_qubits
        specs = (
            register_spec(first, source=source),
            CircuitSpec(
                name=middle.name,
                circuit=middle,
                encoding="amplitude",
                data_qubits=data,
                ancilla_qubits=(ancilla,),
                readout=ProbabilityReadout(
                    qubits=data, postselect=((ancilla, 0),), renormalise=True
                ),
                source=source,
            ),
            register_spec(last, source=source),
        )
        self.first, self.middle, self.last = (
            StateLayer(spec, num_rows, repeats=repeats, init_std=init_std, generator=generator)
            for spec in specs
        )
        self.activation = activation
        self.phase_counts = activation if phase_counts is None else phase_counts
        self.asked: StateCalls | None = None  # while a target answers

    def forward(self, states: Tensor, rows: Tensor) -> Tensor:
        """Return denoised states.

        Args:
            states: ``(batch, 2**n)`` complex, of any non-zero norm.
            rows: ``(batch,)`` int64: the row of the tables for each state.

        Returns:
            ``(batch, 2**n)`` complex with norm 1.

        Raises:
            InvalidData: As :class:`StateLayer` does.
        """
        if self.asked is not None:
            states, layers = self._asked_middle(self.asked, states, rows)
            return self.asked.states(layers, states, rows, phase=self.phase_counts)
        states = self.middle(self.first(states, rows), rows)
        if self.activation:
            states = unit_states(complex_leaky_relu(states))
        return self.last(states, rows)

    def parts(self, row: int) -> tuple[Part, ...]:
        """Return the three circuits with a row of the tables, as parts of a chain.

        Args:
            row: Of the tables, from 0.

        Raises:
            TargetUnavailable: If there is an activation between them.
        """
        if self.activation:
            raise TargetUnavailable(
                "LeakyReLU acts on amplitudes as numbers, so a chain with activation is no circuit; "
                "run it step by step, with tomography, or train it with activation=false."
            )
        return tuple(layer.part(row) for layer in (self.first, self.middle, self.last))

    def expectations(
        self, states: Tensor, rows: Tensor, observables: AdaptiveObservables
    ) -> Tensor:
        """Return expectation values in denoised states; where a target answers, from outcomes.

        Args:
            states: ``(batch, 2**n)`` real or complex, of any non-zero norm.
            rows: As for :meth:`forward`.
            observables: On the data qubits.

        Returns:
            ``(batch, K)`` real.
        """
        if self.asked is None:
            return observables(self(states.to(states.dtype.to_complex()), rows))
        states, layers = self._asked_middle(self.asked, states, rows)
        return self.asked.expectations(layers, states, rows, observables)

    def _asked_middle(
        self, asked: StateCalls, states: Tensor, rows: Tensor
    ) -> tuple[Tensor, list[StateLayer]]:
        """The states as far as they have to be told as numbers, and the layers that are left."""
        layers = [self.first, self.middle, self.last]
        if not self.activation:
            return states, layers
        states = asked.states(layers[:2], states, rows, phase=True)
        return unit_states(complex_leaky_relu(states)), layers[2:]


def complex_leaky_relu(states: Tensor) -> Tensor:
    """Apply a LeakyReLU with slope 0.01 to real and imaginary parts, one by one."""
    parts = nn.functional.leaky_relu(torch.view_as_real(states), SLOPE)
    return torch.view_as_complex(parts)
