"""CI's files call targets that the Makefile has, and its lanes are those that are documented."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.helpers import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def steps(path: Path) -> list[tuple[str, dict]]:
    """Each command of a workflow, with the row of the matrix that it is run for."""
    found = []
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        rows = job.get("strategy", {}).get("matrix", {}).get("include", [{}])
        found += [(s["run"], row) for s in job["steps"] if "run" in s for row in rows]
    return found


def test_there_are_workflows_for_changes_and_for_nights():
    events = {path.stem: set(yaml.safe_load(path.read_text())[True]) for path in WORKFLOWS}
    assert events == {"ci": {"push", "pull_request"}, "nightly": {"schedule", "workflow_dispatch"}}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_is_there(path):
    called = set()
    for command, row in steps(path):
        text = command
        for key, value in row.items():
            text = text.replace(f"${{{{ matrix.{key} }}}}", str(value))
        assert "${{" not in text
        if text.startswith("make "):
            called |= set(text.split()[1:])
        else:
            assert os.access(ROOT / text, os.X_OK), text
    assert called <= TARGETS
    if path.stem == "nightly":
        assert called == {"test-lowest", "test-newest", "coverage", "ratios"}


def test_every_target_is_phony_or_makes_its_file_and_says_what_it_does():
    [phony] = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) >= TARGETS - {"all"}
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    for target in ("lanes", "coverage", "release-check", "ratios", "test-lowest", "test-newest"):
        assert re.search(rf"^{target} ", told.stdout, re.MULTILINE), target
