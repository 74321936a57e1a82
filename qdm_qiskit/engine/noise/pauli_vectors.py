"""Vectors over Pauli strings: of pure states, and observables read in product states."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from .channels import PAULIS
from .constants import Constants
from .pictures import Picture, Pictures

__all__ = [
    "contracted",
    "contraction_numbers",
    "initial_numbers",
    "on_every_digit",
    "pauli_vector",
]

_COPIES = 12
"""Real vectors for which :func:`pauli_vector` takes room: complex ones in another order, the product
with them and its parts, of two each, with what lies idle between them."""
_BACK = 2
"""As many more on the way back."""


def pauli_vector(states: Tensor, constants: Constants) -> Tensor:
    """Return ``tr(P |psi><psi|)`` for all P, ``(4**k, batch)``, of amplitudes ``(batch, 2**k)``."""
    batch, size = states.shape
    k = size.bit_length() - 1
    axes = [axis for p in range(k) for axis in (1 + p, 1 + k + p)]
    # tr(P rho) = sum_ij conj(P)_ij rho_ij, as P is Hermitian.
    matrix = constants.of("vector", PAULIS.reshape(4, 4).conj(), states.real.detach(), states.dtype)
    # No name holds what is large, so that it goes when the next is there.
    return (
        on_every_digit(
            (states.unsqueeze(2) * states.conj().unsqueeze(1))
            .reshape(batch, *[2] * (2 * k))
            .permute(0, *axes)
            .reshape(batch, 4**k),
            matrix,
        )
        .real.t()
        .contiguous()
    )


def initial_numbers(qubits: int, batch: int, *, back: bool) -> int:
    """Return how many real numbers initial states take as vectors, at most at a time.

    Args:
        qubits: That they cover.
        batch: Samples.
        back: True if their gradient is wanted.
    """
    return (_COPIES + (_BACK if back else 0)) * batch * 4**qubits


def on_every_digit(x: Tensor, matrix: Tensor) -> Tensor:
    """Apply a 4 x 4 matrix to every base-4 digit of ``(batch, 4**k)``."""
    shape = x.shape
    k = (shape[1].bit_length() - 1) // 2
    for _ in range(k):  # each turn moves the first digit to the end
        x = (x.reshape(shape[0], 4, -1).transpose(1, 2) @ matrix.t()).reshape(shape)
    return x


def contracted(pictures: Pictures, observables: Tensor, state: dict[int, Tensor]) -> Tensor:
    """Return the values of observables in a product state, ``(observables, columns)``.

    Args:
        pictures: How the qubits lie on both sides.
        observables: ``(4**n, observables)`` at the start of the circuit, or where samples end.
        state: Component to ``(4**k, batch or 1)``.
    """
    assert pictures.backward is not None  # the caller has evolved observables
    order, m = pictures.backward.orders[0], observables.shape[1]
    parts = sorted(state, key=lambda c: (state[c].shape[1] > 1, -state[c].shape[0]))
    orders = [pictures.forward.orders[c] for c in parts]
    reached = {q for part in orders for q in part}
    fresh = [q for q in order if q not in reached]
    shared = [c for c in parts if state[c].shape[1] == 1]
    own = [c for c in parts if state[c].shape[1] != 1]
    halves: tuple[list[int], list[int]] = ([], [])
    for c in own:  # the larger ones first
        min(halves, key=lambda half: sum(len(pictures.forward.orders[k]) for k in half)).append(c)
    wanted = [*fresh]
    for c in (*shared, *halves[0], *halves[1]):
        wanted += pictures.forward.orders[c]
    n = len(order)
    axes = [order.index(q) for q in wanted]
    x = observables.reshape(*[4] * n, m).permute(*axes, n)
    for _ in fresh:
        x = x[0] + x[3]  # I and Z are 1 in |0>
    for c in shared:
        vector = state[c].squeeze(1)
        x = vector @ x.reshape(len(vector), -1)
    if not own:
        return x.reshape(m, 1)
    first, second = (_product([state[c] for c in half]) for half in halves)
    assert first is not None  # there is at least one component, and it went there
    x = (first.t() @ x.reshape(first.shape[0], -1)).reshape(first.shape[1], -1, m)
    if second is None:
        return x.squeeze(1).t()
    return torch.bmm(second.t().unsqueeze(1), x).squeeze(1).t()


def contraction_numbers(picture: Picture, observables: int, batch: int, *, kept: bool) -> int:
    """Return how many numbers :func:`contracted` takes beside what it is given.

    Args:
        picture: The forward one.
        observables: Number of strings.
        batch: Samples.
        kept: True if a backward pass follows.
    """
    sizes = [0, 0]
    own = [len(order) for c, order in picture.orders.items() if picture.batched[c]]
    for each in sorted(own, reverse=True):
        sizes[sizes.index(min(sizes))] += each
    between = observables * 4 ** sizes[1] * batch  # the first half has been contracted
    products = (4 ** sizes[0] + 4 ** sizes[1]) * batch
    return (3 if kept else 2) * (between + products)


def _product(parts: Sequence[Tensor]) -> Tensor | None:
    """Return the tensor product of components ``(4**k, batch)``; None if there are none."""
    if not parts:
        return None
    return reduce(lambda x, y: (x.unsqueeze(1) * y.unsqueeze(0)).flatten(0, 1), parts)
