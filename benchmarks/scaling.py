"""How does our step grow with qubits, batch and depth, how far is it from what the machine can do,
and how much memory does it need beside libraries that store every gate's state?

    python benchmarks/scaling.py [--only qubits,batch,depth,memory] [--repeats N] [--out DIR]

Writes scaling.json and scaling.png. One thread. See docs/benchmarks.md.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads

# isort: split
import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from timing import Times, measure
from traffic import Machine, floors
from workloads import WORKLOADS, Step, Workload, image_denoiser, ours, smaller

SWEEPS = ("qubits", "batch", "depth", "memory")
DEPTH = 10
MEMORY_WORKLOADS = ("W1-L10", "W1-L50", "W2-L50")
BACKPROP_PEERS = ("default", "tc", "pyqtorch")


def points(sweep: str) -> Iterator[tuple[str, int, Workload]]:
    """Curve, abscissa and workload; layers on all qubits (W2's kind) or on half (W1's kind)."""
    if sweep == "qubits":
        for half in (True, False):
            for qubits in range(6, 16):
                yield _curve(half), qubits, _denoiser(qubits, DEPTH, 64, half)
    if sweep == "batch":
        for half in (True, False):
            for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256):
                yield _curve(half), batch, _denoiser(9, DEPTH, batch, half)
    if sweep == "depth":
        for half in (True, False):
            for depth in (1, 2, 5, 10, 20, 50, 100):
                yield _curve(half), depth, _denoiser(9, depth, 64, half)


def _curve(half: bool) -> str:
    return "layers on half (W1)" if half else "layers on all (W2)"


def _denoiser(qubits: int, depth: int, batch: int, half: bool) -> Workload:
    return image_denoiser(f"{qubits}q", qubits - 1, depth, batch, half=half)


def sweep_times(sweep: str, rounds: int, rates: Machine) -> list[dict]:
    """Times and floors of all points of a sweep."""
    found = []
    for curve, x, workload in points(sweep):
        step = ours(workload)
        step()
        times = {"ours": Times(0.0)}
        measure({"ours": step}, times, rounds)
        record = {
            "curve": curve,
            "x": x,
            **times["ours"].as_dict(),
            **floors(workload, step, rates),
        }
        # Against the least time: what the machine did when nobody else was on it.
        record["above_issued"] = record["min_ms"] / record["floor_issued_ms"]
        found.append(record)
        print(
            f"{sweep:7s} {curve:20s} {x:4d}  median {record['median_ms']:9.3f} ms"
            f"  min {record['min_ms']:9.3f}  floor of what is issued {record['floor_issued_ms']:8.3f}"
            f" (x{record['above_issued']:.1f})  least {record['floor_least_ms']:.4f}",
            flush=True,
        )
    return found


def memory_table() -> list[dict]:
    """Peak memory of a step by library, each in a process of its own."""
    found = []
    for name in MEMORY_WORKLOADS:
        for who in ("ours", *BACKPROP_PEERS):
            command = [sys.executable, __file__, "--peak-of", name, who]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (the list is ours)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                print(f"memory  {name:8s} {who:10s} left out: {last}", flush=True)
                continue
            record = {"workload": name, "who": who, "peak_mb": float(done.stdout.split()[-1])}
            found.append(record)
            print(f"memory  {name:8s} {who:10s} {record['peak_mb']:8.1f} MB", flush=True)
    return found


def peak_of(name: str, who: str) -> float:
    """Megabytes that one step needs at its peak, over what the process held before its first step.

    A smaller batch runs first, so that libraries are loaded; the peak is taken in a later step, so
    that compilation does not count, but what compilation leaves behind does.
    """
    workload = WORKLOADS[name]()
    build: Callable[[Workload], Step] = ours
    if who != "ours":
        from peers import PEERS

        build = PEERS[who].build
    build(smaller(workload, 2))()
    step = build(workload)
    before = _status("VmRSS")
    for _ in range(2):
        step()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from what is held now
    step()
    return (_status("VmHWM") - before) / 1e3


def _status(field: str) -> float:
    """Kilobytes from /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return float(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}: memory is measured on Linux only.")


def plot(report: dict, path: Path) -> None:
    """One panel a sweep: measured, floor of what is issued, and the least that any program moves."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sweeps = [sweep for sweep in ("qubits", "batch", "depth") if sweep in report]
    if not sweeps:
        return
    figure, axes = plt.subplots(1, len(sweeps), figsize=(5 * len(sweeps), 4.2), squeeze=False)
    for axis, sweep in zip(axes[0], sweeps, strict=True):
        curves = dict.fromkeys(record["curve"] for record in report[sweep])
        for color, curve in zip(("tab:blue", "tab:orange"), curves, strict=False):
            rows = [record for record in report[sweep] if record["curve"] == curve]
            x = [record["x"] for record in rows]
            axis.plot(x, [r["min_ms"] for r in rows], "o-", color=color, label=curve)
            axis.plot(x, [r["floor_issued_ms"] for r in rows], "--", color=color)
            axis.plot(x, [r["floor_least_ms"] for r in rows], ":", color=color)
        axis.set_yscale("log")
        if sweep != "qubits":
            axis.set_xscale("log")
        axis.set_xlabel(sweep)
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("ms a training step (least of all runs)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    handles += [plt.Line2D([], [], color="gray", ls=style) for style in ("--", ":")]
    labels += ["floor of the operations issued", "floor of data in, results out"]
    axes[0][0].legend(handles, labels, fontsize=8)
    figure.suptitle(
        f"{report['machine']['cpu']}, one thread, complex64; not swept: 9 qubits, 64, {DEPTH}"
    )
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Cost of our step, its floor and its memory.")
    parser.add_argument("--only", default=",".join(SWEEPS), help="with commas")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--peak-of", nargs=2, metavar=("WORKLOAD", "WHO"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    machine.one_thread()
    if options.peak_of:
        print(peak_of(*options.peak_of))
        return 0
    chosen = options.only.split(",")
    unknown = set(chosen) - set(SWEEPS)
    if unknown:
        raise SystemExit(f"Unknown sweep {', '.join(unknown)}; there are {', '.join(SWEEPS)}.")
    rates = Machine()
    report: dict = {"machine": machine.describe()}
    for sweep in chosen:
        report[sweep] = (
            memory_table() if sweep == "memory" else sweep_times(sweep, options.repeats, rates)
        )
    report["rates"] = {
        "matmul_gflops": rates.flops / 1e9,
        "copy_gbytes": {size: rate / 1e9 for size, rate in sorted(rates.copies.items())},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "scaling.json").write_text(json.dumps(report, indent=2) + "\n")
    plot(report, options.out / "scaling.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
