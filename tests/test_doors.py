"""Doors: names of this package and of others, and what each mistake of a package says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qdm_qiskit import doors
from qdm_qiskit.doors import Door
from qdm_qiskit.errors import InvalidArgument, InvalidExtension, UnknownName


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a package with entry points, the way pip leaves one on disk."""

    def install(name: str, points: str, code: str = "") -> None:
        (tmp_path / f"{name}.py").write_text(code)
        info = tmp_path / f"{name}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(points)
        doors._outside.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    # Its own modules only: torch's, imported meanwhile, cannot be imported twice.
    for name in [*sys.modules]:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    doors._outside.cache_clear()


def number(part: object, name: str) -> float:
    if not isinstance(part, float):
        raise InvalidArgument(f"part is a float, got {part!r}.")
    return part


DOOR = Door("metric", "metric", {"pi": "math:pi"}, number)


def test_a_part_of_this_package():
    assert DOOR.names() == ("pi",)
    assert "pi" in DOOR
    assert "tau" not in DOOR
    assert DOOR.get("pi") == pytest.approx(3.14159, abs=1e-5)
    assert DOOR.origin("pi").package == "qdm_qiskit"


def test_a_part_of_another_package(package):
    package("theirs", "[qdm_qiskit.metric]\nhalf = theirs:half\n", "half = 0.5\n")
    assert DOOR.names() == ("pi", "half")
    assert DOOR.get("half") == 0.5
    assert DOOR.origin("half") == doors.Origin("theirs", "1.5", "theirs:half")


def test_names_are_read_without_an_import(package):
    package("theirs", "[qdm_qiskit.metric]\nhalf = theirs:half\n", "raise ValueError('no')\n")
    assert "half" in DOOR.names()
    assert DOOR.origin("half").module == "theirs:half"
    assert "theirs" not in sys.modules


@pytest.mark.parametrize(
    ("points", "code", "message"),
    [
        ("half = theirs:half", "raise ValueError('no GPU')", "'half' of package theirs .*no GPU"),
        ("half = theirs:other", "half = 0.5", "'half' of package theirs .*has no attribute"),
        ("half = nowhere:half", "", "cannot be loaded from 'nowhere:half'"),
        (
            "half = theirs:half",
            "half = '1/2'",
            "'theirs:half' of package theirs is no metric.*float",
        ),
    ],
)
def test_what_a_package_does_wrong_is_one_line(package, points, code, message):
    package("theirs", f"[qdm_qiskit.metric]\n{points}\n", code)
    with pytest.raises(InvalidExtension, match=message) as error:
        DOOR.get("half")
    assert "\n" not in str(error.value)


def test_two_packages_with_one_name(package):
    for name in ("theirs", "others"):
        package(name, f"[qdm_qiskit.metric]\nhalf = {name}:half\n", "half = 0.5\n")
    with pytest.raises(InvalidExtension, match="Packages others and theirs both bring a metric"):
        DOOR.get("half")


def test_a_name_of_this_package_is_not_taken_over(package):
    package("theirs", "[qdm_qiskit.metric]\npi = theirs:pi\n", "pi = 3.2\n")
    with pytest.raises(InvalidExtension, match=r"theirs brings a metric 'pi'.*rename it"):
        DOOR.get("pi")
    assert DOOR.names() == ("pi",)


def test_an_unknown_name_says_what_there_is(package):
    package("theirs", "[qdm_qiskit.metric]\nhalf = theirs:half\n", "half = 0.5\n")
    with pytest.raises(
        UnknownName, match=r"no metric 'halv'\. Did you mean 'half'\? There are: half, pi\."
    ):
        DOOR.get("halv")
