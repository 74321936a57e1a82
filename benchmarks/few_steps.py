"""How many steps does a model need, and does a variance corrected for its own error save any?

Usage: python benchmarks/few_steps.py [--model q_dense] [--epochs 200] [--count 512] [--out FILE]

Trains a model that predicts noise on the digits (a small perceptron, or one of the package by its
name), samples it in K of T steps by each sampler, and prints domain Fréchet distances to the test
images with bootstrap intervals, and the spread of pixels. Then a student, which starts from the
teacher's weights, learns the teacher's DDIM result of all T steps in one (distillation), and stands in
the same table.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

import qdm_qiskit as qdm
from qdm_qiskit.data import cache_folder
from qdm_qiskit.evaluation.bootstrap import bootstrap_interval
from qdm_qiskit.evaluation.distances import frechet_distance
from qdm_qiskit.evaluation.domain_classifier import domain_classifier
from qdm_qiskit.rng import stream
from qdm_qiskit.sampling import TrainedRun, load_run
from qdm_qiskit.sampling.analytic import AnalyticDPM, data_errors
from qdm_qiskit.sampling.discrete import DDIM, DDPM, trailing_steps
from qdm_qiskit.sampling.schedulers import scheduled_chain
from qdm_qiskit.training import load_split, resolve_run, train

STEPS = (1, 2, 3, 5, 10, 20)
T = 20


@dataclass(frozen=True, kw_only=True)
class PerceptronOptions:
    image_size: int = 8
    channels: int = 1
    width: int = 192


class Perceptron(qdm.Denoiser):
    """Two hidden layers, told the time by its sine and cosine."""

    name = "perceptron"
    config_class = PerceptronOptions
    state_space = "real"

    def __init__(self, config, *, generator=None):
        super().__init__()
        self.config, pixels = config, config.channels * config.image_size**2
        self.image_shape = (config.channels, config.image_size, config.image_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0 if generator is None else generator.initial_seed() % 2**31)
            self.body = nn.Sequential(
                *(nn.Linear(pixels + 4, config.width), nn.SiLU()),
                *(nn.Linear(config.width, config.width), nn.SiLU()),
                nn.Linear(config.width, pixels),
            )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        told = [f(k * math.pi * t / 2) for k in (1, 2) for f in (torch.sin, torch.cos)]
        return self.body(torch.cat([x.flatten(1), torch.stack(told, 1)], 1)).reshape(x.shape)


def trained(model: str, epochs: int, folder: Path) -> TrainedRun:
    own = model == Perceptron.name
    process = (
        {"process": "ddpm", "schedule": "linear", "beta_start": 0.01, "beta_end": 0.4}
        if own
        else {"process": "gaussian", "goal": "noise"}
    )
    settings = {"dataset": "digits", "num_steps": T, "epochs": epochs, "batch_size": 64, **process}
    settings |= {"sample_every": 0, "baseline": False, "checkpoint_every": 10_000}
    settings |= {"learning_rate": 2e-3, "weighted": False}
    train(resolve_run(Perceptron if own else model, settings), folder)
    return load_run(folder, model_class=Perceptron if own else None)


def draw(run: TrainedRun, sampler, steps: int, count: int, seed: int = 0, x=None) -> torch.Tensor:
    def generator(t: int) -> torch.Generator:
        return torch.Generator().manual_seed(1000 * seed + t)

    def prediction(x: torch.Tensor, t: int) -> torch.Tensor:
        told = torch.full((len(x),), t / run.process.num_steps)
        return torch.cat(
            [run.model(a, b) for a, b in zip(x.split(256), told.split(256), strict=True)]
        )

    if x is None:
        x = run.process.start((count, *run.model.state_shape), generator(0))
    with torch.no_grad():
        data = scheduled_chain(
            run.process, prediction, x, generator, scheduler=sampler, steps=steps
        )
        return run.model.decode_data(data)


def distilled(run: TrainedRun, pairs: int, epochs: int, seed: int = 7) -> TrainedRun:
    """A student whose estimate of x_0 at T is the teacher's DDIM result of all steps."""
    process, last = run.process, run.process.num_steps
    rng = torch.Generator().manual_seed(seed)
    x = process.start((pairs, *run.model.state_shape), rng)
    goal = draw(run, DDIM(), last, pairs, x=x)
    student = copy.deepcopy(run.model)
    share = float(torch.cumprod(1 - process.noise_betas, 0)[-1])
    optimizer = torch.optim.Adam(student.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-pairs // 64))
    for _ in range(epochs):
        for rows in torch.randperm(pairs, generator=rng).split(64):
            noise = process.noise_of(student(x[rows], torch.ones(len(rows))), last)
            found = (x[rows] - math.sqrt(1 - share) * noise) / math.sqrt(share)
            loss = (process.to_images(found) - goal[rows]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    print(f"distilled: {float(loss) ** 0.5:.3f} from the teacher, root mean square", flush=True)
    return replace(run, model=student.eval())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=Perceptron.name)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=4096)
    parser.add_argument("--distill-epochs", type=int, default=40)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = trained(chosen.model, chosen.epochs, Path(folder) / "run")
        split = load_split(run.config)
        judge = domain_classifier(
            *(split.train.images, split.train.labels, split.test.images, split.test.labels),
            folder=cache_folder() / "evaluation",
        )
        real = judge.read(split.test.images)[0]

        def distance(images: torch.Tensor) -> tuple[float, float, float, float]:
            ours = judge.read(images.numpy())[0]
            found = bootstrap_interval(
                lambda i, j: frechet_distance(ours[i], real[j]),
                [len(ours), len(real)],
                stream(0, "evaluation", 0),
                resamples=100,
            )
            return found.estimate, found.low, found.high, spread(images)

        def spread(images: torch.Tensor) -> float:
            return float(images.flatten(1).std(dim=0).mean())

        rows = {"training images": [distance(torch.from_numpy(split.train.images[:512]))]}
        for name, make in {
            "ddim": lambda errors: DDIM(),
            "ddpm": lambda errors: DDPM(),
            "analytic": lambda errors: AnalyticDPM(errors),
            "analytic, eta 1": lambda errors: AnalyticDPM(errors, 1.0),
        }.items():
            rows[name] = []
            for steps in STEPS:
                errors = data_errors(run, trailing_steps(run.process.num_steps, steps))
                rows[name].append(distance(draw(run, make(errors), steps, chosen.count)))
        student = distilled(run, chosen.pairs, chosen.distill_epochs)
        rows["distilled, 1 step"] = [distance(draw(student, DDIM(), 1, chosen.count, seed=3))]
    for name, values in rows.items():
        print(f"{name:18}", *(f"{a:5.1f} [{b:5.1f},{c:5.1f}] {d:.3f} |" for a, b, c, d in values))
    if chosen.out is not None:
        content = {"model": chosen.model, "epochs": chosen.epochs, "steps": STEPS, "rows": rows}
        chosen.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
