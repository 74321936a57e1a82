"""Networks that give the angles of a loader for the vectors that a run loads.

The vectors come from exact chains of the run itself, x_T to x_0, and are fitted once; what is kept
guesses the angles of others. Held-out chains of other noise say how near that is to a fit, and how
long both take.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..circuits.amortised import (
    AMORTISED,
    MOST_VECTORS,
    SCHEMA,
    AmortisedLoader,
    Networks,
    key_of,
    network_bytes,
    take_networks,
)
from ..circuits.line_loaders import LineLoader
from ..circuits.line_memory import remembered
from ..circuits.loaders import make_loader
from ..errors import InvalidOption
from ..files import write_bytes
from ..notebook import one_line
from ..progress import Message, Progress, silent
from ..rng import derived_seed
from .loader_choice import loaded_vectors

if TYPE_CHECKING:
    from .trained_run import TrainedRun

__all__ = ["Amortised", "HeldOut", "amortise"]

VECTORS = 640
HELD_OUT_IMAGES = 16
HELD_OUT = 64
"""Vectors of another chain on which a network is compared with the fit."""


@dataclass(frozen=True)
class HeldOut:
    """A network beside the fit, on vectors of chains that it has not seen."""

    qubits: int
    vectors: int
    network: float
    """Mean fidelity of what the network's angles load."""
    fit: float
    """The same of the fit."""
    furthest: float
    """Most by which a vector's fidelity is below that of the fit."""
    network_seconds: float
    """Seconds of the processor for all vectors."""
    fit_seconds: float


@dataclass(frozen=True)
class Amortised:
    """Networks of a loader for a run; see :func:`amortise`."""

    name: str
    """Name of the loader, for ``loader=``."""
    loader: str
    """Loader whose angles they give."""
    vectors: int
    """Vectors that were fitted."""
    seconds: float
    """Seconds of the processor that it took."""
    held_out: tuple[HeldOut, ...]
    """Comparison with the fit, for each width of the run's circuits."""

    def __repr__(self) -> str:
        each = [f"{h.qubits} qubits: {h.network:.4f}, fit {h.fit:.4f}" for h in self.held_out]
        return one_line("Amortised", self.name, f"of {self.loader}", *each)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return asdict(self)


def amortise(
    run: TrainedRun,
    loader: str,
    *,
    vectors: int = VECTORS,
    seed: int = 0,
    progress: Progress = silent,
) -> Amortised:
    """Fit vectors that a run loads, and keep them as networks in the run's folder.

    Args:
        run: The run.
        loader: ``bricks:L`` or ``staircase:L``, without a bound.
        vectors: Vectors of each width that are fitted and kept, 1 to :data:`MOST_VECTORS`.
        seed: Seed of the chains.
        progress: Receives the progress messages.

    Returns:
        The networks' name, and how near they come to the fit.

    Raises:
        InvalidOption: If the loader is another one, or the number is out of range.
        TargetUnavailable: If the run's model loads no amplitudes.
        OutputNotWritable: If the run's folder cannot be written.
    """
    if not 1 <= vectors <= MOST_VECTORS:
        raise InvalidOption(f"vectors is 1 to {MOST_VECTORS}, got {vectors}.")
    started = time.process_time()
    progress(Message("chains of the run"))
    per_chain = run.process.num_steps
    seen = loaded_vectors(
        run.model,
        run.process,
        seed=derived_seed(seed, "sampling", 1),
        images=max(1, -(-vectors // per_chain)),
        most=vectors,
    )
    kept, made = {}, None
    for spec, data in seen:
        width = len(spec.data_qubits)
        made = _line_loader(loader, width, phases=spec.complex_amplitudes)
        if width > 1:
            progress(Message(f"fitting {len(data)} vectors of {width} qubits"))
            kept[width, spec.complex_amplitudes] = remembered(made, data)
    assert made is not None
    about = {
        "schema": SCHEMA,
        "loader": made.name,
        "pattern": made.pattern,
        "layers": made.layers,
        "model": run.model.name,
        "data": run.config.data.dataset,
        "seed": seed,
    }
    content = network_bytes(Networks(about, kept))
    key = key_of(content)
    write_bytes(run.networks / f"{key}.npz", content)
    take_networks(run.networks)
    took = time.process_time() - started
    held_out = loaded_vectors(
        run.model,
        run.process,
        seed=derived_seed(seed, "evaluation", 1),
        images=HELD_OUT_IMAGES,
        most=HELD_OUT,
    )
    beside = []
    for spec, data in held_out:
        width, phases = len(spec.data_qubits), spec.complex_amplitudes
        fit = _line_loader(loader, width, phases=phases)
        beside.append(_beside(AmortisedLoader(width, key, phases=phases), fit, data))
    count = max((len(each) for each in kept.values()), default=0)
    return Amortised(f"{AMORTISED}:{key}", made.name, count, took, tuple(beside))


def _line_loader(name: str, width: int, *, phases: bool) -> LineLoader:
    found = make_loader(name, width, phases=phases)
    if not isinstance(found, LineLoader) or isinstance(found, AmortisedLoader):
        raise InvalidOption(
            f"Networks give the angles of 'bricks:L' and 'staircase:L', got loader '{name}'."
        )
    if found.error_bound < 1 or found.fallback:
        raise InvalidOption(
            f"A bound belongs to the network's name, as in '{AMORTISED}:{found.pattern}:"
            f"{found.layers},4,0.05'; leave it out here, got '{name}'."
        )
    return found


def _beside(network: LineLoader, fit: LineLoader, data: np.ndarray) -> HeldOut:
    (near, near_seconds), (far, far_seconds) = (_timed(each, data) for each in (network, fit))
    return HeldOut(
        qubits=fit.num_qubits,
        vectors=len(data),
        network=float(near.mean()),
        fit=float(far.mean()),
        furthest=float(max(0.0, (far - near).max())),
        network_seconds=near_seconds,
        fit_seconds=far_seconds,
    )


def _timed(loader: LineLoader, data: np.ndarray) -> tuple[np.ndarray, float]:
    loader.angles(data[:1])  # tables are made once
    started = time.process_time()
    angles = loader.angles(data)
    took = time.process_time() - started
    return loader.fidelities(data, angles), took
