"""The average of the weights: its decay table, and what it holds."""

from __future__ import annotations

import pytest
import torch

from qdm_qiskit.models import ClassicalUNet, ClassicalUNetConfig
from qdm_qiskit.sampling import load_run
from qdm_qiskit.training import load_weights, train
from qdm_qiskit.training.weight_average import WeightAverage


def model(seed: int = 0) -> ClassicalUNet:
    return ClassicalUNet(ClassicalUNetConfig(), generator=torch.Generator().manual_seed(seed))


def shift(changed: torch.nn.Module, by: float) -> None:
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter += by


def test_decay_table():
    """clip(1 - (1 + k)^(-2/3), 0, .995) with k = step - 101."""
    average = WeightAverage(model())
    for step in (1, 50, 100, 101):
        assert average.decay(step) == 0
    for step in (102, 110, 500, 2000, 2500):
        assert average.decay(step) == pytest.approx(1 - (1 + step - 101) ** (-2 / 3))
    assert average.decay(9000) == 0.995


def test_average_follows_the_rule_step_by_step():
    trained = model()
    average = WeightAverage(trained)
    expected = None
    for step in range(1, 131):
        shift(trained, 0.01)
        average.update(trained)
        now = trained.out.bias.detach().clone()
        if step <= 100:
            expected = now
        elif step % 10 == 0:
            decay = 1 - (1 + step - 101) ** (-2 / 3)
            expected = decay * expected + (1 - decay) * now
        assert torch.allclose(average.model.out.bias, expected, atol=1e-6), step
    assert not torch.allclose(average.model.out.bias, trained.out.bias)


def test_average_is_saved_resumed_and_sampled_from(tmp_path, small_run):
    options = {"weight_average": True, "learning_rate": 0.3}
    whole = train(small_run(**options, epochs=4), tmp_path / "whole")
    train(small_run(**options, epochs=2), tmp_path / "parts")
    parts = train(small_run(**options, epochs=4), tmp_path / "parts", resume="latest")
    one, other = (load_weights(each.checkpoint).state_dict() for each in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert "average_loss" in whole.history[-1]
    sampled = load_run(tmp_path / "whole").model.state_dict()
    assert all(torch.equal(one[name], sampled[name]) for name in one)
