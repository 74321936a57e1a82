from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from qdm_qiskit.cli.data import app
from qdm_qiskit.data import DATASETS, STATE_ENSEMBLES
from qdm_qiskit.errors import InvalidOption, OutputNotWritable, UnknownName


def run(*arguments: str):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_list_names_every_dataset():
    result = run("list")
    assert result.exit_code == 0
    for name in (*DATASETS, *STATE_ENSEMBLES, "npz:PATH"):
        assert name in result.output


def test_list_as_json():
    rows = json.loads(run("list", "--json").stdout)
    assert [row["name"] for row in rows] == list(DATASETS)
    assert rows[0]["classes"] == [str(digit) for digit in range(10)]
    assert rows[0]["count"] == 1797


def test_show_writes_nothing_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("show", "digits", "--class", "3", "--class", "5", "--count", "10")
    assert "images   10 of 8 x 8 x 1, seed 0" in result.output
    assert re.search(r"labels   3 \(\d+\), 5 \(\d+\)", result.output)
    assert list(tmp_path.iterdir()) == []


def test_show_writes_a_grid(tmp_path):
    path = tmp_path / "grid.png"
    arguments = "show", "digits", "--image-size", "4", "--count", "9", "--channels", "3"
    assert str(path) in run(*arguments, "--out", str(path)).output.replace("\n", "")
    with Image.open(path) as picture:
        assert (picture.mode, picture.size) == ("RGB", (14 * 8, 14 * 8))
    with pytest.raises(OutputNotWritable, match="--force"):
        run(*arguments, "--out", str(path))
    assert run(*arguments, "--out", str(path), "--force").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("show", "digit"), UnknownName),
        (("show", "digits", "--image-size", "1"), InvalidOption),
        (("show", "digits", "--count", "5000"), InvalidOption),
    ],
)
def test_errors_reach_the_caller(arguments, error):
    with pytest.raises(error):
        run(*arguments)


def test_every_command_explains_itself_with_an_example():
    for command in app.registered_commands:
        assert "Example:" in (command.callback.__doc__ or "")
        assert f"qdm data {command.name}" in command.callback.__doc__


def test_the_commands_start_without_the_heavy_packages():
    heavy = "numpy", "torch", "sklearn", "PIL", "qiskit"
    code = f"import sys, qdm_qiskit.cli.data; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
