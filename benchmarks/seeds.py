"""Figures over seeds: runs in a file that is gone on with, means with intervals, and their cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student


def read_runs(path: Path | None) -> dict[str, Any]:
    """Return the runs of a file that was interrupted; none if there is no file."""
    if path is None or not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text())["runs"]
    return found


def interval(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Return the mean with Student's 95 % interval."""
    found = np.array(values)
    half = student.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    return {
        "mean": float(found.mean()),
        "low": float(found.mean() - half),
        "high": float(found.mean() + half),
    }


def cell(found: Mapping[str, float], form: str = ".4f") -> str:
    """Return a mean and its interval, as :func:`interval` gives them, for a table."""
    return f"{found['mean']:{form}} [{found['low']:{form}}, {found['high']:{form}}]"
