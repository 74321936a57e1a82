"""What is left of Q-Dense on digits through a device, by its loader, its entanglers and its start?

    python benchmarks/q_dense_loaders.py [--seeds 0] [--images 16] [--runs FOLDER]

One class of 8 x 8 digits, seven qubits, four layers, ten steps. Two circuits: CNOTs in the paper's
ring, and between neighbours of the loader's line. Each is sampled on the engine and through the
device's noise behind the exact loader and behind ``bricks:8``, from the process's noise and from noise
that the loader's own circuit makes. Beside them what needs no circuit: the mean image, draws from the
class's Gaussian, and a convolution of as many weights, trained as long on the same pairs.

Intervals are of 95 %: of steps for what is left of the signal, of images for the rest. Runs are trained
in the folder, or taken from it where they are there already; finished rows stay in
benchmarks/results/q_dense_loaders.json. The table of docs/loaders.md and its picture are written from
there.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from torch import Tensor, nn

import qdm_qiskit as qdm
from qdm_qiskit.data import cache_folder, load_dataset
from qdm_qiskit.evaluation.bootstrap import bootstrap_interval
from qdm_qiskit.evaluation.domain_classifier import domain_classifier
from qdm_qiskit.evaluation.of_arrays import measure_images
from qdm_qiskit.files import write_json
from qdm_qiskit.rng import stream
from qdm_qiskit.sampling import Samples, TrainedRun

DEVICE, SHOTS, CLASS = "fake_torino", 4096, 0
RESULTS = Path(__file__).parent / "results" / "q_dense_loaders.json"
PAGE = Path(__file__).parent.parent / "docs" / "loaders.md"
PICTURE = PAGE.parent / "images" / "loaders-q-dense.png"
BEGIN, END = "<!-- table: benchmarks/q_dense_loaders.py -->", "<!-- end of table -->"
OPTIONS = {
    "image_size": 8,
    "depth": 4,
    "ancilla": True,
    "classes": (CLASS,),
    "epochs": 150,
    "batch_size": 20,
    "learning_rate": 0.01,
    "checkpoint_every": 150,
    "sample_every": 0,
    "baseline": False,
}
CELLS = [
    ("ring", "exact", "process"),
    ("ring", "bricks:8", "process"),
    ("line", "bricks:8", "process"),
    ("line", "bricks:8", "loader"),
    ("line", "exact", "process"),
    ("ring", "bricks:8", "loader"),
]
"""Entanglers, loader, start: the rows that matter most come first."""
SHOWN = 8
"""Images of each row of the picture."""


class Convolution(nn.Module):
    """Two convolutions of 77 weights; a circuit of four layers on seven qubits has 84."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 1, 3, padding=1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found


def trained(folder: Path, entanglers: str, seed: int) -> TrainedRun:
    """Return the run in a folder, trained first where it is not there."""
    place = folder / f"{entanglers}-{seed}"
    if not (place / "config.json").is_file():
        qdm.train("q_dense", place, entanglers=entanglers, seed=seed, **OPTIONS)
    run = qdm.load_run(place)
    config = run.config
    same = (config.training.epochs, config.training.seed, config.training.learning_rate)
    told = (OPTIONS["epochs"], seed, OPTIONS["learning_rate"])
    if same != told or config.model_options.entanglers != entanglers:
        raise SystemExit(f"{place} holds another run than {told} with {entanglers}.")
    return run


def convolution(run: TrainedRun, images: Tensor, seed: int) -> Convolution:
    """Train the convolution as the circuit was: batches, epochs, Adam, pairs of the same process."""
    torch.manual_seed(seed)
    network, generator = Convolution(), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=float(OPTIONS["learning_rate"]))
    for _ in range(int(OPTIONS["epochs"])):
        for part in torch.randperm(len(images), generator=generator).split(
            int(OPTIONS["batch_size"])
        ):
            pairs = run.process.training_pairs(images[part], generator)
            loss = run.process.losses(network(pairs.noisy), pairs).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return network


@torch.no_grad()
def test_error(run: TrainedRun, predict: Any, images: Tensor) -> list[float]:
    """Mean squared error of predictions over all steps, with its interval over the test images."""
    pairs = run.process.training_pairs(images, torch.Generator().manual_seed(1))
    if predict is None:
        losses = run.process.identity_losses(pairs)
    else:
        losses = run.process.losses(predict(pairs), pairs)
    each = losses.reshape(run.process.num_steps, -1).mean(dim=0).numpy()
    return interval(each)


def interval(values: np.ndarray) -> list[float]:
    """Mean and half of its interval."""
    return [float(values.mean()), float(1.96 * values.std(ddof=1) / len(values) ** 0.5)]


@torch.no_grad()
def walked(run: TrainedRun, network: nn.Module, x: Tensor) -> np.ndarray:
    """Images of a chain with another denoiser."""
    for step in range(run.process.num_steps, 0, -1):
        noise = torch.Generator().manual_seed(step)
        x = run.process.reverse_step(x, step, network(x), noise)
    return x.numpy()


def beside(images: np.ndarray, exact: np.ndarray) -> dict[str, list[float]]:
    """RMSE and mean correlation of images with those of the engine, each with its interval."""
    a, b = (each.reshape(len(each), -1).astype(float) for each in (images, exact))
    errors = ((a - b) ** 2).mean(axis=1)
    together = np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])
    rng = stream(0, "evaluation", 61)
    found = {}
    for name, statistic in (
        ("rmse", lambda i: float(np.sqrt(errors[i].mean()))),
        ("correlation", lambda i: float(together[i].mean())),
    ):
        value = bootstrap_interval(statistic, (len(a),), rng)
        found[name] = [value.estimate, value.low, value.high]
    return found


def quality(images: np.ndarray, real: np.ndarray, read: Any) -> dict[str, Any]:
    """Distances to real images of the class, the share named as the class, and the spread."""
    measured = measure_images(
        images, real, ["domain_frechet", "domain_kid"], network=read, resamples=100
    )
    found: dict[str, Any] = {
        name: [each.estimate, each.low, each.high] for name, each in measured.metrics.items()
    }
    named = read(images)[1].argmax(axis=1) == CLASS
    flat = images.reshape(len(images), -1)
    return {
        **found,
        "named": float(named.mean()),
        "spread": float(np.sqrt(flat.var(axis=0).mean()) / np.sqrt(real.var(axis=0).mean())),
    }


def of_device(samples: Samples) -> dict[str, Any]:
    """What the record of a run on a device says."""
    records = samples.records
    circuit = samples.manifest["device"]["circuit"]
    loaded = [each.loaded for each in records if each.loaded is not None]
    return {
        "two_qubit": circuit["two_qubit_gates"],
        "success": circuit["expected_success"],
        "signal": interval(np.array([each.signal_left for each in records])),
        "distance": interval(np.array([each.raw_distance for each in records])),
        "loaded": [float(np.mean(each)) for each in loaded] or None,
    }


def seed_rows(seed: int, images: int, runs: Path, done: dict[str, Any], save: Any) -> None:
    """Fill in what is not there yet of one training seed."""
    split = load_dataset("digits", image_size=8, seed=0)
    read = domain_classifier(
        split.train.images,
        split.train.labels,
        split.test.images,
        split.test.labels,
        folder=cache_folder() / "evaluation",
    ).read
    own = [(part.images, part.labels == CLASS) for part in (split.train, split.test)]
    train, test = (torch.from_numpy(x[kept]) for x, kept in own)
    real = np.concatenate([train.numpy(), test.numpy()])
    found = {each: trained(runs, each, seed) for each in ("ring", "line")}

    def there(name: str) -> bool:
        return f"{name}/{seed}" in done and done[f"{name}/{seed}"]["images"] == images

    def add(name: str, started: float, row: dict[str, Any], made: np.ndarray) -> None:
        row |= {"seed": seed, "images": len(made), **quality(made, real, read)}
        grey = np.round(255 * made[:SHOWN, 0].clip(0, 1)).astype(np.uint8)
        row["shown"] = [each.tobytes().hex() for each in grey]
        done[f"{name}/{seed}"] = {**row, "core_seconds": time.process_time() - started}
        save()
        print(name, seed, f"{time.process_time() - started:.0f} s", flush=True)

    exact: dict[tuple[str, str], np.ndarray] = {}
    for entanglers, run in found.items():
        for start in ("process", "loader"):
            started = time.process_time()
            loader = {"loader": "bricks:8"} if start == "loader" else {}
            made = qdm.sample(run, num_images=images, start=start, seed=1, **loader)
            exact[entanglers, start] = made.images
            name = f"{entanglers}/engine/{start}"
            if not there(name):
                at = torch.arange(1, run.process.num_steps + 1).repeat_interleave(len(test))
                times = at / run.process.num_steps
                error = test_error(run, lambda p, r=run, t=times: r.model(p.noisy, t), test)
                record = made.manifest.get("start", {})
                begin = record.get("fidelity_with_noise")
                row = {"test_error": error, "parameters": run.model.num_parameters, "start": begin}
                add(name, started, row, made.images)
    run = found["ring"]
    x = run.process.start((images, 1, 8, 8), torch.Generator().manual_seed(5))
    if not there("convolution"):
        started = time.process_time()
        network = convolution(run, train, seed)
        error = test_error(run, lambda p: network(p.noisy), test)
        numbers = sum(each.numel() for each in network.parameters())
        add(
            "convolution",
            started,
            {"test_error": error, "parameters": numbers},
            walked(run, network, x),
        )
    if not there("identity"):
        error = test_error(run, None, test)
        add("identity", time.process_time(), {"test_error": error, "parameters": 0}, x.numpy())
    rng, flat = stream(seed, "evaluation", 62), train.numpy().reshape(len(train), -1)
    drawn = rng.multivariate_normal(flat.mean(axis=0), np.cov(flat.T), size=images)
    for name, made in (
        ("mean image", np.tile(flat.mean(axis=0), (images, 1))),
        ("Gaussian of the class", drawn),
    ):
        if not there(name):
            shaped = made.clip(0, 1).reshape(-1, 1, 8, 8).astype(np.float32)
            add(name, time.process_time(), {"parameters": None}, shaped)
    for entanglers, loader, start in CELLS:
        name = f"{entanglers}/{loader}/{start}"
        if there(name):
            continue
        started = time.process_time()
        samples = qdm.sample(
            found[entanglers],
            f"noisy:{DEVICE}",
            shots=SHOTS,
            num_images=images,
            loader=loader,
            start=start,
            seed=1,
        )
        row = of_device(samples) | beside(samples.images, exact[entanglers, start])
        add(name, started, row, samples.images)


def three(value: list[float] | None) -> str:
    """A value with the ends of its interval."""
    return "" if value is None else f"{value[0]:.3g} ({value[1]:.3g} to {value[2]:.3g})"


def half(value: list[float] | None) -> str:
    """A value with half of its interval."""
    return "" if value is None else f"{value[0]:.3f} ± {value[1]:.3f}"


def render(rows: dict[str, Any]) -> str:
    """Return both tables of the page."""
    on_device = [
        "| entanglers | loader | x_T | seed | two-qubit gates | expected success | signal left | "
        "distance to exact | loaded, first step | RMSE to the engine | correlation | Fréchet | KID |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    others = [
        "| on no device | seed | weights | error of a prediction | Fréchet | KID | named 0 | spread |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, row in sorted(rows.items()):
        distances = f"{three(row.get('domain_frechet'))} | {three(row.get('domain_kid'))}"
        if "signal" in row:
            entanglers, loader, start, seed = key.split("/")
            loaded = row["loaded"][0] if row["loaded"] else 1
            on_device.append(
                f"| {entanglers} | `{loader}` | {start} | {seed} | {row['two_qubit']} | "
                f"{row['success']:.3f} | {half(row['signal'])} | {half(row['distance'])} | "
                f"{loaded:.4f} | {three(row['rmse'])} | {three(row['correlation'])} | {distances} |"
            )
            continue
        name, seed = key.rsplit("/", 1)
        entanglers, _, start = name.partition("/engine/")
        words = f"{entanglers}, engine, x_T of the {start}" if start else name
        weights = "" if row["parameters"] is None else row["parameters"]
        error = row.get("test_error")
        told = "" if error is None else f"{error[0]:.4f} ± {error[1]:.4f}"
        others.append(
            f"| {words} | {seed} | {weights} | {told} | {distances} | {row['named']:.0%} | "
            f"{row['spread']:.2f} |"
        )
    return "\n".join([*on_device, "", *others])


def draw(rows: dict[str, Any], seed: int) -> None:
    """Draw the first images of each row of a seed that is there."""
    import matplotlib.pyplot as plt

    names = [
        "ring/engine/process",
        "ring/exact/process",
        "ring/bricks:8/process",
        "ring/bricks:8/loader",
        "line/engine/process",
        "line/exact/process",
        "line/bricks:8/process",
        "line/bricks:8/loader",
        "convolution",
        "Gaussian of the class",
    ]
    shown = [name for name in names if f"{name}/{seed}" in rows]
    figure, axes = plt.subplots(
        len(shown), SHOWN, figsize=(SHOWN * 0.7 + 2.2, len(shown) * 0.72), squeeze=False
    )
    for line, name in zip(axes, shown, strict=True):
        for place, image in zip(line, rows[f"{name}/{seed}"]["shown"], strict=True):
            grey = np.frombuffer(bytes.fromhex(image), np.uint8).reshape(8, 8)
            place.imshow(grey, cmap="gray", vmin=0, vmax=255)
            place.set_xticks([])
            place.set_yticks([])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7)
    figure.subplots_adjust(left=0.27, right=0.99, top=0.99, bottom=0.01, wspace=0.05, hspace=0.05)
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--runs", type=Path, default=cache_folder() / "q_dense_loaders")
    options = parser.parse_args()
    machine.one_thread()
    results: dict[str, Any] = {"rows": {}}
    if RESULTS.is_file():
        results = json.loads(RESULTS.read_text())

    def save() -> None:
        about = {"device": DEVICE, "shots": SHOTS, "class": CLASS, "machine": machine.describe()}
        write_json(RESULTS, {**about, "rows": results["rows"]})
        page = PAGE.read_text()
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n{render(results['rows'])}\n{END}{after}")

    for seed in options.seeds:
        seed_rows(seed, options.images, options.runs, results["rows"], save)
    save()
    draw(results["rows"], min(int(name.rsplit("/", 1)[1]) for name in results["rows"]))


if __name__ == "__main__":
    main()
