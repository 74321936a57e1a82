"""This machine as a provider: the same path with a simulator at its end, free of charge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, final

import numpy as np

from ...errors import InvalidData
from ...execution.counts import Pub
from ...execution.region import active_qubits
from ...execution.runner import CircuitRunner
from ...rng import derived_seed, stream
from ..plan.run_plan import own_seed
from .base import Provider, Status
from .requests import EstimatorRequest, JobRequest, Request

if TYPE_CHECKING:
    from .context import RunContext

__all__ = [
    "LocalProvider",
]


@final
class LocalProvider(Provider):
    """This machine, which runs a job when its counts are asked for, and nothing without a process.

    Its shots depend on the run's seed and the part alone, so a job that is asked for again, by
    another process too, brings the same counts.

    Args:
        device: Snapshot or device of the target; the plan names the whole target.
    """

    name = "local"
    charges = False
    in_process = True
    lag_seconds = 0.0

    def __init__(self, device: str = "") -> None:
        self.device = device
        self._target, self._seed = "", 0
        self._runner: CircuitRunner | None = None
        self._cancelled: set[str] = set()

    def begin(self, run: RunContext, *, detach: bool) -> None:
        """Take the target and the seed of the plan."""
        self._target, self._seed = run.plan.target, own_seed(run.plan)

    def submit(self, request: Request, *, tag: str, max_seconds: int | None) -> str:
        """Return the job's id; it is run by :meth:`result`."""
        return tag.replace("qdm-", "local-", 1)

    def send(
        self, request: Request, *, tag: str, max_seconds: int | None, before: Callable[[], None]
    ) -> str:
        """Return the job's id; an Estimator's jobs are run here too."""
        before()
        return self.submit(request, tag=tag, max_seconds=max_seconds)

    def status(self, job_id: str) -> Status:
        """Return ``queued``: nothing runs here while nobody asks for its result."""
        return "cancelled" if job_id in self._cancelled else "queued"

    def result(self, job_id: str, request: JobRequest) -> Sequence[np.ndarray]:
        """Run the circuits, or draw from the exact distribution on the engine."""
        seed, number = self._stream(request.part)
        if self._target.partition(":")[0] == "engine":
            if request.probabilities is None:
                raise InvalidData("the engine draws from a distribution, and the request has none")
            given = request.probabilities
            rng = stream(seed, "shots", number)
            return [
                rng.multinomial(request.shots, p / p.sum(axis=1, keepdims=True)).astype(np.int64)
                for p in ([given] if isinstance(given, np.ndarray) else given)
            ]
        if self._runner is None:  # once: a device's noise model takes longer than a step
            from ...execution.factory import make_runner

            self._runner = make_runner(self._target, seed=self._seed)
        # One stream a part: a run that is taken up again draws the same shots.
        name = "shots" if request.part.startswith("step-") else "calibration"
        number += 10_000 * request.part.startswith("refit-")  # which is no calibration's stream
        seed = derived_seed(derived_seed(seed, name, number), "shots", 0)
        pubs: list[Pub] = list(request.pubs)
        if request.together:
            return _each_tile_alone(self._runner, pubs, request.shots, seed)
        return self._runner.run(pubs, shots=request.shots, seed=seed)

    def estimates(self, job_id: str, request: EstimatorRequest) -> Sequence[np.ndarray]:
        """Ask IBM's Estimator in local mode, on the qubits of each circuit alone."""
        import json

        from ...execution.estimators import EstimatorRunner
        from ...execution.targets import parse_target
        from ...transpiling.compact import compact

        seed, number = self._stream(request.part)
        options = json.loads(request.estimator_options)
        found = []
        for position, (circuit, observables, values) in enumerate(request.pubs):
            small, kept, reduced = compact(circuit, observables)
            own = derived_seed(derived_seed(seed, "shots", number), "shots", position)
            runner = EstimatorRunner(parse_target(self._target), options, seed=own)
            outputs, errors, _ = runner.run(small, kept, reduced, values, request.shots)
            found.append(np.stack([outputs, errors]))
        return found

    def _stream(self, part: str) -> tuple[int, int]:
        """Return the seed and number of a part's shots: one stream each, decided by its name alone.

        Of ``step-0010-02-part-03`` the numbers are 10, 2 and 3.
        """
        *before, last = (int(each) for each in part.split("-") if each.isdigit())
        seed = self._seed
        for number in before:
            seed = derived_seed(seed, "shots", number)
        return seed, last

    def usage(self, job_id: str) -> float:
        """Return 0."""
        return 0.0

    def cancel(self, job_id: str) -> None:
        """Give the job up."""
        self._cancelled.add(job_id)

    def find(self, tag: str) -> Sequence[str]:
        """Return no job: none outlives its process."""
        return ()


def _each_tile_alone(
    runner: CircuitRunner, pubs: Sequence[Pub], shots: int, seed: int
) -> list[np.ndarray]:
    """Run circuits of the same qubits as one job, and each set of qubits alone.

    Tiles share no qubit, and a snapshot's noise has no crosstalk, so outcomes of different tiles are
    independent; and Aer takes a second for each circuit beside the noise of twenty qubits.
    """
    tiles: dict[frozenset[int], list[int]] = {}
    for number, (circuit, _) in enumerate(pubs):
        tiles.setdefault(active_qubits([circuit]), []).append(number)
    found: dict[int, np.ndarray] = {}
    for position, numbers in enumerate(tiles.values()):
        own = derived_seed(seed, "shots", position)
        counts = runner.run([pubs[k] for k in numbers], shots=shots, seed=own)
        found.update(zip(numbers, counts, strict=True))
    return [found[number] for number in range(len(pubs))]
