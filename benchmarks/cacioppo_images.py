"""In which share of its samples does Cacioppo's model show one of the digits it was trained on?

A small classifier of all ten digits, trained once on the whole data set at the model's size, is asked
what it sees in samples, in unseen images of the same digits, in the noise that sampling starts from,
and in the samples of the best linear steps. An image counts if one of the run's digits gets more than
0.9 of the probability.

    qdm train --preset cacioppo-digits-8x8 --out runs/8x8-0
    qdm train --preset cacioppo-digits-8x8 --seed 1 --out runs/8x8-1
    python benchmarks/cacioppo_images.py runs/8x8-0 runs/8x8-1 --json found.json --png samples.png

The runs differ in their seeds only. The picture has noise in its first row, then a row of samples of
each run, the first ones, none left out, and unseen images last.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qdm_qiskit.data import Split, load_dataset, save_grid
from qdm_qiskit.diffusion.states import ComplexGaussian, infidelity
from qdm_qiskit.errors import InvalidData, InvalidOption, QdmError
from qdm_qiskit.evaluation.domain_classifier import DomainClassifier, domain_classifier
from qdm_qiskit.files import write_json
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import SamplingConfig, TrainedRun, load_run, sample
from qdm_qiskit.training import RunConfig, load_split

SURE = 0.9
"""Probability above which an image counts as a digit."""


def load_group(folders: list[Path]) -> list[TrainedRun]:
    """Runs of Cacioppo's full model that differ in their seeds only, or in how often they were saved.

    Raises:
        InvalidOption: If they differ in anything else, or are of another model.
    """
    runs = [load_run(folder) for folder in folders]

    def settings(config: RunConfig) -> RunConfig:
        training = replace(
            config.training, seed=0, sample_every=0, checkpoint_every=1, keep_checkpoints=1
        )
        return replace(config, preset=None, training=training)

    for folder, run in zip(folders, runs, strict=True):
        if run.config.model != "cacioppo" or not run.config.data.classes:
            raise InvalidOption(
                f"{folder} is a run of '{run.config.model}' on "
                f"{len(run.config.data.classes) or 'all'} classes; it must be one of 'cacioppo' with "
                "classes chosen."
            )
        if settings(run.config) != settings(runs[0].config):
            raise InvalidOption(
                f"{folder} and {folders[0]} must differ in their seeds only; judge them apart."
            )
    return runs


def whole_dataset(config: RunConfig) -> Split:
    """All classes of a run's data set, at its size, divided by seed 0."""
    return load_dataset(
        config.data.dataset, image_size=config.model_options.image_size, folder=config.data.folder
    )


def judge(
    classifier: DomainClassifier, images: np.ndarray, wanted: tuple[int, ...]
) -> dict[str, Any]:
    """What the classifier sees.

    Args:
        classifier: Of all digits.
        images: ``(count, 1, size, size)`` in [0, 1].
        wanted: The digits that count.

    Returns:
        ``share`` of images that show one of them with a probability above :data:`SURE`, with
        ``standard_error`` and ``each`` digit's own share; ``likeliest``, the share of each of all
        digits as the likeliest one; ``count``.
    """
    logits = classifier.read(images)[1]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability = (odds / odds.sum(axis=1, keepdims=True)).max(axis=1)
    prediction = np.asarray(classifier.classes)[logits.argmax(axis=1)]
    each = {str(k): float(np.mean((prediction == k) & (probability > SURE))) for k in wanted}
    share = sum(each.values())
    return {
        "count": len(images),
        "share": share,
        "standard_error": float(np.sqrt(share * (1 - share) / len(images))),
        "each": each,
        "likeliest": {str(k): float(np.mean(prediction == k)) for k in classifier.classes},
    }


def linear_steps(process: ComplexGaussian, images: torch.Tensor) -> list[torch.Tensor]:
    """The linear map from x_t to mu_t with the least squared error, for t = 1 .. T.

    Without activation a step of the model is a linear map, and with enough layers one ancilla makes
    any. x_0 is estimated by its second moments C: ``sqrt(a) C (a C + (1 - a) v)**-1 x_t``, with v the
    variance of the noise and a alpha_bar_t; mu_t follows, as it is linear in x_0 and x_t.

    Args:
        process: Of the run.
        images: Training images.

    Returns:
        Matrices ``(pixels, pixels)`` that act on rows, float64.
    """
    x = process.to_states(images).real.flatten(1).double()
    moments = x.T @ x / len(x)
    unit = torch.eye(len(moments), dtype=torch.float64)
    variance = 1.0 if process.noise == "real" else 2.0
    maps = []
    for t in range(1, process.num_steps + 1):
        a = process.alpha_bar[t - 1]
        noisy = a * moments + (1 - a) * variance * unit
        estimate = a.sqrt() * torch.linalg.solve(noisy, moments)
        steps = torch.full((len(unit),), t)
        maps.append(process.posterior_mean(estimate.cfloat(), unit.cfloat(), steps).real.double())
    return maps


def judge_linear(
    classifier: DomainClassifier, run: TrainedRun, split: Split, count: int
) -> dict[str, Any]:
    """Samples and infidelity of the best linear steps of a run's process."""
    process = run.process
    assert isinstance(process, ComplexGaussian)
    maps = [each.cfloat() for each in linear_steps(process, torch.from_numpy(split.train.images))]
    shape = split.test.images.shape[1:]
    x = process.start((count, *shape), noise_generator(0)).flatten(1)
    for matrix in reversed(maps):
        x = x @ matrix
        x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
    states = process.to_states(torch.from_numpy(split.test.images))
    pairs = process.training_pairs(states, noise_generator(1))
    flat = pairs.noisy.flatten(1)
    predictions = torch.stack([row @ maps[t - 1] for row, t in zip(flat, pairs.step, strict=True)])
    losses = infidelity(predictions, pairs.target.flatten(1))
    return {
        **judge(classifier, process.to_images(x.reshape(-1, *shape)).numpy(), wanted(run)),
        "infidelity": float(losses.mean()),
        "infidelity_first_step": float(losses[pairs.step == 1].mean()),
        "identity": float(process.identity_losses(pairs).mean()),
    }


def nearest_fidelity(images: np.ndarray, known: np.ndarray) -> float:
    """Mean over images of the fidelity with the nearest of ``known``, both as real states."""

    def rows(each: np.ndarray) -> np.ndarray:
        flat = each.reshape(len(each), -1).astype(np.float64)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    return float(((rows(images) @ rows(known).T) ** 2).max(axis=1).mean())


def wanted(run: TrainedRun) -> tuple[int, ...]:
    return run.config.data.classes


def noise_generator(index: int) -> torch.Generator:
    return torch.Generator().manual_seed(derived_seed(0, "evaluation", index))


def measure(runs: list[TrainedRun], count: int, kept: Path | None) -> tuple[dict[str, Any], Any]:
    """All figures, and the rows of the picture."""
    config = runs[0].config
    whole = whole_dataset(config)
    classifier = domain_classifier(
        whole.train.images, whole.train.labels, whole.test.images, whole.test.labels, folder=kept
    )
    unseen = whole.test.images[np.isin(whole.test.labels, wanted(runs[0]))]
    start = runs[0].process.start((1000, *unseen.shape[1:]), noise_generator(2))
    noise = runs[0].process.to_images(start).numpy()
    found: dict[str, Any] = {
        "dataset": config.data.dataset,
        "classes": list(config.data.classes),
        "model_options": config.to_dict()["model_options"],
        "diffusion": config.to_dict()["diffusion"],
        "training": config.to_dict()["training"],
        "classifier_accuracy": classifier.accuracy,
        "unseen": judge(classifier, unseen, wanted(runs[0])),
        "noise": judge(classifier, noise, wanted(runs[0])),
        "runs": [],
    }
    shown = []
    for run in runs:
        made = sample(run, SamplingConfig(num_images=count, seed=0))
        split = load_split(run.config)
        if not shown:
            shown.append(made.trajectory[0])
        shown.append(made.images)
        found["runs"].append(
            {
                "seed": run.config.training.seed,
                "checkpoint": run.checkpoint.name,
                **judge(classifier, made.images, wanted(run)),
                "nearest_training": nearest_fidelity(made.images, split.train.images),
                "nearest_training_unseen": nearest_fidelity(split.test.images, split.train.images),
                "linear": judge_linear(classifier, run, split, 1000),
            }
        )
    shares = [each["share"] for each in found["runs"]]
    found["share"] = {
        "mean": float(np.mean(shares)),
        "standard_deviation": float(np.std(shares, ddof=1)) if len(shares) > 1 else None,
    }
    return found, [*shown, unseen]


def describe(name: str, row: dict[str, Any]) -> str:
    each = "  ".join(f"{digit}: {share:.3f}" for digit, share in row["each"].items())
    likeliest = sum(row["likeliest"][digit] for digit in row["each"])
    return (
        f"{name:>14}  {row['count']:>5} images  share {row['share']:.3f} "
        f"± {row['standard_error']:.3f}  ({each})  as likeliest {likeliest:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, seeds of one setting")
    parser.add_argument("--images", type=int, default=300, help="samples of each run")
    parser.add_argument("--columns", type=int, default=20, help="images in a row of the picture")
    parser.add_argument("--classifier", type=Path, help="folder in which the classifier is kept")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    options = parser.parse_args()
    try:
        if not 1 <= options.columns <= options.images:
            raise InvalidOption(
                f"A row of the picture has 1 to --images columns, got {options.columns} of "
                f"{options.images}."
            )
        found, rows = measure(load_group(options.runs), options.images, options.classifier)
        if min(map(len, rows)) < options.columns:
            raise InvalidData(f"There are fewer than {options.columns} unseen images for a row.")
        if options.json is not None:
            write_json(options.json, found)
        if options.png is not None:
            images = np.concatenate([row[: options.columns] for row in rows])
            scale = max(1, 32 // images.shape[2])
            save_grid(images, options.png, columns=options.columns, scale=scale, overwrite=True)
    except QdmError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"classifier of all digits: {found['classifier_accuracy']:.3f} right on unseen images")
    for run in found["runs"]:
        print(describe(f"seed {run['seed']}", run))
        linear = run["linear"]
        print(describe("linear steps", linear), f" infidelity {linear['infidelity']:.4f}")
        print(
            f"{'nearest':>14}  training image: fidelity {run['nearest_training']:.3f}, of unseen "
            f"images {run['nearest_training_unseen']:.3f}"
        )
    print(describe("unseen", found["unseen"]))
    print(describe("noise", found["noise"]))
    spread = found["share"]["standard_deviation"]
    print(f"share {found['share']['mean']:.3f}" + ("" if spread is None else f" ± {spread:.3f}"))


if __name__ == "__main__":
    main()
