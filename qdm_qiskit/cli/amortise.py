"""``qdm amortise``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .models import JsonOption

__all__ = [
    "amortise",
]


def amortise(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run, or of a checkpoint.")],
    loader: Annotated[
        str, typer.Option(help="Loader whose angles are wanted at once: bricks:L or staircase:L.")
    ] = "bricks:8",
    vectors: Annotated[
        int, typer.Option(help="Vectors of the run's chains that are fitted and kept.")
    ] = 640,
    seed: Annotated[int, typer.Option(help="Seed of the chains.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit vectors that a run loads once, so that sampling finds a loader's angles at once.

    What is kept stands in the run's folder, for --loader amortised:bricks:8 of other commands. Plans
    and saved pipelines take a copy with them.

    Example:

        qdm amortise runs/first --loader bricks:8
    """
    from ..tasks.amortising import amortise as run_amortise

    made = run_amortise(run, loader, vectors=vectors, seed=seed)
    if as_json:
        typer.echo(json.dumps(made.to_dict(), indent=2))
        return
    typer.echo(
        f"loader     {made.name}, of {made.loader}; for this run amortised:{made.loader} will do"
    )
    typer.echo(f"made of    {made.vectors} fitted vectors, in {made.seconds:.1f} s of one core")
    for each in made.held_out:
        typer.echo(
            f"held out   {each.vectors} of {each.qubits} qubits: fidelity {each.network:.4f} in "
            f"{each.network_seconds:.3f} s, fit {each.fit:.4f} in {each.fit_seconds:.3f} s"
        )
