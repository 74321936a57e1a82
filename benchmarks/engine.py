"""Is a training step on the engine faster than anywhere else, and where does its time go?

    python benchmarks/engine.py [--workloads W1-L10,W3] [--peers tc,qulacs] [--json FILE]
    python benchmarks/engine.py --profile

One step is the forward pass, the loss and all gradients. Before anything is timed, outputs, loss and
gradients of every library are held to our own in double precision. One process, one thread, all
libraries in turn. See docs/benchmarks.md.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads

# isort: split
import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from profiling import profile_table
from timing import Times, measure
from workloads import WORKLOADS, Result, Step, Workload, ours, smaller

OURS = "ours"
TOLERANCE = 2e-5
"""Of the largest entry: 50 layers round about 1,000 times in complex64, 6e-8 each."""


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    options = _parser().parse_args(arguments)
    machine.one_thread()
    # Peers warn of their own deprecations; what we measure is held to numbers below.
    warnings.simplefilter("ignore")
    names = options.workloads.split(",")
    if options.profile:
        for name in names:
            workload = WORKLOADS[name]()
            print(profile_table(f"{name} (batch {workload.batch})", ours(workload)))
        return 0
    from peers import PEERS  # the peers are an extra; our own side runs without them

    chosen = [name for name in options.peers.split(",") if name] if options.peers else list(PEERS)
    _known("peer", chosen, PEERS)
    report = {"machine": machine.describe(), "workloads": {}}
    print(_heading(report["machine"]), flush=True)
    for name in names:
        found = run(WORKLOADS[name](), chosen, options.repeats)
        report["workloads"][name] = {key: times.as_dict() for key, times in found.items()}
        print("\n".join(rows(name, found)), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def run(workload: Workload, chosen: list[str], rounds: int) -> dict[str, Times]:
    """Check all contenders, then time them in turn."""
    from peers import PEERS

    steps: dict[str, Step] = {}
    times: dict[str, Times] = {}
    reference = ours(workload, torch.float64)()
    steps[OURS], times[OURS] = checked(OURS, ours(workload), reference)
    for name in chosen:
        peer = PEERS[name]
        if peer.only and not workload.name.startswith(peer.only):
            continue
        part, expected = workload, reference
        if peer.samples is not None and peer.samples < workload.batch:
            part = smaller(workload, peer.samples)
            expected = ours(part, torch.float64)()
        steps[name], times[name] = checked(name, peer.build(part), expected)
        times[name].factor = workload.batch / part.batch
    measure(steps, times, rounds)
    return times


def checked(name: str, step: Step, reference: Result) -> tuple[Step, Times]:
    """The step, and the time of its first call, once it gives what the reference gives.

    Raises:
        AssertionError: If the loss, an output or a gradient differs.
    """
    started = time.perf_counter()
    result = step()
    first = time.perf_counter() - started
    for field in ("loss", "outputs", "weight_grad", "input_grad"):
        expected = getattr(reference, field)
        if expected is None:
            continue
        expected, got = as_array(expected), as_array(getattr(result, field))
        error = np.abs(got - expected).max() / np.abs(expected).max()
        # A NaN compares false, and must fail.
        if got.shape != expected.shape or not error <= TOLERANCE:
            raise AssertionError(
                f"{name}: {field} differs from ours in double precision by {error:.1e} of its "
                f"largest entry, {TOLERANCE:.0e} are allowed; shapes {got.shape}, {expected.shape}."
            )
    return step, Times(first)


def as_array(value: object) -> np.ndarray:
    """A tensor or an array of any library, as numpy."""
    return np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)


def rows(name: str, found: dict[str, Times]) -> list[str]:
    """One line a contender, the fastest first; ratios are theirs over ours."""
    mine = found[OURS]
    lines = []
    for key, each in sorted(found.items(), key=lambda pair: pair[1].median_s):
        note = f" (x{each.factor:g})" if each.factor != 1 else ""
        lines.append(
            f"| {name} | {key}{note} | {_ms(each.median_s)} | {_ms(each.least_s)} "
            f"| {_ms(each.median_cpu_s)} | {each.first_s:.2f} "
            f"| {each.median_s / mine.median_s:.2f} | {each.least_s / mine.least_s:.2f} |"
        )
    return lines


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.4g}"


def _heading(found: dict) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return (
        f"{found['cpu']}, {found['cores']} cores, one thread used, load {found['load']} at the start\n"
        f"Python {found['python']}, {versions}\n\n"
        "| workload | who | median ms | min ms | CPU ms | first call s | median / ours | min / ours |\n"
        "|---|---|---:|---:|---:|---:|---:|---:|"
    )


def _known(kind: str, names: list[str], table: dict) -> None:
    unknown = [name for name in names if name not in table]
    if unknown:
        raise SystemExit(f"Unknown {kind} {', '.join(unknown)}; there are {', '.join(table)}.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", default=",".join(WORKLOADS), type=_workloads)
    parser.add_argument("--peers", help="of peers/__init__.py, with commas; all by default")
    parser.add_argument("--repeats", type=int, default=7, help="rounds over all libraries")
    parser.add_argument("--profile", action="store_true", help="our calls and their shares")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers here")
    return parser


def _workloads(text: str) -> str:
    _known("workload", text.split(","), WORKLOADS)
    return text


if __name__ == "__main__":
    sys.exit(main())
