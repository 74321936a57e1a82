"""Is EEQDM better if its Bell pairs hold pixels that go together, as its paper hopes?

Shah and Vatsa, arXiv:2411.15973, section 6, name it as future work. Here, on the embedded digits
0 and 1 at 8 x 8, 80 to train: EEQDM and QDDM of depth 10 with pixels row by row (the paper's), in
blocks of neighbours, by the correlations of the training images, and by chance; 60 epochs at rate
0.01. QDDM (--models eeqdm qddm), whose layers act on all wires, tells what an order is worth
without Bell pairs.

Figures over seeds, means with Student's 95 % intervals: mean squared error of the test images'
pairs, and SSIM of 128 samples with the nearest test image. Differences are taken seed by seed.

    python benchmarks/pixel_orders.py [--seeds 5] [--json benchmarks/results/pixel_orders.json]

A file that was interrupted holds what was done, and is gone on with.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import tempfile
from pathlib import Path
from typing import get_args

import numpy as np

import qdm_qiskit as qdm
from qdm_qiskit.analysis.estimates import mean_estimate
from qdm_qiskit.evaluation import measure_images
from qdm_qiskit.evaluation.subjects import run_subject
from qdm_qiskit.files import write_json
from qdm_qiskit.models.pixel_orders import PixelOrder
from qdm_qiskit.training import load_split, read_history

MODELS = ("eeqdm", "qddm")
SAMPLES = 128


def one(model: str, order: str, seed: int, epochs: int) -> dict[str, float]:
    """Train, sample and measure one model with one seed."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        qdm.train(
            model,
            run,
            log_with="none",
            pixel_order=order,
            depth=10,
            classes=(0, 1),
            train_count=80,
            learning_rate=0.01,
            epochs=epochs,
            seed=seed,
            baseline=False,
            sample_every=0,
            checkpoint_every=epochs,
        )
        last = read_history(run)[-1]
        split = load_split(qdm.load_run(run).config)
        samples = run_subject(run, seed=seed, name="run").draw(SAMPLES)
    found = measure_images(samples, split.test.images, ["ssim"], resamples=20, seed=seed)
    return {
        "test_loss": last["test_loss"],
        "identity_loss": last["identity_loss"],
        "ssim": found.metrics["ssim"].estimate,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=["eeqdm"])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    machine.all_cores()
    machine.one_thread()
    runs: dict[str, dict[str, list[dict[str, float]]]] = {}
    if asked.json is not None and asked.json.exists():
        runs = json.loads(asked.json.read_text())["runs"]
    for seed in range(asked.seeds):
        for model in asked.models:
            for order in get_args(PixelOrder):
                rows = runs.setdefault(model, {}).setdefault(order, [])
                if len(rows) > seed:
                    continue
                rows.append(one(model, order, seed, asked.epochs))
                print(model, order, seed, {k: round(v, 4) for k, v in rows[-1].items()}, flush=True)
                if asked.json is not None:
                    content = {"machine": machine.describe(), "epochs": asked.epochs, "runs": runs}
                    write_json(asked.json, content)
    for model, orders in runs.items():
        for order, rows in orders.items():
            for key in rows[0]:
                values = np.array([row[key] for row in rows])
                less = values - np.array([row[key] for row in orders["rows"]])
                if len(values) > 1:
                    mean, gap = mean_estimate(values), mean_estimate(less)
                    print(
                        f"{model} {order:10} {key:13} {mean.value:.4f} [{mean.low:.4f}, "
                        f"{mean.high:.4f}]  less rows {gap.value:+.4f} [{gap.low:+.4f}, "
                        f"{gap.high:+.4f}]"
                    )


if __name__ == "__main__":
    main()
