"""Objective of training: the loss of a model on the noisy states that a process makes of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import DiffusionProcess, TrainingPairs
from ..models import Denoiser

__all__ = [
    "WHOLE",
    "Objective",
    "Part",
    "shared_out",
]


@dataclass(frozen=True)
class Part:
    """The part of a batch that one of several processes takes."""

    index: int
    """Number of the process, 0 .. count - 1."""
    count: int
    """Processes."""


WHOLE = Part(0, 1)
"""All of it, for one process."""


@dataclass(frozen=True)
class Objective:
    """The loss of a run, the same for the model and for the baseline beside it."""

    process: DiffusionProcess
    """Makes the pairs and compares."""
    encoder: Denoiser
    """The run's model, whose encoding of the data all learners share; not wrapped."""

    def pairs(self, images: Tensor, generator: torch.Generator) -> TrainingPairs:
        """Noisy states of a batch with their targets.

        Args:
            images: ``(batch, channels, height, width)`` in [0, 1].
            generator: Source of the noise, on the CPU.
        """
        with torch.no_grad():
            x_0 = self.process.to_states(self.encoder.encode_data(images))
            return self.process.training_pairs(x_0, generator)

    def as_generated(
        self,
        model: Denoiser,
        pairs: TrainingPairs,
        labels: Tensor | None,
        generator: torch.Generator,
    ) -> TrainingPairs:
        """The pairs, with the model's own inputs where the process trains on those.

        Args:
            model: Predictions on its way.
            pairs: From :meth:`pairs`.
            labels: ``(batch,)`` positions of the classes, None for a model that is not guided.
            generator: Source of randomness of the model's chain.
        """

        def prediction(x: Tensor, step: int) -> Tensor:
            return self.prediction(model, x, torch.full((len(x),), step, device=x.device), labels)

        return self.process.as_generated(pairs, prediction, generator)

    def losses(self, model: Denoiser, pairs: TrainingPairs, labels: Tensor | None) -> Tensor:
        """The loss of each pair, ``(pairs,)``.

        Args:
            model: What is judged.
            pairs: From :meth:`pairs` or :meth:`as_generated`.
            labels: As for :meth:`as_generated`.
        """
        own = None if labels is None else labels[pairs.source]
        return self.process.losses(self.prediction(model, pairs.noisy, pairs.step, own), pairs)

    def prediction(self, model: Denoiser, x: Tensor, step: Tensor, labels: Tensor | None) -> Tensor:
        """The model's prediction to states at integer steps, with one label a row or none."""
        return model(x, step / self.process.num_steps, labels)

    def loss(
        self,
        model: Denoiser,
        images: Tensor,
        labels: Tensor | None,
        generator: torch.Generator,
        part: Part = WHOLE,
    ) -> Tensor:
        """The mean loss of all pairs of a batch, or one process's part of it.

        Args:
            model: What is trained.
            images: ``(batch, channels, height, width)`` in [0, 1]: the whole batch.
            labels: As for :meth:`as_generated`.
            generator: Source of the noise of the whole batch, on the CPU.
            part: Which part.

        Returns:
            The mean of what the parts return is the mean loss of all pairs.
        """
        pairs = self.as_generated(model, self.pairs(images, generator), labels, generator)
        if part.count == 1 or self.process.compares_ensembles:
            return self.losses(model, pairs, labels).mean()
        own, weight = shared_out(pairs, part)
        return self.losses(model, own, labels).mean() * weight


def shared_out(pairs: TrainingPairs, part: Part) -> tuple[TrainingPairs, float]:
    """A part of the pairs, and the weight of their mean loss in the mean over the parts.

    Whole images are shared out, in turn. With fewer images than parts some would be left without;
    they take the first image with weight 0, because every process has to go backward.
    """
    own = pairs.source % part.count == part.index
    weight = float(own.sum()) * part.count / len(own)
    if weight == 0:
        own = pairs.source == 0
    taken = TrainingPairs(pairs.noisy[own], pairs.step[own], pairs.target[own], pairs.source[own])
    return taken, weight
