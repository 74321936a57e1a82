"""Training of a model whose circuits a target answers, one optimizer step after the other.

Nothing here depends on anything but the model, its batches and the answers: whoever has the answers
gets the same weights again, to the bit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor, nn

from ..circuits import CircuitSpec
from ..diffusion import DiffusionProcess
from ..diffusion.base import TrainingPairs
from ..errors import InvalidData, InvalidOption, TargetUnavailable
from ..execution.calls import CallTarget, CircuitCall
from ..layers.calling import ExactTarget, quantum_layers
from ..models import Denoiser
from ..models.plain_optimizers import Adam
from .spsa import Spsa
from .targets.called import ShiftedExecutor
from .targets.target import check_trainable

__all__ = [
    "ALL",
    "TAIL",
    "Batch",
    "CallOptimizer",
    "CallTraining",
    "check_by_calls",
    "chosen_weights",
    "exact_loss",
]

CallOptimizer = Literal["adam", "spsa"]
ALL, TAIL = "all", "tail"
"""Words for all weights, and for those that no circuit depends on."""


@dataclass(frozen=True)
class Batch:
    """Noisy states of one step of an optimizer, with what the process wants of them."""

    x: Tensor
    """``(rows, *state_shape)``."""
    step: Tensor
    """``(rows,)`` integers t = 1 .. T."""
    target: Tensor
    """Of the shape of ``x``."""
    labels: Tensor | None
    """``(rows,)`` class indices of guided models."""

    def loss(self, model: Denoiser, process: DiffusionProcess) -> Tensor:
        """Return the mean loss of the rows."""
        pairs = TrainingPairs(self.x, self.step, self.target, torch.arange(len(self.x)))
        said = model(self.x, self.step / process.num_steps, self.labels)
        return process.losses(said, pairs).mean()


def check_by_calls(model: Denoiser, process: DiffusionProcess, target: str) -> None:
    """Refuse what cannot be trained from the answers of calls.

    Raises:
        TargetUnavailable: With the reason.
    """
    check_trainable(model, target, "train it by `qdm train`")
    own = type(process).as_generated is not DiffusionProcess.as_generated
    if own or process.compares_ensembles:
        raise TargetUnavailable(
            f"{type(process).__name__} trains on ensembles, or on what the model itself generated, "
            "which no plan can price before it ran; train it by `qdm train`."
        )


def chosen_weights(
    model: Denoiser, process: DiffusionProcess, batch: Batch, wanted: str
) -> tuple[tuple[str, ...], bool]:
    """Return the names of the parameters that are to be trained.

    Args:
        model: The model.
        process: Its process.
        batch: Any batch.
        wanted: ``"all"``; ``"tail"``, those that no circuit depends on; or names of parameters, or of
            parts of the model, with commas between them.

    Returns:
        The names, and True if no circuit depends on any of them.

    Raises:
        InvalidOption: If a name is unknown, or there is no tail.
    """
    names = [name for name, each in model.named_parameters() if each.requires_grad]
    front = _asked_about(model, process, batch)
    if wanted == ALL:
        chosen = names
    elif wanted == TAIL:
        chosen = [name for name in names if name not in front]
        if not chosen:
            raise InvalidOption(
                f"Every weight of '{model.name}' is in a circuit or in front of one, so there is no "
                f"'{TAIL}' to train; take '{ALL}', or names of weights: {_some(names)}."
            )
    else:
        chosen = _named(names, wanted, model.name)
    return tuple(chosen), not any(name in front for name in chosen)


def _named(names: Sequence[str], wanted: str, model: str) -> list[str]:
    chosen: set[str] = set()
    for each in (part.strip() for part in wanted.split(",")):
        found = {name for name in names if name == each or name.startswith(f"{each}.")}
        if not each or not found:
            raise InvalidOption(
                f"'{model}' has no weights '{each}' to train; there are '{ALL}', '{TAIL}' and "
                f"{_some(names)}."
            )
        chosen |= found
    return [name for name in names if name in chosen]


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def _asked_about(model: Denoiser, process: DiffusionProcess, batch: Batch) -> set[str]:
    """Return the names of the parameters that any circuit's angles depend on."""
    exact, asked = ExactTarget(), list[Tensor]()

    def answer(executor: ShiftedExecutor, call: CircuitCall) -> np.ndarray:
        [found] = exact.answer([call])
        assert executor.turns is not None
        asked.append(executor.turns)
        return found.outputs

    with _Called(model, answer).answering():
        batch.loss(model, process)
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    total = sum((each.sum() for each in asked if each.requires_grad), torch.zeros(()))
    if not total.requires_grad:
        return set()
    slopes = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    return {name for name, slope in zip(named, slopes, strict=True) if slope is not None}


Answer = Callable[[ShiftedExecutor, CircuitCall], np.ndarray]


class _Called:
    """A model's layers with executors that a function answers."""

    def __init__(self, model: Denoiser, answer: Answer) -> None:
        self._layers = quantum_layers(model)
        self._executors = {
            name: _executor(name, layer.spec.loaded_by(model.call_loader), answer)
            for name, layer in self._layers.items()
        }

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Have the executors in their place until the context ends."""
        before = {name: layer.executor for name, layer in self._layers.items()}
        try:
            for name, layer in self._layers.items():
                layer.executor = self._executors[name]
            yield
        finally:
            for name, layer in self._layers.items():
                layer.executor = before[name]


def _executor(name: str, spec: CircuitSpec, answer: Answer) -> ShiftedExecutor:
    def ask(call: CircuitCall) -> np.ndarray:
        return answer(made, call)

    made = ShiftedExecutor(name, spec, ask)
    return made


class _Missing(BaseException):
    """Signal that the answer to a call is not there yet; no error, and for no model's code to catch."""

    def __init__(self, call: CircuitCall) -> None:
        super().__init__(call.name)
        self.call = call


@final
class CallTraining:
    """Training of some weights of a model, from the answers of calls.

    With ``adam`` a step asks about its batch and every shifted angle in one question for each layer.
    With ``spsa`` it asks about its batch at weights to both sides of the present ones, in one question
    for each layer as well.

    Args:
        model: The model; its weights are changed.
        process: Its process.
        weights: Names of the parameters that are trained; all others stay as they are.
        optimizer: ``"adam"`` or ``"spsa"``.
        learning_rate: Step size.
        perturbation: Of SPSA.
        seed: Of SPSA's perturbations.
        shots: Of each row of a call; None asks for exact values.
    """

    def __init__(
        self,
        model: Denoiser,
        process: DiffusionProcess,
        weights: Sequence[str],
        *,
        optimizer: CallOptimizer,
        learning_rate: float,
        perturbation: float = 0.1,
        seed: int = 0,
        shots: int | None = None,
    ) -> None:
        self.model, self.process = model, process
        self._shots = shots
        self._made: Counter[str] = Counter()
        self._target: CallTarget | None = None
        self._memory: list[np.ndarray] | None = None
        self._given: list[np.ndarray] | None = None
        self._place = 0
        self.shifted = 0
        """Angles that were shifted for each row, in the last step, of all layers together."""
        model.train()
        for name, each in model.named_parameters():
            each.requires_grad_(name in weights)
        trained = [each for each in model.parameters() if each.requires_grad]
        self._optimizer: torch.optim.Optimizer
        if optimizer == "spsa":
            self._optimizer = Spsa(
                model,
                kind="spsa",
                learning_rate=learning_rate,
                perturbation=perturbation,
                seed=seed,
            )
        else:
            self._optimizer = Adam(trained, lr=learning_rate)
        self._kind = optimizer
        self._called = _Called(model, self._answer)
        self.losses: list[float] = []
        """Loss of each step, before it; of SPSA the mean of the two that it takes."""

    def step(self, batch: Batch, target: CallTarget) -> None:
        """Take a step.

        Args:
            batch: Of the step.
            target: Answers its calls.

        Raises:
            InvalidData: If the loss is no number.
            What the target raises.
        """
        self._memory = None
        with self._asking(target):
            self._advance(batch)

    def steps_on(self, batch: Batch, target: CallTarget, steps: int) -> None:
        """Take steps on one batch, whose calls are answered once: no circuit depends on the weights.

        Args:
            batch: Of all steps.
            target: Answers its calls.
            steps: Number of steps.

        Raises:
            As :meth:`step`.
        """
        self._memory = []
        with self._asking(target):
            for _ in range(steps):
                self._advance(batch)

    def evaluate(self, batch: Batch, target: CallTarget) -> float:
        """Return the loss of a batch, without a step."""
        self._memory = None
        with self._asking(target), torch.no_grad():
            return self._loss(batch).item()

    def gradient(self, batch: Batch, target: CallTarget) -> dict[str, Tensor]:
        """Return the gradient of the loss of a batch by parameter shift, without a step."""
        self._memory = None
        self._optimizer.zero_grad()
        with self._asking(target):
            self._loss(batch).backward()
        return {
            name: torch.zeros_like(each) if each.grad is None else each.grad.clone()
            for name, each in self.model.named_parameters()
            if each.requires_grad
        }

    def _advance(self, batch: Batch) -> None:
        said: list[float] = []
        if self._kind == "spsa":

            def both(puts: Sequence[Callable[[], None]]) -> list[float]:
                said.extend(self._losses_at(batch, puts))
                return said

            assert isinstance(self._optimizer, Spsa)
            self._optimizer.step(lambda: self._loss(batch).item(), both)
        else:
            self._optimizer.zero_grad()
            loss = self._loss(batch)
            loss.backward()
            self._optimizer.step()
            said.append(loss.item())
        mean = math.fsum(said) / len(said)
        if not math.isfinite(mean):
            raise InvalidData(
                f"The loss of step {len(self.losses) + 1} is {mean}; plan again with a smaller "
                "step size, train_rate."
            )
        self.losses.append(mean)

    def _loss(self, batch: Batch) -> Tensor:
        self._made.clear()
        self._place, self.shifted = 0, 0
        return batch.loss(self.model, self.process)

    def _losses_at(self, batch: Batch, puts: Sequence[Callable[[], None]]) -> list[float]:
        """Return the losses at several weights, whose calls are asked together, layer by layer.

        The model runs again for each further question, with the answers that are there.
        """
        assert self._target is not None
        found: dict[int, float] = {}
        answers: list[list[np.ndarray]] = [[] for _ in puts]
        before = [(each, each.clone()) for each in self.model.buffers()]
        while len(found) < len(puts):
            asked: dict[int, CircuitCall] = {}
            for number, put in enumerate(puts):
                if number in found:
                    continue
                put()
                for buffer, value in before:  # which batch normalisation changes in each run
                    buffer.copy_(value)
                self._given = answers[number]
                try:
                    found[number] = self._loss(batch).item()
                except _Missing as missing:
                    name = f"{missing.call.name}{'+-'[number]}"
                    asked[number] = replace(missing.call, name=name)
                finally:
                    self._given = None
            if asked:
                results = self._target.answer(list(asked.values()))
                for number, result in zip(asked, results, strict=True):
                    answers[number].append(np.asarray(result.outputs, dtype=np.float64))
        return [found[number] for number in range(len(puts))]

    @contextmanager
    def _asking(self, target: CallTarget) -> Iterator[None]:
        self._target = target
        try:
            with self._called.answering():
                yield
        finally:
            self._target = None

    def _answer(self, executor: ShiftedExecutor, call: CircuitCall) -> np.ndarray:
        self.shifted += executor.shifted
        place, self._place = self._place, self._place + 1
        known = self._memory if self._given is None else self._given
        self._made[call.name] += 1
        if known is not None and place < len(known):
            return known[place]
        number = self._made[call.name]
        name = call.name if number == 1 else f"{call.name}#{number}"
        call = replace(call, name=name, shots=self._shots)
        if self._given is not None:
            raise _Missing(call)
        assert self._target is not None
        [found] = self._target.answer([call])
        outputs = np.asarray(found.outputs, dtype=np.float64)
        if self._memory is not None:
            self._memory.append(outputs)
        return outputs


@torch.no_grad()
def exact_loss(model: nn.Module, process: DiffusionProcess, batches: Sequence[Batch]) -> float:
    """Return the mean loss of batches on the engine, exactly."""
    assert isinstance(model, Denoiser)
    return math.fsum(each.loss(model, process).item() for each in batches) / len(batches)
