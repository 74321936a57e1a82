"""Which search finds good options of a run in the fewest trials: QAOA, what it stands on, or chance?

All 64 points of three options of EEQDM on 4 x 4 digits are trained once, two epochs each. Searches of
`qdm sweep --search` that choose from lists then choose from this table, in rounds of four, with 40
seeds; nothing is trained again. The figure is the share of the table's points that are better than the
best one found (0: it is the best), mean over the seeds with a 95 % interval by Student's t, and the
difference from random draws of the same seed.

    python benchmarks/searches.py --json benchmarks/results/searches.json

SPSA takes ends and no lists, and Optuna keeps a study of its own, so they are not in it. QAOA's circuit
is made from the regression over all points, which `surrogate` reads directly.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from qdm_qiskit.files import write_json
from qdm_qiskit.sweeps import choose
from qdm_qiskit.training import resolve_run, train

SPACE = {
    "depth": [1, 2, 4, 8],
    "learning_rate": [0.003, 0.01, 0.03, 0.1],
    "batch_size": [5, 10, 20, 40],
}
METHODS = ("random", "qaoa", "surrogate")
ROUND, AFTER = 4, (8, 16)
CHOICES = {name: {"choices": [str(value) for value in values]} for name, values in SPACE.items()}


def losses(seeds: int) -> dict[tuple[str, ...], float]:
    """Mean test loss of every point."""
    found = {}
    for values in itertools.product(*SPACE.values()):
        each = []
        for seed in range(seeds):
            options = dict(zip(SPACE, values, strict=True)) | {
                "image_size": 4,
                "classes": (0, 1),
                "train_count": 40,
                "test_count": 40,
                "epochs": 2,
                "seed": seed,
                "baseline": False,
                "sample_every": 0,
            }
            with tempfile.TemporaryDirectory() as folder:
                row = train(resolve_run("eeqdm", options), Path(folder) / "run").history[-1]
            each.append(row["test_loss"])
        found[tuple(map(str, values))] = float(np.mean(each))
    return found


def search(method: str, table: dict[tuple[str, ...], float], seed: int) -> list[float]:
    """Share of points better than the best one found, after each number of trials."""
    ordered = sorted(table.values())
    told: list[tuple[dict[str, Any], float]] = []
    shares = []
    for number in range(max(AFTER) // ROUND):
        for point in choose(method, CHOICES, told, seed=seed, number=number, count=ROUND):
            told.append((point, table[tuple(point[name] for name in SPACE)]))
        if len(told) in AFTER:
            best = min(loss for _, loss in told)
            shares.append(ordered.index(best) / len(ordered))
    return shares


def interval(values: np.ndarray) -> dict[str, float]:
    """Mean with Student's 95 % interval."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return {
        "mean": float(values.mean()),
        "low": float(values.mean() - half),
        "high": float(values.mean() + half),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train-seeds", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    machine.one_thread()
    table = losses(asked.train_seeds)
    shares = {
        method: np.array([search(method, table, seed) for seed in range(asked.seeds)])
        for method in METHODS
    }
    found: dict[str, Any] = {"machine": machine.describe(), "points": len(table), "found": {}}
    for method, each in shares.items():
        rows = found["found"][method] = {}
        for place, trials in enumerate(AFTER):
            less = each[:, place] - shares["random"][:, place]
            rows[str(trials)] = {
                "share": interval(each[:, place]),
                "less_random": None if method == "random" else interval(less),
            }
            told = rows[str(trials)]["share"]
            ends = f"[{told['low']:.3f}, {told['high']:.3f}]"
            print(f"{method:<10} {trials:>3} trials  {told['mean']:.3f} {ends}", flush=True)
    if asked.json is not None:
        write_json(asked.json, found)


if __name__ == "__main__":
    main()
