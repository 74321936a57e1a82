"""What runs in a storm: kinds of work, each planned once and copied for every round."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdm_qiskit.hardware.ibm.account import connect
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.tasks import plan_qnn
from tests.helpers import write_run
from tests.runtime.conftest import BACKEND
from tests.state_runs import write_state_run
from tests.tasks.test_qnn import W, X, estimator, sampler

__all__ = ["MODES", "WORKS", "Kind", "Plans", "Work"]

MODES = ("auto", "job", "batch", "session")
SMALL_QAMP = {"num_steps": 1, "image_size": 4, "width": 8, "num_qubits": 2}


@dataclass(frozen=True)
class Work:
    """A trained model, or a QNN, and the options of its plans."""

    write: Callable[[Path], Path] | None
    """Writes the trained run; None for a QNN."""
    options: Mapping[str, Any] = field(default_factory=dict)
    question: Callable[[], Any] | None = None
    """The QNN."""


WORKS: dict[str, Work] = {
    "one circuit": Work(lambda f: write_run(f, num_steps=2), {"num_images": 2}),
    "split": Work(lambda f: write_run(f, num_steps=1), {"num_images": 6, "max_job_circuits": 4}),
    "refit": Work(lambda f: write_run(f, num_steps=1), {"refit": "12x128"}),
    "tiles": Work(lambda f: write_run(f, num_steps=1), {"num_images": 3, "tiles": "2"}),
    "training": Work(lambda f: write_run(f), {"train": 2, "shots": 32}),
    "qu_net": Work(lambda f: write_run(f, "qu_net", levels=2, num_steps=1)),
    "qamp_december": Work(lambda f: write_run(f, "qamp_december", **SMALL_QAMP, depths=(2, 2, 2))),
    "qamp_january": Work(
        lambda f: write_run(f, "qamp_january", **SMALL_QAMP, reps=1, num_observables=3)
    ),
    "cacioppo": Work(lambda f: write_state_run(f, "cacioppo"), {"shots": 500}),
    "cacioppo, step by step": Work(
        lambda f: write_state_run(f, "cacioppo"), {"chain": "steps", "num_images": 1}
    ),
    "estimator qnn": Work(None, question=estimator),
    "sampler qnn": Work(None, question=sampler),
}


@dataclass(frozen=True)
class Kind:
    """A work, in a mode, with M3 or without."""

    work: str
    mode: str
    mitigation: str

    def __str__(self) -> str:
        return f"{self.work} {self.mode} {self.mitigation}"


class Plans:
    """Plans by kind; the environment leads the client to a server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._trained: dict[str, Path] = {}
        self._made: dict[Kind, Path] = {}
        self._backend: Any = None

    def copy(self, kind: Kind, root: Path) -> RunPlan:
        """Copy the plan of this kind into a root; it is made the first time."""
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        found = self._made[kind]
        return read_plan(shutil.copytree(found, root / found.name))

    def _make(self, kind: Kind) -> Path:
        work, root = WORKS[kind.work], self._folder / "plans"
        options: dict[str, Any] = {
            "budget": "qpu",
            "shots": 64,
            "calibration_shots": 256,
            "layout_trials": 1,
            "mode": kind.mode,
            "mitigation": kind.mitigation,
        }
        if work.question is not None:
            root.mkdir(exist_ok=True)
            ledger = Ledger.open(root)
            ledger.set_budget("qpu", seconds=600.0)
            ledger.close()
            target = f"ibm:{BACKEND}"
            return plan_qnn(work.question(), X, W, target=target, root=root, **options).folder
        assert work.write is not None
        if kind.work not in self._trained:
            name = kind.work.replace(" ", "-")
            self._trained[kind.work] = work.write(self._folder / "trained" / name)
        if self._backend is None:
            self._backend = connect().backend(BACKEND)
        options = {"targets": (f"ibm:{BACKEND}",), "num_images": 1, **options, **work.options}
        trained = self._trained[kind.work]
        return make_plan(trained, PlanConfig(**options), root=root, backend=self._backend).folder
