"""Do QAMP's layers have the expressibility and entanglement that its authors published?

    python benchmarks/qamp_metrics.py [--repeats N]

Prints the table of docs/analysis.md: divergence from Haar with the authors' histogram and with the
exact one, and Meyer-Wallach, for 1 to 5 layers and both forms of PhaseMixing.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from qdm_qiskit.analysis import Estimate, entangling_capability, expressibility
from qdm_qiskit.circuits import qamp_layers
from qdm_qiskit.rng import stream


def authors_offset(histogram: np.ndarray, exact: np.ndarray) -> float:
    """What the divergence gains if Haar's bins are density at the centre times width."""
    bins = len(exact)
    centred = 15 * (1 - (np.arange(bins) + 0.5) / bins) ** 14 / bins
    seen = histogram > 0
    return float(np.sum(histogram[seen] * np.log(exact[seen] / centred[seen])))


def shown(estimate: Estimate, digits: int, offset: float = 0.0) -> str:
    half = (estimate.high - estimate.low) / 2
    return f"{estimate.value + offset:.{digits}f} ± {half:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    repeats = parser.parse_args().repeats
    print("| PhaseMixing | L | KL, authors' bins | KL, exact bins | Haar states | MW |")
    print("|---|---|---|---|---|---|")
    for mixing in ("rx", "qft"):
        for depth in range(1, 6):
            circuit = qamp_layers(4, depth, mixing=mixing, closed=False)
            rng = stream(0, "evaluation", depth)
            start = math.pi / 4
            found = expressibility(circuit, repeats=repeats, generator=rng, start_angle=start)
            q = entangling_capability(
                circuit, samples=300 * repeats, generator=rng, start_angle=start
            )
            offset = authors_offset(found.histogram, found.haar_histogram)
            cells = [
                mixing,
                str(depth),
                shown(found.divergence, 4, offset),
                shown(found.divergence, 5),
                shown(found.haar, 5),
                shown(q, 4),
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
