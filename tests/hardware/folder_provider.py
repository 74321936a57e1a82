"""A provider whose service is another process: jobs are files of a folder that both see.

`python tests/hardware/folder_provider.py FOLDER` is the service. It runs the circuits of each job
exactly once, by Qiskit's Statevector and a seed of the tag, and charges :data:`JOB_SECONDS`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from qiskit import QuantumCircuit, qpy
from qiskit.quantum_info import Statevector

JOB_SECONDS = 2.0

if __name__ != "__main__":
    from qdm_qiskit.hardware.providers.base import Provider
    from qdm_qiskit.hardware.providers.requests import JobRequest

    class FolderProvider(Provider):
        """The client's side."""

        name = "folder"
        lag_seconds = 0.0
        job_seconds = JOB_SECONDS
        shot_seconds = 1e-6

        def __init__(self, device: str = "chip-1", folder: Path | None = None) -> None:
            self.device = device
            self.folder = folder or Path(os.environ["FOLDER_PROVIDER"])

        def submit(self, request: JobRequest, *, tag: str, max_seconds: int | None) -> str:
            job_id = uuid.uuid4().hex
            path = self.folder / job_id
            path.mkdir(parents=True)
            with (path / "circuits.qpy").open("wb") as file:
                qpy.dump([circuit for circuit, _ in request.pubs], file)
            np.savez(path / "values.npz", *[values for _, values in request.pubs])
            about = {"tag": tag, "shots": request.shots, "at": time.time(), "most": max_seconds}
            (path / "new").write_text(json.dumps(about))
            (path / "new").rename(path / "job.json")  # from here on there is a job
            return job_id

        def status(self, job_id: str) -> str:  # type: ignore[override]
            path = self.folder / job_id
            for name in ("failed", "cancelled"):
                if (path / name).exists():
                    return name
            if (path / "done.json").exists():
                return "done"
            return "queued" if (path / "job.json").exists() else "lost"

        def result(self, job_id: str, request: JobRequest) -> Sequence[list[dict[str, int]]]:
            found: Sequence[list[dict[str, int]]] = self._done(job_id)["counts"]
            return found

        def usage(self, job_id: str) -> float | None:
            if self.status(job_id) == "cancelled":
                return 0.0
            return float(self._done(job_id)["seconds"]) if self.status(job_id) == "done" else None

        def cancel(self, job_id: str) -> None:
            if self.status(job_id) == "queued":
                (self.folder / job_id / "cancelled").write_text("")

        def find(self, tag: str) -> Sequence[str]:
            found = {
                path.parent.name: json.loads(path.read_text())
                for path in self.folder.glob("*/job.json")
            }
            mine = [job_id for job_id, about in found.items() if about["tag"] == tag]
            return sorted(mine, key=lambda job_id: found[job_id]["at"])

        def _done(self, job_id: str) -> dict:
            found: dict = json.loads((self.folder / job_id / "done.json").read_text())
            return found


def run_job(path: Path) -> None:
    """Run a job and write down what it brought and cost."""
    about = json.loads((path / "job.json").read_text())
    with (path / "circuits.qpy").open("rb") as file:
        circuits = qpy.load(file)
    with np.load(path / "values.npz") as arrays:
        values = [arrays[name] for name in arrays.files]
    seed = int.from_bytes(hashlib.sha256(about["tag"].encode()).digest()[:4], "big")
    rng = np.random.default_rng(seed)
    counts = [
        [draw(circuit, row, about["shots"], rng) for row in rows]
        for circuit, rows in zip(circuits, values, strict=True)
    ]
    done = {"counts": counts, "seconds": JOB_SECONDS}
    (path / "new").write_text(json.dumps(done))
    (path / "new").rename(path / "done.json")


def draw(
    circuit: QuantumCircuit, row: np.ndarray, shots: int, rng: np.random.Generator
) -> dict[str, int]:
    """Counts of one row, as bits with bit 0 last."""
    bound = circuit.assign_parameters(row) if len(row) else circuit
    plain = bound.remove_final_measurements(inplace=False)
    p = Statevector(plain).probabilities()
    found = rng.multinomial(shots, p / p.sum())
    width = plain.num_qubits
    return {f"{k:0{width}b}": int(n) for k, n in enumerate(found) if n}


def serve(folder: Path) -> None:
    """Run jobs as they come."""
    while True:
        for path in folder.glob("*/job.json"):
            job = path.parent
            if not any((job / name).exists() for name in ("done.json", "cancelled", "failed")):
                with suppress(FileNotFoundError):  # a test that is over takes its folder away
                    run_job(job)
        time.sleep(0.01)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
