"""How much sooner does training on circuits end in two processes than in one?

Both are `torch.distributed.run` with as many processes, one thread each, and train the same run. Three
cases: a batch of 64 images through fake_torino's noise by density matrices (Q-Dense, 8 x 8 digits),
where each takes half of the images; and batches of one image, where the processes share its circuits:
on Aer by parameter shift (eeQDM, 7 qubits, 168 weights), and as one density matrix (eeQDM, 16 x 16
digits, 9 qubits of fake_torino, hundreds of two-qubit gates). What counts is the time of an epoch
without the first, which holds compilation; ways alternate, and the least of each counts. Of the batch
one image is tested, as the work of tests is not shared out there. The losses of both must agree.

    python benchmarks/processes.py [--case aer] [--rounds 3] [--epochs 3] [--json PATH]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

__all__ = ["ALL", "CASES", "seconds_and_losses"]

OPTIONS = (
    "--preset", "digits-demo", "--train-on", "noisy:fake_torino", "--set", "classes=",
    "--set", "num_classes=10", "--set", "batch_size=64", "--set", "train_count=512",
)  # fmt: skip
_ONE = ("--model", "eeqdm", "--set", "batch_size=1", "--set")
CASES = {
    "batch": OPTIONS,
    "aer": (
        *_ONE,
        "image_size=8",
        "--set",
        "depth=8",
        "--set",
        "train_count=4",
        "--train-on",
        "aer",
    ),
    "matrix": (
        *(*_ONE, "image_size=16", "--set", "depth=4", "--set", "train_count=4"),
        *("--train-on", "noisy:fake_torino"),
    ),
}
ALL = (
    "--set", "test_count=1", "--set", "baseline=false", "--set", "sample_every=0", "--quiet",
)  # fmt: skip
TOLERANCE = 1e-4


def seconds_and_losses(case: str, processes: int, epochs: int) -> tuple[list[float], list[float]]:
    """Train, and return seconds of each epoch behind the first, and the losses of all."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={processes}", "-m", "qdm_qiskit.cli.main", "train"]
        command += [*CASES[case], *ALL, "--epochs", str(epochs), "--out", str(run)]
        environment = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment, capture_output=True)  # noqa: S603 (ours)
        lines = (run / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [row["seconds"] for row in rows[1:]], [row["train_loss"] for row in rows]


def main() -> None:
    """Train in one and two processes in turn, and print how their epochs compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=sorted(CASES), default="batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.all_cores()
    load = os.getloadavg()[0]
    seconds: dict[int, list[float]] = {1: [], 2: []}
    losses: dict[int, list[float]] = {}
    for _ in range(options.rounds):
        for processes, taken in seconds.items():
            more, losses[processes] = seconds_and_losses(options.case, processes, options.epochs)
            taken += more
    apart = float(np.abs(np.subtract(losses[1], losses[2])).max())
    if apart > TOLERANCE:
        raise SystemExit(f"Losses of one and two processes are {apart:.1e} apart.")
    least = {processes: min(taken) for processes, taken in seconds.items()}
    print(machine.describe())
    print(f"an epoch in one process {least[1]:.2f} s, in two {least[2]:.2f} s: ", end="")
    print(f"{least[1] / least[2]:.2f} times; losses apart by {apart:.1e}")
    if options.json:
        found = {"machine": machine.describe(), "load": load, "seconds": seconds, "apart": apart}
        found |= {"options": [*CASES[options.case], *ALL], "times": least[1] / least[2]}
        if options.case != "batch":  # beside the batch, whose record is the file itself
            kept = json.loads(options.json.read_text()) if options.json.exists() else {}
            found = {**kept, options.case: found}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
