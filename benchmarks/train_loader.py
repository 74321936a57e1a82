"""Does it help to train on what the loader makes?

Two models of digits (4 x 4 pixels, one class, Q-Dense with its entanglers on the line) see the same
images and noise for as many epochs, one the exact states, one those of ``bricks:1``. Both are then
asked through the loader, as a device would: the mean squared error of their prediction on test images
over all steps, and beside it the error of the first one with exact states.

    python benchmarks/train_loader.py
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import machine
import numpy as np
import torch

import qdm_qiskit as qdm
from qdm_qiskit.data import load_dataset

LOADER = "bricks:1"
STEPS = 10


def error(run: qdm.TrainedRun, images: torch.Tensor, *, through: bool) -> np.ndarray:
    """Squared error of each image's prediction of the step before, meaned over steps and pixels."""
    model = run.model
    model = model.with_loader(LOADER)
    model.config = replace(model.config, train_loader=True)
    model.train(through)
    pairs = run.process.training_pairs(
        run.process.to_states(images), torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        losses = run.process.losses(model(pairs.noisy, pairs.step / STEPS), pairs)
    return losses.reshape(STEPS, -1).mean(dim=0).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    machine.one_thread()
    split = load_dataset("digits", image_size=4, classes=[0], seed=0)
    images = torch.from_numpy(split.test.images)
    for seed in range(options.seeds):
        told = []
        for through in (False, True):
            folder = Path(tempfile.mkdtemp()) / "run"
            extra = {"loader": LOADER, "train_loader": True} if through else {}
            qdm.train(
                "q_dense",
                folder,
                image_size=4,
                depth=3,
                ancilla=True,
                entanglers="line",
                classes=(0,),
                epochs=options.epochs,
                batch_size=20,
                learning_rate=0.02,
                num_steps=STEPS,
                seed=seed,
                baseline=False,
                sample_every=0,
                **extra,
            )
            run = qdm.load_run(folder)
            if not through:
                told.append(error(run, images, through=False))
            told.append(error(run, images, through=True))
        exact, plain, trained = (each.mean() for each in told)
        gain = told[1] - told[2]
        half = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
        print(
            f"seed {seed}: exact states {exact:.5f}, through the loader {plain:.5f}, trained through "
            f"it {trained:.5f}; gain {gain.mean():.5f} +- {half:.5f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
