"""Way of a logical circuit to a device: pass managers, layout trials, and the cost of the result.

``passes`` transpiles, ``split`` cuts a full circuit into loader and denoiser, ``cost`` counts.
"""

__all__ = [
    "channels",
    "cost",
    "passes",
    "readout",
    "relabel",
    "roots",
    "split",
    "working",
]
