"""All angles of a program at once; those that are linear in the parameters by one product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from qiskit.circuit import Parameter, ParameterExpression
from torch import Tensor

from ..lowering.angles import Angle, Tree, compile_angle, linear

__all__ = [
    "Angles",
]


class Angles:
    """Angles as a function of inputs and weights.

    Args:
        expressions: All depend on inputs, or none does.
        inputs: The parameters that each sample has its own values of.
        weights: The parameters that all samples share.

    Raises:
        UnsupportedCircuit: If an expression has no torch counterpart.
    """

    def __init__(
        self,
        expressions: Sequence[ParameterExpression | Tree],
        inputs: Sequence[Parameter],
        weights: Sequence[Parameter],
    ) -> None:
        self.count = len(expressions)
        columns = {p: ("inputs", k) for k, p in enumerate(inputs)}
        columns.update({p: ("weights", k) for k, p in enumerate(weights)})
        self._matrices = {
            "inputs": np.zeros((self.count, len(inputs))),
            "weights": np.zeros((self.count, len(weights))),
        }
        self._offset = np.zeros((self.count, 1))
        self._others: dict[int, Angle] = {}
        for row, expression in enumerate(expressions):
            angle = compile_angle(expression, columns)
            part = linear(angle.expression)
            if part is None:
                self._others[row] = angle
                continue
            slopes, self._offset[row] = part
            for parameter, slope in slopes.items():
                source, column = columns[parameter]
                self._matrices[source][row, column] = slope
        self.joined = frozenset(name for name, matrix in self._matrices.items() if matrix.any())
        """Of "inputs" and "weights", those with a graph from all of them to the angles."""
        self._tensors: dict[tuple[torch.dtype, torch.device], dict[str, Tensor]] = {}

    def evaluate(self, inputs: Tensor | None, weights: Tensor | None, like: Tensor) -> Tensor:
        """Return the angles in radians.

        Args:
            inputs: ``(batch, num_inputs)``.
            weights: ``(num_weights,)``.
            like: Real; gives dtype and device.

        Returns:
            ``(count, batch)``, or ``(count, 1)`` where no angle depends on inputs.
        """
        place = (like.dtype, like.device)
        if place not in self._tensors:
            arrays = {**self._matrices, "offset": self._offset}
            self._tensors[place] = {
                name: torch.tensor(array, dtype=like.dtype, device=like.device)
                for name, array in arrays.items()
            }
        tensors = self._tensors[place]
        total = tensors["offset"]
        if "weights" in self.joined and weights is not None:
            total = torch.addmm(total, tensors["weights"], weights.unsqueeze(1))
        if "inputs" in self.joined and inputs is not None:
            total = torch.addmm(total, tensors["inputs"], inputs.t())
        if self._others:
            values = {
                row: angle.evaluate(inputs, weights, like).reshape(1, -1)
                for row, angle in self._others.items()
            }
            width = max([total.shape[1], *(value.shape[1] for value in values.values())])
            rows = [values.get(row, total[row : row + 1]) for row in range(self.count)]
            total = torch.cat([row.expand(1, width) for row in rows])
        return total
