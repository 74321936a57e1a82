"""The way of a chain whose model hands on states: all steps in one circuit, or step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .types import check

__all__ = ["ChainPlan", "ChainWay"]

ChainWay = Literal["coherent", "steps"]


@dataclass(frozen=True, kw_only=True)
class ChainPlan:
    """The way of a chain, and the share of its shots that is expected to be kept.

    A plan has none where nothing is to be chosen: images are handed on, or chain is ``steps``.
    """

    way: ChainWay
    """``coherent``: all steps are one circuit. ``steps``: states are told from step to step."""
    because: str
    """Reason of ``steps``; empty of ``coherent``."""
    reuse_qubits: bool
    """True if ancillas are measured, reset and used again in the middle; False for fresh qubits."""
    histories: bool
    """True if ancillas are recorded: an image's state is told from the shots of one history."""
    kept: tuple[float, ...]
    """Expected share of each image's shots that passes the projections, exactly; of histories the mean
    share of the drawn one. Empty of ``steps``."""

    def __post_init__(self) -> None:
        good = self.because.isprintable() and len(self.because) <= 1000
        check(good, "a chain's reason is printable, of at most 1000 characters", self.because)
        one = self.way == "coherent"
        check(one == bool(self.kept), "kept are shares of a coherent chain", self.kept[:3])
        check(one or not (self.reuse_qubits or self.histories), "steps have no ancillas", self.way)
        good = all(0 < each <= 1 + 1e-6 for each in self.kept)
        check(good, "a kept share is above 0 and at most 1", self.kept[:3])

    @property
    def least_kept(self) -> float:
        """Smallest share of an image's shots; 1 of ``steps``."""
        return min(self.kept, default=1.0)

    def lines(self, steps: int, shots: int, measured: Sequence[int]) -> tuple[str, str]:
        """Return the chain in words, and what it keeps; the second is empty of ``steps``.

        Args:
            steps: T.
            shots: Shots of each image.
            measured: Qubit of each bit.

        >>> parts = dict(because="", reuse_qubits=False, histories=False)
        >>> ChainPlan(way="coherent", kept=(0.5, 0.25), **parts).lines(3, 1000, range(5))[1]
        '0.25 to 0.5 of the shots are expected to pass its projections: 250 of 1000 at least'
        """
        if self.way == "steps":
            return f"step by step: {self.because}", ""
        ancillas = "fresh qubits"
        if self.reuse_qubits:
            few = len(set(measured))
            ancillas = f"measured, reset and used again: {len(measured)} bits of {few} qubits"
        said = f"all {steps} steps in one circuit; ancillas are {ancillas}"
        least, most = min(self.kept), max(self.kept)
        share = f"{least:.3g}" if f"{least:.3g}" == f"{most:.3g}" else f"{least:.3g} to {most:.3g}"
        if self.histories:
            return said, f"{share} of the shots have the drawn history, in the mean"
        if least > 1 - 1e-6:
            return said, "all shots: nothing is projected"
        rest = f"{shots * least:.0f} of {shots} at least"
        return said, f"{share} of the shots are expected to pass its projections: {rest}"
