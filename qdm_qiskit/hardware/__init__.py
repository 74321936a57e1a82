"""Runs on a QPU: planned, reserved in a budget, submitted once, collected and recorded.

Five rooms, each of which imports only those after it: ``run`` walks a plan from its first job to
its images, ``ibm`` is IBM Quantum as a provider and the only one that knows its client,
``providers`` is the contract of a source of counts, ``plan`` decides a run and its price before
anything is sent, ``ledger`` keeps what was reserved, sent and spent.
"""

__all__ = [
    "ibm",
    "ledger",
    "plan",
    "providers",
    "run",
]
