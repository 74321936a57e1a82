"""Counts that the simulator gave to a job, for processes that ask it for the same job again.

A run that is killed at fifty points runs its jobs some fifty times on the local provider, which draws
the same counts each time. Here a process that asks for a job whose counts are in a folder gets those.
They are found by all that decides them: target, seed, part of the run, circuits with values, shots,
options, and the engine's distribution. So a process that goes on from a wrong image, with another
seed or with a circuit of its own finds nothing and runs its job, with other counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from qdm_qiskit.hardware.providers.local import LocalProvider
from qdm_qiskit.hardware.providers.requests import JobRequest

__all__ = ["recalled", "recalled_answers"]

ANSWERS = "answers.txt"
"""File with a line for each answer from memory."""


@contextmanager
def recalled(memory: Path | None) -> Iterator[None]:
    """Take the counts of jobs from a folder and add new ones to it; None runs every job."""
    if memory is None:
        yield
        return
    memory.mkdir(exist_ok=True)
    run = LocalProvider.result

    def result(self: LocalProvider, job_id: str, request: JobRequest) -> Sequence[np.ndarray]:
        file = memory / f"{_key(self, request)}.npz"
        if file.exists():
            with open(memory / ANSWERS, "a") as answers:
                answers.write(f"{request.part}\n")
            with np.load(file, allow_pickle=False) as arrays:
                return [arrays[name] for name in arrays.files]
        counts = run(self, job_id, request)
        begun = memory / f"begun-{file.name}"
        np.savez(begun, *counts)
        begun.rename(file)  # os.replace is a point at which runs are killed
        return counts

    # For the whole process, as a kill may come anywhere: the driver makes its own provider.
    LocalProvider.result = result  # type: ignore[method-assign]
    try:
        yield
    finally:
        LocalProvider.result = run  # type: ignore[method-assign]


def recalled_answers(memory: Path) -> int:
    """Return how many jobs were answered from a folder."""
    file = memory / ANSWERS
    return len(file.read_text().splitlines()) if file.exists() else 0


def _key(provider: LocalProvider, request: JobRequest) -> str:
    """Return a hash of all that decides a job's counts, which the folder of its run does not."""
    whole = [
        provider._target,
        provider._seed,
        request.part,
        asdict(request.options),
        request.backend,
    ]
    digest = hashlib.sha256(json.dumps(whole, sort_keys=True, default=repr).encode())
    digest.update(request._content())
    given = request.probabilities
    if given is not None:
        for each in [given] if isinstance(given, np.ndarray) else given:
            digest.update(repr(each.shape).encode() + np.ascontiguousarray(each).tobytes())
    return digest.hexdigest()
