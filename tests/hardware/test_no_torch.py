"""Hardware and its reports are imported without torch."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import qdm_qiskit.hardware

MODULES = [
    each.name.removeprefix("qdm_qiskit.")
    for each in pkgutil.walk_packages(qdm_qiskit.hardware.__path__, "qdm_qiskit.hardware.")
]
PAGES = ["evaluation.hardware_run", "reports.hardware_plan", "reports.hardware_render"]


@pytest.mark.parametrize("names", [MODULES, PAGES], ids=["hardware", "reports"])
def test_modules_need_no_torch(names):
    assert len(names) >= 3
    code = f"import sys, {', '.join(f'qdm_qiskit.{name}' for name in names)}\n"
    code += "sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
