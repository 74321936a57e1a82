"""Providers, which run the circuits of jobs: the contract, the care around it, this machine."""

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
