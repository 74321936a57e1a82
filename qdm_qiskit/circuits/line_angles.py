"""Angles of a line's circuit from the gates of a fit.

Gates of a fit overlap: one ends with a rotation of the qubit with whose rotation the next one begins.
Here each is cut into CZ and rotations, and rotations that follow each other on a qubit become one.
"""

from __future__ import annotations

import numpy as np

__all__ = ["angles_of_turns", "block_turns", "first_block_turns", "merged_turns"]

Turns = list[tuple[np.ndarray, np.ndarray]]
"""Rotations between CZ: for each pair of qubits quaternions ``(batch, 4)`` on its first and second
one, of 1, -iY, -iZ and -iX; see :func:`.line_fit.basis`."""


def block_turns(p: np.ndarray, q: np.ndarray) -> Turns:
    """Return the rotations before, between and behind the two CZ of an element of SO(4).

    RY on the first qubit and, between the CZ, RY on the second one generate one SU(2) of SO(4); the
    other two kinds generate the other. So either quaternion is cut by Euler's angles.

    Args:
        p: ``(batch, 4)`` quaternions of the first group, from :func:`.line_fit.fit_line`.
        q: The same of the second group.
    """
    (first_before, second_between, first_behind) = _euler(p)
    (second_before, first_between, second_behind) = _euler(q)
    return [
        (_about_y(first_before), _about_y(second_before)),
        (_about_y(first_between), _about_y(second_between)),
        (_about_y(first_behind), _about_y(second_behind)),
    ]


def _euler(quaternion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return angles c, b, a of ``exp(a e1 / 2) exp(b e2 / 2) exp(c e1 / 2)``."""
    w, x, y, z = quaternion.T
    total, difference = np.arctan2(x, w), np.arctan2(z, y)
    return total - difference, 2 * np.arctan2(np.hypot(y, z), np.hypot(w, x)), total + difference


def first_block_turns(matrices: np.ndarray) -> Turns:
    """Return the rotations before and behind one CZ that bring \\|00> to a real state.

    Args:
        matrices: ``(batch, 2, 2)`` amplitudes with unit norm, the first qubit's bit first.
    """
    u, values, vt = np.linalg.svd(matrices)
    # Rotations on both sides: a reflection's sign goes to the smaller value.
    signs = np.linalg.det(u) * np.linalg.det(vt)
    u[:, :, 1] *= np.linalg.det(u)[:, None]
    vt[:, 1] *= np.linalg.det(vt)[:, None]
    weight = 2 * np.arctan2(signs * values[:, 1], values[:, 0])
    # CZ makes cos |0+> + sin |1-> of the product with |+>; a quarter turn takes |+>, |-> to |0>, |1>.
    quarter = np.full(len(matrices), np.pi / 2)
    first = 2 * np.arctan2(u[:, 1, 0], u[:, 0, 0])
    second = 2 * np.arctan2(vt[:, 0, 1], vt[:, 0, 0])
    # RY(-pi/2) takes |+> to |0>, and |-> to -|1>: the sign goes to the weight.
    return [
        (_about_y(-weight), _about_y(quarter)),
        (_about_y(first), _about_y(second - quarter)),
    ]


def _about_y(angles: np.ndarray) -> np.ndarray:
    zero = np.zeros_like(angles)
    return np.stack([np.cos(angles / 2), np.sin(angles / 2), zero, zero], axis=1)


def _times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return products of quaternions: the rotation b, then a."""
    w, y, z, x = a.T
    w2, y2, z2, x2 = b.T
    return np.stack(
        [
            w * w2 - x * x2 - y * y2 - z * z2,
            w * y2 + y * w2 + z * x2 - x * z2,
            w * z2 + z * w2 + x * y2 - y * x2,
            w * x2 + x * w2 + y * z2 - z * y2,
        ],
        axis=1,
    )


def merged_turns(
    num_qubits: int, batch: int, gates: list[tuple[int, Turns, bool]]
) -> list[np.ndarray]:
    """Return one rotation for each slot of :func:`.line_circuits.line_circuit`.

    Args:
        num_qubits: n.
        batch: Number of states.
        gates: In their order: position of the first qubit, rotations, and True if the first pair of
            rotations stands before the gate's first CZ; False if that CZ comes first.

    Returns:
        ``n + 2 len(pairs)`` quaternions ``(batch, 4)``.
    """
    one = np.tile(np.eye(1, 4), (batch, 1))
    slots = [one] * num_qubits
    last = list(range(num_qubits))
    for place, turns, before in gates:
        for number, pair in enumerate(turns):
            if number or not before:
                last[place], last[place + 1] = len(slots), len(slots) + 1
                slots += [one, one]
            for position, turn in zip((place, place + 1), pair, strict=True):
                slots[last[position]] = _times(turn, slots[last[position]])
    return slots


def angles_of_turns(
    slots: list[np.ndarray], num_qubits: int, pairs: tuple[int, ...], *, phases: bool
) -> np.ndarray:
    """Return the angles of a line's circuit from the rotation in each of its slots.

    With phases a rotation is RZ RY RZ; the first RZ moves through the CZ before it, which it commutes
    with, into the rotation before.

    Returns:
        ``(batch, number of parameters)`` radians.
    """
    if not phases:
        return np.stack([2 * np.arctan2(each[:, 1], each[:, 0]) for each in slots], axis=1)
    on = [*range(num_qubits), *(k + side for k in pairs for side in (0, 1))]
    slots = list(slots)
    found = np.zeros((len(slots[0]), len(slots), 2))
    for number in reversed(range(len(slots))):
        w, y, z, x = slots[number].T
        # RZ(c) RY(b) RZ(a): (c + a) / 2 and (c - a) / 2 are the phases of |0><0| and |1><0|.
        total, difference = np.arctan2(z, w), np.arctan2(-x, y)
        found[:, number, 0] = 2 * np.arctan2(np.hypot(y, x), np.hypot(w, z))
        found[:, number, 1] = total + difference
        earlier = total - difference
        before = [k for k in range(number) if on[k] == on[number]]
        if before:  # at the start RZ does nothing to |0> but a phase
            zero = np.zeros_like(earlier)
            about_z = np.stack([np.cos(earlier / 2), zero, np.sin(earlier / 2), zero], axis=1)
            slots[before[-1]] = _times(about_z, slots[before[-1]])
    return found.reshape(len(found), -1)
