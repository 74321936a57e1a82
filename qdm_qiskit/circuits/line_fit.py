"""Fit of gates along a line of qubits to states, for a whole batch of states at once.

Blocks of real states are fitted in machine code, see :mod:`.block_fit`; the gates of complex ones by
numpy.

A fit sweeps over steps, each a gate on two neighbours with a bilinear form: ``G(p, q)`` is the sum
of ``p[a] q[b] basis[a, b]`` with unit vectors p and q. All else held, the overlap of the circuit's
state with the wanted one is ``p M q``, which alternating normalised products raise, so a sweep never
lowers the overlap and there is no step size to choose.

Three kinds of step are enough. ``turn``: a rotation on each of two qubits. ``brick``: the same behind
a CZ. ``block``: any element of SO(4), which two CZ and six RY make; its two vectors are the unit
quaternions of SO(4) = SU(2) x SU(2) / Z2, see :func:`.line_angles.block_turns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

__all__ = ["Kind", "Step", "Vectors", "basis", "fit_line", "states_of"]

Kind = Literal["turn", "brick", "block"]
Vectors = tuple[list[np.ndarray], list[np.ndarray]]
"""p and q of each step, ``(batch, k)`` with unit rows."""
SPREAD = 0.05
"""Standard deviation of the first guess of a gate's vectors around no rotation."""
WIDEST = 8
"""Most basis states of the qubits beside a gate that its matrix is widened by: one product of larger
matrices takes less time than many small ones."""
SQUARINGS = 4
"""Squarings of a form's square: as good as ``2**4`` alternating products, at once."""
TINY = 1e-30
MOMENTUM = 0.9
"""Share of a vector's latest change that it is moved on by before the next sweep."""
FREE_SWEEPS = 3
"""Sweeps at the start and at the end without momentum."""
NEAR_FREE_SWEEPS = 1
"""The same behind a first guess of a row's own."""
MOST_VALUES = 1 << 23
"""Most numbers that a fit keeps at once; larger batches are fitted in parts."""

I2 = np.eye(2)
IY = np.array([[0.0, -1.0], [1.0, 0.0]])  # -iY, the generator of RY
X, Z = np.array([[0.0, 1.0], [1.0, 0.0]]), np.diag([1.0, -1.0])
CZ = np.diag([1.0, 1.0, 1.0, -1.0])


@dataclass(frozen=True)
class Step:
    """A gate on positions ``at`` and ``at + 1`` of the line; the first is the more significant."""

    kind: Kind
    at: int


@cache
def basis(kind: Kind, complex_states: bool) -> np.ndarray:
    """Return the matrices whose sums a step's gate is.

    Returns:
        ``(k, k, 4, 4)``, not to be changed: k is 2 for real turns and bricks, else 4.
    """
    if kind == "block":
        one, other = np.kron(IY, I2), np.kron(I2, IY)
        # CZ takes each group's second generator from the other's first one.
        left, right = [np.eye(4), one, CZ @ other @ CZ], [np.eye(4), other, CZ @ one @ CZ]
        left.append(left[1] @ left[2])
        right.append(right[1] @ right[2])
        found = np.array([[a @ b for b in right] for a in left])
    else:
        single = [I2, IY] if not complex_states else [I2, IY, -1j * Z, -1j * X]
        behind = CZ if kind == "brick" else np.eye(4)
        found = np.array([[np.kron(a, b) @ behind for b in single] for a in single])
    found.setflags(write=False)
    return found


def fit_line(
    states: np.ndarray,
    steps: tuple[Step, ...],
    *,
    sweeps: int,
    seed: int = 0,
    start: Vectors | None = None,
) -> Vectors:
    """Fit the gates of a line's circuit on \\|0> to states.

    Args:
        states: ``(batch, 2**n)`` real or complex with unit rows; position 0 of the line is the most
            significant bit.
        steps: The gates in their order.
        sweeps: Number of times that all gates are visited, back and forth; at least 1.
        seed: Seed of the first guess, the same for all rows.
        start: A first guess of each row in place of that one, as it is returned.

    Returns:
        For each step p and q, ``(batch, k)`` float64 with unit rows. A row depends on its own state and
        its own first guess only.
    """
    batch, size = states.shape
    if not np.iscomplexobj(states) and all(step.kind == "block" for step in steps):
        return _fitted_blocks(states, steps, sweeps, seed, start)
    rows = max(1, MOST_VALUES // (size * (len(steps) + 1)))
    parts = []
    for first in range(0, batch, rows):
        part = slice(first, first + rows)
        own = None if start is None else tuple([each[part] for each in side] for side in start)
        parts.append(_fitted(states[part], steps, sweeps, seed, own))
    joined = [
        [np.concatenate([part[side][k] for part in parts]) for k in range(len(steps))]
        for side in (0, 1)
    ]
    return joined[0], joined[1]


def _fitted_blocks(
    states: np.ndarray, steps: tuple[Step, ...], sweeps: int, seed: int, start: Vectors | None
) -> Vectors:
    from .block_fit import fit_blocks  # takes LLVM, which takes its time to load

    if start is None:
        rng = np.random.default_rng(seed)
        guess = np.concatenate([[_first(rng, 4) for _ in steps] for _ in range(2)], axis=1)
        guess = np.broadcast_to(guess, (len(states), *guess.shape))
    else:
        guess = np.concatenate([np.stack(side, axis=1) for side in start], axis=2)
    found = fit_blocks(
        states,
        tuple(step.at for step in steps),
        guess,
        basis("block", False),
        sweeps=sweeps,
        free=FREE_SWEEPS if start is None else NEAR_FREE_SWEEPS,
        momentum=MOMENTUM,
    ).astype(float)
    return [*found[:, :, :4].swapaxes(0, 1)], [*found[:, :, 4:].swapaxes(0, 1)]


def states_of(
    steps: tuple[Step, ...], p: list[np.ndarray], q: list[np.ndarray], size: int
) -> np.ndarray:
    """Return what the steps make of \\|0>, ``(batch, size)`` in single precision."""
    complex_states = any(
        step.kind != "block" and each.shape[1] == 4 for step, each in zip(steps, p, strict=True)
    )
    states = np.zeros((len(p[0]), size), np.complex64 if complex_states else np.float32)
    states[:, 0] = 1
    for step, left, right in zip(steps, p, q, strict=True):
        place = _Place.of(step, size, complex_states)
        states = place.applied(
            place.matrix(*(each.astype(np.float32) for each in (left, right))), states
        )
    return states


def _fitted(
    states: np.ndarray,
    steps: tuple[Step, ...],
    sweeps: int,
    seed: int,
    start: tuple[list[np.ndarray], ...] | None,
) -> Vectors:
    complex_states = np.iscomplexobj(states)
    wanted = states.astype(np.complex64 if complex_states else np.float32)
    places = [_Place.of(step, states.shape[1], complex_states) for step in steps]
    if start is None:
        rng = np.random.default_rng(seed)
        p, q = (
            [np.tile(_first(rng, place.count), (len(states), 1)) for place in places]
            for _ in range(2)
        )
    else:
        p, q = ([each.astype(np.float32) for each in side] for side in start)
    momentum, free = _Momentum(len(states)), FREE_SWEEPS if start is None else NEAR_FREE_SWEEPS
    for sweep in range(sweeps):
        if free <= sweep < sweeps - free:
            p, q = momentum.moved(p, q)
        overlap = _swept(wanted, places, p, q)
        momentum.seen(np.abs(overlap))
    return [each.astype(float) for each in p], [each.astype(float) for each in q]


def _swept(
    wanted: np.ndarray, places: list[_Place], p: list[np.ndarray], q: list[np.ndarray]
) -> np.ndarray:
    """Visit all gates back and forth, change their vectors in the lists, return the overlaps."""
    start = np.zeros_like(wanted)
    start[:, 0] = 1
    kets, bras = [start], [wanted] * (len(places) + 1)
    for k, place in enumerate(places):
        kets.append(place.applied(place.matrix(p[k], q[k]), kets[k]))
    for k in reversed(range(len(places))):
        p[k], q[k] = places[k].raised(bras[k + 1], kets[k], p[k], q[k])
        matrix = places[k].matrix(p[k], q[k])
        bras[k] = places[k].applied(matrix.conj().swapaxes(1, 2), bras[k + 1])
    for k, place in enumerate(places):
        p[k], q[k] = place.raised(bras[k + 1], kets[k], p[k], q[k])
        kets[k + 1] = place.applied(place.matrix(p[k], q[k]), kets[k])
    found: np.ndarray = (wanted.conj() * kets[-1]).sum(axis=1)
    return found


class _Momentum:
    """Extrapolation from sweep to sweep, taken back for rows whose overlap fell.

    Sweeps alone creep along the directions in which many gates have to move together.
    """

    def __init__(self, batch: int) -> None:
        self._best = np.zeros(batch)
        self._factor = np.zeros((batch, 1), np.float32)
        self._before: tuple[list[np.ndarray], list[np.ndarray]] | None = None

    def seen(self, overlap: np.ndarray) -> None:
        """Take the overlaps behind a sweep: where they fell, the next one starts without a push."""
        self._factor = np.where(overlap >= self._best, MOMENTUM, 0.0)[:, None].astype(np.float32)
        self._best = overlap

    def moved(
        self, p: list[np.ndarray], q: list[np.ndarray]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the vectors, pushed on by their latest change."""
        before = self._before
        self._before = list(p), list(q)
        if before is None:
            return list(p), list(q)
        pushed = [
            [
                _unit(new + self._factor * (new - old), new)
                for new, old in zip(now, then, strict=True)
            ]
            for now, then in zip((p, q), before, strict=True)
        ]
        return pushed[0], pushed[1]


def _first(rng: np.random.Generator, count: int) -> np.ndarray:
    guess: np.ndarray = SPREAD * rng.normal(size=count).astype(np.float32)
    guess[0] = 1
    return guess / np.linalg.norm(guess)


def _unit(vectors: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Return unit rows; rows without a direction are those of ``otherwise``."""
    squares = (vectors * vectors).sum(axis=1, keepdims=True)
    if squares.min() > 0:
        return vectors / np.sqrt(squares)
    return np.where(squares > 0, vectors / np.sqrt(np.where(squares > 0, squares, 1)), otherwise)


@dataclass(frozen=True, eq=False)
class _Place:
    """A step's basis and place, as products of matrices want them."""

    basis: np.ndarray
    """``(k * k, 16)``: flattened matrices."""
    shape: tuple[int, ...]
    """Shape of a state in which the widened gate acts on axis ``-2`` or, if transposed, the last."""
    count: int
    wide: int
    """Basis states beside the gate that its matrix is widened by; 1 for none."""
    transposed: bool

    @staticmethod
    def of(step: Step, size: int, complex_states: bool) -> _Place:
        return _place(step.kind, 2**step.at, size // (4 * 2**step.at), complex_states)

    def matrix(self, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Return the gates, ``(batch, m, m)`` with m = 4 ``wide``."""
        both = (p[:, :, None] * q[:, None]).reshape(len(p), 1, -1)
        gates = (both @ self.basis).reshape(len(p), 4, 4)
        if self.wide == 1:
            return gates
        found = np.zeros((len(p), 4 * self.wide, 4 * self.wide), gates.dtype)
        if self.transposed:
            sides = np.einsum("bixjx->bxij", found.reshape(-1, 4, self.wide, 4, self.wide))
        else:
            sides = np.einsum("bxixj->bxij", found.reshape(-1, self.wide, 4, self.wide, 4))
        sides[...] = gates[:, None]  # a view
        return found

    def _summed(self, matrices: np.ndarray) -> np.ndarray:
        """Return the sums of those blocks, ``(batch, 1, 16)``."""
        if self.wide == 1:
            found = matrices if matrices.ndim == 3 else matrices.sum(axis=1)
        elif self.transposed:
            found = np.einsum("bixjx->bij", matrices.reshape(-1, 4, self.wide, 4, self.wide))
        else:
            found = np.einsum("bxixj->bij", matrices.reshape(-1, self.wide, 4, self.wide, 4))
        return found.reshape(-1, 1, 16)

    def applied(self, matrix: np.ndarray, states: np.ndarray) -> np.ndarray:
        """Return the states behind the gates."""
        seen = states.reshape(len(states), *self.shape)
        if self.transposed:
            return (seen @ matrix.swapaxes(1, 2)).reshape(states.shape)
        among = (1,) * (len(self.shape) - 2)
        return (matrix.reshape(-1, *among, *matrix.shape[1:]) @ seen).reshape(states.shape)

    def raised(
        self, bra: np.ndarray, ket: np.ndarray, p: np.ndarray, q: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return vectors with which the overlap of bra and gate times ket is larger."""
        b, c = (each.reshape(len(ket), *self.shape) for each in (bra, ket))
        sides = (b.swapaxes(1, 2), c) if self.transposed else (b, c.swapaxes(-1, -2))
        found = sides[0].conj() @ sides[1]
        form = (self._summed(found) @ self.basis.T).reshape(-1, self.count, self.count)
        if np.iscomplexobj(form):
            overlap = (p[:, None] @ form @ q[:, :, None]).ravel()
            size = np.abs(overlap)
            turned = np.where(size > 0, overlap.conj(), 1) / np.where(size > 0, size, 1)
            form = (turned[:, None, None] * form).real
        # Scaled, so that small overlaps of wide states do not vanish when they are squared.
        # A largest entry of 1 / 2 keeps the largest eigenvalue within 4 and 1 / 4.
        form = form / (2 * np.maximum(np.abs(form).max(axis=(1, 2), keepdims=True), TINY))
        power = form.swapaxes(1, 2) @ form
        for _ in range(SQUARINGS):
            power = power @ power
        q = _unit((power @ q[:, :, None])[:, :, 0], q)
        return _unit((form @ q[:, :, None])[:, :, 0], p), q


@cache
def _place(kind: Kind, above: int, below: int, complex_states: bool) -> _Place:
    gates = basis(kind, complex_states)
    count = len(gates)
    flat = gates.reshape(count * count, 16)
    kept = flat.astype(np.complex64 if complex_states else np.float32)
    if min(above, below) > WIDEST:
        return _Place(kept, (above, 4, below), count, 1, False)
    if above <= below:
        return _Place(kept, (4 * above, below), count, above, False)
    return _Place(kept, (above, 4 * below), count, below, True)
