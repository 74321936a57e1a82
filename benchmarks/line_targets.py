"""Do samples of the latent model on a line keep their label and their distance through a device?

    python benchmarks/line_targets.py RUN [RUN ...] [--count 300] [--shots 256] [--ways exact refit]
    python benchmarks/line_targets.py                  # the tables of what is done

RUNs are runs of `line-digits-guided` or another guided preset, one for each seed. On the best and the
worst usable line of each snapshot: exact, raw, readout inverted, refit of 300 circuits. A line is
usable if each of its CZ has an error below 5 % and each of its readouts one below 10 %. Beside it the
circuit without CZ, exact and with a refit on the worst line, and the linear map, exact: what a device
has to leave of the circuit to be worth it; an MLP, Gaussians and means of the classes; and test images
through the codec alone.
`line-amplitudes-digits-guided` has no head, so its refit is an affine correction of the measured
probabilities, and nothing stands beside it. Finished cells stay in
benchmarks/results/line_targets.json; a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from qiskit.providers import BackendV2
from scipy.stats import binomtest

import qdm_qiskit as qdm
from qdm_qiskit.circuits import working_couplings
from qdm_qiskit.data import cache_folder
from qdm_qiskit.diffusion import VelocityPrediction
from qdm_qiskit.evaluation.class_metrics import ClassKID, ClassSpread, LabelAccuracy
from qdm_qiskit.evaluation.domain_classifier import domain_classifier
from qdm_qiskit.evaluation.metric import Features, ImageSets
from qdm_qiskit.evaluation.metrics import domain_frechet
from qdm_qiskit.evaluation.subjects import asked_classes, beside_subjects
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.files import write_json
from qdm_qiskit.models.line import Line
from qdm_qiskit.rng import stream
from qdm_qiskit.sampling import TrainedRun
from qdm_qiskit.tasks import refit
from qdm_qiskit.training import load_split
from qdm_qiskit.training.beside import load_beside

RESULTS = Path(__file__).parent / "results" / "line_targets.json"
DEVICES = ("fake_torino", "fake_marrakesh")
CZ_LIMIT, READOUT_LIMIT = 0.05, 0.10
BESIDE = ("no_entanglers", "linear")
DRAWN = ("mlp", "class_gaussian", "class_means")
"""What else stands beside a run, sampled exactly."""
WAYS = ("exact", "refit", "raw", "m3", *BESIDE, *DRAWN, "codec")
COUNT = 300
"""Samples of a cell; a table of its own has those of another count."""
CIRCUITS = 300
"""Of a refit."""


def lines(device: BackendV2, length: int) -> list[tuple[float, tuple[int, ...]]]:
    """Return the usable lines with the success of three CZ a coupling and one readout a qubit."""
    target, couplings, errors = device.target, defaultdict(set), {}
    for a, b in working_couplings(target):
        error = target["cz"][a, b].error
        if error is not None and error < CZ_LIMIT:
            couplings[a].add(b)
            couplings[b].add(a)
            errors[a, b] = errors[b, a] = error
    readout = {q[0]: each.error for q, each in target["measure"].items() if each is not None}
    good = {q for q, error in readout.items() if error is not None and error < READOUT_LIMIT}
    paths: list[tuple[int, ...]] = [(q,) for q in sorted(good)]
    for _ in range(length - 1):
        paths = [(*p, q) for p in paths for q in sorted(couplings[p[-1]] & good) if q not in p]
    found = []
    for path in paths:
        if path[0] < path[-1]:  # each once
            gates = np.prod([(1 - errors[pair]) ** 3 for pair in pairwise(path)])
            found.append((float(gates * np.prod([1 - readout[q] for q in path])), path))
    return sorted(found)


def metrics(run: TrainedRun, images: np.ndarray, seed: int) -> dict[str, Any]:
    """Return label accuracy, distance, class-wise KID and spread, each with its interval."""
    split = load_split(run.config)
    classifier = domain_classifier(
        split.train.images,
        split.train.labels,
        split.test.images,
        split.test.labels,
        folder=cache_folder() / "evaluation",
    )
    (x, logits), (y, _) = classifier.read(images), classifier.read(split.test.images)
    sets = ImageSets(
        images=images,
        reference=split.test.images,
        rng=stream(seed, "evaluation", 25),
        features={"domain": Features(x, y, logits)},
        labels=asked_classes(run)(len(images)),
        reference_labels=split.test.labels,
        classes=classifier.classes,
        resamples=50,
    )
    found = {}
    for each in (LabelAccuracy(), domain_frechet, ClassKID(), ClassSpread()):
        value = each.measure(sets)
        assert value is not None
        found[each.name] = [value.estimate, value.low, value.high]
    return {**found, "classifier_accuracy": classifier.accuracy}


def cells(run: TrainedRun) -> list[dict[str, Any]]:
    """Return what is measured of a run."""
    engine = {"device": "engine", "line": "-"}
    angles = isinstance(run.model, Line)
    length = run.model.num_qubits if angles else run.model.layer.spec.num_qubits
    beside = (*BESIDE, *DRAWN) if angles else ()
    found: list[dict[str, Any]] = [{**engine, "way": way} for way in ("exact", *beside, "codec")]
    for device in DEVICES:
        usable = lines(load_backend(device), length)
        for name, (success, path) in (("worst", usable[0]), ("best", usable[-1])):
            about = {"device": device, "line": name, "path": path, "success": success}
            ways = ("refit", "raw", "m3", *(BESIDE[:1] if angles and name == "worst" else ()))
            found += [{**about, "way": way} for way in ways]
    return found


def other(folder: Path, run: TrainedRun, name: str) -> TrainedRun:
    """Return the run with a model in place that stands beside its own."""
    assert isinstance(run.model, Line)
    assert isinstance(run.process, VelocityPrediction)
    return replace(run, model=load_beside(folder, run.model, run.process)[name])


@torch.no_grad()
def through_codec(run: TrainedRun, count: int) -> np.ndarray:
    """Return test images of the asked-for classes, encoded and decoded: no denoiser takes part."""
    assert isinstance(run.model, Line)
    test, rows = load_split(run.config).test, []
    left = {label: np.flatnonzero(test.labels == label) for label in np.unique(test.labels)}
    for label in asked_classes(run)(count):
        if not len(left[label]):
            raise SystemExit(f"{count} test images would be taken twice; leave out the way codec.")
        rows.append(left[label][0])
        left[label] = left[label][1:]
    codec = run.model.codec
    found: np.ndarray = codec.decode(codec.encode(torch.from_numpy(test.images[rows]))).numpy()
    return found


def drawn(folder: Path, name: str, count: int) -> np.ndarray:
    """Return exact samples of what stands beside a run and is no circuit."""
    found = {each.name: each for each in beside_subjects(folder, seed=1)}
    return np.asarray(found[name].draw(count))


def images_of(run: TrainedRun, cell: dict[str, Any], count: int, shots: int) -> np.ndarray:
    """Sample one cell."""
    if cell["way"] == "codec":
        return through_codec(run, count)
    if cell["device"] == "engine":
        return qdm.sample(run, num_images=count, seed=1).images
    target, path = f"noisy:{cell['device']}", tuple(cell["path"])
    corrections = {}
    if cell["way"] in ("refit", "no_entanglers"):
        fitted = refit(run, target, circuits=CIRCUITS, shots=shots, initial_layout=path)
        run, corrections = fitted.run, fitted.corrections
    return qdm.sample(
        run,
        target,
        shots=shots,
        num_images=count,
        seed=1,
        initial_layout=path,
        mitigation="m3" if cell["way"] == "m3" else "none",
        corrections=corrections,
    ).images


def table(done: dict[str, Any], preset: str) -> str:
    """Return a Markdown table of a preset's cells, seeds side by side and their samples pooled."""
    groups: dict[tuple[str, ...], dict[str, Any]] = defaultdict(dict)
    for key, cell in done.items():
        name, _, seed, *where = key.split("/")
        if name == preset:
            groups[tuple(where)][seed] = cell
    exact = groups.get(("engine", "-", "exact"), {})
    lines = [
        "| target | line, success | way | named as their class, by seed | in all, 95 % "
        "| Fréchet, domain, by seed | beside exact, % | KID in classes | spread |",
        "|---|---|---|---|---|---|---|---:|---:|",
    ]
    places = ("-", "best", "worst")
    devices = ("engine", *DEVICES)
    for (device, line, way), cells in sorted(
        groups.items(),
        key=lambda g: (devices.index(g[0][0]), places.index(g[0][1]), WAYS.index(g[0][2])),
    ):
        seeds = sorted(cells)
        shares = [cells[seed]["label_accuracy"][0] for seed in seeds]
        counts = [cells[seed]["count"] for seed in seeds]
        right = round(sum(a * b for a, b in zip(shares, counts, strict=True)))
        low, high = binomtest(right, sum(counts)).proportion_ci(method="wilson")
        far = [cells[seed]["domain_frechet"][0] for seed in seeds]
        above = [
            f"{100 * (f / exact[seed]['domain_frechet'][0] - 1):+.0f}" if seed in exact else "-"
            for seed, f in zip(seeds, far, strict=True)
        ]
        place = line if line == "-" else f"{line}, {cells[seeds[0]]['success']:.2f}"
        what = {
            "no_entanglers": "no CZ",
            "linear": "linear map",
            "mlp": "MLP",
            "class_gaussian": "Gaussian of each class",
            "class_means": "class means",
            "codec": "test images, codec alone",
        }.get(way, way)
        lines.append(
            f"| {device} | {place} "
            f"| {what}{', refit' if way == 'no_entanglers' and line != '-' else ''} "
            f"| {', '.join(f'{a:.3f}' for a in shares)} "
            f"| {right / sum(counts):.3f} [{low:.3f}, {high:.3f}] "
            f"| {', '.join(f'{f:.1f}' for f in far)} | {', '.join(above)} "
            f"| {np.mean([cells[s]['class_kid'][0] for s in seeds]):.2f} "
            f"| {np.mean([cells[s]['class_spread'][0] for s in seeds]):.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path, help="none: the table of what is done")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--shots", type=int, default=256)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS, help="of the cells")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    done: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for folder in asked.runs:
        run = qdm.load_run(folder)
        config = run.config
        for cell in cells(run):
            if cell["way"] not in asked.ways:
                continue
            samples = "" if asked.count == COUNT else f", {asked.count} samples"
            key = "/".join(
                (
                    f"{config.preset or config.model}{samples}",
                    f"epochs {config.training.epochs}",
                    f"seed {config.training.seed}",
                    *(cell[name] for name in ("device", "line", "way")),
                )
            )
            if key in done:
                continue
            if cell["way"] in DRAWN:
                images = drawn(folder, cell["way"], asked.count)
            else:
                model = other(folder, run, cell["way"]) if cell["way"] in BESIDE else run
                images = images_of(model, cell, asked.count, asked.shots)
            about = {"count": asked.count, "shots": asked.shots}
            done[key] = {**cell, **about, **metrics(run, images, config.training.seed)}
            write_json(RESULTS, done)
            shown = [f"{done[key][n][0]:.3f}" for n in ("label_accuracy", "domain_frechet")]
            print(key, *shown, f"spread {done[key]['class_spread'][0]:.2f}", flush=True)
    for preset in dict.fromkeys(key.split("/")[0] for key in done):
        print(f"\n{preset}\n\n{table(done, preset)}")


if __name__ == "__main__":
    main()
