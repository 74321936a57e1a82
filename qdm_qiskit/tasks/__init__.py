"""What a user does, one function each: train, sample, evaluate, cost, plan, submit, resume, replay.

::

    training.py     train a model, go on with a training run
    sampling.py     sample from a trained run, on any target that costs nothing
    evaluation.py   measure samples, beside real images and noise
    costs.py        what a circuit costs on a device
    hardware.py     plan a hardware run, send it, find it again; budgets
    listing.py      which parts there are by name, and who brings them

The command line calls these functions too. ``import qdm_qiskit`` shows them without their room:
``qdm_qiskit.train``.
"""

from .costs import cost
from .evaluation import Evaluation, evaluate
from .hardware import HardwareRun, budget, plan, replay, resume, set_budget, submit
from .listing import NamedPart, parts
from .sampling import sample
from .training import continue_training, train

__all__ = [
    "Evaluation",
    "HardwareRun",
    "NamedPart",
    "budget",
    "continue_training",
    "cost",
    "evaluate",
    "parts",
    "plan",
    "replay",
    "resume",
    "sample",
    "set_budget",
    "submit",
    "train",
]
