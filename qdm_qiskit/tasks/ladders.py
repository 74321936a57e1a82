"""Climb a ladder: what each part of a device's noise costs, and what each remedy gives back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..arguments import checked_path
from ..data import cache_folder
from ..errors import InvalidOption, unknown_name
from ..evaluation.ladder import Ladder, LadderConfig, climb
from ..execution.devices import DeviceLike
from ..execution.targets import target_text
from ..files import check_writable
from ..options import build, field_types
from ..progress import Progress, silent
from ..reports.ladder_render import write_ladder
from ..sampling import SamplingConfig, TrainedRun, load_run

__all__ = ["ladder"]


def ladder(
    run: str | Path | TrainedRun,
    target: str | DeviceLike,
    *,
    rungs: Sequence[str] = (),
    out: str | Path | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Ladder:
    """Walk one chain through each part of a device's noise and through each remedy.

    All rungs start from the same x_T and are held against the exact images.

    Args:
        run: Folder of a run or of a checkpoint, or the result of ``load_run``.
        target: ``"noisy:fake_torino"``; a ``BackendV2`` or an Aer ``NoiseModel`` stands for
            ``noisy:`` of it.
        rungs: Names of rungs, such as ``"m3"``; all if none. Those on which they stand come with them.
        out: Folder to write table, picture and page to; None writes nothing.
        progress: Receives a message for each rung.
        options: Fields of :class:`~qdm_qiskit.sampling.SamplingConfig`: ``num_images=16``,
            ``shots=1024``, ``seed=1``; and of :class:`~qdm_qiskit.evaluation.ladder.LadderConfig`:
            ``randomizations=16``, ``pulses="XY4"``, ``classifier=False``.

    Returns:
        Distances to the exact images with intervals, gains, costs, and the images of each rung.

    Raises:
        UnknownName: If there is no such rung.
        InvalidOption: If an option is unknown or out of range, or the target is no simulated device.
        TargetUnavailable: If the model has no circuit to run.
        MissingData, InvalidCheckpoint: If the run cannot be read.
        OutputNotWritable: If the folder cannot be written.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     found = qdm.ladder(run, "noisy:fake_torino", rungs=["readout"], num_images=4, shots=64)
    >>> [row.name for row in found.rows]
    ['exact', 'shots', 'readout', 'all']
    """
    known = {**field_types(SamplingConfig), **field_types(LadderConfig)}
    for name in options:
        if name not in known or name in ("target", "rungs"):
            raise InvalidOption(str(unknown_name("option", name, known)))
    ours = {n: v for n, v in options.items() if n in field_types(LadderConfig)}
    theirs = {n: v for n, v in options.items() if n not in ours}
    config = build(LadderConfig, {"rungs": tuple(rungs), **ours})
    sampling = build(
        SamplingConfig, {"target": target_text(target, "noisy"), "shots": 1024, **theirs}
    )
    folder = None if out is None else checked_path(out, "out")
    if folder is not None:
        check_writable(folder)
    trained = run if isinstance(run, TrainedRun) else load_run(checked_path(run, "run"))
    found = climb(trained, sampling, config, cache=cache_folder() / "evaluation", progress=progress)
    if folder is not None:
        write_ladder(found, folder)
    return found
