"""Which forward process makes better samples: Gaussian noise, a quantum walk, or a device's own noise?

For each seed and process the same model is trained on the digits, with the same batches, and sampled:
EEQDM's interpolation and Gaussian chain, both by the pseudo-random generator, then levels that move by
a walk on a ring, unitary, a little decohering and classical (measured after each step: what a
pseudo-random generator gives), and levels in bits that fake_torino flips. Two models: the circuit of
the preset `digits-demo`, and the small classical U-Net. Figures are means over seeds with 95 %
intervals by Student's t:

- *quality*: KID of the samples on pixels beside the test images, least is best;
- *less*: the same less that of the classical walk with the same seed, which pairs data and weights.

Noise, uniform pixels, and training images are the two ends of the scale.

    python benchmarks/forward_processes.py [--seeds 4] [--epochs 15] [--json FILE]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from noise_sources import interval

from qdm_qiskit.evaluation.distances import kernel_distance
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import load_split, resolve_run, train

PROCESSES: dict[str, dict[str, Any]] = {
    "interpolated": {"process": "interpolated"},
    "gaussian": {"process": "gaussian"},
    "walk, classical": {"process": "walk", "decoherence": 1.0},
    "walk, decoherence 0.1": {"process": "walk", "decoherence": 0.1},
    "walk, unitary": {"process": "walk", "decoherence": 0.0},
    "device fake_torino": {"process": "device", "device": "fake_torino"},
}
BASE = "walk, classical"
MODELS = {"circuit": "digits-demo", "U-Net": "classical_unet"}


def one(
    model: str, process: dict[str, Any], seed: int, given: argparse.Namespace
) -> dict[str, Any]:
    demo = resolve_run("digits-demo").data
    options = {
        "seed": seed,
        "epochs": given.epochs,
        "baseline": False,
        "sample_every": 0,
        "dataset": demo.dataset,
        "classes": demo.classes,
        "image_size": 8,
        **process,
    }
    with tempfile.TemporaryDirectory() as folder:
        config = resolve_run(MODELS[model], options)
        train(config, Path(folder) / "run")
        run = load_run(Path(folder) / "run")
        split = load_split(run.config)
        made = sample(run, SamplingConfig(num_images=given.images, seed=seed)).images
    flat = [np.asarray(x).reshape(len(x), -1).astype(float) for x in (made, split.test.images)]
    real = np.asarray(split.train.images).reshape(len(split.train.images), -1).astype(float)
    noise = np.random.default_rng(seed).random((given.images, flat[0].shape[1]))
    return {
        "quality": kernel_distance(flat[0], flat[1]),
        "training images": kernel_distance(real, flat[1]),
        "noise": kernel_distance(noise, flat[1]),
        "diffusion": {"steps": config.diffusion.walk_steps, "flips": list(config.diffusion.flips)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    machine.one_thread()
    found: dict[str, Any] = {}
    for model in MODELS:
        runs = {name: [] for name in PROCESSES}
        for seed in range(given.seeds):
            for name, process in PROCESSES.items():
                runs[name].append(one(model, process, seed, given))
                print(model, seed, name, round(runs[name][-1]["quality"], 4), flush=True)
        rows = {
            name: {
                "quality": interval([each["quality"] for each in runs[name]]),
                "less": interval(
                    [
                        a["quality"] - b["quality"]
                        for a, b in zip(runs[name], runs[BASE], strict=True)
                    ]
                ),
                "diffusion": runs[name][0]["diffusion"],
            }
            for name in PROCESSES
        }
        for end in ("training images", "noise"):
            rows[end] = {"quality": interval([each[end] for each in runs[BASE]])}
        found[model] = {"rows": rows, "runs": runs}
        for name, row in rows.items():
            words = [
                f"{w} {row[w]['mean']:+.4f} [{row[w]['low']:+.4f}, {row[w]['high']:+.4f}]"
                for w in ("quality", "less")
                if w in row
            ]
            print(f"{model:<8} {name:<22}", "  ".join(words), flush=True)
        if given.json:
            record = {
                "date": date.today().isoformat(),
                "machine": machine.describe(),
                "options": {key: value for key, value in vars(given).items() if key != "json"},
                "models": found,
            }
            given.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
