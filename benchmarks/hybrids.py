"""Does a circuit add anything in the places where the survey puts circuits into a score network?

For each data set and seed the same small network is trained with a circuit in each place, in one of
them, in none, and with nothing in a place; what stands for a circuit is a classical block with as many
numbers. Its test loss is the mean over the test rows and eight noise draws, the same for all variants
of a seed, so differences from "networks" are paired by seed. Rows of numbers are sampled and measured
as in `rows.py`. Figures are means over seeds with 95 % intervals by Student's t.

    python benchmarks/hybrids.py [--sets waves digits ising] [--seeds 3] [--workers 1] [--json FILE]

A file that was interrupted holds what was done, and is gone on with.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from pathlib import Path
from typing import Any

from rows import METRICS, measured
from seeds import cell, interval, read_runs

import qdm_qiskit as qdm
from qdm_qiskit.files import write_json
from qdm_qiskit.training.beside import test_losses
from qdm_qiskit.training.run_data import load_data

NETWORKS = {"time": "network", "attention": "network", "bottleneck": "network"}
HYBRID: dict[str, dict[str, Any]] = {
    "networks": NETWORKS,
    "circuits": {},
    "circuits without CZ": {"entangled": False},
    **{f"circuit: {place}": {**NETWORKS, place: "circuit"} for place in NETWORKS},
    "nothing in all three": dict.fromkeys(NETWORKS, "none"),
}
SERIES: dict[str, dict[str, Any]] = {
    "networks": {"block": "network"},
    "circuits": {},
    "circuits without CZ": {"entangled": False},
    "without blocks": {"block": "none"},
}
SETS: dict[str, tuple[str, dict[str, dict[str, Any]], dict[str, Any]]] = {
    "waves": ("series-waves", SERIES, {}),
    "digits": ("hybrid-digits", HYBRID, {"codec": "pca"}),  # an autoencoder takes half of the time
    "ising": ("hybrid-ising-guided", HYBRID, {}),
}
"""Preset, variants, and options that differ from the preset's."""
TRAINING = {"epochs": 30, "decay_every": 2, "checkpoint_every": 30}
"""Half of the presets' epochs, with the step size falling as far."""


def one(name: str, variant: str, seed: int) -> dict[str, Any]:
    """Train, test and sample a variant with one seed."""
    preset, variants, options = SETS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        start = time.process_time()
        qdm.train(
            preset,
            path,
            seed=seed,
            baseline=False,
            log_with="none",
            **TRAINING,
            **options,
            **variants[variant],
        )
        seconds = time.process_time() - start
        run = qdm.load_run(path)
        split = load_data(run.config).split
        losses = test_losses({"model": run.model}, run.model, run.process, run.config, split)
        found = {
            "loss": float(losses["model"].mean()),
            "identity": float(losses["identity"].mean()),
        }
        if name in METRICS:
            found |= measured(path, "model", name, seed)["model"]
    return {
        "metrics": found,
        "parameters": run.model.num_parameters,
        "in_circuits": run.model.num_quantum_parameters,
        "seconds": seconds,
    }


def table(runs: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return means, and differences from the networks paired by seed."""
    found: dict[str, Any] = {}
    for name, variants in runs.items():
        base = variants.get("networks", {})
        rows = {}
        for variant in SETS[name][1]:
            seeds = sorted(set(variants.get(variant, {})) & set(base))
            if len(seeds) < 2:
                continue
            mine = [variants[variant][seed]["metrics"] for seed in seeds]
            other = [base[seed]["metrics"] for seed in seeds]
            rows[variant] = {
                "seeds": len(seeds),
                "parameters": variants[variant][seeds[0]]["parameters"],
                "in_circuits": variants[variant][seeds[0]]["in_circuits"],
                "metrics": {m: interval([each[m] for each in mine]) for m in mine[0]},
                "less_networks": {
                    m: interval([a[m] - b[m] for a, b in zip(mine, other, strict=True)])
                    for m in mine[0]
                    if variant != "networks" and m != "identity"
                },
            }
        found[name] = {"preset": SETS[name][0], "rows": rows}
    return found


def markdown(found: dict[str, Any]) -> str:
    """Return the tables of a page."""
    lines = []
    for name, each in found.items():
        if not each["rows"]:
            continue
        metrics = [m for m in next(iter(each["rows"].values()))["metrics"] if m != "identity"]
        seeds = next(iter(each["rows"].values()))["seeds"]
        lines += ["", f"`{name}`, {each['preset']}, {seeds} seeds:", ""]
        lines.append("| | numbers | " + " | ".join(metrics) + " | loss less that of networks |")
        lines.append("|---|---:|" + "---|" * (len(metrics) + 1))
        for variant, row in each["rows"].items():
            cells = [cell(row["metrics"][m]) for m in metrics]
            less = row["less_networks"].get("loss")
            cells.append("" if less is None else cell(less, "+.4f"))
            lines.append(f"| {variant} | {row['parameters']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is asked for and not measured yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=["waves", "digits"], choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    runs: dict[str, dict[str, dict[str, Any]]] = read_runs(asked.json)
    machine.all_cores()
    with ProcessPoolExecutor(asked.workers) as pool:
        waiting = {
            pool.submit(one, name, variant, seed): (name, variant, seed)
            for seed in range(asked.seeds)
            for name in asked.sets
            for variant in SETS[name][1]
            if str(seed) not in runs.get(name, {}).get(variant, {})
        }
        for done in as_completed(waiting):
            name, variant, seed = waiting[done]
            runs.setdefault(name, {}).setdefault(variant, {})[str(seed)] = done.result()
            print(name, variant, seed, round(done.result()["metrics"]["loss"], 4), flush=True)
            if asked.json is not None:
                about = {"date": date.today().isoformat(), "machine": machine.describe()}
                write_json(asked.json, {**about, "table": table(runs), "runs": runs})
    print(markdown(table(runs)))


if __name__ == "__main__":
    main()
