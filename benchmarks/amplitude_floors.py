"""Scores of predictions without a circuit, in the noise that Cacioppo and QAMP's December run publish.

For each data set: doing nothing, one fixed image for every input, the linear map with the least squared
error, and the same on the real parts alone, where an image has all of its signal and half of the noise.

    python benchmarks/amplitude_floors.py --mnist MNIST --json benchmarks/results/amplitude_floors.json

Infidelity with the posterior mean on unseen images, 16 x 16 pixels, T = 10, beta 0.01. ``--mnist`` is
the folder of its files; without it, only scikit-learn's digits are measured.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from cacioppo_images import linear_steps, noise_generator

from qdm_qiskit.data import Split, load_dataset
from qdm_qiskit.diffusion import DiffusionConfig, make_process
from qdm_qiskit.diffusion.states import ComplexGaussian, infidelity
from qdm_qiskit.errors import QdmError
from qdm_qiskit.files import write_json

PUBLISHED = DiffusionConfig(process="complex_gaussian", schedule="constant", beta_start=0.01)
SIZE, TRAIN, TEST = 16, 8096, 512
CLASSES = (None, (0, 1))


def floors(config: DiffusionConfig, split: Split) -> dict[str, float]:
    """Infidelities of the simple predictions.

    Args:
        config: The process, with complex noise.
        split: Images to fit to, and to measure on.

    Returns:
        Mean over all t of ``identity`` and ``linear``; at t = 1 also ``fixed`` and ``real``.
    """
    process = make_process(config)
    real = make_process(replace(config, noise="real"))
    assert isinstance(process, ComplexGaussian)
    assert isinstance(real, ComplexGaussian)
    train, test = (torch.from_numpy(part.images) for part in (split.train, split.test))
    pairs = process.training_pairs(process.to_states(test), noise_generator(3))
    noisy, target = pairs.noisy.flatten(1), pairs.target.flatten(1)
    maps = linear_steps(process, train)
    linear = torch.cat(
        [rows @ each.cfloat() for rows, each in zip(noisy.split(len(test)), maps, strict=True)]
    )
    first = slice(0, len(test))  # mu_1 is x_0
    known = process.to_states(train).real.flatten(1).double()
    fixed = torch.linalg.eigh(known.T @ known).eigenvectors[:, -1]
    of_real = noisy[first].real @ linear_steps(real, train)[0].float()
    predictions = {
        "identity": infidelity(noisy, target),
        "linear": infidelity(linear, target),
    }
    return {
        **{name: float(losses.mean()) for name, losses in predictions.items()},
        **{
            f"{name}_first_step": float(losses[first].mean())
            for name, losses in predictions.items()
        },
        "fixed_first_step": float(
            infidelity(fixed.cfloat().expand(len(test), -1), target[first]).mean()
        ),
        "real_first_step": float(infidelity(of_real.cfloat(), target[first]).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's files")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    try:
        for dataset in ("digits",) if options.mnist is None else ("digits", "mnist"):
            small = dataset == "digits"
            for classes in CLASSES:
                split = load_dataset(
                    dataset,
                    image_size=SIZE,
                    classes=classes,
                    folder=None if small else options.mnist,
                    train_count=None if small else TRAIN,
                    test_count=None if small else TEST,
                )
                counts = {"train": len(split.train), "test": len(split.test)}
                row = {"dataset": dataset, "classes": classes, **counts}
                found.append({**row, **floors(PUBLISHED, split)})
        if options.json is not None:
            write_json(options.json, found)
    except QdmError as error:
        raise SystemExit(f"error: {error}") from error
    for row in found:
        of = "all" if row["classes"] is None else ", ".join(map(str, row["classes"]))
        print(
            f"{row['dataset']:>7}  classes {of:>5}  all t: identity {row['identity']:.4f}, linear "
            f"{row['linear']:.4f}  t = 1: identity {row['identity_first_step']:.4f}, one image "
            f"{row['fixed_first_step']:.4f}, linear {row['linear_first_step']:.4f}, of the real parts "
            f"{row['real_first_step']:.4f}"
        )


if __name__ == "__main__":
    main()
