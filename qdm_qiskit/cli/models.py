"""``qdm models``: what models and presets there are, and how large they are."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

__all__ = [
    "COSTS",
    "COUNTED",
    "SHOWN",
    "TARGETS",
    "JsonOption",
    "SetOption",
    "app",
    "describe_model",
    "list_models",
]

app = typer.Typer(help="Models and presets: list them, describe them.", no_args_is_help=True)

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="An option as name=value; may be repeated.", metavar="NAME=VALUE"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


COUNTED = "models/presets.json"
"""What `qdm models list --fresh --json` printed, in the package; a test compares the two."""
COSTS = "models/costs.json"
"""What a run of each preset costs; benchmarks/costs.py writes it, a test compares."""
_CIRCUITS = ["engine", "aer", "noisy", "local", "ibm"]
TARGETS = {
    "classical": ["engine"],
    "calls": _CIRCUITS,
    "chain": _CIRCUITS,
    "tomography": _CIRCUITS,
}
"""Targets of the ways in which models run."""


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
    """List every preset of every model: its size, where it runs, what 16 images cost on fake_torino.

    Shots are 1024 for each circuit, QPU seconds an estimate by IBM's formula; `qdm report transpile
    PRESET` has the circuits. Models and circuits of other packages come last, with their own options.

    Example:

        qdm models list --json
    """
    if fresh:
        from ..models import PRESETS, describe

        rows = [describe(name) for name in PRESETS]
    else:
        from importlib.resources import files

        # Not through qdm_qiskit.models, which imports torch: a list should not take seconds.
        package = files("qdm_qiskit")
        rows = json.loads(package.joinpath(COUNTED).read_text(encoding="utf-8"))
        costs = json.loads(package.joinpath(COSTS).read_text(encoding="utf-8"))
        rows = [_with_costs(row, costs[row["preset"]]) for row in rows] + _of_other_packages()
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    _print_table(rows)


def _with_costs(row: dict[str, Any], cost: dict[str, Any]) -> dict[str, Any]:
    """A preset's row with the targets that it runs on, and what a run costs."""
    return {**row, "targets": TARGETS[cost["how"]], "fake_torino": cost}


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


SHOWN = ("jobs", "circuits", "largest", "seconds")
"""Figures of a run that the table shows."""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _way(row: dict[str, Any]) -> str:
    how: str = row.get("fake_torino", {}).get("how", "-")
    return how


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    columns = ("parameters", "quantum", "qubits", "jobs", "circuits", "largest", "QPU s")
    table = Table(
        Column("preset", no_wrap=True),
        Column("model", overflow="fold"),
        *(Column(name, justify="right", no_wrap=True) for name in columns),
        Column("runs by", no_wrap=True),
    )
    for row in rows:
        table.add_row(
            row["preset"] or "-",
            row["name"],
            f"{row['parameters']:,}",
            f"{row['quantum_parameters']:,}",
            str(row["qubits"]),
            *(_number(row.get("fake_torino", {}).get(key)) for key in SHOWN),
            _way(row),
        )
    console = Console()
    console.print(table)
    if any("fake_torino" in row for row in rows):
        typer.echo(
            "jobs, circuits, two-qubit gates of the largest circuit and QPU seconds: 16 images of 1024 "
            "shots on fake_torino\n"
            + "\n".join(f"{how}: runs on {', '.join(on)}" for how, on in TARGETS.items())
        )
    for row in rows:
        brought = " and ".join(
            f"{each['package']} {each['version']}" for each in row.get("origins", {}).values()
        )
        cited = "" if row["source"] == f"package {brought}" else row["source"]
        source = ", from ".join(filter(None, (cited, brought)))
        console.print(f"{row['preset'] or row['name']}: {source}", highlight=False)
