"""Does it help to train on what the loader makes?

    python benchmarks/train_loader.py [--seeds 3] [--size 4] [--loader bricks:1] [--more 40]
    python benchmarks/train_loader.py --page

Q-Dense of digits of one class, entanglers on the line, is trained exactly until it has nearly
converged (``FIRST`` epochs). From there it goes on twice, on the same batches and noise: on exact
states, and on the states that the loader makes of them. Both are then asked through the loader, as a
device would, and with exact states: the mean squared error of a prediction on the test images, over
all steps. So what is compared is not how fast a model learns. Finished cells stay in
benchmarks/results/train_loader.json; --page prints the table of docs/loaders.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from scipy.stats import t as student

import qdm_qiskit as qdm
from qdm_qiskit.data import load_dataset
from qdm_qiskit.files import write_json
from qdm_qiskit.rng import derived_seed

RESULTS = Path(__file__).parent / "results" / "train_loader.json"
STEPS, BATCH, RATE, FIRST = 10, 20, 0.02, 150
WAYS = ("exact states", "through the loader")


@contextmanager
def loading(run: qdm.TrainedRun, loader: str | None) -> Iterator[Any]:
    """Give the run's model, which sees the states that a loader makes, or exact ones."""
    if loader is None:
        yield run.model
        return
    model = run.model.with_loader(loader)
    model.config = replace(model.config, train_loader=True)
    yield model.train()


def error(run: qdm.TrainedRun, images: torch.Tensor, loader: str | None) -> np.ndarray:
    """Squared error of each image's prediction of the step before, meaned over steps and pixels."""
    pairs = run.process.training_pairs(
        run.process.to_states(images), torch.Generator().manual_seed(1)
    )
    with torch.no_grad(), loading(run, loader) as model:
        losses = run.process.losses(model(pairs.noisy, pairs.step / STEPS), pairs)
    return losses.reshape(STEPS, -1).mean(dim=0).numpy()


def go_on(
    run: qdm.TrainedRun, images: torch.Tensor, loader: str | None, epochs: int, seed: int
) -> None:
    """Train a run on in place, by a step size that falls to a tenth of the first epochs'."""
    source = torch.Generator().manual_seed(derived_seed(seed, "noise", 9))
    with loading(run, loader) as model:
        optimizer = torch.optim.Adam(model.parameters(), RATE / 2)
        slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=RATE / 10)
        for _ in range(epochs):
            for rows in torch.randperm(len(images), generator=source).split(BATCH):
                states = run.process.to_states(images[rows])
                pairs = run.process.training_pairs(states, source)
                loss = run.process.losses(model(pairs.noisy, pairs.step / STEPS), pairs).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            slower.step()
        run.model.load_state_dict(model.state_dict())


def measure(size: int, loader: str, more: int, seed: int) -> dict[str, Any]:
    """Return the errors of a seed before and after each way of going on."""
    split = load_dataset("digits", image_size=size, classes=[0], seed=0)
    train, test = (torch.from_numpy(each.images) for each in (split.train, split.test))
    with tempfile.TemporaryDirectory() as folder:
        qdm.train(
            "q_dense",
            f"{folder}/run",
            image_size=size,
            depth=3,
            ancilla=True,
            entanglers="line",
            classes=(0,),
            epochs=FIRST,
            batch_size=BATCH,
            learning_rate=RATE,
            num_steps=STEPS,
            seed=seed,
            baseline=False,
            sample_every=0,
        )
        runs = {way: qdm.load_run(f"{folder}/run") for way in ("before", *WAYS)}
    seconds = {}
    for way in WAYS:
        started = time.process_time()
        go_on(runs[way], train, loader if way == WAYS[1] else None, more, seed)
        seconds[way] = time.process_time() - started
    asked = {
        way: {"exact": error(run, test, None), "loader": error(run, test, loader)}
        for way, run in runs.items()
    }
    gain = asked[WAYS[0]]["loader"] - asked[WAYS[1]]["loader"]
    return {
        "errors": {w: {n: float(e.mean()) for n, e in each.items()} for w, each in asked.items()},
        "gain": [float(gain.mean()), float(1.96 * gain.std(ddof=1) / len(gain) ** 0.5)],
        "images": len(test),
        "seconds": seconds,
    }


def page(cells: dict[str, Any]) -> str:
    """Return the table, with the gain over the seeds of each size and loader."""
    lines = [
        "| pixels, loader | seed | before, exact; asked through it | more on exact states; asked "
        "through it | more through it, exact; asked through it | gain (95 %, of images) |",
        "|---|---|---|---|---|---|",
    ]
    groups: dict[str, list[float]] = {}
    for key, cell in sorted(cells.items()):
        size, loader, more, seed = key.split("/")
        about = f"{size} x {size}, `{loader}`, {more} epochs more"
        told = [f"{e['exact']:.5f}; {e['loader']:.5f}" for e in ordered(cell["errors"])]
        gain, half = cell["gain"]
        lines.append(f"| {about} | {seed} | {' | '.join(told)} | {gain:+.5f} ± {half:.5f} |")
        groups.setdefault(about, []).append(gain)
    for about, gains in groups.items():
        if len(gains) > 1:
            half = student.ppf(0.975, len(gains) - 1) * np.std(gains, ddof=1) / len(gains) ** 0.5
            lines.append(f"| {about} | all | | | | {np.mean(gains):+.5f} ± {half:.5f} |")
    return "\n".join(lines)


def ordered(errors: dict[str, Any]) -> list[dict[str, float]]:
    """Return the errors in the order of the table; the file has them by name."""
    return [errors[way] for way in ("before", *WAYS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=4)
    parser.add_argument("--loader", default="bricks:1")
    parser.add_argument("--more", type=int, default=40, help="epochs behind the exact ones")
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    cells: dict[str, Any] = {}
    if RESULTS.is_file():
        cells = json.loads(RESULTS.read_text())["cells"]
    if options.page:
        print(page(cells))
        return
    machine.one_thread()
    for seed in range(options.seeds):
        key = f"{options.size}/{options.loader}/{options.more}/{seed}"
        if key not in cells:
            cells[key] = measure(options.size, options.loader, options.more, seed)
            write_json(RESULTS, {"machine": machine.describe(), "cells": cells})
            print(key, json.dumps(cells[key]), flush=True)


if __name__ == "__main__":
    main()
