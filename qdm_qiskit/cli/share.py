"""``qdm card``, ``qdm push``, ``qdm pull``: a run's card, its model on a hub, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .models import JsonOption

__all__ = ["card", "pull", "push"]

RunFolder = Annotated[Path, typer.Argument(help="Folder of a trained run.")]
LicenseOption = Annotated[
    str | None,
    typer.Option("--license", help="Licence of the weights, as apache-2.0; none is named if none."),
]


def card(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option(help="The file; RUN/README.md if not given.")] = None,
    license_name: LicenseOption = None,
) -> None:
    """Write a run's card: Markdown with front matter, from what its folder records.

    Example:

        qdm card runs/first --license apache-2.0
    """
    from ..tasks import write_card

    typer.echo(f"card       {write_card(run, out, license_name=license_name)}")


def push(
    run: RunFolder,
    repo: Annotated[str, typer.Argument(help="Repository of a hub, as user/name.")],
    private: Annotated[
        bool, typer.Option("--private", help="Make a repository that only its owners see.")
    ] = False,
    license_name: LicenseOption = None,
    own_card: Annotated[
        Path | None, typer.Option("--card", help="A card of your own; generated if none.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all of it, list the files, send nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload a run's model to a hub, with its card, last samples and exported circuits.

    The account is the one of huggingface_hub: `hf auth login`, or HF_TOKEN.

    Example:

        qdm push runs/first somebody/first --license apache-2.0 --dry-run
    """
    from ..progress import Message
    from ..tasks import push_to_hub

    def told(message: Message) -> None:
        if not as_json:
            typer.echo(message, err=True)

    made = push_to_hub(
        run,
        repo,
        private=private,
        license_name=license_name,
        card=own_card,
        dry_run=dry_run,
        progress=told,
    )
    if as_json:
        found = {"repo": made.repo, "files": made.files, "commit": made.commit, "url": made.url}
        typer.echo(json.dumps(found, indent=2))
        return
    for name in made.files:
        typer.echo(f"file       {name}")
    typer.echo(f"commit     {made.url}" if made.commit else "nothing was sent")


def pull(
    repo: Annotated[str, typer.Argument(help="Repository of a hub, as user/name.")],
    out: Annotated[Path, typer.Option(help="Folder for the model; all commands take it as a run.")],
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit; the main branch if not given.")
    ] = None,
) -> None:
    """Download a model from a hub: JSON and safetensors only, held against the hub's hashes.

    Example:

        qdm pull somebody/first --out runs/theirs
    """
    from ..tasks import pull as pull_model

    typer.echo(f"run        {pull_model(repo, out, revision=revision)}")
