"""One template with the options that a command line gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..circuits import CircuitSpec, Template

NameArgument = Annotated[str, typer.Argument(help="A template from `qdm circuits list`.")]
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
    """A template with some options changed, on a device's couplings if asked; and its spec."""
    from dataclasses import replace

    from ..circuits import TEMPLATES
    from ..errors import InvalidOption, unknown_name
    from ..options import parse_assignments

    if name not in TEMPLATES:
        raise unknown_name("template", name, TEMPLATES)
    template = TEMPLATES[name]
    options = dict(template.options)
    assigned = {**parse_assignments(settings or []), **(changes or {})}
    for key, text in assigned.items():
        if key not in options:
            kind = f"option of '{name}' called"
            raise InvalidOption(str(unknown_name(kind, key, options)))
        options[key] = _converted(key, text, options[key])
    if device is not None:
        if "entanglement" not in options:
            raise InvalidOption(
                f"'{name}' has no choice of couplings to take from a device; hardware_efficient has."
            )
        if "entanglement" in assigned:
            raise InvalidOption("--device sets 'entanglement': give one of the two, not both.")
        options["entanglement"] = tuple(region(device, options["num_wires"])[1])
    changed = replace(template, options=options)
    return changed, changed.example()


def region(device: str, num_wires: object) -> tuple[list[int], list[tuple[int, int]]]:
    """A device's qubits by wire, and the pairs of wires that it couples."""
    from ..circuits import device_region, working_couplings
    from ..execution.snapshots import load_backend

    assert isinstance(num_wires, int)  # as in the catalogue: options keep the kind of the example
    return device_region(working_couplings(load_backend(device).target), num_wires)


def _converted(key: str, text: str, example: object) -> object:
    """Text as a value of the example's kind."""
    from ..errors import InvalidOption
    from ..options import convert

    if isinstance(example, bool | int | float | str):
        return convert(key, text, type(example))
    if isinstance(example, tuple) and all(type(each) is int for each in example):
        return convert(key, text, tuple[int, ...])
    if isinstance(example, tuple) and all(isinstance(each, str) for each in example):
        return convert(key, text, tuple[str, ...])
    raise InvalidOption(f"'{key}' can be set from Python only; leave it out here.")
