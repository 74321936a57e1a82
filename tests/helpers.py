"""What tests of more than one file share."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from qdm_qiskit.hardware.ledger.budget import BudgetState

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""

QDM = str(Path(sys.executable).with_name("qdm"))
"""The installed command."""

I2 = np.eye(2)
X = np.array([[0, 1], [1, 0]])
H = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
P0, P1 = np.diag([1, 0]), np.diag([0, 1])

NOBODY = 65534
"""The user and group that have no rights."""


def generator(seed: int = 0) -> torch.Generator:
    """A generator of its own, so that no test depends on the order of tests."""
    return torch.Generator().manual_seed(seed)


def tensor(values: Any) -> torch.Tensor:
    """A tensor in double precision."""
    return torch.tensor(values, dtype=torch.float64)


def images(*shape: int) -> torch.Tensor:
    """Random images with values from 0 to 1."""
    return torch.rand(*shape, generator=generator(1))


def random_states(
    count: int, width: int, seed: int = 0, dtype: torch.dtype = torch.complex128
) -> torch.Tensor:
    """Normalised states ``(count, width)``, uniformly drawn."""
    states = torch.randn(count, width, dtype=dtype, generator=generator(seed))
    return states / torch.linalg.vector_norm(states, dim=1, keepdim=True)


def state_images(count: int, size: int = 4, seed: int = 1) -> torch.Tensor:
    """Normalised states as complex images ``(count, 1, size, size)``."""
    x = torch.randn(count, 1, size, size, dtype=torch.complex64, generator=generator(seed))
    return x / torch.linalg.vector_norm(x.flatten(1), dim=1).reshape(-1, 1, 1, 1)


def random_angles(
    num_inputs: int, num_weights: int, batch: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs ``(batch, num_inputs)`` and weights ``(num_weights,)`` from -3 to 3."""
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.uniform(-3, 3, (batch, num_inputs)))
    return x, torch.tensor(rng.uniform(-3, 3, num_weights))


def on_wires(m: int, gates: dict[int, np.ndarray]) -> np.ndarray:
    """Kronecker product with wire 0 leftmost, which makes it the most significant bit."""
    return reduce(np.kron, [gates.get(wire, I2) for wire in range(m)])


def unitary(circuit: QuantumCircuit, values: np.ndarray) -> np.ndarray:
    """The matrix of a circuit with these values, as Qiskit sees it."""
    return np.asarray(Operator(circuit.assign_parameters(values)).data)


def paths_below(folder: Path) -> list[str]:
    """All paths below a folder, relative to it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def load_script(path: Path) -> ModuleType:
    """A Python file that is no module of a package, run once more."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    known = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses look for their module while they are made
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[path.stem]
        if known is not None:
            sys.modules[path.stem] = known
    return module


def write_run(folder: Path, model: str = "eeqdm", seed: int = 3, **settings: object) -> Path:
    """A run with random weights, as `qdm train` writes it: 2x2 images, 3 steps."""
    # Imported here, for most files that use this module need no models.
    from qdm_qiskit.files import write_json
    from qdm_qiskit.models import ModelChoice, build_model, save_model
    from qdm_qiskit.training import resolve_run

    small: dict[str, object] = {"image_size": 2, "num_steps": 3}
    if model not in ("classical_unet", "hybrid_unet"):
        # Angles of pi * tanh(w) all over the circle: no outcome is certain.
        small |= {"init_std": 1.0}
        if not model.startswith(("cacioppo", "qamp")):  # which have depths or repetitions
            small |= {"depth": 1}
    chosen = {**small, **settings}
    config = resolve_run(model, {k: v for k, v in chosen.items() if v is not None})
    choice = ModelChoice(
        model=config.model, preset=None, config=config.model_options, source="test"
    )
    denoiser = build_model(choice, generator=generator(seed))
    save_model(denoiser, folder / "checkpoints" / "step-00000001")
    write_json(folder / "checkpoints" / "step-00000001" / "state.json", {})
    write_json(folder / "config.json", config.to_dict())
    return folder


def images_of(folder: Path) -> np.ndarray:
    """The images that a hardware run left in its folder."""
    with np.load(folder / "images.npz") as arrays:
        found: np.ndarray = arrays["images"]
    return found


def budget(seconds: float, shots: int | None = None) -> BudgetState:
    """A budget ``b`` of which nothing is spent."""
    from qdm_qiskit.hardware.ledger.budget import BudgetState

    return BudgetState(
        name="b",
        limit_seconds=seconds,
        limit_shots=shots,
        period_days=None,
        window="rolling",
        period_start=None,
        reserved_seconds=0.0,
        reserved_shots=0,
        spent_seconds=0.0,
        spent_shots=0,
    )


@contextmanager
def read_only_copy(folder: Path) -> Iterator[Path]:
    """A copy of a folder without any permission to write, seen by a user who has no other rights.

    Whoever runs the tests as root would write all the same; so the effective user is changed, as
    ``su`` does. What is imported must have been imported before, and the copy lies directly in the
    system's folder for temporary files, since pytest's own is closed to other users.
    """
    outer = Path(tempfile.mkdtemp(prefix="qdm-read-only-"))
    copy = outer / folder.name
    shutil.copytree(folder, copy)
    for each in (outer, *outer.rglob("*")):
        each.chmod(0o555 if each.is_dir() else 0o444)
    am_root = os.geteuid() == 0
    try:
        if am_root:
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
        yield copy
    finally:
        if am_root:
            os.seteuid(0)
            os.setegid(0)
        for each in (outer, *outer.rglob("*")):
            each.chmod(0o755)
        shutil.rmtree(outer)


def leave_package(folder: Path, name: str, points: str, code: str = "") -> None:
    """Leave a package of version 1.5 with entry points in a folder, as pip does.

    For tests that put the folder on the path, and restore `doors._outside` and `sys.modules`.
    """
    from qdm_qiskit import doors

    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(points)
    doors._outside.cache_clear()
