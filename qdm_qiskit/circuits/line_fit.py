"""Fit of gates along a line of qubits to states, for a whole batch of states at once.

A fit sweeps over steps, each a gate on two neighbours with a bilinear form: ``G(p, q)`` is the sum
of ``p[a] q[b] basis[a, b]`` with unit vectors p and q. All else held, the overlap of the circuit's
state with the wanted one is ``p M q``, which alternating normalised products raise. So the overlap
never falls, and no step size is to be chosen.

Three kinds of step are enough. ``turn``: a rotation on each of two qubits. ``brick``: the same behind
a CZ. ``block``: any element of SO(4), which two CZ and six RY make; its two vectors are the unit
quaternions of SO(4) = SU(2) x SU(2) / Z2, see :func:`.line_angles.block_turns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

__all__ = ["Kind", "Step", "basis", "fit_line"]

Kind = Literal["turn", "brick", "block"]
SPREAD = 0.1
"""Standard deviation of the first guess of a gate's vectors around no rotation."""
WIDEST = 8
"""Most basis states of the qubits beside a gate that its matrix is widened by: one product of larger
matrices takes less time than many small ones."""
SQUARINGS = 5
"""Squarings of a form's square: 2**6 alternating products at once."""
TINY = 1e-30
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
    states: np.ndarray, steps: tuple[Step, ...], *, sweeps: int, seed: int = 0
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Fit the gates of a line's circuit on \\|0> to states.

    Args:
        states: ``(batch, 2**n)`` real or complex with unit rows; position 0 of the line is the most
            significant bit.
        steps: The gates in their order.
        sweeps: Number of times that all gates are visited, back and forth; at least 1.
        seed: Seed of the first guess, the same for all rows.

    Returns:
        For each step p and q, ``(batch, k)`` float64 with unit rows. A row depends on its own state
        only.
    """
    batch, size = states.shape
    rows = max(1, MOST_VALUES // (size * (len(steps) + 1)))
    parts = [
        _fitted(states[start : start + rows], steps, sweeps, seed) for start in range(0, batch, rows)
    ]
    joined = [
        [np.concatenate([part[side][k] for part in parts]) for k in range(len(steps))]
        for side in (0, 1)
    ]
    return joined[0], joined[1]


def _fitted(
    states: np.ndarray, steps: tuple[Step, ...], sweeps: int, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    complex_states = np.iscomplexobj(states)
    wanted = states.astype(np.complex64 if complex_states else np.float32)
    places = [_Place.of(step, states.shape[1], complex_states) for step in steps]
    rng = np.random.default_rng(seed)
    p, q = ([_first(rng, place, len(states)) for place in places] for _ in range(2))
    start = np.zeros_like(wanted)
    start[:, 0] = 1
    kets, bras = [start], [wanted] * (len(steps) + 1)
    for k, place in enumerate(places):
        kets.append(place.applied(place.matrix(p[k], q[k]), kets[k]))
    for _ in range(sweeps):
        for k in reversed(range(len(steps))):
            p[k], q[k] = places[k].raised(bras[k + 1], kets[k], p[k], q[k])
            matrix = places[k].matrix(p[k], q[k])
            bras[k] = places[k].applied(matrix.conj().swapaxes(1, 2), bras[k + 1])
        for k, place in enumerate(places):
            p[k], q[k] = place.raised(bras[k + 1], kets[k], p[k], q[k])
            kets[k + 1] = place.applied(place.matrix(p[k], q[k]), kets[k])
    return [_unit(each.astype(float)) for each in p], [_unit(each.astype(float)) for each in q]


def _first(rng: np.random.Generator, place: _Place, batch: int) -> np.ndarray:
    guess = SPREAD * rng.normal(size=place.count).astype(np.float32)
    guess[0] = 1
    return np.tile(guess / np.linalg.norm(guess), (batch, 1))


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    # Where the overlap does not depend on a vector, any will do.
    return np.where(norms > 0, vectors, np.eye(1, vectors.shape[1])) / np.where(norms > 0, norms, 1)


@dataclass(frozen=True, eq=False)
class _Place:
    """A step's basis and place, as products of matrices want them."""

    basis: np.ndarray
    """``(k * k, m * m)``: flattened matrices, widened by identities on m / 4 states beside them."""
    shape: tuple[int, ...]
    """Shape of a state in which the gate acts on axis ``-2`` or, if transposed, on the last one."""
    count: int
    transposed: bool

    @staticmethod
    def of(step: Step, size: int, complex_states: bool) -> _Place:
        return _place(step.kind, 2**step.at, size // (4 * 2**step.at), complex_states)

    def matrix(self, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Return the gates, ``(batch, m, m)``."""
        m = self.shape[-1] if self.transposed else self.shape[-2]
        both = (p[:, :, None] * q[:, None]).reshape(len(p), 1, -1)
        return (both @ self.basis).reshape(len(p), m, m)

    def applied(self, matrix: np.ndarray, states: np.ndarray) -> np.ndarray:
        """Return the states behind the gates."""
        seen = states.reshape(len(states), *self.shape)
        if self.transposed:
            return (seen @ matrix.swapaxes(1, 2)).reshape(states.shape)
        return (matrix.reshape(-1, *(1,) * (len(self.shape) - 2), *matrix.shape[1:]) @ seen).reshape(
            states.shape
        )

    def raised(
        self, bra: np.ndarray, ket: np.ndarray, p: np.ndarray, q: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return vectors with which the overlap of bra and gate times ket is larger."""
        b, c = (each.reshape(len(ket), *self.shape) for each in (bra, ket))
        if self.transposed:
            found = b.conj().swapaxes(1, 2) @ c
        else:
            found = b.conj() @ c.swapaxes(-1, -2)
            if found.ndim == 4:
                found = found.sum(axis=1)
        form = (found.reshape(len(ket), 1, -1) @ self.basis.T).reshape(-1, self.count, self.count)
        if np.iscomplexobj(form):
            overlap = (p[:, None] @ form @ q[:, :, None]).ravel()
            size = np.abs(overlap)
            turned = np.where(size > 0, overlap.conj(), 1) / np.where(size > 0, size, 1)
            form = (turned[:, None, None] * form).real
        power = form.swapaxes(1, 2) @ form
        for _ in range(SQUARINGS):
            power = power / (np.trace(power, axis1=1, axis2=2)[:, None, None] + TINY)
            power = power @ power
        q = _unit((power @ q[:, :, None])[:, :, 0])
        p = _unit((form @ q[:, :, None])[:, :, 0])
        return p, q


@cache
def _place(kind: Kind, above: int, below: int, complex_states: bool) -> _Place:
    gates = basis(kind, complex_states)
    count = len(gates)
    flat = gates.reshape(-1, 4, 4)
    shape: tuple[int, ...]
    if min(above, below) > WIDEST:
        wide, shape, transposed = flat, (above, 4, below), False
    elif above <= below:
        wide = np.array([np.kron(np.eye(above), each) for each in flat])
        shape, transposed = (4 * above, below), False
    else:
        wide = np.array([np.kron(each, np.eye(below)) for each in flat])
        shape, transposed = (above, 4 * below), True
    kept = wide.reshape(count * count, -1).astype(np.complex64 if complex_states else np.float32)
    return _Place(kept, shape, count, transposed)
