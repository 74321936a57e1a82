"""Do QAMP's models need their skip connection, and are two digits easier than ten?

Jo et al., QAMP 2025, sections 7 and 8: without the skip "sharpness degrades significantly",
samples of two digits are sharp and those of ten blurred; no figure is given. Here, on
scikit-learn's digits, both models are trained on ten digits with and without the skip, and with
it on two (0 and 1), in as many optimizer steps: at 8 x 8 with 128 features (January's with 6
repetitions), or with --size published at 16 x 16 with 512 (and 30). Besides, the trained models
with the skip are given, at test time, the circuit's or the skip's features of another image at the
same step ("shuffled"), of another image and step ("mixed"), or zeros: that says what the layer
behind the circuit listens to.

Figures: infidelity of the test images' pairs; that of doing nothing on the same pairs; sharpness of
samples, the mean squared difference of neighbouring pixels over that of the test images; and the mean
SSIM with the nearest test image. Over seeds: mean with Student's 95 % interval.

    python benchmarks/qamp_skip.py [--seeds 3] [--json benchmarks/results/qamp_skip.json]

A file that was interrupted holds what was done, and is gone on with.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import qdm_qiskit as qdm
from qdm_qiskit.analysis.estimates import mean_estimate
from qdm_qiskit.evaluation import measure_images
from qdm_qiskit.evaluation.subjects import run_subject
from qdm_qiskit.files import write_json
from qdm_qiskit.training import load_split

STEPS = {"qamp-january-digits": 180, "qamp-december-digits": 180}
TRAIN_COUNT = {"ten": 1438, "two": 288}
SIZES = {
    "small": {
        "qamp-january-digits": {"image_size": 8, "width": 128, "reps": 6},
        "qamp-december-digits": {"image_size": 8, "width": 128},
    },
    "published": {"qamp-january-digits": {}, "qamp-december-digits": {}},
}
SAMPLES = 128
ARMS = {
    "skip, ten digits": {},
    "no skip, ten digits": {"skip": False},
    "skip, two digits": {"classes": (0, 1)},
}
FEATURES = ("circuit", "skip")
CHANGES = ("shuffled", "mixed", "zeros")


def sharpness(images: np.ndarray) -> float:
    """Mean squared difference of neighbouring pixels."""
    return float(
        np.square(np.diff(images, axis=2)).mean() + np.square(np.diff(images, axis=3)).mean()
    )


class Changed:
    """Change some features that the layer behind the circuit sees, of pairs at steps ``step``."""

    def __init__(self, columns: slice, change: str, step: Tensor) -> None:
        self.columns, self.change = columns, change
        order = torch.randperm(len(step), generator=torch.Generator().manual_seed(0))
        if (
            change == "shuffled"
        ):  # the k-th pair of a step, in order, gets the k-th in the drawn order
            drawn = order[torch.argsort(step[order], stable=True)]
            order = torch.empty_like(order)
            order[torch.argsort(step, stable=True)] = drawn
        self.order = order

    def __call__(self, module: torch.nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        seen = inputs[0].clone()
        if self.change == "zeros":
            seen[:, self.columns] = 0
        else:
            seen[:, self.columns] = seen[self.order, self.columns]
        return (seen,)


@torch.no_grad()
def ablated(model: torch.nn.Module, process: Any, x_0: Tensor) -> dict[str, float]:
    """Test losses with features of the circuit or of the skip changed."""
    pairs = process.training_pairs(x_0, torch.Generator().manual_seed(1))

    def loss() -> float:
        return float(
            process.losses(model(pairs.noisy, pairs.step / process.num_steps), pairs).mean()
        )

    found = {"loss": loss(), "identity": float(process.identity_losses(pairs).mean())}
    if model.config.skip:
        count = model.widen.in_features
        past = model.config.width if model.name == "qamp_december" else model.num_values
        columns = {"circuit": slice(0, count - past), "skip": slice(count - past, count)}
        for features in FEATURES:
            for change in CHANGES:
                changed = Changed(columns[features], change, pairs.step)
                hook = model.widen.register_forward_pre_hook(changed)
                found[f"{features} {change}"] = loss()
                hook.remove()
    return found


def one(preset: str, options: dict[str, Any], seed: int, size: str = "small") -> dict[str, float]:
    """Train, sample and measure one model with one seed."""
    start = time.process_time()
    count = TRAIN_COUNT["two" if "classes" in options else "ten"]
    batch = {"qamp-january-digits": 32, "qamp-december-digits": 96}[preset]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        qdm.train(
            preset,
            run,
            log_with="none",
            seed=seed,
            epochs=round(STEPS[preset] * batch / count),
            train_count=count,
            sample_every=0,
            **SIZES[size][preset],
            **options,
        )
        trained = qdm.load_run(run)
        split = load_split(trained.config)
        images = torch.from_numpy(split.test.images)
        model = trained.model.eval()
        found = ablated(model, trained.process, trained.process.to_states(images))
        samples = run_subject(run, seed=seed, name="run").draw(SAMPLES)
        quality = measure_images(samples, split.test.images, ["ssim"], resamples=20, seed=seed)
        history = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        **found,
        "sharpness": sharpness(samples) / sharpness(split.test.images),
        "ssim": quality.metrics["ssim"].estimate,
        "epochs": len(history),
        "seconds": time.process_time() - start,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--only", choices=list(STEPS))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    machine.all_cores()
    machine.one_thread()
    runs: dict[str, dict[str, list[dict[str, float]]]] = {}
    if asked.json is not None and asked.json.exists():
        runs = json.loads(asked.json.read_text())["runs"]
    for seed in range(asked.seeds):
        for preset in STEPS if asked.only is None else [asked.only]:
            for arm, options in ARMS.items():
                rows = runs.setdefault(preset, {}).setdefault(arm, [])
                if len(rows) > seed:
                    continue
                rows.append(one(preset, options, seed, asked.size))
                print(preset, arm, seed, {k: round(v, 4) for k, v in rows[-1].items()}, flush=True)
                if asked.json is not None:
                    content = {"machine": machine.describe(), "size": asked.size, "steps": STEPS}
                    write_json(asked.json, {**content, "runs": runs})
    for preset, arms in runs.items():
        for arm, rows in arms.items():
            print(f"{preset}, {arm}, {len(rows)} seeds")
            for key in rows[0]:
                values = np.array([row[key] for row in rows])
                if len(values) > 1:
                    found = mean_estimate(values)
                    print(f"  {key:18} {found.value:.4f} [{found.low:.4f}, {found.high:.4f}]")


if __name__ == "__main__":
    main()
