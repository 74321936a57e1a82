"""``qdm parts``: what can be named, and which package brings it."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, cast

import typer

from .models import JsonOption

if TYPE_CHECKING:
    from ..doors import Kind

__all__ = [
    "parts",
]


def parts(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="circuit, model, loader, device, sampler, provider, metric or dataset; all if none."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the parts that can be named: loaders, samplers, metrics, providers and the others.

    These are the parts of qdm_qiskit, then those that installed packages bring.

    Example:

        qdm parts metric
        qdm parts loader --json
    """
    from ..tasks import parts as list_parts

    found = list_parts(cast("Kind | None", kind))  # which refuses what is none
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2, ensure_ascii=False))
    else:
        for one, group in groupby(found, key=lambda each: each.kind):
            rows = list(group)
            if kind is None:
                typer.echo(f"\n{one}" if one != found[0].kind else one)
            names = max(len(each.name) for each in rows)
            packages = max(len(f"{each.package} {each.version}") for each in rows)
            for each in rows:
                what = each.summary if each.broken is None else "cannot be used"
                package = f"{each.package} {each.version}".strip()
                typer.echo(f"{each.name:<{names}}  {package:<{packages}}  {what}".rstrip())
    for each in found:
        if each.broken is not None:
            typer.echo(f"note: {each.broken}", err=True)
