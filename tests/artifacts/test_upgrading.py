"""docs/upgrading.md: what it says is gone is gone, and what takes its place is there."""

from __future__ import annotations

import importlib
import re

import pytest

from tests.helpers import ROOT

PAGE = (ROOT / "docs" / "upgrading.md").read_text()
ROWS = [
    tuple(re.findall(r"`([a-z_.A-Z]+)`", cell) for cell in line.split("|")[1:3])
    for line in PAGE.splitlines()
    if line.startswith("| `")
]


def found(name: str) -> bool:
    """True if a dotted name of the package is a module, or something in one."""
    whole = f"qdm_qiskit.{name}"
    home, _, last = whole.rpartition(".")
    try:
        importlib.import_module(whole)
    except ImportError:
        try:
            return hasattr(importlib.import_module(home), last)
        except ImportError:
            return False
    return True


def test_the_page_has_names():
    assert len(ROWS) >= 15
    assert all(old and len(old) == len(new) for old, new in ROWS)


@pytest.mark.parametrize("name", [name for old, _ in ROWS for name in old])
def test_old_names_are_gone(name):
    assert not found(name)


@pytest.mark.parametrize("name", [name for _, new in ROWS for name in new])
def test_new_names_are_there(name):
    assert found(name)
