"""What a result is worth: distances, fidelities, and how much of a signal noise has left."""

__all__ = [
    "bootstrap",
    "distances",
    "distributions",
    "domain_classifier",
    "image_checks",
    "image_metrics",
    "inception",
    "ssim",
]
