"""One object that samples from any model of the package, in the manner of diffusers' pipelines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args, overload

import numpy as np
import torch
from torch import Tensor

from ..arguments import checked_path, of_kind, shown, whole_number, wrong
from ..circuits import Loader
from ..circuits.amortised import FOLDER
from ..errors import InvalidOption, TargetUnavailable
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

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "OutputType",
    "PipelineOutput",
    "QDMPipeline",
    "StepCallback",
]

StepCallback = Callable[["QDMPipeline", int, int, dict[str, Tensor]], dict[str, Tensor] | None]
"""``(pipeline, steps taken, steps left, {"states": x}) -> None``, or a dict with new states."""

OutputType = Literal["np", "pt", "pil"]
"""Kinds of images: an array, a tensor, a list of PIL images."""
Images = TypeVar("Images")


@dataclass(frozen=True)
class PipelineOutput(Generic[Images]):
    """Images of a pipeline, with their trajectory and record."""

    images: Images
    """``(count, channels, height, width)`` float32 in [0, 1], an array or a tensor; or PIL images."""
    trajectory: np.ndarray
    """``(steps + 1, count, channels, height, width)``: from noise to the images."""
    manifest: dict[str, Any]
    """Versions, seeds and options, and on a device its layout and cost."""

    def __repr__(self) -> str:
        return one_line("PipelineOutput", *summary(self.trajectory[-1], self.manifest))

    def _repr_html_(self) -> str:
        return samples_card("PipelineOutput", self.trajectory[-1], self.manifest)


class QDMPipeline:
    """A trained model with its process: load it, call it, get images.

    Args:
        run: From :func:`~qdm_qiskit.sampling.load_run`.
        scheduler: A sampler or its name, which calls take unless they name one; it may be set later.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     pipeline = qdm.QDMPipeline.from_pretrained(run)
    ...     pipeline(num_images=3).images.shape
    (3, 1, 2, 2)
    """

    def __init__(self, run: TrainedRun, scheduler: str | Sampler | None = None) -> None:
        of_kind(run, TrainedRun, "run", "QDMPipeline.from_pretrained(folder) makes a pipeline")
        self.run, self.scheduler = run, scheduler
        self.device = torch.device("cpu")
        """Where the engine runs; see :meth:`to`."""

    def to(self, device: str | torch.device) -> QDMPipeline:
        """Let the engine run on a device: ``cpu`` or ``cuda``.

        Args:
            device: The device. The model's weights follow when images are sampled.

        Returns:
            This pipeline.

        Raises:
            InvalidArgument: If it is no device.
            TargetUnavailable: If this machine has none of them.
        """
        if not isinstance(device, str | torch.device):
            raise wrong(device, "device", "text such as 'cpu' or 'cuda', or a torch.device")
        try:
            found = torch.device(device)
        except RuntimeError as error:
            raise wrong(device, "device", "'cpu' or 'cuda'") from error
        if found.type not in ("cpu", "cuda") or found.index:
            raise wrong(
                str(device), "device", "'cpu' or 'cuda'", "CUDA_VISIBLE_DEVICES chooses a GPU"
            )
        if found.type == "cuda" and not torch.cuda.is_available():
            raise TargetUnavailable(
                "This machine has no CUDA device that torch sees; take to('cpu')."
            )
        self.device = found
        return self

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
            place = checked_path(folder, "folder")
        return cls(load_run(place, model_class=model_class, loader=loader))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model, its process and its configuration, without optimizer and history.

        Raises:
            OutputNotWritable: If the folder cannot be written.
        """
        place = checked_path(folder, "folder")
        save_model(self.run.model, place)
        used = getattr(self.run.model.config, "loader", None)
        for name, content in network_files(used).items():
            write_bytes(place / FOLDER / name, content)
        write_json(place / PIPELINE_FILE, self.config.to_dict())

    @property
    def config(self) -> RunConfig:
        """The training run's configuration."""
        return self.run.config

    def _own(self, steps: int | None) -> str:
        """Return the sampler of a call that names none: fewer steps than all are ddim's.

        Raises:
            InvalidArgument, InvalidOption: If there is no chain of so many steps.
        """
        total = self.run.process.num_steps
        if steps is None or whole_number(steps, "num_inference_steps") == total:
            return "process"
        if not 1 <= steps <= total:
            raise InvalidOption(f"num_inference_steps is 1 to {total}, got {steps}.")
        if self.run.process.noise_betas is None:
            raise InvalidOption(
                f"This run's chain takes all {total} steps, as its model does not predict a Gaussian "
                f"process's noise, got {steps}; leave num_inference_steps out."
            )
        return "ddim"

    def __repr__(self) -> str:
        return one_line("QDMPipeline", self.run.config.model, self.run.checkpoint)

    def _repr_html_(self) -> str:
        return self.run._repr_html_()

    @overload
    def __call__(
        self,
        num_images: int = ...,
        num_inference_steps: int | None = ...,
        *,
        generator: torch.Generator | None = ...,
        scheduler: str | Sampler | None = ...,
        eta: float = ...,
        label: int | None = ...,
        target: str | None = ...,
        shots: int | None = ...,
        callback_on_step_end: StepCallback | None = ...,
        output_type: Literal["np"] = ...,
    ) -> PipelineOutput[np.ndarray]: ...

    @overload
    def __call__(
        self,
        num_images: int = ...,
        num_inference_steps: int | None = ...,
        *,
        generator: torch.Generator | None = ...,
        scheduler: str | Sampler | None = ...,
        eta: float = ...,
        label: int | None = ...,
        target: str | None = ...,
        shots: int | None = ...,
        callback_on_step_end: StepCallback | None = ...,
        output_type: Literal["pt"],
    ) -> PipelineOutput[Tensor]: ...

    @overload
    def __call__(
        self,
        num_images: int = ...,
        num_inference_steps: int | None = ...,
        *,
        generator: torch.Generator | None = ...,
        scheduler: str | Sampler | None = ...,
        eta: float = ...,
        label: int | None = ...,
        target: str | None = ...,
        shots: int | None = ...,
        callback_on_step_end: StepCallback | None = ...,
        output_type: Literal["pil"],
    ) -> PipelineOutput[list[Image]]: ...

    def __call__(
        self,
        num_images: int = 16,
        num_inference_steps: int | None = None,
        *,
        generator: torch.Generator | None = None,
        scheduler: str | Sampler | None = None,
        eta: float = 0.0,
        label: int | None = None,
        target: str | None = None,
        shots: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        output_type: OutputType = "np",
    ) -> PipelineOutput[Any]:
        """Sample images.

        Args:
            num_images: Number of images.
            num_inference_steps: Steps of the chain; all that the model was trained with if None.
            generator: Source of the noise; each call takes one number from it. Seed 0 if None.
            scheduler: A sampler or its name, see :func:`~qdm_qiskit.sampling.sample`; if None, the
                pipeline's; if that is None too, the process's own chain, or ddim where fewer steps are
                asked for.
            eta: Share of DDPM's noise that ddim adds.
            label: Class of all images; guided models only.
            target: Target of the circuits; None is the engine, where :meth:`to` put it.
            shots: Shots for each image and step.
            callback_on_step_end: Called after each step; may return new states.
            output_type: Kind of the images: ``np``, ``pt`` or ``pil``.

        Returns:
            Images, trajectory and manifest.

        Raises:
            InvalidOption, TargetUnavailable: If the options do not fit the model or this machine.
        """
        if output_type not in get_args(OutputType):
            raise InvalidOption(
                f"output_type is one of {', '.join(get_args(OutputType))}; got {output_type!r}."
            )
        if generator is not None:
            of_kind(
                generator,
                torch.Generator,
                "generator",
                "torch.Generator().manual_seed(seed) is one",
            )
        if callback_on_step_end is not None and not callable(callback_on_step_end):
            raise wrong(
                callback_on_step_end,
                "callback_on_step_end",
                "a function (pipeline, steps taken, steps left, {'states': x})",
            )
        if target is None:
            target = "engine" if self.device.type == "cpu" else "engine:cuda"
        chosen = scheduler or self.scheduler or self._own(num_inference_steps)
        if not isinstance(chosen, str | Sampler | type):
            raise wrong(chosen, "scheduler", "a sampler or its name")
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
            given = callback_on_step_end(self, total - left, left, {"states": x})
            changed = x if given is None else given
            if isinstance(changed, Mapping):
                changed = changed.get("states", x)
            if not isinstance(changed, Tensor) or not isinstance(given, Mapping | None):
                raise InvalidOption(
                    f"A callback gives None back, or {{'states': a tensor}}, got {shown(given)}."
                )
            if changed.shape != x.shape or changed.dtype != x.dtype:
                raise InvalidOption(
                    f"A callback gives states of shape {tuple(x.shape)} and {x.dtype} back, got "
                    f"{tuple(changed.shape)} and {changed.dtype}."
                )
            return changed

        own = None if isinstance(chosen, str) else chosen
        samples = sample(self.run, config, sampler=own, on_step=told)
        images: Any = samples.images
        if output_type == "pt":
            images = torch.from_numpy(images)
        elif output_type == "pil":
            images = [_picture(each) for each in images]
        return PipelineOutput(images, samples.trajectory, samples.manifest)


def _picture(image: np.ndarray) -> Image:
    """Return one image, ``(channels, height, width)`` in [0, 1], as PIL has it."""
    from PIL.Image import fromarray

    levels = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    return fromarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0))


def _seed(generator: torch.Generator | None) -> int:
    if generator is None:
        return 0
    return int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
