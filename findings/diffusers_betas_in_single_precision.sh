#!/usr/bin/env bash
# diffusers 0.42.1: betas in double precision given to a scheduler.
#
# Guess:     trained_betas of np.linspace(.02, .6, 300) leave alpha_bar = 3.7e-53, small and not zero; one step from t = 299 is finite.
# Behaviour: betas become float32, the product of alphas underflows to 0, and the first step returns NaN; nothing warns.
# Output seen:
#   alpha_bar at the end: 0.0, in double precision 3.7e-53
#   first step of DDPM: nan
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check diffusers==0.42.1 torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import diffusers
import numpy as np
import torch
from diffusers import DDPMScheduler

print("diffusers", diffusers.__version__)
betas = np.linspace(0.02, 0.6, 300)
scheduler = DDPMScheduler(num_train_timesteps=300, trained_betas=betas)
scheduler.set_timesteps(300)
last, exact = float(scheduler.alphas_cumprod[-1]), float(np.prod(1 - betas))
print(f"alpha_bar at the end: {last}, in double precision {exact:.1e}")
sample = torch.ones(1, 1, 2, 2)
first = float(scheduler.step(sample, 299, sample).prev_sample.flatten()[0])
print(f"first step of DDPM: {first}")
assert last == 0 and exact > 0 and np.isnan(first)
PY
