"""The `qdm` command: one file a command group."""

__all__ = [
    "budget",
    "circuit_analysis",
    "circuit_options",
    "circuits",
    "data",
    "evaluate",
    "main",
    "models",
    "pictures",
    "report",
    "reproduce",
    "run",
    "run_names",
    "run_plan",
    "run_record",
    "runs",
    "sample",
    "sweep",
    "train",
]
