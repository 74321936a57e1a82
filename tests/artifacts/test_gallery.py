"""The committed gallery is what the code writes."""

from __future__ import annotations

import json
import re
from importlib.metadata import version

import pytest
from packaging.version import Version
from qiskit import qasm3

from qdm_qiskit.circuits import TEMPLATES
from qdm_qiskit.circuits.export import qasm_text
from qdm_qiskit.reports.gallery import INDEX, Entry, render_gallery, render_index
from tests.helpers import ROOT

GALLERY = ROOT / "circuits"
STALE = "stale: run `make gallery`"
drawn_by_the_same = pytest.mark.skipif(
    Version(version("matplotlib")) < Version("3.11"), reason="drawn by Matplotlib 3.11"
)


def facts() -> list[dict]:
    return [json.loads((GALLERY / f"{name}.json").read_text()) for name in TEMPLATES]


def test_the_gallery_holds_each_template_and_nothing_else():
    expected = {f"{name}{suffix}" for name in TEMPLATES for suffix in (".qasm", ".svg", ".json")}
    assert {each.name for each in GALLERY.iterdir()} == {*expected, INDEX}, STALE
    assert sum(each.stat().st_size for each in GALLERY.iterdir()) < 3 * 2**20


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_committed_program_is_the_generated_one(name):
    template = TEMPLATES[name]
    spec = template.example()
    text = (GALLERY / f"{name}.qasm").read_text()
    assert text == qasm_text(template, spec), STALE
    assert [each.name for each in qasm3.loads(text).parameters] == [
        each.name for each in spec.circuit.parameters
    ]


def test_the_committed_page_is_made_of_the_committed_facts():
    page = (GALLERY / INDEX).read_text()
    assert page.encode() == render_index(facts()), STALE
    for target in re.findall(r"\]\(([^)#]+)\)", page):
        assert (GALLERY / target).is_file(), target


def test_each_template_has_counts_on_the_device():
    for each in facts():
        device = each["transpiled"]
        assert device["backend"] == "fake_torino"
        assert device["two_qubit_gates"] == device["gates"].get("cz", 0)
        assert set(device["gates"]) <= {"cz", "rz", "rx", "rzz", "sx", "x"}, each["name"]
        assert device["depth"] >= device["two_qubit_depth"]
        assert 0 < device["gate_success"] <= 1


@drawn_by_the_same
@pytest.mark.slow
def test_the_whole_committed_gallery_is_the_generated_one():
    _, generated = render_gallery()
    assert set(generated) == {each.name for each in GALLERY.iterdir()}
    for name, content in generated.items():
        assert (GALLERY / name).read_bytes() == content, f"{name} is {STALE}"


@drawn_by_the_same
def test_one_template_anew():
    """The quick form of the test above: facts and drawing of one template, transpiled again."""
    for name, content in render_gallery([Entry(template=TEMPLATES["conv_unit"])])[1].items():
        assert (GALLERY / name).read_bytes() == content, f"{name} is {STALE}"
