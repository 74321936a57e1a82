"""What the shell offers for words that are names: models, presets, devices, cards, templates, runs.

Where nothing fits, the shell offers files, which a subject may be too. The lists come from files, or
from imports of a second at most: models of other packages are not among them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import typer

__all__ = ["cards", "devices", "models", "presets", "run_ids", "subjects", "templates"]


def models(incomplete: str) -> list[str]:
    """Return the models that begin so."""
    return _beginning(incomplete, {str(row["name"]) for row in _counted()})


def presets(incomplete: str) -> list[str]:
    """Return the presets that begin so."""
    return _beginning(incomplete, {str(row["preset"]) for row in _counted()})


def subjects(incomplete: str) -> list[str]:
    """Return the models and presets that begin so."""
    return sorted({*models(incomplete), *presets(incomplete)})


def devices(incomplete: str) -> list[str]:
    """Return the devices that begin so: snapshots, those of other packages, and saved ones."""
    from ..execution.devices import device_names

    return _beginning(incomplete, device_names())


def cards(incomplete: str) -> list[str]:
    """Return the reproduction cards that begin so."""
    from ..reproduction.catalog import all_cards

    return _beginning(incomplete, (each.name for each in all_cards().cards))


def templates(incomplete: str) -> list[str]:
    """Return the circuit templates that begin so."""
    from ..circuits.catalog import TEMPLATES

    return _beginning(incomplete, TEMPLATES)


def run_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the hardware runs of the root that begin so, and `latest`."""
    from .budget import ROOT

    root = Path(ctx.params.get("root") or os.environ.get("QDM_ROOT") or ROOT)
    found = (plan.parent.name for plan in root.glob("*/plan.json"))
    return _beginning(incomplete, ["latest", *found])


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def _counted() -> list[dict[str, Any]]:
    """Return the rows of all presets, without the imports that count them."""
    from .models import COUNTED

    rows: list[dict[str, Any]] = json.loads(
        files("qdm_qiskit").joinpath(COUNTED).read_text(encoding="utf-8")
    )
    return rows
