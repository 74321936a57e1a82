"""Is a training step slower than in another checkout?

    python benchmarks/beside.py OLD_TREE NEW_TREE [--workloads W1-L10,W3] [--rounds 100] [--pairs 5]

Each tree runs in a process of its own, with the package and the workloads of that tree. The two take
turns, one block of steps each, and change who begins from round to round, so that both meet the same
load of the machine. Before anything is timed, outputs, loss and gradients are compared. Ratios are new
over old: of the least times, and the median over the ratios of all rounds, in seconds of the clock and
of the processor. A process may be up to a sixth slower than its twin for all its life, by where its
arrays happen to lie: so several pairs are compared, and the row is that of the pair in the middle. Exit
with 1 if a workload's ratio of least times is above the limit on both clocks there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

BLOCK_SECONDS = 0.03
"""A block has as many steps as fit, at least one; short blocks find the gaps of a busy machine."""
WARM_UP = 5
"""Steps before the first block."""
TOLERANCE = 1e-5
"""Of the largest entry, between the numbers of both trees in float32."""
FIELDS = ("loss", "outputs", "weight_grad", "input_grad")


class Worker:
    """The process of one tree.

    Args:
        tree: A folder with ``qdm_qiskit`` and ``benchmarks``.
    """

    def __init__(self, tree: Path) -> None:
        paths = os.pathsep.join(map(str, (tree, tree / "benchmarks")))
        self._process = subprocess.Popen(  # noqa: S603 (the list is ours)
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )
        package = Path(self.ask("where")).resolve()
        if tree not in package.parents:
            raise SystemExit(f"The package of {tree} was asked for, Python imports {package}.")

    def ask(self, *question: object) -> Any:
        """Return the answer to one request; see :func:`serve`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"A worker ended at {question}.")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve() -> None:
    """Answer requests from stdin, a line of JSON each: where, first NAME, block COUNT."""
    import torch
    from workloads import WORKLOADS, ours

    import qdm_qiskit

    torch.set_num_threads(1)
    step: Any = None
    for line in sys.stdin:
        kind, *rest = json.loads(line)
        if kind == "where":
            answer: Any = qdm_qiskit.__file__
        elif kind == "first":
            workload = WORKLOADS[rest[0]]()
            started = time.perf_counter()
            step = ours(workload)
            result = step()
            seconds = time.perf_counter() - started
            values = {name: getattr(result, name) for name in FIELDS}
            answer = seconds, {k: None if v is None else v.tolist() for k, v in values.items()}
        else:
            clock, processor = time.perf_counter(), time.process_time()
            for _ in range(rest[0]):
                step()
            clock, processor = time.perf_counter() - clock, time.process_time() - processor
            answer = clock / rest[0], processor / rest[0]
        print(json.dumps(answer), flush=True)


def difference(old: dict[str, Any], new: dict[str, Any]) -> float:
    """Return the largest difference of the results, in the largest entry of each array."""
    import numpy as np

    worst = 0.0
    for name in FIELDS:
        if (old[name] is None) != (new[name] is None):
            raise SystemExit(f"Only one of the trees gives {name}.")
        if old[name] is not None:
            a, b = np.asarray(old[name]), np.asarray(new[name])
            worst = max(worst, float(np.abs(a - b).max() / np.abs(a).max()))
    return worst


def compare(name: str, workers: list[Worker], rounds: int) -> tuple[str, float]:
    """Measure a workload; return a row of the table, and the smaller of the ratios of least times."""
    (first_old, old), (first_new, new) = (worker.ask("first", name) for worker in workers)
    apart = difference(old, new)
    if not apart <= TOLERANCE:
        raise SystemExit(f"{name}: the trees differ by {apart:.1e} of the largest entry.")
    count = 1
    for worker in workers:
        clock, _ = worker.ask("block", WARM_UP)
        count = max(count, int(BLOCK_SECONDS / clock))
    times: tuple[list[list[float]], list[list[float]]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            times[which].append(workers[which].ask("block", count))
    cells, least_ratios = [], []
    for clock in range(2):
        both = [[each[clock] for each in side] for side in times]
        least = [min(side) for side in both]
        ratios = [b / a for a, b in zip(*both, strict=True)]
        least_ratios.append(least[1] / least[0])
        cells += [f"{1e3 * least[0]:.4g}", f"{1e3 * least[1]:.4g}"]
        cells += [f"{least_ratios[-1]:.3f}", f"{median(ratios):.3f}"]
    cells.append(f"{first_new / first_old:.2f}")
    return f"| {name} | " + " | ".join(cells) + f" | {apart:.0e} |", min(least_ratios)


def middle(name: str, trees: list[Path], pairs: int, rounds: int) -> tuple[str, float]:
    """Compare in fresh pairs of processes; return the row and the ratio of the pair in the middle."""
    found = []
    for _ in range(pairs):
        workers = [Worker(tree) for tree in trees]
        found.append(compare(name, workers, rounds))
        for worker in workers:
            worker.close()
    found.sort(key=lambda each: each[1])
    row, ratio = found[len(found) // 2]
    return f"{row} {found[0][1]:.3f} .. {found[-1][1]:.3f} |", ratio


def main() -> int:
    """Command line."""
    if sys.argv[1:] == ["--serve"]:
        serve()
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, help="folder of the checkout before")
    parser.add_argument("new", type=Path, help="folder of the checkout after")
    parser.add_argument("--workloads", default="W1-L10,W1-L50,W2-L50,W3,W4,W4-b1,W4-6q")
    parser.add_argument("--rounds", type=int, default=100, help="blocks of each tree")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of processes, an odd number")
    parser.add_argument("--limit", type=float, default=1.05, help="largest ratio of least times")
    options = parser.parse_args()
    trees = [tree.resolve() for tree in (options.old, options.new)]
    print(f"load {os.getloadavg()[0]:.2f} at the start; ratios are new over old")
    columns = "old ms", "new ms", "least", "median", "old CPU ms", "new CPU ms", "least", "median"
    print("| workload | " + " | ".join(columns) + " | first call | difference | all pairs |")
    print("|---|" + "---:|" * 11)
    slower = []
    for name in options.workloads.split(","):
        row, ratio = middle(name, trees, options.pairs, options.rounds)
        print(row, flush=True)
        slower += [name] * (ratio > options.limit)
    for name in slower:
        print(f"{name} is slower than {options.limit} times the old tree.", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
