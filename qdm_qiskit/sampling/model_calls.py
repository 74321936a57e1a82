"""Calls of the circuits of a model, as they are prepared before the first step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..errors import TargetUnavailable
from ..execution.calls import CallResult, CircuitCall
from ..layers import BranchLayer, StateLayer
from ..layers.arrays import device_of
from ..layers.calling import Caller, ExactTarget, calls_of, quantum_layers
from ..layers.state_calls import ObservableWay
from ..models import Denoiser
from .call_targets import Programs
from .config import SamplingConfig

__all__ = [
    "check_has_calls",
    "hands_on_states",
    "layer_calls",
    "programs_of",
    "way_of",
]


def programs_of(model: Denoiser) -> Programs:
    """Return the compiled circuits of a model's layers."""
    return Programs((layer.spec, layer.program) for layer in quantum_layers(model).values())


def way_of(config: SamplingConfig) -> ObservableWay:
    """Return the way of trained observables: an Estimator takes sums of Pauli terms."""
    return "paulis" if config.primitive == "estimator" else "eigenbasis"


def layer_calls(
    model: Denoiser,
    programs: Programs | None = None,
    *,
    observables: ObservableWay = "eigenbasis",
) -> list[CircuitCall]:
    """Return a call of each circuit of a step for preparation; its values do not matter.

    Args:
        model: The model, on any device.
        programs: Takes the programs that are compiled on the way: January's 17 circuits of QAMP take
            half a minute.
        observables: Way of trained observables.
    """
    if hands_on_states(model):
        shape = (1, *model.state_shape)
        size = math.prod(shape)
        x = torch.exp(torch.arange(size) ** 2 * 1j).reshape(shape) / math.sqrt(size)  # any state
        label = (
            torch.zeros(1, dtype=torch.int64) if getattr(model.config, "guided", False) else None
        )
        place = device_of(model)
        told = None if label is None else label.to(place)
        target = ExactTarget()
        jobs = calls_of(
            model,
            x.to(place),
            torch.ones(1, device=place),
            told,
            target=target,
            observables=observables,
        )
        if programs is not None:
            programs.add(target.programs())
        return [call for job in jobs for call in job]
    caller = Caller(_Nobody(), None, model.call_loader)
    return [
        caller.call(name, layer.spec, layer.angles())
        for name, layer in quantum_layers(model).items()
    ]


class _Nobody:
    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        raise AssertionError("calls without values are not answered")


def check_has_calls(model: Denoiser, target: str) -> None:
    """Refuse models without circuit calls.

    Args:
        model: The model.
        target: The wanted target, for the message.

    Raises:
        TargetUnavailable: If it is classical.
    """
    if not model.num_qubits:
        raise TargetUnavailable(
            f"'{model.name}' has no circuits, so nothing of it can run on '{target}'; use 'engine'."
        )


def hands_on_states(model: Denoiser) -> bool:
    """Return True if a model's circuits take states to states, so that amplitudes are needed."""
    if model.state_space.startswith("complex") or model.data_kind == "states":
        return True
    return any(isinstance(each, StateLayer | BranchLayer) for each in model.modules())
