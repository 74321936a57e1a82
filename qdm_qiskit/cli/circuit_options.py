"""One template with the options that a command line gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .completion import templates

if TYPE_CHECKING:
    from ..circuits import CircuitSpec, Template

__all__ = [
    "DeviceOption",
    "NameArgument",
    "QuietOption",
    "configured",
    "region",
]

NameArgument = Annotated[
    str, typer.Argument(help="A template from `qdm circuits list`.", autocompletion=templates)
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
DeviceOption = Annotated[
    str | None,
    typer.Option(help="Device, as fake_torino, whose couplings take the place of 'entanglement'."),
]


def configured(
    name: str,
    settings: list[str] | None,
    changes: dict[str, str] | None = None,
    device: str | None = None,
) -> tuple[Template, CircuitSpec]:
    """Return a template with options changed, on a device's couplings if asked, and its spec."""
    from dataclasses import replace

    from ..circuits import TEMPLATES
    from ..errors import InvalidOption
    from ..options import parse_assignments

    assigned = {**parse_assignments(settings or []), **(changes or {})}
    template = TEMPLATES[name].changed(assigned)
    if device is not None:
        if "entanglement" not in template.options:
            raise InvalidOption(
                f"'{name}' has no choice of couplings to take from a device; hardware_efficient has."
            )
        if "entanglement" in assigned:
            raise InvalidOption("--device sets 'entanglement': give one of the two, not both.")
        coupled = tuple(region(device, template.options["num_wires"])[1])
        template = replace(template, options={**template.options, "entanglement": coupled})
    return template, template.example()


def region(device: str, num_wires: object) -> tuple[list[int], list[tuple[int, int]]]:
    """Return a device's qubits by wire, and the pairs of wires that it couples."""
    from ..circuits import device_region, working_couplings
    from ..execution.snapshots import load_backend

    assert isinstance(num_wires, int)  # as in the catalogue: options keep the kind of the example
    return device_region(working_couplings(load_backend(device).target), num_wires)
