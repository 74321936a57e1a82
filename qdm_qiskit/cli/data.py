"""``qdm data``: which data sets there are, and a look at their images or rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "app",
    "list_datasets",
    "show_dataset",
]

app = typer.Typer(help="Data sets: list them, look at them.", no_args_is_help=True)


@app.command("list")
def list_datasets(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the data sets that can be loaded by name.

    A file of your own needs no entry: its name is npz:PATH of images, csv:PATH of a table.

    Example:

        qdm data list
    """
    from ..data import DATASETS, STATE_ENSEMBLES

    others, broken = _of_other_packages()
    if as_json:
        import json

        keys = "name description classes native_size channels count columns published_split source"
        rows = [
            {
                "package": "qdm_qiskit",
                **{key: getattr(info, key) for key in (*keys.split(), "obtained", "licence")},
            }
            for info in DATASETS.values()
        ]
        typer.echo(json.dumps([*rows, *others], indent=2))
        for error in broken:
            typer.echo(f"warning: {error}", err=True)
        return
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("name", no_wrap=True), "size", "count", "classes", "description")
    for info in DATASETS.values():
        pixels = f"{info.native_size} x {info.native_size} x {info.channels}"
        table.add_row(
            info.name,
            f"{info.columns} columns" if info.columns else pixels,
            f"{info.count:,}",
            str(len(info.classes)),
            info.description,
        )
    for row in others:
        classes = str(len(row["classes"])) if row["classes"] else "?"
        table.add_row(row["name"], "?", "?", classes, row["description"])
    console = Console()
    console.print(table)
    for info in DATASETS.values():
        console.print(f"{info.name}: {info.obtained} Licence: {info.licence}.", highlight=False)
    for row in others:
        console.print(
            f"{row['name']}: {row['obtained']} Licence: {row['licence']}.", highlight=False
        )
    for error in broken:
        console.print(f"warning: {error}", highlight=False)
    console.print(
        "npz:PATH: images of your own, as numpy.savez(PATH, images=...) writes them.",
        highlight=False,
    )
    console.print(
        "csv:PATH: a table of your own, with a header; its last column is the target.",
        highlight=False,
    )
    states = ", ".join(STATE_ENSEMBLES)
    console.print(f"Quantum states, for model quddpm: {states}.", highlight=False)


def _of_other_packages() -> tuple[list[dict[str, Any]], list[str]]:
    """Return remarks on other packages' data sets before they are loaded, and on broken ones."""
    from ..data import DATASET_DOOR
    from ..errors import QdmError

    rows: list[dict[str, Any]] = []
    broken = []
    for name in DATASET_DOOR.names():
        if name in DATASET_DOOR.built_in:
            continue
        try:
            found, origin = DATASET_DOOR.get(name), DATASET_DOOR.origin(name)
        except QdmError as error:
            broken.append(str(error))
            continue
        rows.append(
            {
                "name": name,
                "description": found.description,
                "classes": list(found.classes),
                "source": found.source,
                "licence": found.licence,
                "obtained": f"Brought by package {origin.package} {origin.version}.",
                "package": origin.package,
            }
        )
    return rows, broken


@app.command("show")
def show_dataset(
    name: Annotated[str, typer.Argument(help="A name from `qdm data list`, npz:PATH or csv:PATH.")],
    image_size: Annotated[
        int | None,
        typer.Option(help="Height and width to resize to; 8, or the least for rows, if none."),
    ] = None,
    count: Annotated[int, typer.Option(help="Training images to take.")] = 16,
    channels: Annotated[int, typer.Option(help="1 for grey, 3 for RGB.")] = 1,
    classes: Annotated[
        list[int] | None, typer.Option("--class", help="A label to keep; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which images.")] = 0,
    folder: Annotated[Path | None, typer.Option(help="Folder with the published files.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the images as a PNG grid.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Show what a data set's training images look like after resizing, or the columns of its rows.

    Without --out this prints numbers only and writes nothing.

    Example:

        qdm data show digits --image-size 8 --count 16 --out grid.png
    """
    import numpy as np

    from ..data import find_dataset, load_dataset, row_format, save_grid

    rows = row_format(name)
    if image_size is None:
        image_size = 8 if rows is None else rows.size
    split = load_dataset(
        name,
        image_size=image_size,
        channels=channels,
        classes=classes or None,
        train_count=count,
        seed=seed,
        folder=folder,
    )
    images, labels = split.train.images, split.train.labels
    values, counts = np.unique(labels, return_counts=True)
    labelled = ", ".join(f"{v} ({n})" for v, n in zip(values, counts, strict=True))
    typer.echo(f"images   {len(images)} of {image_size} x {image_size} x {channels}, seed {seed}")
    if rows is not None:
        for column in rows.columns:
            known = ", ".join(column.categories) or f"{column.low:g} to {column.high:g}"
            target = ", the target" if column.name == rows.target else ""
            typer.echo(f"column   {column.name}: {known}{target}")
    typer.echo(f"labels   {labelled}")
    if not name.startswith("npz:"):
        typer.echo(f"licence  {find_dataset(name).licence}")
    typer.echo(f"values   {images.min():.3f} to {images.max():.3f}, mean {images.mean():.3f}")
    if out is not None:
        typer.echo(f"written  {save_grid(images, out, overwrite=force)}")
