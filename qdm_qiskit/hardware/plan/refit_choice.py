"""Size of a refit, as a text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...errors import InvalidOption
from .types import MAX_SHOTS

__all__ = ["CIRCUITS", "LEAST_CIRCUITS", "MOST_CIRCUITS", "RefitChoice"]

CIRCUITS = 300
"""Circuits of ``auto``."""
LEAST_CIRCUITS = 3
"""Fewest circuits of a fit, at each place of the chip."""
MOST_CIRCUITS = 100_000

_TEXT = re.compile(r"(\d{1,9})(?:x(\d{1,9}))?")


@dataclass(frozen=True)
class RefitChoice:
    """Size of a refit.

    >>> RefitChoice.of("auto"), RefitChoice.of("100x512")
    (RefitChoice(circuits=300, shots=None), RefitChoice(circuits=100, shots=512))
    """

    circuits: int
    """Bound circuits, each a training image with noise."""
    shots: int | None
    """Shots of each; None for as many as a step takes, since the fit also learns how far to trust
    values of so few shots."""

    @classmethod
    def of(cls, text: str) -> RefitChoice:
        """Return the choice of a text.

        Raises:
            InvalidOption: If it is none.
        """
        found = _TEXT.fullmatch(text)
        if text != "auto" and found is None:
            raise InvalidOption(
                "refit is 'auto', a number of circuits, or circuits and shots as in '300x256', got "
                f"{text!r:.60}."
            )
        if found is None:
            return cls(CIRCUITS, None)
        circuits, shots = int(found[1]), None if found[2] is None else int(found[2])
        if not LEAST_CIRCUITS <= circuits <= MOST_CIRCUITS:
            raise InvalidOption(
                f"A refit takes {LEAST_CIRCUITS} to {MOST_CIRCUITS} circuits, got {circuits}."
            )
        if shots is not None and not 1 <= shots <= MAX_SHOTS:
            raise InvalidOption(f"A refit takes 1 to {MAX_SHOTS} shots a circuit, got {shots}.")
        return cls(circuits, shots)
