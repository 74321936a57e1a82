"""Do quantum models make rows of numbers better than a Gaussian, a linear map or an MLP of equal size?

For each data set and seed the preset of the latent line model is trained, with everything that stands
beside it: the Gaussian of each class, class means, the linear map, an MLP of as many parameters and the
circuit without CZ. So is Q-Dense, a circuit on amplitudes without latents. All are sampled and measured
against the test rows, whose choice changes with the seed, by the metrics of `qdm evaluate`. Figures are
means over seeds with 95 % intervals by Student's t. `training rows` and `noise`, uniform cells, are the
two ends of the scale.

    python benchmarks/rows.py [--sets iris waves ising] [--seeds 5] [--workers 2] [--json FILE]

A file that was interrupted holds what was done, and is gone on with.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from seeds import interval, read_runs

import qdm_qiskit as qdm
from qdm_qiskit.data import row_format
from qdm_qiskit.evaluation import measure_images
from qdm_qiskit.evaluation.subjects import beside_subjects, run_subject
from qdm_qiskit.files import write_json

PRESETS = {
    "iris": "line-iris",
    "wine": "line-wine",
    "breast-cancer": "line-breast-cancer",
    "waves": "line-waves",
    "ising": "line-ising-guided",
    "showers": "line-showers-guided",
}
QDENSE = {"depth": 10, "batch_size": 60, "sample_every": 0, "baseline": False}
QDENSE_SIZE = {"breast-cancer": 8}
"""Pixels a side where 4 hold no row; their number is a power of two."""
QDENSE_STEPS = 300
METRICS = {
    "iris": ("marginals", "correlations", "tstr"),
    "wine": ("marginals", "correlations", "tstr"),
    "breast-cancer": ("marginals", "correlations", "tstr"),
    "waves": ("marginals", "autocorrelation", "spectrum", "series_spread"),
    "ising": ("correlations", "spin_energy", "magnetisation"),
    "showers": ("marginals", "energy_sum", "shower_profile", "shower_depth"),
}
COUNT = 512


def measured(run: Path, name: str, dataset: str, seed: int) -> dict[str, dict[str, float]]:
    """Return the metrics of a run, of what stands beside it, of training rows and of noise."""
    subjects = [run_subject(run, seed=seed, name=name), *beside_subjects(run, seed=seed)]
    split = subjects[0].training_split()
    rows = row_format(dataset)
    told = subjects[0].labels
    noise = np.random.default_rng(seed).random((COUNT, *subjects[0].shape), dtype=np.float32)
    sets = {"training rows": (split.train.images, split.train.labels), "noise": (noise, None)}
    for each in subjects:
        sets[each.name] = (each.draw(COUNT), None if told is None else told(COUNT))
    found = {}
    for each, (images, labels) in sets.items():
        both = None if labels is None or told is None else (labels, split.test.labels)
        result = measure_images(
            images,
            split.test.images,
            METRICS[dataset],
            rows=rows,
            labels=both,
            resamples=20,
            seed=seed,
        )
        found[each] = {metric: value.estimate for metric, value in result.metrics.items()}
    return found


def one(dataset: str, seed: int) -> dict[str, Any]:
    """Train, sample and measure both models with one seed."""
    options = {"seed": seed, "sample_every": 0}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "line"
        start = time.process_time()
        qdm.train(PRESETS[dataset], run, log_with="none", **options)
        trained_in = time.process_time() - start
        rows = measured(run, "line", dataset, seed)
        seconds = {"training": trained_in, "evaluation": time.process_time() - start - trained_in}
        parameters = {
            name: each["parameters"]
            for name, each in json.loads((run / "beside/losses.json").read_text())["losses"].items()
        }
        if dataset != "showers":  # 25 cells are no power of two
            dense = Path(folder) / "q_dense"
            count = sum(qdm.load_run(run).config.record.train_classes.values())
            batches = -(-count // QDENSE["batch_size"])
            epochs = -(-QDENSE_STEPS // batches)
            guided = PRESETS[dataset].endswith("-guided")
            told = {"guided": True} if guided else {}
            qdm.train(
                "qddm",
                dense,
                dataset=dataset,
                log_with="none",
                seed=seed,
                epochs=epochs,
                image_size=QDENSE_SIZE.get(dataset, 4),
                **QDENSE,
                **told,
            )
            rows["q_dense"] = measured(dense, "q_dense", dataset, seed)["q_dense"]
            parameters["q_dense"] = qdm.load_run(dense).model.num_parameters
    return {"rows": rows, "parameters": parameters, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sets", nargs="*", default=["iris", "waves", "ising"], choices=list(PRESETS)
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    runs: dict[str, dict[str, Any]] = read_runs(asked.json)
    machine.all_cores()
    wanted = [(name, seed) for seed in range(asked.seeds) for name in asked.sets]
    with ProcessPoolExecutor(asked.workers) as pool:
        waiting = {
            pool.submit(one, name, seed): (name, seed)
            for name, seed in wanted
            if str(seed) not in runs.get(name, {})
        }
        for done in as_completed(waiting):
            name, seed = waiting[done]
            runs.setdefault(name, {})[str(seed)] = done.result()
            print(
                name,
                seed,
                {k: round(v, 1) for k, v in done.result()["seconds"].items()},
                flush=True,
            )
            if asked.json is not None:
                write_json(asked.json, {**about(), "table": table(runs), "runs": runs})
    print(markdown(table(runs)))


def about() -> dict[str, Any]:
    return {"date": date.today().isoformat(), "machine": machine.describe(), "samples": COUNT}


def table(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, seeds in runs.items():
        if len(seeds) < 2:
            continue
        each = list(seeds.values())
        learners = list(each[0]["rows"])
        preset = PRESETS[name]
        found[name] = {
            "seeds": len(each),
            "preset": preset,
            "rows": {
                learner: {
                    metric: interval([seed["rows"][learner][metric] for seed in each])
                    for metric in METRICS[name]
                }
                for learner in learners
            },
            # The seed changes test rows and noise for all alike, so differences are paired.
            "less_than_line": {
                learner: {
                    metric: interval(
                        [s["rows"][learner][metric] - s["rows"]["line"][metric] for s in each]
                    )
                    for metric in METRICS[name]
                }
                for learner in learners
                if learner not in ("line", "training rows", "noise")
            },
            "parameters": each[0]["parameters"],
            "seconds": {
                part: float(np.mean([seed["seconds"][part] for seed in each]))
                for part in ("training", "evaluation")
            },
        }
    return found


def markdown(found: dict[str, Any]) -> str:
    lines = []
    for name, each in found.items():
        lines += ["", f"{name} ({each['preset']}, {each['seeds']} seeds)", ""]
        lines.append("| | parameters | " + " | ".join(METRICS[name]) + " |")
        lines.append("|---|---:|" + "---|" * len(METRICS[name]))
        for learner, metrics in each["rows"].items():
            cells = [f"{m['mean']:.3f} [{m['low']:.3f}, {m['high']:.3f}]" for m in metrics.values()]
            size = each["parameters"].get("model" if learner == "line" else learner, "")
            lines.append(f"| {learner} | {size} | " + " | ".join(cells) + " |")
        lines += ["", "less line, paired", ""]
        for learner, metrics in each["less_than_line"].items():
            cells = [
                f"{m['mean']:+.3f} [{m['low']:+.3f}, {m['high']:+.3f}]" for m in metrics.values()
            ]
            lines.append(f"| {learner} | | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
