"""Types of the installed package, as a type checker sees them from a folder that is not the clone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import qdm_qiskit

USER = Path(__file__).resolve().parents[1] / "user_code.py"


@pytest.mark.slow
def test_mypy_finds_no_fault_in_a_users_code_but_those_that_are_there(tmp_path):
    """``--strict`` refuses an ignore without a fault: names that are wrong must be seen as wrong."""
    assert (Path(qdm_qiskit.__file__).parent / "py.typed").is_file()
    (tmp_path / "user_code.py").write_text(USER.read_text())
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "user_code.py"],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
