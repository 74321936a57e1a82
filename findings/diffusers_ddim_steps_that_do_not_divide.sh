#!/usr/bin/env bash
# diffusers 0.42.1, DDIMScheduler and PNDMScheduler: a number of steps that does not divide the training steps.
#
# Guess:     each step leads from one of scheduler.timesteps to the next; with the exact noise prediction of N(0.5, 0.5^2) a few
#            hundred steps give mean .5 and deviation .5, as DDPM, Euler or DPM-Solver do.
# Behaviour: a step leads to t - T // n, whatever the next timestep is. With "linspace" and "trailing" spacing these are other
#            levels of noise: with T = 1000 and n = 600 each step goes down by 1 level where the next one is 1 or 2 below, so
#            noise stays in: deviation .66. n = 300 is off by 7 %; n = 500, which divides, is right.
# Output seen (mean and deviation; .5 and .5 are right):
#   DDIMScheduler, trailing: n = 300 0.467 0.532; n = 500 0.498 0.497; n = 600 0.352 0.659
#   DDIMScheduler, linspace: n = 300 0.466 0.533; n = 500 0.498 0.497; n = 600 0.352 0.659
#   PNDMScheduler, trailing: n = 300 0.467 0.536; n = 500 0.498 0.500; n = 600 0.352 0.660
#   EulerDiscreteScheduler, trailing: n = 300 0.498 0.495; n = 500 0.498 0.497; n = 600 0.498 0.497
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check diffusers==0.42.1 torch==2.13.0 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" -W ignore - <<'PY'
import diffusers
import numpy as np
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler

print("diffusers", diffusers.__version__)


def noise(sample, level):
    """The exact noise prediction for data of mean .5 and variance .25 at alpha_bar = level."""
    return (1 - level) ** 0.5 * (sample - level**0.5 * 0.5) / (0.25 * level + 1 - level)


def outcome(kind, spacing, steps):
    """Mean and deviation of what a sampler makes of N(0, 1): its steps are linear in the sample."""
    options = {"clip_sample": False} if kind is DDIMScheduler else {}
    scheduler = kind(num_train_timesteps=1000, timestep_spacing=spacing, **options)
    scheduler.set_timesteps(steps)
    sample = torch.tensor([0.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    sample = sample * float(scheduler.init_noise_sigma)
    log_levels = scheduler.alphas_cumprod.double().log().numpy()
    for time in scheduler.timesteps:
        scaled = scheduler.scale_model_input(sample, time)
        level = float(np.exp(np.interp(float(time), np.arange(1000), log_levels)))
        sample = scheduler.step(noise(scaled, level), time, sample).prev_sample
    mean, one = sample.flatten().tolist()
    return mean, one - mean


kinds = ((DDIMScheduler, "trailing"), (DDIMScheduler, "linspace"), (PNDMScheduler, "trailing"))
for kind, spacing in (*kinds, (EulerDiscreteScheduler, "trailing")):
    found = {steps: outcome(kind, spacing, steps) for steps in (300, 500, 600)}
    print(
        f"{kind.__name__}, {spacing}:",
        "; ".join(f"n = {n} {mean:.3f} {deviation:.3f}" for n, (mean, deviation) in found.items()),
    )
    assert np.allclose(found[500], 0.5, atol=0.01)
    assert (found[600][1] < 0.51) == (kind is EulerDiscreteScheduler)
PY
