"""A run from its plan to its images: submitted, resumed, cancelled, replayed."""

__all__ = [
    "calibrations",
    "commands",
    "driver",
    "job_requests",
    "manifest",
    "replay",
    "reverse_chain",
]
