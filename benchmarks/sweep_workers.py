"""How much sooner does a sweep of 24 small runs end on two workers of Dask than in one process?

Both are processes of their own, with the start of Python, of the cluster, and of torch in every worker;
they alternate. Every run must have the same weights on both, to the bit.

Two ratios. ``wall``: what the clock says, on this machine with what else runs on it. ``processor``: the
processor time of the busier worker and all of the driver's, one behind the other, beside that of the
one process. It is what an idle machine with two cores would need at most, and other people's load makes
all three numbers larger together.

    python benchmarks/sweep_workers.py [--rounds 2] [--epochs 180] [--json results/sweep_workers.json]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKERS = 2
SETTINGS = {
    "image_size": 8,
    "num_steps": 4,
    "train_count": 100,
    "test_count": 20,
    "batch_size": 10,
    "baseline": False,
    "sample_every": 0,
    "checkpoint_every": 1000,
}
GRID = {"depth": [4, 8, 12], "learning_rate": [0.01, 0.03, 0.1, 0.3]}
SEEDS = 2


def settings(epochs: int) -> dict[str, object]:
    return {**SETTINGS, "epochs": epochs}


def child(out: Path, epochs: int, count: int) -> None:
    """Do a sweep here or on workers, and print seconds as JSON."""
    from qdm_qiskit.sweeps import plan_sweep
    from qdm_qiskit.tasks.sweeping import run_plan
    from qdm_qiskit.work import InThisProcess
    from qdm_qiskit.work.dask import DaskWorkers

    class Watched(DaskWorkers):
        busy: tuple[float, ...] = ()

        def close(self) -> None:
            if self._client is not None:
                self.busy = tuple(self._client.run(time.process_time).values())
            super().close()

    plan = plan_sweep("eeqdm", settings(epochs), grid=GRID, seeds=SEEDS)
    workers = Watched(None, count) if count else InThisProcess()
    found = run_plan(plan, out, workers=workers)
    assert not found.failures
    busy = workers.busy if isinstance(workers, Watched) else ()
    print(json.dumps({"driver_cpu_s": time.process_time(), "workers_cpu_s": busy}))


def sweep(out: Path, epochs: int, count: int) -> dict[str, float]:
    """Return the seconds of a sweep: by the clock, and of processors one behind the other."""
    started = time.perf_counter()
    done = subprocess.run(  # noqa: S603
        [sys.executable, __file__, "--child", str(out), str(epochs), str(count)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    wall = time.perf_counter() - started
    told = json.loads(done.stdout.splitlines()[-1])
    chain = told["driver_cpu_s"] + max(told["workers_cpu_s"], default=0.0)
    return {"wall_s": wall, "processor_s": chain, **told}


def weights(sweep_folder: Path) -> dict[str, str]:
    """Return the hash of the last weights of each run."""
    return {
        run.name: hashlib.sha256(
            max(run.glob("checkpoints/step-*/model.safetensors")).read_bytes()
        ).hexdigest()
        for run in sorted((sweep_folder / "runs").iterdir())
    }


def main() -> None:
    machine.all_cores()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=180)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, metavar=("OUT", "EPOCHS", "COUNT"))
    asked = parser.parse_args()
    if asked.child:
        child(Path(asked.child[0]), int(asked.child[1]), int(asked.child[2]))
        return
    rows = []
    with tempfile.TemporaryDirectory() as text:
        for number in range(asked.rounds):
            one, two = Path(text) / f"one-{number}", Path(text) / f"two-{number}"
            alone = sweep(one, asked.epochs, 0)
            together = sweep(two, asked.epochs, WORKERS)
            found = weights(one)
            assert len(found) == 24
            assert found == weights(two), "runs differ"
            ratios = {
                name: together[f"{name}_s"] / alone[f"{name}_s"] for name in ("wall", "processor")
            }
            load = round(os.getloadavg()[0], 2)
            rows.append({"one": alone, "two": together, "ratios": ratios, "load": load})
            for name, ratio in ratios.items():
                ours, theirs = (each[f"{name}_s"] for each in (alone, together))
                print(f"{name:<10}{ours:7.1f} s {theirs:7.1f} s  ratio {ratio:.2f}", flush=True)
            print(f"load {load}", flush=True)
            if asked.json:
                content = {**machine.describe(), "epochs": asked.epochs, "rounds": rows}
                asked.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
