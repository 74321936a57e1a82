"""Quantum natural gradient for the weights of circuits, Adam for all others.

Stokes, Izaac, Killoran and Carleo, "Quantum natural gradient", Quantum 4, 269 (2020), arXiv:1909.02108:
``w <- w - rate * (g + lambda I)^-1 grad``, with the Fubini-Study metric g of the circuit's state, block
by block, its mean over samples of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from ..errors import InvalidOption
from ..models import Denoiser
from ..models.plain_optimizers import Adam, PlainOptimizer, Shapes
from .circuit_weights import BlockKind, CircuitWeights, circuit_weights, other_parameters

__all__ = [
    "NaturalGradient",
]


@final
class NaturalGradient(PlainOptimizer):
    """Natural gradient steps, without momentum, beside Adam's.

    The metric is that of the whole register before any post-selection, in the layer's own weights: the
    map from weights to angles is part of it. Its cost is about one forward pass of the kept samples for
    each weight.

    Args:
        model: The model; its first parameter group is the weights of its circuits.
        learning_rate: Adam's step size.
        circuit_learning_rate: The natural gradient's step size.
        regularisation: lambda, above 0; the metric is often singular.
        samples: Samples of a batch on which each metric is estimated, evenly spread, at least 1.
        blocks: Blocks of the metric.
        betas: Adam's.
        weight_decay: Adam's L2 penalty; circuits have none.

    Raises:
        InvalidOption: If an option is out of range, or the model has no circuit on the engine.
    """

    def __init__(
        self,
        model: Denoiser,
        *,
        learning_rate: float,
        circuit_learning_rate: float,
        regularisation: float = 0.01,
        samples: int = 32,
        blocks: BlockKind = "layer",
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        if not regularisation > 0 or samples < 1 or blocks not in ("layer", "circuit"):
            raise InvalidOption(
                "Natural gradients need regularisation > 0, samples >= 1 and blocks 'layer' or "
                f"'circuit', got {regularisation}, {samples}, {blocks!r}."
            )
        self.circuits = circuit_weights(model, samples)
        self.regularisation, self.blocks = regularisation, blocks
        groups: list[dict[str, Any]] = [
            {"params": [each.weights for each in self.circuits], "lr": circuit_learning_rate}
        ]
        others = other_parameters(model, self.circuits)
        if others:
            groups.append({"params": others, "lr": learning_rate})
        super().__init__(groups, {})
        self._adam = None
        if others:
            self._adam = Adam(others, lr=learning_rate, betas=betas, weight_decay=weight_decay)
            self.param_groups[1].update(self._adam.param_groups[0])

    def state_shapes(self) -> Shapes:
        """Return the shapes in the state after a step: circuits count, the others are Adam's."""
        shapes: Shapes = {position: {"step": ()} for position in range(len(self.circuits))}
        if self._adam is not None:
            adam = self._adam.state_shapes()
            shapes |= {len(self.circuits) + position: each for position, each in adam.items()}
        return shapes

    @torch.no_grad()
    def step(  # type: ignore[override] # torch declares two overloads; the loop uses this one
        self, closure: Callable[[], Tensor] | None = None
    ) -> None:
        """One step from the gradients that are there; ``closure`` is not used."""
        rate = self.param_groups[0]["lr"]
        for circuit in self.circuits:
            weights = circuit.weights
            if weights.grad is not None:
                weights.sub_(rate * self._direction(circuit).to(weights))
            circuit.forget()
            state = self.state[weights]
            state["step"] = state.get("step", torch.zeros(())) + 1
        if self._adam is not None:
            # State and groups are replaced when a checkpoint is loaded, so they are handed over anew.
            self._adam.param_groups, self._adam.state = self.param_groups[1:], self.state
            self._adam.step()

    def _direction(self, circuit: CircuitWeights) -> Tensor:
        """``(g + lambda I)^-1 grad``, of the weights' shape, in float64."""
        assert circuit.weights.grad is not None
        gradient = circuit.weights.grad.double().flatten()
        found = torch.zeros_like(gradient)
        for block, metric in circuit.metric(self.blocks):
            damped = metric + self.regularisation * torch.eye(len(block)).to(metric)
            found[block] = torch.linalg.solve(damped, gradient[block])
        return found.reshape(circuit.weights.shape)
