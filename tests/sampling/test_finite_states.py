"""Samples that are not finite are an error that names the step, wherever the circuits run."""

from __future__ import annotations

import pytest
import torch

from qdm_qiskit.diffusion import check_finite
from qdm_qiskit.errors import InvalidData
from qdm_qiskit.sampling import SamplingConfig, sample

STEEP = {
    "process": "gaussian",
    "goal": "noise",
    "num_steps": 8,
    "beta_start": 1 - 1e-13,
    "beta_end": 1 - 1e-13,
}
"""Each step multiplies what the model does not predict by 3e6: beyond float32 after six."""


@pytest.mark.parametrize(
    ("target", "shots"),
    [("engine", None), ("engine", 16), ("aer", 16), ("noisy:fake_nairobi", 16)],
)
def test_states_that_overflow_are_named_on_every_target(make_run, target, shots):
    run = make_run(**STEEP)
    config = SamplingConfig(target=target, shots=shots, num_images=2, layout_trials=1)
    with pytest.raises(
        InvalidData, match=r"at step t=[1-8]: the (state|prediction) of sample [01]"
    ):
        sample(run, config)


@pytest.mark.parametrize("target", ["engine", "aer", "noisy:fake_nairobi"])
def test_weights_that_are_not_finite_are_refused_on_every_target(make_run, target):
    """Aer says "Binding to NaN." in a RuntimeError of its own."""
    run = make_run(seed=4)
    with torch.no_grad():
        next(run.model.parameters()).view(-1)[0] = torch.nan
    with pytest.raises(InvalidData, match="Weights must be finite"):
        sample(run, SamplingConfig(target=target, shots=16, num_images=1, layout_trials=1))


def test_complex_and_whole_batches_are_looked_at():
    values = torch.zeros(3, 2, dtype=torch.complex64)
    check_finite(values, 1, "state")
    values[2, 1] = complex(0, torch.inf)
    with pytest.raises(InvalidData, match="the state of sample 2 holds"):
        check_finite(values, 1, "state")
