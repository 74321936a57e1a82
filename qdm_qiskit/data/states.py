"""Ensembles of quantum states to learn, after QuDDPM (Zhang et al., arXiv:2310.05866).

States travel through the package as arrays in [0, 1] of shape ``(count, 1, 2, 2**n)``: real and
imaginary parts, mapped from [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arguments import checked_text, of_kind, whole_number
from ..errors import InvalidData, InvalidOption, unknown_name
from ..rng import stream
from .images import ImageSet, Split

__all__ = [
    "CLUSTER_WIDTH",
    "DEFAULT_TEST",
    "DEFAULT_TRAIN",
    "MAX_QUBITS",
    "STATE_ENSEMBLES",
    "circular_states",
    "clustered_states",
    "images_to_states",
    "load_states",
    "states_to_images",
]

CLUSTER_WIDTH = 0.08
"""Size of the deviation from |0...0> in the clustered ensemble."""
MAX_QUBITS = 8
"""Most qubits of an ensemble."""
DEFAULT_TRAIN, DEFAULT_TEST = 1_000, 500


def clustered_states(count: int, num_qubits: int, generator: np.random.Generator) -> np.ndarray:
    """Draw states near |0...0>.

    They are ``|0...0> + 0.08 c |0...01>``, normalised, with c complex standard normal.

    Args:
        count: Number to draw.
        num_qubits: n, at least 1.
        generator: Source of randomness.

    Returns:
        ``(count, 2**n)`` complex128, in Qiskit's order.
    """
    states = np.zeros((count, 2**num_qubits), dtype=np.complex128)
    states[:, 0] = 1
    states[:, 1] = CLUSTER_WIDTH * (generator.normal(size=(count, 2)) @ [1, 1j])
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def circular_states(count: int, num_qubits: int, generator: np.random.Generator) -> np.ndarray:
    """Draw states: qubit 0 uniform on the great circle of real amplitudes, all others |0>.

    Its mean state is maximally mixed on qubit 0, as that of Haar-random states: what sees mean states
    only cannot tell the two apart.

    Args, returns: as for :func:`clustered_states`.
    """
    states = np.zeros((count, 2**num_qubits), dtype=np.complex128)
    angle = generator.uniform(0, 2 * np.pi, size=count)
    states[:, 0], states[:, 1] = np.cos(angle / 2), np.sin(angle / 2)
    return states


STATE_ENSEMBLES: dict[str, Callable[[int, int, np.random.Generator], np.ndarray]] = {
    "clustered-states": clustered_states,
    "circular-states": circular_states,
}
"""Ensembles by the name that a run gives as its data set."""


def load_states(
    name: str,
    *,
    num_qubits: int,
    train_count: int | None = None,
    test_count: int | None = None,
    seed: int = 0,
) -> Split:
    """Draw training and test states of an ensemble.

    Args:
        name: A key of :data:`STATE_ENSEMBLES`.
        num_qubits: n, 1 to 8.
        train_count: Training states, 1000 if None.
        test_count: Test states, 500 if None.
        seed: An integer >= 0.

    Returns:
        Both as ``(count, 1, 2, 2**n)`` arrays, see :func:`states_to_images`; all labels are 0.

    Raises:
        UnknownName: If there is no such ensemble.
        InvalidOption: If a count is out of range.
    """
    checked_text(name, "name")
    num_qubits = whole_number(num_qubits, "num_qubits")
    if name not in STATE_ENSEMBLES:
        raise unknown_name("ensemble of states", name, STATE_ENSEMBLES)
    if not 1 <= num_qubits <= MAX_QUBITS:
        raise InvalidOption(f"num_qubits of an ensemble is 1 to {MAX_QUBITS}, got {num_qubits}.")

    def part(index: int, count: int) -> ImageSet:
        if not 1 <= whole_number(count, ("train_count", "test_count")[index]) <= 1_000_000:
            raise InvalidOption(f"An ensemble has 1 to 1,000,000 states, got {count}.")
        states = STATE_ENSEMBLES[name](count, num_qubits, stream(seed, "data", index))
        return ImageSet(states_to_images(states), np.zeros(count, dtype=np.int64), name)

    train = DEFAULT_TRAIN if train_count is None else train_count
    return Split(part(0, train), part(1, DEFAULT_TEST if test_count is None else test_count))


def states_to_images(states: np.ndarray) -> np.ndarray:
    """Return states as images of their real and imaginary parts.

    ``(count, d)`` states become ``(count, 1, 2, d)`` float32 in [0, 1].

    Raises:
        InvalidData: If they are no finite numbers of that shape.
    """
    of_kind(states, np.ndarray, "states")
    if states.ndim != 2 or states.dtype.kind not in "fc" or not np.isfinite(states).all():
        raise InvalidData(
            f"States are finite numbers of shape (count, d), got {states.dtype} of {states.shape}."
        )
    parts = np.stack([states.real, states.imag], axis=1)[:, None]
    return ((parts + 1) / 2).clip(0, 1).astype(np.float32)


def images_to_states(images: np.ndarray) -> np.ndarray:
    """Return normalised states ``(count, d)`` complex128 of what :func:`states_to_images` gave.

    Raises:
        InvalidData: If the shape is another one or a state has no norm.
    """
    of_kind(images, np.ndarray, "images")
    if images.ndim != 4 or images.shape[1:3] != (1, 2):
        raise InvalidData(f"States need arrays (count, 1, 2, d), got {images.shape}.")
    parts = 2 * images.astype(np.float64) - 1
    states = parts[:, 0, 0] + 1j * parts[:, 0, 1]
    norms = np.linalg.norm(states, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and norms.min() > 0):
        raise InvalidData("A state has norm zero or is not finite.")
    return states / norms
