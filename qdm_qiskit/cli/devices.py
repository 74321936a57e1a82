"""``qdm devices``: which devices there are, and devices of one's own by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .completion import devices
from .models import JsonOption

__all__ = [
    "NameArgument",
    "add",
    "app",
    "export_device",
    "list_devices",
    "remove",
    "show_device",
]

app = typer.Typer(help="Devices: list them, look at them, save your own.", no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(help="A name from `qdm devices list`.", autocompletion=devices)
]


@app.command("list")
def list_devices(as_json: JsonOption = False) -> None:
    """List the devices that noisy:NAME, local:NAME and --backend NAME can name.

    They are the snapshots of qiskit-ibm-runtime, devices that installed packages bring, and saved ones.

    Example:

        qdm devices list --json
    """
    from ..execution.devices import device_names, device_origin

    origins = {name: device_origin(name) for name in device_names()}
    if as_json:
        rows = [
            {"name": name, "from": each.package, "version": each.version, "place": each.module}
            for name, each in origins.items()
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    for name, each in origins.items():
        typer.echo(f"{name:<24} {'snapshot' if each.package == 'qdm_qiskit' else each.package}")


@app.command("show")
def show_device(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show a device's qubits, gates and errors, and what cannot be had of it.

    Example:

        qdm devices show fake_quito
    """
    from ..execution.device_summary import summary
    from ..execution.devices import make_device

    found = summary(make_device(name))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for key in ("name", "sha256", "calibrated_at", "qubits", "couplers", "noise"):
        if found[key] is not None:
            typer.echo(f"{key.replace('_', ' '):<14} {found[key]}")
    for gate in found["gates"]:
        error = "" if gate["error"] is None else f", error {gate['error']:.2g} (median)"
        length = "" if gate["seconds"] is None else f", {gate['seconds'] * 1e9:.0f} ns"
        typer.echo(f"{gate['name']:<14} on {gate['places']} places{error}{length}")
    for each in found["lacks"]:
        typer.echo(f"{'lacks':<14} {each}")


@app.command("export")
def export_device(
    name: NameArgument,
    path: Annotated[Path, typer.Argument(help="The JSON file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a device to a JSON file, in the form that `qdm devices add` reads.

    Example:

        qdm devices export fake_quito reports/quito.json
    """
    from ..errors import OutputNotWritable
    from ..execution.device_files import save_device

    if path.exists() and not force:
        raise OutputNotWritable(f"{path} exists already; choose another name, or give --force.")
    typer.echo(f"written  {save_device(name, path)}")


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What to call it: letters, digits, '.', '_', '-'.")],
    path: Annotated[
        Path, typer.Argument(help="A device's JSON file, or a folder of conf_*.json, props_*.json.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a saved device of this name.")
    ] = False,
) -> None:
    """Save a device of your own under a name, for noisy:NAME, local:NAME and --backend NAME.

    It is copied into the folder `devices` of $QDM_HOME, which is ~/.qdm_qiskit if not set.

    Example:

        qdm devices add my-quito reports/quito.json
    """
    from ..execution.saved_devices import add_device, devices_folder

    found = add_device(name, path, replace=force)
    typer.echo(f"saved    {found.name}, {found.num_qubits} qubits, in {devices_folder()}")
    for each in found.lacks():
        typer.echo(f"lacks    {each}")


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="A device that was saved by `qdm devices add`.")],
) -> None:
    """Delete a saved device; runs that were planned for it cannot go on without it.

    Example:

        qdm devices remove my-quito
    """
    from ..execution.saved_devices import remove_device

    remove_device(name)
    typer.echo(f"removed  {name}")
