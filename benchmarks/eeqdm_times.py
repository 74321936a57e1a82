"""How long is a training step of EEQDM beside QDDM's and beside the classical U-Nets'?

Shah and Vatsa, arXiv:2411.15973, table 1 and figure 6: 8 x 8 and 16 x 16 images, depth 10 .. 50. The
paper counts whole trainings and says neither how many steps they had nor on what; a ratio of steps
needs neither. Here, on one core: 20 images with all 10 steps of each in a batch, forward pass, loss,
gradient and Adam's step, both models of a pair in turn, processor time.

The engine multiplies a model's weights into few matrices before it touches images, which a simulator
that goes gate by gate does not. So the same circuits stand beside it on PennyLane's default.qubit
(backpropagation through a batch), if it is installed: ``make .venv-bench/installed``.

    python benchmarks/eeqdm_times.py --json benchmarks/results/eeqdm_times.json

The same pairs, without PennyLane: ``qdm reproduce eeqdm-faster``.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from workloads import image_denoiser

from qdm_qiskit.reproduction.timing import IMAGES, STEPS, in_turn, quantiles, training_step

DEPTHS = (10, 20, 30, 40, 50)
SIZES = (8, 16)
CLASSICAL = {
    892: {"image_size": 16, "levels": 2, "start_channels": 3},
    1735: {"image_size": 16, "levels": 3, "start_channels": 2},
    6781: {"image_size": 16, "levels": 3, "start_channels": 4},
}
"""Options of the U-Nets of table 1, by their parameters."""


def compared(
    steps: dict[str, Callable[[], None]], over: str, rounds: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of each step, and its ratio to one of them round by round."""
    taken = in_turn(steps, rounds, clock=time.process_time)
    found = {}
    for name, values in taken.items():
        ratio, low, high = quantiles([a / b for a, b in zip(values, taken[over], strict=True)])
        found[name] = {
            "ms": 1e3 * median(values),
            "least_ms": 1e3 * min(values),
            "ratio": ratio,
            "ratio_5_percent": low,
            "ratio_95_percent": high,
        }
    return found


def gate_by_gate(depth: int) -> dict[str, Callable[[], object]]:
    """The same circuits, 8 data qubits, on PennyLane."""
    from peers import default_qubit

    return {
        name: default_qubit.build(image_denoiser(name, 8, depth, IMAGES * STEPS, half=half))
        for name, half in (("eeqdm", True), ("qddm", False))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--peer-rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.one_thread()
    found: dict[str, object] = {"machine": machine.describe(), "rounds": options.rounds}

    def told(title: str, row: dict[str, dict[str, float]], name: str) -> None:
        print(
            f"{title:<44} {row[name]['ms']:8.2f} ms  {row[name]['ratio']:7.3f} "
            f"({row[name]['ratio_5_percent']:.3f} .. {row[name]['ratio_95_percent']:.3f})",
            flush=True,
        )

    found["engine"] = {}
    for size in SIZES:
        rows = found["engine"][str(size)] = {}
        for depth in DEPTHS:
            pair = {"image_size": size, "depth": depth}
            steps = {name: training_step(name, pair) for name in ("eeqdm", "qddm")}
            rows[str(depth)] = compared(steps, "qddm", options.rounds)
            told(f"{size} x {size}, depth {depth}: eeqdm over qddm", rows[str(depth)], "eeqdm")
    found["classical"] = {}
    for depth in (10, 50):
        steps = {"eeqdm": training_step("eeqdm", {"image_size": 16, "depth": depth})}
        for count, unet in CLASSICAL.items():
            steps[str(count)] = training_step("classical_unet", unet)
        rows = found["classical"][str(depth)] = {
            over: compared(steps, over, options.rounds)["eeqdm"] for over in map(str, CLASSICAL)
        }
        for over in rows:
            title = f"16 x 16, depth {depth}: eeqdm over U-Net of {over}"
            told(title, {"eeqdm": rows[over]}, "eeqdm")
    if importlib.util.find_spec("pennylane") is None:
        print("PennyLane is not installed: no times gate by gate")
    else:
        rows = found["pennylane"] = {}
        for depth in DEPTHS:
            rows[str(depth)] = compared(gate_by_gate(depth), "qddm", options.peer_rounds)
            told(f"PennyLane, depth {depth}: eeqdm over qddm", rows[str(depth)], "eeqdm")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
