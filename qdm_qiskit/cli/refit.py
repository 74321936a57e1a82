"""``qdm refit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "refit",
]


def refit(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run with a linear head: line.")],
    target: Annotated[str, typer.Option(help="aer, noisy:SNAPSHOT or local:SNAPSHOT.")],
    out: Annotated[Path, typer.Option(help="Folder for the fitted run.")],
    circuits: Annotated[int, typer.Option(help="Bound circuits that run.")] = 300,
    shots: Annotated[int, typer.Option(help="Shots of each; as many as sampling takes.")] = 256,
    goal: Annotated[
        str,
        typer.Option(help="Fit to the model's exact predictions (model), or to training's (data)."),
    ] = "model",
    mitigation: Annotated[str, typer.Option(help="Readout mitigation: none or m3.")] = "none",
    layout: Annotated[
        str | None,
        typer.Option(help="Physical qubits, as in 3,4,5,6,7,8; the transpiler chooses if none."),
    ] = None,
    tiles: Annotated[
        str | None,
        typer.Option(help="Places of the device to fit one head to, as for `qdm sample`."),
    ] = None,
    tile_buffer: Annotated[
        bool, typer.Option("--tile-buffer", help="Leave a qubit between tiles.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of every random stream.")] = 0,
) -> None:
    """Fit the linear head of a run again to what a device returns, as a run of its own.

    Other commands take the new folder as a run; sampled on the same target it takes the same qubits
    or tiles.

    Example:

        qdm refit runs/line --target noisy:fake_torino --circuits 300 --shots 256 --out runs/line-torino
    """
    from typing import Any

    from ..options import convert
    from ..tasks.refitting import refit as run_refit

    options: dict[str, Any] = {
        "mitigation": mitigation,
        "seed": seed,
        "tiles": tiles,
        "tile_buffer": tile_buffer,
    }
    if layout is not None:
        options["initial_layout"] = convert("layout", layout, tuple[int, ...])
    chosen: Any = goal
    made = run_refit(run, target, circuits=circuits, shots=shots, goal=chosen, out=out, **options)
    record = made.record
    where = f"qubits {record['physical_qubits']}" if tiles is None else f"tiles {tiles}"
    typer.echo(f"target     {record['target']}, {where}")
    typer.echo(f"circuits   {record['circuits']} of {record['shots']} shots")
    typer.echo(
        f"error      {record['error_before']:.5f} -> {record['error_after']:.5f} of circuits left out "
        f"(mean square of a predicted value; strength {record['strength']:g})"
    )
    typer.echo(f"run        {out}")
