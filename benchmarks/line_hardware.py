"""What do 16 images of the latent model on a line cost on a device, and how good are they?

    python benchmarks/line_hardware.py RUN [--count 160] [--shots 256] [--target local:fake_torino]

RUN is a run of `line-digits-guided`. The whole life of a hardware run: plan, submit, resume, replay;
with tiles and a refit, and without either. Seconds are those of the plan of 16 images, job by job;
images are COUNT of the same chain at the same places, in runs that share one refit. What stands beside
the model needs no device, and is sampled exactly. `--prices` only plans, and shows where the seconds of
more settings go. Finished rows stay in benchmarks/results/line_hardware.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from line_targets import metrics

import qdm_qiskit as qdm
from qdm_qiskit.evaluation.subjects import beside_subjects
from qdm_qiskit.files import write_json
from qdm_qiskit.hardware.ledger.run_files import IMAGES, read_refits
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.run.commands import resume_run, submit_run
from qdm_qiskit.hardware.run.replay import replay

RESULTS = Path(__file__).parent / "results" / "line_hardware.json"
PRICED, OLD_SECONDS = 16, 198.0
"""Images whose seconds are shown, and what 0.1's demo plan took for as many in ten steps."""
WAYS: dict[str, dict[str, Any]] = {
    "one place": {},
    "refit": {"refit": "300"},
    "tiles": {"tiles": "8"},
    "tiles, refit": {"tiles": "8", "refit": "300"},
    "tiles, refit of 150": {"tiles": "8", "refit": "150"},
    "tiles, refit, 5 steps": {
        "tiles": "8",
        "refit": "300",
        "scheduler": "ddim",
        "num_inference_steps": 5,
    },
}


PRICES: dict[str, dict[str, Any]] = {
    "one place": {},
    "one place, refit": {"refit": "300"},
    "8 tiles": {"tiles": "8"},
    "8 tiles, refit": {"tiles": "8", "refit": "300"},
    "8 tiles, refit of 150": {"tiles": "8", "refit": "150"},
    "8 tiles, refit, M3": {"tiles": "8", "refit": "300", "mitigation": "m3"},
    "16 tiles, refit": {"tiles": "16", "refit": "300"},
    "8 tiles, refit, 5 steps": WAYS["tiles, refit, 5 steps"],
}
"""Settings that are only planned."""


def parts_of(plan: RunPlan) -> dict[str, float]:
    """Return where the QPU seconds of a plan go: overhead of the jobs, refit, and steps."""
    overhead = plan.num_jobs * plan.timing.overhead_seconds
    own = plan.timing.overhead_seconds
    refit = 0.0 if plan.refit is None else plan.refit.seconds - own
    calibration = 0.0 if plan.calibration is None else plan.calibration.seconds - own
    return {
        "seconds": plan.most_seconds,
        "overhead": overhead,
        "refit": refit,
        "calibration": calibration,
        "steps": plan.most_seconds - overhead - refit - calibration,
        "jobs": plan.num_jobs,
    }


def made(run: Path, config: PlanConfig, root: Path) -> tuple[RunPlan, np.ndarray]:
    """Send a plan, take it up again, replay it, and return its images."""
    plan = make_plan(run, config, root=root)
    submit_run(plan.folder, progress=lambda message: print(f"  {message}", flush=True))
    assert resume_run(root, plan.run_id).state == "done"
    assert replay(plan.folder).equal
    with np.load(plan.folder / IMAGES) as arrays:
        return plan, arrays["images"]


def measured(run: Path, way: dict[str, Any], asked: argparse.Namespace) -> dict[str, Any]:
    """Return seconds and metrics of one way."""
    config = PlanConfig(
        targets=(asked.target,), num_images=PRICED, shots=asked.shots, layout_trials=5, **way
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        first, images = made(run, config, root)
        more = dataclasses.replace(config, num_images=asked.count - PRICED, seed=1)
        second, others = made(run, more, root)
        fits = [] if first.refit is None else list(read_refits(first.folder).values())
        # Of sixteen and of all others each has the classes in turn, so labels begin again.
        found = {
            "price": parts_of(first),
            "again": None if second.refit is None else second.refit.found is not None,
            "tiles": 1 if first.calls.tiles is None else len(first.calls.tiles.circuits[0].tiles),
            "expected_success": first.circuit.expected_success,
            "errors": [(each.error_before, each.error_after) for each in fits],
        }
    whole = PRICED - PRICED % 10
    kept = np.concatenate([images[:whole], others])
    return {**found, "count": len(kept), **metrics(qdm.load_run(run), kept, 0)}


def priced(run: Path, way: dict[str, Any], asked: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of a setting's first run."""
    config = PlanConfig(targets=(asked.target,), num_images=PRICED, shots=asked.shots, **way)
    with tempfile.TemporaryDirectory() as folder:
        return parts_of(make_plan(run, config, root=Path(folder)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--count", type=int, default=166)
    parser.add_argument("--shots", type=int, default=256)
    parser.add_argument("--target", default="local:fake_torino")
    parser.add_argument("--prices", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    done: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if asked.prices:
        for name, way in PRICES.items():
            done[f"price: {name}"] = priced(asked.run, way, asked)
            write_json(RESULTS, done)
            print(name, done[f"price: {name}"], flush=True)
        return
    run = qdm.load_run(asked.run)
    count = asked.count - PRICED % 10

    def keep(name: str, found: dict[str, Any]) -> None:
        done[name] = found
        write_json(RESULTS, done)
        price = found.get("price")
        shown = "-" if price is None else f"{price['seconds']:.1f} s"
        times = "" if price is None else f", {OLD_SECONDS / price['seconds']:.1f} times fewer"
        label, frechet = (found[n][0] for n in ("label_accuracy", "domain_frechet"))
        print(f"{name}: {shown}{times}; labels {label:.3f}, Fréchet {frechet:.1f}", flush=True)

    for steps in (None, 5):
        name = "exact" if steps is None else f"exact, {steps} steps"
        if name in done:
            continue
        sampler = {} if steps is None else {"scheduler": "ddim", "num_inference_steps": steps}
        images = qdm.sample(run, num_images=count, seed=1, **sampler).images
        keep(name, {"count": count, **metrics(run, images, 0)})
    for subject in beside_subjects(asked.run, seed=1):
        if f"beside: {subject.name}" not in done:
            found = metrics(run, np.asarray(subject.draw(count)), 0)
            keep(f"beside: {subject.name}", {"count": count, **found})
    for name, way in WAYS.items():
        key = f"{asked.target}: {name}"
        if key not in done:
            keep(key, measured(asked.run, way, asked))


if __name__ == "__main__":
    main()
