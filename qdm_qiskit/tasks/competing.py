"""Fit classical generators of equal size beside a trained run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..arguments import checked_path, whole_number
from ..errors import InvalidOption
from ..files import check_writable
from ..models.competitors import COMPETITORS
from ..notebook import one_line
from ..progress import Progress, silent
from ..sampling import load_run
from ..training import load_split
from ..training.competitors import FOLDER, STEPS, fit_competitors, write_competitors

__all__ = ["Competition", "compete"]


@dataclass(frozen=True, repr=False)
class Competition:
    """Competitors that were fitted beside a run; see :func:`compete`."""

    folder: Path
    """Where their weights lie, and their record ``competitors.json``."""
    model_parameters: int
    """Trained numbers of the run's model."""
    parameters: dict[str, int]
    """Name to trained numbers that make an image."""
    trained: dict[str, int]
    """Name to all trained numbers, of encoder and discriminator too."""

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {size}" for name, size in self.parameters.items())
        return one_line("Competition", f"model {self.model_parameters}", sizes)


def compete(
    run: str | Path,
    names: Sequence[str] | None = None,
    *,
    steps: int = STEPS,
    progress: Progress = silent,
) -> Competition:
    """Fit a latent diffusion, a GAN and a VAE of the size of a run's model to its training images.

    They are kept in the run's folder, and ``evaluate`` measures them beside the run from then on.

    Args:
        run: Folder of a trained run.
        names: Which; all of :data:`~qdm_qiskit.models.competitors.COMPETITORS` if None. One that is
            there already is fitted again.
        steps: Steps of each one's training, batches of 64.
        progress: Receives the progress messages.

    Raises:
        UnknownName: If there is no such competitor.
        InvalidOption: If the run's data are quantum states, or steps are out of range.
        MissingData, InvalidCheckpoint: If the run cannot be read.
        OutputNotWritable: If its folder cannot be written.

    >>> import tempfile, qdm_qiskit as qdm
    >>> from qdm_qiskit.tasks import compete
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=4, depth=1, num_steps=2, train_count=40, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     compete(run, ["vae"], steps=2)
    <Competition: model 9, vae 41>
    """
    folder = checked_path(run, "run")
    chosen = list(COMPETITORS) if names is None else list(names)
    if not chosen:
        raise InvalidOption(f"names are of {', '.join(COMPETITORS)}; got none.")
    trained = load_run(folder)
    base = trained.checkpoint.parent.parent
    if not (base / "config.json").is_file():
        raise InvalidOption(f"{folder} is a model that stands alone; give a run of `qdm train`.")
    check_writable(base / FOLDER)
    made = fit_competitors(
        trained.model,
        trained.config,
        load_split(trained.config),
        chosen,
        steps=whole_number(steps, "steps"),
        progress=progress,
    )
    write_competitors(base, made, trained.model, steps)
    return Competition(
        base / FOLDER,
        trained.model.num_parameters,
        {name: each.num_parameters for name, each in made.items()},
        {name: each.num_trained for name, each in made.items()},
    )
