"""``qdm circuits``: list, show and export the templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import circuit_analysis, circuit_scan
from .circuit_options import DeviceOption, NameArgument, QuietOption, configured, region
from .models import JsonOption, SetOption

if TYPE_CHECKING:
    from ..circuits import Template
    from ..reports.gallery import Entry

__all__ = [
    "app",
    "export",
    "list_templates",
    "show",
]

app = typer.Typer(
    help="Circuit templates: list, show, analyze, scan, export them.", no_args_is_help=True
)


@app.command("list")
def list_templates(as_json: JsonOption = False) -> None:
    """List the circuit templates with the size of their example.

    Example:

        qdm circuits list --json
    """
    from ..circuits import TEMPLATES
    from ..doors import outside_names
    from ..errors import QdmError

    rows = []
    for name in TEMPLATES:
        try:
            rows.append(_row(TEMPLATES[name]))
        except QdmError as error:  # one broken package leaves the list of the others
            typer.echo(f"note: {error}", err=True)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Column, Table

    numbers = [Column(name, justify="right") for name in ("qubits", "inputs", "weights")]
    table = Table(Column("template", no_wrap=True), "group", *numbers)
    for row in rows:
        counts = (str(row[key]) for key in ("qubits", "inputs", "weights"))
        table.add_row(row["name"], row["group"], *counts)
    console = Console()
    console.print(table)
    others = outside_names("circuit")
    for row in rows:
        whose = f" From {row['source']}." if row["name"] in others else ""
        console.print(f"{row['name']}: {row['summary']}{whose}", highlight=False, markup=False)


def _row(template: Template) -> dict[str, Any]:
    spec = template.example()
    return {
        "name": template.name,
        "group": template.group,
        "qubits": spec.num_qubits,
        "inputs": len(spec.inputs),
        "weights": len(spec.weights),
        "options": dict(template.options),
        "summary": template.summary,
        "source": template.source,
    }


@app.command("show")
def show(
    name: NameArgument,
    settings: SetOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one template: its options, qubit roles, parameters, counts and drawing.

    Without --set this is the small example of the gallery. With --device, hardware_efficient follows
    the couplings of a connected region of a device, whose qubits are named.

    Example:

        qdm circuits show eeqdm --set num_data=6 --set depth=3
    """
    import shutil

    from ..circuits.export import circuit_facts, drawing_text
    from ..circuits.spec import MAX_DRAWN

    template, spec = configured(name, settings, device=device)
    facts = circuit_facts(template, spec)
    if device is not None:
        # Roles of qubit 0, 1, ...: wires are numbered the other way round.
        facts["device"] = {"name": device, "qubits": region(device, spec.num_qubits)[0][::-1]}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    typer.echo(f"{template.name}: {template.summary}")
    typer.echo(f"source      {template.source}")
    for key, value in facts["options"].items():
        typer.echo(f"option      {key} = {value}")
    qubits = facts["qubits"]
    typer.echo(f"qubits      {qubits['total']}: data {qubits['data']}, ancilla {qubits['ancilla']}")
    if device is not None:
        typer.echo(
            f"device      {device}: q[0], q[1], ... on its qubits {facts['device']['qubits']}"
        )
    typer.echo(f"data enter  as {facts['encoding']}s")
    for kind, names in facts["parameters"].items():
        shown = f": {names[0]} .. {names[-1]}" if names else ""
        typer.echo(f"{kind:<10}  {len(names)}{shown}")
    typer.echo(f"read out    {facts['readout']['outputs']} {facts['readout']['kind']}")
    gates = ", ".join(f"{count} {gate}" for gate, count in facts["gates"].items())
    typer.echo(f"counts      depth {facts['depth']}, {gates or 'no gates'}")
    if spec.circuit.size() > MAX_DRAWN:
        typer.echo(f"(more than {MAX_DRAWN} gates: not drawn)")
        return
    typer.echo(drawing_text(spec.circuit, shutil.get_terminal_size((100, 24)).columns))


app.command("analyze")(circuit_analysis.analyze)
app.command("scan")(circuit_scan.scan)


@app.command("export")
def export(
    names: Annotated[
        list[str] | None, typer.Argument(help="Templates; all and the index page if none.")
    ] = None,
    settings: SetOption = None,
    device: Annotated[
        str | None,
        typer.Option(help="Device, as fake_torino, for which circuits are transpiled and written."),
    ] = None,
    level: Annotated[
        int | None, typer.Option(min=0, max=3, help="Qiskit's optimization level; 3 if not given.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the transpiler; 0 if not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the gallery.")] = Path("circuits"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write templates as OpenQASM 3, drawing and JSON, with counts on a device.

    Without names, all are written, and README.md with them. With --device, the transpiled circuit is
    written as well, on the device's qubits; hardware_efficient follows the couplings of a region, as
    in `qdm circuits show`, unless --set entanglement chooses. All files appear or none.

    Example:

        qdm circuits export eeqdm --set depth=3 --device fake_torino --out reports/circuits
    """
    from rich.console import Console
    from rich.progress import Progress

    from ..files import check_writable, write_together
    from ..reports.gallery import render_gallery

    entries = _entries(names or [], settings, device, level, seed)
    check_writable(out)
    console = Console(stderr=True)
    with Progress(
        console=console, disable=quiet or not console.is_interactive, transient=True
    ) as bar:
        task = bar.add_task("templates", total=None)
        facts, files = render_gallery(
            entries,
            lambda each: bar.update(task, description=each, completed=each.done, total=each.total),
        )
    write_together({out / name: content for name, content in files.items()})
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for each in facts if device is not None else ():
        found = each["transpiled"]
        typer.echo(
            f"{each['name']} on {device} (level {found['level']}, seed {found['seed']}): "
            f"depth {found['depth']}, {found['two_qubit_gates']} two-qubit gates, worth "
            f"{found['cnots']} CNOTs, gate success {found['gate_success']:.3f}"
        )
    typer.echo(f"written  {len(files)} files in {out}")


def _entries(
    names: list[str],
    settings: list[str] | None,
    device: str | None,
    level: int | None,
    seed: int | None,
) -> list[Entry] | None:
    """Return the templates to export; None for the whole gallery."""
    from ..errors import InvalidOption
    from ..execution.snapshots import load_backend
    from ..options import parse_assignments
    from ..reports.gallery import LEVEL, SEED, Entry, gallery_names

    gallery_names(names)
    if settings and len(names) != 1:
        raise InvalidOption(f"--set is for one template, got {len(names) or 'none'}: name one.")
    if device is None:
        if level is not None or seed is not None:
            raise InvalidOption("--level and --seed are the transpiler's: give --device too.")
        return [Entry(template=configured(name, settings)[0]) for name in names] or None
    load_backend(device)
    if not names:
        raise InvalidOption("--device is for templates by name; the gallery has its own device.")
    entries = []
    for name in names:
        template, spec = configured(name, settings)
        layout = None
        if "entanglement" in template.options and "entanglement" not in parse_assignments(
            settings or []
        ):
            template, spec = configured(name, settings, device=device)
            layout = tuple(region(device, spec.num_qubits)[0][::-1])
        entries.append(
            Entry(
                template=template,
                backend=device,
                level=LEVEL if level is None else level,
                seed=SEED if seed is None else seed,
                layout=layout,
                with_program=True,
            )
        )
    return entries
