"""Checks that templates share: counts of wires, layers and repetitions; names of variants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InvalidTemplate
from .parameters import MAX_PARAMETERS

__all__ = [
    "check_choice",
    "check_counts",
]


def check_counts(template: str, *, most: int = MAX_PARAMETERS, **counts: tuple[int, int]) -> None:
    """Refuse a count that is no whole number, below its minimum or beyond all reason.

    Args:
        template: Name of the template, for the message.
        most: Largest count that is accepted.
        **counts: Name to (received, minimum).

    Raises:
        InvalidTemplate: If a count does not fit; the message names all of them.
    """

    def fits(got: object, low: int) -> bool:
        if isinstance(got, bool) or not isinstance(got, int | np.integer):
            return False
        return bool(low <= got <= most)

    if all(fits(got, low) for got, low in counts.values()):
        return
    rule = " and ".join(f"{name} >= {low}" for name, (_, low) in counts.items())
    received = ", ".join(f"{name}={got!r:.20}" for name, (got, _) in counts.items())
    raise InvalidTemplate(f"{template} needs {rule}, whole numbers up to {most}, got {received}.")


def check_choice(template: str, option: str, received: object, choices: Sequence[str]) -> None:
    """Refuse an option that has none of the values that exist.

    Raises:
        InvalidTemplate: If the value is none of the choices; the message lists them.
    """
    if received not in choices:
        raise InvalidTemplate(
            f"{option} of {template} is one of {', '.join(choices)}, got {received!r:.40}."
        )
