"""The script that counts rooms counts small packages right, and holds its bars."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from itertools import combinations

import pytest

from tests.helpers import ROOT

SCRIPT = ROOT / ".ci" / "rooms.py"
ORDER = ["roof", "left | right", "cellar"]


@pytest.fixture
def rooms(tmp_path):
    """Write ``qdm_qiskit.engine`` with these imports and this order of rooms, and count it."""

    def run(imports, *options, order=ORDER):
        engine = tmp_path / "qdm_qiskit" / "engine"
        for module in {*imports, *(target for targets in imports.values() for target in targets)}:
            path = engine.joinpath(*module.split(".")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            for folder in (engine.parent, engine, path.parent):
                (folder / "__init__.py").touch()
            lines = [f"import qdm_qiskit.engine.{target}" for target in imports.get(module, ())]
            path.write_text("\n".join(lines))
        layers = f"""
            [[tool.importlinter.contracts]]
            type = "layers"
            containers = ["qdm_qiskit.engine"]
            layers = {order}
        """
        (tmp_path / "pyproject.toml").write_text(layers if order else "")
        return subprocess.run(
            [sys.executable, SCRIPT, "--root", tmp_path, "--package", "engine", *options],
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def script(monkeypatch):
    """A script of .ci/ as a module."""
    monkeypatch.syspath_prepend(ROOT / ".ci")
    return importlib.import_module


@pytest.fixture
def judge(script):
    """Count a package with these imports; return the count and the lines on broken bars."""
    counting = script("rooms")

    def run(imports, order=ORDER):
        modules = {
            "__init__",
            *imports,
            *(other for targets in imports.values() for other in targets),
        }
        modules |= {name.split(".")[0] for name in modules}
        every = {name: sorted(imports.get(name, ())) for name in sorted(modules)}
        found = counting.count("engine", every, order)
        return found, counting.find_broken(found, counting.BARS["engine"])

    return run


def counted(done):
    return json.loads(done.stdout)["engine"]


def chain(length):
    return {f"roof.m{i:02}": [f"roof.m{i + 1:02}"] for i in range(length - 1)}


SOUND = {
    "roof.a": ["roof.b", "left.a", "right.a"],
    "roof.b": ["left.a", "alone"],
    "left.a": ["cellar.a"],
    "right.a": ["cellar.a"],
}


def test_counts_of_a_sound_package(rooms):
    done = rooms(SOUND, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = counted(done)
    # Six modules, four folders of rooms, and the package itself.
    assert found["modules"] == 11
    assert found["imports"] == 7
    assert found["rooms"] == ["cellar", "left", "right", "roof"]
    assert found["top"] == ["__init__", "alone"]
    assert found["order"] == ORDER
    assert [(arrow["source"], arrow["target"], arrow["imports"]) for arrow in found["arrows"]] == [
        ("left", "cellar", 1),
        ("right", "cellar", 1),
        ("roof", "alone", 1),
        ("roof", "left", 2),
        ("roof", "right", 1),
    ]
    assert (found["up"], found["circles"]) == ([], [])
    assert found["chain"] == ["roof.a", "roof.b", "left.a", "cellar.a"]


def test_text_says_the_same_numbers(rooms):
    done = rooms(SOUND)
    assert done.returncode == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "modules 11, with 7 imports of each other" in lines
    assert "rooms 4: cellar, left, right, roof" in lines
    assert "in no room 2: __init__, alone" in lines
    assert "longest chain 4 (at most 11): roof.a -> roof.b -> left.a -> cellar.a" in lines
    assert any(line.startswith("arrows 5 (at most 22): left -> cellar (1), ") for line in lines)


@pytest.mark.parametrize(
    ("source", "target"),
    [("cellar.a", "roof.a"), ("cellar.a", "left.a"), ("left.a", "right.a")],
)
def test_import_against_the_order_breaks(judge, source, target):
    _, broken = judge({source: [target]})
    assert broken == [f"engine: the import {source} -> {target} runs against the order of rooms"]


def test_rooms_of_one_floor_may_be_open_to_each_other(judge):
    _, broken = judge({"left.a": ["right.a"]}, order=["roof", "left : (right)", "cellar"])
    assert broken == []


def test_imports_inside_functions_and_for_types_count(rooms, tmp_path):
    rooms({"cellar.a": [], "roof.a": []})
    path = tmp_path / "qdm_qiskit" / "engine" / "cellar" / "b.py"
    for text in (
        "def run():\n    from ..roof import a\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..roof import a\n",
    ):
        path.write_text(text)
        done = rooms({"cellar.a": [], "roof.a": []})
        assert done.stderr.startswith("engine: the import cellar.b -> roof.a runs against")


def test_circle_of_modules_breaks(judge):
    found, broken = judge({"roof.a": ["roof.b"], "roof.b": ["roof.a"]})
    (circle,) = found.circles
    assert circle[0] == circle[-1]
    assert set(circle) == {"roof.a", "roof.b"}
    assert broken == [f"engine: a circle of imports, {' -> '.join(circle)}"]
    assert found.chain == []


def test_circle_of_rooms_breaks_without_a_circle_of_modules(judge):
    found, broken = judge({"one.a": ["two.a"], "two.b": ["one.b"]})
    (circle,) = found.circles
    assert set(circle) == {"one", "two"}
    assert len(broken) == 1
    assert found.chain == ["one.a", "two.a"]


def test_import_of_the_package_itself_makes_a_circle(rooms, tmp_path):
    rooms(SOUND)
    engine = tmp_path / "qdm_qiskit" / "engine"
    (engine / "__init__.py").write_text("from .cellar import b")
    (engine / "cellar" / "b.py").write_text("import qdm_qiskit.engine")
    done = rooms(SOUND)
    assert done.returncode == 1
    assert "__init__ -> cellar.b" in done.stderr


def test_circle_in_text_has_no_longest_chain(rooms):
    done = rooms({"roof.a": ["roof.b"], "roof.b": ["roof.a"]})
    assert "longest chain endless (at most 11): there is a circle" in " ".join(done.stdout.split())


def test_longest_chain_is_held(judge):
    assert judge(chain(11))[1] == []
    _, (line,) = judge(chain(12))
    start = "engine: the longest chain of imports has 12 modules, at most 11 allowed: roof.m00 -> "
    assert line.startswith(start)


def test_arrows_are_held(judge):
    pairs = list(combinations("abcdefgh", 2))

    def house(arrows):
        targets = {}
        for first, second in pairs[:arrows]:
            targets.setdefault(f"{first}.m", []).append(f"{second}.m")
        return targets

    assert judge(house(22))[1] == []
    assert judge(house(23))[1] == ["engine: 23 arrows between rooms, at most 22 allowed"]


def test_modules_of_no_room_count_as_rooms(judge):
    _, broken = judge({f"m{i:02}": ["last"] for i in range(23)})
    assert broken == ["engine: 23 arrows between rooms, at most 22 allowed"]


def test_order_must_be_declared(rooms):
    done = rooms({"roof.a": ["cellar.a"]}, order=None)
    assert done.returncode == 1
    assert done.stderr == "engine: pyproject.toml declares no order of rooms\n"


def test_all_broken_bars_are_told_at_once(rooms):
    done = rooms({**chain(12), "cellar.a": ["roof.m11"]}, order=["roof", "cellar"])
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2


def test_package_without_bars_is_counted_and_not_held(rooms, tmp_path):
    rooms(SOUND)
    attic = tmp_path / "qdm_qiskit" / "attic"
    attic.mkdir()
    (attic / "__init__.py").touch()
    done = rooms(SOUND, "--package", "attic", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["attic"]["modules"] == 1


def test_unknown_package_is_one_line(rooms):
    done = rooms(SOUND, "--package", "garage")
    assert done.returncode == 1
    assert done.stderr == "There is no package qdm_qiskit.garage.\n"


TOPICS = {
    "hardware/ledger/test_bit_flips",
    "hardware/ledger/test_read_only",
    "hardware/run/test_cancelled",
    "hardware/run/test_policies",
    "hardware/run/test_stored_bytes",
}
"""Tests in a room that are of several of its modules."""


@pytest.mark.parametrize("package", ["engine", "hardware"])
def test_tests_in_a_room_sit_under_the_name_of_a_module(package):
    files = sorted((ROOT / "tests" / package).rglob("*/test_*.py"))
    assert len(files) > 15
    for file in files:
        name = str(file.relative_to(ROOT / "tests").with_suffix(""))
        module = file.relative_to(ROOT / "tests").with_name(file.name.removeprefix("test_"))
        assert name in TOPICS or (ROOT / "qdm_qiskit" / module).is_file(), name


@pytest.fixture
def drawing(script):
    return script("draw_rooms")


def test_committed_picture_is_the_one_of_the_imports(tmp_path):
    command = [sys.executable, ROOT / ".ci" / "draw_rooms.py", tmp_path / "rooms.svg"]
    subprocess.run(command, check=True)
    drawn = (tmp_path / "rooms.svg").read_text()
    assert (ROOT / "docs" / "images" / "rooms.svg").read_text() == drawn, (
        "stale: run `make picture`"
    )
    boxes = re.findall(r'<text x="\d+" y="\d+">(\w+)</text>', drawn)
    for package in ("", "hardware", "engine"):
        folder = ROOT / "qdm_qiskit" / package
        rooms = {path.parent.name for path in folder.glob("*/__init__.py")}
        assert rooms
        assert rooms <= set(boxes)


def test_picture_leaves_out_short_cuts_and_nothing_else(drawing):
    ways = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": {"c"}}
    assert drawing.without_short_cuts(ways) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": {"c"}}
    assert drawing.stack(ways) == {"a": 2, "b": 1, "c": 0, "d": 1}


def test_picture_of_a_circle_is_refused_in_one_line(drawing, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(drawing, "read_ways", lambda *_: {"a": {"b"}, "b": {"a"}})
    monkeypatch.setattr(sys, "argv", ["draw_rooms.py", str(tmp_path / "rooms.svg")])
    assert drawing.main() == 1
    assert capsys.readouterr().err.startswith("Rooms import each other in a circle: ")
    assert not (tmp_path / "rooms.svg").exists()


def test_picture_of_arrows_between_floors_passes_every_floor_between(drawing):
    panel = drawing.lay_out("p", {"a": {"b", "low"}, "b": {"c"}, "c": set(), "low": set()})
    assert [{name for name in names if name[0] != "|"} for names in panel.floors] == [
        {"c", "low"},
        {"b"},
        {"a"},
    ]
    assert len(panel.bends["a", "low"]) == 1
    assert len(drawing.draw(panel, 0, 0)) == 1 + 3 + 2 * 4
