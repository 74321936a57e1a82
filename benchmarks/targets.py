"""Does every family and every preset run on every target, and do shots lead to the engine's samples?

    python benchmarks/targets.py                      # what is not measured yet, and docs/targets.md
    python benchmarks/targets.py --rows qddm --again  # measures a row again
    python benchmarks/targets.py --rows               # writes the page only

For each row of ``target_rows.py``:

- ``aer``: the distance of samples from the engine's exact ones at three counts of shots, and the slope
  of its logarithm, which is -1/2 where shots are independent and nothing is biased. A chain is no
  linear map of what it is told, so both share the noise of their start and steps, and take few steps.
  Each image has a slope of its own; the table has their mean and a t-interval of 95 %.
- ``noisy``: one image through the noise of a device, and the processor time of the whole call.
- ``local``: a plan of two images, sent, killed at each point of its record, resumed and replayed; see
  ``kills.py``.

Parts that are done stay in ``results/targets.json``, so that the command can be stopped at any time;
two of them can work at different rows. Each part runs in a process of its own, which is ended at its
time limit, and the page says so.
"""

from __future__ import annotations

from forked import Failed, TooLong, in_child  # first: it sets the number of threads  # isort: skip

import argparse
import fcntl
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
import torch
from kills import KINDS, killed_everywhere, load
from target_rows import FAMILIES, PRESET_ROWS, ROWS, Row, write_model
from target_tables import write_page

from qdm_qiskit.errors import QdmError
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import SamplingConfig, TrainedRun, load_run, sample

RESULTS = Path(__file__).parent / "results" / "targets.json"
DEVICE = "fake_torino"
SECONDS = 600.0
"""Time limit of a part."""


# --- parts --------------------------------------------------------------------------------------


def on_aer(name: str, device: str) -> dict[str, Any]:
    """Distances from the engine's samples, and their slope over shots."""
    row = ROWS[name]
    with _written(row) as run:
        found = np.array([_distances(run, row, "aer", shots, row.images) for shots in row.shots])
    if not found.all():
        raise Failed("shots change no pixel of an image; give the row another seed")
    slopes = np.polyfit(np.log(row.shots), np.log(found), 1)[0]
    half = scipy.stats.t.ppf(0.975, len(slopes) - 1) * scipy.stats.sem(slopes)
    return {
        "shots": row.shots,
        "distances": np.sqrt((found**2).mean(axis=1)).tolist(),
        "slope": float(slopes.mean()),
        "interval": [float(slopes.mean() - half), float(slopes.mean() + half)],
        "images": row.images,
    }


def on_noisy(name: str, device: str) -> dict[str, Any]:
    """One image through a device's noise."""
    row = ROWS[name]
    with _written(row) as run:
        began = time.process_time()
        found = sample(run, _config(row, f"noisy:{device}", row.noisy_shots, 1))
        seconds = time.process_time() - began
        distance = _from_exact(run, row, found)
    runner = found.manifest["device"]["runner"]
    return {
        "jobs": runner["jobs"],
        "circuits": runner["circuits"],
        "shots": row.noisy_shots,
        "distance": float(distance[0]),
        "qubits": _most_qubits(found.manifest),
        "seconds": seconds,
        "on": runner["options"].get("circuits_on"),
    }


def on_local(name: str, device: str, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
    """A plan that is killed at each point of its record; the page is made with all kinds of points."""
    row, target = ROWS[name], f"local:{device}"
    load(target)
    with tempfile.TemporaryDirectory() as folder:
        planned = in_child(_planned, row, Path(folder), target)
        found = killed_everywhere(Path(planned["folder"]), kinds)
    planned.pop("folder")
    return {**planned, **asdict(found), "equal": found.equal}


PARTS = {"aer": on_aer, "noisy": on_noisy, "local": on_local}
"""What is measured of a row, in the order of the table."""


def _planned(row: Row, folder: Path, target: str) -> dict[str, Any]:
    config = PlanConfig(
        targets=(target,),
        num_images=2,
        shots=row.local_shots,
        layout_trials=1,
        optimization_level=1,
        chain=row.chain,
        **row.sampling,
    )
    plan = make_plan(write_model(row, folder / "run"), config, root=folder / "root")
    return {
        "folder": str(plan.folder),
        "circuits": plan.num_circuits,
        "shots": row.local_shots,
        "steps": len(plan.steps),
    }


@contextmanager
def _written(row: Row) -> Iterator[TrainedRun]:
    with tempfile.TemporaryDirectory() as folder:
        yield load_run(write_model(row, Path(folder) / "run"))


def _config(row: Row, target: str, shots: int, images: int) -> SamplingConfig:
    return SamplingConfig(
        target=target,
        shots=shots,
        num_images=images,
        layout_trials=1,
        optimization_level=1,
        chain=row.chain,
        **row.sampling,
    )


def _distances(run: TrainedRun, row: Row, target: str, shots: int, images: int) -> np.ndarray:
    found = sample(run, _config(row, target, shots, images))
    return _from_exact(run, row, found)


def _from_exact(run: TrainedRun, row: Row, found: Any) -> np.ndarray:
    """Root mean square distance of each image's pixels from the engine's."""
    chain = found.manifest.get("chain", {})
    if chain.get("histories") is not None:
        return _from_histories(run, found.images, chain["histories"])
    config = SamplingConfig(num_images=len(found.images), **row.sampling)
    exact = sample(run, config).images
    return np.sqrt(((found.images - exact) ** 2).mean(axis=(1, 2, 3)))


@torch.no_grad()
def _from_histories(run: TrainedRun, images: np.ndarray, histories: list[int]) -> np.ndarray:
    """The distance of states, up to their phase, from those that the same outcomes leave exactly."""
    model, process = run.model, run.process
    generator = torch.Generator().manual_seed(derived_seed(0, "sampling", 0))
    x = process.start((len(images), *model.state_shape), generator)
    left = torch.tensor(histories)
    for step in range(process.num_steps, 0, -1):
        branches = model(x, torch.full((len(x),), step / process.num_steps))
        x = branches[torch.arange(len(x)), left % branches.shape[1]]
        left = left // branches.shape[1]
        x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
    told = process.to_states(torch.from_numpy(images)).to(torch.complex128)
    overlap = (told.conj() * x).sum(dim=1).abs().clamp(max=1)
    return ((2 - 2 * overlap) / x.shape[1]).sqrt().numpy()


def _most_qubits(manifest: dict[str, Any]) -> int | None:
    sizes = [each["layout"]["physical_qubits"] for each in manifest["device"].get("calls", [])]
    return max((len(each) for each in sizes if each), default=None)


# --- results ------------------------------------------------------------------------------------


def measured(part: str, name: str, device: str, seconds: float) -> dict[str, Any]:
    """Run a part in a process of its own, and return what came of it."""
    try:
        return in_child(_told, part, name, device, seconds=seconds)
    except TooLong:
        return {"too_long": seconds}
    except Failed as error:
        return {"failed": str(error)}


def _told(part: str, name: str, device: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    try:
        return PARTS[part](name, device)
    except QdmError as error:
        return {"refused": str(error)}
    except Failed as error:  # of a process that makes or drives a plan
        text = str(error).strip()
        kind, _, message = text.rpartition("\n")[2].partition(": ")
        if kind.startswith("qdm_qiskit.errors."):
            return {"refused": message}
        return {"failed": text}


def read(results: Path) -> dict[str, Any]:
    """Return what is measured, by row and part."""
    if not results.exists():
        return {"device": DEVICE, "rows": {}}
    found: dict[str, Any] = json.loads(results.read_text())
    return found


def keep(results: Path, name: str, part: str, found: dict[str, Any], device: str) -> None:
    """Add a part to the file, which another process may write too."""
    with open(results, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        whole = json.loads(text) if text else {"device": device, "rows": {}}
        whole["rows"].setdefault(name, {})[part] = found
        whole["rows"] = {each: whole["rows"][each] for each in ROWS if each in whole["rows"]}
        file.truncate(0)
        file.write(json.dumps(whole, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for and not measured yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--again", action="store_true", help="measure what is measured already")
    parser.add_argument("--device", default=DEVICE)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time limit of a part")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args(arguments)
    known, failed = read(asked.results)["rows"], 0
    for name in asked.rows:
        for part in asked.parts:
            if part in known.get(name, {}) and not asked.again:
                continue
            found = measured(part, name, asked.device, asked.seconds)
            failed += "failed" in found
            keep(asked.results, name, part, found, asked.device)
            print(f"{name}, {part}: {json.dumps(found)[:400]}", flush=True)
    if asked.results == RESULTS:
        write_page(read(RESULTS), FAMILIES, PRESET_ROWS)
    return min(failed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
