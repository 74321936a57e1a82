"""Formats on disk have names of their own, and docs/architecture.md lists them."""

from __future__ import annotations

import re
from collections import Counter

from tests.helpers import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()


def formats() -> Counter[str]:
    """Names of formats, and in how many places of the package each is defined."""
    sources = [path.read_text() for path in (ROOT / "qdm_qiskit").rglob("*.py")]
    return Counter(
        name
        for source in sources
        for name in re.findall(r'^[A-Z_]*SCHEMA = "([\w-]+)/\d+"$', source, re.MULTILINE)
    )


def test_two_formats_never_share_a_name():
    assert len(formats()) > 10
    assert [name for name, places in formats().items() if places > 1] == []


def test_architecture_lists_every_format_and_no_other():
    table = PAGE[PAGE.index("| format |") :].split("\n\n")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(first_cells))) == sorted(formats())
