"""The message of each mistake, and the page that shows them: ``python -m tests.mistakes.messages``."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import Any

from qdm_qiskit.errors import QdmError
from tests.mistakes.cases import COMMANDS, PYTHON, SET_UP

__all__ = ["PAGE", "command_message", "page", "prepared", "python_message"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mistakes.md"
HEAD = """\
# Mistakes, and what they are told

Every mistake that we foresaw ends in one line: the rule, what was received, the way out. From Python
it is an error of `qdm_qiskit.errors`, which is a standard one too (`InvalidArgument` is a `TypeError`);
from the command line it is exit code 2 and a line that begins with `error:`. Nothing has been written
then. The page is made by `python -m tests.mistakes.messages`, and a test makes each of these mistakes.

## From Python

After these lines:

"""


def prepared() -> dict[str, Any]:
    """Return the names that the lines of :data:`PYTHON` use."""
    names: dict[str, Any] = {}
    exec(SET_UP, names)  # noqa: S102 (a text of the tests)
    return names


def python_message(line: str, names: dict[str, Any]) -> str:
    """Return an error's name and message, without its list of all names."""
    try:
        exec(line, dict(names))  # noqa: S102 (a text of the tests)
    except QdmError as error:
        return f"{type(error).__name__}: {_short(str(error))}"
    raise AssertionError(f"{line} raises nothing")


def command_message(line: str) -> str:
    """Return what a command prints on standard error; exit code and silence are checked."""
    from qdm_qiskit.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(line.split())
        except SystemExit as left:
            code = left.code
    assert code == 2, (line, code, err.getvalue())
    assert out.getvalue() == "", line
    assert err.getvalue().count("\n") == 1, err.getvalue()
    return _short(err.getvalue().rstrip("\n"))


def _short(message: str) -> str:
    """Cut lists of what there is, which grow; name folders of the test in words."""
    message = message.replace(os.environ["QDM_ROOT"], "ROOT").replace(os.getcwd(), "FOLDER")
    for begin, end in (("there are: ", None), ("There are: ", None), (" is one of ", "; got ")):
        head, found, tail = message.partition(begin)
        listed, rest, after = tail.partition(end) if end else (tail, "", "")
        if found and len(listed) > 90:
            message = f"{head}{begin}...{rest}{after}"
    return message


def page() -> str:
    """Return the page."""
    names = prepared()
    parts = [HEAD, "```python\n", SET_UP, "```\n\n"]
    for line in PYTHON:
        parts.append(f"```text\n>>> {line}\n{python_message(line, names)}\n```\n\n")
    parts.append("## From the command line\n\n")
    for line in COMMANDS:
        parts.append(f"```text\n$ qdm {line}\n{command_message(line)}\n```\n\n")
    return "".join(parts).rstrip("\n") + "\n"


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["QDM_HOME"] = folder
        os.environ["QDM_ROOT"] = f"{folder}/runs"
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
