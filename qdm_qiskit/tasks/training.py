"""Train a model from its name, a preset, your own denoiser or a whole configuration."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..arguments import checked_path
from ..data import Dataset
from ..errors import InvalidOption, MissingData
from ..files import read_json_object
from ..models import Denoiser
from ..progress import Progress
from ..training import Callback, RunConfig, TrainingResult, resolve_run, run_from_dict
from ..training import train as train_config
from ..training.progress_bar import progress_bar

__all__ = ["continue_training", "train"]


def train(
    model: str | Denoiser | type[Denoiser] | RunConfig,
    run: str | Path,
    *,
    dataset: str | Dataset | None = None,
    progress: Progress | None = None,
    log_with: str | Iterable[str] = "tensorboard",
    callbacks: Iterable[Callback] = (),
    **options: Any,
) -> TrainingResult:
    """Train a model into a folder; Ctrl-C leaves a checkpoint to go on from.

    Args:
        model: A model's or a preset's name, a denoiser such as ``Denoiser.from_spec(...)`` gives, a
            denoiser's class, or a whole configuration.
        run: Folder of the run; it must not hold one.
        dataset: A data set, which needs no registration, or its name; that of the configuration, or
            ``"digits"``, if None. A configuration names its own, and then only an object is taken,
            in place of the named one.
        progress: Receives every step and epoch. None shows a bar in a notebook and in a terminal, and
            nothing elsewhere; ``qdm_qiskit.progress.silent`` shows none anywhere.
        log_with: Where metrics and sample images go beside the folder: ``"tensorboard"``, ``"wandb"``,
            ``"mlflow"``, a list of these, or ``"none"``.
        callbacks: What goes along with the run: :class:`~qdm_qiskit.training.EarlyStopping`,
            :class:`~qdm_qiskit.training.BestCheckpoint`,
            :class:`~qdm_qiskit.evaluation.MeasureSamples`, or your own
            :class:`~qdm_qiskit.training.Callback`.
        options: Options of the model, the data, the diffusion process and the loop, by name:
            ``depth=3``, ``image_size=4``, ``epochs=5``, ``seed=1``. A configuration takes none.

    Returns:
        The state of the run: its checkpoint and one row of metrics for each epoch.

    Raises:
        UnknownName: If there is no model or preset of this name.
        InvalidOption: If an option is unknown or out of range, the folder holds a run, or the loss
            becomes infinite or NaN.
        InvalidData, MissingData: If the images cannot be used.
        OutputNotWritable: If the folder cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     result = train("eeqdm", f"{folder}/first", **small)
    >>> result.epochs, result.history[-1]["test_loss"] > 0
    (1, True)
    """
    if isinstance(model, RunConfig):
        if options:
            raise InvalidOption(
                f"A RunConfig holds all options of a run, got others beside it: {', '.join(options)}; "
                "resolve_run(name, options) makes a configuration of both."
            )
        if isinstance(dataset, str) and dataset != model.data.dataset:
            raise InvalidOption(
                f"A RunConfig names its data set, '{model.data.dataset}', got dataset='{dataset}' "
                "beside it; resolve_run(name, {'dataset': ...}) makes a configuration with another."
            )
        config = model
    else:
        named = {"dataset": dataset} if isinstance(dataset, str) else {}
        config = resolve_run(model, {**options, **named})
    given = None if isinstance(dataset, str) else dataset
    return train_config(
        config,
        checked_path(run, "run"),
        progress=progress_bar() if progress is None else progress,
        dataset=given,
        log_with=log_with,
        callbacks=callbacks,
    )


def continue_training(
    run: str | Path,
    *,
    checkpoint: str = "latest",
    epochs: int | None = None,
    data: str | Path | None = None,
    dataset: Dataset | None = None,
    progress: Progress | None = None,
    log_with: str | Iterable[str] = "tensorboard",
    callbacks: Iterable[Callback] = (),
) -> TrainingResult:
    """Go on with a training run from one of its checkpoints.

    Args:
        run: Folder of the run.
        checkpoint: "latest", "best", or a checkpoint's name.
        epochs: Epochs of the whole run; as many as it was started with if None.
        data: The ``.npz`` file or folder that holds the run's data now; None looks where they were.
        dataset: The data set, for a run that was trained on an object.
        progress: As for :func:`train`.
        log_with: Likewise.
        callbacks: Likewise; those that the run had before are given again.

    Returns:
        The state of the run.

    Raises:
        MissingData: If there is no run in the folder.
        Others: As :func:`~qdm_qiskit.training.train`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     first = train("eeqdm", f"{folder}/first", **small)
    ...     continue_training(f"{folder}/first", epochs=2).epochs
    2
    """
    folder = checked_path(run, "run")
    file = folder / "config.json"
    if not file.is_file():
        raise MissingData(f"There is no run to resume in {folder}: {file} is missing.")
    config = run_from_dict(read_json_object(file))
    if epochs is not None:
        config = config.with_epochs(epochs)
    return train_config(
        config,
        folder,
        resume=checkpoint,
        progress=progress_bar() if progress is None else progress,
        data=data,
        dataset=dataset,
        log_with=log_with,
        callbacks=callbacks,
    )
