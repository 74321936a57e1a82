"""Does training through a device's noise pay, and which way of it?

Usage: python benchmarks/train_on.py [--seeds 0 1 2] [--studies line,q_dense_ancilla,q_dense]
           [--out FILE] [--work FOLDER]

Every way starts from the same exact run and trains it on for as many epochs: exactly, through the exact
noise of fake_torino, with drawn Paulis of it, or through noise that grows. Each is then judged by its
loss on test images, with the same noise of the process for all: without a device, through the noise of
the qubits that it was trained on, of another device, and of the worst line of fake_torino. Beside them
stand what costs nothing: the mean of all training targets, that of each time's, and no change at all.
Losses below those are what the question is about. A second call goes on where the first stopped;
``--table`` prints the page's table.

``line`` is the flagship: the preset of ten digits by class, whole, and 30 epochs more. Its worst line
is the worst usable one of ``line_targets.py``, through whose noise it is trained too; its exact
weights are also judged with a head that was fitted again at each place (300 circuits of 256 shots),
which needs no training; and 200 images of each are drawn with 256 shots on the qubits that it was
trained on and on the worst line, and named by a classifier. The others' worst line is the worst path
of all couplers that work, usable or not.

``q_dense_ancilla`` was chosen by exact runs alone: without the ancilla the probabilities of all pixels
sum to 1, so that an image's mean is 1 before it is clamped, and no digit is that bright.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from line_targets import lines, metrics
from scipy.stats import t as student
from torch import Tensor

from qdm_qiskit.diffusion import TrainingPairs
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.files import read_json_object, write_json
from qdm_qiskit.models import Denoiser
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import TrainedRun, load_run
from qdm_qiskit.tasks import refit, sample
from qdm_qiskit.training import load_split, resolve_run, train
from qdm_qiskit.training.objective import Objective
from qdm_qiskit.training.run_data import class_indices, classes_of
from qdm_qiskit.training.targets.target import TrainingTarget, training_target

HERE, OTHER = "fake_torino", "fake_fez"


@dataclass(frozen=True)
class Study:
    """A model that is asked the question."""

    model: str
    options: dict[str, Any]
    first: int = 30
    """Epochs of the exact run."""
    more: int = 10
    """Epochs of what follows it."""
    slower: dict[str, Any] = field(default_factory=dict)
    """Options of what follows it."""
    preset: bool = False
    """Take the images and epochs of a preset, which ``model`` names."""
    draws: int = 1
    """Noisy states of each test image."""

    @property
    def ways(self) -> tuple[str, ...]:
        """Return the ways of going on, "refit" without any epoch."""
        return FLAGSHIP_WAYS if self.preset else WAYS


STUDIES = {
    "line": Study(
        "line-digits-guided",
        {},
        first=400,
        more=30,
        slower={"learning_rate": 0.003, "decay_factor": 0.5},
        preset=True,
        draws=4,
    ),
    "q_dense": Study("q_dense", {"image_size": 4, "depth": 4, "num_steps": 5}),
    "q_dense_ancilla": Study(
        "q_dense",
        {
            "image_size": 4,
            "depth": 12,
            "num_steps": 5,
            "ancilla": True,
            "entanglers": "line",
            "learning_rate": 0.02,
        },
        first=100,
        more=20,
    ),
}
DATA = {"classes": "0,1", "train_count": 120, "test_count": 40, "batch_size": 20}
WAYS = ("exact", "noise", "injection", "growing")
FLAGSHIP_WAYS = ("exact", "refit", "noise", "injection", "noise of the worst line")
SHOTS, CIRCUITS, IMAGES = 256, 300, 200
DRAWN_AT = ("trained", "worst line")
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


@cache
def worst_usable(length: int = 6) -> tuple[int, ...]:
    """Return the worst line whose CZ and readouts are all within ``line_targets.py``'s limits."""
    return lines(load_backend(HERE), length)[0][1]


def settings(study: str, seed: int) -> dict[str, Any]:
    """Return the options of a study's runs."""
    quick = {"baseline": False, "sample_every": 0, "checkpoint_every": 10_000, "seed": seed}
    data = {} if STUDIES[study].preset else DATA
    return {**data, **STUDIES[study].options, **quick}


def way_options(study: str, way: str) -> dict[str, Any]:
    """Return what a way of going on adds to them."""
    here = {"train_on": f"noisy:{HERE}"}
    more = {
        "exact": {},
        "noise": here,
        "injection": {**here, "noise_injection": True},
        "growing": {**here, "noise_epochs": STUDIES[study].more // 2},
        "noise of the worst line": {**here, "train_layout": worst_usable()},
    }
    return more[way]


def exact_run(study: str, seed: int, work: Path) -> Path:
    """Return the folder of the exact run that all ways start from; it is trained once."""
    first = work / f"{study}-{seed}-first"
    if not (first / "done").exists():
        options = {**settings(study, seed), "epochs": STUDIES[study].first}
        train(resolve_run(STUDIES[study].model, options), first)
        (first / "done").touch()
    return first


class Places:
    """What answers the circuits at each place, transpiled once for all ways of a seed.

    Args:
        study: Whose model.
        seed: Of its runs, from which their qubits follow.
        run: Any run of it.
        shots: Of each row, to have each place with shots too; None for exact values alone.
    """

    def __init__(self, study: str, seed: int, run: TrainedRun, shots: int | None = None) -> None:
        base = resolve_run(STUDIES[study].model, settings(study, seed)).training
        on: dict[str, dict[str, Any]] = {
            "no device": {},
            "trained": {"train_on": f"noisy:{HERE}"},
            "other device": {"train_on": f"noisy:{OTHER}"},
            "worst line": {
                "train_on": f"noisy:{HERE}",
                "train_layout": (
                    worst_usable(run.model.num_qubits)
                    if STUDIES[study].preset
                    else worst_line(run.model.num_qubits)
                ),
            },
        }
        self.targets: dict[str, TrainingTarget | None] = {}
        self.qubits: dict[str, list[int]] = {}
        for name in PLACES:
            for count in (None, shots) if shots else (None,):
                config = replace(base, **on[name], train_shots=count)
                with tempfile.TemporaryDirectory() as folder:
                    target = training_target(run.model, config, Path(folder))
                    if target is not None and config.train_on.startswith("noisy:"):
                        kept = read_json_object(Path(folder) / "train_on.json")["devices"]
                        [[place]] = kept.values()
                        self.qubits[name] = place["physical_qubits"]
                self.targets[name if count is None else f"{name}, {count} shots"] = target

    @contextmanager
    def answering(self, name: str, model: Denoiser) -> Iterator[None]:
        """Let a place answer the circuits of a model."""
        target = self.targets[name]
        if target is None:
            yield
            return
        with target.answering(model):
            target.begin(0, 0, 0)
            yield


def tested(run: TrainedRun, draws: int) -> tuple[TrainingPairs, Tensor | None]:
    """Return the noisy test images that all are judged by, and their labels if those are told."""
    split = load_split(run.config)
    images = torch.from_numpy(split.test.images).repeat(draws, 1, 1, 1)
    noise = torch.Generator().manual_seed(derived_seed(0, "noise", 7))
    pairs = Objective(run.process, run.model).pairs(images, noise)
    if not getattr(run.model.config, "guided", False):
        return pairs, None
    labels = torch.from_numpy(class_indices(split.test.labels, classes_of(split)))
    return pairs, labels.repeat(draws)


def loss_at(run: TrainedRun, places: Places, name: str, draws: int) -> float:
    """Return the test loss of a run at a place."""
    pairs, labels = tested(run, draws)
    with torch.no_grad(), places.answering(name, run.model):
        return float(Objective(run.process, run.model).losses(run.model, pairs, labels).mean())


def judged(run: TrainedRun, places: Places, draws: int = 1) -> dict[str, float]:
    """Return the test loss of a run at each place."""
    return {name: loss_at(run, places, name, draws) for name in PLACES}


def at_device(run: TrainedRun, places: Places, name: str) -> tuple[str, dict[str, Any]]:
    """Return the target of a place on a device, and options that put a circuit there."""
    device = OTHER if name == "other device" else HERE
    return f"noisy:{device}", {"initial_layout": tuple(places.qubits[name])}


def refit_at(run: TrainedRun, places: Places, name: str) -> TrainedRun:
    """Return the run with its head fitted again at a place, or as it is where none is."""
    if name == "no device":
        return run
    target, options = at_device(run, places, name)
    return refit(run, target, circuits=CIRCUITS, shots=SHOTS, **options).run


def named(run: TrainedRun, places: Places, name: str, seed: int) -> dict[str, float]:
    """Return share of labels, distance and spread of images that are drawn at a place."""
    target, options = at_device(run, places, name)
    made = sample(run, target, shots=SHOTS, num_images=IMAGES, seed=1, **options).images
    found = metrics(run, made, seed)
    return {each: found[each][0] for each in ("label_accuracy", "domain_frechet", "class_spread")}


def trivial(run: TrainedRun) -> dict[str, float]:
    """Return the test losses of what costs nothing, whatever the place."""
    pairs, _ = tested(run, 1)
    images = torch.from_numpy(load_split(run.config).train.images)
    noise = torch.Generator().manual_seed(derived_seed(0, "noise", 6))
    seen = Objective(run.process, run.model).pairs(images, noise)
    own = torch.stack([seen.target[seen.step == step].mean(dim=0) for step in pairs.step])
    of_all = seen.target.mean(dim=0, keepdim=True).expand_as(pairs.target)
    made = {"constant": of_all, "constant of each time": own}
    found = {name: float(run.process.losses(each, pairs).mean()) for name, each in made.items()}
    return {**found, "no change": float(run.process.identity_losses(pairs).mean())}


def cells(study: str, seed: int, work: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give what each way of a seed makes, one after the other."""
    about = STUDIES[study]
    first = exact_run(study, seed, work)
    run = load_run(first)
    places = Places(study, seed, run)
    yield f"{study}/trivial/{seed}", trivial(run)
    yield f"{study}/start/{seed}", {"losses": judged(run, places, about.draws)}
    for way in about.ways:
        started = time.perf_counter()
        if way != "refit":
            options = {**settings(study, seed), "epochs": about.more, "start_from": str(first)}
            options |= {**about.slower, **way_options(study, way)}
            folder = Path(tempfile.mkdtemp(dir=work))
            run = load_run(train(resolve_run(about.model, options), folder / "run").run)
            if way == "exact":
                exact = run
        seconds = time.perf_counter() - started
        at = {name: refit_at(exact, places, name) if way == "refit" else run for name in PLACES}
        cell: dict[str, Any] = {
            "seconds": seconds,
            "losses": {name: loss_at(at[name], places, name, about.draws) for name in PLACES},
        }
        if about.preset:
            cell["images"] = {name: named(at[name], places, name, seed) for name in DRAWN_AT}
        yield f"{study}/{way}/{seed}", cell


def interval(values: Sequence[float]) -> str:
    """Return the mean and its 95 % interval over the seeds, by Student's t."""
    found = np.array(values)
    if len(found) < 2:
        return f"{found.mean():.4f}"
    half = student.ppf(0.975, len(found) - 1) * found.std(ddof=1) / math.sqrt(len(found))
    return f"{found.mean():.4f} ± {half:.4f}"


def table(content: dict[str, Any]) -> str:
    """Return losses as means over the seeds, and what each way adds to going on exactly."""
    rows = ["| study | trained on | " + " | ".join(PLACES) + " |", "|---" * 6 + "|"]
    for study in STUDIES:
        seeds = sorted({key.split("/")[2] for key in content if key.startswith(f"{study}/")})
        ways = STUDIES[study].ways
        seeds = [s for s in seeds if all(f"{study}/{way}/{s}" in content for way in ways)]
        if not seeds:
            continue
        about = f"`{study}` ({len(seeds)} seeds)"

        def losses(way: str, place: str, study: str = study, seeds: list[str] = seeds) -> Any:
            return np.array([content[f"{study}/{way}/{s}"]["losses"][place] for s in seeds])

        for way in ("start", *ways):
            words = [interval(losses(way, place)) for place in PLACES]
            rows.append(f"| {about} | {way} | " + " | ".join(words) + " |")
        for way in ways[1:]:
            words = [interval(losses(way, place) - losses("exact", place)) for place in PLACES]
            rows.append(f"| {about} | {way} - exact | " + " | ".join(words) + " |")
        for name in content[f"{study}/trivial/{seeds[0]}"]:
            word = interval([content[f"{study}/trivial/{s}"][name] for s in seeds])
            rows.append(f"| {about} | {name} | {word} | | | |")
        for what in ("label_accuracy", "domain_frechet", "class_spread"):
            for way in ways if STUDIES[study].preset else ():
                cells_of = [content[f"{study}/{way}/{s}"]["images"] for s in seeds]
                words = [
                    interval([each[place][what] for each in cells_of]) if place in DRAWN_AT else ""
                    for place in PLACES
                ]
                rows.append(f"| {about}, {what} | {way} | " + " | ".join(words) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--studies", default="line,q_dense_ancilla,q_dense")
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
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    about = {name: asdict(each) for name, each in STUDIES.items()}
    for seed in options.seeds:
        for study in options.studies.split(","):
            if all(f"{study}/{way}/{seed}" in content for way in STUDIES[study].ways):
                continue
            for key, cell in cells(study, seed, options.work):
                # Read again: another process may have added another seed.
                if options.out.is_file():
                    content = read_json_object(options.out)["cells"]
                content[key] = cell
                write_json(options.out, {"studies": about, "data": DATA, "cells": content})
                print(key, json.dumps(cell), flush=True)
    print(table(content))


if __name__ == "__main__":
    main()
