"""Is EEQDM's loss lower than QDDM's at equal depth, as its paper says?

Shah and Vatsa, arXiv:2411.15973, tables 1 and 2 and figure 5: 16 x 16 images of MNIST and CIFAR-10,
depth 10 .. 50, learning rates 0.1 and 0.01. Here, on one core: the embedded digits 0 and 1 enlarged
from 8 x 8, 80 images to train and 40 to test, batches of 20 with all 10 steps of each image, 60 epochs
(240 steps).

Loss: the mean squared error of the test images' pairs after the last epoch. Times: eeqdm_times.py.

    python benchmarks/eeqdm_against_qddm.py --json benchmarks/results/eeqdm_against_qddm.json
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import tempfile
from pathlib import Path
from statistics import mean, stdev

from qdm_qiskit.training import resolve_run, train

DEPTHS = (10, 20, 30, 40, 50)
RATES = (0.1, 0.01)
MODELS = ("eeqdm", "qddm")
IMAGES = 20


def losses(model: str, depth: int, rate: float, seed: int, epochs: int) -> dict[str, float]:
    """Metrics of the last epoch of one training run."""
    config = resolve_run(
        model,
        {
            "image_size": 16,
            "depth": depth,
            "classes": (0, 1),
            "train_count": 80,
            "test_count": 40,
            "batch_size": IMAGES,
            "epochs": epochs,
            "learning_rate": rate,
            "seed": seed,
            "baseline": False,
            "sample_every": 0,
            "checkpoint_every": epochs,
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        history = train(config, Path(folder) / "run").history
    return {
        "start": history[0]["test_loss"],
        "test_loss": history[-1]["test_loss"],
        "identity_loss": history[-1]["identity_loss"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.one_thread()
    found: dict[str, object] = {"machine": machine.describe(), "epochs": options.epochs}

    def keep() -> None:
        if options.json is not None:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(found, indent=2) + "\n")

    table: list[dict[str, object]] = []
    found["loss"] = table
    for rate in RATES:
        for depth in DEPTHS:
            for model in MODELS:
                runs = [
                    losses(model, depth, rate, seed, options.epochs)
                    for seed in range(options.seeds)
                ]
                values = [run["test_loss"] for run in runs]
                spread = stdev(values) if len(values) > 1 else 0.0
                table.append({"rate": rate, "depth": depth, "model": model, "runs": runs})
                print(
                    f"rate {rate:<5} depth {depth}  {model:>5}  {mean(values):.4f} +- {spread:.4f}"
                    f"  ({', '.join(f'{value:.4f}' for value in values)};"
                    f" identity {mean(run['identity_loss'] for run in runs):.4f})",
                    flush=True,
                )
                keep()


if __name__ == "__main__":
    main()
