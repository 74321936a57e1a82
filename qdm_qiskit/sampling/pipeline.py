"""One object that samples from any model of the package, in the manner of diffusers' pipelines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..circuits import Loader
from ..circuits.amortised import FOLDER
from ..errors import InvalidOption
from ..files import write_bytes, write_json
from ..models import Denoiser, save_model
from ..notebook import one_line
from ..training import RunConfig
from .config import SamplingConfig
from .hub import download_model, is_repo
from .loader_names import network_files
from .sample import sample
from .samplers import Sampler
from .schedulers import planned_chain
from .shown import samples_card, summary
from .trained_run import PIPELINE_FILE, TrainedRun, load_run

__all__ = [
    "PipelineOutput",
    "QDMPipeline",
    "StepCallback",
]

StepCallback = Callable[["QDMPipeline", int, int, dict[str, Tensor]], dict[str, Tensor] | None]
"""``(pipeline, steps taken, steps left, {"states": x}) -> None``, or a dict with new states."""


@dataclass(frozen=True)
class PipelineOutput:
    """Images of a pipeline, with their trajectory and record."""

    images: np.ndarray
    """``(count, channels, height, width)`` float32 in [0, 1]."""
    trajectory: np.ndarray
    """``(steps + 1, count, channels, height, width)``: from noise to the images."""
    manifest: dict[str, Any]
    """Versions, seeds and options, and on a device its layout and cost."""

    def __repr__(self) -> str:
        return one_line("PipelineOutput", *summary(self.images, self.manifest))

    def _repr_html_(self) -> str:
        return samples_card("PipelineOutput", self.images, self.manifest)


class QDMPipeline:
    """A trained model with its process: load it, call it, get images.

    Args:
        run: From :func:`~qdm_qiskit.sampling.load_run`.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     pipeline = qdm.QDMPipeline.from_pretrained(run)
    ...     pipeline(num_images=3).images.shape
    (3, 1, 2, 2)
    """

    def __init__(self, run: TrainedRun) -> None:
        self.run = run

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        model_class: type[Denoiser] | None = None,
        loader: Loader | str | None = None,
        revision: str | None = None,
    ) -> QDMPipeline:
        """Load a run's folder, one of its checkpoints, or the output of :meth:`save_pretrained`.

        A text ``"user/name"`` that is no folder here, as ``qdm_qiskit.sampling.hub`` says, is a
        model on a hub.

        Args:
            folder: The folder, or the repository of a hub.
            model_class, loader: As for :func:`~qdm_qiskit.sampling.load_run`.
            revision: Branch, tag or commit of a hub's repository; the main branch if None.

        Raises:
            MissingData: If there is neither.
            InvalidCheckpoint, InvalidData: If the files cannot be used.
            InvalidOption: If a folder is given with a revision.
            ServiceUnavailable, MissingDependency: If the hub cannot be asked.
        """
        if isinstance(folder, str) and is_repo(folder):
            place = download_model(folder, revision)
        elif revision is not None:
            raise InvalidOption(
                f"A revision is of a hub's repository, and {folder} is read as a folder; leave it out."
            )
        else:
            place = Path(folder)
        return cls(load_run(place, model_class=model_class, loader=loader))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model, its process and its configuration, without optimizer and history.

        Raises:
            OutputNotWritable: If the folder cannot be written.
        """
        save_model(self.run.model, Path(folder))
        used = getattr(self.run.model.config, "loader", None)
        for name, content in network_files(used).items():
            write_bytes(Path(folder) / FOLDER / name, content)
        write_json(Path(folder) / PIPELINE_FILE, self.config.to_dict())

    @property
    def config(self) -> RunConfig:
        """The training run's configuration."""
        return self.run.config

    def __repr__(self) -> str:
        return one_line("QDMPipeline", self.run.config.model, self.run.checkpoint)

    def _repr_html_(self) -> str:
        return self.run._repr_html_()

    def __call__(
        self,
        num_images: int = 16,
        num_inference_steps: int | None = None,
        *,
        generator: torch.Generator | None = None,
        scheduler: str | Sampler | None = None,
        eta: float = 0.0,
        label: int | None = None,
        target: str = "engine",
        shots: int | None = None,
        callback_on_step_end: StepCallback | None = None,
    ) -> PipelineOutput:
        """Sample images.

        Args:
            num_images: Number of images.
            num_inference_steps: Steps of the chain; all that the model was trained with if None.
            generator: Source of the noise; each call takes one number from it. Seed 0 if None.
            scheduler: A sampler or its name, see :func:`~qdm_qiskit.sampling.sample`; if None, the
                process's own chain, or ddim where fewer steps are asked for.
            eta: Share of DDPM's noise that ddim adds.
            label: Class of all images; guided models only.
            target: Target of the circuits.
            shots: Shots for each image and step.
            callback_on_step_end: Called after each step; may return new states.

        Returns:
            Images, trajectory and manifest.

        Raises:
            InvalidOption, TargetUnavailable: If the options do not fit the model or this machine.
        """
        whole = num_inference_steps in (None, self.run.process.num_steps)
        chosen = scheduler or ("process" if whole else "ddim")
        config = SamplingConfig(
            target=target,
            num_images=num_images,
            shots=shots,
            seed=_seed(generator),
            label=label,
            scheduler=chosen if isinstance(chosen, str) else "process",
            num_inference_steps=num_inference_steps,
            eta=eta,
        )
        total = len(planned_chain(self.run.process, chosen, num_inference_steps, eta)[1])

        def told(left: int, x: Tensor) -> Tensor | None:
            if callback_on_step_end is None:
                return None
            changed = (callback_on_step_end(self, total - left, left, {"states": x}) or {}).get(
                "states", x
            )
            if changed.shape != x.shape or changed.dtype != x.dtype:
                raise InvalidOption(
                    f"A callback gives states of shape {tuple(x.shape)} and {x.dtype} back, got "
                    f"{tuple(changed.shape)} and {changed.dtype}."
                )
            return changed

        own = None if isinstance(chosen, str) else chosen
        samples = sample(self.run, config, sampler=own, on_step=told)
        return PipelineOutput(samples.images, samples.trajectory, samples.manifest)


def _seed(generator: torch.Generator | None) -> int:
    if generator is None:
        return 0
    return int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
