"""Classical baselines live: at any seed predictions depend on inputs, before and after training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qdm_qiskit.diffusion import GaussianChain, InterpolatedNoise
from qdm_qiskit.models.classical_unet import ClassicalUNet, ClassicalUNetConfig, mirrored_filters
from qdm_qiskit.models.defalco import HybridUNet, HybridUNetConfig
from qdm_qiskit.models.koelle_unet import KoelleUNet, KoelleUNetConfig
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.training.constant_predictions import LEAST_SPREAD, relative_spread

SIZES = ((2, 3), (3, 2), (3, 4), (1, 1), (2, 1), (3, 5))
"""Levels and first channels: those of the papers, and the narrowest and an odd one."""
NETS = {
    "classical_unet": lambda levels, start: (
        ClassicalUNet,
        ClassicalUNetConfig(levels=levels, start_channels=start),
    ),
    "koelle_unet": lambda levels, start: (
        KoelleUNet,
        KoelleUNetConfig(levels=levels, start_channels=start),
    ),
}


def generator(*address: int) -> torch.Generator:
    return torch.Generator().manual_seed(derived_seed(address[0], "init", *address[1:]))


def blobs(count: int) -> torch.Tensor:
    """Smooth images in [0, 1], all different: a spot at a place of its own."""
    place = torch.rand(count, 2, 1, 1, generator=torch.Generator().manual_seed(5)) * 7
    row, column = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    distance = (row - place[:, 0]) ** 2 + (column - place[:, 1]) ** 2
    return torch.exp(-distance / 4)[:, None]


def train_a_little(model: nn.Module, process, steps: int, rate: float) -> tuple[float, float]:
    """Loss and spread of the predictions after some steps of Adam."""
    images = blobs(8)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    model.train()
    for step in range(steps):
        pairs = process.training_pairs(images, torch.Generator().manual_seed(step))
        loss = process.losses(model(pairs.noisy, pairs.step / process.num_steps), pairs).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        prediction = model(pairs.noisy, pairs.step / process.num_steps)
    spread = relative_spread(process.predicted_target(prediction), pairs.target, pairs.step)
    assert spread is not None
    return float(loss.detach()), spread


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("net", NETS)
def test_every_layer_of_a_fresh_net_answers_and_learns(net, size):
    """0.1: 8 of 20 seeds of the net with 1735 parameters were silent at birth or after a few steps."""
    kind, config = NETS[net](*size)
    images = blobs(6)
    for seed in range(24):
        model = kind(config, generator=generator(seed, 0))
        seen: list[float] = []

        def note(_module, _inputs, found, seen=seen) -> None:
            seen.append(float(found.detach().std()))

        for module in model.modules():
            if isinstance(module, nn.ReLU):
                module.register_forward_hook(note)
        model.train()
        prediction = model(images, torch.full((6,), 0.5))
        assert seen
        assert min(seen) > 0, (seed, seen)
        assert float(prediction.detach().std(dim=0).mean()) > 0
        prediction.square().sum().backward()
        for name, parameter in model.named_parameters():
            # A bias in front of a normalisation has no gradient: the mean is taken off again.
            if not name.endswith("bias"):
                assert bool((parameter.grad != 0).any()), (seed, name)


@pytest.mark.parametrize(
    ("net", "size", "seeds"),
    [
        ("classical_unet", (2, 3), (2, 3)),
        pytest.param("classical_unet", (3, 2), (1, 5), marks=pytest.mark.slow),
        pytest.param("classical_unet", (3, 4), (0,), marks=pytest.mark.slow),
        ("koelle_unet", (3, 2), (7, 12)),
    ],
)
def test_seeds_that_died_in_0_1_live(net, size, seeds):
    kind, config = NETS[net](*size)
    for seed in seeds:
        model = kind(config, generator=generator(seed, 0))
        _, spread = train_a_little(model, InterpolatedNoise(10), 60, 0.0047)
        assert spread > 5 * LEAST_SPREAD, seed


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0047, 0.01])
@pytest.mark.parametrize("size", SIZES[:3])
@pytest.mark.parametrize("net", NETS)
def test_no_seed_of_twenty_dies(net, size, rate):
    kind, config = NETS[net](*size)
    for seed in range(20):
        for process in (InterpolatedNoise(10), GaussianChain(10, "noise")):
            model = kind(config, generator=generator(seed, 0))
            _, spread = train_a_little(model, process, 60, rate)
            assert spread > LEAST_SPREAD, (seed, process)


def test_the_net_of_de_falco_lives_at_any_seed():
    """Its activations are smooth and its features normalised: nothing had to be changed."""
    x = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    for seed in range(20):
        model = HybridUNet(HybridUNetConfig(), generator=generator(seed, 0))
        with torch.no_grad():
            prediction = model(x, torch.tensor([0.2, 0.9]))
        assert float((prediction[0] - prediction[1]).abs().mean()) > 0.01, seed


@pytest.mark.parametrize("filters", [1, 2, 3, 8])
def test_filters_come_in_opposite_pairs(filters):
    weight = torch.empty(filters, 2, 3, 3)
    mirrored_filters(weight, torch.Generator().manual_seed(3))
    half = filters // 2
    assert torch.equal(weight[:half], -weight[half : 2 * half])
    if filters % 2:
        assert float(weight[-1].sum()) >= 0
    assert bool((weight > 0).all()) == (filters == 1)
    assert float(weight.abs().max()) <= (6 / 18) ** 0.5
    assert float(weight.abs().max()) > 0.5 * (6 / 18) ** 0.5


def test_without_a_generator_weights_are_pytorchs_to_draw():
    torch.manual_seed(4)
    one, other = (ClassicalUNet(ClassicalUNetConfig()) for _ in range(2))
    torch.manual_seed(4)
    again = ClassicalUNet(ClassicalUNetConfig())
    assert torch.equal(one.out.weight, again.out.weight)
    assert not torch.equal(one.out.weight, other.out.weight)
    assert torch.equal(one.down[0][0][0].bias, torch.zeros(3))
