"""Write what 16 images of each preset cost: qdm_qiskit/models/costs.json and docs/costs.md.

    python benchmarks/costs.py [--only PRESET ...] [--workers 2]

Presets that are not named keep their entries; the page is written of all. A file that was interrupted
holds what was done.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from qdm_qiskit.errors import QdmError
from qdm_qiskit.files import write_text
from qdm_qiskit.models import PRESETS
from qdm_qiskit.tasks.preset_costs import (
    BACKEND,
    IMAGES,
    SHOTS,
    costs_page,
    preset_cost,
    refused,
)

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "qdm_qiskit" / "models" / "costs.json"
PAGE = ROOT / "docs" / "costs.md"


def priced(name: str) -> dict[str, Any]:
    """Return a preset's entry."""
    try:
        return preset_cost(name)
    except QdmError as error:
        return refused(error)


def main() -> None:
    """Price, and write after each preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(PRESETS))
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    if NUMBERS.exists():
        found = json.loads(NUMBERS.read_text(encoding="utf-8"))["presets"]
    with ProcessPoolExecutor(asked.workers) as pool:
        waiting = {pool.submit(priced, name): name for name in asked.only}
        for done in as_completed(waiting):
            found[waiting[done]] = done.result()
            print(waiting[done], flush=True)
            presets = {name: found[name] for name in PRESETS if name in found}
            missing = [name for name in PRESETS if name not in presets]
            about = {"backend": BACKEND, "images": IMAGES, "shots": SHOTS}
            data = {**about, "presets": presets, "not_priced": missing}
            write_text(NUMBERS, json.dumps(data, indent=1, ensure_ascii=False) + "\n")
            write_text(PAGE, costs_page(data))


if __name__ == "__main__":
    main()
