#!/usr/bin/env bash
# diffusers 0.42.1: set_timesteps with timestep_spacing="trailing".
#
# Guess:     n inference steps give n timesteps between 0 and T - 1.
# Behaviour: for some T and n there are n + 1, the last of them -1: np.arange with a fractional step overshoots by rounding.
#            The model is then asked at t = -1, which indexes the last alpha.
# Output seen:
#   DDIMScheduler, T = 49, 11 steps: 12 timesteps, the last -1
#   DPMSolverMultistepScheduler, T = 49, 11 steps: 12 timesteps, the last -1
#   of 1225 pairs T = 1..49, n = 1..T: 28 wrong
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check diffusers==0.42.1 torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import diffusers
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

print("diffusers", diffusers.__version__)


def timesteps(kind, train, steps):
    scheduler = kind(num_train_timesteps=train, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    return [int(each) for each in scheduler.timesteps]


for kind in (DDIMScheduler, DPMSolverMultistepScheduler):
    found = timesteps(kind, 49, 11)
    print(f"{kind.__name__}, T = 49, 11 steps: {len(found)} timesteps, the last {found[-1]}")
    assert len(found) == 12 and found[-1] == -1
pairs = [(train, steps) for train in range(1, 50) for steps in range(1, train + 1)]
wrong = [pair for pair in pairs if len(timesteps(DDIMScheduler, *pair)) != pair[1]]
print(f"of {len(pairs)} pairs T = 1..49, n = 1..T: {len(wrong)} wrong")
assert (49, 11) in wrong
PY
