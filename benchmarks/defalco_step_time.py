"""What does a training step of De Falco's U-Nets cost on a CPU, and what share is the circuits'?

Forward pass, P2 loss, gradient and Adam's step on batches of noise that stand for images, on one
core. Processor seconds of the process (user and system), which other work on the machine changes
less than wall-clock seconds, which stand beside them. For the circuits' share the layers that run them
are called again alone, forward and backward, on the inputs that they had in the step before.

    python benchmarks/defalco_step_time.py --batch 128 --json defalco_step_time.json
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from qdm_qiskit.diffusion import NoisePrediction
from qdm_qiskit.models import build_model, resolve
from qdm_qiskit.models.defalco.circuits import CircuitFilter

NAMES = (
    "defalco-unet",
    "defalco-1hqconv",
    "defalco-1fqconv",
    "defalco-7hqconv",
    "defalco-fullhqconv",
    "defalco-quanvunet",
)


def circuit_seconds(calls: list[tuple[torch.nn.Module, torch.Tensor]]) -> float:
    """Processor seconds of the circuits alone, forward and backward, on these inputs."""
    passed = 0.0
    for layer, inputs in calls:
        again = inputs.detach().requires_grad_()
        started = time.process_time()
        layer(inputs=again).sum().backward()
        passed += time.process_time() - started
    return passed


def step_times(name: str, batch: int, rounds: int) -> dict[str, Any]:
    """Median processor and wall seconds of a step, and what of it the circuits take."""
    generator = torch.Generator().manual_seed(0)
    model = build_model(resolve(name), generator=generator)
    process = NoisePrediction(1000)
    images = torch.rand(batch, 1, 28, 28, generator=generator)
    pairs = process.training_pairs(process.to_states(images), generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99))
    calls: list[tuple[torch.nn.Module, torch.Tensor]] = []
    for module in model.modules():
        if isinstance(module, CircuitFilter):
            module.layer.register_forward_pre_hook(
                lambda layer, _, given: calls.append((layer, given["inputs"])), with_kwargs=True
            )
    rows: list[tuple[float, float, float]] = []
    for _ in range(rounds + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        calls.clear()
        optimizer.zero_grad()
        prediction = model(pairs.noisy, pairs.step / process.num_steps)
        process.losses(prediction, pairs).mean().backward()
        optimizer.step()
        took = time.process_time() - cpu, time.perf_counter() - wall
        rows.append((*took, circuit_seconds(list(calls))))
    used = rows[1:]  # the first step compiles
    return {
        "first_step": rows[0][0],
        "processor_seconds": median(row[0] for row in used),
        "processor_seconds_min": min(row[0] for row in used),
        "wall_seconds": median(row[1] for row in used),
        "circuit_seconds": median(row[2] for row in used),
        "circuit_share": median(row[2] / row[0] for row in used),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=NAMES, choices=NAMES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.one_thread()
    found: dict[str, Any] = {
        "machine": machine.describe(),
        "batch": options.batch,
        "rounds": options.rounds,
        "models": {},
    }
    for name in options.only:
        row = step_times(name, options.batch, options.rounds)
        found["models"][name] = row
        print(
            f"{name:>20}  {row['processor_seconds']:.2f} s of processor time, "
            f"{row['wall_seconds']:.2f} s wall, circuits {row['circuit_seconds']:.2f} s "
            f"({100 * row['circuit_share']:.0f} %)",
            flush=True,
        )
        if options.json is not None:
            options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
