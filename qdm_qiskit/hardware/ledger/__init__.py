"""Journal of all that was planned, reserved, sent, found and spent, and its tables."""

__all__ = [
    "budget",
    "budgets",
    "change_log",
    "corrections",
    "file_lock",
    "jobs",
    "ledger",
    "run_files",
    "runs",
    "schema",
    "sessions",
    "store",
    "stored_files",
    "table_access",
]
