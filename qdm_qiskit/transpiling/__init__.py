"""Way of a logical circuit to a device: pass managers, layout trials, and the cost of the result.

``passes`` transpiles, ``split`` cuts a full circuit into loader and denoiser, ``cost`` counts,
``qubit_times`` says how long qubits work and wait.
"""

__all__ = [
    "channels",
    "cost",
    "passes",
    "qubit_times",
    "readout",
    "relabel",
    "roots",
    "split",
    "working",
]
