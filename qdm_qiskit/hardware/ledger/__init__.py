"""Journal of all that was planned, reserved, sent, found and spent, and its tables."""

__all__ = [
    "budget",
    "budgets",
    "change_log",
    "file_lock",
    "jobs",
    "ledger",
    "run_files",
    "runs",
    "schema",
    "sessions",
    "store",
    "table_access",
]
