"""Providers run the circuits of jobs: the contract, the care around it, and this machine as one."""

__all__ = [
    "base",
    "collector",
    "context",
    "counts",
    "door",
    "failures",
    "jobs",
    "local",
    "patient",
    "requests",
    "sender",
    "settings",
    "settlement",
]
