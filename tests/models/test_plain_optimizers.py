"""Optimizers without torch's compiler make torch's own steps, to the bit."""

from __future__ import annotations

import pytest
import torch

from qdm_qiskit.models.plain_optimizers import Adam, RMSprop, Sgd


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (Adam, torch.optim.Adam, {}),
        (Adam, torch.optim.Adam, {"betas": (0.9, 0.99), "weight_decay": 0.01, "lr": 0.1}),
        (RMSprop, torch.optim.RMSprop, {"alpha": 0.9, "weight_decay": 0.01, "lr": 0.1}),
        (Sgd, torch.optim.SGD, {"weight_decay": 0.01, "lr": 0.0001}),
    ],
)
def test_steps_are_torchs_to_the_bit_also_after_a_reload(ours, theirs, options):
    source = torch.Generator().manual_seed(0)
    start = [torch.randn(3, 4, generator=source), torch.randn(5, generator=source)]
    kinds = {"ours": ours, "torch": theirs}
    weights = {name: [torch.nn.Parameter(each.clone()) for each in start] for name in kinds}
    made = {name: kind(weights[name], **options) for name, kind in kinds.items()}
    for step in range(6):
        for name, optimizer in made.items():
            optimizer.zero_grad()
            loss = sum(((each - step) ** 4).sum() for each in weights[name])
            loss.backward()
            optimizer.step()
        if step == 2:
            for name, kind in kinds.items():
                again = kind(weights[name], **options)
                again.load_state_dict(made[name].state_dict())
                made[name] = again
        for one, other in zip(weights["ours"], weights["torch"], strict=True):
            assert torch.equal(one, other)
    assert not torch.equal(weights["ours"][0], start[0])


def test_a_loss_that_is_handed_over_is_computed_with_gradients():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = Adam([weight], lr=0.5)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.allclose(weight, torch.full((2,), 0.5))
