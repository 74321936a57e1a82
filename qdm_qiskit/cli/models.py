"""``qdm models``: what models and presets there are, and how large they are."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

app = typer.Typer(help="Models and presets: list them, describe them.", no_args_is_help=True)

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="An option as name=value; may be repeated.", metavar="NAME=VALUE"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


COUNTED = "models/presets.json"
"""What `qdm models list --fresh --json` printed, in the package; a test compares the two."""


@app.command("list")
def list_models(
    as_json: JsonOption = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Build every model and count again: for whoever changes models."
        ),
    ] = False,
) -> None:
    """List every preset of every model, with its exact parameter count.

    Models and circuits of other packages come last, with their own options.

    Example:

        qdm models list --json
    """
    if fresh:
        from ..models import PRESETS, describe

        rows = [describe(name) for name in PRESETS]
    else:
        from importlib.resources import files

        # Not through qdm_qiskit.models, which imports torch: a list should not take seconds.
        rows = json.loads(files("qdm_qiskit").joinpath(COUNTED).read_text(encoding="utf-8"))
        rows += _of_other_packages()
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    _print_table(rows)


def _of_other_packages() -> list[dict[str, Any]]:
    """What `qdm models describe` says of each model and circuit that another package brings."""
    from ..doors import outside_names

    names = dict.fromkeys((*outside_names("model"), *outside_names("circuit")))
    if not names:
        return []
    from ..errors import QdmError
    from ..models import describe

    rows = []
    for name in names:
        try:
            rows.append(describe(name))
        except (QdmError, TypeError) as error:  # TypeError: options without a default
            typer.echo(f"note: '{name}' is not listed: {error}", err=True)
    return rows


@app.command("describe")
def describe_model(
    name: Annotated[str, typer.Argument(help="A model, a preset or a circuit.")],
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Describe one model or preset, with any of its options changed.

    Example:

        qdm models describe eeqdm --set image_size=16 --set depth=50 --json
    """
    from ..models import describe
    from ..options import parse_assignments

    row = describe(name, parse_assignments(settings or []))
    if as_json:
        typer.echo(json.dumps(row, indent=2))
        return
    _print_table([row])
    for option, value in row["options"].items():
        typer.echo(f"{option:>16} = {value}")


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    columns = ("parameters", "quantum", "qubits")
    table = Table(
        Column("preset", no_wrap=True),
        Column("model", overflow="fold"),
        *(Column(name, justify="right", no_wrap=True) for name in columns),
    )
    for row in rows:
        table.add_row(
            row["preset"] or "-",
            row["name"],
            f"{row['parameters']:,}",
            f"{row['quantum_parameters']:,}",
            str(row["qubits"]),
        )
    console = Console()
    console.print(table)
    for row in rows:
        brought = " and ".join(
            f"{each['package']} {each['version']}" for each in row.get("origins", {}).values()
        )
        cited = "" if row["source"] == f"package {brought}" else row["source"]
        source = ", from ".join(filter(None, (cited, brought)))
        console.print(f"{row['preset'] or row['name']}: {source}", highlight=False)
