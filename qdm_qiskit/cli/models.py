"""``qdm models``: what models and presets there are, and how large they are."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .completion import models, presets, subjects

if TYPE_CHECKING:
    from ..training import RunConfig

__all__ = [
    "COUNTED",
    "PRICED",
    "JsonOption",
    "ModelOption",
    "PresetOption",
    "SetOption",
    "app",
    "describe_model",
    "list_models",
    "print_options",
]

app = typer.Typer(help="Models and presets: list them, describe them.", no_args_is_help=True)

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A model, for example eeqdm, or a circuit; see `qdm models list`.",
        autocompletion=models,
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="A preset, for example digits-demo; see `qdm models list`.",
        autocompletion=presets,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="An option as name=value; may be repeated.", metavar="NAME=VALUE"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


COUNTED = "models/presets.json"
"""Output of `qdm models list --fresh --json`, in the package; a test compares the two."""

PRICED = "models/costs.json"
"""Output of `python benchmarks/costs.py`, in the package; a test compares entries."""


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
    """List every preset of every model: its exact parameter count, its targets and its price.

    The price is that of 16 images on fake_torino; docs/costs.md says how it is counted. Models and
    circuits of other packages come last, with their own options.

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
    rows = [_with_cost(row) for row in rows]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    _print_table(rows)
    _print_costs(rows)


def _of_other_packages() -> list[dict[str, Any]]:
    """Return what `qdm models describe` says of each model and circuit of another package."""
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
    name: Annotated[
        str, typer.Argument(help="A model, a preset or a circuit.", autocompletion=subjects)
    ],
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Describe one model or preset, with any of its options changed, and each option of its runs.

    The meaning, choices and default of each option come from the classes that hold them: what can be
    said to --set, here, of `qdm train` and of `qdm sweep`.

    Example:

        qdm models describe eeqdm --set image_size=16 --set depth=50 --json
    """
    from ..models import describe
    from ..options import parse_assignments
    from ..training import resolve_run

    values = parse_assignments(settings or [])
    run = resolve_run(name, values)
    of_model = {key: each for key, each in values.items() if hasattr(run.model_options, key)}
    row = describe(name, of_model)
    row["explained"] = _explained(run)
    if not settings:
        row = _with_cost(row)
    if as_json:
        typer.echo(json.dumps(row, indent=2))
        return
    _print_table([row])
    _print_costs([row])
    _print_options(row["explained"])


def print_options(name: str) -> None:
    """Print each option of the runs of a model or preset: value, choices and meaning, by section.

    Raises:
        UnknownName: If there is no model or preset of this name.
    """
    from ..training import resolve_run

    _print_options(_explained(resolve_run(name, {})))


def _explained(run: RunConfig) -> dict[str, list[dict[str, Any]]]:
    """Return the options of a run in words, by section, with their values in this run."""
    from dataclasses import MISSING, asdict

    from ..options import explain

    sections = {
        "model": run.model_options,
        "data": run.data,
        "diffusion": run.diffusion,
        "training": run.training,
    }
    return {
        section: [
            {
                "name": each.name,
                "value": asdict(options)[each.name],
                "default": None if each.default is MISSING else each.default,
                "choices": each.choices,
                "meaning": each.meaning,
            }
            for each in explain(type(options))
        ]
        for section, options in sections.items()
    }


def _print_options(explained: dict[str, list[dict[str, Any]]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    console = Console()
    for section, rows in explained.items():
        table = Table(
            Column("option", no_wrap=True),
            Column("value", overflow="fold"),
            Column("choices", overflow="fold"),
            Column("meaning", overflow="fold", ratio=1),
            title=f"options of the {section}, by --set",
            title_justify="left",
        )
        for row in rows:
            value = _told(row["value"])
            if row["default"] not in (None, row["value"]):
                value += f" (default {_told(row['default'])})"
            texts = (row["name"], value, row["choices"], row["meaning"])
            table.add_row(*map(escape, texts))
        console.print(table)


@cache
def _costs() -> dict[str, Any]:
    from importlib.resources import files

    read: dict[str, Any] = json.loads(
        files("qdm_qiskit").joinpath(PRICED).read_text(encoding="utf-8")
    )
    return read


def _with_cost(row: dict[str, Any]) -> dict[str, Any]:
    """Add on which targets a preset runs, and what its images cost; nothing where none is known."""
    costs = _costs()
    found = costs["presets"].get(row["preset"])
    if found is None:
        return row
    about = {key: costs[key] for key in ("backend", "images", "shots")}
    cost = {key: value for key, value in found.items() if key != "targets"}
    return {**row, "targets": found["targets"], "cost": {**about, **cost}}


def _print_costs(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console

    priced = [row for row in rows if "cost" in row]
    if not priced and not any(row["preset"] in _costs()["not_priced"] for row in rows):
        return
    console = Console(soft_wrap=True)
    costs = _costs()
    console.print(
        f"\n{costs['images']} images on {costs['backend']}, {costs['shots']} shots a circuit:",
        highlight=False,
    )
    for row in priced:
        cost = row["cost"]
        where = f"{row['preset']}: {cost['way']}, on {', '.join(row['targets'])}"
        told = [_price(run) for run in cost["runs"]] or [cost.get("problem", "no circuits")]
        for each in told:
            console.print(f"{where}; {each}", highlight=False, markup=False)
    for row in rows:
        if row["preset"] in costs["not_priced"]:
            console.print(f"{row['preset']}: not priced yet", highlight=False)


def _price(run: dict[str, Any]) -> str:
    if "problem" in run:
        return f"{run['chain']}: {run['problem']}"
    kept = "" if run["kept"] is None else f", {run['kept']:.2g} of the shots kept"
    if "because" in run:
        kept = f", step by step: {run['because']}"
    return (
        f"{run['chain']}: {run['jobs']:,} jobs, {run['circuits']:,} circuits of up to "
        f"{run['largest_two_qubit_gates']:,} two-qubit gates, {run['shots']:,} shots, "
        f"{run['qpu_seconds']:,.0f} QPU seconds{kept}"
    )


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


def _told(value: Any) -> str:
    """Return a value as --set would take it."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
