"""Is there a setting in which the circuit with CZ beats the one without, and the linear map?

    python benchmarks/line_search.py [--seeds 3] [--first-seed 0] [--steps 400] [--only TEXT] [--page]

Each setting is trained three times from seeds of its own with and without CZ, on the same batches and
noise; the linear map is fitted. Losses are of the test images, on the same noise for all; a difference
counts if the interval of its mean over seeds and images, paired, leaves out 0. Settings are of data
sets, latents, widths, uploads, readouts, guidance, and of ensembles that look like states: rings and
parities, in which what matters is not in any single value. Results stay in
benchmarks/results/line_search.json, and a run that was interrupted goes on; --page prints the table
of docs/line.md. With other seeds or steps than the defaults a setting is another row, so that what
looks best can be asked once more, by seeds that had no part in choosing it.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

from qdm_qiskit.data import load_dataset
from qdm_qiskit.diffusion import VelocityPrediction
from qdm_qiskit.files import write_json
from qdm_qiskit.models.beside import LinearMap, Mlp
from qdm_qiskit.models.line import Line, LineConfig
from qdm_qiskit.models.whitened_codecs import make_whitened
from qdm_qiskit.rng import derived_seed

RESULTS = Path(__file__).parent / "results" / "line_search.json"
SEEDS, STEPS, BATCH, RATE, DRAWS = 3, 400, 128, 0.02, 4
PROCESS = VelocityPrediction(10, radius=3.5)
Data = tuple[Tensor, Tensor, Tensor, Tensor]
"""Latents and labels of training and of test."""


def of_images(
    dataset: str,
    codec: str,
    latents: int,
    classes: tuple[int, ...] = (),
    folder: Path | None = None,
) -> Data:
    """Return whitened latents of images of 8 x 8 pixels."""
    split = load_dataset(
        dataset, image_size=8, channels=1, classes=classes or None, seed=0, folder=folder
    )
    train, test = (torch.from_numpy(each.images[:4000]) for each in (split.train, split.test))
    made: Any = make_whitened(codec, (1, 8, 8), latents)
    made.fit(train, torch.Generator().manual_seed(0))
    known = np.unique(split.train.labels)
    labels = [
        torch.from_numpy(np.searchsorted(known, each.labels[:4000]))
        for each in (split.train, split.test)
    ]
    x, y = (PROCESS.to_states(made.encode(each)) for each in (train, test))
    return x, labels[0], y, labels[1]


def parity(size: int) -> Data:
    """Signs of unit size whose product is +1: no value, and no pair of three or more, tells it."""
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], (2400, size))
    signs[:, 0] = signs[:, 1:].prod(axis=1)
    return _halves(signs + 0.15 * rng.normal(size=signs.shape))


def rings(pairs: int) -> Data:
    """Points of circles in planes, the angle of each the sum of those before it."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 2 * math.pi, (2400, pairs)).cumsum(axis=1)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=2).reshape(2400, -1) * math.sqrt(2)
    return _halves(points + 0.1 * rng.normal(size=points.shape))


def amplitudes(qubits: int) -> Data:
    """Real amplitudes of states of a random brick circuit of small angles: clustered, entangled."""
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import Statevector

    rng, rows = np.random.default_rng(0), []
    for _ in range(1600):
        circuit = QuantumCircuit(qubits)
        for layer in range(3):
            for q in range(qubits):
                circuit.ry(rng.normal(scale=0.8) + 0.5, q)
            for q in range(layer % 2, qubits - 1, 2):
                circuit.cz(q, q + 1)
        rows.append(Statevector(circuit).data.real)
    found = np.array(rows)
    return _halves((found - found.mean(0)) / found.std(0))


def _halves(values: np.ndarray) -> Data:
    x = torch.tensor(values, dtype=torch.float32).clamp(-3.5, 3.5)
    zeros, half = torch.zeros(len(x), dtype=torch.int64), len(x) // 2
    return x[:half], zeros[:half], x[half:], zeros[half:]


def settings(fashion: Path | None) -> dict[str, tuple[Callable[[], Data], LineConfig]]:
    """Return data and circuit of each setting, by a name that says both.

    Args:
        fashion: Folder of Fashion-MNIST's files, None where its package put them.
    """
    found: dict[str, tuple[Callable[[], Data], LineConfig]] = {}

    def add(name: str, data: Callable[[], Data], **options: Any) -> None:
        base: dict[str, Any] = {"image_size": 8, "num_qubits": 6, "uploads": 4, "bricks": 3}
        found[name] = (data, LineConfig(**{**base, **options}))

    for codec, latents, guided in product(("pca", "autoencoder"), (4, 8), (False, True)):
        add(
            f"digits, {codec}, {latents} latents{', by class' if guided else ''}",
            lambda codec=codec, latents=latents: of_images("digits", codec, latents),
            latents=latents,
            guided=guided,
        )
    pca8 = partial(of_images, "digits", "pca", 8)
    for qubits, uploads in ((4, 4), (8, 4), (6, 2), (6, 6)):
        add(
            f"digits, pca, 8 latents, {qubits} qubits, {uploads} uploads",
            pca8,
            latents=8,
            num_qubits=qubits,
            uploads=uploads,
            bricks=uploads - 1,
        )
    for readouts in ("z", "zz_line"):
        add(f"digits, pca, 8 latents, reads {readouts}", pca8, latents=8, readouts=readouts)
        add(f"parity of 4 signs, reads {readouts}", lambda: parity(4), latents=4, readouts=readouts)
    add("digits 3 and 8, pca, 8 latents", lambda: of_images("digits", "pca", 8, (3, 8)), latents=8)
    for size in (3, 4, 6):
        add(f"parity of {size} signs", lambda size=size: parity(size), latents=size)
    for pairs in (2, 3):
        add(f"rings in {pairs} planes", lambda pairs=pairs: rings(pairs), latents=2 * pairs)
    add("parity of 6 signs, 6 uploads", lambda: parity(6), latents=6, uploads=6, bricks=5)
    add("rings in 2 planes, 6 uploads", lambda: rings(2), latents=4, uploads=6, bricks=5)
    for qubits in (2, 3):
        add(
            f"states of {qubits} qubits",
            lambda qubits=qubits: amplitudes(qubits),
            latents=2**qubits,
        )
    for guided in (False, True):
        add(
            f"fashion-mnist, pca, 8 latents{', by class' if guided else ''}",
            lambda: of_images("fashion-mnist", "pca", 8, folder=fashion),
            latents=8,
            guided=guided,
        )
    return found


def trained(model: Any, data: Data, seed: int, steps: int) -> Any:
    """Train by Adam on batches and noise of the seed, the same for every model."""
    x_0, labels = data[0], data[1]
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=0.02 * RATE)
    source = torch.Generator().manual_seed(derived_seed(seed, "noise"))
    for _ in range(steps):
        rows = torch.randint(len(x_0), (BATCH,), generator=source)
        pairs = PROCESS.training_pairs(x_0[rows], source)
        told = labels[rows] if model.config.guided else None
        loss = PROCESS.losses(model(pairs.noisy, pairs.step / 10, told), pairs).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def losses(model: Any, data: Data) -> np.ndarray:
    """Return the loss of each test row, the mean of draws that are the same for every model."""
    source = torch.Generator().manual_seed(99)
    total = torch.zeros(len(data[2]))
    for _ in range(DRAWS):
        pairs = PROCESS.training_pairs(data[2], source)
        told = data[3] if model.config.guided else None
        total += PROCESS.losses(model(pairs.noisy, pairs.step / 10, told), pairs)
    return (total / DRAWS).double().numpy()


def paired(other: np.ndarray, own: np.ndarray) -> list[float]:
    """Return how much ``other`` loses beside ``own``, with half of its 95 % interval.

    Both ``(seeds, rows)``. The variance is that over seeds and that over rows, added; with few seeds
    Student's quantile takes the place of the normal one for the former.
    """
    difference = other - own
    seeds, rows = difference.shape
    over_rows = 1.96 * difference.mean(axis=0).std(ddof=1) / math.sqrt(rows)
    over_seeds = (
        student.ppf(0.975, seeds - 1) * difference.mean(axis=1).std(ddof=1) / math.sqrt(seeds)
    )
    return [float(difference.mean()), float(math.hypot(over_rows, over_seeds))]


def measure(data: Data, config: LineConfig, seeds: range, steps: int) -> dict[str, Any]:
    """Return the losses of a setting, and the differences with their intervals."""
    if config.guided:
        config = replace(config, num_classes=int(data[1].max()) + 1)
    found: dict[str, list[np.ndarray]] = {"cz": [], "no cz": [], "linear": [], "mlp": []}
    for seed in seeds:
        start = derived_seed(seed, "init")
        codec = make_whitened("pca", (1, 8, 8), config.latents)
        for name, options in (("cz", config), ("no cz", config.without_entanglers())):
            model = Line(options, generator=torch.Generator().manual_seed(start))
            found[name].append(losses(trained(model, data, seed, steps), data))
        size = model.num_parameters
        net = Mlp(config, codec, size, torch.Generator().manual_seed(start))
        found["mlp"].append(losses(trained(net, data, seed, steps), data))
        source = torch.Generator().manual_seed(derived_seed(seed, "noise", 1))
        pairs = PROCESS.training_pairs(data[0].repeat(8, 1), source)
        line = LinearMap(config, codec)
        told = data[1].repeat(8) if config.guided else None
        line.fit(pairs.noisy, pairs.step / 10, told, pairs.target)
        found["linear"].append(losses(line, data))
    arrays = {name: np.stack(each) for name, each in found.items()}
    return {
        "losses": {name: float(each.mean()) for name, each in arrays.items()},
        "parameters": size,
        "seeds": len(seeds),
        "above cz": {
            name: paired(arrays[name], arrays["cz"]) for name in ("no cz", "linear", "mlp")
        },
    }


def page(done: dict[str, Any]) -> str:
    """Return the table of docs/line.md."""
    lines = [
        "| setting | with CZ | no CZ, above | linear, above | MLP, above | CZ beats both |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, each in done.items():
        names = ("no cz", "linear", "mlp")  # in the file they are sorted
        above = [f"{m:+.4f} ± {h:.4f}" for m, h in (each["above cz"][name] for name in names)]
        beats = all(m > h for m, h in (each["above cz"][k] for k in ("no cz", "linear")))
        cells = [f"{each['losses']['cz']:.4f}", *above, "yes" if beats else "no"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="at least 2")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--fashion", type=Path, help="folder of Fashion-MNIST's files")
    parser.add_argument("--only", default="")
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    done: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if asked.page:
        print(page(done))
        return
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    other = (
        (asked.steps != STEPS, f"{asked.steps} steps"),
        (seeds != range(SEEDS), f"seeds {seeds[0]} to {seeds[-1]}"),
    )
    added = "".join(f", {words}" for wanted, words in other if wanted)
    for setting, (data, config) in settings(asked.fashion).items():
        name = setting + added
        if name in done or asked.only not in setting:
            continue
        found = measure(data(), config, seeds, asked.steps)
        # Read again: another process may have added to it.
        done = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        done[name] = found
        write_json(RESULTS, done)
        print(name, done[name]["losses"], done[name]["above cz"], flush=True)


if __name__ == "__main__":
    main()
