"""The part that processes of ensembles share: a step's loss is a distance of whole batches."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import torch
from torch import Tensor

from .base import DiffusionProcess, Predictor, TrainingPairs, all_steps, check_batch

__all__ = ["EnsembleProcess"]


class EnsembleProcess(DiffusionProcess):
    """A process whose reverse step draws one of the outcomes of a step's ancillas.

    A model predicts all outcomes with their probabilities. What is compared are ensembles, not
    states: the loss of a pair is that of its step's whole batch. Inputs of training are made by the
    model's own chain from noise, so that a step learns to correct the steps before it.
    """

    compares_ensembles = True

    @abstractmethod
    def trajectory(self, x_0: Tensor, generator: torch.Generator) -> Tensor:
        """One forward path for each state, ``(T + 1, batch, ...)`` from ``(batch, ...)``."""

    @abstractmethod
    def distances(self, outcomes: Tensor, target: Tensor) -> Tensor:
        """The distance of ensembles, one for each group.

        Args:
            outcomes: ``(groups, samples, outcomes, ...)``, as the model predicts.
            target: ``(groups, samples, ...)`` states.

        Returns:
            ``(groups,)``.
        """

    @abstractmethod
    def certain(self, states: Tensor) -> Tensor:
        """States as predictions with one outcome, ``(batch, 1, ...)``."""

    def training_pairs(self, x_0: Tensor, generator: torch.Generator) -> TrainingPairs:
        """All T pairs of one path for each state; the first ``batch`` belong to t = 1."""
        check_batch(x_0, generator)
        path = self.trajectory(x_0, generator)
        steps, source = all_steps(self.num_steps, x_0)
        return TrainingPairs(path[1:].flatten(0, 1), steps, path[:-1].flatten(0, 1), source)

    @torch.no_grad()
    def as_generated(
        self, pairs: TrainingPairs, prediction: Predictor, generator: torch.Generator
    ) -> TrainingPairs:
        """The pairs with x_t from the model's own chain."""
        batch = len(pairs.step) // self.num_steps
        x = self.start((batch, pairs.noisy.shape[1]), generator).to(pairs.noisy)
        chain = [x]
        for step in range(self.num_steps, 1, -1):
            x = self.reverse_step(x, step, prediction(x, step), generator)
            chain.append(x)
        return replace(pairs, noisy=torch.cat(chain[::-1]))

    def losses(self, prediction: Tensor, pairs: TrainingPairs) -> Tensor:
        """The distance of each step's ensemble from the one before it, at each of its pairs."""
        batch = len(pairs.step) // self.num_steps
        values = self.distances(
            prediction.reshape(self.num_steps, batch, *prediction.shape[1:]),
            pairs.target.reshape(self.num_steps, batch, -1),
        )
        return values.repeat_interleave(batch)

    def identity_losses(self, pairs: TrainingPairs) -> Tensor:
        """Return the score of leaving every state as it is."""
        return self.losses(self.certain(pairs.noisy), pairs)
