"""Fit vectors that a run loads once, so that sampling finds a loader's angles at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..arguments import checked_path, checked_text
from ..circuits.amortised import AMORTISED
from ..progress import Progress, silent
from ..sampling import TrainedRun, load_run
from ..sampling.amortise import VECTORS, Amortised
from ..sampling.amortise import amortise as amortise_run
from ..sampling.loader_names import resolved_loader

__all__ = ["amortise", "loader_for"]


def amortise(
    run: str | Path | TrainedRun,
    loader: str = "bricks:8",
    *,
    vectors: int = VECTORS,
    seed: int = 0,
    progress: Progress = silent,
) -> Amortised:
    """Make networks that give a loader's angles for what a run loads, and keep them in its folder.

    Args:
        run: Folder of a run, or the result of ``load_run``.
        loader: ``bricks:L`` or ``staircase:L``.
        vectors: Vectors of each width of the run's circuits that are fitted and kept: of exact chains.
        seed: Seed of the chains.
        progress: Receives the progress messages.

    Returns:
        The name to sample with, and how near the networks come to the fit on chains of other noise.

    Raises:
        InvalidOption: If the loader is another one, or an option is out of range.
        TargetUnavailable: If the model loads no amplitudes.
        MissingData, InvalidCheckpoint: If the run cannot be read.
        OutputNotWritable: If its folder cannot be written.

    >>> import tempfile, qdm_qiskit as qdm
    >>> from qdm_qiskit.tasks import amortise
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=4, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     made = amortise(run, "bricks:4", vectors=20)
    ...     near = qdm.sample(run, "aer", shots=64, num_images=2, loader="amortised:bricks:4")
    >>> made.loader, near.manifest["sampling"]["loader"] == made.name
    ('bricks:4', True)
    """
    trained = run if isinstance(run, TrainedRun) else load_run(checked_path(run, "run"))
    name = checked_text(loader, "loader")
    return amortise_run(trained, name, vectors=vectors, seed=seed, progress=progress)


def loader_for(subject: Any, loader: Any) -> Any:
    """Return a loader with the hash of its network, where its name means one of a run's own.

    Args:
        subject: What the loader is for: a run, its folder, or anything else.
        loader: A name, a loader, or None.

    Raises:
        MissingData, InvalidOption, InvalidData: As :func:`.resolved_loader`.
    """
    if not isinstance(loader, str):
        return loader
    if isinstance(subject, str | Path) and Path(subject).is_dir() and loader.startswith(AMORTISED):
        subject = load_run(Path(subject))
    return resolved_loader(subject.networks, loader) if isinstance(subject, TrainedRun) else loader
