"""What a user does, one function each: train, sample, evaluate, cost, plan, submit, resume, replay.

::

    training.py     train a model, go on with a training run
    sampling.py     sample from a trained run, on any target that costs nothing
    evaluation.py   measure samples, beside real images and noise
    costs.py        what a circuit costs on a device
    qnn.py          run a QNN of qiskit-machine-learning, on any target that costs nothing
    hardware.py     plan a hardware run, send it, find it again; budgets

The command line calls these functions too. ``import qdm_qiskit`` shows them without their room:
``qdm_qiskit.train``.
"""

from .costs import cost
from .evaluation import Evaluation, evaluate
from .hardware import HardwareRun, budget, plan, replay, resume, set_budget, submit
from .qnn import QnnRun, run_qnn
from .sampling import sample
from .training import continue_training, train

__all__ = [
    "Evaluation",
    "HardwareRun",
    "QnnRun",
    "budget",
    "continue_training",
    "cost",
    "evaluate",
    "plan",
    "replay",
    "resume",
    "run_qnn",
    "sample",
    "set_budget",
    "submit",
    "train",
]
