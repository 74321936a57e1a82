"""Targets of training: what answers a model's circuits, with gradients."""

__all__ = [
    "called",
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
