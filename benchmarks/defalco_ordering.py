"""Does transfer beat training from scratch, and a hybrid the classical U-Net, at equal steps?

De Falco et al. (2024) train 9375 steps of 128 images. Here, on two cores in less than 30 minutes:
the presets ``defalco-reduced-*``, Fashion-MNIST's trousers and ankle boots, 150 steps of 32 images,
T = 1000 with the cosine schedule and P2 weights. Four arms for each seed:

* unet: the classical U-Net, 150 steps
* 1hqconv, 1fqconv: hybrids from scratch, 150 steps
* transfer: the classical U-Net for 100 steps, then 1fqconv with its weights for 50

The classical part of ``transfer`` is the beginning of ``unet``, bit for bit, and is not trained twice.
Samples (DDIM) are taken after every 50 steps; their distances to unseen real images are those of the
domain classifier, trained once on all ten classes.

    python benchmarks/defalco_ordering.py --work ordering --json defalco_ordering.json
    python benchmarks/defalco_ordering.py --work mnist --dataset mnist --classes 0,1 --folder MNIST

A second call continues where the first one stopped. ``--plot FILE`` draws the figures, ``--samples
FILE`` twelve images of seed 0 of each arm.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch; two processes, one core each

import argparse
import json
import resource
import shutil
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qdm_qiskit.data import load_dataset, save_grid
from qdm_qiskit.evaluation.bootstrap import Interval, bootstrap_interval
from qdm_qiskit.evaluation.distances import KernelMatrices, frechet_distance
from qdm_qiskit.evaluation.domain_classifier import domain_classifier
from qdm_qiskit.files import read_json_object, write_atomic, write_json
from qdm_qiskit.rng import stream
from qdm_qiskit.sampling import QDMPipeline
from qdm_qiskit.training import RunConfig, resolve_run, train
from qdm_qiskit.training.checkpoint import checkpoints, find_checkpoint
from qdm_qiskit.training.transfer import FOLDER, teacher_run

ARMS = ("transfer", "unet", "1hqconv", "1fqconv")
JOBS = (("transfer", "unet"), ("1fqconv",), ("1hqconv",))
IMAGES, STEPS, REAL, RESAMPLES = 128, 15, 1000, 200


@dataclass(frozen=True)
class Images:
    """Which images the arms learn."""

    dataset: str
    classes: tuple[int, ...]
    folder: str | None

    def run(self, arm: str, seed: int = 0) -> RunConfig:
        """The run of an arm."""
        settings = {**asdict(self), "seed": seed, "keep_checkpoints": 20}  # those of every epoch
        return resolve_run(f"defalco-reduced-{arm}", settings)


def run_arm(work: Path, images: Images, arm: str, seed: int) -> None:
    """Train one arm, or the rest of it, and sample after every epoch."""
    torch.set_num_threads(1)
    folder = work / f"seed-{seed}" / arm
    done = folder / "done.json"
    if done.is_file():
        return
    started = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    config = images.run(arm, seed)
    first = 0
    if arm == "unet":  # the classical part of the transfer, continued
        begun = work / f"seed-{seed}" / "transfer" / FOLDER
        first = 2
        config = teacher_run(images.run("transfer", seed)).with_epochs(3)
        if not folder.exists():
            part = folder.with_name("unet.part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(begun, part)
            part.rename(folder)
    has_begun = bool(checkpoints(folder) or checkpoints(folder / FOLDER))
    result = train(config, folder, resume="latest" if has_begun else None)
    if result.interrupted:
        raise KeyboardInterrupt
    seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - started
    before = teacher_history(folder) if arm == "transfer" else []
    rows: list[dict[str, Any]] = []
    for row in result.history:
        checkpoint = find_checkpoint(folder, f"step-{int(row['step']):08d}")
        kept = folder / f"images-{int(row['step']):04d}.npz"
        if not kept.is_file():
            generator = torch.Generator().manual_seed(seed)
            output = QDMPipeline.from_pretrained(checkpoint)(
                IMAGES, STEPS, scheduler="ddim", generator=generator
            )
            write_atomic(kept, lambda part, made=output: _save(part, made.images))
        rows.append({**row, "images": kept.name})
    total = resource.getrusage(resource.RUSAGE_SELF).ru_utime - started
    write_json(
        done,
        {
            "rows": rows,
            "classical_rows": before,
            "train_user_seconds": seconds,
            "user_seconds": total,
            "epochs_trained_elsewhere": first,
        },
    )


def teacher_history(folder: Path) -> list[dict[str, float]]:
    lines = (folder / FOLDER / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def run_job(work: Path, images: Images, arms: tuple[str, ...], seed: int) -> str:
    for arm in arms:
        run_arm(work, images, arm, seed)
    return f"seed {seed}: {', '.join(arms)}"


def measure(work: Path, images: Images, seeds: int) -> dict[str, Any]:
    """Distances of everything that is complete, with intervals."""
    settings: dict[str, Any] = {"image_size": 28, "channels": 1, "seed": 0}
    whole = load_dataset(images.dataset, folder=images.folder, **settings)
    classifier = domain_classifier(
        whole.train.images,
        whole.train.labels,
        whole.test.images,
        whole.test.labels,
        folder=work / "classifier",
    )
    chosen = np.isin(whole.test.labels, images.classes)
    real = classifier.read(whole.test.images[chosen][:REAL])[0]
    rng = stream(0, "evaluation", 99)
    train_images = whole.train.images[np.isin(whole.train.labels, images.classes)]
    other = train_images[rng.permutation(len(train_images))[:IMAGES]]
    noise = rng.uniform(size=other.shape).astype(np.float32)
    found: dict[str, Any] = {
        "dataset": images.dataset,
        "classes": list(images.classes),
        "classifier_accuracy": classifier.accuracy,
        "images": IMAGES,
        "ddim_steps": STEPS,
        "reference_images": len(real),
        "real": distances([classifier.read(other)[0]], real),
        "noise": distances([classifier.read(noise)[0]], real),
        "arms": {},
    }
    for arm in ARMS:
        done = {}
        for seed in range(seeds):
            path = work / f"seed-{seed}" / arm / "done.json"
            if path.is_file():
                done[seed] = (path.parent, read_json_object(path))
        if not done:
            continue
        steps = [int(row["step"]) for row in next(iter(done.values()))[1]["rows"]]
        table = []
        for index, step in enumerate(steps):
            rows = {seed: content["rows"][index] for seed, (_, content) in done.items()}
            features = []
            for seed, (folder, _) in done.items():
                with np.load(folder / rows[seed]["images"]) as arrays:
                    features.append(classifier.read(arrays["images"])[0])
            hybrid = step if arm in ("1hqconv", "1fqconv", "transfer") else 0
            table.append(
                {
                    "hybrid_steps": hybrid,
                    "classical_steps": {"transfer": 100, "unet": step}.get(arm, 0),
                    "test_loss": [rows[seed]["test_loss"] for seed in done],
                    "average_loss": [rows[seed]["average_loss"] for seed in done],
                    "identity_loss": [rows[seed]["identity_loss"] for seed in done],
                    **distances(features, real),
                }
            )
        found["arms"][arm] = {
            "seeds": list(done),
            "rows": table,
            "user_seconds": [content["user_seconds"] for _, content in done.values()],
            "train_user_seconds": [c["train_user_seconds"] for _, c in done.values()],
        }
    found["differences"] = differences(found["arms"])
    return found


def distances(sets: list[np.ndarray], real: np.ndarray) -> dict[str, Any]:
    """Mean distance over the sets (one a seed), its interval over images, and each set's own."""
    kernels = [KernelMatrices.of(each, real) for each in sets]

    def frechet(*rows: np.ndarray) -> float:
        pairs = zip(sets, rows[:-1], strict=True)
        return float(np.mean([frechet_distance(x[i], real[rows[-1]]) for x, i in pairs]))

    def kernel(*rows: np.ndarray) -> float:
        return float(
            np.mean([k.distance(i, rows[-1]) for k, i in zip(kernels, rows[:-1], strict=True)])
        )

    counts = [*(len(each) for each in sets), len(real)]
    every = np.arange(len(real))
    return {
        "frechet": as_list(interval(frechet, counts)),
        "frechet_seeds": [frechet_distance(each, real) for each in sets],
        "kid": as_list(interval(kernel, counts)),
        "kid_seeds": [
            k.distance(np.arange(len(x)), every) for k, x in zip(kernels, sets, strict=True)
        ],
    }


def interval(statistic: Any, counts: list[int]) -> Interval:
    return bootstrap_interval(statistic, counts, stream(0, "evaluation", 98), resamples=RESAMPLES)


def as_list(found: Interval) -> list[float]:
    return [found.estimate, found.low, found.high]


def differences(arms: dict[str, Any]) -> dict[str, Any]:
    """Seed by seed: transfer less scratch, hybrid less classical; negative is better."""

    def values(arm: str, index: int, key: str) -> list[float]:
        return arms[arm]["rows"][index][key]

    pairs = {
        "transfer - 1fqconv at 50 hybrid steps": ("transfer", 0, "1fqconv", 0),
        "transfer - 1fqconv at 150 steps in all": ("transfer", 0, "1fqconv", 2),
        "transfer - unet at 150 steps in all": ("transfer", 0, "unet", 2),
        "1fqconv - unet at 150 steps": ("1fqconv", 2, "unet", 2),
        "1hqconv - unet at 150 steps": ("1hqconv", 2, "unet", 2),
    }
    table: dict[str, Any] = {}
    for name, (one, i, other, j) in pairs.items():
        if one not in arms or other not in arms:
            continue
        seeds = sorted(set(arms[one]["seeds"]) & set(arms[other]["seeds"]))
        places = [(arms[one]["seeds"].index(k), arms[other]["seeds"].index(k)) for k in seeds]
        table[name] = {
            key: [values(one, i, key)[a] - values(other, j, key)[b] for a, b in places]
            for key in ("test_loss", "average_loss", "frechet_seeds", "kid_seeds")
        }
    return table


def plot(found: dict[str, Any], path: Path) -> None:
    """Distance and loss over training steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for arm, content in found["arms"].items():
        rows = content["rows"]
        steps = [row["hybrid_steps"] + row["classical_steps"] for row in rows]
        if arm == "unet":
            steps = [row["classical_steps"] for row in rows]
        values = np.array([row["frechet"] for row in rows])
        errors = np.abs(values[:, 1:].T - values[:, 0])
        style = "D" if arm == "transfer" else "o-"
        drawn = axes[0].errorbar(
            steps, values[:, 0], yerr=errors, fmt=style, capsize=3, label=arm, alpha=0.8
        )
        colour = drawn.lines[0].get_color()
        losses = np.array([row["test_loss"] for row in rows])
        axes[1].plot(steps, losses.mean(axis=1), style, color=colour, label=arm, alpha=0.8)
        for seed in losses.T:
            axes[1].plot(steps, seed, ".", color=colour, alpha=0.4)
    axes[0].axhline(found["real"]["frechet"][0], color="black", lw=0.8, ls=":", label="real")
    axes[0].axhline(found["noise"]["frechet"][0], color="grey", lw=0.8, ls="--", label="noise")
    axes[0].set(xlabel="training steps", ylabel="Fréchet distance (domain)")
    axes[1].set(xlabel="training steps", ylabel="test loss (P2)", yscale="log")
    axes[0].legend(fontsize=7)
    axes[1].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def show_samples(work: Path, path: Path) -> None:
    """Twelve images of seed 0 of each arm, a row an arm, all from the same noise."""
    rows = []
    for arm in ("unet", "1hqconv", "1fqconv", "transfer"):
        folder = work / "seed-0" / arm
        last = read_json_object(folder / "done.json")["rows"][-1]["images"]
        with np.load(folder / last) as arrays:
            rows.append(arrays["images"][:12])
    save_grid(np.concatenate(rows), path, columns=12, scale=2, overwrite=True)


def _save(part: Path, images: np.ndarray) -> None:
    with open(part, "wb") as file:
        np.savez_compressed(file, images=images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--dataset", default="fashion-mnist", choices=("fashion-mnist", "mnist"))
    parser.add_argument("--classes", default="1,9", help="trousers and ankle boots")
    parser.add_argument("--folder", help="of the data set's files, if not in their usual places")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--measure-only", action="store_true")
    options = parser.parse_args()
    images = Images(
        options.dataset, tuple(int(each) for each in options.classes.split(",")), options.folder
    )
    options.work.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    if not options.measure_only:
        spawn = get_context("spawn")
        with ProcessPoolExecutor(options.processes, mp_context=spawn) as pool:
            jobs = [
                pool.submit(run_job, options.work, images, arms, seed)
                for seed in range(options.seeds)
                for arms in JOBS
            ]
            for number, job in enumerate(as_completed(jobs), start=1):
                passed = time.perf_counter() - started
                print(f"{number}/{len(jobs)}  {job.result()}  {passed:.0f} s", flush=True)
    found = measure(options.work, images, options.seeds)
    found["wall_seconds"] = time.perf_counter() - started
    found["load"] = os.getloadavg()[0]
    if options.json is not None:
        write_json(options.json, found)
    if options.plot is not None:
        plot(found, options.plot)
    if options.samples is not None:
        show_samples(options.work, options.samples)
    for arm, content in found["arms"].items():
        for row in content["rows"]:
            d, low, high = row["frechet"]
            print(
                f"{arm:>9}  classical {row['classical_steps']:>3}  hybrid {row['hybrid_steps']:>3}  "
                f"loss {np.mean(row['test_loss']):.4f}  Frechet {d:.1f} ({low:.1f} .. {high:.1f})  "
                f"KID {row['kid'][0]:.3f}"
            )
    print("real", found["real"]["frechet"], "noise", found["noise"]["frechet"])
    for name, each in found["differences"].items():
        print(name, {key: [round(v, 4) for v in values] for key, values in each.items()})


if __name__ == "__main__":
    main()
