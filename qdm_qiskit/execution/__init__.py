"""Targets of circuits: target strings, Aer, device snapshots and IBM's local mode.

Nothing in this folder can spend QPU time. ``targets`` parses the target strings, ``snapshots``
loads device snapshots, ``factory.make_runner`` turns a target into a ``runner.CircuitRunner``.
"""

__all__ = [
    "aer",
    "aer_circuits",
    "aer_primitives",
    "counts",
    "delays",
    "factory",
    "independent_shots",
    "local",
    "noise_coverage",
    "noisy",
    "region",
    "runner",
    "snapshots",
    "targets",
]
