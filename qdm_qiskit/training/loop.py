"""Training a model from a configuration: one process or many, CPU or GPU."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..arguments import checked_path, of_kind, wrong
from ..data import Dataset, find_dataset
from ..errors import InvalidOption, MissingData, OutputNotWritable, QdmError
from ..files import check_writable, write_json
from ..models import Denoiser
from ..progress import Message, Progress, silent
from .callbacks import Callback, Callbacks, told_together
from .checkpoint import checkpoints, find_checkpoint, load_weights
from .config import RunConfig
from .interruptions import silent_log_thread, stop_requests
from .processes import join_processes
from .progress import Ended
from .result import TrainingResult
from .run_data import NOT_VERIFIED, at_absolute_place, named_after
from .run_folder import Footprint, check_no_run, check_same_run, resumed, saved_run
from .run_log import log_names
from .session import Session
from .transfer import FOLDER, teacher_run

__all__ = [
    "train",
]


def train(
    config: RunConfig,
    run: str | Path,
    *,
    resume: str | None = None,
    progress: Progress = silent,
    data: str | Path | None = None,
    dataset: str | Dataset | None = None,
    log_with: str | Iterable[str] = "tensorboard",
    callbacks: Iterable[Callback] = (),
) -> TrainingResult:
    """Train a model, or continue a run.

    The hashes of a run's data, and its classes, are kept in its folder: it goes on with the same data
    only.

    Args:
        config: The run.
        run: Its folder. A fresh run wants one without a run in it.
        resume: "latest" or a checkpoint's name to continue from; None starts afresh.
        progress: Receives every step and epoch, in the first process if there are several; a
            :class:`~.TrainingProgress` has a method for each kind of message.
        data: Where the files of a run's data lie now, on resume: a ``.npz`` file, or the folder of
            published files. None looks where they were.
        dataset: A data set, which needs no registration, or its name; in place of the run's own. A
            run of an object is resumed with that object.
        log_with: Where metrics and sample images go beside the run's folder: tensorboard, wandb and
            mlflow, one text with commas or a list; "none" for nowhere. No part of the run.
        callbacks: What goes along with the run, such as :class:`~.EarlyStopping`; no part of it, so it
            is given again on resume. The classical part of a run with transfer has none.

    Returns:
        Where the run stands. After Ctrl-C (or SIGTERM, SIGHUP) it is checkpointed and ``interrupted``.

    Raises:
        InvalidOption: If the folder holds a run already, a run is to be continued with other options
            than its own (epochs apart), or the loss becomes infinite or NaN.
        InvalidCheckpoint, MissingData: If the checkpoint cannot be used.
        InvalidData: If the images cannot be used, or are not those that the run began with.
        InvalidArgument, UnknownName: If a callback is none, or looks for a metric that is not there.
        OutputNotWritable: If the folder cannot be written.
        MissingDependency, TargetUnavailable: If what is to log is not installed, or cannot begin.
    """
    names, asked = log_names(log_with), Callbacks(callbacks)
    of_kind(config, RunConfig, "config", "resolve_run(name) makes one")
    run = checked_path(run, "run")
    if not callable(progress):
        raise wrong(progress, "progress", "a function of one message, such as print")
    progress = told_together(progress, asked) if join_processes().leads else silent
    if resume is None and data is not None:
        raise InvalidOption(
            "data=PATH says where the data of a run that is resumed lie now; a new run names "
            "its own by dataset and folder."
        )
    config = replace(config, data=at_absolute_place(config.data), record=None)
    given: Dataset | None = None
    if dataset is not None:
        given = find_dataset(dataset)
        config = named_after(config, given)
    teacher = None
    if config.training.transfer_epochs and not checkpoints(run):
        result = _train_teacher(config, run, resume, progress, data, given, names)
        if result.interrupted:
            return result
        taught = saved_run(run / FOLDER)  # the hybrid learns from what its teacher learned from
        config = replace(config, data=taught.data, record=taught.record)
        teacher, resume, data = load_weights(result.checkpoint), None, None
    return _train_part(
        config,
        run,
        resume,
        progress,
        teacher,
        data=data,
        dataset=given,
        log_with=names,
        callbacks=asked,
    )


def _train_part(
    config: RunConfig,
    run: Path,
    resume: str | None,
    progress: Progress,
    teacher: Denoiser | None = None,
    *,
    data: str | Path | None = None,
    dataset: Dataset | None = None,
    leads_on: bool = False,
    log_with: Sequence[str] = (),
    callbacks: Callbacks | None = None,
) -> TrainingResult:
    """One run without what comes before it; with ``leads_on`` a stop in its last step counts too."""
    footprint = Footprint(run)
    if resume is not None:
        config = resumed(run, resume, config, data)
        if config.record is None:
            progress(Message(f"{run}: {NOT_VERIFIED}"))
    session = Session(config, run, resume, teacher, dataset, progress, log_with, callbacks)
    with stop_requests() as stop, silent_log_thread():
        try:
            result = session.work(progress, stop)
            if leads_on and session.asked(stop):
                return replace(result, interrupted=True)
            return result
        except (BrokenPipeError, MissingData):
            raise
        except OSError as error:  # our own writer, TensorBoard's, or a folder that cannot be made
            session.close()
            way_out = "Choose a folder with write permission and free space"
            if checkpoints(run):
                way_out += "; resume='latest' continues from the last checkpoint"
            else:
                footprint.remove()
            reason = getattr(error.__cause__, "strerror", None) or error.strerror or error
            raise OutputNotWritable(f"Cannot write into {run}: {reason}. {way_out}.") from error
        except QdmError:
            if resume is None and session.state.step == 0:  # such as too little memory for a batch
                session.close()
                footprint.remove()
            raise
        finally:
            progress(Ended("training ended"))
            session.close()


def _train_teacher(
    config: RunConfig,
    run: Path,
    resume: str | None,
    progress: Progress,
    data: str | Path | None,
    dataset: Dataset | None,
    log_with: Sequence[str],
) -> TrainingResult:
    """Train the classical part of a run with transfer, or the rest of it.

    The run's own configuration is written first: one that was stopped in this part resumes from it.
    """
    teacher, folder = teacher_run(config), run / FOLDER
    if resume is None:
        check_no_run(run, folder)
    else:
        find_checkpoint(folder, resume)
        check_same_run(run, config)
    footprint = Footprint(run)
    check_writable(run)
    write_json(run / "config.json", config.to_dict())
    try:
        return _train_part(
            teacher,
            folder,
            resume,
            progress,
            data=data,
            dataset=dataset,
            leads_on=True,
            log_with=log_with,
        )
    except BaseException:
        if not checkpoints(folder):
            footprint.remove()
        raise
