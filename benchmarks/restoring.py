"""Do trained chains restore images better than what needs no model, and classical ones of equal size?

For each seed models are trained: on the digits a circuit (Q-Dense), the small classical U-Net and the
latent model on a line, on iris the latent model. Each restores its test images with 8 draws of each:
half of the picture, half of the pixels, or columns of rows hidden, or all but the means of 2 x 2 pixels
(super-resolution), with one walk of each step and with four (RePaint), and by choosing among 512
samples. So do the models whose latents tell no x_0 on the way. Beside it stand the mean of the
training images, the nearest of them, bilinear interpolation, and mean and draws of a Gaussian given
what is known. `mse` is that of the mean of the draws over what was hidden; `crps` is a proper score of
the draws. A latent diffusion, a GAN and a VAE with as many parameters are fitted beside each model
(`qdm compete`), and KID on pixels against the test images is taken of 512 samples of each. Figures are
means over seeds with 95 % intervals by Student's t.

    python benchmarks/restoring.py [--models circuit line] [--seeds 3] [--steps 1500] [--json FILE]

A file that was interrupted holds what was done, and is gone on with.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from seeds import interval, read_runs

import qdm_qiskit as qdm
from qdm_qiskit.evaluation.distances import kernel_distance
from qdm_qiskit.evaluation.subjects import competitor_subjects, run_subject
from qdm_qiskit.files import write_json
from qdm_qiskit.tasks import compete

IMAGES = (
    {"mask": "left"},
    {"mask": "random:0.5"},
    {"factor": 2},
)
ROWS = (
    {"mask": "columns:petal length (cm)"},
    {"mask": "columns:petal length (cm),petal width (cm)"},
    {"mask": "columns:species"},
)
MODELS: dict[str, tuple[str, dict[str, Any], tuple[dict[str, Any], ...]]] = {
    "circuit": ("qddm", {"dataset": "digits", "image_size": 8, "depth": 6, "epochs": 12}, IMAGES),
    "U-Net": (
        "classical_unet",
        {"dataset": "digits", "image_size": 8, "process": "gaussian", "goal": "data", "epochs": 12},
        IMAGES,
    ),
    "line": ("line-digits", {"epochs": 60, "decay_every": 4, "decay_factor": 0.8}, IMAGES),
    "line, iris": ("line-iris", {}, ROWS),
    "coded": ("coded-digits", {}, IMAGES),
    "line_amplitudes": ("line-amplitudes-digits", {}, IMAGES),
    "cacioppo_latent": ("cacioppo-latent-digits", {}, IMAGES),
    "mixed_quddpm": ("mixed-digits", {}, IMAGES),
}
COUNT, DRAWS, SAMPLES = 64, 8, 512
WAYS: dict[str, dict[str, int]] = {
    "1 walk": {"resamples": 1},
    "4 walks": {"resamples": 4},
    f"of {SAMPLES}": {"candidates": SAMPLES},
}


def one(model: str, seed: int, steps: int) -> dict[str, Any]:
    """Train, restore, compete and measure with one seed."""
    preset, options, hidden = MODELS[model]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        qdm.train(
            preset, run, seed=seed, sample_every=0, baseline=False, log_with="none", **options
        )
        for asked in hidden:
            for way, chosen in WAYS.items():
                made = qdm.restore(run, count=COUNT, draws=DRAWS, seed=seed, **chosen, **asked)
                word = next(iter(f"{key} {value}" for key, value in asked.items()))
                rows = found.setdefault(word, {})
                for name, each in made.errors.items():
                    if name == "run":
                        name = f"{model}, {way}"
                    rows[name] = {"mse": each.mse.estimate, "crps": each.crps.estimate}
                if made.columns:
                    found.setdefault("columns", {})[f"{word}, {way}"] = made.columns
        subjects = [run_subject(run, seed=seed, name=model)]
        parameters = {model: qdm.load_run(run).model.num_parameters}
        if steps:
            parameters |= compete(run, steps=steps).parameters
            subjects += competitor_subjects(run, seed=seed)
        test = _flat(subjects[0].training_split().test.images)
        kid = {each.name: kernel_distance(_flat(each.draw(SAMPLES)), test) for each in subjects}
        real = subjects[0].training_split().train.images[:SAMPLES]
        kid["training images"] = kernel_distance(_flat(real), test)
    return {"restored": found, "kid": kid, "parameters": parameters}


def _flat(images: np.ndarray) -> np.ndarray:
    return np.asarray(images).reshape(len(images), -1).astype(float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1_500, help="Of each competitor; 0: none.")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    machine.one_thread()
    runs: dict[str, dict[str, Any]] = read_runs(asked.json)
    for seed in range(asked.seeds):
        for model in asked.models:
            if str(seed) in runs.get(model, {}):
                continue
            runs.setdefault(model, {})[str(seed)] = one(model, seed, asked.steps)
            print(model, seed, runs[model][str(seed)]["kid"], flush=True)
            if asked.json is not None:
                about = {"date": date.today().isoformat(), "machine": machine.describe()}
                counts = {"images": COUNT, "draws": DRAWS, "samples": SAMPLES, "steps": asked.steps}
                write_json(asked.json, {**about, **counts, "table": table(runs), "runs": runs})
    print(markdown(table(runs)))


def table(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for model, seeds in runs.items():
        each = list(seeds.values())
        if len(each) < 2:
            continue
        tasks = [task for task in each[0]["restored"] if task != "columns"]
        found[model] = {
            "seeds": len(each),
            "parameters": each[0]["parameters"],
            "kid": {name: interval([s["kid"][name] for s in each]) for name in each[0]["kid"]},
            # The seed changes test images for all alike, so differences are paired.
            "kid_less_model": {
                name: interval([s["kid"][name] - s["kid"][model] for s in each])
                for name in each[0]["kid"]
                if name != model
            },
            "restored": {
                task: {
                    way: {
                        score: interval([s["restored"][task][way][score] for s in each])
                        for score in ("mse", "crps")
                    }
                    for way in each[0]["restored"][task]
                }
                for task in tasks
            },
        }
    return found


def markdown(found: dict[str, Any]) -> str:
    def cell(each: dict[str, float]) -> str:
        return f"{each['mean']:.4f} [{each['low']:.4f}, {each['high']:.4f}]"

    lines = []
    for model, each in found.items():
        lines += ["", f"{model}, {each['seeds']} seeds", ""]
        for task, ways in each["restored"].items():
            lines += ["", f"| {task} | mse | crps |", "|---|---|---|"]
            lines += [
                f"| {way} | {cell(s['mse'])} | {cell(s['crps'])} |" for way, s in ways.items()
            ]
        lines += ["", "| samples | parameters | KID |", "|---|---:|---|"]
        lines += [
            f"| {name} | {each['parameters'].get(name, '')} | {cell(kid)} |"
            for name, kid in each["kid"].items()
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
