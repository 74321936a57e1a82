"""Arithmetic between the jobs: from x_t to angles, and from counts to x_{t-1}.

Nothing here depends on anything but the plan and the counts, so a run that is taken up again, or
replayed, gets the same images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...execution.distributions import normalized
from ...mitigation.readout import ReadoutCalibration, mitigate
from ...mitigation.simplex import nearest_probability
from ...rng import derived_seed
from ..plan.planned_files import load_planned_run, planned_values, read_inputs
from ..plan.run_plan import RunPlan
from .predictions import prediction_change

if TYPE_CHECKING:
    from torch import Tensor

    from ...sampling import Sampler
    from .call_chain import CallChain
    from .whole_chain import WholeChain

__all__ = [
    "PlannedChain",
    "planned_chain",
    "probabilities_of",
]


class PlannedChain:
    """The reverse chain of a plan, with its model, at x_T.

    Args:
        plan: The plan; its files are checked.

    Raises:
        InvalidPlan: If a file of it is missing or was changed.
    """

    def __init__(self, plan: RunPlan) -> None:
        import torch

        from ...models import CircuitDenoiser

        x, labels = read_inputs(plan)
        trained = load_planned_run(plan)
        assert isinstance(trained.model, CircuitDenoiser)  # planning refuses others
        self.plan = plan
        self._model = trained.model
        self._process = trained.process
        self._labels = None if labels is None else torch.from_numpy(labels)
        self._x = torch.from_numpy(x)
        self.step = plan.num_steps
        """t of the x_t at hand."""
        self._predictions: list[Tensor] = []

    def values(self) -> np.ndarray:
        """Values of the transpiled circuit's parameters for all images: ``(images, parameters)``."""
        return planned_values(self.plan, self._model.circuit_values(*self._encoded()))

    def exact_probabilities(self) -> np.ndarray:
        """Return the exact distribution of the circuit at this step, ``(images, 2**qubits)``."""
        from ...sampling import register_probabilities

        return register_probabilities(self._model, *self._encoded())

    def advance(self, probabilities: np.ndarray) -> None:
        """Go from x_t to x_{t-1}.

        Args:
            probabilities: ``(images, 2**qubits)``, raw or mitigated.

        Raises:
            InvalidData: If no shot of an image passed the post-selection, or x_{t-1} is not finite.
        """
        import torch

        from ...sampling.one_circuit import decoded

        shots = self.plan.step(self.step).shots
        with torch.no_grad():
            prediction = decoded(self._model, probabilities, self._x, step=self.step, shots=shots)
        self._predictions = [*self._predictions, prediction][-2:]
        self._go_on(prediction)

    def _go_on(self, prediction: Tensor) -> None:
        import torch

        from ...diffusion import own_step
        from ...sampling.shared import shared_step

        with torch.no_grad():
            generator = torch.Generator().manual_seed(
                derived_seed(self.plan.seed, "sampling", self.step)
            )
            step = (self._process, self._x, self.step, prediction, generator)
            share = self.plan.share
            self._x = (
                own_step(*step) if share is None else shared_step(*step, share.rows(), share.images)
            )
        self.step -= 1

    def advance_exactly(self) -> None:
        """Go from x_t to x_{t-1} by the exact distribution."""
        self.advance(self.exact_probabilities())

    @property
    def hold_error(self) -> float | None:
        """Root mean square change between the last two predictions; None before there are two."""
        return prediction_change(self._predictions)

    def hold(self) -> None:
        """Go from x_t to x_{t-1} by the last prediction."""
        self._go_on(self._predictions[-1])

    def keep(self, route: str) -> None:
        """Go from x_t to x_{t-1} without the device: by ``exact`` or ``hold``."""
        if route == "hold":
            self.hold()
        else:
            self.advance_exactly()

    def state(self) -> np.ndarray:
        """The x_t at hand, ``(images, ...)``."""
        from ...layers.arrays import to_array

        return to_array(self._x)

    def images(self) -> np.ndarray:
        """The x_t at hand as images, ``(images, channels, height, width)``; x_0 lies in [0, 1]."""
        import torch

        from ...layers.arrays import to_array

        with torch.no_grad():
            data = self._process.to_images(self._x)
            found = self._model.decode_data(data.clamp(0, 1) if self.step == 0 else data)
        return to_array(found)

    def _encoded(self) -> tuple[Tensor | None, Tensor | None]:
        """Amplitudes with unit rows, and inputs, in float64."""
        return self._model.circuit_inputs(self._x, self._labels, self.step / self.plan.num_steps)


def planned_chain(
    plan: RunPlan, sampler: Sampler | None = None
) -> PlannedChain | CallChain | WholeChain:
    """Return the chain of a plan at x_T, of one circuit, of several calls a step, or one in all.

    Args:
        plan: The plan; its files are checked.
        sampler: The sampler object, for a plan that was made with one.
    """
    if plan.calls is None:
        return PlannedChain(plan)
    from .whole_chain import chain_of_calls

    return chain_of_calls(plan, sampler)


def probabilities_of(
    plan: RunPlan, counts: np.ndarray, calibration: ReadoutCalibration | None
) -> np.ndarray:
    """Return probabilities from a step's counts: their frequencies, or those corrected by M3.

    Args:
        plan: Names the backend, the measured qubits and the correction.
        counts: ``(images, 2**qubits)``.
        calibration: Of this backend and these qubits; None leaves the counts as they are.

    Returns:
        ``(images, 2**qubits)`` float64, rows >= 0 with sum 1.

    Raises:
        CalibrationMismatch: If the calibration is of another backend or lacks a qubit.
    """
    if calibration is None:
        return normalized(counts)
    quasi = mitigate(
        counts,
        calibration,
        plan.circuit.measured_qubits,
        plan.backend,
        correction=plan.correction,
    )
    return nearest_probability(quasi)
