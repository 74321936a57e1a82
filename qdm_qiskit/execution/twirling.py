"""Twirling by IBM's client: random gates around gates or before the readout, undone in what is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import InvalidOption

__all__ = ["Group", "Twirling", "randomizations_of"]

Group = Literal["pauli", "local_pauli"]
"""Random gates around an entangling gate: any Paulis that it turns into Paulis, or, as unbound and
non-Clifford rzz need it, those that it leaves as they are."""


@dataclass(frozen=True, kw_only=True)
class Twirling:
    """Options of twirling, by the client's names."""

    gates: bool = False
    """Twirl entangling gates."""
    measure: bool = False
    """Twirl the readout: flip a random half of the bits before it, and flip them back."""
    group: Group = "pauli"
    """Random gates around entangling gates."""
    randomizations: int = 8
    """Random circuits for each row; its shots are spread over them."""

    def __post_init__(self) -> None:
        if self.group not in get_args(Group):
            raise InvalidOption(f"group is {' or '.join(get_args(Group))}, got {self.group!r}.")
        if type(self.randomizations) is not int or not 1 <= self.randomizations <= 10_000:
            raise InvalidOption(
                f"randomizations is a whole number, 1 to 10000, got {self.randomizations!r}."
            )


def randomizations_of(shots: int, wanted: int) -> int:
    """Return the most randomizations, up to those wanted, that share the shots evenly.

    IBM rounds shots up to whole randomizations otherwise, and a row would have more than asked for.

    >>> randomizations_of(1024, 8), randomizations_of(100, 8)
    (8, 5)
    """
    return max(k for k in range(1, min(shots, wanted) + 1) if shots % k == 0)
