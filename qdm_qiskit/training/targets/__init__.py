"""Targets of training: what answers a model's circuits, with gradients."""

__all__ = [
    "choice",
    "device",
    "draws",
    "joints",
    "loading",
    "noise",
    "places",
    "reading",
    "shifts",
    "target",
]
