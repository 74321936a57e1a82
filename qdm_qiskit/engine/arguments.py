"""Arguments of a program, checked before anything is computed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..arguments import wrong
from ..errors import InvalidData

__all__ = [
    "PRECISIONS",
    "Signature",
    "check_tensors",
]

PRECISIONS = (torch.float32, torch.float64)
"""Real precisions in which the engine computes."""


@cache
def _scalar(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a tensor that carries precision and device; nobody writes to it."""
    return torch.zeros((), dtype=dtype, device=device)


def check_tensors(**given: Any) -> None:
    """Refuse arguments that are neither tensors nor None: numpy's would set another precision.

    Raises:
        InvalidArgument: With the argument's name.
    """
    for name, value in given.items():
        if value is not None and not isinstance(value, Tensor):
            raise wrong(value, name, "a tensor or None", "torch.as_tensor makes one")


@dataclass(frozen=True)
class Signature:
    """Arguments that a program takes.

    All methods raise :class:`~qdm_qiskit.errors.InvalidData`, in one line.
    """

    num_qubits: int
    num_inputs: int
    num_weights: int
    active: tuple[int, ...]
    """Qubits that an initial state may cover, unless the circuit resets them first."""
    fresh: frozenset[int] = frozenset()
    """Qubits that the circuit resets first; no initial state may cover them."""
    dtype: torch.dtype | None = None
    """Real precision where no tensor decides; torch's default if None."""
    weights_of_samples: bool = True
    """True if each sample may have weights of its own."""

    def check(
        self,
        inputs: Tensor | None,
        weights: Tensor | None,
        initial_state: Tensor | None,
        initial_qubits: Sequence[int] | None,
        *,
        values: bool = True,
    ) -> tuple[int, Tensor, tuple[int, ...]]:
        """Return the batch size, a real tensor that carries dtype and device, and covered qubits.

        ``values`` is False where the caller looks for NaN and infinity.
        """
        covered: tuple[int, ...] = ()
        if initial_state is not None or initial_qubits is not None:
            covered = self._covered(initial_state, initial_qubits)
        batches = []
        if self.num_inputs or inputs is not None:
            if inputs is None or inputs.ndim != 2 or inputs.shape[1] != self.num_inputs:
                raise InvalidData(
                    f"Inputs have shape (batch, {self.num_inputs}), "
                    f"got {None if inputs is None else tuple(inputs.shape)}."
                )
            batches.append(inputs.shape[0])
        if self.num_weights or weights is not None:
            if weights is None or weights.shape != (self.num_weights,):
                raise self.wrong_weights(weights)
        if initial_state is not None:
            if initial_state.ndim != 2 or initial_state.shape[1] != 2 ** len(covered):
                raise InvalidData(
                    f"Initial states have shape (batch, {2 ** len(covered)}), "
                    f"got initial_state of {tuple(initial_state.shape)}."
                )
            batches.append(len(initial_state))
        if 0 in batches:
            raise InvalidData("A batch holds at least one sample, got none.")
        if len(batches) > 1 and len(set(batches)) > 1:
            raise InvalidData(f"Inputs and initial states have one batch size, got {batches}.")
        for name, tensor in (("Inputs", inputs), ("Weights", weights)):
            if tensor is not None and tensor.is_complex():
                raise InvalidData(f"{name} are angles and must be real, got {tensor.dtype}.")
            # One sum, one number: NaN and infinity survive the addition.
            if tensor is None or not values:
                continue
            if not math.isfinite(float(tensor.detach().sum())):
                raise InvalidData(f"{name} must be finite, got NaN or infinity.")
        like = self._like((weights, inputs, initial_state))
        return (batches[0] if batches else 1), like, covered

    def _covered(
        self, initial_state: Tensor | None, initial_qubits: Sequence[int] | None
    ) -> tuple[int, ...]:
        covered = self.active if initial_qubits is None else tuple(map(int, initial_qubits))
        if len(set(covered)) != len(covered) or not set(covered) <= set(range(self.num_qubits)):
            raise InvalidData(
                f"initial_qubits are distinct and below {self.num_qubits}, got {list(covered)}."
            )
        if initial_state is None:
            return ()
        if not set(covered) <= set(self.active):
            raise InvalidData(
                f"initial_qubits are among those on which gates act, {list(self.active)}, "
                f"got {list(covered)}."
            )
        if self.fresh.intersection(covered):
            raise InvalidData(
                f"The circuit starts by resetting qubits {sorted(self.fresh)}, which the engine "
                "cannot do to an initial state; name the other qubits in initial_qubits."
            )
        return covered

    def _like(self, tensors: Sequence[Tensor | None]) -> Tensor:
        given = [tensor for tensor in tensors if tensor is not None]
        like = given[0] if given else torch.zeros((), dtype=self.dtype)
        real = like.dtype.to_real()
        if real not in PRECISIONS:
            raise InvalidData(
                f"The engine computes with real numbers of float32 or float64, got {like.dtype}."
            )
        return _scalar(real, like.device)

    def check_rows(
        self,
        weights: Tensor | None,
        rows: Tensor,
        inputs: Tensor | None,
        initial_state: Tensor | None,
    ) -> None:
        """Check a table of weights, the rows that samples name, and inputs and states beside them."""
        fits = weights is not None and weights.ndim == 2 and weights.shape[1] == self.num_weights
        if not fits:
            raise InvalidData(
                f"With weight_rows, weights are a table (rows, {self.num_weights}), "
                f"got {None if weights is None else tuple(weights.shape)}."
            )
        assert weights is not None
        if rows.ndim != 1 or rows.dtype != torch.int64 or not len(rows):
            raise InvalidData(
                "weight_rows is an int64 tensor (batch,), at least one sample long, "
                f"got {tuple(rows.shape)} of {rows.dtype}."
            )
        low, high = (int(each) for each in torch.aminmax(rows))
        if low < 0 or high >= len(weights):
            raise InvalidData(
                f"weight_rows name rows 0 .. {len(weights) - 1} of the weights, got {low} .. {high}."
            )
        for name, tensor in (("inputs", inputs), ("initial_state", initial_state)):
            if tensor is not None and tensor.ndim and len(tensor) != len(rows):
                raise InvalidData(
                    f"weight_rows and {name} have one batch size, got {len(rows)} and {len(tensor)}."
                )
        self.check_memory(len(rows))

    def selected(self, postselect: Mapping[int, int] | None) -> dict[int, int]:
        """Return post-selected qubits and their outcomes, checked."""
        chosen = dict(postselect or {})
        if not all(0 <= qubit < self.num_qubits for qubit in chosen):
            raise InvalidData(f"postselect names qubits below {self.num_qubits}, got {chosen}.")
        if not set(chosen.values()) <= {0, 1}:
            raise InvalidData(f"postselect gives each qubit an outcome of 0 or 1, got {chosen}.")
        return chosen

    def wrong_weights(self, weights: Tensor | None) -> InvalidData:
        """Return the error for weights of a wrong shape."""
        got = None if weights is None else tuple(weights.shape)
        more = f" or (batch, {self.num_weights})" if self.weights_of_samples else ""
        return InvalidData(f"Weights have shape ({self.num_weights},){more}, got {got}.")

    def check_memory(self, batch: int) -> None:
        """Refuse states that the memory cannot hold, before anything is allocated.

        Raises:
            InvalidData: With both numbers.
        """
        needed = 3 * 8 * batch * 2**self.num_qubits  # state, gradient and one to write into
        if needed < 2**28:
            return
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if needed > available:
            raise InvalidData(
                f"{batch} states of {self.num_qubits} qubits need at least {needed / 2**30:.4g} GiB, "
                f"this machine has {available / 2**30:.4g} GiB; take fewer qubits or smaller batches."
            )
