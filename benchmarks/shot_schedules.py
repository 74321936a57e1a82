"""Do shots that follow the variance of the steps beat as many shots spread evenly?

Trained models on the engine, shots drawn from their exact probabilities, no device noise. For each
total all schedules sample the same chains: the same x_T, other draws in each repetition. The error of
a final image is the root mean square distance of its pixels from the exact chain's image. Schedules
are fitted on other x_T and other draws than those they are judged by. `neyman` takes the square root
of the variances as it is; `variance`, what `qdm run plan` takes, chooses the power of them on pilot
chains. Intervals are 95 % bootstrap over the images, of the ratio of the errors.

    python benchmarks/shot_schedules.py [--images 48] [--repeats 6] [--json FILE]

It trains three models for about a minute in all: EEQDM of ten layers (arXiv:2411.15973, figure 5)
with two seeds and the Q-Dense circuit of the demo, on the zeros of scikit-learn's digits, ten steps.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from qdm_qiskit.hardware.plan.shot_allocation import (
    PilotChains,
    best_allocation,
    step_variances,
    uniform_shots,
    variance_shots,
)
from qdm_qiskit.layers.executors import read_probabilities
from qdm_qiskit.rng import derived_seed, stream
from qdm_qiskit.sampling import TrainedRun, load_run, register_probabilities
from qdm_qiskit.training import resolve_run, train

MEAN_SHOTS = (64, 256, 1024, 4096, 16_384)
MODELS = {
    "eeqdm, 10 layers, seed 0": ("eeqdm-8x8-L10", {"epochs": 40, "seed": 0}),
    "eeqdm, 10 layers, seed 1": ("eeqdm-8x8-L10", {"epochs": 40, "seed": 1}),
    "qddm, 4 layers": ("digits-demo", {"epochs": 40, "seed": 0}),
}
SEED, BOOTSTRAPS = 2026, 4000


def trained(preset: str, settings: dict[str, object], folder: Path) -> TrainedRun:
    values = {
        "dataset": "digits",
        "classes": (0,),
        "sample_every": 0,
        "baseline": False,
        **settings,
    }
    train(resolve_run(preset, values), folder)
    return load_run(folder)


@torch.no_grad()
def chain(
    run: TrainedRun, x: torch.Tensor, shots: tuple[int, ...] | None, repeat: int
) -> np.ndarray:
    """Final images ``(count, pixels)``; exact without shots."""
    model, process, steps = run.model, run.process, run.process.num_steps
    for step in range(steps, 0, -1):
        p = register_probabilities(model, *model.circuit_inputs(x))
        p /= p.sum(axis=1, keepdims=True)
        if shots is not None:
            count = shots[steps - step]
            p = stream(SEED, "shots", repeat, step).multinomial(count, p) / count
        prediction = model.decode(read_probabilities(model.spec, torch.from_numpy(p)).to(x.dtype))
        noise = torch.Generator().manual_seed(derived_seed(SEED, "sampling", step))
        x = process.reverse_step(x, step, process.predicted_target(prediction), noise)
    return process.to_images(x).clamp(0, 1).flatten(1).double().numpy()


def compared(run: TrainedRun, images: int, repeats: int) -> list[dict[str, object]]:
    steps = run.process.num_steps
    pilot = PilotChains(run, seed=SEED)
    generator = torch.Generator().manual_seed(derived_seed(SEED, "sampling", 0))
    x = run.process.start((images, *run.model.state_shape), generator)
    exact = chain(run, x, None, 0)
    rows = []
    for mean in MEAN_SHOTS:
        total = mean * steps
        variances = step_variances(pilot, shots=mean).final
        best = best_allocation(pilot, variances, total)
        schedules = {
            "uniform": uniform_shots(steps, total),
            "neyman": variance_shots(variances, total),
            "variance": best.shots,
        }
        squares = {}
        for name, shots in schedules.items():
            assert sum(shots) <= total
            draws = [(chain(run, x, shots, r) - exact) ** 2 for r in range(repeats)]
            squares[name] = np.mean(draws, axis=0).mean(axis=1)
        chosen = stream(SEED, "evaluation", mean).integers(0, images, (BOOTSTRAPS, images))
        row: dict[str, object] = {
            "mean_shots": mean,
            "power": best.power,
            "shots": list(best.shots),
            "pilot_ratio": best.error / best.uniform_error,
            "error": {name: float(np.sqrt(each.mean())) for name, each in squares.items()},
        }
        for name in ("neyman", "variance"):
            means = squares[name][chosen].mean(axis=1), squares["uniform"][chosen].mean(axis=1)
            interval = np.quantile(np.sqrt(means[0] / means[1]), (0.025, 0.975))
            row[f"{name}_ratio"] = float(np.sqrt(squares[name].mean() / squares["uniform"].mean()))
            row[f"{name}_95"] = [float(each) for each in interval]
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (preset, settings)) in enumerate(MODELS.items()):
            run = trained(preset, settings, Path(folder) / str(number))
            found[name] = compared(run, options.images, options.repeats)
            print(f"\n{name}", flush=True)
            print(
                "  shots a step  uniform  power  variance / uniform (95 %)  neyman / uniform (95 %)"
            )
            for row in found[name]:
                (low, high), (least, most) = row["variance_95"], row["neyman_95"]
                print(
                    f"  {row['mean_shots']:>12}{row['error']['uniform']:>9.4f}{row['power']:>7.2f}"
                    f"  {row['variance_ratio']:.3f} ({low:.3f} .. {high:.3f})"
                    f"     {row['neyman_ratio']:.3f} ({least:.3f} .. {most:.3f})",
                    flush=True,
                )
    if options.json is not None:
        content = {
            "machine": machine.describe(),
            "images": options.images,
            "repeats": options.repeats,
            "models": found,
        }
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
