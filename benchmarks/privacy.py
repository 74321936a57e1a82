"""Question: which models here show whom they learned from, and what does hiding it cost?

    python benchmarks/privacy.py --json benchmarks/results/privacy.json

A classical U-Net is overfitted on purpose, the latent circuit and EEQDM are trained as their presets
are; EEQDM is trained privately too (needs Opacus). Results are written after each part.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from qdm_qiskit.errors import MissingDependency
from qdm_qiskit.files import write_json
from qdm_qiskit.privacy import (
    AuditOptions,
    PrivacyOptions,
    audit_run,
    binomial_delta,
    gradient_epsilon,
    shots_epsilon,
    train_privately,
)
from qdm_qiskit.training import resolve_run, train

QUIET = {"sample_every": 0, "checkpoint_every": 10_000, "baseline": "false"}
IRIS = {"dataset": "iris", "test_fraction": 0.5}
OVERFIT = {
    "dataset": "digits",
    "classes": "0,1",
    "train_count": 12,
    "test_count": 40,
    "epochs": 1000,
    "batch_size": 12,
    "learning_rate": 0.01,
    "num_steps": 5,
}
LARGE = {**OVERFIT, "levels": 3, "start_channels": 16, "learning_rate": 0.003}
"""A U-Net with numbers enough to know twelve digits by heart."""
EEQDM = {**IRIS, "depth": 4, "num_steps": 5, "batch_size": 15, "epochs": 20}


def trained(name: str, options: dict[str, Any], folder: Path) -> dict[str, Any]:
    config = resolve_run(name, {**QUIET, **options})
    start = time.process_time()
    row = train(config, folder, log_with="none").history[-1]
    return {
        "name": name,
        "options": options,
        "loss": {k: v for k, v in row.items() if k.endswith("_loss")},
        "core_seconds": time.process_time() - start,
    }


def audited(folder: Path, **options: Any) -> dict[str, Any]:
    found = audit_run(folder, AuditOptions(**options), folder=folder / "privacy")
    for line in found.lines():
        print("  ", line, flush=True)
    return {k: v for k, v in found.to_dict().items() if k not in ("run", "schema")}


def shots() -> list[dict[str, float]]:
    """What counts of an outcome give away whose chance one row moves from 0.5 to 0.5 + shift."""
    rows = []
    for shift in (0.001, 0.01, 0.1):
        for count in (100, 1000, 10_000):
            p, q = [0.5 + shift, 0.5 - shift], [0.5, 0.5]
            rows.append(
                {
                    "shift": shift,
                    "shots": count,
                    "pure_epsilon": shots_epsilon(p, q, count),
                    "epsilon_at_1e-3": shots_epsilon(p, q, count, 1e-3),
                    "exact_delta_at_epsilon_1": binomial_delta(p[0], q[0], count, 1.0),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--shadows", type=int, default=8)
    chosen = parser.parse_args()
    found: dict[str, Any] = {"shots": shots()}

    def keep(name: str, part: Any) -> None:
        found[name] = part
        write_json(chosen.json, found)

    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        print("EEQDM, iris", flush=True)
        plain = trained("eeqdm", EEQDM, root / "eeqdm")
        keep("eeqdm", {**plain, "audit": audited(root / "eeqdm", num_images=100)})
        private = []
        for noise in (0.5, 1.0, 2.0):
            config = resolve_run("eeqdm", {**QUIET, **EEQDM})
            run = root / f"private-{noise}"
            start = time.process_time()
            try:
                made = train_privately(config, run, PrivacyOptions(noise=noise))
            except MissingDependency as error:
                print(error)
                break
            row = made.result.history[-1]
            private.append(
                {
                    "noise": noise,
                    "epsilon": made.epsilon,
                    "epsilon_by_integration": gradient_epsilon(noise, made.rate, made.steps, 1e-3),
                    "delta": 1e-3,
                    "rate": made.rate,
                    "steps": made.steps,
                    "test_loss": row["test_loss"],
                    "identity_loss": row["identity_loss"],
                    "core_seconds": time.process_time() - start,
                }
            )
            print("  ", private[-1], flush=True)
            private[-1]["audit"] = audited(run, num_images=0)
            keep("private", private)
        print("overfitted U-Net, digits", flush=True)
        part = trained("ddpm-depth3-channels4", OVERFIT, root / "overfit")
        keep("overfit", {**part, "audit": audited(root / "overfit", num_images=100)})
        print("overfitted large U-Net, digits", flush=True)
        part = trained("classical_unet", LARGE, root / "large")
        keep("overfit_large", {**part, "audit": audited(root / "large", num_images=100)})
        print("line-iris", flush=True)
        part = trained("line-iris", {**IRIS, "epochs": 60}, root / "line")
        shadowed = audited(
            root / "line", num_images=200, shadows=chosen.shadows, secret="petal width (cm)"
        )
        keep("line", {**part, "audit": shadowed})


if __name__ == "__main__":
    main()
