"""What a program is given, checked before anything is computed."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..arguments import wrong
from ..errors import InvalidData

COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
REAL = {complex_: real for real, complex_ in COMPLEX.items()}


@cache
def _like(dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor that carries precision and device; nobody writes to it."""
    return torch.zeros((), dtype=dtype, device=device)


def namesakes(missing: Iterable[str], foreign: Iterable[str]) -> str:
    """What to add to an error where parameters of one circuit are meant for another one."""
    if set(missing).isdisjoint(foreign):
        return ""
    return " Parameters of one name are not the same; take those of `circuit.parameters`."


@dataclass(frozen=True)
class Signature:
    """What a program takes.

    All methods raise :class:`~qdm_qiskit.errors.InvalidData`, in one line; :meth:`check_tensors`
    raises :class:`~qdm_qiskit.errors.InvalidArgument`.
    """

    num_qubits: int
    num_inputs: int
    num_weights: int
    fresh: frozenset[int]
    """Qubits that the circuit resets first; no initial state may cover them."""
    dtype: torch.dtype
    """Real; where no tensor decides."""

    def check_tensors(self, **given: Any) -> None:
        """Each argument is a tensor or None: numpy's arrays would set another precision."""
        for name, value in given.items():
            if value is not None and not isinstance(value, Tensor):
                raise wrong(value, name, "a tensor or None", "torch.as_tensor makes one")

    def check(
        self,
        inputs: Tensor | None,
        weights: Tensor | None,
        initial_state: Tensor | None,
        initial_qubits: Sequence[int] | None,
    ) -> tuple[int, Tensor, tuple[int, ...]]:
        """The batch size, a real tensor that carries dtype and device, and the covered qubits."""
        covered = tuple(range(self.num_qubits) if initial_qubits is None else initial_qubits)
        if len(set(covered)) != len(covered) or not set(covered) <= set(range(self.num_qubits)):
            raise InvalidData(
                f"initial_qubits are distinct and below {self.num_qubits}, got {list(covered)}."
            )
        if initial_state is None:
            covered = ()
        elif self.fresh.intersection(covered):
            raise InvalidData(
                f"The circuit starts by resetting qubits {sorted(self.fresh)}, which the engine "
                "cannot do to an initial state; name the other qubits in initial_qubits."
            )
        batches = []
        if self.num_inputs or inputs is not None:
            if inputs is None or inputs.ndim != 2 or inputs.shape[1] != self.num_inputs:
                raise InvalidData(
                    f"Inputs have shape (batch, {self.num_inputs}), "
                    f"got {None if inputs is None else tuple(inputs.shape)}."
                )
            batches.append(len(inputs))
        if self.num_weights or weights is not None:
            if weights is None or tuple(weights.shape) != (self.num_weights,):
                raise self.wrong_weights(weights)
        if initial_state is not None:
            if initial_state.ndim != 2 or initial_state.shape[1] != 2 ** len(covered):
                raise InvalidData(
                    f"Initial states have shape (batch, {2 ** len(covered)}), "
                    f"got {tuple(initial_state.shape)}."
                )
            batches.append(len(initial_state))
        if 0 in batches:
            raise InvalidData("A batch holds at least one sample, got none.")
        self.check_memory(max(batches, default=1))
        if len(set(batches)) > 1:
            raise InvalidData(f"Inputs and initial states have one batch size, got {batches}.")
        for name, tensor in (("Inputs", inputs), ("Weights", weights)):
            if tensor is not None and tensor.is_complex():
                raise InvalidData(f"{name} are angles and must be real, got {tensor.dtype}.")
            # One sum, one number: NaN and infinity survive the addition.
            if tensor is not None and not math.isfinite(float(tensor.detach().sum())):
                raise InvalidData(f"{name} must be finite, got NaN or infinity.")
        given = [tensor for tensor in (weights, inputs, initial_state) if tensor is not None]
        like = given[0] if given else torch.zeros((), dtype=self.dtype)
        real = REAL.get(like.dtype, like.dtype)
        if real not in COMPLEX:
            raise InvalidData(f"The engine computes in float32 or float64, got {like.dtype}.")
        return (batches[0] if batches else 1), _like(real, like.device), covered

    def check_rows(
        self,
        weights: Tensor | None,
        rows: Tensor,
        inputs: Tensor | None,
        initial_state: Tensor | None,
    ) -> None:
        """A table of weights, the row that each sample names, and what goes with the samples."""
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
        for name, tensor in (("inputs", inputs), ("initial states", initial_state)):
            if tensor is not None and tensor.ndim and len(tensor) != len(rows):
                raise InvalidData(
                    f"weight_rows and {name} have one batch size, got {len(rows)} and {len(tensor)}."
                )
        self.check_memory(len(rows))

    def selected(self, postselect: Mapping[int, int] | None) -> dict[int, int]:
        """Post-selected qubits and their outcomes, checked."""
        chosen = dict(postselect or {})
        if not all(0 <= qubit < self.num_qubits for qubit in chosen):
            raise InvalidData(
                f"Qubits must be distinct and below {self.num_qubits}, got post-selected {chosen}."
            )
        if not set(chosen.values()) <= {0, 1}:
            raise InvalidData(f"Outcomes are 0 or 1, got {chosen}.")
        return chosen

    def wrong_weights(self, weights: Tensor | None) -> InvalidData:
        """The error for weights of a wrong shape."""
        got = None if weights is None else tuple(weights.shape)
        return InvalidData(
            f"Weights have shape ({self.num_weights},) or (batch, {self.num_weights}), got {got}."
        )

    def check_memory(self, batch: int) -> None:
        """Refuse, before anything is allocated, states that the memory cannot hold.

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
