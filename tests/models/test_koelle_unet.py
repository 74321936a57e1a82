"""Kölle's U-Net and QU-Net: the paper's counts, and a filter that really is its circuit."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from qdm_qiskit.errors import InvalidData, InvalidOption, QdmError
from qdm_qiskit.layers.executors import EngineExecutor
from qdm_qiskit.models import KoelleUNet, KoelleUNetConfig, QUNet, QUNetConfig
from qdm_qiskit.models.koelle_unet import ImageNorm, QuantumConv
from tests.helpers import generator, images


def unet(**options) -> KoelleUNet:
    return KoelleUNet(KoelleUNetConfig(**options), generator=generator())


def qunet(**options) -> QUNet:
    config = QUNetConfig(**{"image_size": 4, "levels": 2, "depth": 1, **options})
    return QUNet(config, generator=generator())


TIME = torch.tensor([0.3, 0.7])
BOTH = pytest.mark.parametrize("build", [unet, qunet])


@pytest.mark.parametrize(("levels", "start", "count"), [(2, 3, 934), (3, 2, 1843), (3, 4, 7077)])
def test_counts_of_the_classical_net(levels, start, count):
    model = unet(image_size=16, levels=levels, start_channels=start)
    assert (model.num_parameters, model.num_quantum_parameters) == (count, 0)


@pytest.mark.parametrize(("depth", "quantum", "count"), [(8, 792, 835), (12, 1188, 1231)])
def test_counts_of_the_quantum_net(depth, quantum, count):
    model = QUNet(QUNetConfig(depth=depth))
    assert (model.num_parameters, model.num_quantum_parameters) == (count, quantum)
    wires = [m.layer.spec.num_qubits for m in model.modules() if isinstance(m, QuantumConv)]
    assert sorted(wires) == [2, 3, 4, 5, 6, 6, 7]


def test_every_filter_runs_its_circuit(monkeypatch):
    """The published code never calls it; here each of the seven runs once for each forward pass."""
    ran = []
    original = EngineExecutor.__call__

    def count(self, *arguments):
        ran.append(self.spec.num_qubits)
        return original(self, *arguments)

    monkeypatch.setattr(EngineExecutor, "__call__", count)
    QUNet(QUNetConfig(depth=1))(images(2, 1, 8, 8), TIME)
    assert sorted(ran) == [2, 3, 4, 5, 6, 6, 7]


def test_a_filter_is_its_circuit_on_each_patch():
    conv = QuantumConv(2, 3, 3, QUNetConfig(depth=2), generator())
    x = images(2, 2, 4, 5)
    found = conv(x)
    assert found.shape == (2, 3, 4, 5)
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    for row, column in ((0, 0), (2, 3), (3, 4)):
        patch = padded[1, :, row : row + 3, column : column + 3].flatten() + 0.1
        amplitudes = torch.cat([patch, torch.full((32 - 18,), 0.5)])
        p = conv.layer.executor.program.probabilities(
            None, conv.layer.angles(), (amplitudes / amplitudes.norm())[None]
        )[0]
        torch.testing.assert_close(found[1, :, row, column], (p * 16).clamp(0, 1)[::2][:3])


@pytest.mark.parametrize(("a", "b", "kernel", "wires"), [(1, 2, 3, 4), (1, 16, 3, 5), (1, 1, 1, 1)])
def test_a_filter_has_wires_for_its_patch_and_its_channels(a, b, kernel, wires):
    conv = QuantumConv(a, b, kernel, QUNetConfig(depth=1), generator())
    assert conv.layer.spec.num_qubits == wires
    assert conv(images(1, a, 4, 4)).shape == (1, b, 4, 4)


def test_a_black_image_is_a_state():
    assert bool(torch.isfinite(qunet()(torch.zeros(2, 1, 4, 4), TIME)).all())


def test_the_norm_is_pytorchs():
    ours, theirs = ImageNorm(3), nn.BatchNorm2d(3)
    for step in range(3):
        x = images(4, 3, 5, 5) * (step + 1)
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    torch.testing.assert_close(ours.variance, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
    assert all(value.is_floating_point() for value in ours.state_dict().values())


@BOTH
@pytest.mark.parametrize(("levels", "size"), [(1, 4), (2, 6), (3, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_are_kept(build, levels, size, channels):
    model = build(image_size=size, levels=levels, channels=channels, start_channels=2)
    assert model(images(2, channels, size, size), TIME).shape == (2, channels, size, size)


@BOTH
def test_the_time_is_not_seen(build):
    model = build(image_size=4).eval()
    x = images(2, 1, 4, 4)
    assert torch.equal(model(x, TIME), model(x, 1 - TIME))


@BOTH
def test_labels_are_waves_over_the_columns(build):
    guided = build(image_size=4, guided=True, num_classes=3).eval()
    plain = build(image_size=4).eval()
    plain.load_state_dict(guided.state_dict())
    x = images(2, 1, 4, 4)
    column = torch.arange(4) / 20
    for label in range(3):
        wave = 0.1 * torch.sin(label + column)
        torch.testing.assert_close(
            guided(x, TIME, torch.tensor([label, label])), plain(x + wave, TIME)
        )
    with pytest.raises(InvalidData, match="needs labels"):
        guided(x, TIME)
    with pytest.raises(InvalidData, match="is not guided and takes no labels"):
        plain(x, TIME, torch.tensor([0, 1]))


@BOTH
def test_weights_do_not_depend_on_the_global_seed(build):
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        states.append(build(image_size=4).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (unet, {"levels": 0}, "at least 1"),
        (unet, {"image_size": 9}, "divisible by 2"),
        (unet, {"image_size": 2**40}, "at most 1024"),
        (unet, {"levels": 10**9}, "at most 11"),
        (unet, {"num_classes": 0}, "num_classes must be at least 1"),
        (qunet, {"depth": 0}, "depth must be at least 1"),
        (qunet, {"depth": 10**9}, "at most 1000"),
        (qunet, {"init_std": -1.0}, "init_std must be a finite number"),
        (qunet, {"start_channels": 10**9}, "at most 1024"),
        (qunet, {"depth": 1000, "start_channels": 8}, "at most 10000 parameters"),
    ],
)
def test_bad_options_are_refused_in_one_line(build, options, message):
    with pytest.raises(QdmError, match=message) as caught:
        build(**options)
    assert "\n" not in str(caught.value)


@BOTH
def test_bad_images_are_refused(build):
    with pytest.raises(InvalidData, match=r"\(batch, 1, 4, 4\), got \(2, 1, 5, 5\)"):
        build(image_size=4)(images(2, 1, 5, 5), TIME)
    broken = images(2, 1, 4, 4)
    broken[1, 0, 0, 0] = math.inf
    with pytest.raises(InvalidData, match="Image 1 of 2 holds NaN"):
        build(image_size=4)(broken, TIME)


def test_options_are_frozen():
    with pytest.raises(InvalidOption, match="at least 1"):
        QUNetConfig(channels=0)
