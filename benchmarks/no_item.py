"""An item of work that does nothing, in a module that worker processes import."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def nothing(folder: Path, *, number: int) -> dict[str, Any]:
    """Return the number."""
    return {"number": number}
