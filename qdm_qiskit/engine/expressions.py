"""Parameter expressions of Qiskit as torch functions of inputs and weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import sympy
import torch
from qiskit.circuit import Parameter, ParameterExpression
from torch import Tensor

from ..errors import UnsupportedCircuit

_FUNCTIONS: dict[type, Callable[[Tensor], Tensor]] = {
    sympy.sin: torch.sin,
    sympy.cos: torch.cos,
    sympy.tan: torch.tan,
    sympy.asin: torch.asin,
    sympy.acos: torch.acos,
    sympy.atan: torch.atan,
    sympy.exp: torch.exp,
    sympy.log: torch.log,
    sympy.Abs: torch.abs,
    sympy.sign: torch.sign,
    sympy.conjugate: torch.conj,
}


@dataclass(frozen=True, eq=False)
class Angle:
    """One gate angle, compiled: an expression tree over positions in inputs and weights."""

    expression: Any
    """A sympy expression, or a number."""
    positions: dict[str, tuple[str, int]]
    """Symbol name to ("inputs" or "weights", column)."""

    @property
    def depends_on_inputs(self) -> bool:
        """Whether each sample of a batch has its own value."""
        return any(source == "inputs" for source, _ in self.positions.values())

    def evaluate(self, inputs: Tensor | None, weights: Tensor | None, like: Tensor) -> Tensor:
        """The angle's value.

        Args:
            inputs: ``(batch, num_inputs)`` or None.
            weights: ``(num_weights,)`` or None.
            like: A real tensor that gives dtype and device.

        Returns:
            ``(batch,)`` where the angle depends on inputs, else a scalar.
        """
        columns = {"inputs": inputs, "weights": weights}

        def value(node: Any) -> Tensor:
            if node.is_Symbol:
                source, column = self.positions[node.name]
                tensor = columns[source]
                assert tensor is not None  # the program has checked that both are there
                return tensor[..., column]
            if node.is_number:
                number = complex(node)
                if number.imag:
                    raise UnsupportedCircuit(f"A gate angle must be real, got {node}.")
                return torch.as_tensor(number.real, dtype=like.dtype, device=like.device)
            if node.is_Add:
                return reduce(torch.add, map(value, node.args))
            if node.is_Mul:
                return reduce(torch.mul, map(value, node.args))
            if node.is_Pow:
                return torch.pow(value(node.args[0]), value(node.args[1]))
            return _FUNCTIONS[node.func](value(node.args[0]))

        return value(self.expression)


class AngleVector:
    """Many angles, each column by column of one tensor: bare parameters are gathered in one call."""

    def __init__(self, angles: Sequence[Angle]) -> None:
        self.angles = list(angles)
        self._bare: dict[torch.device, Tensor] = {}
        sources = {source for each in angles for source, _ in each.positions.values()}
        self._of_samples = any(each.depends_on_inputs for each in angles)
        self._source = sources.pop() if len(sources) == 1 else ""
        self.is_bare = bool(self._source) and all(each.expression.is_Symbol for each in angles)
        """Whether all of them are columns of one tensor, so that :meth:`pull_back` can be used."""
        self._columns: list[int] = []
        """Of bare parameters."""
        if self.is_bare:
            self._columns = [each.positions[each.expression.name][1] for each in angles]

    def evaluate(self, inputs: Tensor | None, weights: Tensor | None, like: Tensor) -> Tensor:
        """All values.

        Args:
            inputs, weights, like: As for :meth:`Angle.evaluate`.

        Returns:
            ``(len(angles),)``, or ``(len(angles), batch)`` if one of them depends on inputs.
        """
        if self.is_bare:
            tensor = inputs if self._source == "inputs" else weights
            assert tensor is not None  # the program has checked that it is there
            if self._columns == list(range(tensor.shape[-1])):
                return tensor.t().clone()  # as below: the caller's own tensor may change later
            return tensor.t().index_select(0, self._index(tensor.device))
        if not self.angles:
            return like.new_zeros(1)
        values = [each.evaluate(inputs, weights, like) for each in self.angles]
        found = torch.stack(torch.broadcast_tensors(*values))
        if found.ndim == 1 and inputs is not None and self._of_samples:
            found = found.unsqueeze(1).expand(-1, len(inputs))  # an input may have cancelled
        return found

    def pull_back(self, grad: Tensor, like: Tensor) -> Tensor:
        """The gradient of the one tensor that bare angles come from.

        Args:
            grad: ``(len(angles),)`` or ``(len(angles), batch)``, of the angles.
            like: The tensor.
        """
        if self._columns == list(range(like.shape[-1])):
            return grad.t()
        found = like.new_zeros(like.t().shape)
        return found.index_add_(0, self._index(like.device), grad).t()

    def _index(self, device: torch.device) -> Tensor:
        if device not in self._bare:
            self._bare[device] = torch.tensor(self._columns, device=device)
        return self._bare[device]


def compile_angle(
    angle: ParameterExpression | float, positions: dict[Parameter, tuple[str, int]]
) -> Angle:
    """Compile one gate angle.

    Args:
        angle: A number or an expression of the circuit's parameters.
        positions: Where each parameter's value stands.

    Returns:
        The compiled angle.

    Raises:
        UnsupportedCircuit: If the expression holds a function that has no torch counterpart.
    """
    if not isinstance(angle, ParameterExpression):
        return Angle(sympy.Float(float(angle), 17), {})
    if isinstance(angle, Parameter):  # by far the most frequent case, and sympify is slow
        return Angle(sympy.Symbol(angle.name), {angle.name: positions[angle]})
    expression = sympy.sympify(angle.sympify())
    if expression.is_Symbol:
        # Where parameters cancelled, Qiskit 2.6 may name one of those instead of the one that is left.
        expression = sympy.Symbol(str(angle))
    for node in sympy.preorder_traversal(expression):
        known = node.is_Symbol or node.is_number or node.is_Add or node.is_Mul or node.is_Pow
        if not known and node.func not in _FUNCTIONS:
            raise UnsupportedCircuit(f"The engine has no function {node.func} for angle {angle}.")
    return Angle(expression, {p.name: positions[p] for p in angle.parameters})
