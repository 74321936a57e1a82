"""Sixty mistakes and more, with the line that each gets; docs/mistakes.md shows the same."""

from __future__ import annotations

import os

import pytest

from tests.mistakes.cases import COMMANDS, PYTHON, SET_UP
from tests.mistakes.messages import PAGE, command_message, prepared, python_message

SHOWN = PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def names():
    return prepared()


@pytest.fixture(autouse=True)
def nothing_written(tmp_path, monkeypatch):
    """An empty working folder, which stays empty."""
    place, home = tmp_path / "place", tmp_path / "home"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("QDM_HOME", str(home))
    monkeypatch.setenv("QDM_ROOT", str(home / "runs"))
    yield
    assert os.listdir(place) == []


def test_the_page_shows_as_many_as_there_are():
    assert len(PYTHON) >= 30
    assert len(COMMANDS) >= 30
    assert SHOWN.count("\n>>> ") == len(PYTHON)
    assert SHOWN.count("\n$ qdm ") == len(COMMANDS)
    assert SET_UP in SHOWN


OF_TYPER = "train --model eeqdm --epochs many --out new"


@pytest.mark.parametrize("line", PYTHON)
def test_a_mistake_in_python(line, names):
    message = python_message(line, names)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    assert f"```text\n>>> {line}\n{message}\n```" in SHOWN


@pytest.mark.parametrize("line", COMMANDS)
def test_a_mistake_on_the_command_line(line):
    message = command_message(line)
    assert message.startswith("error: ")
    if line == OF_TYPER:  # the rest are its words, which differ by version
        message = message.partition("': ")[0]
        assert f"```text\n$ qdm {line}\n{message}': " in SHOWN
        return
    assert f"```text\n$ qdm {line}\n{message}\n```" in SHOWN
