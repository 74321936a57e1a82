"""What does a learned covariance gain in the variational bound?

QAMP's text has the bound (its equations 4 and 5) and covariances fixed to beta_t I or learned.
Here: the embedded digits 0 and 1 at 4 x 4, 80 to train, EEQDM's Gaussian chain with a predicted
noise, T = 10; a circuit (Q-Dense with ancilla, depth 10) and the classical U-Net of 892 parameters.
Bits a pixel of unseen images with variances beta_t, the posterior's, and those fitted to training
images, over seeds: means with 95 % intervals by Student's t; differences are seed by seed.

    python benchmarks/variational_bound.py [--json benchmarks/results/variational_bound.json]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import tempfile
from pathlib import Path
from typing import get_args

import numpy as np

import qdm_qiskit as qdm
from qdm_qiskit.analysis.estimates import mean_estimate
from qdm_qiskit.files import write_json
from qdm_qiskit.sampling.variational_bound import Covariance, variational_bound

MODELS = {"qddm": {"depth": 10}, "classical_unet": {}}


def one(model: str, seed: int, epochs: int) -> dict[str, float]:
    """Train one model with one seed; the bound with each covariance, bits a pixel."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        qdm.train(
            model,
            run,
            log_with="none",
            process="gaussian",
            goal="noise",
            image_size=4,
            classes=(0, 1),
            train_count=80,
            learning_rate=0.01,
            epochs=epochs,
            seed=seed,
            baseline=False,
            sample_every=0,
            checkpoint_every=epochs,
            **MODELS[model],
        )
        trained = qdm.load_run(run)
        found = {each: variational_bound(trained, each) for each in get_args(Covariance)}
    parts = found["learned"]
    return {
        **{each: bound.total for each, bound in found.items()},
        "learned, prior": parts.prior,
        "learned, steps": float(parts.steps.sum()),
        "learned, data": parts.data,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.seeds < 2:
        parser.error(f"an interval takes 2 seeds or more, got {asked.seeds}")
    machine.all_cores()
    machine.one_thread()
    runs: dict[str, list[dict[str, float]]] = {}
    for model in MODELS:
        runs[model] = [one(model, seed, asked.epochs) for seed in range(asked.seeds)]
        for key in runs[model][0]:
            values = np.array([row[key] for row in runs[model]])
            less = values - np.array([row["learned"] for row in runs[model]])
            mean, gap = mean_estimate(values), mean_estimate(less)
            print(
                f"{model:15} {key:15} {mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]  above "
                f"learned {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]",
                flush=True,
            )
        if asked.json is not None:
            content = {"machine": machine.describe(), "epochs": asked.epochs, "runs": runs}
            write_json(asked.json, content)


if __name__ == "__main__":
    main()
