"""A run from its plan to its images: submitted, resumed, cancelled, replayed."""

__all__ = [
    "answers",
    "calibrations",
    "call_chain",
    "call_results",
    "commands",
    "driver",
    "job_requests",
    "manifest",
    "parts",
    "replay",
    "reservations",
    "reverse_chain",
    "verify",
]
