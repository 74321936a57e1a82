"""What does each loader cost on a device, for each width, before anything runs there?

The loader alone is transpiled, without measurements, and the best of some seeds is kept, as everywhere.
Beside our expected success stands ``QuantumCircuit.estimate_fidelity`` of Qiskit, on the same circuit.

    python benchmarks/loader_costs.py [--widths 4 6 8 10] [--devices fake_torino fake_fez] [--afresh]

writes transpile_reports/loaders.json and loaders.md. Rows that are there already stay, unless all are
to be made afresh.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from qdm_qiskit.circuits import make_loader
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.cost import circuit_cost
from qdm_qiskit.transpiling.passes import best_trial, layout_trials

FOLDER = Path(__file__).parent.parent / "transpile_reports"
DEVICES = ("fake_torino", "fake_marrakesh", "fake_fez", "fake_kingston")
LOADERS = (
    "exact",
    *(f"bricks:{layers}" for layers in (4, 6, 7, 8, 12)),
    *(f"staircase:{layers}" for layers in (1, 2, 3, 4, 5, 6, 8)),
)
"""All that benchmarks/loaders.py measures."""
SEEDS = (0, 1, 2)
WHY = """Qiskit multiplies 1 - error over all instructions, with the errors as the device reports
them; an instruction without one counts as perfect. Ours is the average gate fidelity of the noise
that Aer applies: the same 1 - error, but that of relaxation, by T1 and T2 during the gate, where
relaxation alone is worse than the reported error. So ours is never above Qiskit's but for rounding, and
equal to it where every gate is at least as bad as its own relaxation. Neither has idle qubits in it;
the last column has them."""


def cost_of(name: str, width: int, device: str) -> dict[str, Any]:
    backend = load_backend(device)
    circuit = make_loader(name, width).circuit()
    trial = best_trial(layout_trials(circuit, backend, seeds=SEEDS, level=3))
    cost = circuit_cost(trial.circuit, backend.target)
    return {
        "loader": name,
        "qubits": width,
        "device": device,
        "seed": trial.seed,
        "depth": cost.depth,
        "two_qubit_depth": cost.two_qubit_depth,
        "two_qubit": cost.two_qubit_count,
        "microseconds": None if cost.duration_seconds is None else 1e6 * cost.duration_seconds,
        "expected_success": cost.expected_success,
        "estimate_fidelity": trial.circuit.estimate_fidelity(backend.target),
        "idle_success": cost.idle_success,
    }


def render(rows: list[dict[str, Any]]) -> str:
    lines = [
        "# Loaders on devices",
        "",
        f"Optimization level 3, best of {len(SEEDS)} transpiler seeds, the loader alone. Made by "
        "`python benchmarks/loader_costs.py`, never edited by hand.",
        "",
        "| device | qubits | loader | two-qubit gates | two-qubit depth | depth | µs | expected "
        "success | `estimate_fidelity` | idle success |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        length = "-" if row["microseconds"] is None else f"{row['microseconds']:.2f}"
        idle = "-" if row["idle_success"] is None else f"{row['idle_success']:.3f}"
        theirs = row["estimate_fidelity"]
        lines.append(
            f"| {row['device']} | {row['qubits']} | `{row['loader']}` | {row['two_qubit']} | "
            f"{row['two_qubit_depth']} | {row['depth']} | {length} | {row['expected_success']:.3f} | "
            f"{'-' if theirs is None else f'{theirs:.3f}'} | {idle} |"
        )
    return "\n".join([*lines, "", WHY, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", nargs="*", type=int, default=[4, 6, 8, 10])
    parser.add_argument("--devices", nargs="*", default=list(DEVICES))
    parser.add_argument("--afresh", action="store_true")
    options = parser.parse_args()
    file = FOLDER / "loaders.json"
    known = [] if options.afresh or not file.is_file() else json.loads(file.read_text())["rows"]
    rows = {(row["device"], row["qubits"], row["loader"]): row for row in known}
    # The exact loaders of ten qubits last: their 2,300 gates take the longest.
    wanted = [
        (device, width, name)
        for device in options.devices
        for width in options.widths
        for name in LOADERS
    ]
    for key in sorted(wanted, key=lambda each: each[1] > 8 and each[2] == "exact"):
        if key in rows:
            continue
        device, width, name = key
        rows[key] = cost_of(name, width, device)
        print(device, width, name, rows[key]["two_qubit"], flush=True)
        write(rows)
    write(rows)


def write(rows: dict[tuple[str, int, str], dict[str, Any]]) -> None:
    """Write both files, rows in the order of devices, widths and loaders."""
    places = {name: place for place, name in enumerate((*DEVICES, *LOADERS))}
    devices = sorted({device for device, _, _ in rows}, key=lambda each: places.get(each, 99))
    order = sorted(rows, key=lambda key: (devices.index(key[0]), key[1], places.get(key[2], 99)))
    versions = {package: version(package) for package in ("qdm_qiskit", "qiskit")}
    found = {"schema": "loader-costs/1", "versions": versions, "rows": [rows[key] for key in order]}
    (FOLDER / "loaders.json").write_text(json.dumps(found, indent=1) + "\n")
    (FOLDER / "loaders.md").write_text(render(found["rows"]))


if __name__ == "__main__":
    main()
