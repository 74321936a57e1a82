"""``qdm export``: the circuits of a trained run as files that other tools read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .completion import devices
from .models import JsonOption

__all__ = ["export"]


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="A device from `qdm devices list` to transpile for; may be repeated.",
            autocompletion=devices,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder without an export; RUN/export if not given.")
    ] = None,
    loader: Annotated[
        str | None, typer.Option(help="What loads images; the model's own if not given.")
    ] = None,
    chain: Annotated[
        str,
        typer.Option(help="Models of states: coherent, all steps in one circuit; steps; or auto."),
    ] = "auto",
    trials: Annotated[int, typer.Option(min=1, help="Transpiler seeds tried on each device.")] = 10,
    level: Annotated[int, typer.Option(min=0, max=3, help="Qiskit's optimization level.")] = 3,
    fractional_gates: Annotated[
        bool,
        typer.Option("--fractional-gates", help="Use rzz for free angles, folded into its range."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the example and of the transpiler.")] = 0,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress lines.")] = False,
) -> None:
    """Write a run's circuits, weights bound, as OpenQASM 3 and QPY, and transpiled for devices.

    What depends on the image stays a parameter; circuits.json says what each is, with the values of
    one noisy image as an example.

    Example:

        qdm export runs/first --device fake_torino --trials 2
    """
    from ..progress import Message
    from ..tasks import export as export_run

    def told(message: Message) -> None:
        if not quiet and not as_json:
            typer.echo(f"{message}: circuit {message.done} of {message.total}", err=True)

    made = export_run(
        run,
        out,
        devices=device or (),
        loader=loader,
        chain=chain,
        level=level,
        trials=trials,
        fractional_gates=fractional_gates,
        seed=seed,
        progress=told,
    )
    if as_json:
        typer.echo(json.dumps(made.record, indent=2))
        return
    for each in made.record["circuits"]:
        typer.echo(
            f"{each['name']:<28}{each['qubits']['total']} qubits, depth {each['depth']}, "
            f"{len(each['parameters'])} free parameters, {each['weights_bound']} weights bound"
        )
        for name, found in each["devices"].items():
            cost = max(found["costs"], key=lambda cost: cost["two_qubit_count"], default=None)
            if cost is not None:
                typer.echo(
                    f"  {name:<26}{cost['two_qubit_count']} two-qubit gates, depth {cost['depth']}, "
                    f"expected success {cost['expected_success']:.3g}"
                )
    typer.echo(f"files      {len(made.files)} in {made.folder}, listed in {made.files[0].name}")
