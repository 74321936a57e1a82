"""Does the quantum natural gradient need fewer steps than Adam, and is it faster?

Two small tasks: the energy of a transverse-field Ising chain (4 qubits, 3 strongly entangling layers),
and Q-Dense with 4 layers on the embedded digits 0 and 1 at 4 x 4, in batches of 20 images with all 10
steps of each.

Each optimizer's settings are the best on two seeds that are not counted afterwards: those with the
lowest mean loss after 60 steps, of five step sizes for Adam and for the plain gradient, and of four
step sizes and two lambdas for the natural gradient, whose metric has the circuit's layers as blocks, or
the whole circuit. The goal is Adam's median loss after 60 steps on six other seeds; counted are the
steps to it on those seeds, 150 at most. The metric is taken on 32 samples of the batch.

    python benchmarks/natural_gradient.py [--task energy] [--json FILE]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from goal_steps import steps_to
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor, nn

from qdm_qiskit.circuits import CircuitSpec, ExpectationReadout, strongly_entangling_layers
from qdm_qiskit.diffusion import InterpolatedNoise
from qdm_qiskit.layers import QuantumLayer
from qdm_qiskit.models import build_model, resolve
from qdm_qiskit.training import load_split, resolve_run
from qdm_qiskit.training.natural_gradient import NaturalGradient

Setting = tuple[float, float]
"""Step size and lambda."""
NATURAL = tuple((rate, lambda_) for rate in (0.03, 0.1, 0.3, 1.0) for lambda_ in (0.01, 0.1))
SETTINGS: dict[str, tuple[Setting, ...]] = {
    "adam": tuple((rate, 0.0) for rate in (0.01, 0.03, 0.1, 0.3, 1.0)),
    "gradient": tuple((rate, 0.0) for rate in (0.03, 0.1, 0.3, 1.0, 3.0)),
    "layer": NATURAL,
    "circuit": NATURAL,
}
"""Of Adam, the plain gradient, and the natural one by its blocks."""
TUNING_STEPS, GOAL_STEPS, MOST_STEPS = 60, 60, 150
TUNING_SEEDS, SEEDS = (100, 101), tuple(range(6))

Task = Callable[[int], tuple[nn.Module, Callable[[int], Tensor], Callable[[], Tensor]]]
"""A seed to a model, the loss of each step, and the loss that is compared."""


class Energy(nn.Module):
    name = "energy"

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        chain = [("ZZ", [k, k + 1], -1.0) for k in range(3)] + [("X", [k], -1.0) for k in range(4)]
        self.observable = SparsePauliOp.from_sparse_list(chain, 4)
        spec = CircuitSpec(
            name="energy",
            circuit=strongly_entangling_layers(4, 3),
            encoding="angle",
            data_qubits=(0, 1, 2, 3),
            readout=ExpectationReadout(observables=(self.observable,)),
            source="a benchmark",
        )
        self.layer = QuantumLayer(spec, generator=generator)

    def forward(self) -> Tensor:
        return self.layer().mean()


def energy(seed: int) -> tuple[nn.Module, Callable[[int], Tensor], Callable[[], Tensor]]:
    model = Energy(torch.Generator().manual_seed(seed))
    return model, lambda _: model(), model


def digits() -> Task:
    name, process = "q_dense", InterpolatedNoise(10)
    run = {"image_size": 4, "depth": 4, "classes": (0, 1), "train_count": 80, "test_count": 40}
    split = load_split(resolve_run(name, run))
    train_set, test_set = (torch.from_numpy(part.images) for part in (split.train, split.test))

    def task(seed: int) -> tuple[nn.Module, Callable[[int], Tensor], Callable[[], Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        model = build_model(resolve(name, {"image_size": 4, "depth": 4}), generator=generator)
        test_pairs = process.training_pairs(process.to_states(test_set), generator)

        def loss_of(pairs) -> Tensor:
            prediction = model(pairs.noisy, pairs.step / process.num_steps)
            return process.losses(prediction, pairs).mean()

        def loss(step: int) -> Tensor:
            own = torch.Generator().manual_seed(1000 * seed + step)
            chosen = torch.randperm(len(train_set), generator=own)[:20]
            return loss_of(process.training_pairs(process.to_states(train_set[chosen]), own))

        return model, loss, lambda: loss_of(test_pairs)

    return task


def curve(
    task: Task, optimizer: str, setting: Setting, seed: int, steps: int
) -> tuple[list[float], float]:
    """The compared loss before each step and after the last, and the seconds of all steps."""
    model, loss, compared = task(seed)
    rate, lambda_ = setting
    chosen: torch.optim.Optimizer
    if optimizer == "adam":
        chosen = torch.optim.Adam(model.parameters(), lr=rate)
    elif optimizer == "gradient":
        chosen = torch.optim.SGD(model.parameters(), lr=rate)
    else:
        chosen = NaturalGradient(
            model,
            learning_rate=rate,
            circuit_learning_rate=rate,
            regularisation=lambda_,
            blocks=optimizer,
        )
    values, seconds = [], 0.0
    for step in range(steps):
        with torch.no_grad():
            values.append(float(compared()))
        started = time.perf_counter()
        chosen.zero_grad()
        loss(step).backward()
        chosen.step()
        seconds += time.perf_counter() - started
    with torch.no_grad():
        values.append(float(compared()))
    return values, seconds


def interval(values: list[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, size=(4000, len(values))), axis=1)
    return float(np.quantile(medians, 0.025)), float(np.quantile(medians, 0.975))


def compare(task: Task) -> dict[str, object]:
    """All optimizers on one task."""
    best: dict[str, Setting] = {}
    for name, settings in SETTINGS.items():
        ends = {
            setting: median(
                curve(task, name, setting, s, TUNING_STEPS)[0][-1] for s in TUNING_SEEDS
            )
            for setting in settings
        }
        best[name] = min(settings, key=lambda setting: ends[setting])
    runs = {
        name: [curve(task, name, best[name], seed, MOST_STEPS) for seed in SEEDS]
        for name in SETTINGS
    }
    goal = median(values[GOAL_STEPS] for values, _ in runs["adam"])
    found: dict[str, object] = {"goal": goal}
    adam = [steps_to(values, goal, MOST_STEPS) for values, _ in runs["adam"]]
    for name, results in runs.items():
        steps = [steps_to(values, goal, MOST_STEPS) for values, _ in results]
        found[name] = {
            "rate": best[name][0],
            "lambda": best[name][1],
            "steps": steps,
            "median_steps": median(steps),
            "steps_interval": interval(steps),
            "ratio_to_adam": median(a / b for a, b in zip(steps, adam, strict=True)),
            "ratio_interval": interval([a / b for a, b in zip(steps, adam, strict=True)]),
            "never": sum(step > MOST_STEPS for step in steps),
            "milliseconds_a_step": 1e3 * median(seconds for _, seconds in results) / MOST_STEPS,
            "last_loss": median(values[-1] for values, _ in results),
            "last_loss_interval": interval([values[-1] for values, _ in results]),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=("energy", "q_dense"), action="append")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.one_thread()
    tasks: dict[str, Callable[[], Task]] = {
        "energy": lambda: energy,
        "q_dense": digits,
    }
    found: dict[str, object] = {"machine": machine.describe()}
    for task in options.task or tasks:
        row = compare(tasks[task]())
        found[task] = row
        print(f"{task}: steps to a loss of {row['goal']:.5f}")
        for name in SETTINGS:
            one: dict = row[name]  # type: ignore[assignment]
            low, high = one["steps_interval"]
            a, b = one["ratio_interval"]
            print(
                f"  {name:>8} rate {one['rate']:<4} lambda {one['lambda']:<4} "
                f"{one['median_steps']:6.1f} "
                f"({low:.1f} .. {high:.1f})"
                f"  of Adam's {one['ratio_to_adam']:.2f} ({a:.2f} .. {b:.2f})  never {one['never']}"
                f"  {one['milliseconds_a_step']:.2f} ms  last {one['last_loss']:.5f}",
                flush=True,
            )
        if options.json is not None:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
