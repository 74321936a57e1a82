"""How near does an amortised loader come to the fit, and in what time?

    python benchmarks/amortised.py [--mnist FOLDER]

Vectors of training images under noise of all steps are fitted once and kept; 64 test images, clean,
under the noise of step 8 of 10, and pure noise, are loaded by the network with 0 to 32 steps of the
fit behind it, and by the fit alone. The noise is Q-Dense's: a normal pixel of mean .5 and deviation .2,
clamped. Times are of one core, taken once. The results go to
benchmarks/results/amortised.json, and the table of docs/loaders.md is written from there.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np

from qdm_qiskit.circuits import make_loader
from qdm_qiskit.circuits.line_memory import LineMemory, remembered
from qdm_qiskit.data import load_dataset
from qdm_qiskit.files import write_json

KEPT, HELD_OUT, STEPS = 640, 64, (0, 4, 12, 24, 32)
LEVELS = {"clean": 0.0, "step 8": 0.512, "noise": 1.0}
RESULTS = Path(__file__).parent / "results" / "amortised.json"
PAGE = Path(__file__).parent.parent / "docs" / "loaders.md"
BEGIN, END = "<!-- table: benchmarks/amortised.py -->", "<!-- end of amortised -->"
CASES = [
    ("digits", 8, "bricks:8"),
    ("digits", 8, "staircase:2"),
    ("mnist", 16, "staircase:3"),
    ("mnist", 16, "staircase:5"),
]


def noised(images: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return unit vectors of images under noise."""
    flat = images.reshape(len(images), -1).astype(float)
    noise = np.clip(rng.normal(0.5, 0.2, size=flat.shape), 0, 1)
    found = (1 - weights) * flat + weights * noise
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def timed(work: Any) -> tuple[np.ndarray, float]:
    """Return the result, and the time that it took."""
    started = time.process_time()
    found = work()
    return found, time.process_time() - started


def measured(data: str, folder: str | None, size: int, name: str) -> list[dict[str, Any]]:
    """Return a row for each level of noise."""
    split = load_dataset(
        data, image_size=size, seed=0, train_count=KEPT, test_count=HELD_OUT, folder=folder
    )
    train, test = (each.images[:, 0] for each in (split.train, split.test))
    rng = np.random.default_rng(0)
    # The steps of Q-Dense's chain: w = (t / T)^3.
    weights = (rng.integers(0, 11, size=(len(train), 1)) / 10) ** 3
    loader = make_loader(name, int(math.log2(size * size)))
    started = time.process_time()
    memory = LineMemory(loader, remembered(loader, noised(train, weights, rng)))
    took = time.process_time() - started
    rows = []
    for level, weight in LEVELS.items():
        vectors = noised(test, np.full((len(test), 1), weight), rng)
        memory.angles(vectors[:1], 1)  # tables are made once, and machine code is written
        angles, seconds = timed(lambda v=vectors: loader.angles(v))
        fit = loader.fidelities(vectors, angles)
        row: dict[str, Any] = {"level": level, "fit": float(fit.mean()), "fit_seconds": seconds}
        for steps in STEPS:
            angles, seconds = timed(lambda v=vectors, k=steps: memory.angles(v, k))
            near = loader.fidelities(vectors, angles)
            gap = fit - near
            half = 1.96 * gap.std(ddof=1) / math.sqrt(len(gap))
            row[str(steps)] = [float(near.mean()), float(gap.mean()), float(half), seconds]
        rows.append({"data": data, "size": size} | {"loader": name, "made_seconds": took, **row})
        print(rows[-1], flush=True)
    return rows


def render(rows: list[dict[str, Any]]) -> str:
    """Return the table of the page."""
    lines = [
        "| data | loader | made in | vectors | fit | "
        + " | ".join(f"network, {steps} steps" for steps in STEPS)
        + " |",
        "|---|---|---|---|---|" + "---|" * len(STEPS),
    ]
    for row in rows:
        cells = [
            f"{fidelity:.4f} ({-gap:+.4f} ± {half:.4f}), {seconds:.3f} s"
            for fidelity, gap, half, seconds in (row[str(steps)] for steps in STEPS)
        ]
        name = f"{row['data']}, {row['size']} x {row['size']}"
        lines.append(
            f"| {name} | `{row['loader']}` | {row['made_seconds']:.1f} s | {row['level']} | "
            f"{row['fit']:.4f}, {row['fit_seconds']:.3f} s | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--mnist",
        help="folder of the published files; without it digits of 16 x 16 pixels are taken",
    )
    options = parser.parse_args()
    rows = []
    for data, size, name in CASES:
        at = options.mnist if data == "mnist" else None
        rows += measured(data if data != "mnist" or at else "digits", at, size, name)
    write_json(RESULTS, {"kept": KEPT, "machine": machine.describe(), "rows": rows})
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{render(rows)}\n{END}{after}")
    print(json.dumps(len(rows)))


if __name__ == "__main__":
    main()
