"""docs/survey.md claims nothing that is not there.

Commands parse, tests and links exist, and numbers stand in the section that they link to.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from qdm_qiskit.cli.main import app
from qdm_qiskit.cli.sweep import parse_lists
from qdm_qiskit.errors import QdmError
from qdm_qiskit.evaluation.ladder_rungs import RUNGS
from qdm_qiskit.evaluation.metrics import find_metrics
from qdm_qiskit.hardware.plan.image_split import checked_split
from qdm_qiskit.hardware.plan.routing import policy_record
from qdm_qiskit.options import parse_assignments
from qdm_qiskit.reproduction import find_card
from qdm_qiskit.sampling.schedulers import SCHEDULERS
from qdm_qiskit.sweeps.search import plan_search
from qdm_qiskit.training import resolve_run
from tests.helpers import ROOT

PAGE = ROOT / "docs" / "survey.md"
HEAD = ["the survey names", "here", "command", "test", "figure"]
USAGE = typer.BadParameter.__mro__[1]
"""Mistakes in a command line; typer keeps the class that it takes from click to itself."""
NUMBER = re.compile(r"[-+]?[\d.,]*\d")


def cells(line: str) -> list[str]:
    return [each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]]


def tables() -> list[list[list[str]]]:
    """Rows of each table with the page's columns, the head left out."""
    text = re.sub(r"<!--.*?-->", "", PAGE.read_text(), flags=re.DOTALL)
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [[cells(line) for line in each.splitlines()] for each in found]


ROWS = {row[0]: row for table in tables() for row in table[2:]}


def test_each_table_has_the_columns_and_no_empty_cell():
    assert len(tables()) == 6
    for head, rule, *rows in tables():
        assert head == HEAD
        assert set("".join(rule)) == {"-"}
        assert rows
        for row in rows:
            assert len(row) == len(HEAD), row
            assert all(row), row
    assert len(ROWS) == sum(len(each) - 2 for each in tables()), "two rows have one name"
    assert len(ROWS) > 50


@pytest.mark.parametrize("name", ROWS)
def test_a_command_parses(name: str) -> None:
    command = re.fullmatch(r"`([^`]+)`", ROWS[name][2])
    assert command is not None, ROWS[name][2]
    words = shlex.split(command[1])
    if words[0] == "python":
        script = ROOT / words[1]
        assert script.is_file()
        flags = [word for word in words[2:] if word.startswith("--")]
        assert all(f'"{flag}"' in script.read_text() for flag in flags)
        return
    assert words[0] == "qdm"
    found, values = parsed(typer.main.get_command(app), words[1:])
    check_names(found, values)


def parsed(command: Any, words: list[str]) -> tuple[str, dict]:
    """Return the path of the command and its parameters; what is not known raises."""
    path: list[str] = []
    while hasattr(command, "commands"):
        path.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    context = command.make_context(path[-1], list(words))
    return " ".join(path), context.params


def check_names(path: str, values: dict) -> None:
    """Options, metrics and cards are names to click; what they name has to be there too."""
    if path in ("train", "sweep", "privacy train"):
        options = parse_assignments(values.get("settings") or [])
        if dataset := values.get("dataset"):
            options["dataset"] = dataset
        assert resolve_run(values.get("model") or values.get("preset"), options)
    if path == "sweep" and (method := values.get("search")):
        draws = parse_lists(values["draw"])
        assert plan_search(values["model"], {}, draw=draws, trials=values["trials"], method=method)
    if path == "run plan":
        checked_split(values["split"] or "auto", len(values["target"]), values["num_images"])
        if routing := values.get("routing"):
            policy_record(routing)
    if path in ("run plan", "sample") and (sampler := values.get("sampler")):
        assert sampler in SCHEDULERS
    if path == "ladder":
        assert set(values["rung"]) <= set(RUNGS)
    if path == "evaluate" and (names := values.get("metric") or values.get("metrics")):
        assert len(find_metrics(names)) >= len(names)
    if path == "reproduce":
        assert find_card(values["card"]).computes


def test_a_wrong_command_does_not_parse():
    root = typer.main.get_command(app)
    for words in (["train", "--presets", "x"], ["sample"], ["run", "verify", "a", "--no-such"]):
        with pytest.raises(USAGE):
            parsed(root, words)
    with pytest.raises(QdmError):
        check_names(
            *parsed(root, shlex.split("train --preset line-digits --set nothing=1 --out r"))
        )
    for words in (
        "evaluate RUN --metric nothing",
        "run plan RUN --target local:a --target local:b --split cost",
        "run plan RUN --target local:a --routing limits:nothing=1",
        "sweep --search qaoa --trials 4 --model eeqdm --draw nothing=1,2 --out found",
    ):
        with pytest.raises(QdmError):
            check_names(*parsed(root, shlex.split(words)))


@pytest.mark.parametrize("name", ROWS)
def test_a_test_is_there(name: str) -> None:
    places = re.findall(r"`([^`]+)`", ROWS[name][3])
    assert places
    for each in places:
        file, _, function = each.partition("::")
        assert file.startswith("tests/")
        assert function in ("", *functions(ROOT / file))
        assert functions(ROOT / file)


@cache
def functions(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    return [
        each.name
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    ]


@pytest.mark.parametrize("name", ROWS)
def test_a_figure_is_measured_where_it_says(name: str) -> None:
    figure = ROWS[name][4]
    links = re.findall(r"\]\(([^)]+)\)", figure)
    assert links, figure
    read = []
    for link in links:
        file, _, anchor = link.partition("#")
        assert (PAGE.parent / file).is_file(), link
        if file.endswith(".md"):
            read.append(section(PAGE.parent / file, anchor))
    assert read, figure
    told = re.sub(r"\]\([^)]*\)|`[^`]*`", "", figure)
    known = {each for text in read for each in NUMBER.findall(text.replace("\N{MINUS SIGN}", "-"))}
    missing = [each for each in NUMBER.findall(told) if not in_text(each, known)]
    assert not missing, f"{missing} of '{figure}' do not stand at {links}"
    assert NUMBER.search(told) or "![" in figure, "a figure is a number or a picture"


def in_text(number: str, known: set[str]) -> bool:
    plain = number.rstrip(".,").lstrip("+")
    return any(each.rstrip(".,").lstrip("+") == plain for each in known)


def section(path: Path, anchor: str) -> str:
    """Return the text of a section with its subsections, the whole page without an anchor."""
    lines = path.read_text().splitlines()
    if not anchor:
        return "\n".join(lines)
    heads = {
        number: (len(found[1]), slug(found[2]))
        for number, line in enumerate(lines)
        if (found := re.match(r"(#+) (.*)", line))
    }
    begin = [number for number, (_, name) in heads.items() if name == anchor]
    assert len(begin) == 1, (
        f"{path.name} has no section #{anchor}, but {[n for _, n in heads.values()]}"
    )
    level = heads[begin[0]][0]
    end = [n for n, (depth, _) in heads.items() if n > begin[0] and depth <= level]
    return "\n".join(lines[begin[0] : min(end, default=len(lines))])


def slug(head: str) -> str:
    """Return the anchor that the site gives a heading (GitHub's rule, which MyST has)."""
    kept = re.sub(r"[^\w\- ]", "", head.lower())
    return kept.replace(" ", "-")


def test_what_is_not_here_is_said():
    text = PAGE.read_text()
    assert "## Not here" in text
    assert "#not-here" in text
    assert inspect.cleandoc(text.partition("## Not here")[2]).count("* **") >= 7
