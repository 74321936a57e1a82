"""The reverse chain, and what all processes share."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qdm_qiskit.diffusion import DiffusionConfig, DiffusionProcess, make_process, reverse_chain
from tests.helpers import generator

PROCESSES = [
    DiffusionConfig(process=process, goal=goal, num_steps=6)
    for process in ("interpolated", "gaussian")
    for goal in ("data", "noise")
]


@pytest.fixture(params=PROCESSES, ids=lambda c: f"{c.process}-{c.goal}")
def process(request) -> DiffusionProcess:
    return make_process(request.param)


def test_chain_walks_from_the_last_step_to_the_first(process):
    asked, told, streams = [], [], []
    start = process.start((2, 1, 4, 4), generator())

    def prediction(x, step):
        asked.append(step)
        return torch.full_like(x, 0.5)

    def stream(step):
        streams.append(step)
        return generator(step)

    result = reverse_chain(process, prediction, start, stream, on_step=lambda t, x: told.append(t))
    assert asked == streams == [6, 5, 4, 3, 2, 1]
    assert told == [5, 4, 3, 2, 1, 0]
    assert result.shape == start.shape
    assert result.min() >= 0
    assert result.max() <= 1


def test_chain_is_its_steps(process):
    x = start = process.start((2, 1, 4, 4), generator())
    seen = []

    def prediction(x, step):
        return torch.sigmoid(x * step)

    result = reverse_chain(
        process, prediction, start, generator, on_step=lambda t, x: seen.append(x)
    )
    for step in range(6, 0, -1):
        x = process.reverse_step(
            x, step, process.predicted_target(prediction(x, step)), generator(step)
        )
        assert torch.equal(seen[6 - step], x)
    assert torch.equal(result, x.clamp(0, 1))


def test_chain_can_be_taken_up_at_any_step(process):
    """Streams of the steps are separate: the state at t decides everything after it."""
    start = process.start((2, 1, 4, 4), generator())
    states = {6: start}

    def prediction(x, step):
        return torch.sigmoid(x)

    whole = reverse_chain(
        process, prediction, start, generator, on_step=lambda t, x: states.update({t: x})
    )
    x = states[3]
    for step in (3, 2, 1):
        x = process.reverse_step(
            x, step, process.predicted_target(prediction(x, step)), generator(step)
        )
    assert torch.equal(x.clamp(0, 1), whole)


@given(st.sampled_from(PROCESSES), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_predictions_are_affine_in_the_answer(config, a, b, mix):
    process = make_process(config)

    def f(value: float) -> float:
        return float(process.predicted_target(torch.tensor(value, dtype=torch.float64)))

    assert abs(f(mix * a + (1 - mix) * b) - (mix * f(a) + (1 - mix) * f(b))) < 1e-12


@given(st.sampled_from(PROCESSES), st.floats(0, 1))
def test_targets_in_range_have_an_answer(config, position):
    """The map has an inverse: each target between prediction(0) and prediction(1) can be said."""
    process = make_process(config)
    low, high = (process.predicted_target(torch.tensor(v, dtype=torch.float64)) for v in (0.0, 1.0))
    assert high > low
    target = low + position * (high - low)
    prediction = (target - low) / (high - low)
    assert abs(float(process.predicted_target(prediction) - target)) < 1e-12
    if config.goal == "noise":  # "no noise" is the middle of the range
        assert abs(float(process.predicted_target(torch.tensor(0.5)))) < 1e-7


def test_pairs_are_repeatable_and_follow_the_generator(process):
    x_0 = torch.rand(3, 1, 4, 4, generator=generator(9))
    one, same, other = (process.training_pairs(x_0, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.noisy, same.noisy)
    assert torch.equal(one.target, same.target)
    assert not torch.equal(one.noisy, other.noisy)
    assert one.noisy.shape == one.target.shape == (18, 1, 4, 4)
    assert one.noisy.dtype == one.target.dtype == torch.float32
