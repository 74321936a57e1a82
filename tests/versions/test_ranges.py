"""The ranges of pyproject.toml are those that `make test-lowest` and `make test-newest` run on."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LINTERS = {"import-linter", "mypy", "pre-commit", "ruff", "types-PyYAML"}
"""Run on the versions of constraints.txt alone."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = {
    each.name: each
    for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"])
    if (each := Requirement(text)).name not in LINTERS
}


def pinned(path: Path) -> dict[str, Version]:
    lines = [each for each in path.read_text().splitlines() if not each.startswith("#")]
    return {name: Version(version) for name, version in (each.split("==") for each in lines)}


def test_the_lowest_versions_are_the_lower_bounds():
    lowest = pinned(HERE / "lowest.txt")
    bounds = {
        name: Version(each.version)
        for name, requirement in NEEDED.items()
        for each in requirement.specifier
        if each.operator == ">="
    }
    assert lowest == bounds  # Version("2.3") == Version("2.3.0")


@pytest.mark.parametrize(
    "path", [ROOT / "constraints.txt", HERE / "newest.txt"], ids=lambda p: p.name
)
def test_what_the_tests_run_on_is_within_the_ranges(path):
    versions = pinned(path)
    for name, requirement in NEEDED.items():
        if name in versions:
            assert versions[name] in requirement.specifier, name


def test_ibms_client_is_capped_below_its_next_minor():
    """A minor version may change what test_client_internals.py lists."""
    [cap] = [e for e in NEEDED["qiskit-ibm-runtime"].specifier if e.operator == "<"]
    tried = pinned(ROOT / "constraints.txt")["qiskit-ibm-runtime"]
    assert Version(cap.version) == Version(f"{tried.major}.{tried.minor + 1}")


def test_this_environment_is_within_the_ranges():
    for name, requirement in NEEDED.items():
        found = re.sub(r"\+.*", "", importlib.metadata.version(name))
        assert found in requirement.specifier, name
