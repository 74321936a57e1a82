"""How nearly do loaders of few CZ load images, and what is left of it on a device?

Three parts. ``fidelity``: mean fidelity of every loader on 100 images of each set and width, with its
95 % interval over the images, beside the figures of the throw-away scripts that these loaders replace.
``device``: total variation between an image's own distribution and that of its loader through the noise
of a snapshot, readout errors included. ``seconds``: time of one core for the angles of 64 images.

    python benchmarks/loaders.py --mnist FOLDER --fashion FOLDER [--part fidelity] [--sets mnist]

MNIST is read from a folder of yours, Fashion-MNIST from its Debian package or a folder; rows of sets
that are not there, or not asked for, stay as they are, and so do rows of devices that are there. The
results go to benchmarks/results/loaders.json, and the tables of docs/loaders.md are written from there.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np
from qiskit import QuantumCircuit

from qdm_qiskit.circuits import make_loader
from qdm_qiskit.circuits.loaders import Loading
from qdm_qiskit.data import load_dataset
from qdm_qiskit.engine.noise.engine_runner import NoisyEngineRunner
from qdm_qiskit.errors import MissingData
from qdm_qiskit.execution.distributions import total_variation_distance
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.cost import circuit_cost
from qdm_qiskit.transpiling.passes import (
    best_trial,
    layout_trials,
    measured_physical_qubits,
    select_values,
)

COUNT = 100
SETS = ("digits", "fashion-mnist", "mnist")
RESULTS = Path(__file__).parent / "results" / "loaders.json"
PAGE = Path(__file__).parent.parent / "docs" / "loaders.md"
DEVICES = ("fake_torino", "fake_fez", "fake_kingston")
SEEDS = (0, 1, 2)
EARLIER = {
    # (pixels a side, loader): CZ and mean fidelity of the throw-away scripts, MNIST but for 8 x 8.
    (8, "bricks:6"): (15, 0.958),
    (8, "bricks:7"): (18, 0.974),
    (8, "bricks:8"): (20, 0.981),
    (16, "staircase:3"): (42, 0.930),
    (16, "staircase:4"): (56, 0.961),
    (16, "staircase:5"): (70, 0.978),
    (16, "staircase:6"): (84, 0.985),
    (32, "staircase:4"): (72, 0.880),
    (32, "staircase:6"): (108, 0.923),
    (32, "staircase:8"): (144, 0.941),
}
LOADERS = {
    8: [f"bricks:{k}" for k in (4, 6, 7, 8)] + [f"staircase:{k}" for k in (1, 2, 3, 4)],
    16: [f"bricks:{k}" for k in (8, 12)] + [f"staircase:{k}" for k in (1, 2, 3, 4, 5, 6)],
    32: [f"staircase:{k}" for k in (2, 4, 6, 8)],
}
ON_DEVICES = {
    8: ["exact", "bricks:4", "bricks:6", "bricks:8", "staircase:1", "staircase:2", "staircase:3"],
    # The exact one last: its 550 gates take the longest.
    16: [*(f"staircase:{k}" for k in (3, 4, 6, 5, 2, 1)), "bricks:8", "exact"],
}


def vectors(name: str, folder: str | None, size: int) -> np.ndarray:
    """Return unit vectors of images of a data set; 28 pixels a side are padded to 32."""
    padded = size == 32 and name != "digits"
    split = load_dataset(
        name, image_size=28 if padded else size, train_count=COUNT, folder=folder, seed=0
    )
    images = split.train.images[:, 0]
    if padded:
        images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    flat = images.reshape(len(images), -1).astype(float)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def sets(options: argparse.Namespace) -> dict[str, str | None]:
    """Return the folders of the data sets that are asked for and there."""
    wanted = {"digits": None, "fashion-mnist": options.fashion, "mnist": options.mnist}
    found = {}
    for name, folder in wanted.items():
        if name not in options.sets:
            continue
        try:
            load_dataset(name, image_size=8, train_count=1, folder=folder)
        except MissingData as error:
            print(f"{name}: left out, {error}")
        else:
            found[name] = folder
    return found


def interval(values: np.ndarray) -> float:
    """Half of the 95 % interval of a mean."""
    return float(1.96 * np.std(values, ddof=1) / math.sqrt(len(values)))


def fidelities(found: dict[str, str | None]) -> list[dict[str, Any]]:
    rows = []
    for label, folder in found.items():
        for size, loaders in LOADERS.items():
            if size == 8 and label != "digits":
                continue
            data = vectors(label, folder, size)
            qubits = int(math.log2(data.shape[1]))
            for each in loaders:
                loading = Loading(make_loader(each, qubits), qubits)
                started = time.process_time()
                f = loading.loaded(data).fidelities
                row = {
                    "data": label,
                    "size": size,
                    "loader": each,
                    "cz": loading.circuit.count_ops()["cz"],
                    "depth": loading.circuit.depth(lambda g: g.operation.num_qubits == 2),
                    "mean": float(f.mean()),
                    "half": interval(f),
                    "least": float(f.min()),
                    "above_95": float((f > 0.95).mean()),
                    "core_seconds": time.process_time() - started,
                }
                rows.append(row)
                print(label, size, each, row["cz"], f"{row['mean']:.4f} +- {row['half']:.4f}")
    return rows


def write(results: dict[str, Any]) -> None:
    results["machine"] = machine.describe()
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def on_devices(found: dict[str, str | None], devices: list[str], results: dict[str, Any]) -> None:
    """Fill in what is not there yet; each row is written at once, since they take minutes."""
    rows = done = results["device"]
    known = {(row["data"], row["size"], row["loader"], row["device"]) for row in done}
    for label, size in (("digits", 8), ("mnist", 16), ("fashion-mnist", 16), ("digits", 16)):
        instead = (label, size) == ("digits", 16) and "mnist" in found
        if label not in found or instead:
            continue
        data = vectors(label, found[label], size)
        qubits = int(math.log2(data.shape[1]))
        for device in devices:
            backend = load_backend(device)
            for each in ON_DEVICES[size]:
                if (label, size, each, device) in known:
                    continue
                loading = Loading(make_loader(each, qubits), qubits)
                measured = QuantumCircuit(qubits, qubits)
                measured.compose(loading.circuit, inplace=True)
                measured.measure(range(qubits), range(qubits))
                trial = best_trial(layout_trials(measured, backend, seeds=SEEDS, level=3))
                cost = circuit_cost(trial.circuit, backend.target)
                runner = NoisyEngineRunner(device, seed=0)
                loaded = loading.loaded(data)
                values = select_values(loaded.angles, measured, trial.circuit)
                seen = runner.exact_probabilities(trial.circuit, values)
                far = total_variation_distance(seen, data**2)
                rows.append(
                    {
                        "data": label,
                        "size": size,
                        "loader": each,
                        "device": device,
                        "two_qubit": cost.two_qubit_count,
                        "depth": cost.two_qubit_depth,
                        "success": cost.expected_success,
                        "gate_success": cost.gate_success,
                        "fidelity": float(loaded.fidelities.mean()),
                        "qubits_measured": list(measured_physical_qubits(trial.circuit)),
                        "mean": float(far.mean()),
                        "half": interval(far),
                    }
                )
                write(results)
                print(
                    label,
                    size,
                    device,
                    each,
                    cost.two_qubit_count,
                    f"TV {far.mean():.3f}",
                    flush=True,
                )


def seconds(found: dict[str, str | None]) -> list[dict[str, Any]]:
    """Time of one core for 64 images, the least of three."""
    label = "mnist" if "mnist" in found else "digits"
    rows = []
    for size, each in (
        (8, "bricks:8"),
        (8, "staircase:2"),
        (16, "staircase:3"),
        (16, "staircase:4"),
        (16, "staircase:5"),
        (16, "staircase:6"),
        (16, "bricks:8"),
    ):
        name = "digits" if size == 8 else label
        data = vectors(name, found.get(name), size)[:64]
        loader = make_loader(each, int(math.log2(data.shape[1])))
        loader.angles(data[:2])  # tables are made once
        times = []
        for _ in range(3):
            started = time.process_time()
            loader.angles(data)
            times.append(time.process_time() - started)
        rows.append({"size": size, "loader": each, "core_seconds": min(times)})
        print(size, each, f"{min(times):.3f} s")
    return rows


def render(results: dict[str, Any]) -> str:
    """Return the tables of docs/loaders.md."""
    lines = [
        "| data | pixels | loader | CZ | depth | mean fidelity (95 %) | least | above .95 | before |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for row in results["fidelity"]:
        before = EARLIER.get((row["size"], row["loader"]))
        # The earlier figures are of digits at 8 x 8 and of MNIST beyond.
        same = row["data"] == ("digits" if row["size"] == 8 else "mnist")
        told = f"{before[1]:.3f} at {before[0]}" if before and same else ""
        lines.append(
            f"| {row['data']} | {row['size']} x {row['size']} | `{row['loader']}` | {row['cz']} | "
            f"{row['depth']} | {row['mean']:.4f} ± {row['half']:.4f} | {row['least']:.3f} | "
            f"{row['above_95']:.0%} | {told} |"
        )
    lines += [
        "",
        "| data | pixels | device | loader | two-qubit gates | expected success | total variation |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    best = {}
    for row in results["device"]:
        key = row["data"], row["size"], row["device"]
        best[key] = min(best.get(key, math.inf), row["mean"])
    for row in results["device"]:
        bold = "**" if row["mean"] == best[row["data"], row["size"], row["device"]] else ""
        lines.append(
            f"| {row['data']} | {row['size']} x {row['size']} | {row['device']} | `{row['loader']}` | "
            f"{row['two_qubit']} | {row['success']:.3f} | {bold}{row['mean']:.3f}{bold} ± "
            f"{row['half']:.3f} |"
        )
    lines += ["", "| pixels | loader | core seconds for 64 images |", "|---|---|---|"]
    lines += [
        f"| {row['size']} x {row['size']} | `{row['loader']}` | {row['core_seconds']:.3f} |"
        for row in results["seconds"]
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", help="folder of the published files")
    parser.add_argument("--fashion", help="folder of the published files")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
    parser.add_argument("--part", choices=("fidelity", "device", "seconds", "page"))
    parser.add_argument("--devices", nargs="*", default=list(DEVICES))
    parser.add_argument("--again", action="store_true", help="measure rows of devices anew")
    options = parser.parse_args()
    results: dict[str, Any] = {"fidelity": [], "device": [], "seconds": []}
    if RESULTS.is_file():
        results |= json.loads(RESULTS.read_text())
    found, chosen = sets(options), options.devices
    if options.part in (None, "fidelity"):
        kept = [row for row in results["fidelity"] if row["data"] not in found]
        rows = [*kept, *fidelities(found)]
        results["fidelity"] = sorted(rows, key=lambda row: (SETS.index(row["data"]), row["size"]))
    if options.again:
        known = [
            r for r in results["device"] if r["data"] not in found or r["device"] not in chosen
        ]
        results["device"] = known
    if options.part in (None, "device"):
        on_devices(found, chosen, results)
    if options.part in (None, "seconds"):
        results["seconds"] = seconds(found)
    if options.part != "page":
        write(results)
    if PAGE.is_file():
        begin, end = "<!-- tables: benchmarks/loaders.py -->", "<!-- end of tables -->"
        before, _, rest = PAGE.read_text().partition(begin)
        _, _, after = rest.partition(end)
        PAGE.write_text(f"{before}{begin}\n{render(results)}\n{end}{after}")


if __name__ == "__main__":
    main()
