"""Counts of what is built here: parameters, gates, angles, settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from qiskit import QuantumCircuit

from ..circuits import CircuitSpec, eeqdm, qddm
from ..circuits.catalog import CIRCUITS
from ..circuits.koelle import repeated
from ..errors import InvalidOption, unknown_name
from ..layers import QuantumLayer
from ..models import Denoiser, build_model, resolve
from ..training import resolve_run

__all__ = [
    "acting_angles",
    "circuit",
    "model",
    "reduction",
    "repeated_circuit",
    "setting",
    "steps",
    "weights_of_pair",
]


def model(
    *, model: str, count: str, options: Mapping[str, Any] | None = None, module: str = ""
) -> int:
    """Count a model's ``parameters``, ``quantum_parameters`` or ``qubits``.

    Args:
        model: Model or preset.
        count: One of the three.
        options: Its options.
        module: A part of the model by its torch name, whose parameters are counted; all if empty.

    Raises:
        InvalidOption, UnknownName: If there is no such model, option, count or part.
    """
    built = _built(model, json.dumps(dict(options or {}), sort_keys=True))
    if module:
        parts = dict(built.named_modules())
        if module not in parts:
            raise unknown_name(f"part of '{model}' called", module, list(parts)[1:])
        if count != "parameters":
            raise InvalidOption(f"Of a part its 'parameters' are counted, got '{count}'.")
        return sum(each.numel() for each in parts[module].parameters())
    counts = {
        "parameters": built.num_parameters,
        "quantum_parameters": built.num_quantum_parameters,
        "qubits": built.num_qubits,
    }
    if count not in counts:
        raise unknown_name("count of a model", count, counts)
    return counts[count]


@lru_cache(maxsize=4)
def _built(name: str, options: str) -> Denoiser:
    """Build a model, or take it again for the next count of it."""
    return build_model(resolve(name, json.loads(options)))


def circuit(*, circuit: str, count: Sequence[str], options: Mapping[str, Any] | None = None) -> int:
    """Count a template's ``weights``, ``inputs``, ``qubits``, ``depth``, or gates by name.

    Args:
        circuit: Template of `qdm circuits list`.
        count: What is counted; several are added.
        options: Its options.

    Raises:
        InvalidTemplate, UnknownName: If there is no such template, or it refuses an option.
    """
    return _count(_spec(circuit, options), count)


def repeated_circuit(
    *, circuit: str, count: Sequence[str], times: int, options: Mapping[str, Any] | None = None
) -> int:
    """Count as :func:`circuit` does, in a template that is applied to its own output."""
    return _count(repeated(_spec(circuit, options), times), count)


def _spec(name: str, options: Mapping[str, Any] | None) -> CircuitSpec:
    return CIRCUITS.get(name).with_options(**dict(options or {}))


def _count(spec: CircuitSpec, names: Sequence[str]) -> int:
    built: QuantumCircuit = spec.circuit
    known = {
        "weights": len(spec.weights),
        "inputs": len(spec.inputs),
        "qubits": built.num_qubits,
        "depth": built.depth(),
    }
    gates = built.count_ops()
    return sum(known[name] if name in known else int(gates.get(name, 0)) for name in names)


def reduction(*, num_data: int) -> float:
    """Return by how many percent EEQDM has fewer weights than QDDM at the same depth."""
    ours, others = weights_of_pair(num_data)
    return 100 * (1 - ours / others)


def weights_of_pair(num_data: int) -> tuple[int, int]:
    """Return the weights of one layer of EEQDM and of QDDM."""
    ours, others = (len(build(num_data, 1).weights) for build in (eeqdm, qddm))
    return ours, others


def acting_angles(*, circuit: str, seed: int, options: Mapping[str, Any] | None = None) -> int:
    """Count the weights of a template that move its outputs, at random inputs and weights."""
    spec = _spec(circuit, options)
    generator = torch.Generator().manual_seed(seed)
    layer = QuantumLayer(spec, generator=generator).double()
    with torch.no_grad():
        layer.weights.uniform_(0, 6, generator=generator)
    x = torch.rand(2, len(spec.inputs), generator=generator, dtype=torch.float64)
    outputs = layer(inputs=x)
    (outputs * torch.rand(outputs.shape, generator=generator, dtype=torch.float64)).sum().backward()
    assert layer.weights.grad is not None
    return int((layer.weights.grad.abs() > 1e-9).sum())


def setting(*, preset: str, option: str, position: int | None = None) -> float | int:
    """Return a number among the options of a preset's run.

    Args:
        preset: The preset.
        option: Option of the model, the data, the diffusion or the training.
        position: Entry of an option that has several; None for one that has one.

    Raises:
        InvalidOption, UnknownName: If there is no such preset or option, or it is no number.
    """
    run = resolve_run(preset, {})
    sections = (run.training, run.diffusion, run.data, run.model_options)
    found = next((each for each in sections if hasattr(each, option)), None)
    if found is None:
        raise unknown_name(f"option of '{preset}' called", option, vars(run.training))
    value = getattr(found, option)
    if position is not None and isinstance(value, tuple) and position < len(value):
        value = value[position]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidOption(f"Option '{option}' of '{preset}' is no number, but {value!r}.")
    return value


def steps(*, preset: str, images: int) -> float:
    """Return how many optimizer steps a preset's run takes on so many images, a fraction kept."""
    training = resolve_run(preset, {}).training
    return training.epochs * images / training.batch_size
