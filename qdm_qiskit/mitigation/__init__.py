"""Error mitigation: for each technique the circuits it needs and what their results change.

Both halves are pure; the circuits in between go through any runner, or through a paid submission.
"""

__all__ = [
    "checks",
    "expectation",
    "m3",
    "m3_of_0_1",
    "readout",
    "simplex",
]
