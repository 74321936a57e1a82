"""Chain of a plan whose steps are one circuit: from x_T to x_0 by one question."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from ...execution.calls import CallTarget
from ..plan.planned_files import load_planned_run, read_inputs
from ..plan.run_plan import RunPlan, own_seed
from .call_chain import CallChain, PlannedTarget

if TYPE_CHECKING:
    from ...sampling import Sampler
    from ...sampling.coherent import ChainResult

__all__ = ["WholeChain", "chain_of_calls"]


def chain_of_calls(plan: RunPlan, sampler: Sampler | None = None) -> CallChain | WholeChain:
    """Return the chain of a plan of calls, at x_T.

    Args:
        plan: The plan; its files are checked.
        sampler: The sampler object, for a plan that was made with one.

    Raises:
        InvalidPlan, MissingData: As :class:`.CallChain`.
    """
    return WholeChain(plan) if plan.is_coherent else CallChain(plan, sampler)


@final
class WholeChain:
    """A chain in one circuit, with its model, at x_T or at x_0.

    Args:
        plan: The plan; its files are checked.

    Raises:
        InvalidPlan: If a file of it is missing or was changed.
    """

    def __init__(self, plan: RunPlan) -> None:
        import torch

        from ...sampling.coherent import CoherentChain

        assert plan.chain is not None
        x, labels = read_inputs(plan)
        trained = load_planned_run(plan)
        self.plan, self._record = plan, plan.chain
        self._model, self._process = trained.model, trained.process
        self._chain = CoherentChain.of(trained.model, trained.process)
        self._x = torch.from_numpy(x)
        self._labels = None if labels is None else torch.from_numpy(labels)
        self.result: ChainResult | None = None
        """x_0 and the shares of the shots; None at x_T."""

    @property
    def left(self) -> int:
        """Number of steps that are left: the whole chain is one."""
        return int(self.result is None)

    def walk(self, target: CallTarget) -> None:
        """Go to x_0 by the call that a target answers.

        Raises:
            Unanswered: As the target; the chain must not be used then.
            InvalidPlan: If the call is not that of the plan.
            InvalidData: If no shot of an image passed the projections.
        """
        if isinstance(target, PlannedTarget):
            target.begin(self.plan.num_steps)
        shots = self.plan.steps[0].shots
        [call] = self._chain.calls(
            self._x, self._labels, shots=shots, reuse_qubits=self._record.reuse_qubits
        )
        [answer] = target.answer([call])
        expected = np.array(self._record.kept)
        self.result = self._chain.read(answer, self._x, shots, expected, self._histories())

    def advance_exactly(self, histories: np.ndarray | None = None) -> None:
        """Go to x_0 by the engine's exact values.

        Args:
            histories: Histories of the images, in the place of drawn ones, where they are recorded.
        """
        from ...layers.calling import ExactTarget

        [call] = self._chain.calls(self._x, self._labels, shots=None)
        [answer] = ExactTarget().answer([call])
        self.result = self._chain.read(answer, self._x, None, None, self._histories(), histories)

    def images(self) -> np.ndarray:
        """The state at hand as images, ``(images, channels, height, width)``; x_0 lies in [0, 1]."""
        import torch

        from ...layers.arrays import to_array

        with torch.no_grad():
            x = self._x if self.result is None else self.result.states
            data = self._process.to_images(x)
            found = self._model.decode_data(data if self.left else data.clamp(0, 1))
        return to_array(found)

    def _histories(self) -> np.random.Generator:
        from ...sampling.at_once import history_stream

        return history_stream(own_seed(self.plan))
