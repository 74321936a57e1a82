"""De Falco's U-Net and hybrids: counts, shapes, circuits and what transfer learning moves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from qiskit.quantum_info import SparsePauliOp, Statevector

from qdm_qiskit.circuits import hqconv
from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.models import PRESETS, load_model, resolve, save_model
from qdm_qiskit.models.defalco import HybridUNet, HybridUNetConfig
from qdm_qiskit.models.defalco.blocks import (
    AttentionBlock,
    ResidualBlock,
    StandardisedConv,
    TimeEmbedding,
)
from qdm_qiskit.models.defalco.circuits import CircuitFilter, HybridConv
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train
from qdm_qiskit.training.transfer import take_over
from tests.helpers import generator

COUNTS = {
    "defalco-unet": 483_321,
    "defalco-1hqconv": 475_329,
    "defalco-7hqconv": 440_985,
    "defalco-fullhqconv": 429_993,
    "defalco-1fqconv": 475_281,
    "defalco-7fqconv": 440_649,
    "defalco-fullfqconv": 429_369,
    "defalco-quanvunet": 474_293,
}

MNIST = [name for name in PRESETS if name.removesuffix("-mnist") in set(PRESETS) - {name}]


def build(name: str, seed: int = 0) -> HybridUNet:
    return HybridUNet(resolve(name).config, generator=generator(seed))


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_counts_are_the_papers(name, count):
    assert build(name).num_parameters == count


def test_each_part_has_its_count():
    model = build("defalco-unet")

    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    assert [count(each.first) for each in model.encoder] == [2680, 2680, 8960, 18840]
    assert [count(each.attention) for each in model.encoder] == [5150, 5150, 10300, 15450]
    assert [count(each) for each in model.down] == [1610, 3220, 29430, 10840]
    assert [count(model.vertex_in), count(model.vertex_attention)] == [32320, 20560]
    assert [count(each.first) for each in model.decoder] == [45960, 25770, 11380, 3790]
    assert [count(each) for each in model.up] == [10830, 5420, 1810, 910]
    assert [count(model.leave), count(model.out), count(model.time)] == [3790, 11, 2080]


def test_shapes_at_every_level():
    model, shapes = build("defalco-unet"), {}
    for name in ("encoder", "decoder", "up"):
        for level, module in enumerate(getattr(model, name)):
            module.register_forward_hook(
                lambda _, __, out, key=(name, level): shapes.update(
                    {key: tuple((out[0] if isinstance(out, tuple) else out).shape[1:])}
                )
            )
    model.vertex_attention.register_forward_hook(
        lambda _, __, out: shapes.update({"vertex": tuple(out.shape[1:])})
    )
    assert model(torch.randn(2, 1, 28, 28), torch.tensor([0.1, 1.0])).shape == (2, 1, 28, 28)
    assert [shapes["encoder", level] for level in range(4)] == [
        (10, 28, 28), (10, 14, 14), (20, 7, 7), (30, 2, 2),
    ]  # fmt: skip
    assert shapes["vertex"] == (40, 2, 2)
    assert [shapes["decoder", level] for level in range(4)] == [
        (40, 2, 2), (30, 7, 7), (20, 14, 14), (10, 28, 28),
    ]  # fmt: skip
    assert [shapes["up", level][1] for level in range(4)] == [7, 14, 28, 28]


def test_time_embedding_is_its_formula():
    embedding = TimeEmbedding(10)
    waves = []
    handle = embedding.hidden.register_forward_hook(lambda _, given, __: waves.append(given[0]))
    embedding(torch.tensor([0.0, 7.0]))
    handle.remove()
    k = np.arange(5)
    angles = 7 * np.exp(-math.log(10_000) / 4 * k)
    expected = np.concatenate([np.sin(angles), np.cos(angles)])
    assert np.allclose(waves[0][1].numpy(), expected, atol=1e-6)
    assert np.allclose(waves[0][0].numpy(), [0] * 5 + [1] * 5)


def test_filters_are_standardised():
    """Scale and offset of a filter do not matter; its bias does."""
    conv = StandardisedConv(3, 4)
    torch.nn.init.normal_(conv.weight, generator=generator(1))
    x = torch.randn(2, 3, 5, 5, generator=generator())
    before = conv(x)
    with torch.no_grad():
        conv.weight.mul_(3).add_(0.7)
    assert torch.allclose(conv(x), before, atol=1e-3)
    with torch.no_grad():
        conv.bias += 1
    assert torch.allclose(conv(x), before + 1, atol=1e-3)


def test_time_scales_and_shifts():
    block = ResidualBlock(10, 10, 40)
    x = torch.randn(1, 10, 4, 4, generator=generator())
    one, other = (block(x, torch.full((1, 40), value)) for value in (0.0, 2.0))
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("linear", [True, False])
def test_attention_does_not_care_for_the_order_of_pixels(linear):
    block = AttentionBlock(10, linear=linear)
    x = torch.randn(2, 10, 2, 3, generator=generator())
    order = torch.randperm(6, generator=generator())
    shuffled = x.flatten(2)[:, :, order].reshape(x.shape)
    expected = block(x).flatten(2)[:, :, order].reshape(x.shape)
    assert torch.allclose(block(shuffled), expected, atol=1e-5)


@pytest.mark.parametrize("channels", [10, 30])
def test_linear_attention_is_its_formula(channels):
    """Head by head, as the paper's figure has it; the block multiplies in another order."""
    block = AttentionBlock(channels, linear=True).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, generator=generator(3))
    x = torch.randn(2, channels, 4, 3, generator=generator(), dtype=torch.float64)
    normed = (x - x.mean(dim=1, keepdim=True)) / (
        x.var(dim=1, correction=0, keepdim=True) + 1e-5
    ).sqrt()
    made = torch.nn.functional.conv2d(
        normed * block.norm.scale[:, None, None], block.features.weight
    )
    q, k, v = (part.reshape(2, 4, 32, 12) for part in made.split(128, dim=1))
    q = q.softmax(dim=2) / math.sqrt(32)
    context = torch.einsum("bhdn,bhen->bhde", k.softmax(dim=3), v / 12)
    mixed = torch.einsum("bhde,bhdn->bhen", context, q).reshape(2, 128, 4, 3)
    out = torch.nn.functional.conv2d(mixed, block.out.weight, block.out.bias)
    out = (out - out.mean(dim=1, keepdim=True)) / (
        out.var(dim=1, correction=0, keepdim=True) + 1e-5
    ).sqrt()
    expected = x + out * block.out_norm.scale[:, None, None]
    assert torch.allclose(block(x), expected, atol=1e-12)


def test_full_attention_is_its_formula():
    """Queries and keys have norm 1 over the pixels, as in the published code."""
    block = AttentionBlock(40, linear=False).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, generator=generator(3))
    x = torch.randn(2, 40, 2, 2, generator=generator(), dtype=torch.float64)
    normed = (x - x.mean(dim=1, keepdim=True)) / (
        x.var(dim=1, correction=0, keepdim=True) + 1e-5
    ).sqrt()
    made = torch.nn.functional.conv2d(
        normed * block.norm.scale[:, None, None], block.features.weight
    )
    q, k, v = (part.reshape(2, 4, 32, 4) for part in made.split(128, dim=1))
    q, k = (part / part.norm(dim=3, keepdim=True) for part in (q, k))
    weights = (10 * torch.einsum("bhdi,bhdj->bhij", q, k)).softmax(dim=3)
    mixed = torch.einsum("bhij,bhdj->bhdi", weights, v).reshape(2, 128, 2, 2)
    expected = x + torch.nn.functional.conv2d(mixed, block.out.weight, block.out.bias)
    assert torch.allclose(block(x), expected, atol=1e-12)


def test_filter_reads_channels_before_pixels_and_writes_back_in_place():
    """Against Qiskit: channel c, pixel p is wire 4c + p, wire 0 the most significant."""
    spec = hqconv(depth=1)
    layer = CircuitFilter(spec, generator=generator())
    x = torch.randn(1, 3, 4, 2, generator=generator(1))
    prediction = layer(x)
    angles = dict(zip(spec.weights, (2 * math.pi * layer.layer.weights).tolist(), strict=True))
    patch = x[0, :, 2:, :].reshape(12).tolist()  # the lower of the two patches
    bound = spec.circuit.assign_parameters({**angles, **dict(zip(spec.inputs, patch, strict=True))})
    state = Statevector(bound)
    expected = [
        state.expectation_value(SparsePauliOp.from_sparse_list([("Z", [11 - wire], 1)], 12)).real
        for wire in range(12)
    ]
    assert np.allclose(prediction[0, :, 2:, :].reshape(12).detach().numpy(), expected, atol=1e-5)


def test_quanvolution_runs_49_circuits_for_an_image():
    model = build("defalco-quanvunet")
    rows = []
    for module in model.encoder[1].modules():
        if isinstance(module, CircuitFilter):
            module.layer.register_forward_hook(
                lambda _, __, kwargs, ___: rows.append(len(kwargs["inputs"])), with_kwargs=True
            )
    model(torch.randn(2, 1, 28, 28), torch.tensor([0.1, 1.0]))
    assert rows == [2 * 49] * 4  # two blocks, each with one filter in both of its convolutions


def test_a_blocks_quanvolutions_share_their_filter():
    blocks = build("defalco-quanvunet").encoder[1]
    assert blocks.first.first.quanvolution is blocks.first.second.quanvolution
    assert blocks.first.first.quanvolution is not blocks.second.first.quanvolution


def test_full_hybrid_has_a_circuit_for_each_channel():
    conv = HybridConv(40, "hqconv", 13)
    assert [each.channels for each in conv.filters] == [3] * 13 + [1]
    assert [each.layer.weights.numel() for each in conv.filters] == [84] * 13 + [16]
    assert conv.conv is None


HEAVY = ("defalco-fullhqconv", "defalco-fullfqconv", "defalco-7hqconv", "defalco-7fqconv")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in HEAVY else []) for n in COUNTS]
)
def test_every_angle_and_weight_has_a_gradient(name):
    """In the published code most angles have none; see the module's docstring."""
    model = build(name)
    x = torch.randn(2, 1, 28, 28, generator=generator(1))
    model(x, torch.tensor([0.3, 0.9])).square().mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        if key.endswith("layer.weights"):
            assert bool((parameter.grad != 0).all()), key
        else:
            assert bool((parameter.grad != 0).any()), key


@pytest.mark.parametrize(
    "name",
    [
        "defalco-unet",
        pytest.param("defalco-1fqconv", marks=pytest.mark.slow),
        pytest.param("defalco-quanvunet", marks=pytest.mark.slow),
    ],
)
def test_one_training_step_moves_every_weight(tmp_path, name):
    small = {"dataset": "digits", "train_count": 4, "test_count": 2, "batch_size": 4, "epochs": 1}
    config = resolve_run(name, {**small, "sample_every": 0, "weight_average": False})
    result = train(config, tmp_path / "run")
    fresh = HybridUNet(
        config.model_options, generator=generator(derived_seed(0, "init", 0))
    ).state_dict()
    for key, after in load_model(result.checkpoint).named_parameters():
        moved = after != fresh[key]
        assert bool(moved.all() if key.endswith("layer.weights") else moved.any()), key
    run = load_run(tmp_path / "run")
    one, other = (
        sample(run, SamplingConfig(num_images=2, scheduler="ddim", num_inference_steps=2))
        for _ in range(2)
    )
    assert np.array_equal(one.images, other.images)


@pytest.mark.parametrize(
    "name", ["defalco-1fqconv", pytest.param("defalco-quanvunet", marks=pytest.mark.slow)]
)
def test_saved_model_gives_the_same_answer(tmp_path, name):
    model = build(name)
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    x, t = torch.randn(2, 1, 28, 28), torch.tensor([0.3, 0.9])
    assert torch.equal(again(x, t), model(x, t))
    assert again.num_parameters == model.num_parameters == COUNTS[name]  # what is shared stays so


def test_transfer_moves_all_but_the_vertex():
    hybrid, teacher = build("defalco-1hqconv", 1), build("defalco-unet", 2)
    fresh = {k: v.clone() for k, v in hybrid.state_dict().items() if k.startswith("vertex")}
    copied = take_over(hybrid, teacher)
    theirs = teacher.state_dict()
    assert {name.partition(".")[0] for name in copied} == {
        "time", "enter", "encoder", "down", "decoder", "up", "leave", "out",
    }  # fmt: skip
    for key, value in hybrid.state_dict().items():
        assert torch.equal(value, fresh[key] if key in fresh else theirs[key]), key


def test_classical_counterpart():
    config = resolve("defalco-transfer-mnist").config
    assert HybridUNet.teacher_options(config) == HybridUNetConfig()
    assert HybridUNet.teacher_options(HybridUNetConfig()) is None


@pytest.mark.parametrize("name", MNIST)
def test_presets_of_mnist_differ_from_fashion_mnists_in_their_images_only(name):
    ours, theirs = (
        resolve_run(each, {"folder": "elsewhere"}) for each in (name, name.removesuffix("-mnist"))
    )
    assert (ours.data.dataset, theirs.data.dataset) == ("mnist", "fashion-mnist")
    assert ours.data.folder == "elsewhere"
    assert (ours.model_options, ours.diffusion) == (theirs.model_options, theirs.diffusion)
    assert ours.training == theirs.training


def test_paper_trains_20_epochs_of_9375_batches_in_all():
    for name in ("defalco-transfer-mnist", "defalco-transfer-fashion-mnist"):
        training = PRESETS[name].training
        assert training["transfer_epochs"] + training["epochs"] == 20
    assert 20 * 60_000 == 9375 * 128


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 16}, "28 or 32"),
        ({"circuits": 14}, "circuits is 0 to 13"),
        ({"layers": 0}, "layers is 1 to 100"),
        ({"ansatz": "foo"}, "ansatz is"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message):
        HybridUNetConfig(**options)


def test_bad_images_are_refused():
    model = build("defalco-unet")
    with pytest.raises(InvalidData, match="shape"):
        model(torch.zeros(1, 1, 8, 8), torch.ones(1))
    with pytest.raises(InvalidData, match="NaN"):
        model(torch.full((1, 1, 28, 28), math.nan), torch.ones(1))
    with pytest.raises(InvalidData, match="no labels"):
        model(torch.zeros(1, 1, 28, 28), torch.ones(1), torch.zeros(1, dtype=torch.long))
