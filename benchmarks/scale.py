"""What binds first on the way to 1,000 hours of devices, or to 10^6 images?

Measured here: what an item of work, a job in the ledger, a training run and an image's step cost in
seconds, bytes and files, each at growing numbers, so that a cost that is not linear shows itself. Not
measured but taken from IBM's documentation: jobs a minute and executions a job.

From these, on paper: how many items, jobs and bytes a goal takes. By simulation: a sender that keeps to
the service's limit and writes its ledger, devices that do one job after the other, and groups of images
whose next step waits for the one before. It says how long a goal takes and how busy devices are.

    python benchmarks/scale.py [--json benchmarks/results/scale.json] [--large]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from feeding import JOBS_PER_MINUTE, simulate
from no_item import nothing

from qdm_qiskit.hardware.plan.qpu_seconds import MAX_EXECUTIONS

SECONDS_PER_SHOT = 300e-6
"""A circuit of some tens of microseconds and the default delay of 250 between two: a round number."""
STEPS, SHOTS = 10, 1024
IMAGES = 1_000_000


def size(folder: Path) -> tuple[int, int]:
    """Return bytes and number of the files below a folder."""
    files = [each for each in folder.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files), len(files)


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Return wall-clock and this process's processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def items(counts: tuple[int, ...], folder: Path) -> list[dict[str, object]]:
    """Measure items that do nothing, here and through Dask's scheduler to two workers."""
    from qdm_qiskit.work import InThisProcess, WorkItem, run_items
    from qdm_qiskit.work.dask import DaskWorkers

    found: list[dict[str, object]] = []
    for name, workers in (("here", InThisProcess()), ("dask", DaskWorkers(None, 2))):
        warm = [WorkItem(f"warm-{k}", nothing, {"number": k}) for k in range(4)]
        run_items(warm, folder / f"warm-{name}", workers)
        for count in counts:
            place = folder / f"{name}-{count}"
            todo = [WorkItem(f"item-{k}", nothing, {"number": k}) for k in range(count)]
            took = timed(lambda t=todo, p=place, w=workers: run_items(t, p, w))  # type: ignore[misc]
            bytes_, files = size(place)
            each = {name: value / count for name, value in took.items()}
            row = {"where": name, "count": count, **each}
            found.append({**row, "bytes": bytes_ / count, "files": files / count})
            print(row, flush=True)
        workers.close()
    return found


def ledger(counts: tuple[int, ...], folder: Path) -> list[dict[str, object]]:
    """Measure the life of a job in the ledger: reserved, intended, sent, collected, settled."""
    from qdm_qiskit.hardware.ledger.ledger import Ledger

    found: list[dict[str, object]] = []
    for count in counts:
        root = folder / f"ledger-{count}"
        root.mkdir()
        book = Ledger.open(root)
        book.set_budget("all", seconds=1e9, shots=10**15, period_days=28)
        book.add_run(
            "run", plan_sha256="a" * 64, budget="all", total_steps=count, seconds_estimated=1.0
        )

        def live(book: Ledger = book, count: int = count) -> None:
            for number in range(count):
                part, tag = f"step-{number}", f"qdm-run-step-{number}-1"
                book.reserve("all", "run", [(part, 3.0, 10)])
                book.intend(
                    tag=tag,
                    run_id="run",
                    part=part,
                    attempt=1,  # type: ignore[arg-type]
                    payload_sha256="0" * 64,
                    backend="ibm_fez",
                    instance="crn",
                    mode="job",
                    session_id=None,
                )
                book.sending(tag, "job", None)
                book.sent(tag, f"job-{number}", how="answered")
                book.collected(tag, "x")
                book.settle(tag, {f"job-{number}": 1.0}, 10)

        took = timed(live)
        book.close()
        row = {"count": count, **{name: value / count for name, value in took.items()}}
        found.append({**row, "bytes": size(root)[0] / count})
        print(found[-1], flush=True)
    return found


def runs(folder: Path) -> dict[str, object]:
    """Measure the folder of a small training run, and of a hardware run on a device of this machine."""
    import qdm_qiskit as qdm

    small = {"image_size": 4, "depth": 2, "num_steps": 2, "train_count": 40, "epochs": 2}
    trained = qdm.train("eeqdm", folder / "run", **small)
    training = dict(zip(("bytes", "files"), size(trained.run), strict=True))
    found = {}
    for images in (8, 32):
        root = folder / f"root-{images}"
        plan = qdm.plan(
            trained.run,
            "local:fake_torino",
            num_images=images,
            shots=256,
            layout_trials=1,
            root=root,
        )
        done = qdm.submit(plan, yes=True)
        found[images] = size(done.folder)[0]
    per_step = (found[32] - found[8]) / (24 * small["num_steps"])
    return {"training": training, "hardware_bytes": found, "bytes_per_image_step": per_step}


def paper(ledger_bytes: float, image_bytes: float) -> list[dict[str, float]]:
    """Return jobs, hours and bytes of 10^6 images, by the images of a job."""
    rows = []
    for images in (10, 100, 1_000, MAX_EXECUTIONS // SHOTS):
        jobs = STEPS * -(-IMAGES // images)
        device_hours = IMAGES * STEPS * SHOTS * SECONDS_PER_SHOT / 3600
        rows.append(
            {
                "images_of_a_job": images,
                "jobs": jobs,
                "device_s_of_a_job": images * SHOTS * SECONDS_PER_SHOT,
                "device_hours": device_hours,
                "sending_hours": jobs / JOBS_PER_MINUTE / 60,
                "ledger_gb": jobs * ledger_bytes / 1e9,
                "images_gb": IMAGES * STEPS * image_bytes / 1e9,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--large", action="store_true", help="four times as many of everything")
    asked = parser.parse_args()
    machine.all_cores()
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    )  # workers import no_item
    factor = 4 if asked.large else 1
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        found: dict[str, object] = {
            "items": items((100, 400 * factor), folder),
            "ledger": (book := ledger((100, 400, 1600 * factor), folder)),
            "runs": (measured := runs(folder)),
        }
    last = book[-1]
    found["paper"] = paper(float(str(last["bytes"])), float(str(measured["bytes_per_image_step"])))
    found["simulated"] = [
        {
            "job_s": job_s,
            "devices": devices,
            "groups": groups,
            **simulate(job_s, devices, groups, ledger_s=float(str(last["wall_s"]))),
        }
        for devices in (1, 4, 16)
        for job_s in (3.0, 12.0, 48.0, 300.0)
        for groups in (1, 2 * devices, 16 * devices)
    ]
    for name in ("runs", "paper", "simulated"):
        for row in found[name] if isinstance(found[name], list) else [found[name]]:  # type: ignore[attr-defined]
            print(row)
    if asked.json:
        asked.json.write_text(json.dumps({**machine.describe(), **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
