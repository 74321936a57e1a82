"""The search for a layout over transpiler seeds, here or from what workers have tried.

A seed that was tried elsewhere is known by its cost. Only the best is transpiled again, with the same
seed, so the circuit is the one that a search in one process finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from ..canonical_json import content_sha256
from ..circuits.fingerprint import circuit_fingerprint
from ..errors import InvalidData
from ..progress import Progress, silent
from .cost import CircuitCost
from .passes import Trial, best_trial, layout_trials, success_of

__all__ = [
    "Found",
    "LayoutSearch",
    "TriedSeeds",
    "layout_key",
    "search_layouts",
    "tried_seed",
]


@dataclass(frozen=True)
class Found:
    """What a search has found."""

    best: Trial
    """The trial with the highest expected success."""
    costs: tuple[CircuitCost, ...]
    """Costs of all trials, in the order of the seeds."""


class LayoutSearch(Protocol):
    """A search: :func:`search_layouts`, or :class:`TriedSeeds`."""

    def __call__(
        self,
        circuit: QuantumCircuit,
        backend: BackendV2,
        *,
        seeds: Sequence[int],
        level: int = 3,
        read: Sequence[int] | None = None,
        fractional: bool = False,
        progress: Progress = silent,
    ) -> Found:
        """Return the best trial; arguments and errors as :func:`.layout_trials`."""
        ...


def search_layouts(
    circuit: QuantumCircuit,
    backend: BackendV2,
    *,
    seeds: Sequence[int],
    level: int = 3,
    read: Sequence[int] | None = None,
    fractional: bool = False,
    progress: Progress = silent,
) -> Found:
    """Try all seeds here.

    Args, errors: As for :func:`.layout_trials`.
    """
    trials = layout_trials(
        circuit,
        backend,
        seeds=seeds,
        level=level,
        read=read,
        fractional=fractional,
        progress=progress,
    )
    return Found(best_trial(trials), tuple(each.cost for each in trials))


def layout_key(
    circuit: QuantumCircuit,
    device: str,
    *,
    level: int,
    read: Sequence[int] | None,
    fractional: bool,
) -> str:
    """Return the SHA-256 of what a trial depends on besides its seed.

    Args:
        circuit: The logical circuit.
        device: The device's name.
        level, read, fractional: As for :func:`.layout_trials`.
    """
    content = {
        "circuit": circuit_fingerprint(circuit),
        "device": device,
        "level": level,
        "read": None if read is None else list(read),
        "fractional": fractional,
    }
    return content_sha256(content)


def tried_seed(
    circuit: QuantumCircuit,
    backend: BackendV2,
    seed: int,
    *,
    level: int,
    read: Sequence[int] | None,
    fractional: bool,
) -> dict[str, Any]:
    """Try a seed, and return what :class:`TriedSeeds` takes, ready for JSON.

    Args, errors: As for :func:`.layout_trials`.
    """
    [trial] = layout_trials(
        circuit, backend, seeds=[seed], level=level, read=read, fractional=fractional
    )
    return {
        "key": layout_key(circuit, backend.name, level=level, read=read, fractional=fractional),
        "seed": seed,
        "cost": asdict(trial.cost),
        "unmeasured_readout": trial.unmeasured_readout,
    }


class TriedSeeds:
    """A search that knows the costs of seeds that were tried before.

    Args:
        tried: Results of :func:`tried_seed`.

    Raises:
        InvalidData: If one cannot be used.
    """

    def __init__(self, tried: Sequence[Mapping[str, Any]]) -> None:
        self._known: dict[str, dict[int, tuple[CircuitCost, float]]] = {}
        try:
            for each in tried:
                key, seed = each["key"], each["seed"]
                if type(key) is not str or type(seed) is not int:
                    raise TypeError("a trial has a key and a seed")
                readout = _number(each["unmeasured_readout"])
                self._known.setdefault(key, {})[seed] = _cost_from(each["cost"]), readout
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InvalidData(
                f"A result of a layout trial cannot be used ({type(error).__name__}: {reason}): remove "
                "it, and it is tried again."
            ) from error

    @classmethod
    def of_results(cls, results: Sequence[Mapping[str, Any]]) -> TriedSeeds:
        """Return the search that knows what items have tried: lists of trials under ``tried``.

        Raises:
            InvalidData: If one cannot be used.
        """
        lists = [each.get("tried") for each in results]
        if not all(isinstance(each, list) for each in lists):
            raise InvalidData(
                "A result of a layout trial has no list 'tried': remove it, and it is tried again."
            )
        return cls([trial for each in lists if isinstance(each, list) for trial in each])

    def best_seeds(self, seeds: Sequence[int]) -> dict[str, int]:
        """Return the best of some seeds for each key all of whose seeds were tried."""
        return {
            key: _best(known, seeds)
            for key, known in self._known.items()
            if all(seed in known for seed in seeds)
        }

    def __call__(
        self,
        circuit: QuantumCircuit,
        backend: BackendV2,
        *,
        seeds: Sequence[int],
        level: int = 3,
        read: Sequence[int] | None = None,
        fractional: bool = False,
        progress: Progress = silent,
    ) -> Found:
        """Return the best trial; a circuit that nobody has tried is tried here.

        Args:
            circuit, backend, seeds, level, read, fractional, progress: As for :func:`.layout_trials`.

        Raises:
            InvalidData: If the best seed gives another circuit here.
            Others: As :func:`.layout_trials`.
        """
        key = layout_key(circuit, backend.name, level=level, read=read, fractional=fractional)
        known = self._known.get(key, {})
        if not seeds or any(seed not in known for seed in seeds):
            return search_layouts(
                circuit,
                backend,
                seeds=seeds,
                level=level,
                read=read,
                fractional=fractional,
                progress=progress,
            )
        best = _best(known, seeds)
        [trial] = layout_trials(
            circuit, backend, seeds=[best], level=level, read=read, fractional=fractional
        )
        if trial.cost != known[best][0]:
            raise InvalidData(
                f"Transpiler seed {best} gives another circuit on {backend.name} here than where it "
                "was tried: give all workers the same device and the same versions."
            )
        return Found(trial, tuple(known[seed][0] for seed in seeds))


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"a number is needed, got {value!s:.40}")
    return float(value)


def _cost_from(content: Mapping[str, Any]) -> CircuitCost:
    """Return a cost from what ``asdict`` made of it."""
    for name, value in content.items():
        if name == "gates":
            if not all(type(count) is int for count in value.values()):
                raise TypeError("gates are counted")
        elif value is not None or name in ("expected_success", "two_qubit_count"):
            _number(value)
    return CircuitCost(**content)


def _best(known: Mapping[int, tuple[CircuitCost, float]], seeds: Sequence[int]) -> int:
    return max(seeds, key=lambda seed: success_of(*known[seed]))
