"""A format has a name of its own, which docs/formats.md lists, and files of 0.1 still open."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

import qdm_qiskit
from qdm_qiskit.errors import InvalidData
from qdm_qiskit.evaluation.hardware_run import read_manifest
from qdm_qiskit.hardware.run import manifest as manifest_module

ROOT = Path(__file__).parent.parent
SOURCE = Path(qdm_qiskit.__file__).parent
STRING = re.compile(r"""["']([a-z][a-z0-9._-]*/[0-9]+)["']""")
RUNS_OF_0_1 = ROOT / "tests/fixtures/v0_1/hardware"


def written_names() -> list[tuple[str, str]]:
    """(name, module) of every string of the source that has the form of a format's name."""
    return [
        (name, str(path.relative_to(SOURCE)))
        for path in sorted(SOURCE.rglob("*.py"))
        for name in STRING.findall(path.read_text(encoding="utf-8"))
    ]


def listed_names() -> list[tuple[str, str]]:
    page = (ROOT / "docs/formats.md").read_text(encoding="utf-8").partition("## Names that")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    found = [row for row in rows if len(row) == 4 and row[0].startswith("`")]
    return [(row[0].strip("`"), row[3].strip("`")) for row in found]


def test_no_two_formats_share_a_name():
    # Versions of one format stand in one module, and are different numbers.
    places = {(name.partition("/")[0], module) for name, module in written_names()}
    assert len(set(written_names())) == len(written_names())
    counts = Counter(name for name, _ in places)
    assert len(counts) >= 15
    assert [name for name, count in counts.items() if count > 1] == []


def test_the_page_lists_every_format_where_it_is_defined():
    assert sorted(listed_names()) == sorted(written_names())


def manifests_of_0_1() -> list[Path]:
    return sorted(RUNS_OF_0_1.rglob("manifest.json"))


def test_manifests_of_0_1_open_under_their_old_name():
    assert manifests_of_0_1()
    for path in manifests_of_0_1():
        content = json.loads(path.read_text())
        assert content["schema"] == "qdm-run/1"
        assert read_manifest(path) == content


@pytest.mark.parametrize("name", ["qdm-hardware-run/2", "qdm-samples/1", None])
def test_a_manifest_of_another_format_is_refused(tmp_path, name):
    content = json.loads(manifests_of_0_1()[0].read_text())
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**content, "schema": manifest_module.SCHEMA}))
    assert read_manifest(path)["jobs"] == content["jobs"]
    path.write_text(json.dumps({**content, "schema": name}))
    with pytest.raises(InvalidData, match=rf"its schema is {name!r}, not 'qdm-hardware-run/1'"):
        read_manifest(path)
