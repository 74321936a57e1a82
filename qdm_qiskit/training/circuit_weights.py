"""The weights of a model that are angles of circuits, and the states that these circuits ran on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, final

import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression
from torch import Tensor, nn

from ..circuits.spec import CircuitSpec
from ..diffusion.states import unit_states
from ..engine import CircuitProgram, fubini_study_metric
from ..errors import InvalidOption
from ..layers import QuantumLayer
from ..layers.branch_layer import BranchLayer
from ..layers.executors import EngineExecutor
from ..layers.state_layer import StateLayer
from ..models import Denoiser

__all__ = [
    "WHOLE_METRIC",
    "BlockKind",
    "CircuitWeights",
    "LayerWeights",
    "Run",
    "TableWeights",
    "circuit_weights",
    "other_parameters",
    "weight_blocks",
]

BlockKind = Literal["layer", "circuit"]
"""Blocks of a metric. ``layer``: the rotations between two stages of entangling gates; a gate on
several qubits with weights of its own is a block. ``circuit``: all weights of a circuit."""
WHOLE_METRIC = 128
"""Weights of a circuit up to which one metric of all of them is faster than one for each block."""


@dataclass(frozen=True)
class Run:
    """Samples that a circuit ran on."""

    states: Tensor | None
    """``(samples, 2**k)`` of norm 1, None where the circuit takes no amplitudes."""
    inputs: Tensor | None
    """``(samples, num_inputs)``, None where the circuit has none."""
    row: int = 0
    """Row of the table of weights."""


class CircuitWeights(ABC):
    """The weights of one circuit layer, and the samples it ran on since :meth:`forget`.

    A forward pass is heard while :attr:`listening`, or while gradients are computed.

    Args:
        samples: Samples kept of each forward pass and row of weights, evenly spread over the batch.
    """

    weights: nn.Parameter
    """The layer's parameter."""
    spec: CircuitSpec
    """The circuit and its roles."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.listening = False
        self.runs: list[Run] = []

    @property
    @abstractmethod
    def program(self) -> CircuitProgram:
        """The compiled circuit."""

    @abstractmethod
    def angles(self) -> Tensor:
        """All angles, ``(rows, repeats, num_weights)``, an elementwise function of the weights."""

    def forget(self) -> None:
        """Drop the samples, once they are used."""
        self.runs = []

    def metric(self, blocks: BlockKind) -> Iterator[tuple[Tensor, Tensor]]:
        """The Fubini-Study metric in the weights, block by block, its mean over the samples.

        Args:
            blocks: See :data:`BlockKind`. Rows of a table and repetitions of a circuit are always
                blocks of their own.

        Yields:
            Positions in the flattened weights, and ``(p, p)`` float64; zeros for rows not heard.
        """
        with torch.enable_grad():
            angles = self.angles()
            (slope,) = torch.autograd.grad(angles.sum(), self.weights)
        angles, slope = angles.detach().double(), slope.double().flatten()
        rows, repeats, width = angles.shape
        groups = weight_blocks(self.spec, blocks)
        computed = groups if width > WHOLE_METRIC else None
        mean = torch.zeros(rows, repeats, width, width, dtype=torch.float64, device=slope.device)
        count = torch.zeros(rows, dtype=torch.float64, device=slope.device)
        for run in self.runs:
            states, inputs = _double(run.states), _double(run.inputs)
            heard = 1
            for repeat in range(repeats):
                now = angles[run.row, repeat]
                found = fubini_study_metric(
                    self.program,
                    now,
                    inputs,
                    states,
                    initial_qubits=self._covered(states, repeat),
                    blocks=computed,
                )
                mean[run.row, repeat] += found.sum(0)
                heard = len(found)
                if repeat + 1 < repeats:
                    states = self._advance(now, inputs, states, repeat)
            count[run.row] += heard
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # Each process sees its part of the batch, and all must take the same step.
            torch.distributed.all_reduce(mean)
            torch.distributed.all_reduce(count)
        mean /= count.clamp(min=1)[:, None, None, None]
        for row in range(rows):
            for repeat in range(repeats):
                first = (row * repeats + repeat) * width
                for group in groups:
                    chosen = torch.tensor(group, device=slope.device)
                    own = slope[first + chosen]
                    block = mean[row, repeat][chosen][:, chosen]
                    yield first + chosen, block * own[:, None] * own

    @torch.no_grad()
    def states(self) -> list[Tensor]:
        """Final states of the samples at the present weights.

        Returns:
            ``(samples, 2**n)`` complex128 for each run.
        """
        angles = self.angles().double()
        final_states = []
        for run in self.runs:
            states, inputs = _double(run.states), _double(run.inputs)
            for repeat, now in enumerate(angles[run.row]):
                states = self._advance(now, inputs, states, repeat)
            assert states is not None
            final_states.append(states)
        return final_states

    def _keep(self, states: Tensor | None, inputs: Tensor | None, row: int = 0) -> None:
        """Keep samples of a forward pass."""
        given = next((each for each in (states, inputs) if each is not None), None)
        if given is None:  # nothing but weights: one state
            self.runs.append(Run(None, None, row))
            return
        count = min(self.samples, len(given))
        chosen = torch.linspace(0, len(given) - 1, count, device=given.device).round().long()
        kept, own = (None if each is None else each.detach()[chosen] for each in (states, inputs))
        self.runs.append(Run(kept, own, row))

    def _hears(self) -> bool:
        return self.listening or torch.is_grad_enabled()

    def _covered(self, states: Tensor | None, repeat: int) -> tuple[int, ...] | None:
        """Qubits of the states: the data's at first, then all."""
        return self.spec.data_qubits if states is not None and repeat == 0 else None

    def _advance(
        self, angles: Tensor, inputs: Tensor | None, states: Tensor | None, repeat: int
    ) -> Tensor:
        """States after one more run of the circuit."""
        covered = self._covered(states, repeat)
        return self.program.statevector(inputs, angles, states, initial_qubits=covered)


@final
class LayerWeights(CircuitWeights):
    """The weights of a :class:`~qdm_qiskit.layers.QuantumLayer` on the engine."""

    def __init__(self, layer: QuantumLayer, samples: int) -> None:
        super().__init__(samples)
        executor = layer.executor
        if not isinstance(executor, EngineExecutor):
            raise InvalidOption(
                f"The metric of '{layer.spec.name}' is computed on the engine, got another executor; "
                "use optimizer 'adam' or 'spsa'."
            )
        self.layer, self.executor = layer, executor
        self.weights, self.spec = layer.weights, layer.spec
        executor.watch = self._hear

    @property
    def program(self) -> CircuitProgram:
        """See :class:`CircuitWeights`."""
        return self.executor.program

    def angles(self) -> Tensor:
        """See :class:`CircuitWeights`."""
        return self.layer.angles()[None, None]

    def _hear(self, states: Tensor | None, inputs: Tensor | None) -> None:
        if self._hears():
            self._keep(states, inputs)


@final
class TableWeights(CircuitWeights):
    """The weights of a layer with a table of them, a row for each time step."""

    def __init__(self, layer: StateLayer | BranchLayer, samples: int) -> None:
        super().__init__(samples)
        self.layer = layer
        self.weights, self.spec = layer.weights, layer.spec
        layer.register_forward_pre_hook(self._hear)

    @property
    def program(self) -> CircuitProgram:
        """See :class:`CircuitWeights`."""
        return self.layer.program

    def angles(self) -> Tensor:
        """See :class:`CircuitWeights`."""
        return self.layer.weights.reshape(len(self.weights), self.layer.repeats, -1)

    def _hear(self, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        if not self._hears():
            return
        states, rows = unit_states(given[0].detach()), given[1]
        inputs = given[2] if len(given) > 2 else None
        for row in rows.unique().tolist():
            own = rows == row
            self._keep(states[own], None if inputs is None else inputs[own], row)


def circuit_weights(model: Denoiser, samples: int) -> list[CircuitWeights]:
    """All circuit layers of a model, listened to from now on.

    Args:
        model: The model.
        samples: Samples kept of each forward pass and row of weights, at least 1.

    Raises:
        InvalidOption: If there is none, or one does not run on the engine.
    """
    found: list[CircuitWeights] = []
    for module in model.modules():
        if isinstance(module, QuantumLayer):
            found.append(LayerWeights(module, samples))
        elif isinstance(module, StateLayer | BranchLayer):
            found.append(TableWeights(module, samples))
    if not found:
        raise InvalidOption(
            f"'{model.name}' has no circuit layer, of whose weights there is a metric; use optimizer "
            "'adam' or 'spsa'."
        )
    return found


def other_parameters(model: Denoiser, circuits: list[CircuitWeights]) -> list[nn.Parameter]:
    """The trainable parameters of a model that are not angles of these circuits."""
    angles = {id(each.weights) for each in circuits}
    return [p for p in model.parameters() if p.requires_grad and id(p) not in angles]


def weight_blocks(spec: CircuitSpec, kind: BlockKind) -> list[list[int]]:
    """Positions of a circuit's weights, block by block.

    Args:
        spec: The circuit.
        kind: See :data:`BlockKind`.

    Returns:
        Each position exactly once; a weight that is used again stays in its first block.
    """
    if kind == "circuit":
        return [list(range(len(spec.weights)))]
    position = {parameter: index for index, parameter in enumerate(spec.weights)}
    blocks: list[list[int]] = [[]]
    seen: set[int] = set()
    circuit: QuantumCircuit = spec.circuit
    for instruction in circuit.data:
        used = {
            position[parameter]
            for value in instruction.operation.params
            if isinstance(value, ParameterExpression)
            for parameter in value.parameters
            if parameter in position
        }
        new = sorted(used - seen)
        if len(instruction.qubits) > 1:
            blocks += [new, []]
        else:
            blocks[-1] += new
        seen |= used
    return [block for block in blocks if block]


def _double(x: Tensor | None) -> Tensor | None:
    if x is None:
        return None
    return x.to(torch.complex128 if x.is_complex() else torch.float64)
