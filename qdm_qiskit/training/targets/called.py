"""Executor of a layer by circuit calls: outputs, and their derivatives by shifted rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import final

import numpy as np
import torch
from qiskit.circuit import Parameter
from torch import Tensor

from ...circuits import CircuitSpec
from ...circuits.readouts import ProbabilityReadout
from ...execution.calls import CircuitCall
from ...layers.arrays import to_array
from ...layers.calling import ExactTarget
from ...layers.executors import renormalised
from .loading import input_values
from .shifts import FreeAngles

__all__ = ["Ask", "ShiftedExecutor", "shifted_rows"]

Ask = Callable[[CircuitCall], np.ndarray]
"""Function that gives the outputs of a call, ``(rows, num_outputs)`` float64."""

MOST_SIMULATED = 12
"""Most qubits of a circuit of which angles that no output depends on are looked for."""


@final
class ShiftedExecutor:
    """An :data:`.Executor` of a layer whose circuit runs elsewhere, in one call.

    The circuit that is called has every free angle of a gate as an input of its own, so that it stays
    the same while weights are trained: a target transpiles it once. Gates that are no rotations
    (controlled ones, or of several angles) are taken apart into rotations first. Each angle then has
    the rule of two terms: half the difference of the outputs a quarter of a turn ahead and behind. A
    controlled rotation has two such angles, and so the four circuits of the rule of four terms. Factors
    of a parameter, and parameters of several gates, are the chain rule's.

    Rows that are shifted go into the same call as the rows themselves, since they do not depend on
    their answer.

    Args:
        name: Path of the layer in its model, the call's name.
        spec: The circuit, with the loader that runs.
        ask: Gives the outputs of a call.
    """

    def __init__(self, name: str, spec: CircuitSpec, ask: Ask) -> None:
        self.name, self.spec, self._ask = name, spec, ask
        plain = spec.full_circuit(measure=False)
        self._free = FreeAngles(plain, plain)
        circuit = self._free.circuit.assign_parameters(
            {p: Parameter(f"x_{k:04d}") for k, p in enumerate(self._free.circuit.parameters)}
        )
        circuit.name = spec.name
        readout = spec.readout
        if isinstance(readout, ProbabilityReadout):
            # A quotient has no rule of two terms, its numerator and denominator have.
            readout = replace(readout, renormalise=False)
        self.called = CircuitSpec(
            name=spec.name,
            circuit=circuit,
            encoding="angle",
            data_qubits=tuple(range(spec.num_qubits)),
            readout=readout,
            source=spec.source,
        )
        self._live = self._seen()
        self.turns: Tensor | None = None
        """Angles of the last call, ``(rows, angles)``, with their graph."""
        self.shifted = 0
        """Angles of the last call that were shifted."""

    def __call__(self, angles: Tensor, amplitudes: Tensor | None, inputs: Tensor | None) -> Tensor:
        """Return outputs, differentiable in the angles, the inputs, and what is loaded."""
        values = input_values(self.spec, amplitudes, inputs)
        turns = self._free(values, angles.double())
        moving: list[int] = []
        if torch.is_grad_enabled():
            trained = self._free.moving(values, angles)
            moving = [k for k, moves in enumerate(trained) if moves and self._live[k]]
        self.turns, self.shifted = turns, len(moving)
        rows = to_array(turns.detach())
        found = torch.from_numpy(
            self._ask(
                CircuitCall(
                    name=self.name,
                    spec=self.called,
                    angles=np.zeros(0),
                    inputs=shifted_rows(rows, moving) if rows.shape[1] else None,
                )
            )
        )
        outputs = found[: len(rows)]
        if moving:
            ahead, behind = found[len(rows) :].reshape(2, len(moving), len(rows), -1)
            chosen = turns[:, moving]
            # The second part is 0, and has the derivatives.
            change = torch.einsum("rk,kro->ro", chosen - chosen.detach(), (ahead - behind) / 2)
            outputs = outputs + change
        readout = self.spec.readout
        if isinstance(readout, ProbabilityReadout) and readout.renormalise:
            outputs = renormalised(self.spec, outputs)
        return outputs.to(angles)

    def _seen(self) -> list[bool]:
        """Return of each angle whether an output depends on it; True where nobody has looked.

        The phases before a measurement do not, and shifting them would be paid for in vain.
        """
        count = self._free.count
        if not count or self.spec.num_qubits > MOST_SIMULATED:
            return [True] * count
        rows = np.random.default_rng(0).uniform(-np.pi, np.pi, size=(2, count))
        call = CircuitCall(
            name=self.name,
            spec=self.called,
            angles=np.zeros(0),
            inputs=shifted_rows(rows, list(range(count))),
        )
        [found] = ExactTarget().answer([call])
        ahead, behind = found.outputs[len(rows) :].reshape(2, count, len(rows), -1)
        slopes = np.abs(ahead - behind).max(axis=(1, 2))
        return [bool(each > 1e-9) for each in slopes]


def shifted_rows(rows: np.ndarray, moving: list[int]) -> np.ndarray:
    """Return the rows, and behind them the rows with each moving angle shifted.

    Args:
        rows: ``(rows, angles)`` in radians.
        moving: Positions of the angles.

    Returns:
        ``((1 + 2 * moving) * rows, angles)``: the rows; those a quarter of a turn ahead, one angle
        after the other; those behind.
    """
    shifted = np.repeat(rows[None], 2 * len(moving), axis=0).reshape(2, len(moving), *rows.shape)
    for place, k in enumerate(moving):
        shifted[0, place, :, k] += np.pi / 2
        shifted[1, place, :, k] -= np.pi / 2
    return np.concatenate([rows, shifted.reshape(-1, rows.shape[1])])
