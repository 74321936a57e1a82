"""Record of a QNN in a run plan: what is asked in place of a model, a chain and a sampler."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from .types import check

__all__ = ["QnnPlan"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
MOST_OUTPUTS = 1 << 24
"""Most outputs of one row."""


@dataclass(frozen=True, kw_only=True)
class QnnPlan:
    """A QNN whose outputs the run measures; its circuit and values are files beside the plan."""

    kind: Literal["EstimatorQNN", "SamplerQNN"]
    question_sha256: str
    """Hash of circuit, readout, values and outputs, the same in every process."""
    qubits: int
    """Qubits of its circuit before transpiling."""
    num_inputs: int
    num_weights: int
    rows_shape: tuple[int, ...]
    """Leading axes of the outputs; the plan's ``num_images`` counts the rows."""
    output_shape: tuple[int, ...]
    """Shape of the output of one row."""

    def __post_init__(self) -> None:
        check(bool(_SHA256.fullmatch(self.question_sha256)), "a hash has 64 hex digits", self.kind)
        for name in ("qubits", "num_inputs", "num_weights"):
            check(0 <= getattr(self, name) <= 10**6, f"{name} is 0 to 1e6", getattr(self, name))
        for shape in (self.rows_shape, self.output_shape):
            good = bool(shape) and min(shape) >= 1 and math.prod(shape) <= MOST_OUTPUTS
            check(good, f"a shape has axes >= 1, of at most {MOST_OUTPUTS} values", shape[:4])

    @property
    def rows(self) -> int:
        """Number of rows of inputs."""
        return math.prod(self.rows_shape)

    @property
    def count(self) -> int:
        """Number of outputs of all rows."""
        return self.rows * math.prod(self.output_shape)
