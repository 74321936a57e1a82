"""Optimizers of torch that run as they are written, without its compiler.

Torch decorates every optimizer for ``torch.compile``, and the decorators import the compiler and SymPy
when an optimizer is made: more than the rest of a run's start, for graphs that nobody compiles here.
:func:`inspect.unwrap` gives the functions below the decorators; where a version of torch has none, it
gives the same functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Adam", "PlainOptimizer", "RMSprop", "Sgd"]

Shapes = dict[int, dict[str, tuple[int, ...]]]
"""Shapes of an optimizer's state after a step, by parameter's position and entry."""


class PlainOptimizer(torch.optim.Optimizer):
    """Optimizer of torch without its compiler; ``torch.compile`` would refuse to go through it."""

    def state_shapes(self) -> Shapes:
        """Return the shapes in the state after a step."""
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own."""
        inspect.unwrap(torch.optim.Optimizer.add_param_group)(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        inspect.unwrap(torch.optim.Optimizer.zero_grad)(self, set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return state and options, as torch's optimizers do."""
        found: dict[str, Any] = inspect.unwrap(torch.optim.Optimizer.state_dict)(self)
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take state and options from :meth:`state_dict`."""
        inspect.unwrap(torch.optim.Optimizer.load_state_dict)(self, state_dict)


class Adam(PlainOptimizer, torch.optim.Adam):
    """``torch.optim.Adam``, the same numbers to the bit."""

    @torch.no_grad()
    def step(  # type: ignore[override] # torch declares two overloads; the loop uses this one
        self, closure: Callable[[], Tensor] | None = None
    ) -> None:
        """One step from the gradients that are there, or from those of a loss."""
        inspect.unwrap(torch.optim.Adam.step)(self, closure)

    def state_shapes(self) -> Shapes:
        """Return the shapes in the state after a step."""
        shapes = [tuple(p.shape) for group in self.param_groups for p in group["params"]]
        return {
            position: {"step": (), "exp_avg": shape, "exp_avg_sq": shape}
            for position, shape in enumerate(shapes)
        }


class RMSprop(PlainOptimizer, torch.optim.RMSprop):
    """``torch.optim.RMSprop`` without momentum, the same numbers to the bit."""

    @torch.no_grad()
    def step(  # type: ignore[override] # as in :class:`Adam`
        self, closure: Callable[[], Tensor] | None = None
    ) -> None:
        """One step from the gradients that are there, or from those of a loss."""
        inspect.unwrap(torch.optim.RMSprop.step)(self, closure)

    def state_shapes(self) -> Shapes:
        """Return the shapes in the state after a step."""
        shapes = [tuple(p.shape) for group in self.param_groups for p in group["params"]]
        return {
            position: {"step": (), "square_avg": shape} for position, shape in enumerate(shapes)
        }


class Sgd(PlainOptimizer, torch.optim.SGD):
    """``torch.optim.SGD`` without momentum, the same numbers to the bit.

    It counts its steps, because a safetensors file without a tensor cannot be read again.
    """

    @torch.no_grad()
    def step(  # type: ignore[override] # as in :class:`Adam`
        self, closure: Callable[[], Tensor] | None = None
    ) -> None:
        """One step from the gradients that are there, or from those of a loss."""
        inspect.unwrap(torch.optim.SGD.step)(self, closure)
        for group in self.param_groups:
            for each in group["params"]:
                state = self.state[each]
                state["step"] = state.get("step", torch.zeros(())) + 1

    def state_shapes(self) -> Shapes:
        """Return the shapes in the state after a step."""
        count = sum(len(group["params"]) for group in self.param_groups)
        return {position: {"step": ()} for position in range(count)}
