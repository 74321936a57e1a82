#!/usr/bin/env bash
# diffusers 0.42.1, DDPMScheduler: variance_type="fixed_large_log".
#
# Guess:     the variance of "fixed_large", computed by way of its logarithm: the same samples up to rounding, as
#            "fixed_small_log" gives those of "fixed_small".
# Behaviour: the square root is taken of the logarithm, a negative number: every step but the last one returns NaN. Nothing warns.
# Output seen (mean square of a step from 0 at t = 500, over the variance):
#   fixed_small 1.00, fixed_small_log 1.00, fixed_large 1.00, fixed_large_log nan
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check diffusers==0.42.1 torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import diffusers
import torch
from diffusers import DDPMScheduler

print("diffusers", diffusers.__version__)
zeros = torch.zeros(1, 1, 200, 200)


def noise(kind):
    """Mean square of a step's noise over the scheduler's own variance, beta or its lower bound."""
    scheduler = DDPMScheduler(variance_type=kind)
    scheduler.set_timesteps(1000)
    beta = float(scheduler.betas[500])
    left = 1 - scheduler.alphas_cumprod.double()
    variance = beta if "large" in kind else beta * float(left[499] / left[500])
    step = scheduler.step(zeros, 500, zeros, generator=torch.Generator().manual_seed(0))
    return float(step.prev_sample.square().mean()) / variance


kinds = ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log")
found = {kind: noise(kind) for kind in kinds}
print(", ".join(f"{kind} {value:.2f}" for kind, value in found.items()))
assert all(abs(found[kind] - 1) < 0.03 for kind in kinds[:3])
assert found["fixed_large_log"] != found["fixed_large_log"]
PY
