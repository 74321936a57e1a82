"""Does a quantum kernel as conditioning tell a model of temperatures that it never saw?

A model of Ising spins on 4 x 4 sites is told one of nine temperatures: one-hot, by the features of a
quantum kernel, or by those of a Gaussian of the same curvature (`conditioning=label|kernel|rbf`). It is
trained on every second temperature and sampled at all nine. Samples are rounded to spins and held to
all 65,536 configurations, counted exactly: the Wasserstein distance of the energy a site, and of the
size of the magnetisation. A circuit (`line`) and a network of as many numbers are trained alike. Beside
them stand rows of the two neighbouring temperatures, half each, and rows of the temperature itself.
Means over seeds with 95 % intervals by Student's t; differences from labels are paired by seed.

    python benchmarks/conditions.py [--seeds 3] [--steps 600] [--json FILE]

A file that was interrupted holds what was done, and is gone on with.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from seeds import cell, interval, read_runs

from qdm_qiskit.data import exact_ising, ising_samples
from qdm_qiskit.data.ising import spin_energies
from qdm_qiskit.diffusion import VelocityPrediction
from qdm_qiskit.files import write_json
from qdm_qiskit.models import build_model, resolve
from qdm_qiskit.models.beside import Mlp

SIDE, ROWS, BATCH, DRAWN = 4, 400, 128, 500
TEMPERATURES = tuple(np.linspace(1.5, 4.5, 9).tolist())
SEEN = (0, 2, 4, 6, 8)
UNSEEN = (1, 3, 5, 7)
KINDS = ("label", "kernel", "rbf")
MODELS = ("line", "mlp")
OPTIONS = {
    "image_size": 4,
    "codec": "pca",
    "latents": 16,
    "num_qubits": 4,
    "uploads": 3,
    "bricks": 2,
    "skip": True,
    "guided": True,
    "num_classes": len(TEMPERATURES),
}
METRICS = ("energy", "magnetisation")


def distances(spins: np.ndarray, label: int) -> dict[str, float]:
    """Return how far configurations are from the exact distribution of a temperature."""
    exact = exact_ising(SIDE, TEMPERATURES[label])
    sites = SIDE * SIDE
    flat = np.abs(spins.reshape(len(spins), -1).mean(axis=1))
    return {
        "energy": wasserstein_distance(
            spin_energies(spins) / sites, exact.energies / sites, None, exact.probabilities
        ),
        "magnetisation": wasserstein_distance(
            flat, np.abs(exact.magnetisations), None, exact.probabilities
        ),
    }


def averaged(found: dict[int, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return means over the temperatures that were trained on, and over the others."""
    sets = {"seen": SEEN, "unseen": UNSEEN}
    return {
        name: {m: float(np.mean([found[k][m] for k in labels])) for m in METRICS}
        for name, labels in sets.items()
    }


def training_rows(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and labels of the temperatures that are trained on."""
    rng = np.random.default_rng([seed, 1])
    spins = [ising_samples(SIDE, TEMPERATURES[k], ROWS, rng) for k in SEEN]
    images = torch.from_numpy(np.concatenate(spins).astype(np.float32))[:, None]
    return (images + 1) / 2, torch.tensor(SEEN).repeat_interleave(ROWS)


def trivial(seed: int) -> dict[str, Any]:
    """Return what rows of the neighbours, and of the temperature itself, come to."""
    rng = np.random.default_rng([seed, 2])
    rows = [ising_samples(SIDE, each, DRAWN, rng) for each in TEMPERATURES]
    mixed = {
        k: np.concatenate([rows[max(k - 1, 0)][::2], rows[min(k + 1, len(rows) - 1)][::2]])
        for k in range(len(rows))
    }
    return {
        "neighbours' rows": averaged({k: distances(mixed[k], k) for k in mixed}),
        "its own rows": averaged({k: distances(each, k) for k, each in enumerate(rows)}),
    }


def one(name: str, kind: str, seed: int, steps: int) -> dict[str, Any]:
    """Train a model told of temperatures in one way, and sample it at all of them."""
    start = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    images, labels = training_rows(seed)
    line = build_model(resolve("line", {**OPTIONS, "conditioning": kind}), generator=generator)
    line.fit_data(images, generator)
    model: Any = line
    if name == "mlp":
        model = Mlp(line.config, line.codec, line.num_parameters, generator)
    process = VelocityPrediction(10, radius=3.5)
    with torch.no_grad():
        x_0 = process.to_states(line.encode_data(images))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = torch.randint(len(x_0), (BATCH,), generator=generator)
        pairs = process.training_pairs(x_0[chosen], generator)
        said = model(pairs.noisy, pairs.step / process.num_steps, labels[chosen][pairs.source])
        optimizer.zero_grad()
        process.losses(said, pairs).mean().backward()
        optimizer.step()
        schedule.step()
    found = {}
    with torch.no_grad():
        for k in range(len(TEMPERATURES)):
            x = process.start((DRAWN, OPTIONS["latents"]), generator)
            told = torch.full((DRAWN,), k)
            for step in range(process.num_steps, 0, -1):
                said = model(x, torch.full((DRAWN,), step / process.num_steps), told)
                x = process.reverse_step(x, step, said, generator)
            pixels = line.decode_data(process.to_images(x))[:, 0].numpy()
            found[k] = distances(np.where(pixels > 0.5, 1, -1).astype(np.int8), k)
    return {
        "metrics": averaged(found),
        "parameters": sum(each.numel() for each in model.parameters()),
        "seconds": time.process_time() - start,
    }


def table(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return means, and differences from labels paired by seed."""
    found: dict[str, Any] = {}
    for name, seeds in runs.items():
        base = runs.get(f"{name.split(', ')[0]}, label", {})
        keys = sorted(seeds)
        if len(keys) < 2:
            continue
        paired = [k for k in keys if k in base and not name.endswith("label")]
        found[name] = {
            "seeds": len(keys),
            "metrics": {
                part: {m: interval([seeds[k]["metrics"][part][m] for k in keys]) for m in METRICS}
                for part in ("seen", "unseen")
            },
            "unseen_less_labels": {
                m: interval(
                    [
                        seeds[k]["metrics"]["unseen"][m] - base[k]["metrics"]["unseen"][m]
                        for k in paired
                    ]
                )
                for m in METRICS
                if len(paired) > 1
            },
        }
    return found


def markdown(found: dict[str, Any]) -> str:
    """Return the table of the page."""
    lines = [
        "| | energy, seen | energy, unseen | magnetisation, seen | magnetisation, unseen | energy, "
        "unseen, less that of labels |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        cells = [
            cell(row["metrics"][part][m], ".3f") for m in METRICS for part in ("seen", "unseen")
        ]
        less = row["unseen_less_labels"].get("energy")
        cells.append("" if less is None else cell(less, "+.3f"))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is not measured yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    runs: dict[str, dict[str, Any]] = read_runs(asked.json)
    for seed in map(str, range(asked.seeds)):
        for name in MODELS:
            for kind in KINDS:
                if seed not in runs.get(f"{name}, {kind}", {}):
                    found = one(name, kind, int(seed), asked.steps)
                    runs.setdefault(f"{name}, {kind}", {})[seed] = found
                    print(name, kind, seed, found, flush=True)
        if seed not in runs.get("its own rows", {}):
            for name, metrics in trivial(int(seed)).items():
                runs.setdefault(name, {})[seed] = {"metrics": metrics}
        if asked.json is not None:
            about = {
                "date": date.today().isoformat(),
                "machine": machine.describe(),
                "steps": asked.steps,
            }
            write_json(asked.json, {**about, "table": table(runs), "runs": runs})
    print(markdown(table(runs)))


if __name__ == "__main__":
    main()
