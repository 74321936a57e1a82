"""Messages name arguments; the command line adds the flags of the command that was typed."""

from __future__ import annotations

import pytest
import typer

from qdm_qiskit.cli.flags import with_flags
from qdm_qiskit.cli.main import app, main

COMMAND = typer.main.get_command(app)


@pytest.mark.parametrize(
    ("typed", "message", "flags"),
    [
        ("run plan runs/first", "A job has 9; lower shots or num_images.", "--num-images, --shots"),
        ("run plan runs/first", "It takes no QPU seconds; give shots in place of seconds.", None),
        ("sample runs/first", "shots must be at least 1, got 0.", "--shots"),
        ("run plan runs/first", "Rule 'precision' needs precision, got None.", "--precision"),
        ("sample runs/first", "raise --shots above 5.", ""),
        ("train", "It has finite shots; set train_shots, for example 1024.", "--train-shots"),
        ("train", "It is guided; set num_classes too.", ""),
        ("sample runs/first", "The data are not there.", ""),
        ("models list", "lower shots.", ""),
        ("nothing like it", "lower shots.", ""),
        (
            "run plan --schedule best",
            "schedule is one of uniform, got 'best'.",
            "--shot-allocation",
        ),
    ],
)
def test_flags_are_those_of_the_command(typed, message, flags):
    found = with_flags(message, COMMAND, typed.split())
    if flags is None:
        flags = "--shots, --seconds"
    assert found == (f"{message} ({flags})" if flags else message)


def test_a_mistake_on_the_command_line_shows_its_flag(capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["sample", str(tmp_path), "--shots", "0", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "(--shots)" in capsys.readouterr().err
