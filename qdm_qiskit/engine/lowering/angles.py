"""Parameter expressions of Qiskit as torch functions of inputs and weights.

An expression is read as the instructions that Qiskit writes into QPY files. Its ``sympify()`` is not
used: in Qiskit 2.6 it fails for ``2**a``, and where parameters have cancelled it may name one of those
instead of the one that is left.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from qiskit.circuit import Parameter, ParameterExpression
from torch import Tensor

from ...errors import InvalidData, UnsupportedCircuit

__all__ = [
    "Angle",
    "AngleVector",
    "Call",
    "Symbol",
    "Tree",
    "call",
    "compile_angle",
    "linear",
    "parameters_of",
    "tree_of",
]


@dataclass(frozen=True, eq=False)
class Symbol:
    """A parameter in an expression."""

    parameter: Parameter


@dataclass(frozen=True, eq=False)
class Call:
    """A function of other expressions."""

    function: str | Callable[..., Tensor]
    """A name in :data:`_BINARY` or :data:`_FUNCTIONS`, or a function of tensors and numbers."""
    arguments: tuple[Tree, ...]


Tree = Symbol | Call | float | complex
"""An expression; complex only where it has an imaginary part."""


def _sign(value: Tensor) -> Tensor:
    """Return the signs of real numbers, NaN of all others: torch calls the sign of NaN 0."""
    if not value.is_complex():
        return torch.where(value.isnan(), value, torch.sgn(value))
    largest = torch.finfo(value.real.dtype).eps * 64 * (1 + value.abs())
    real = torch.where(value.imag.abs() <= largest, torch.sgn(value.real), math.nan)
    return torch.complex(real, torch.zeros_like(real))


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "ADD": operator.add,
    "SUB": operator.sub,
    "MUL": operator.mul,
    "DIV": operator.truediv,
    "POW": operator.pow,
}
_FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[..., Tensor]]] = {
    "SIN": (np.sin, torch.sin),
    "COS": (np.cos, torch.cos),
    "TAN": (np.tan, torch.tan),
    "ASIN": (np.arcsin, torch.asin),
    "ACOS": (np.arccos, torch.acos),
    "ATAN": (np.arctan, torch.atan),
    "EXP": (np.exp, torch.exp),
    "LOG": (np.log, torch.log),
    "ABS": (np.abs, torch.abs),
    "SIGN": (np.sign, _sign),
    "CONJ": (np.conj, torch.conj),
}
"""Names of Qiskit's instructions to functions of numbers and of tensors."""
_TOTAL = frozenset({"ADD", "SUB", "MUL", "SIN", "COS", "ATAN", "ABS", "SIGN", "CONJ"})
"""Functions that are real and finite for all finite real numbers."""


@dataclass(frozen=True, eq=False)
class Angle:
    """One gate angle, compiled: an expression tree over positions in inputs and weights."""

    expression: Tree
    positions: dict[Parameter, tuple[str, int]]
    """Parameter to ("inputs" or "weights", column)."""
    text: str = ""
    """Text of the angle as Qiskit writes it, for messages."""

    @property
    def depends_on_inputs(self) -> bool:
        """True if each sample of a batch has its own value."""
        return any(source == "inputs" for source, _ in self.positions.values())

    @cached_property
    def _is_total(self) -> bool:
        """True if every finite value of the parameters gives a real, finite angle."""
        return all(
            each.function in _TOTAL
            if isinstance(each, Call)
            else isinstance(each, Symbol) or (isinstance(each, float) and math.isfinite(each))
            for each in _nodes(self.expression)
        )

    def evaluate(self, inputs: Tensor | None, weights: Tensor | None, like: Tensor) -> Tensor:
        """Return the angle's value, the same as Qiskit's after binding.

        Args:
            inputs: ``(batch, num_inputs)`` or None.
            weights: ``(num_weights,)`` or None.
            like: A real tensor that gives dtype and device.

        Returns:
            ``(batch,)`` where the angle depends on inputs, else a scalar.

        Raises:
            InvalidData: If it is no real, finite number: a division by zero, the logarithm of a
                negative number.
        """
        columns = {"inputs": inputs, "weights": weights}

        def column(parameter: Parameter) -> Tensor:
            source, place = self.positions[parameter]
            tensor = columns[source]
            assert tensor is not None  # the program has checked that both are there
            return tensor[..., place]

        value = _torch_value(self.expression, column, like)
        if self._is_total:
            return value
        if not value.is_complex() and _is_finite(value):
            return value
        if not value.is_complex():  # the square of a negative number's root is real again
            complex_ = like.dtype.to_complex()
            value = _torch_value(self.expression, lambda p: column(p).to(complex_), like)
        if not value.is_complex():
            value = torch.complex(value, torch.zeros_like(value))
        worst = torch.finfo(like.dtype).eps * 64 * (1 + float(value.detach().abs().max()))
        if not _is_finite(value.detach().abs()) or float(value.detach().imag.abs().max()) > worst:
            raise InvalidData(
                f"Gate angle '{self.text}' must be real and finite, which it is not for these "
                "values of its parameters."
            )
        return value.real


def _is_finite(value: Tensor) -> bool:
    # One sum, one number: NaN and infinity survive the addition.
    return math.isfinite(float(value.detach().sum()))


class AngleVector:
    """Many angles, each column by column of one tensor: bare parameters are gathered in one call."""

    def __init__(self, angles: Sequence[Angle]) -> None:
        self.angles = list(angles)
        self._bare: dict[torch.device, Tensor] = {}
        sources = {source for each in angles for source, _ in each.positions.values()}
        self._of_samples = any(each.depends_on_inputs for each in angles)
        self._source = sources.pop() if len(sources) == 1 else ""
        bare = [
            e.positions[s.parameter][1] for e in angles if isinstance(s := e.expression, Symbol)
        ]
        self.is_bare = bool(self._source) and len(bare) == len(self.angles)
        """True if all of them are columns of one tensor, so that :meth:`pull_back` can be used."""
        self._columns: list[int] = bare if self.is_bare else []
        """Columns of bare parameters."""

    def evaluate(self, inputs: Tensor | None, weights: Tensor | None, like: Tensor) -> Tensor:
        """Return all values.

        Args:
            inputs, weights, like: As for :meth:`Angle.evaluate`.

        Returns:
            ``(len(angles),)``, or ``(len(angles), batch)`` if one of them depends on inputs.

        Raises:
            InvalidData: As :meth:`Angle.evaluate` does.
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
        """Return the gradient of the one tensor that bare angles come from.

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
    angle: ParameterExpression | Tree,
    positions: dict[Parameter, tuple[str, int]],
    gate: str = "",
) -> Angle:
    """Compile one gate angle.

    Args:
        angle: A number, an expression of the circuit's parameters, or a tree.
        positions: Place of each parameter's value.
        gate: Gate whose angle it is, for messages.

    Returns:
        The compiled angle; it holds the positions of those parameters only that have not cancelled.

    Raises:
        UnsupportedCircuit: If the expression holds a function that has no torch counterpart or a
            parameter that is not the circuit's, or is a number that is not real and finite.
    """
    if isinstance(angle, Parameter):  # by far the most frequent case
        tree: Tree = Symbol(angle)
    else:
        tree = tree_of(angle)
    if isinstance(tree, complex) or (isinstance(tree, float) and not math.isfinite(tree)):
        raise UnsupportedCircuit(f"A gate angle must be real and finite, got {angle}{_of(gate)}.")
    used = {}
    for node in _nodes(tree):
        if isinstance(node, Symbol):
            if node.parameter not in positions:
                raise UnsupportedCircuit(
                    f"A gate angle holds '{node.parameter.name}', which is none of the circuit's "
                    f"parameters{_of(gate)}."
                )
            used[node.parameter] = positions[node.parameter]
    text = str(angle) if isinstance(angle, ParameterExpression) else f"of '{gate or 'rv'}'"
    return Angle(tree, used, text)


def _of(gate: str) -> str:
    return f" (gate '{gate}')" if gate else ""


def tree_of(angle: ParameterExpression | Tree) -> Tree:
    """Return an expression as a tree; parameters that have cancelled are not in it.

    Raises:
        UnsupportedCircuit: If the expression holds a function that has no torch counterpart.
    """
    if isinstance(angle, Symbol | Call):
        return angle
    if not isinstance(angle, ParameterExpression):
        return _number(angle)
    if isinstance(angle, Parameter):
        return Symbol(angle)
    if not angle.parameters:
        return _number(angle.numeric())
    tree = _read(angle)
    _check(tree, angle)
    return tree


def _read(angle: ParameterExpression) -> Tree:
    """Return the tree of an expression's instructions."""
    if not angle._qpy_replay and len(angle.parameters) == 1:
        return Symbol(next(iter(angle.parameters)))  # qiskit 2.3 has none for 1.0 * x
    stack: list[Tree] = []
    for instruction in angle._qpy_replay:
        name = str(getattr(instruction, "op", type(instruction).__name__)).rpartition(".")[2]
        stack += [tree_of(each) for each in (instruction.lhs, instruction.rhs) if each is not None]
        if name.removeprefix("R") in _BINARY:
            second, first = stack.pop(), stack.pop()
            if name not in _BINARY:  # RSUB, RDIV, RPOW
                first, second = second, first
            stack.append(call(name if name in _BINARY else name[1:], first, second))
        elif name in _FUNCTIONS:
            stack.append(call(name, stack.pop()))
        else:
            raise UnsupportedCircuit(f"The engine has no function {name} for angle '{angle}'.")
    return stack.pop()


def parameters_of(angle: ParameterExpression | Tree) -> frozenset[Parameter]:
    """Return the parameters that have not cancelled."""
    if isinstance(angle, Parameter):
        return frozenset([angle])
    return frozenset(each.parameter for each in _nodes(tree_of(angle)) if isinstance(each, Symbol))


def call(function: str, *arguments: Tree) -> Tree:
    """Return a function of trees, computed where all are numbers, left out where it is idle."""
    numbers = [each for each in arguments if isinstance(each, float | complex)]
    if len(numbers) == len(arguments):
        with np.errstate(all="ignore"):
            try:
                value = _number(_apply(function, [np.complex128(each) for each in numbers]))
            except (ZeroDivisionError, OverflowError):
                return math.nan
        return value
    first, second = arguments[0], arguments[-1]
    if function == "MUL" and 0.0 in numbers:
        return 0.0
    if function == "ADD" and 0.0 in numbers:
        return second if first == 0.0 else first
    if function == "SUB" and second == 0.0:
        return first
    if function == "MUL" and 1.0 in numbers:
        return second if first == 1.0 else first
    if function == "POW" and second in (0.0, 1.0):
        return first if second == 1.0 else 1.0
    return Call(function, arguments)


def linear(tree: Tree) -> tuple[dict[Parameter, float], float] | None:
    """Return slopes and offset of a tree that is linear in its parameters, else None."""
    if isinstance(tree, Symbol):
        return {tree.parameter: 1.0}, 0.0
    if isinstance(tree, float):
        return {}, tree
    if isinstance(tree, complex):
        return None
    if tree.function == "CONJ":  # parameters are real
        return linear(tree.arguments[0])
    if tree.function in ("ADD", "SUB"):
        parts = [linear(each) for each in tree.arguments]
        if parts[0] is None or parts[1] is None:
            return None
        sign = 1 if tree.function == "ADD" else -1
        return _combined(parts[0], parts[1], 1.0, sign)
    if tree.function in ("MUL", "DIV"):
        first, second = tree.arguments
        if tree.function == "MUL" and isinstance(first, float):
            first, second = second, first
        part = linear(first)
        if part is None or not isinstance(second, float) or second == 0:
            return None
        return _combined(part, ({}, 0.0), second if tree.function == "MUL" else 1 / second, 1.0)
    return None


def _combined(
    one: tuple[dict[Parameter, float], float],
    other: tuple[dict[Parameter, float], float],
    a: float,
    b: float,
) -> tuple[dict[Parameter, float], float]:
    slopes = {parameter: a * slope for parameter, slope in one[0].items()}
    for parameter, slope in other[0].items():
        slopes[parameter] = slopes.get(parameter, 0.0) + b * slope
    return slopes, a * one[1] + b * other[1]


def _nodes(tree: Tree) -> Iterator[Tree]:
    yield tree
    if isinstance(tree, Call):
        for each in tree.arguments:
            yield from _nodes(each)


def _number(value: Any) -> float | complex:
    number = complex(value)
    return number if number.imag else number.real


def _apply(function: str, values: Sequence[Any]) -> Any:
    """Return the function's value at numbers."""
    if function in _BINARY:
        return _BINARY[function](*values)
    return _FUNCTIONS[function][0](*values)


def _torch_value(tree: Tree, column: Callable[[Parameter], Tensor], like: Tensor) -> Tensor:
    def value(node: Tree) -> Any:
        if isinstance(node, Symbol):
            return column(node.parameter)
        if not isinstance(node, Call):
            return node
        found = [value(each) for each in node.arguments]
        if not isinstance(node.function, str):
            return node.function(*found)
        if node.function == "DIV" and isinstance(found[1], Tensor):
            _refuse_zeros(found[1])
        if node.function in _BINARY:
            return _BINARY[node.function](*found)
        return _FUNCTIONS[node.function][1](*found)

    found = value(tree)
    if isinstance(found, Tensor):
        return found
    return torch.as_tensor(found, dtype=like.dtype, device=like.device)


def _refuse_zeros(divisor: Tensor) -> None:
    if bool((divisor.detach() == 0).any()):
        raise InvalidData("A gate angle divides by a parameter, or by an expression, that is 0.")


_FORMS: dict[str, Callable[..., ParameterExpression]] = {
    "ADD": operator.add,
    "SUB": operator.sub,
    "MUL": operator.mul,
    "DIV": operator.truediv,
    "POW": operator.pow,
    "SIN": ParameterExpression.sin,
    "COS": ParameterExpression.cos,
    "TAN": ParameterExpression.tan,
    "ASIN": ParameterExpression.arcsin,
    "ACOS": ParameterExpression.arccos,
    "ATAN": ParameterExpression.arctan,
    "EXP": ParameterExpression.exp,
    "LOG": ParameterExpression.log,
    "ABS": ParameterExpression.abs,
    "SIGN": ParameterExpression.sign,
    "CONJ": ParameterExpression.conjugate,
}
"""Names of Qiskit's instructions, and the functions that write them."""


def _check(tree: Tree, angle: ParameterExpression) -> None:
    """Compare every function of the tree with Qiskit's, on small expressions of its own.

    The angle itself is not bound: Qiskit's values of sums of exponentials may not come back.

    Raises:
        UnsupportedCircuit: If they differ: the instructions are no public interface, and may change.
    """
    functions = {each.function for each in _nodes(tree) if isinstance(each, Call)}
    for name in functions:
        if isinstance(name, str) and not _is_qiskits(
            name, _BINARY.get(name) or _FUNCTIONS[name][0]
        ):
            raise UnsupportedCircuit(
                f"The engine reads angle '{angle}' as another function than this Qiskit does "
                f"({name}); bind its parameters, or write it another way."
            )


@lru_cache(maxsize=64)
def _is_qiskits(name: str, function: Callable[..., Any]) -> bool:
    """Return whether a function, read from Qiskit's instructions, has Qiskit's values."""
    a, b = Parameter("a"), Parameter("b")
    write = _FORMS[name]
    forms: list[ParameterExpression] = (
        [write(a, b), write(2.5, a), write(a, 2.5), write(a * b, a + b), write(a / b, write(a, b))]
        if name in _BINARY
        else [write(a), write(a * b)]
    )
    point = {a: 0.37, b: 0.61}
    return all(
        math.isclose(
            _real_value(_read(form), point),
            float(form.bind({p: point[p] for p in form.parameters}).numeric()),
            rel_tol=1e-9,
        )
        for form in forms
    )


def _real_value(tree: Tree, point: dict[Parameter, float]) -> float:
    """Return the tree at a point, NaN where one of its parts is not real and finite."""
    if isinstance(tree, Symbol):
        return point[tree.parameter]
    if not isinstance(tree, Call):
        return math.nan if isinstance(tree, complex) else tree
    assert isinstance(tree.function, str)  # it was read from Qiskit's instructions
    values = [np.float64(_real_value(each, point)) for each in tree.arguments]
    with np.errstate(all="ignore"):
        found = _apply(tree.function, values)
    return float(found) if math.isfinite(found) else math.nan
