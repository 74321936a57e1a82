"""Which ansatz and which encoding denoise small images best, at equal training?

Every encoding of the template `ansatz_denoiser` with hardware-efficient, Hamiltonian variational
(Ising), QCNN and MERA circuits on 4 wires: the embedded digits 0 and 1 at 4 x 4, 80 to train, depth
2, Koelle's interpolation in 10 steps, Adam at rate 0.05. Weights differ, as circuits are repeated
for each upload of pixels: they stand beside the losses. Figures: mean squared error of the test
images' pairs after the last epoch, mean over seeds with Student's 95 % interval, beside that of
doing nothing.

    python benchmarks/ansatz_denoisers.py [--seeds 3] [--json benchmarks/results/ansatz_denoisers.json]

A file that was interrupted holds what was done, and is gone on with.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from qdm_qiskit.analysis.estimates import mean_estimate
from qdm_qiskit.circuits.ansatz_denoisers import Entry
from qdm_qiskit.diffusion import InterpolatedNoise
from qdm_qiskit.files import write_json
from qdm_qiskit.models import build_model, resolve
from qdm_qiskit.training import load_split, resolve_run

ANSATZES = ("hardware_efficient", "ising", "qcnn", "mera")
STEPS, BATCH, RATE = 10, 20, 0.05


def one(encoding: str, ansatz: str, seed: int, epochs: int) -> dict[str, float]:
    """Train one circuit with one seed."""
    options = {"image_size": 4, "depth": 2, "encoding": encoding, "ansatz": ansatz}
    data = {"classes": (0, 1), "train_count": 80, "test_count": 40, "seed": seed}
    split = load_split(resolve_run("ansatz_denoiser", {**options, **data}))
    generator = torch.Generator().manual_seed(seed)
    model = build_model(resolve("ansatz_denoiser", options), generator=generator)
    process = InterpolatedNoise(STEPS)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    images = torch.from_numpy(split.train.images)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        for rows in order.split(BATCH):
            pairs = process.training_pairs(images[rows], generator)
            optimizer.zero_grad()
            process.losses(model(pairs.noisy, pairs.step / STEPS), pairs).mean().backward()
            optimizer.step()
    pairs = process.training_pairs(
        torch.from_numpy(split.test.images), torch.Generator().manual_seed(10_000 + seed)
    )
    with torch.no_grad():
        loss = process.losses(model(pairs.noisy, pairs.step / STEPS), pairs).mean()
    return {
        "test_loss": float(loss),
        "identity_loss": float(process.identity_losses(pairs).mean()),
        "weights": float(model.num_parameters),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    machine.all_cores()
    machine.one_thread()
    runs: dict[str, list[dict[str, float]]] = {}
    if asked.json is not None and asked.json.exists():
        runs = json.loads(asked.json.read_text())["runs"]
    for seed, encoding, ansatz in product(range(asked.seeds), get_args(Entry), ANSATZES):
        rows = runs.setdefault(f"{encoding}, {ansatz}", [])
        if len(rows) > seed:
            continue
        rows.append(one(encoding, ansatz, seed, asked.epochs))
        print(encoding, ansatz, seed, rows[-1], flush=True)
        if asked.json is not None:
            content = {"machine": machine.describe(), "epochs": asked.epochs, "runs": runs}
            write_json(asked.json, content)
    for name, rows in runs.items():
        values = np.array([row["test_loss"] for row in rows])
        if len(values) > 1:
            found = mean_estimate(values)
            print(
                f"{name:32} {rows[0]['weights']:4.0f} weights  {found.value:.4f} [{found.low:.4f}, "
                f"{found.high:.4f}]  identity {np.mean([r['identity_loss'] for r in rows]):.4f}"
            )


if __name__ == "__main__":
    main()
