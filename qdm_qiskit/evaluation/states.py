"""The page of a quantum-state diffusion run: how near its ensemble came, and Bloch balls."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidOption
from ..rng import derived_seed

__all__ = [
    "REPEATS",
    "SCHEMA",
    "STATES",
    "Distance",
    "EnsembleDistances",
    "StatesReport",
    "states_report",
]

SCHEMA = "qdm-states-report/1"
REPEATS, STATES = 10, 300
"""Independent ensembles to average over, and states of each."""


@dataclass(frozen=True)
class Distance:
    """A distance of ensembles, from independent repetitions."""

    value: float
    """Their mean."""
    error: float
    """Standard error of the mean."""


@dataclass(frozen=True)
class EnsembleDistances:
    """Distance of an ensemble from fresh data."""

    mmd: Distance
    """Unbiased squared MMD with kernel |<a|b>|^2: distance of the mean states."""
    wasserstein: Distance
    """Exact transport with cost 1 - |<a|b>|^2."""


@dataclass(frozen=True)
class StatesReport:
    """A run in numbers."""

    model: str
    dataset: str
    parameters: int
    states: int
    repeats: int
    generated: EnsembleDistances
    noise: EnsembleDistances
    """The states that the chain starts from: one end of the scale."""
    real: EnsembleDistances
    """Other data: the other end."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values, with the schema's name."""
        return {"schema": SCHEMA, **asdict(self)}

    def lines(self) -> list[str]:
        """The numbers as text, one line an ensemble."""
        rows = (("noise", self.noise), ("generated", self.generated), ("other data", self.real))
        return [
            f"{name:<10}  MMD {row.mmd.value:+.4f} +- {row.mmd.error:.4f}   "
            f"Wasserstein {row.wasserstein.value:.4f} +- {row.wasserstein.error:.4f}"
            for name, row in rows
        ]


def states_report(
    run: Path, *, states: int = STATES, repeats: int = REPEATS, seed: int = 0
) -> tuple[StatesReport, dict[str, np.ndarray]]:
    """Sample ensembles from a run and compare them with data it has never seen.

    Args:
        run: A run of a model of states.
        states: States of each ensemble, at least 2.
        repeats: Independent ensembles, at least 2.
        seed: Of the samples.

    Returns:
        The numbers, and of the first ensembles the Bloch vectors ``(states, num_qubits, 3)`` by name:
        noise, each step of the chain, generated and data.

    Raises:
        InvalidOption: If a count is too small or the run's model diffuses no states.
        MissingData, InvalidCheckpoint: If there is no such run.
    """
    import torch

    from ..analysis.entanglement import bloch_vectors
    from ..data import images_to_states, load_states
    from ..diffusion.ensembles import mmd, wasserstein
    from ..sampling import QDMPipeline

    if states < 2 or repeats < 2:
        raise InvalidOption(f"states and repeats are at least 2, got {states} and {repeats}.")
    pipe = QDMPipeline.from_pretrained(run)
    model, data = pipe.run.model, pipe.config.data
    if model.data_kind != "states":
        raise InvalidOption(
            f"'{model.name}' diffuses images, not quantum states; use `qdm report run`."
        )
    num_qubits = model.config.num_qubits
    distances: dict[str, list[tuple[float, float]]] = {"generated": [], "noise": [], "real": []}
    pictures: dict[str, np.ndarray] = {}
    for repeat in range(repeats):
        generator = torch.Generator().manual_seed(derived_seed(seed, "evaluation", repeat))
        path = pipe(num_images=states, generator=generator).trajectory
        fresh, other = (
            images_to_states(
                load_states(
                    data.dataset,
                    num_qubits=num_qubits,
                    train_count=1,
                    test_count=states,
                    # Neither training nor test states: other streams of the run's seed.
                    seed=derived_seed(pipe.config.training.seed, "evaluation", repeat, part),
                ).test.images
            )
            for part in (1, 2)
        )
        made = {"generated": path[-1], "noise": path[0]}
        ensembles = {name: images_to_states(each) for name, each in made.items()} | {"real": other}
        for name, ensemble in ensembles.items():
            distances[name].append((mmd(ensemble, fresh), wasserstein(ensemble, fresh)))
        if repeat == 0:
            steps = len(path) - 1
            for index, images in enumerate(path):
                name = "noise" if index == 0 else f"t = {steps - index}"
                name = "generated" if index == steps else name
                pictures[name] = bloch_vectors(torch.from_numpy(images_to_states(images)))
            pictures["data"] = bloch_vectors(torch.from_numpy(fresh))
    report = StatesReport(
        model=model.name,
        dataset=data.dataset,
        parameters=model.num_parameters,
        states=states,
        repeats=repeats,
        **{name: _distances(values) for name, values in distances.items()},
    )
    return report, pictures


def _distances(values: list[tuple[float, float]]) -> EnsembleDistances:
    found = np.array(values)
    mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(found))
    return EnsembleDistances(
        *(Distance(float(m), float(e)) for m, e in zip(mean, error, strict=True))
    )
