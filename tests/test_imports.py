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


OTHER_ROOMS = ("circuits", "engine", "layers", "diffusion", "mitigation")


@pytest.mark.slow
def test_this_check_can_fail():
    assert python("import sys, qdm_qiskit.engine; sys.exit('torch' in sys.modules)").returncode == 1


@pytest.mark.parametrize(
    "room",
    # `models` imports the others.
    ["models", *(pytest.param(each, marks=pytest.mark.slow) for each in OTHER_ROOMS)],
)
def test_only_execution_and_hardware_know_ibms_client(room):
    done = python(f"import sys, qdm_qiskit.{room}; sys.exit('qiskit_ibm_runtime' in sys.modules)")
    assert done.returncode == 0, done.stderr or f"qdm_qiskit.{room} imports qiskit_ibm_runtime"


def test_direction_of_imports():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


UNUSED = (
    *("accelerate", "tensorboard.compat", "torch._dynamo", "torch.utils.tensorboard", "sympy"),
    *("qiskit_machine_learning", "scipy.special", "scipy.stats", "scipy.sparse", "scipy.optimize"),
    *(
        "sklearn.utils",
        "matplotlib",
        "diffusers",
        "qiskit_aer",
        "qiskit_ibm_runtime",
        "distributed",
    ),
    "qdm_qiskit.hardware",
)
"""Modules that one process on a CPU does not need for a step; with them a start took twice as long."""


def test_sampling_waits_for_nothing_that_it_does_not_use():
    code = "import sys, qdm_qiskit.tasks as t; t.sample; print([n for n in {} if n in sys.modules])"
    done = python(code.format(UNUSED))
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_training_imports_nothing_that_its_first_step_does_not_use(tmp_path):
    options = "image_size=2,depth=1,num_steps=2,train_count=8,epochs=1"
    code = (
        "import os, sys, qdm_qiskit as qdm\n"
        "def progress(message):\n"
        "    if type(message).__name__ == 'StepDone':\n"
        f"        print([n for n in {UNUSED!r} if n in sys.modules], flush=True)\n"
        "        os._exit(0)\n"
        f"qdm.train('eeqdm', {str(tmp_path / 'run')!r}, progress=progress, {options})"
    )
    done = python(code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.slow
def test_every_task_is_found_when_it_is_asked_for():
    code = "import qdm_qiskit.tasks as t; [getattr(t, n) for n in t.__all__]; t.nothing"
    assert "module 'qdm_qiskit.tasks' has no attribute 'nothing'" in python(code).stderr
