"""What may import what."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

LIGHT = ("circuits", "execution", "transpiling", "mitigation")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("room", LIGHT)
def test_rooms_for_hardware_need_no_torch(room):
    done = python(f"import sys, qdm_qiskit.{room}; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr or f"qdm_qiskit.{room} imports torch"


def test_this_check_can_fail():
    assert python("import sys, qdm_qiskit.engine; sys.exit('torch' in sys.modules)").returncode == 1


@pytest.mark.parametrize(
    "room", ["circuits", "engine", "layers", "diffusion", "models", "mitigation"]
)
def test_only_execution_and_hardware_know_ibms_client(room):
    done = python(f"import sys, qdm_qiskit.{room}; sys.exit('qiskit_ibm_runtime' in sys.modules)")
    assert done.returncode == 0, done.stderr or f"qdm_qiskit.{room} imports qiskit_ibm_runtime"


def test_direction_of_imports():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
