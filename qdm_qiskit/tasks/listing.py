"""Parts of each kind that have a name on the command line and in files, with their packages."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any

from ..arguments import checked_text
from ..doors import KINDS, Door, Kind, Origin
from ..errors import QdmError, unknown_name

__all__ = [
    "DOORS",
    "NamedPart",
    "parts",
]

DOORS: dict[Kind, str] = {
    "circuit": "circuits.catalog:CIRCUITS",
    "model": "models.catalog:MODEL_DOOR",
    "loader": "circuits.loaders:LOADERS",
    "device": "execution.devices:DEVICES",
    "sampler": "sampling.schedulers:SAMPLERS",
    "provider": "hardware.providers.door:PROVIDERS",
    "metric": "evaluation.metrics:METRIC_DOOR",
    "dataset": "data.datasets:DATASET_DOOR",
    "noise_source": "noise_sources.source:NOISE_SOURCES",
    "routing": "hardware.plan.routing:POLICIES",
}
"""The door of each kind, imported at its first use, because some need torch."""
_BUILT_IN_PROVIDERS = {
    "engine": "This package's engine, exact, as a rehearsal of a run.",
    "aer": "Qiskit Aer without noise, as a rehearsal of a run.",
    "noisy": "Qiskit Aer with the noise of a device: noisy:NAME of `qdm devices list`.",
    "local": "IBM's client in local mode, on a device: local:NAME of `qdm devices list`.",
    "ibm": "IBM Quantum: ibm:NAME of a device of your account.",
}
"""Four of the five are one class, whose docstring would say the same four times."""
_SNAPSHOTS = "qiskit-ibm-runtime"
"""Distribution that brings the snapshots of devices, which this package only names."""


@dataclass(frozen=True, kw_only=True)
class NamedPart:
    """A part that has a name."""

    kind: Kind
    """One of the ten kinds."""
    name: str
    """Name in commands, options and files."""
    summary: str
    """Description in one line. Empty if its author wrote none, or if it is broken."""
    package: str
    """Distribution that brings it; "saved" for a device that `qdm devices add` saved, empty where two
    packages bring the name."""
    version: str
    """Version of that distribution."""
    module: str
    """``module:attribute``, or the file of a saved device."""
    broken: str | None = None
    """Reason in one line why it cannot be used; None if it can be."""


def parts(kind: Kind | None = None) -> list[NamedPart]:
    """List the parts that have a name: those of this package first, then other packages'.

    Other packages' parts are imported and checked, so that the list shows what is wrong with a
    broken one. From Python an object needs no name, and is not listed.

    Args:
        kind: "circuit", "model", "loader", "device", "sampler", "provider", "metric", "dataset",
            "noise_source" or "routing"; None for all of them.

    Returns:
        One :class:`NamedPart` for each part.

    Raises:
        UnknownName: If there is no such kind.

    >>> [part.name for part in parts("sampler")]
    ['process', 'ddpm', 'ddim', 'analytic', 'dpm-solver++', 'sde', 'ode']
    >>> parts("metric")[0].summary
    'Fréchet distance, domain (lower is better)'
    """
    if kind is None:
        return [part for each in KINDS for part in parts(each)]
    if checked_text(kind, "kind") not in DOORS:
        raise unknown_name("kind of part", kind, KINDS)
    if kind == "device":
        return _devices()
    door = _door(kind)
    if kind == "model":  # without the class of models of circuits, which needs more than a name
        from ..models import MODELS

        names: Sequence[str] = list(MODELS)
    else:
        names = door.names()
    say = _SUMMARIES[kind]
    return [
        _part(kind, name, door.origin, lambda each: say(each, door.get(each))) for name in names
    ]


def _door(kind: Kind) -> Door[Any]:
    module, _, name = DOORS[kind].partition(":")
    found: Door[Any] = getattr(import_module(f"qdm_qiskit.{module}"), name)
    return found


def _part(
    kind: Kind, name: str, origin_of: Callable[[str], Origin], summary_of: Callable[[str], str]
) -> NamedPart:
    origin, summary, broken = Origin("", "", ""), "", None
    try:
        origin = origin_of(name)
        summary = summary_of(name)
    except QdmError as error:  # one broken package leaves the list of the others
        broken = " ".join(str(error).split())
    return NamedPart(
        kind=kind,
        name=name,
        summary=summary,
        package=origin.package,
        version=origin.version,
        module=origin.module,
        broken=broken,
    )


def _devices() -> list[NamedPart]:
    """List devices from their classes, without loading snapshots, which would take seconds."""
    from ..execution.devices import as_backend, device_names, device_origin
    from ..execution.snapshots import backend_names

    def origin(name: str) -> Origin:
        found = device_origin(name)
        return Origin(_SNAPSHOTS, client, found.module) if name in snapshots else found

    def summary(name: str) -> str:
        if name not in snapshots:
            return f"{as_backend(name).num_qubits} qubits."
        module, _, attribute = device_origin(name).module.partition(":")
        return _first_line(getattr(import_module(module), attribute))

    snapshots, client = frozenset(backend_names()), version(_SNAPSHOTS)
    return [_part("device", name, origin, summary) for name in device_names()]


def _of_class(name: str, part: Any) -> str:
    return _first_line(part if inspect.isroutine(part) or isinstance(part, type) else type(part))


def _of_model(name: str, part: Any) -> str:
    ours = part.__module__.startswith("qdm_qiskit.")
    return f"{part.source}. {_first_line(part)}" if ours else _first_line(part)


def _of_provider(name: str, part: Any) -> str:
    return _BUILT_IN_PROVIDERS.get(name) or _of_class(name, part)


def _of_metric(name: str, part: Any) -> str:
    title = part.title or part.name
    return title if part.better == "neither" else f"{title} ({part.better} is better)"


_SUMMARIES: dict[Kind, Callable[[str, Any], str]] = {
    "circuit": lambda name, part: part.summary,
    "model": _of_model,
    "loader": _of_class,
    "sampler": _of_class,
    "provider": _of_provider,
    "metric": _of_metric,
    "dataset": lambda name, part: part.description,
    "noise_source": _of_class,
    "routing": _of_class,
}


def _first_line(part: Any) -> str:
    """Return the first line of the own docstring, not a parent's, without Sphinx's marks."""
    lines = inspect.cleandoc(part.__doc__ or "").splitlines()
    return re.sub(r":\w+:`[.~]?([^`]*)`", r"\1", lines[0]).replace("``", "") if lines else ""
