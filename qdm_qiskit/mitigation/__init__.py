"""Error mitigation: for each technique its circuits and the correction from their results.

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
