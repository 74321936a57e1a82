"""Does every family run on every target, and do shots lead to the engine's samples?

    python benchmarks/targets.py                      # writes the table of docs/targets.md
    python benchmarks/targets.py --families qddm --no-write

For a small, untrained model of each family: the root mean square distance of its samples on ``aer``
to the engine's exact ones, at three counts of shots, and the slope of its logarithm, which is -1/2
where shots are independent and nothing is biased. A chain is no linear map of what it is told, so all
runs share the noise of their start and of their steps, and take few steps. The last columns say what
a run with ``noisy:fake_torino`` took and how far it led.

A family is a row of :data:`FAMILIES`; one whose chain is coherent adds its row the same way.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.circuits import CircuitSpec
from qdm_qiskit.files import write_atomic, write_json
from qdm_qiskit.models import Denoiser, ModelChoice, build_model, save_model
from qdm_qiskit.sampling import SamplingConfig, TrainedRun, load_run, sample
from qdm_qiskit.training import resolve_run

PAGE = Path(__file__).resolve().parents[1] / "docs" / "targets.md"
BEGIN, END = "<!-- families: begin -->\n", "<!-- families: end -->\n"
NOISY = "noisy:fake_torino"
SEEDS = 4
"""Runs that a distance is averaged over."""


@dataclass(frozen=True)
class Family:
    """A model of a family, small enough to be simulated with noise."""

    title: str
    model: str | Callable[[], Denoiser]
    """Name of the model, or what makes it."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the run."""
    sampling: dict[str, Any] = field(default_factory=dict)
    """Of the chain."""
    shots: tuple[int, int, int] = (256, 1024, 4096)
    noisy_shots: int = 256


def reader_of_values() -> Denoiser:
    """A user's own circuit, which reads expectation values in two bases."""
    circuit = QuantumCircuit(4, name="own")
    x, w = [Parameter(f"x{k}") for k in range(4)], [Parameter(f"w{k}") for k in range(8)]
    for k in range(4):
        circuit.ry(x[k], k)
        circuit.rx(w[k], k)
    for k in range(4):
        circuit.cz(k, (k + 1) % 4)
        circuit.ry(w[4 + k], k)
    terms = [("Z", [0], 1.0)], [("X", [1], 1.0)], [("ZZ", [2, 3], 1.0)], [("X", [3], 1.0)]
    readout = [SparsePauliOp.from_sparse_list(each, 4) for each in terms]
    spec = CircuitSpec.from_circuit(circuit, inputs=x, weights=w, readout=readout)
    return Denoiser.from_spec(spec, image_shape=(1, 2, 2))


SMALL = {"image_size": 4, "depth": 2, "num_steps": 2, "init_std": 1.0}
DDIM = {"scheduler": "ddim", "num_inference_steps": 2}
FAMILIES = {
    "eeqdm": Family("EEQDM", "eeqdm", SMALL),
    "qddm": Family("QDDM", "qddm", SMALL),
    "q_dense": Family("Q-Dense", "q_dense", SMALL),
    "qu_net": Family(
        "QU-Net", "qu_net", {"image_size": 4, "levels": 2, "depth": 1, "num_steps": 2}
    ),
    "qvu_net": Family(
        "De Falco, QVU-Net (2 HQConv at the vertex)",
        "hybrid_unet",
        {"circuits": 2, "layers": 1, "num_steps": 4},
        DDIM,
        noisy_shots=64,
    ),
    "quanvu_net": Family(
        "De Falco, QuanvU-Net (49 patches)",
        "hybrid_unet",
        {"quanvolution": True, "num_steps": 4},
        {"scheduler": "ddim", "num_inference_steps": 1},
        shots=(64, 256, 1024),
        noisy_shots=2,
    ),
    "own": Family("a user's circuit with expectation values", reader_of_values, {"num_steps": 2}),
}
"""What is measured, in the order of the table."""


def made(family: Family, folder: Path) -> TrainedRun:
    """Return a run of the family, with random weights."""
    source = family.model if isinstance(family.model, str) else family.model()
    config = resolve_run(source, family.options)
    model = source
    if isinstance(source, str):
        choice = ModelChoice(
            model=config.model, preset=None, config=config.model_options, source="benchmark"
        )
        model = build_model(choice, generator=torch.Generator().manual_seed(3))
    step = folder / "checkpoints" / "step-00000001"
    save_model(model, step)
    write_json(step / "state.json", {})
    write_json(folder / "config.json", config.to_dict())
    return load_run(folder)


def distance(run: TrainedRun, family: Family, target: str, shots: int, seeds: int) -> float:
    """Root mean square distance of pixels to the engine's, over seeds."""
    squares = []
    for seed in range(seeds):
        common = {"num_images": 2, "seed": seed, **family.sampling}
        exact = sample(run, SamplingConfig(**common)).images
        config = SamplingConfig(target=target, shots=shots, layout_trials=1, **common)
        squares.append(np.mean((sample(run, config).images - exact) ** 2))
    return float(np.sqrt(np.mean(squares)))


def slope(shots: tuple[int, ...], distances: list[float]) -> float:
    """Slope of log distance against log shots, by least squares."""
    return float(np.polyfit(np.log(shots), np.log(distances), 1)[0])


def row(family: Family) -> list[str]:
    """Return a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        run = made(family, Path(folder) / "run")
        found = [distance(run, family, "aer", each, SEEDS) for each in family.shots]
        started = time.process_time()
        common = {"num_images": 1, "seed": 0, **family.sampling}
        exact = sample(run, SamplingConfig(**common)).images
        config = SamplingConfig(target=NOISY, shots=family.noisy_shots, layout_trials=1, **common)
        noisy = sample(run, config)
        seconds = time.process_time() - started
    off = float(np.sqrt(np.mean((noisy.images - exact) ** 2)))
    runner = noisy.manifest["device"]["runner"]
    shots = ", ".join(f"{each}: {d:.2g}" for each, d in zip(family.shots, found, strict=True))
    return [
        family.title,
        shots,
        f"{slope(family.shots, found):.2f}",
        f"{runner['jobs']} jobs, {runner['circuits']} circuits x {family.noisy_shots} shots",
        f"{off:.2g}",
        f"{seconds:.1f}",
    ]


COLUMNS = ("family", "distance on aer, by shots", "slope", NOISY, "distance there", "seconds")


def main() -> None:
    """Measure the families that are asked for, and write the page of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="*", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for name in options.families:
        lines.append("| " + " | ".join(row(FAMILIES[name])) + " |")
        print(lines[-1], flush=True)
    if not options.no_write and options.families == list(FAMILIES):
        write_table(lines)


def write_table(lines: list[str]) -> None:
    """Put the table between its marks in the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    text = before + BEGIN + "\n".join(lines) + "\n" + END + after
    write_atomic(PAGE, lambda part: part.write_text(text))


if __name__ == "__main__":
    main()
