"""What training lowers: the loss of a model on the noisy states that a process makes of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import DiffusionProcess, TrainingPairs
from ..models import Denoiser


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
            model: Answers on its way.
            pairs: From :meth:`pairs`.
            labels: ``(batch,)`` positions of the classes, None for a model that is not guided.
            generator: Source of randomness of the model's chain.
        """

        def answer(x: Tensor, step: int) -> Tensor:
            return self.answer(model, x, torch.full((len(x),), step, device=x.device), labels)

        return self.process.as_generated(pairs, answer, generator)

    def losses(self, model: Denoiser, pairs: TrainingPairs, labels: Tensor | None) -> Tensor:
        """The loss of each pair, ``(pairs,)``.

        Args:
            model: What is judged.
            pairs: From :meth:`pairs` or :meth:`as_generated`.
            labels: As for :meth:`as_generated`.
        """
        own = None if labels is None else labels[pairs.source]
        return self.process.losses(self.answer(model, pairs.noisy, pairs.step, own), pairs)

    def answer(self, model: Denoiser, x: Tensor, step: Tensor, labels: Tensor | None) -> Tensor:
        """The model's answer to states at integer steps, with one label a row or none."""
        return model(x, step / self.process.num_steps, labels)

    def loss(
        self, model: Denoiser, images: Tensor, labels: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """The mean loss of all pairs of a batch.

        Args:
            model: What is trained.
            images: ``(batch, channels, height, width)`` in [0, 1].
            labels: As for :meth:`as_generated`.
            generator: Source of the noise, on the CPU.
        """
        pairs = self.pairs(images, generator)
        return self.losses(model, self.as_generated(model, pairs, labels, generator), labels).mean()
