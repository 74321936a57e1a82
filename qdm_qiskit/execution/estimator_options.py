"""An Estimator's options as text: JSON, canonical, so that equal options are equal text."""

from __future__ import annotations

import json
from typing import Any

from ..canonical_json import canonical_json
from ..errors import InvalidOption

__all__ = ["MOST_OPTIONS", "options_from_text", "text_of_options"]

MOST_OPTIONS = 100_000
"""Most characters of options."""


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
