"""What a job costs the ledger behind many others, with and without the indexes of its tables.

Both ledgers live side by side in one run, job after job, so that the machine is the same for both. A
job is reserved, intended, sent, looked up as a driver does, collected and settled; syncs of the disk
are left out. Writes benchmarks/results/ledger_jobs.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import mean

from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.schema import TABLES

RESULTS = Path(__file__).parent / "results" / "ledger_jobs.json"


def opened(root: Path, jobs: int, *, indexed: bool) -> Ledger:
    """Return a ledger with a run of so many jobs."""
    root.mkdir()
    book = Ledger.open(root)
    if not indexed:
        connection = book._store._connection  # type: ignore[attr-defined] # the store's own
        for table in TABLES:
            for sql in table.create_indexes():
                connection.execute(f"DROP INDEX {sql.split()[5]}")
    book.set_budget("all", seconds=1e9, shots=10**15, period_days=28)
    book.add_run("run", plan_sha256="a" * 64, budget="all", total_steps=jobs, seconds_estimated=1.0)
    return book


def live(book: Ledger, number: int) -> float:
    """Return the processor seconds of a job's life."""
    part, tag = f"step-{number}", f"qdm-run-step-{number}-1"
    started = time.process_time()
    book.reserve("all", "run", [(part, 3.0, 10)])
    book.intentions_of("run", part)
    intention = book.intend(
        tag=tag,
        run_id="run",
        part=part,
        attempt=1,
        payload_sha256="0" * 64,
        backend="ibm_fez",
        instance="crn",
        mode="job",
        session_id=None,
    )
    book.seconds_in_doubt(intention)
    book.budget("all")
    book.reservations_of("run", part)
    book.sending(tag, "job", None)
    book.sent(tag, f"job-{number}", how="answered")
    book.sent_seconds_ago(intention)
    book.collected(tag, "x")
    book.jobs_of(tag)
    book.settle(tag, {f"job-{number}": 1.0}, 10)
    return time.process_time() - started


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    jobs = parser.parse_args().jobs
    os.fsync = lambda _: None  # type: ignore[assignment] # processor time, not the disk's
    names = {"with": True, "without": False}
    took: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        books = {n: opened(Path(folder) / n, jobs, indexed=i) for n, i in names.items()}
        for number in range(jobs):
            for name, book in books.items():
                took[name].append(live(book, number))
        for book in books.values():
            book.close()
    tenth = jobs // 10
    found = {
        name: {"first_ms": 1e3 * mean(each[:tenth]), "last_ms": 1e3 * mean(each[-tenth:])}
        for name, each in took.items()
    }
    ratio = found["with"]["last_ms"] / found["without"]["last_ms"]
    report = {"jobs": jobs, "indexes": found, "last_with_over_without": ratio}
    print(json.dumps(report, indent=2))
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
