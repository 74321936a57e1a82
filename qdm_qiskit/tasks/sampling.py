"""Sample from a trained run, on any target that costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..arguments import checked_path, of_kind, wrong
from ..circuits import Loader
from ..diffusion import OnStep
from ..errors import InvalidOption
from ..execution.devices import DeviceLike
from ..execution.estimator_options import text_of_options
from ..execution.targets import target_text
from ..mitigation.readout import ReadoutCalibration
from ..mitigation.refit import AffineCorrection
from ..noise_sources import NoiseSource, find_source
from ..options import build
from ..progress import Progress, silent
from ..sampling import (
    Samples,
    SamplingConfig,
    TrainedRun,
    check_output,
    load_run,
    read_calibration,
    write_samples,
)
from ..sampling import sample as sample_run
from ..sampling.samplers import Sampler
from ..work import Workers

__all__ = ["sample"]


def sample(
    run: str | Path | TrainedRun,
    target: str | DeviceLike = "engine",
    *,
    out: str | Path | None = None,
    config: SamplingConfig | None = None,
    sampler: str | Sampler | None = None,
    loader: str | Loader | None = None,
    calibration: str | Path | ReadoutCalibration | None = None,
    corrections: Mapping[str, AffineCorrection] | None = None,
    noise_source: str | NoiseSource | None = None,
    on_step: OnStep | None = None,
    workers: int | Executor | Workers | None = None,
    dask: str | Any | None = None,
    block: int | None = None,
    threads: int = 1,
    progress: Progress = silent,
    **options: Any,
) -> Samples:
    """Sample images from a trained run, on any target that costs nothing.

    Args:
        run: Folder of a run or of a checkpoint, or the result of ``load_run``.
        target: ``"engine"``, ``"aer"``, ``"noisy:fake_torino"``, ``"local:fake_torino"`` ...; a
            ``BackendV2`` or an Aer ``NoiseModel`` stands for ``noisy:`` of it.
        out: Folder to write images and manifest to; None writes nothing.
        config: All options at once, target included, in place of ``target`` and ``options``.
        sampler: A sampler, which needs no registration, or its name; ``config.scheduler`` if None.
        loader: The loader of images in the circuit, or its name; ``config.loader``, or the model's
            own, if None.
        calibration: A readout calibration, or its file, to use in place of a new one.
        corrections: Corrections of measured values by call, as ``refit`` gives them.
        noise_source: Source of the bits of x_T and of the noise of steps, or its name;
            ``config.noise_source`` if None.
        on_step: Called after each step with the number of steps left and the states.
        workers: Sample in blocks of images, on so many processes of this machine, or on an executor of
            ``concurrent.futures``. The images depend on ``block``, and not on who works.
        dask: The same on workers of Dask: address of a scheduler, ``"local"``, or a cluster object.
        block: Images of a block, 256 if None; alone, blocks are sampled in this process. The first
            block is what is sampled without blocks, but for the shots of a new calibration.
        threads: CPU threads of torch for each block.
        progress: Receives the progress messages, with the number of finished steps.
        options: Fields of :class:`~qdm_qiskit.sampling.SamplingConfig`: ``num_images=4``,
            ``shots=1024``, ``mitigation="m3"``, ``seed=1``, ``scheduler="ddim"``,
            ``primitive="estimator"`` with ``primitive_options={...}``.

    Returns:
        Images ``(count, channels, height, width)`` in [0, 1], the path from noise to them, and the
        manifest, their record.

    Raises:
        InvalidOption: If an option is unknown, out of range, or does not fit the model, or a block
            failed.
        WorkersUnavailable, MissingDependency: If workers are not there.
        TargetUnavailable: If the target cannot be used here, or the model has no circuit to run.
        MissingData, InvalidCheckpoint: If the run cannot be read.
        OutputNotWritable: If the folder holds samples already, or cannot be written.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     exact = qdm.sample(run, num_images=4)
    ...     noisy = qdm.sample(run, "aer", num_images=2, shots=64)
    >>> exact.images.shape, noisy.trajectory.shape
    ((4, 1, 2, 2), (3, 2, 1, 2, 2))
    """
    if not isinstance(options.get("scheduler", ""), str):
        raise wrong(options["scheduler"], "scheduler", "a name", "an object goes to sampler=")
    if config is None:
        named: dict[str, Any] = {"loader": loader} if isinstance(loader, str) else {}
        if isinstance(options.get("primitive_options"), Mapping):
            named["primitive_options"] = text_of_options(dict(options.pop("primitive_options")))
        config = build(SamplingConfig, {"target": target_text(target, "noisy"), **named, **options})
    elif options or not (isinstance(target, str) and target == "engine"):
        raise InvalidOption(
            "config holds all options, the target too; leave target and other options out, got "
            f"target={target!r} and {', '.join(options) or 'no others'}."
        )
    of_kind(config, SamplingConfig, "config")
    if calibration is not None and config.mitigation != "m3":
        raise InvalidOption(
            f"A calibration is used by mitigation 'm3' only, got mitigation {config.mitigation!r}."
        )
    folder = None if out is None else checked_path(out, "out")
    if folder is not None:
        check_output(folder)
    if calibration is not None and not isinstance(calibration, ReadoutCalibration):
        calibration = read_calibration(checked_path(calibration, "calibration"))
    if noise_source is not None and config.noise_source is not None:
        raise InvalidOption(
            f"noise_source is given, and config.noise_source is '{config.noise_source}' besides; leave "
            "one out."
        )
    own = None if noise_source is None or isinstance(noise_source, str) else noise_source
    if isinstance(noise_source, str):
        config = replace(config, noise_source=noise_source)
    elif own is not None:
        own = find_source(own)
    if workers is not None or dask is not None or block is not None:
        named_only = {
            "run": isinstance(run, TrainedRun),
            "sampler": not isinstance(sampler, str | None),
            "loader": not isinstance(loader, str | None),
            "corrections": bool(corrections),
            "noise_source": own is not None,
            "on_step": on_step is not None,
        }
        objects = [name for name, value in named_only.items() if value]
        if objects or (sampler is not None and config.scheduler != "process"):
            raise InvalidOption(
                "Blocks of images are sampled from a run's folder by names alone, wherever they run; "
                "leave workers, dask and block out, or give a name for "
                f"{', '.join(objects) or 'one sampler'}."
            )
        if isinstance(sampler, str):
            config = replace(config, scheduler=sampler)
        if loader is not None and config.loader != loader:
            _refuse_loader(config, loader)
            config = replace(config, loader=str(loader))
        from .block_sampling import sample_in_blocks

        assert not isinstance(run, TrainedRun)
        return sample_in_blocks(
            checked_path(run, "run"),
            config,
            out=folder,
            block=block,
            calibration=calibration,
            workers=workers,
            dask=dask,
            threads=threads,
            progress=progress,
        )
    trained = run if isinstance(run, TrainedRun) else load_run(checked_path(run, "run"))
    if loader is not None and not (isinstance(loader, str) and config.loader == loader):
        trained = _behind(trained, config, loader)
    samples = sample_run(
        trained,
        config,
        sampler=sampler,
        calibration=calibration,
        corrections=corrections,
        noise_source=own,
        on_step=on_step,
        progress=progress,
    )
    if folder is not None:
        write_samples(samples, folder)
    return samples


def _behind(run: TrainedRun, config: SamplingConfig, loader: str | Loader) -> TrainedRun:
    _refuse_loader(config, loader)
    return run.with_loader(loader)


def _refuse_loader(config: SamplingConfig, loader: str | Loader) -> None:
    if config.loader is not None:
        raise InvalidOption(
            f"loader is given, and config.loader is '{config.loader}' besides; leave one out."
        )
    if config.target.startswith("engine"):
        raise InvalidOption(
            f"Target '{config.target}' starts from the images' states and runs no loader; leave "
            "loader out, or take another target, such as 'aer'."
        )
