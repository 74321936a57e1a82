"""The table of faults names tests that exist."""

from __future__ import annotations

import re

from tests.helpers import ROOT

PAGE = (ROOT / "docs" / "hardware-faults.md").read_text()


def test_every_test_of_the_table_exists():
    sources = [*ROOT.glob("tests/runtime/*.py"), *ROOT.glob("tests/hardware/**/*.py")]
    text = "\n".join(path.read_text() for path in sources)
    functions = set(re.findall(r"`(test_\w+)", PAGE)) - {"test_survived"}
    files = set(re.findall(r"(test_\w+)\.py", PAGE))
    assert len(functions) > 20
    for name in functions - files:
        assert f"def {name}(" in text, name
    for name in files:
        assert any(path.stem == name for path in sources), name


def test_every_fault_names_its_test():
    tables = PAGE[PAGE.index("## Survived") :].splitlines()
    faults = [line for line in tables if line.startswith("| ") and not line.startswith("| fault")]
    assert len(faults) > 40
    for row in faults:
        cells = [cell.strip() for cell in row.strip("| ").split(" | ")]
        assert len(cells) in (3, 4), row
        assert all(cells), row
        assert "test_" in cells[-1], row


def test_every_row_of_the_parametrized_test_exists():
    text = (ROOT / "tests" / "runtime" / "test_faults.py").read_text()
    rows = set(re.findall(r'Row\(\s*"([^"]+)"', text))
    cells = [
        cell for line in PAGE.splitlines() if "`test_survived[" in line for cell in line.split("|")
    ]
    named = [name for cell in cells for name in re.findall(r"\[([A-Za-z][^\]]*)\]`", cell)]
    assert len(named) > 20
    for name in named:
        start = name.removesuffix(" ...")
        assert any(row == name or (start != name and row.startswith(start)) for row in rows), name
    # And no row is left out of the table.
    for row in rows:
        assert any(row == n or (n.endswith(" ...") and row.startswith(n[:-4])) for n in named), row
