"""One function for each user's task: train, sample, evaluate, cost, plan, submit, resume, replay.

::

    training.py     train a model, go on with a training run
    amortising.py   make a loader's angles quick to find
    sweeping.py     train many runs that differ in options, on many processes or machines
    sampling.py     sample from a trained run, on any target that costs nothing
    evaluation.py   measure samples, beside real images and noise
    exporting.py    write a run's circuits for other tools
    ladders.py      show what each part of a device's noise costs, and what remedies give back
    sharing.py      write the card of a run, put its model on a hub, take one from there
    systems.py      tell what runs take of a quantum system
    costs.py        count the cost of a circuit on a device
    comparing.py    compare a model on many devices, optimization levels and loaders
    qnn.py          run a QNN of qiskit-machine-learning, on any target
    qnn_plans.py    plan such a run on hardware
    reproducing.py  get the figures of papers again, and compare them
    kernels.py      measure a quantum kernel, on any target
    chip_tiles.py   find places of a device that run a circuit at once
    hardware.py     plan a hardware run, send it, go on with it
    hardware_run.py a hardware run in its folder
    fleets.py       the same of a run whose images several devices share
    recorded_runs.py  find the runs of a root folder, and their states
    budgets.py      set budgets, and see what is left of them
    privacy.py      attack a run's training rows, and train privately
    listing.py      list the named parts and the packages that bring them

The command line calls these functions too. ``import qdm_qiskit`` shows them without this package's
name: ``qdm_qiskit.train``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .amortising import amortise
    from .budgets import budget, set_budget
    from .chip_tiles import tiles
    from .comparing import Comparison, compare
    from .competing import Competition, compete
    from .costs import cost
    from .evaluation import Evaluation, evaluate
    from .exporting import Export, export
    from .fleets import Fleet, plan_fleet
    from .hardware import plan, replay, resume, submit
    from .hardware_run import HardwareRun
    from .kernels import KernelRun, run_kernel
    from .ladders import ladder
    from .listing import NamedPart, parts
    from .qnn import QnnRun, run_qnn
    from .qnn_plans import plan_qnn
    from .refitting import Refitted, refit
    from .reproducing import cards, reproduce
    from .restoring import Restoration, restore
    from .sampling import sample
    from .sharing import Shared, pull, push_to_hub, write_card
    from .sweeping import continue_sweep, sweep
    from .systems import system_metrics
    from .training import continue_training, train

_HOMES = {
    "amortise": "amortising",
    "Comparison": "comparing",
    "compare": "comparing",
    "Competition": "competing",
    "compete": "competing",
    "cost": "costs",
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "Export": "exporting",
    "export": "exporting",
    "Fleet": "fleets",
    "plan_fleet": "fleets",
    "HardwareRun": "hardware_run",
    "budget": "budgets",
    "plan": "hardware",
    "replay": "hardware",
    "resume": "hardware",
    "set_budget": "budgets",
    "submit": "hardware",
    "KernelRun": "kernels",
    "run_kernel": "kernels",
    "ladder": "ladders",
    "NamedPart": "listing",
    "parts": "listing",
    "QnnRun": "qnn",
    "plan_qnn": "qnn_plans",
    "run_qnn": "qnn",
    "Refitted": "refitting",
    "refit": "refitting",
    "Restoration": "restoring",
    "restore": "restoring",
    "cards": "reproducing",
    "reproduce": "reproducing",
    "sample": "sampling",
    "Shared": "sharing",
    "pull": "sharing",
    "push_to_hub": "sharing",
    "write_card": "sharing",
    "continue_sweep": "sweeping",
    "sweep": "sweeping",
    "system_metrics": "systems",
    "tiles": "chip_tiles",
    "continue_training": "training",
    "train": "training",
}
"""Names and their modules: sampling need not wait for the parts that know IBM's service."""

__all__ = [
    "Comparison",
    "Competition",
    "Evaluation",
    "Export",
    "Fleet",
    "HardwareRun",
    "KernelRun",
    "NamedPart",
    "QnnRun",
    "Refitted",
    "Restoration",
    "Shared",
    "amortise",
    "budget",
    "cards",
    "compare",
    "compete",
    "continue_sweep",
    "continue_training",
    "cost",
    "evaluate",
    "export",
    "ladder",
    "parts",
    "plan",
    "plan_fleet",
    "plan_qnn",
    "pull",
    "push_to_hub",
    "refit",
    "replay",
    "reproduce",
    "restore",
    "resume",
    "run_kernel",
    "run_qnn",
    "sample",
    "set_budget",
    "submit",
    "sweep",
    "system_metrics",
    "tiles",
    "train",
    "write_card",
]


if not TYPE_CHECKING:  # else type checkers accept any name of the module

    def __getattr__(name: str) -> object:
        """Import a name of :data:`_HOMES` at its first use."""
        if name not in _HOMES:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        found = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return list(__all__)
