"""What does a run of each preset cost on a device?

    python benchmarks/costs.py [--presets digits-demo,koelle-qunet-L8] [--write]

16 images of 1024 shots on fake_torino: jobs, circuits, two-qubit gates, shots and QPU seconds, for
fresh weights and one transpiler seed. With ``--write`` the figures go into the package's
``models/costs.json``, which `qdm models list` shows, and into ``docs/costs.md``; those of presets that
are not asked for stay.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.evaluation.call_costs import CallCosts
from qdm_qiskit.files import write_bytes
from qdm_qiskit.models import PRESETS
from qdm_qiskit.tasks.costs import call_costs_of

ROOT = Path(__file__).resolve().parent.parent
FOUND, PAGE = ROOT / "qdm_qiskit/models/costs.json", ROOT / "docs/costs.md"
DEVICE, IMAGES, SHOTS, SEED = "fake_torino", 16, 1024, 0
WORDS = {
    "calls": "circuit calls, step by step",
    "tomography": "circuit calls, with tomography between",
    "chain": "one circuit a chain",
    "classical": "no circuits",
}


def measured(preset: str) -> dict[str, Any]:
    """Return the figures of a preset."""
    try:
        how, costs = call_costs_of(
            preset, DEVICE, num_images=IMAGES, shots=SHOTS, trials=1, seed=SEED
        )
    except InvalidOption as error:
        if "is classical" not in str(error):
            raise
        return {"how": "classical"}
    return {"how": how, **figures(costs)}


def figures(costs: CallCosts) -> dict[str, Any]:
    """Return what the list shows of a preset's costs."""
    [device] = costs.devices
    return {
        "steps": costs.steps,
        "jobs": device.jobs,
        "circuits": device.bound_circuits,
        "largest": max(row.two_qubit_gates for row in device.circuits),
        "two_qubit_gates": device.two_qubit_gates,
        "shots": device.shots,
        "seconds": round(device.seconds, 1),
    }


def page(found: dict[str, dict[str, Any]]) -> str:
    """Return docs/costs.md."""
    lines = [
        "# What a run of each preset costs",
        "",
        f"`python benchmarks/costs.py --write` has made this page: {IMAGES} images of {SHOTS} shots "
        f"on {DEVICE}, fresh weights, one transpiler seed, the model's own loader. A chain of over "
        "ten steps is taken in ten by DDIM where its process allows that. *Largest* is the number of "
        "two-qubit gates of the largest circuit; QPU seconds are IBM's formula, without calibrations.",
        "`qdm models list` shows the same figures, `qdm report transpile PRESET` the circuits.",
        "",
        "| preset | how it runs | steps | jobs | circuits | largest | two-qubit gates | shots "
        "| QPU s |",
        "|---|---|" + "---:|" * 7,
    ]
    for name, row in found.items():
        numbers = [
            row.get(key)
            for key in (
                "steps",
                "jobs",
                "circuits",
                "largest",
                "two_qubit_gates",
                "shots",
                "seconds",
            )
        ]
        cells = ["-" if each is None else f"{each:,}" for each in numbers]
        lines.append(f"| {name} | {WORDS[row['how']]} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", default="", help="names with commas; all if not given")
    parser.add_argument("--write", action="store_true", help="write the list's file and the page")
    options = parser.parse_args()
    known = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    for name in options.presets.split(",") if options.presets else PRESETS:
        started = time.process_time()
        known[name] = measured(name)
        print(name, known[name], f"{time.process_time() - started:.0f} s", flush=True)
        if options.write:
            kept = {each: known[each] for each in PRESETS if each in known}
            write_bytes(FOUND, (json.dumps(kept, indent=1) + "\n").encode())
            write_bytes(PAGE, page(kept).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
