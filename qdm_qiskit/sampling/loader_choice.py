"""The loader that a device's noise makes best: few gates load less exactly, and survive better.

What counts is the state behind the loader. Its fidelity is predicted as the mean fidelity of the
vectors that the run itself loads, from the engine's exact chain, times the expected success of the
loader's gates on the device, its layout chosen as for any circuit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch

from ..circuits.loaders import EXACT, Loading, make_loader
from ..circuits.spec import CircuitSpec
from ..diffusion import DiffusionProcess
from ..errors import InvalidOption, InvalidTemplate, TargetUnavailable
from ..execution.devices import as_backend
from ..layers.calling import ExactTarget, answered_by
from ..models import Denoiser
from ..progress import Message, Progress, silent
from ..rng import derived_seed
from ..transpiling.cost import circuit_cost
from ..transpiling.passes import best_trial, layout_trials
from .schedulers import scheduled_chain

__all__ = ["AUTO", "Candidate", "LoaderChoice", "auto_loader", "choose_loader", "loaded_vectors"]

AUTO = "auto:"
"""Beginning of a loader's name that asks for the best one on the device that follows."""
IMAGES = 8
"""Images whose exact chain gives the vectors."""
MOST_VECTORS = 64
"""Most vectors that candidates are tried on, spread evenly over the chain."""
LAYERS = {"bricks": (2, 4, 6, 8, 10), "staircase": (1, 2, 3, 4, 5, 6)}
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Candidate:
    """A loader on a device."""

    loader: str
    """Its name."""
    fidelity: float
    """Mean fidelity of the vectors with what it loads, without noise."""
    survival: float
    """Expected success of its gates."""
    two_qubit: int
    """Two-qubit gates on the device."""

    @property
    def predicted(self) -> float:
        """Predicted fidelity of a loaded state on the device."""
        return self.fidelity * self.survival


@dataclass(frozen=True)
class LoaderChoice:
    """The best loader, and all that were tried."""

    device: str
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate:
        """The candidate of the highest predicted fidelity."""
        return max(self.candidates, key=lambda each: each.predicted)

    def to_dict(self) -> dict[str, Any]:
        """Return the choice, ready for JSON."""
        tried = [{**asdict(each), "predicted": each.predicted} for each in self.candidates]
        return {"device": self.device, "chosen": self.best.loader, "tried": tried}

    def sentence(self) -> str:
        """Return the choice in words."""
        best, exact = self.best, self.candidates[0]
        return (
            f"loader {best.loader} for {self.device}: predicted fidelity {best.predicted:.3f} "
            f"({best.fidelity:.3f} loaded, {best.survival:.3f} left by {best.two_qubit} two-qubit "
            f"gates); exact {exact.predicted:.3f}"
        )


def auto_loader(num_qubits: int, device: str, *, phases: bool = False) -> None:
    """Refuse to make a loader that depends on the vectors that are to be loaded.

    Raises:
        InvalidOption: Always; with the way to a name that can be kept.
    """
    raise InvalidOption(
        f"Loader '{AUTO}{device}' is chosen for a trained run, by the vectors that it loads: give it "
        "to `sample` or to a plan, or name one that is there, such as 'staircase:3'."
    )


@torch.no_grad()
def loaded_vectors(
    model: Denoiser,
    process: DiffusionProcess,
    *,
    seed: int = 0,
    images: int = IMAGES,
    most: int = MOST_VECTORS,
) -> list[tuple[CircuitSpec, np.ndarray]]:
    """Return the vectors that a run loads, from its exact chain on the engine.

    Args:
        model: The trained model.
        process: Its process.
        seed: Seed of the chain's noise.
        images: Images of the chain.
        most: Most vectors of a width, spread evenly over the chain.

    Returns:
        For each width of the model's circuits one of them and ``(count, 2**n)`` unit vectors.

    Raises:
        TargetUnavailable: If none of its circuits takes amplitudes.
    """
    target = ExactTarget()
    guided = getattr(model.config, "guided", False)
    labels = torch.arange(images) % int(model.config.num_classes) if guided else None

    def generator(step: int) -> torch.Generator:
        return torch.Generator().manual_seed(derived_seed(seed, "sampling", step))

    def prediction(x: torch.Tensor, step: int, *_: object) -> torch.Tensor:
        times = torch.full((len(x),), step / process.num_steps)
        with answered_by(model, target):
            found: torch.Tensor = model(x, times, labels)
        return found

    x = process.start((images, *model.state_shape), generator(0))
    scheduled_chain(process, prediction, x, generator)
    found: dict[tuple[int, bool], tuple[CircuitSpec, list[np.ndarray]]] = {}
    for job in target.calls:
        for call in job:
            if call.amplitudes is not None:
                key = len(call.spec.data_qubits), call.spec.complex_amplitudes
                found.setdefault(key, (call.spec, []))[1].append(call.amplitudes)
    if not found:
        raise TargetUnavailable(f"'{model.name}' loads no amplitudes; leave loader out.")
    return [(spec, _spread(np.concatenate(each), most)) for spec, each in found.values()]


def _spread(vectors: np.ndarray, most: int) -> np.ndarray:
    number = min(len(vectors), most)
    return vectors[np.linspace(0, len(vectors) - 1, number).round().astype(int)]


def choose_loader(
    vectors: Sequence[tuple[CircuitSpec, np.ndarray]],
    device: str,
    *,
    level: int = 3,
    progress: Progress = silent,
) -> LoaderChoice:
    """Return the loader of the highest predicted fidelity on a device.

    Args:
        vectors: From :func:`loaded_vectors`; of several widths the predictions are multiplied.
        device: Name of a device.
        level: Qiskit's optimization level.
        progress: Receives a message for each candidate.

    Raises:
        UnknownName: If there is no such device.
        InvalidOption: If no candidate fits, which the exact loader does up to 13 qubits.
    """
    backend = as_backend(device, "device")
    names = [EXACT, *(f"{kind}:{k}" for kind, layers in LAYERS.items() for k in layers)]
    found = []
    for number, name in enumerate(names):
        progress(Message(f"trying loader {name}", number, len(names)))
        parts = []
        for spec, data in vectors:
            try:
                loading = _loading(name, spec)
            except InvalidTemplate:  # wider than it fills
                break
            seeds = tuple(derived_seed(seed, "transpiler", 0) for seed in SEEDS)
            trial = best_trial(layout_trials(loading.circuit, backend, seeds=seeds, level=level))
            cost = circuit_cost(trial.circuit, backend.target)
            fidelity = float(loading.loaded(data).fidelities.mean())
            parts.append((fidelity, cost.gate_success, cost.two_qubit_count))
        else:
            fidelities, survivals, gates = zip(*parts, strict=True)
            found.append(Candidate(name, prod(fidelities), prod(survivals), sum(gates)))
    if not found:
        raise InvalidOption(f"No loader fits the circuits on '{device}'.")
    return LoaderChoice(device, tuple(found))


def _loading(name: str, spec: CircuitSpec) -> Loading:
    if name == EXACT:
        return replace(spec, loader=EXACT).loading
    width = len(spec.data_qubits)
    return Loading(make_loader(name, width, phases=spec.complex_amplitudes), width)
