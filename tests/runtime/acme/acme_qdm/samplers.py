"""A sampler for every process: its own step, taken in part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from qdm_qiskit.diffusion import DiffusionProcess
from qdm_qiskit.sampling import Sampler
from qdm_qiskit.sampling.samplers import Step


@dataclass(frozen=True)
class Damped(Sampler):
    """The process's own step, of which a share ``eta`` is left out."""

    name = "acme-damped"
    takes = "own"
    eta: float = 0.25

    def timesteps(self, process: DiffusionProcess, steps: int | None) -> Sequence[int]:
        """All of them."""
        return range(process.num_steps, 0, -1)

    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor:
        """Most of the process's own step."""
        own = here.process.reverse_step(x, here.t, prediction, here.generator)
        return self.eta * x + (1 - self.eta) * own
