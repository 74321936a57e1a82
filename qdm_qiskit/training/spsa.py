"""SPSA and QN-SPSA: training from losses alone, as hardware gives them.

Both come from qiskit-machine-learning, one iteration for each batch. The losses of an iteration are of
one batch and one noise, so that they differ by the weights only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, final

import numpy as np
import torch
from qiskit_machine_learning.optimizers import QNSPSA, SPSA
from qiskit_machine_learning.utils import algorithm_globals
from torch import nn

from ..errors import InvalidOption
from ..models import Denoiser
from ..models.plain_optimizers import PlainOptimizer, Shapes
from ..rng import derived_seed
from .circuit_weights import CircuitWeights, circuit_weights, other_parameters
from .processes import mean_of_processes

__all__ = [
    "PERTURBATION_POWER",
    "RATE_POWER",
    "Spsa",
]

RATE_POWER, PERTURBATION_POWER = 0.602, 0.101
"""Spall's: iteration k = 1, 2 .. has the rate ``a / k**.602`` and the perturbation ``c / k**.101``."""


@final
class Spsa(PlainOptimizer):
    """One iteration of SPSA or QN-SPSA for each step, over all trainable weights of a model.

    SPSA takes two losses a step. QN-SPSA takes four fidelities beside them, of the circuits' states at
    neighbouring weights on samples of the batch, and preconditions by the smoothed metric that they
    estimate; there must be no weights outside of circuits, and its memory is the square of their
    number.

    The perturbations of a step depend on seed and step only: the step reseeds
    ``algorithm_globals`` of qiskit-machine-learning.

    Args:
        model: The model.
        kind: "spsa" or "qn-spsa".
        learning_rate: a, above 0.
        perturbation: c, above 0.
        seed: Of the perturbations.
        regularisation: Added to the metric of QN-SPSA, above 0.
        samples: Samples of a batch on which QN-SPSA takes fidelities, at least 1.

    Raises:
        InvalidOption: If an option is out of range, or QN-SPSA cannot run this model.
    """

    def __init__(
        self,
        model: Denoiser,
        *,
        kind: Literal["spsa", "qn-spsa"],
        learning_rate: float,
        perturbation: float = 0.1,
        seed: int = 0,
        regularisation: float = 0.01,
        samples: int = 32,
    ) -> None:
        if kind not in ("spsa", "qn-spsa") or not min(perturbation, regularisation) > 0:
            raise InvalidOption(
                "Spsa needs kind 'spsa' or 'qn-spsa', perturbation > 0 and regularisation > 0, got "
                f"{kind!r}, {perturbation}, {regularisation}."
            )
        self.trainable: list[nn.Parameter] = [p for p in model.parameters() if p.requires_grad]
        super().__init__(self.trainable, {"lr": learning_rate})
        self.perturbation, self.seed, self.regularisation = perturbation, seed, regularisation
        self.circuits: list[CircuitWeights] = []
        if kind == "qn-spsa":
            self.circuits = circuit_weights(model, samples)
            others = other_parameters(model, self.circuits)
            if others:
                raise InvalidOption(
                    f"QN-SPSA needs a model whose weights are all in circuits, but "
                    f"{sum(p.numel() for p in others)} of '{model.name}' are not; use 'spsa'."
                )

    def state_shapes(self) -> Shapes:
        """Return the shapes in the state after a step."""
        entries: dict[str, tuple[int, ...]] = {"step": ()}
        if self.circuits:
            entries["metric"] = (self.num_weights, self.num_weights)
        return {0: entries}

    @property
    def num_weights(self) -> int:
        """All weights that are perturbed."""
        return sum(p.numel() for p in self.trainable)

    @torch.no_grad()
    def step(  # type: ignore[override] # torch declares two overloads; the loops use this one
        self,
        closure: Callable[[], float],
        together: Callable[[Sequence[Callable[[], None]]], list[float]] | None = None,
    ) -> None:
        """One iteration.

        Args:
            closure: The loss at the model's present weights; always the same for the same weights.
            together: Takes functions that each give the model other weights, and returns the losses at
                all of them; in place of ``closure``, for SPSA alone.
        """
        state = self.state[self.trainable[0]]
        done = int(state["step"]) if state else 0
        k = done + 1
        start = self._weights()

        def loss(x: np.ndarray) -> float:
            self._put(x)
            for circuit in self.circuits:
                circuit.listening = not circuit.runs  # samples from the first loss only
            value = closure()
            for circuit in self.circuits:
                circuit.listening = False
            return value

        algorithm_globals.random_seed = derived_seed(self.seed, "perturbations", done)
        eps = self.perturbation / k**PERTURBATION_POWER
        rate = self.param_groups[0]["lr"] / k**RATE_POWER
        # The library runs all iterations in one call; a run that resumes, on a batch that changes,
        # needs one of them. A test holds a sequence of these to its `minimize`.
        iteration: SPSA = SPSA()
        if self.circuits:
            iteration = QNSPSA(self._fidelity, blocking=False, regularization=self.regularisation)
            metric = state["metric"].double().cpu().numpy() if state else np.eye(len(start))
            iteration._smoothed_hessian = metric
        evaluated: Callable[[np.ndarray], float | list[float]] = loss
        if together is not None:
            iteration.set_max_evals_grouped(2)

            def evaluated(x: np.ndarray) -> float | list[float]:
                return together([partial(self._put, each) for each in x])

        iteration._nfev = 0
        _, update = iteration._compute_update(evaluated, start, k, eps, np.linalg.solve)
        self._put(start - rate * update)
        state["step"] = torch.tensor(float(k))
        if self.circuits:
            # In float32, as a checkpoint gives it back.
            found = torch.from_numpy(iteration._smoothed_hessian).float()
            state["metric"] = found.to(self.trainable[0].device)
        for circuit in self.circuits:
            circuit.forget()

    def _fidelity(self, x: np.ndarray, y: np.ndarray) -> float:
        """Mean fidelity of the samples' states at x and y, summed over the circuits."""
        self._put(x)
        at_x = [circuit.states() for circuit in self.circuits]
        self._put(y)
        total = 0.0
        for circuit, ours in zip(self.circuits, at_x, strict=True):
            theirs = circuit.states()
            overlaps = [
                (a.conj() * b).sum(1).abs().square() for a, b in zip(ours, theirs, strict=True)
            ]
            total += float(mean_of_processes(torch.cat(overlaps).mean()))
        return total

    def _weights(self) -> np.ndarray:
        """All trainable weights in one vector, float64."""
        return torch.cat([p.flatten() for p in self.trainable]).double().cpu().numpy()

    def _put(self, x: np.ndarray) -> None:
        """Give the model other weights."""
        first = 0
        for parameter in self.trainable:
            part = torch.from_numpy(x[first : first + parameter.numel()])
            parameter.copy_(part.reshape(parameter.shape))
            first += parameter.numel()
