"""Record of an Estimator's jobs in a run plan: options asked for and resolved, and their work."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from ...canonical_json import canonical_json
from ...errors import InvalidOption
from .types import check

__all__ = ["MOST_OPTIONS", "EstimatorPlan", "options_from_text", "text_of_options"]

MOST_OPTIONS = 100_000
"""Most characters of options."""


@dataclass(frozen=True, kw_only=True)
class EstimatorPlan:
    """Jobs of IBM's Estimator in place of its Sampler's; a PUB is a call with its observables."""

    options: str
    """Options that were asked for, as canonical JSON."""
    resolved: str
    """All options with which it runs, as canonical JSON."""
    weights: tuple[float, ...]
    """For each circuit the executions of one row and shot: bases, noise factors, whole
    randomizations."""
    extra: int
    """Executions of a job besides its rows: what learns the readout."""

    def __post_init__(self) -> None:
        for text in (self.options, self.resolved):
            options_from_text(text)
        good = bool(self.weights) and all(0 < each < math.inf for each in self.weights)
        check(good, "weights are above 0, one for each circuit", self.weights[:3])
        check(self.extra >= 0, "extra is >= 0", self.extra)


def options_from_text(text: str) -> dict[str, Any]:
    """Return options of an Estimator from JSON text.

    Raises:
        InvalidOption: If it is no JSON object.
    """
    try:
        found = json.loads(text) if len(text) <= MOST_OPTIONS else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidOption(
            "primitive_options are a JSON object, such as "
            f'{{"resilience": {{"measure_mitigation": true}}}}, got {text!r:.80}.'
        )
    return found


def text_of_options(options: dict[str, Any] | str) -> str:
    """Return options of an Estimator as canonical JSON.

    Raises:
        InvalidOption: If they are no JSON values.
    """
    if isinstance(options, str):
        options = options_from_text(options)
    try:
        return canonical_json(dict(options)).decode()
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"primitive_options are JSON values; {error}.") from error
