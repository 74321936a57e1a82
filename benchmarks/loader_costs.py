"""What does each loader cost on a device, for each width, before anything runs there?

The loader alone is transpiled, without measurements, and the best of some seeds is kept, as everywhere.
Beside our expected success stands ``QuantumCircuit.estimate_fidelity`` of Qiskit, on the same circuit.

    python benchmarks/loader_costs.py [--widths 4 6 8 10] [--devices fake_torino fake_marrakesh]

writes transpile_reports/loaders.json and loaders.md.
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
LOADERS = ("exact", "bricks:4", "bricks:8", "staircase:1", "staircase:3", "staircase:5")
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
    parser.add_argument("--devices", nargs="*", default=["fake_torino", "fake_marrakesh"])
    options = parser.parse_args()
    rows = []
    for device in options.devices:
        for width in options.widths:
            for name in LOADERS:
                rows.append(cost_of(name, width, device))
                print(device, width, name, rows[-1]["two_qubit"], flush=True)
    versions = {package: version(package) for package in ("qdm_qiskit", "qiskit")}
    found = {"schema": "loader-costs/1", "versions": versions, "rows": rows}
    (FOLDER / "loaders.json").write_text(json.dumps(found, indent=1) + "\n")
    (FOLDER / "loaders.md").write_text(render(rows))


if __name__ == "__main__":
    main()
