"""``--format`` of commands that draw figures."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["FormatOption", "formats_of"]

FormatOption = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        help="Also write the figures as svg or pdf, for papers; may be repeated.",
        metavar="svg|pdf",
    ),
]


def formats_of(given: list[str] | None) -> tuple[str, ...]:
    """Return the formats that were asked for, checked before any work.

    Raises:
        UnknownName: If there is no such format.
    """
    from ..reports.figures import check_formats

    return check_formats(given or ())
