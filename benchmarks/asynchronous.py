"""How much sooner is a run done whose images go on as their own jobs come back?

A run has 16 images and 10 steps. The same images, shots and circuits are answered three ways:

- *one job*: all images of a step in one job, if a job holds so many;
- *synchronous*: 8 jobs a step, which are sent together; the next step begins when all are back;
- *groups*: the same 8 jobs a step (`qdm run plan --groups 8`); a group's next job is sent when its own
  is back.

The queue is simulated: before a job runs it waits a log-normal time with a median of a minute, drawn
from the seed and the job's own circuits and values, so that the same job waits as long in either way.
The device runs one job at a time, for 2 seconds and the job's shots. The provider is a plain object of
this file; all else is the package: plans, ledger, chains, polls every 5 s. The clock is simulated as
well. What sleeps is not waited for, its seconds are added; the processor seconds of the client count as
they are, those of the simulated device do not. So the load of the machine makes no difference; syncs
of the disk are left out.

Beside each measured time stands the one that the drawn waits allow: of a schedule that sends each job
the moment it can, on the same device, without client and polls. The same schedule is computed of 500
other draws of each queue, and of other numbers of groups.

    python benchmarks/asynchronous.py [--seeds 10] [--queues varies] [--json FILE]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import hashlib
import heapq
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from qiskit_aer import AerSimulator
from seeds import cell, interval, read_runs

import qdm_qiskit as qdm
from qdm_qiskit.files import write_json
from qdm_qiskit.hardware.providers.base import Provider, Status
from qdm_qiskit.hardware.providers.door import PROVIDERS
from qdm_qiskit.hardware.providers.requests import JobRequest
from qdm_qiskit.tasks.fleets import plan_fleet

IMAGES, STEPS, GROUPS, SHOTS = 16, 10, 8, 128
JOB_SECONDS = 2.0
MEDIAN_SECONDS = 60.0


@dataclass(frozen=True)
class Queue:
    """How long jobs wait, and run."""

    sigma: float
    """Standard deviation of the logarithm of the wait."""
    shot_seconds: float = 250e-6

    @property
    def words(self) -> str:
        """The queue in words."""
        mean = MEDIAN_SECONDS * np.exp(self.sigma**2 / 2)
        return (
            f"log-normal wait, median {MEDIAN_SECONDS:g} s, sigma {self.sigma:g}, mean {mean:.0f} s; "
            f"a step of all images runs for {IMAGES * SHOTS * self.shot_seconds:.1f} s"
        )


QUEUES = {
    "varies a little": Queue(0.5),
    "varies": Queue(1.0),
    "varies much": Queue(1.5),
    "varies, long jobs": Queue(1.0, shot_seconds=0.05),
}


# --- the clock ----------------------------------------------------------------------------------


class Clock:
    """Seconds that were slept, which nobody waits for, and processor seconds of the client."""

    def __init__(self) -> None:
        self.slept = 0.0
        self._apart = 0.0
        self._began = time.process_time()

    def now(self) -> float:
        """Seconds since the clock began."""
        return self.slept + self.client

    @property
    def client(self) -> float:
        """Processor seconds of all but the simulated device."""
        return time.process_time() - self._began - self._apart

    def sleep(self, seconds: float) -> None:
        """Go on by so much."""
        self.slept += max(0.0, seconds)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Leave out the processor seconds of the simulated device."""
        began = time.process_time()
        try:
            yield
        finally:
            self._apart += time.process_time() - began


CLOCK = Clock()


@contextmanager
def simulated_clock() -> Iterator[Clock]:
    """Let the whole process live by a simulated clock, and yield it."""
    global CLOCK
    kept = time.sleep, time.monotonic, time.time
    start, CLOCK = kept[2](), Clock()
    time.sleep = CLOCK.sleep
    time.monotonic = CLOCK.now
    time.time = lambda: start + CLOCK.now()
    try:
        yield CLOCK
    finally:
        time.sleep, time.monotonic, time.time = kept


# --- the service --------------------------------------------------------------------------------


@dataclass
class Job:
    """A job of the simulated service."""

    tag: str
    counts: list[np.ndarray]
    ready: float
    """When its wait is over."""
    seconds: float
    """How long it runs."""
    started: float | None = None

    @property
    def ended(self) -> float | None:
        """When it has run; None before that is known."""
        return None if self.started is None else self.started + self.seconds


class Service:
    """The device and its queue; it runs one job at a time, in the order in which waits end."""

    def __init__(self, queue: Queue, seed: int) -> None:
        self.queue, self.seed = queue, seed
        self.jobs: dict[str, Job] = {}
        self.waits: dict[str, float] = {}
        self._free = 0.0

    def go_on(self) -> None:
        """Start all jobs whose time has come."""
        due = [each for each in self.jobs.values() if each.started is None]
        for each in sorted(due, key=lambda job: job.ready):
            start = max(each.ready, self._free)
            if start > CLOCK.now():
                break
            each.started, self._free = start, start + each.seconds

    def send(self, request: JobRequest, tag: str) -> str:
        """Take a job: its counts and its wait depend on the seed and on its work alone."""
        self.go_on()
        with CLOCK.elsewhere():
            counts = [
                np.stack([sampled(circuit, row, request.shots) for row in values])
                for circuit, values in request.pubs
            ]
        wait = self.wait(work_of(request.pubs))
        self.waits[tag] = wait
        seconds = JOB_SECONDS + request.rows * request.shots * self.queue.shot_seconds
        name = f"job-{len(self.jobs) + 1}"
        self.jobs[name] = Job(tag, counts, CLOCK.now() + wait, seconds)
        return name

    def wait(self, work: bytes) -> float:
        """Seconds that a job waits."""
        text = hashlib.sha256(f"{self.seed}".encode() + work).digest()
        draw = np.random.default_rng(list(text)).standard_normal()
        return float(MEDIAN_SECONDS * np.exp(self.queue.sigma * draw))


SERVICE = Service(QUEUES["varies"], 0)
_COUNTS: dict[bytes, np.ndarray] = {}


def work_of(pubs: Sequence[Any]) -> bytes:
    """The values of a job's circuits, without the last digits, in which batches differ."""
    return b"".join(np.round(values, 6).tobytes() + b"|" for _, values in pubs)


def sampled(circuit: Any, row: np.ndarray, shots: int) -> np.ndarray:
    """Counts of a circuit, drawn by a seed of its own values."""
    work = hashlib.sha256(np.round(row, 6).tobytes() + f"{shots}".encode()).digest()
    if work not in _COUNTS:
        bound = circuit.assign_parameters(row) if len(row) else circuit
        device = AerSimulator(seed_simulator=int.from_bytes(work[:3], "big"))
        found = np.zeros(1 << circuit.num_clbits, dtype=np.int64)
        for bits, count in device.run(bound, shots=shots).result().get_counts().items():
            found[int(bits.replace(" ", ""), 2)] = count
        _COUNTS[work] = found
    return _COUNTS[work]


class Queued(Provider):
    """The simulated service as a provider of the package."""

    name = "queued"
    lag_seconds = 0.0
    job_seconds = JOB_SECONDS

    def __init__(self, device: str) -> None:
        self.device = device
        self.shot_seconds = SERVICE.queue.shot_seconds

    def submit(self, request: JobRequest, *, tag: str, max_seconds: int | None) -> str:
        """Take a job."""
        return SERVICE.send(request, tag)

    def status(self, job_id: str) -> Status:
        """Say where a job stands now."""
        SERVICE.go_on()
        job = SERVICE.jobs[job_id]
        if job.ended is None:
            return "queued"
        return "done" if job.ended <= CLOCK.now() else "running"

    def result(self, job_id: str, request: JobRequest) -> Sequence[np.ndarray]:
        """Return its counts."""
        return SERVICE.jobs[job_id].counts

    def usage(self, job_id: str) -> float | None:
        """Return what it cost."""
        return SERVICE.jobs[job_id].seconds

    def cancel(self, job_id: str) -> None:
        """Leave it: nothing is cancelled here."""

    def find(self, tag: str) -> Sequence[str]:
        """Return the jobs of a tag."""
        return [name for name, job in SERVICE.jobs.items() if job.tag == tag]


# --- what is measured ---------------------------------------------------------------------------


def trained(folder: Path) -> Path:
    """Train a small model; what it makes does not matter here."""
    small = {"image_size": 2, "depth": 1, "num_steps": STEPS, "train_count": 8, "epochs": 1}
    return Path(qdm.train("eeqdm", folder, baseline=False, log_with="none", **small).run)


def sent(way: str, run: Path, root: Path, seed: int, queue: Queue) -> dict[str, Any]:
    """Plan and send a run in one of the three ways, and measure it by the simulated clock."""
    global SERVICE
    SERVICE = Service(queue, seed)
    options: dict[str, Any] = {"num_images": IMAGES, "shots": SHOTS, "seed": seed, "root": root}
    target = "queued:one"
    if way == "groups":
        made: Any = plan_fleet(run, [target], groups=GROUPS, **options)
    else:
        if way == "synchronous":
            options["max_job_circuits"] = IMAGES // GROUPS
        made = qdm.tasks.HardwareRun(qdm.plan(run, target, **options).folder)
    with simulated_clock() as clock:
        made.submit(yes=True)
        found = {"seconds": clock.now(), "client_seconds": clock.client}
    jobs = SERVICE.jobs.values()
    each = GROUPS if way != "one job" else 1
    return {
        **found,
        "least_seconds": least(way, list(SERVICE.waits.values()), SERVICE, each),
        "jobs": len(SERVICE.jobs),
        "device_seconds": sum(job.seconds for job in jobs),
        "images": np.asarray(made.images),
        "waits": sorted(SERVICE.waits.values()),
        "equal": bool(made.replay().equal),
    }


def least(way: str, waits: list[float], service: Service, each: int) -> float:
    """Seconds of a schedule that sends each job the moment it can; an event for each job.

    Of groups the waits are grouped by the tags of their runs, in the order of their steps.
    """
    seconds = next(iter(service.jobs.values())).seconds
    chains: dict[str, list[float]] = {}
    for number, (tag, wait) in enumerate(service.waits.items()):
        chain = tag.split("-step-")[0] if way == "groups" else str(number % each)
        chains.setdefault(chain, []).append(wait)
    assert {len(chain) for chain in chains.values()} == {STEPS}
    if way == "groups":
        return _raced(list(chains.values()), seconds)
    now = 0.0
    for together in zip(*chains.values(), strict=True):
        now += _raced([[wait] for wait in together], seconds)
    return now


def _raced(chains: list[list[float]], seconds: float) -> float:
    """End of the last of several chains of jobs on one device, from 0."""
    events = [(chain[0], number, 0) for number, chain in enumerate(chains)]
    heapq.heapify(events)
    free = last = 0.0
    while events:
        ready, number, place = heapq.heappop(events)
        free = last = max(ready, free) + seconds
        if place + 1 < len(chains[number]):
            heapq.heappush(events, (free + chains[number][place + 1], number, place + 1))
    return last


WAYS = ("one job", "synchronous", "groups")
DRAWS = 500


def allowed(queue: Queue, groups: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """Ratios of the best schedules' times over draws of the waits, with 95 % intervals of the means."""
    rng = np.random.default_rng(seed)
    waits = MEDIAN_SECONDS * np.exp(queue.sigma * rng.standard_normal((DRAWS, groups + 1, STEPS)))
    shots = IMAGES * SHOTS * queue.shot_seconds
    seconds = JOB_SECONDS + shots / groups
    rows = []
    for draw in waits:
        chains = draw[:groups].tolist()
        rows.append(
            (
                float(draw[groups].sum()) + STEPS * (JOB_SECONDS + shots),
                sum(
                    _raced([[wait] for wait in together], seconds)
                    for together in zip(*chains, strict=True)
                ),
                _raced(chains, seconds),
            )
        )
    one_job, together, apart = np.array(rows).T
    return {
        "groups_over_synchronous": interval(list(apart / together)),
        "groups_over_one_job": interval(list(apart / one_job)),
    }


def one(run: Path, name: str, seed: int) -> dict[str, Any]:
    """Send the same images in all ways; they must be the same images."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            root = Path(folder) / way.replace(" ", "-")
            found[way] = sent(way, run, root, seed, QUEUES[name])
    first = found["one job"]["images"]
    for way, each in found.items():
        difference = float(np.abs(each.pop("images") - first).max())
        if difference > 1e-5 or not each["equal"]:
            raise RuntimeError(f"{way} makes other images, by {difference:.3g}: {each['equal']}")
        each["largest_difference"] = difference
    if not np.allclose(found["synchronous"].pop("waits"), found["groups"].pop("waits")):
        raise RuntimeError("the jobs of both ways did not wait alike")
    found["one job"].pop("waits")
    return found


def table(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means and ratios over seeds, with their intervals; ratios are of each seed."""
    found = {}
    for name, seeds in runs.items():
        each = list(seeds.values())
        if len(each) < 2:
            continue

        def ratio(
            way: str, other: str, key: str = "seconds", each: list[Any] = each
        ) -> dict[str, float]:
            return interval([s[way][key] / s[other][key] for s in each])

        found[name] = {
            "queue": QUEUES[name].words,
            "seeds": len(each),
            "minutes": {way: interval([s[way]["seconds"] / 60 for s in each]) for way in WAYS},
            "client_seconds": {
                way: interval([s[way]["client_seconds"] for s in each]) for way in WAYS
            },
            "device_seconds": {
                way: float(np.mean([s[way]["device_seconds"] for s in each])) for way in WAYS
            },
            "groups_over_synchronous": ratio("groups", "synchronous"),
            "groups_over_one_job": ratio("groups", "one job"),
            "least_groups_over_synchronous": ratio("groups", "synchronous", "least_seconds"),
            "over_least": {
                way: interval([s[way]["seconds"] / s[way]["least_seconds"] for s in each])
                for way in WAYS
            },
        }
    return found


def markdown(found: dict[str, Any]) -> str:
    """The table of the docs page."""
    lines = [
        "| queue | one job, min | synchronous, min | groups, min | groups / synchronous "
        "| the waits allow | groups / one job |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | "
        + " | ".join(cell(each["minutes"][way], ".1f") for way in WAYS)
        + f" | {cell(each['groups_over_synchronous'], '.2f')} | "
        f"{cell(each['least_groups_over_synchronous'], '.2f')} | "
        f"{cell(each['groups_over_one_job'], '.2f')} |"
        for name, each in found.items()
    ]
    lines += [
        "",
        *(f"* {name}: {each['queue']}; {each['seeds']} seeds" for name, each in found.items()),
    ]
    return "\n".join(lines)


def best_markdown(found: dict[str, Any]) -> str:
    """The table of what waits allow."""
    lines = [
        "| queue | groups | groups / synchronous | groups / one job |",
        "|---|---:|---|---|",
    ]
    for name, groups in found.items():
        for count, ratios in groups.items():
            cells = [cell(each, ".3f") for each in ratios.values()]
            lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write after each seed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--queues", nargs="*", default=list(QUEUES), choices=list(QUEUES))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    machine.one_thread()
    machine.all_cores()
    os.fsync = lambda _: None  # type: ignore[assignment] # no disk is measured
    PROVIDERS.built_in["queued"] = f"{__name__}:Queued"
    qdm.execution.provider_names.note_provider("queued")
    runs: dict[str, dict[str, Any]] = read_runs(asked.json)
    with tempfile.TemporaryDirectory() as folder:
        run = trained(Path(folder) / "run")
        for seed in range(asked.seeds):
            for name in asked.queues:
                if str(seed) in runs.get(name, {}):
                    continue
                found = one(run, name, seed)
                runs.setdefault(name, {})[str(seed)] = found
                print(name, seed, {way: round(found[way]["seconds"]) for way in WAYS}, flush=True)
                if asked.json is not None:
                    about = {"date": date.today().isoformat(), "machine": machine.describe()}
                    sizes = {"images": IMAGES, "steps": STEPS, "groups": GROUPS, "shots": SHOTS}
                    write_json(asked.json, {**about, **sizes, "table": table(runs), "runs": runs})
    print(markdown(table(runs)))
    best = {
        name: {str(groups): allowed(queue, groups) for groups in (2, 4, 8, 16)}
        for name, queue in QUEUES.items()
    }
    print(best_markdown(best))
    if asked.json is not None:
        kept = json.loads(asked.json.read_text())
        write_json(asked.json, {**kept, "draws": DRAWS, "allowed": best})


if __name__ == "__main__":
    main()
