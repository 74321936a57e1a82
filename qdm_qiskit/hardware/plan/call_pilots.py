"""Pilot chains of models of several calls: what the shot noise of each call does to the final images.

The chains run on the engine, from other x_T than the run's: all calls exact but one, or all with shots.
Nothing is sent.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from ...errors import InvalidData
from ...execution.calls import CallResult, CircuitCall
from ...progress import Message, Progress, silent
from ...rng import derived_seed, stream
from .call_jobs import call_name, noise_stream
from .call_shots import told_shots
from .files import inputs
from .shot_allocation import MAX_MEASURED_STEPS, PILOT_IMAGES, PILOT_REPEATS, interpolated

if TYPE_CHECKING:
    from torch import nn

    from ...sampling import Sampler, TrainedRun
    from ...sampling.chain import Chain

__all__ = [
    "CallPilots",
    "CallVariances",
    "Effort",
    "StepCall",
    "call_variances",
    "effort_of",
    "tells_states",
]

MAX_MEASURED_CALLS = 32
"""Calls whose noise is measured, where a chain is long; the others are interpolated over the steps."""
FEWEST_MEASURED = 3
"""Steps at least at which each call is measured."""
FEWEST_IMAGES = 4
WORK = 30_000_000
"""Amplitudes of all circuits of all pilot chains, about ten seconds; costly models get fewer
chains."""
ROW, TOLD_ROW = 64, 4096
"""Amplitudes that a row takes the time of at least, and one of a state that tomography tells."""


@dataclass(frozen=True)
class StepCall:
    """A call of a step, of all rows."""

    t: int
    question: int
    """Number of the question that asks it, from 1."""
    name: str
    executions: float
    """Executions of one shot for one image: its rows, in every basis."""


@dataclass(frozen=True)
class CallVariances:
    """Effect of each call's shot noise on the final images; arrays in the order of the calls."""

    final: np.ndarray
    """``(K,)``: c_k, mean squared pixel error of the final images, times the call's shots."""
    chains: np.ndarray
    """``(measured, images)``: the same of each pilot chain, of the calls that were measured."""
    measured: tuple[int, ...]
    """The calls that were measured; others are interpolated in log c over the log of the step."""

    def predicted(self, shots: Sequence[int]) -> float:
        """Return the mean squared pixel error of the final images with these shots, to first order."""
        return float((self.final / np.asarray(shots)).sum())


@dataclass(frozen=True)
class Effort:
    """Pilot chains, and the steps at which each call is measured."""

    images: int
    repeats: int
    """Draws of each chain and measured call."""
    draws: int
    """Draws of each chain with shots in all calls."""
    steps: int


def tells_states(model: nn.Module) -> bool:
    """Return True if the states behind some of a model's circuits are told by tomography."""
    from ...layers.branch_layer import BranchLayer
    from ...layers.state_blocks import StateBlocks
    from ...layers.state_layer import StateLayer

    return any(isinstance(e, StateLayer | StateBlocks | BranchLayer) for e in model.modules())


def effort_of(calls: Sequence[StepCall], qubits: Sequence[int], *, states: bool = False) -> Effort:
    """Return the work that pilots take: all that helps of small models, less of large ones.

    Args:
        calls: Of the chain.
        qubits: Of the circuit of each.
        states: Whether states are told by tomography, whose fits take longer than circuits.
    """
    row = TOLD_ROW if states else ROW
    names = len({each.name for each in calls})
    steps = min(MAX_MEASURED_STEPS, max(FEWEST_MEASURED, MAX_MEASURED_CALLS // names))
    chain = sum(each.executions * max(row, 2**n) for each, n in zip(calls, qubits, strict=True))
    asked = Counter(each.name for each in calls)
    measured = sum(min(steps, number) for number in asked.values())
    # A measured call runs half a chain, and each of five powers of the variances a whole one.
    for repeats, draws in ((PILOT_REPEATS, 2 * PILOT_REPEATS), (1, 2), (1, 1)):
        images = int(WORK / (chain * (repeats * measured / 2 + 5 * draws)))
        if images >= 2 * FEWEST_IMAGES:
            break
    return Effort(min(PILOT_IMAGES, max(FEWEST_IMAGES, images)), repeats, draws, steps)


@final
class _PilotTarget:
    """Engine that answers some calls with shots and the others exactly."""

    def __init__(self, seed: int) -> None:
        from ...layers.calling import ExactTarget
        from ...sampling.call_targets import Programs
        from ...sampling.readings import Reading

        self._seed, self._exact, self._programs = seed, ExactTarget(), Programs()
        self._reading, self._readings = Reading.of, dict[int, Reading]()

    def begin(self, t: int, repeat: int) -> None:
        """Go to a step."""
        self._t, self._repeat, self._number = t, repeat, 0

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """See :class:`.CallTarget`."""
        return [self._one(call) for call in calls]

    def _one(self, call: CircuitCall) -> CallResult:
        self._number += 1
        if call.shots is None:
            [found] = self._exact.answer([call])
            self._exact.calls.clear()
            return found
        if id(call.spec) not in self._readings:  # a reading keeps its spec, and so its id
            self._readings[id(call.spec)] = self._reading(call.spec)
        reading = self._readings[id(call.spec)]
        rng = stream(self._seed, "evaluation", 2, self._t, self._repeat, self._number)
        counts = [
            rng.multinomial(call.shots, p / p.sum(axis=1, keepdims=True))
            for p in reading.exact(call, self._programs.of(call))
        ]
        return reading.result(counts, rows=call.num_rows)


class CallPilots:
    """Chains on the engine, exact and with shots, to which an allocation is fitted; nothing is sent.

    Args:
        trained: The run.
        sampler: Of the chain.
        times: t of each step.
        calls: Calls of the chain in their order.
        seed: Of x_T and the shots; the run's own are other draws.
        label: Class of all images of a guided model.
        num_images: Chains.
    """

    def __init__(
        self,
        trained: TrainedRun,
        sampler: Sampler,
        times: Sequence[int],
        calls: Sequence[StepCall],
        *,
        seed: int,
        label: int | None = None,
        num_images: int = PILOT_IMAGES,
    ) -> None:
        import torch

        from ...sampling.chain import Chain

        own = derived_seed(seed, "evaluation", 1)
        x, labels = inputs(trained, num_images, label, own)
        self.calls, self.num_images = tuple(calls), num_images
        self._model, self._process, self._times = trained.model, trained.process, list(times)
        self._labels = None if labels is None else torch.from_numpy(labels)
        self._target = _PilotTarget(seed)
        chain = Chain(
            trained.process, sampler, times, torch.from_numpy(x), lambda t: noise_stream(own, t)
        )
        self._starts: list[Chain] = []
        while chain.left:
            self._starts.append(copy.copy(chain))  # whose state is replaced, never changed
            self._walk(chain, {}, 0)
        self.exact = self._images(chain)
        """Final images of the exact chains, ``(images, ...)``."""

    def moved(self, call: int, shots: int, repeat: int) -> np.ndarray:
        """Return each final image's mean squared pixel distance, with shots in one call alone.

        Args:
            call: Its number.
            shots: Of each row and circuit.
            repeat: Of the draws.
        """
        one = self.calls[call]
        return self._ends(self._times.index(one.t), {(one.t, one.name): shots}, repeat)

    def squares(self, shots: Sequence[int], repeat: int) -> np.ndarray:
        """Return each final image's mean squared pixel distance, with shots in all calls.

        Args:
            shots: Of each call.
            repeat: Of the draws; the same ones whatever the shots.
        """
        pairs = zip(self.calls, shots, strict=True)
        return self._ends(0, {(each.t, each.name): int(n) for each, n in pairs}, repeat)

    def error(self, shots: Sequence[int], *, repeats: int = PILOT_REPEATS) -> float:
        """Return the root mean square pixel error of final images with these shots."""
        return math.sqrt(float(np.mean([self.squares(shots, r) for r in range(repeats)])))

    def _ends(self, first: int, shots: Mapping[tuple[int, str], int], repeat: int) -> np.ndarray:
        chain = copy.copy(self._starts[first])
        while chain.left:
            self._walk(chain, shots, repeat)
        away = (self._images(chain) - self.exact) ** 2
        return np.asarray(away.reshape(len(away), -1).mean(axis=1))

    def _walk(self, chain: Chain, shots: Mapping[tuple[int, str], int], repeat: int) -> None:
        t, ask = self._times[chain.index], 1
        self._target.begin(t, repeat)
        while True:
            question = chain.question
            assert question is not None
            prediction = told_shots(
                self._model,
                self._target,
                *question,
                self._labels,
                num_steps=self._process.num_steps,
                shots=_ShotsAt(shots, t, ask),
            )
            if chain.advance(prediction):
                return
            ask += 1

    def _images(self, chain: Chain) -> np.ndarray:
        import torch

        from ...layers.arrays import to_array

        with torch.no_grad():
            data = self._process.to_images(chain.x).clamp(0, 1)
            return np.asarray(to_array(self._model.decode_data(data)), np.float64)


@dataclass(frozen=True)
class _ShotsAt:
    """Shots of the calls of a prediction; None of one that is exact."""

    shots: Mapping[tuple[int, str], int]
    t: int
    ask: int

    def __call__(self, name: str) -> int | None:
        return self.shots.get((self.t, call_name(name, self.ask)))


def call_variances(
    pilots: CallPilots,
    *,
    shots: int,
    repeats: int = PILOT_REPEATS,
    steps: int = MAX_MEASURED_STEPS,
    progress: Progress = silent,
) -> CallVariances:
    """Measure c_k: chains that are exact but for the shots of one call, against the exact chains.

    Args:
        pilots: The chains.
        shots: Shots of the noisy call; best the mean of those that will be used.
        repeats: Draws for each chain and call.
        steps: Most steps at which a call of one name is measured.
        progress: Receives the calls that are done.

    Raises:
        InvalidData: If no call makes a difference, so that there is nothing to split by.
    """
    measured = _measured(pilots.calls, steps)
    chains = np.zeros((len(measured), pilots.num_images))
    for row, number in enumerate(measured):
        progress(Message("measuring the shot noise of calls", row, len(measured)))
        for repeat in range(repeats):
            chains[row] += pilots.moved(number, shots, repeat) * shots / repeats
    if not chains.any():
        raise InvalidData(
            "Shot noise moves no pixel of this model's images; use schedule 'uniform'."
        )
    found = dict(zip(measured, chains.mean(axis=1), strict=True))
    final = np.zeros(len(pilots.calls))
    for name in dict.fromkeys(each.name for each in pilots.calls):
        mine = [k for k, each in enumerate(pilots.calls) if each.name == name]
        known = [k for k in mine if k in found]
        final[mine] = interpolated(
            np.array([found[k] for k in known]),
            [pilots.calls[k].t for k in known],
            [pilots.calls[k].t for k in mine],
        )
    return CallVariances(final=final, chains=chains, measured=tuple(measured))


def _measured(calls: Sequence[StepCall], steps: int) -> list[int]:
    """Return the calls to measure: of each name all, or so many, towards t = 1 more densely."""
    found: set[int] = set()
    for name in {each.name for each in calls}:
        mine = [k for k, each in enumerate(calls) if each.name == name][::-1]
        ranks = np.arange(len(mine))
        if len(mine) > steps:
            ranks = np.unique(np.geomspace(1, len(mine), steps).round().astype(np.int64)) - 1
        found.update(mine[int(rank)] for rank in ranks)
    return sorted(found)
