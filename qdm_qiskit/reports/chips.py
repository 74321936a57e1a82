"""Chips on a plane: where their qubits stand, and a circuit on one of them as a part of a page."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..evaluation.chip import ChipErrors
from ..pages import Chip, Coupler, Notes, Qubit

__all__ = ["chip_part", "chip_positions"]


def chip_part(found: ChipErrors | None, device: str) -> Chip | Notes:
    """Return a device with its errors as colours and a circuit's qubits on it, to be drawn on a page.

    Args:
        found: What :func:`.chip_errors` gives.
        device: The device's name, for the sentence where there is nothing to draw.
    """
    if found is None:
        return Notes([f"{device} is not drawn: it has no coupling map of its own."])
    places = chip_positions(found.num_qubits, list(found.couplers))
    logical: dict[int, list[str]] = {}
    for number, physical in enumerate(found.layout):
        logical.setdefault(physical, []).append(str(number))
    qubits = [
        Qubit(
            number=k,
            x=float(places[k, 0]),
            y=float(places[k, 1]),
            error=found.readout_errors[k],
            role=",".join(logical.get(k, [])),
            about=_times(*found.relaxation[k]),
        )
        for k in range(found.num_qubits)
    ]
    couplers = [
        Coupler(one, other, error, uses)
        for (one, other), error, uses in zip(
            found.couplers, found.coupler_errors, found.uses, strict=True
        )
    ]
    return Chip(f"{found.device}: errors, and where the circuit is", qubits, couplers)


def _times(t1: float | None, t2: float | None) -> str:
    words = [
        f"{name} {seconds * 1e6:.0f} µs"
        for name, seconds in (("T1", t1), ("T2", t2))
        if seconds is not None
    ]
    return ", ".join(words)


def chip_positions(num_qubits: int, couplers: list[Any]) -> np.ndarray:
    """Return places on a plane whose distances follow the couplers that lie between qubits.

    They are those of multidimensional scaling: by eigenvectors first, then by stress majorization, in
    which neighbours weigh most.

    Args:
        num_qubits: Qubits of the device.
        couplers: Pairs of qubits.

    Returns:
        ``(num_qubits, 2)``, wider than high.

    References:
        Gansner, Koren and North, Graph Drawing 2004, LNCS 3383, 239 (2005).
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import shortest_path

    if num_qubits == 1:
        return np.zeros((1, 2))
    pairs = np.array(couplers, dtype=np.int64).reshape(-1, 2)
    graph = csr_array((np.ones(len(pairs)), pairs.T), shape=(num_qubits, num_qubits))
    steps = shortest_path(graph, directed=False, unweighted=True)
    apart = np.isfinite(steps)
    steps = np.where(apart, steps, steps[apart].max() + 1)
    centred = steps**2 - (steps**2).mean(axis=0) - (steps**2).mean(axis=1, keepdims=True)
    centred = -0.5 * (centred + (steps**2).mean())
    values, vectors = np.linalg.eigh(centred)
    places = vectors[:, -2:][:, ::-1] * np.sqrt(np.maximum(values[-2:][::-1], 1e-9))
    weights = np.divide(1.0, steps**2, out=np.zeros_like(steps), where=steps > 0)
    laplacian = np.diag(weights.sum(axis=1)) - weights
    inverse = np.linalg.pinv(laplacian)
    for _ in range(100):
        gaps = np.linalg.norm(places[:, None] - places[None], axis=2)
        pull = np.divide(weights * steps, gaps, out=np.zeros_like(gaps), where=gaps > 1e-9)
        places = inverse @ ((np.diag(pull.sum(axis=1)) - pull) @ places)
    _, _, axes = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)
    turned = (places - places.mean(axis=0)) @ axes.T
    # Signs of eigenvectors are free: qubit 0 stands above on the left.
    signs = np.where(turned[0] * np.array([1.0, -1.0]) > 0, -1.0, 1.0)
    return np.asarray(turned * signs)
