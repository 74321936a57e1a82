"""Does training through a device's noise pay, and which way of it?

Usage: python benchmarks/train_on.py [--seeds 3] [--models line,q_dense] [--out FILE] [--work FOLDER]

Every way starts from the same exact run and trains it on for as many epochs: exactly, through the exact
noise of fake_torino, with drawn Paulis of it, or through noise that grows. Each is then judged by its
loss on test images, with the same noise of the process for all: without a device, through the noise of
the qubits that it was trained on, of another device, and of the worst line of fake_torino. A second
call goes on where the first stopped; ``--table`` prints the page's table.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.files import read_json_object, write_json
from qdm_qiskit.models import Denoiser
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import TrainedRun, load_run
from qdm_qiskit.training import TrainingConfig, load_split, resolve_run, train
from qdm_qiskit.training.objective import Objective
from qdm_qiskit.training.targets.target import training_target

HERE, OTHER = "fake_torino", "fake_fez"
FIRST, MORE = 30, 10
"""Epochs of the exact run, and of what follows it."""
MODELS: dict[str, dict[str, Any]] = {
    "line": {"image_size": 8, "latents": 4, "num_qubits": 4, "uploads": 3, "bricks": 1},
    "q_dense": {"image_size": 4, "depth": 4, "num_steps": 5},
}
DATA = {"classes": "0,1", "train_count": 120, "test_count": 40, "batch_size": 20}
WAYS: dict[str, dict[str, Any]] = {
    "exact": {},
    "noise": {"train_on": f"noisy:{HERE}"},
    "injection": {"train_on": f"noisy:{HERE}", "noise_injection": True},
    "growing": {"train_on": f"noisy:{HERE}", "noise_epochs": MORE // 2},
}
PLACES = ("no device", "trained", "other device", "worst line")


def worst_line(length: int) -> tuple[int, ...]:
    """Return the path of qubits of the device with the largest sum of errors of pairs and readout."""
    target = load_backend(HERE).target
    gate = "cz"
    pairs = {tuple(pair): each.error for pair, each in target[gate].items() if each is not None}
    pairs = {pair: error for pair, error in pairs.items() if error is not None and error < 1}
    read = {q[0]: each.error for q, each in target["measure"].items() if each is not None}
    best, found = -1.0, ()

    def walk(path: tuple[int, ...], badness: float) -> None:
        nonlocal best, found
        if len(path) == length:
            if badness > best:
                best, found = badness, path
            return
        for (one, two), error in pairs.items():
            if one == path[-1] and two not in path and read[two] < 0.4:
                walk((*path, two), badness + 10 * error + read[two])

    for start, error in read.items():
        if error < 0.4:
            walk((start,), error)
    return found


def settings(model: str, seed: int) -> dict[str, Any]:
    quick = {"baseline": False, "sample_every": 0, "checkpoint_every": 10_000, "seed": seed}
    return {**DATA, **MODELS[model], **quick}


def judged(run: TrainedRun, base: TrainingConfig, work: Path) -> dict[str, float]:
    """The test loss of a run at each place."""
    images = torch.from_numpy(load_split(run.config).test.images)
    objective = Objective(run.process, run.model)
    pairs = objective.pairs(images, torch.Generator().manual_seed(derived_seed(0, "noise", 7)))
    qubits = run.model.num_qubits
    on = {
        "no device": {},
        "trained": {"train_on": f"noisy:{HERE}"},
        "other device": {"train_on": f"noisy:{OTHER}"},
        "worst line": {"train_on": f"noisy:{HERE}", "train_layout": worst_line(qubits)},
    }
    return {
        name: loss_on(run.model, objective, pairs, replace(base, **on[name])) for name in PLACES
    }


def loss_on(model: Denoiser, objective: Objective, pairs: Any, config: TrainingConfig) -> float:
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        target = training_target(model, config, Path(folder))
        if target is None:
            return float(objective.losses(model, pairs, None).mean())
        with target.answering(model):
            target.begin(0, 0, 0)
            return float(objective.losses(model, pairs, None).mean())


def cell(model: str, way: str, seed: int, work: Path) -> dict[str, Any]:
    first = work / f"{model}-{seed}-first"
    if not (first / "done").exists():
        train(resolve_run(model, {**settings(model, seed), "epochs": FIRST}), first)
        (first / "done").touch()
    started = time.perf_counter()
    more = {**settings(model, seed), "epochs": MORE, "start_from": str(first), **WAYS[way]}
    with tempfile.TemporaryDirectory(dir=work) as folder:
        result = train(resolve_run(model, more), Path(folder) / "run")
        seconds = time.perf_counter() - started
        run = load_run(result.run)
        base = resolve_run(model, settings(model, 0)).training  # the same places for all
        return {"seconds": seconds, "losses": judged(run, base, work)}


def table(content: dict[str, Any]) -> str:
    """Losses, and differences from going on exactly, as mean and 95 % interval over the seeds."""
    lines = ["| model | trained on | " + " | ".join(PLACES) + " |", "|---" * 6 + "|"]
    for model in MODELS:
        seeds = sorted({key.split("/")[2] for key in content if key.startswith(f"{model}/")})
        seeds = [s for s in seeds if all(f"{model}/{way}/{s}" in content for way in WAYS)]
        if not seeds:
            continue
        for way in WAYS:
            words = []
            for place in PLACES:
                losses = [content[f"{model}/{way}/{s}"]["losses"][place] for s in seeds]
                exactly = [content[f"{model}/exact/{s}"]["losses"][place] for s in seeds]
                if way == "exact":
                    words.append(f"{np.mean(losses):.4f}")
                    continue
                gained = 100 * (np.array(losses) / np.array(exactly) - 1)
                half = 0.0
                if len(seeds) > 1:
                    half = student.ppf(0.975, len(seeds) - 1) * gained.std(ddof=1)
                    half /= math.sqrt(len(seeds))
                words.append(f"{gained.mean():+.1f} ± {half:.1f} %")
            lines.append(f"| `{model}` ({len(seeds)} seeds) | {way} | " + " | ".join(words) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/train_on.json"))
    parser.add_argument("--work", type=Path, default=Path("train_on_runs"))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    content: dict[str, Any] = {}
    if options.out.is_file():
        content = read_json_object(options.out)["cells"]
    if options.table:
        print(table(content))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        for model in options.models.split(","):
            for way in WAYS:
                key = f"{model}/{way}/{seed}"
                if key in content:
                    continue
                content[key] = cell(model, way, seed, options.work)
                write_json(
                    options.out,
                    {"epochs": [FIRST, MORE], "models": MODELS, "data": DATA, "cells": content},
                )
                print(key, json.dumps(content[key]), flush=True)
    print(table(content))


if __name__ == "__main__":
    main()
