"""What a result is worth: distances, fidelities, and how much of a signal noise has left."""

__all__ = [
    "bootstrap",
    "classes",
    "distances",
    "domain_classifier",
    "evaluate",
    "hardware_run",
    "image_checks",
    "image_metrics",
    "inception",
    "paths",
    "run",
    "ssim",
    "states",
    "subjects",
    "transpile",
    "transpile_card",
]
