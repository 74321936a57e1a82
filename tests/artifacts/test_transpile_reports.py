"""The committed transpile reports are what the code writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from qdm_qiskit.cli.main import main
from tests.helpers import ROOT

NAMES = ("digits-demo", "eeqdm-16x16-L10", "eeqdm-8x8-L10", "qddm-8x8-L10")
REPORTS = [ROOT / "transpile_reports" / f"{name}.json" for name in NAMES]


def assert_same(found: object, expected: object, where: str) -> None:
    """Texts and small integers equal; large integers and floats as far as two processors agreed.

    Rounding decides whether a rotation takes one pulse or two. Between two processors a depth of 345
    was 346, a duration differed by 1.1e-3, a share of signal by 1.5e-4; counts of two-qubit gates were
    equal. A whole per cent is another circuit.
    """
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert list(found) == list(expected), where
        for key, value in expected.items():
            assert_same(found[key], value, f"{where}.{key}")
    elif isinstance(expected, list):
        assert isinstance(found, list)
        assert len(found) == len(expected), where
        for index, value in enumerate(expected):
            assert_same(found[index], value, f"{where}[{index}]")
    elif isinstance(expected, float) or type(expected) is int:
        name = where.rpartition(".")[2]
        if name in ("x", "sx", "rz"):  # pulses that take each other's place
            assert found == pytest.approx(expected, rel=0.02, abs=8), where
        else:
            exact = name.startswith("two_qubit") or name in ("cz", "ecr", "cx")
            assert found == pytest.approx(expected, rel=1e-9 if exact else 0.01), where
    else:
        assert found == expected, where


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_reports_are_committed(path: Path) -> None:
    assert json.loads(path.read_text())["name"] == path.stem
    assert path.with_suffix(".md").is_file()
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_no_committed_page_holds_a_placeholder() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert pages
    for page in pages:
        assert not re.search(r"@@\w+@@|TODO|FIXME", page.read_text()), page


@pytest.mark.slow
@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_the_committed_report_is_the_generated_one(path: Path, tmp_path: Path) -> None:
    committed = json.loads(path.read_text())
    backends = [f"--backend={each['backend']}" for each in committed["backends"]]
    with pytest.raises(SystemExit) as exit_:
        main(["report", "transpile", path.stem, *backends, "--out", str(tmp_path), "--quiet"])
    assert exit_.value.code == 0
    found = json.loads((tmp_path / path.name).read_text())
    # The table of versions is there to explain a difference, not to make one.
    committed.pop("versions")
    found.pop("versions")
    assert_same(found, committed, "stale: run `make reports`")
