"""Do shots that follow the variance of the calls beat as many executions spread evenly?

Models of several calls a step with random weights, on the engine, no device noise. For each number of
shots a run is planned by `variance`; its shots and uniform ones then sample the same chains, of other
x_T and other draws than those that the plan was fitted to. The error of a final image is the root mean
square distance of its pixels from the exact chain's image. Intervals are 95 % bootstrap over the
chains, of the ratio of the errors; `predicted` is the plan's first order.

    python benchmarks/call_shots.py [MODEL ...] [--seeds 6] [--images 16]
"""

from __future__ import annotations

import machine  # noqa: F401  first: it sets the number of threads  # isort: skip

import argparse
import tempfile
from pathlib import Path

import numpy as np
from target_rows import FAMILIES, Row, write_model

from qdm_qiskit.hardware.plan.call_jobs import chosen_sampler
from qdm_qiskit.hardware.plan.call_pilots import CallPilots, StepCall
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.rng import stream
from qdm_qiskit.sampling import load_run

SMALL = {"image_size": 2, "levels": 2, "depth": 1, "num_steps": 2, "init_std": 1.0}
MODELS = {"qu_net_2x2": Row("QU-Net, 2 x 2", "qu_net", SMALL), **FAMILIES}
MEAN_SHOTS = (50, 200, 1000, 5000)
SEED, REPEATS, BOOTSTRAPS = 2026, 2, 4000


def chains(run: Path, config: PlanConfig, plan: RunPlan, seed: int, images: int) -> CallPilots:
    trained = load_run(run)
    sampler, times, _ = chosen_sampler(trained, config, None)
    assert plan.calls is not None
    calls = {(j.step, c.name): j.number for j in plan.calls.jobs for c in j.calls}
    listed = [StepCall(t, number, name, 1.0) for (t, name), number in calls.items()]
    return CallPilots(trained, sampler, times, listed, seed=seed, num_images=images)


def squares(pilots: CallPilots, shots: list[int]) -> np.ndarray:
    return np.mean([pilots.squares(shots, repeat) for repeat in range(REPEATS)], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["qu_net_2x2"])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--images", type=int, default=16)
    options = parser.parse_args()
    for name in options.models:
        row = MODELS[name]
        print(f"\n{row.title}")
        print("  shots  uniform  variance  predicted  power  ratio (95 %)", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            run = write_model(row, Path(folder) / "model")
            for shots in MEAN_SHOTS:
                config = PlanConfig(
                    targets=("engine",),
                    shots=shots,
                    layout_trials=1,
                    chain="steps" if row.chain == "steps" else "auto",
                    **row.sampling,
                )
                made = PlanConfig(**{**vars(config), "schedule": "variance"})
                plan = make_plan(run, made, root=Path(folder) / str(shots))
                assert plan.calls is not None
                assert plan.shot_choice is not None
                own = [min(each) for each in plan.calls.shots_of_calls.values()]
                mine, even = [], []
                for seed in range(options.seeds):
                    pilots = chains(run, config, plan, SEED + seed, options.images)
                    mine.append(squares(pilots, own))
                    even.append(squares(pilots, [shots] * len(own)))
                v, u = np.concatenate(mine), np.concatenate(even)
                drawn = stream(SEED, "evaluation", shots).integers(0, len(v), (BOOTSTRAPS, len(v)))
                ratios = np.sqrt(v[drawn].mean(axis=1) / u[drawn].mean(axis=1))
                low, high = np.quantile(ratios, (0.025, 0.975))
                c = np.array(plan.shot_choice.variances)
                print(
                    f"  {shots:>5}{np.sqrt(u.mean()):>9.4f}{np.sqrt(v.mean()):>10.4f}"
                    f"{np.sqrt((c / own).sum()):>11.4f}{plan.shot_choice.power:>7.2f}  "
                    f"{np.sqrt(v.mean() / u.mean()):.3f} ({low:.3f} .. {high:.3f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
