"""Does a latent mixed-state QuDDPM make digits, and would anything simpler do as well?

For each seed the preset `mixed-digits` is trained with circuits, with circuits that forget all their
ancillas, with circuits that draw all of them, and with classical networks of as many numbers. Samples
of each, and of what needs no training, are held to latents of unseen digits: Wasserstein distance
(exact, squared, in the Frobenius norm of qubits' states) and maximum mean discrepancy (unbiased, kernel
`exp(-sum_k |rho_k - sigma_k|^2)`), and the mean purity of a qubit. Without training stand noise, noise
depolarized to the purity of the data, a normal distribution fitted to the training latents, and
training latents themselves, which are as near as anything can be. Means over seeds with 95 % intervals
by Student's t; differences from the circuits are paired by seed.

    python benchmarks/mixed.py [--seeds 3] [--epochs 20] [--json FILE]

A file that was interrupted holds what was done, and is gone on with.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from seeds import cell, interval, read_runs
from torch import Tensor

import qdm_qiskit as qdm
from qdm_qiskit.diffusion.ensembles import chords
from qdm_qiskit.diffusion.mixed_states import in_ball
from qdm_qiskit.files import write_json
from qdm_qiskit.sampling import TrainedRun
from qdm_qiskit.training.run_data import load_data

PRESET = "mixed-digits"
VARIANTS: dict[str, dict[str, Any]] = {
    "circuits": {},
    "circuits, nothing drawn": {"num_ancillas": 0, "num_traced": 2},
    "circuits, all drawn": {"num_ancillas": 2, "num_traced": 0},
    "networks": {"step": "network"},
}
TRIVIAL = ("noise", "depolarized noise", "normal distribution", "training latents")
METRICS = ("wasserstein", "mmd", "purity")


def wasserstein(one: Tensor, other: Tensor) -> float:
    """Return the cost of the best assignment of rows of Bloch vectors."""
    cost = torch.cdist(one.double(), other.double()).square().numpy() / 2
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())


def mmd(one: Tensor, other: Tensor) -> float:
    """Return the unbiased discrepancy of rows of Bloch vectors."""
    inside = []
    for each in (one, other):
        matrix = chords(each[None].double(), each[None].double())[0]
        inside.append(float(matrix.sum() - matrix.diagonal().sum()) / (len(each) * (len(each) - 1)))
    return (
        inside[0] + inside[1] - 2 * float(chords(one[None].double(), other[None].double()).mean())
    )


def measured(made: Tensor, data: Tensor) -> dict[str, float]:
    """Return all metrics of samples."""
    squared = made.unflatten(1, (-1, 3)).square().sum(dim=2)
    return {
        "wasserstein": wasserstein(made, data),
        "mmd": mmd(made, data),
        "purity": float((1 + squared).mean()) / 2,
    }


def latents(run: TrainedRun) -> tuple[Tensor, Tensor]:
    """Return the states of a run's training and test images."""
    split = load_data(run.config).split
    with torch.no_grad():
        found = [
            run.process.to_states(run.model.encode_data(torch.from_numpy(each.images)))
            for each in (split.train, split.test)
        ]
    return found[0], found[1]


def trivial(run: TrainedRun, seed: int) -> dict[str, dict[str, float]]:
    """Return the metrics of what needs no training."""
    train, test = latents(run)
    generator = torch.Generator().manual_seed(seed)
    shape = tuple(test.shape)
    noise = run.process.start(shape, generator)
    size = (train.square().sum(1).mean() / noise.square().sum(1).mean()).sqrt()
    normal = torch.distributions.MultivariateNormal(train.mean(0), torch.cov(train.t()))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        drawn = normal.sample((len(test),))
    some = train[torch.randperm(len(train), generator=generator)[: len(test)]]
    made = (noise, in_ball(size * noise), in_ball(drawn), some)
    return {name: measured(each, test) for name, each in zip(TRIVIAL, made, strict=True)}


def one(variant: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train and sample a variant with one seed."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        options = {"epochs": epochs, "log_with": "none", **VARIANTS[variant]}
        qdm.train(PRESET, Path(folder) / "run", seed=seed, baseline=False, **options)
        seconds = time.process_time() - start
        run = qdm.load_run(Path(folder) / "run")
    _, test = latents(run)
    generator = torch.Generator().manual_seed(seed + 100)
    x = run.process.start(tuple(test.shape), generator)
    steps = run.process.num_steps
    with torch.no_grad():
        for step in range(steps, 0, -1):
            said = run.model(x, torch.full((len(x),), step / steps))
            x = run.process.reverse_step(x, step, said, generator)
    return {
        "metrics": measured(x, test),
        "trivial": trivial(run, seed) if variant == "circuits" else {},
        "purity of the data": measured(test, test)["purity"],
        "parameters": run.model.num_parameters,
        "in_circuits": run.model.num_quantum_parameters,
        "seconds": seconds,
    }


def table(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return means, and differences from the circuits paired by seed."""
    base = runs.get("circuits", {})
    values: dict[str, dict[str, dict[str, float]]] = {
        name: {seed: each["trivial"][name] for seed, each in base.items()} for name in TRIVIAL
    }
    for name, seeds in runs.items():
        values[name] = {seed: each["metrics"] for seed, each in seeds.items()}
    found: dict[str, Any] = {}
    for name, mine in values.items():
        seeds = sorted(set(mine) & set(base))
        if len(seeds) < 2:
            continue
        found[name] = {
            "seeds": len(seeds),
            "parameters": runs[name][seeds[0]]["parameters"] if name in runs else 0,
            "metrics": {m: interval([mine[s][m] for s in seeds]) for m in METRICS},
            "less_circuits": {
                m: interval([mine[s][m] - base[s]["metrics"][m] for s in seeds])
                for m in ("wasserstein", "mmd")
                if name != "circuits"
            },
        }
    return found


def markdown(found: dict[str, Any]) -> str:
    """Return the table of the page."""
    lines = ["| | numbers | Wasserstein | MMD | purity | Wasserstein less that of circuits |"]
    lines.append("|---|---:|---|---|---|---|")
    for name, row in found.items():
        cells = [cell(row["metrics"][m]) for m in METRICS]
        less = row["less_circuits"].get("wasserstein")
        cells.append("" if less is None else cell(less, "+.4f"))
        lines.append(f"| {name} | {row['parameters']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is not measured yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    runs: dict[str, dict[str, Any]] = read_runs(asked.json)
    for seed in map(str, range(asked.seeds)):
        for variant in VARIANTS:
            if seed in runs.get(variant, {}):
                continue
            found = one(variant, int(seed), asked.epochs)
            runs.setdefault(variant, {})[seed] = found
            print(variant, seed, found["metrics"], f"{found['seconds']:.0f} s", flush=True)
            if asked.json is not None:
                about = {
                    "date": date.today().isoformat(),
                    "machine": machine.describe(),
                    "epochs": asked.epochs,
                }
                write_json(asked.json, {**about, "table": table(runs), "runs": runs})
    print(markdown(table(runs)))


if __name__ == "__main__":
    main()
