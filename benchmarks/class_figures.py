"""Figures of each digit, EEQDM beside QDDM, as EEQDM's table 2 has the FID of each.

Shah and Vatsa, arXiv:2411.15973, table 2 (MNIST; settings not stated): FID of EEQDM is lower on 8 of
10 digits. Here: guided models of depth 10 on all ten embedded digits at 8 x 8, 5 epochs (360 steps)
at rate 0.01; of each digit 64 samples against its training images: Frechet distance on the
package's own 32 features and SSIM with the nearest image. Over seeds: means with Student's 95 %
intervals, differences seed by seed.

    python benchmarks/class_figures.py [--seeds 3] [--json benchmarks/results/class_figures.json]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import tempfile
from pathlib import Path

import numpy as np

import qdm_qiskit as qdm
from qdm_qiskit.analysis.estimates import mean_estimate
from qdm_qiskit.evaluation import measure_images
from qdm_qiskit.evaluation.domain_classifier import domain_classifier
from qdm_qiskit.evaluation.subjects import run_subject
from qdm_qiskit.files import write_json
from qdm_qiskit.training import load_split

MODELS = ("eeqdm", "qddm")
METRICS = {"frechet": "domain_frechet", "ssim": "ssim"}
DIGITS, EACH = 10, 64


def one(model: str, seed: int, epochs: int, cache: Path) -> dict[str, list[float]]:
    """Train one model with one seed; each metric of each digit."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        qdm.train(
            model,
            run,
            log_with="none",
            guided=True,
            depth=10,
            learning_rate=0.01,
            epochs=epochs,
            seed=seed,
            baseline=False,
            sample_every=0,
            checkpoint_every=epochs,
        )
        split = load_split(qdm.load_run(run).config)
        subject = run_subject(run, seed=seed, name="run")
        samples = subject.draw(DIGITS * EACH)
        assert subject.labels is not None  # the model is guided
        told = subject.labels(DIGITS * EACH)
    train, test = split.train, split.test
    network = domain_classifier(
        train.images, train.labels, test.images, test.labels, folder=cache
    ).read
    names = [f"{name}@{digit}" for name in METRICS.values() for digit in range(DIGITS)]
    found = measure_images(
        samples,
        train.images,
        names,
        network=network,
        labels=(told, train.labels),
        resamples=20,
        seed=seed,
    )
    return {
        short: [found.metrics[f"{name}@{digit}"].estimate for digit in range(DIGITS)]
        for short, name in METRICS.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    machine.all_cores()
    machine.one_thread()
    runs: dict[str, list[dict[str, list[float]]]] = {model: [] for model in MODELS}
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(asked.seeds):
            for model in MODELS:
                runs[model].append(one(model, seed, asked.epochs, Path(cache)))
                print(model, seed, runs[model][-1], flush=True)
            if asked.json is not None:
                content = {"machine": machine.describe(), "epochs": asked.epochs, "runs": runs}
                write_json(asked.json, content)
    for metric in METRICS:
        values = {m: np.array([row[metric] for row in runs[m]]) for m in MODELS}
        for digit in [*range(DIGITS), "mean"]:
            own = {
                m: found.mean(axis=1) if digit == "mean" else found[:, int(digit)]
                for m, found in values.items()
            }
            shown = [mean_estimate(each) for each in (*own.values(), own["eeqdm"] - own["qddm"])]
            print(
                f"{metric:8} {digit!s:4} "
                + "   ".join(f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in shown)
            )


if __name__ == "__main__":
    main()
