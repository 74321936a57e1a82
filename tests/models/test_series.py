"""The denoiser of series: convolutions in time, blocks at every step, and its way through targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.models.series import Series, SeriesConfig
from qdm_qiskit.models.whitened_codecs import WhitenedCells
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train
from qdm_qiskit.training.beside import read_losses
from tests.helpers import generator

SMALL = {"image_size": 3, "width": 2, "num_qubits": 2, "blocks": 1}


def model(**options) -> Series:
    return Series(SeriesConfig(**{**SMALL, **options}), generator=generator())


def test_blocks_see_one_step_each_and_convolutions_its_neighbours():
    """A change of one value moves what lies within the reach of the convolutions, and no more."""
    x, t = torch.randn(1, 9, generator=generator(1)), torch.ones(1)
    for blocks, reach in ((1, 1), (2, 3)):
        made = model(blocks=blocks)  # its linear map begins at 0
        other = x.clone()
        other[0, 4] += 1
        moved = (made(x, t) - made(other, t)).abs()[0] > 1e-7
        assert moved.nonzero().flatten().tolist() == list(range(4 - reach, 5 + reach))


def test_a_block_runs_for_every_step_in_time():
    made = model()
    x, t = torch.randn(2, 9, generator=generator(1)), torch.tensor([0.3, 1.0])
    seen = []
    made.blocks[0].register_forward_hook(lambda _, given, made: seen.append((given[0], made)))
    made(x, t)
    [(rows, outputs)] = seen
    assert tuple(rows.shape) == (18, 2)
    alone = torch.cat([made.blocks[0](row[None]) for row in rows])
    torch.testing.assert_close(alone, outputs, atol=1e-6, rtol=1e-5)


def test_counterparts_have_less_of_circuits():
    made = model()
    found = made.counterparts(generator())
    assert list(found) == ["no_entanglers", "no_circuits"]
    assert found["no_circuits"].num_qubits == 0
    assert abs(found["no_circuits"].num_parameters - made.num_parameters) <= 3  # half a hidden unit
    assert model(block="none").counterparts() == {}


def test_one_step_moves_every_weight():
    made = model(guided=True)
    before = {name: each.detach().clone() for name, each in made.named_parameters()}
    optimizer = torch.optim.Adam(made.parameters(), 0.01)
    made(torch.randn(8, 9), torch.rand(8), torch.arange(8) % 2).sub(1).square().mean().backward()
    optimizer.step()
    for name, each in made.named_parameters():
        assert not torch.equal(each, before[name]), name


def test_cells_are_scaled_in_their_place_and_come_back():
    images = torch.rand(40, 1, 3, 3, generator=generator(2))
    images[:, 0, 2, 2] = 0.5
    codec = WhitenedCells((1, 3, 3), 9)
    codec.fit(images, generator())
    white = codec.whitened(images.flatten(1))
    torch.testing.assert_close(white[:, :8].std(dim=0), torch.ones(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(codec.decode(codec.encode(images)), images, atol=1e-6, rtol=0)
    one = images.clone()
    one[:, 0, 0, 1] = 0
    assert torch.equal(
        (codec.encode(one) != codec.encode(images)).any(0).nonzero(), torch.tensor([[1]])
    )
    with pytest.raises(InvalidOption, match="as many as pixels, 9, got 4"):
        WhitenedCells((1, 3, 3), 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 3}, "channels is 1 and image_size 2 to 32"),
        ({"blocks": 9}, "blocks is 1 to 8"),
        ({"block": "qubits"}, "block is one of circuit, network, none"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message):
        model(**options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series") / "run"
    settings = {
        "width": 2,
        "num_qubits": 2,
        "blocks": 1,
        "dataset": "waves",
        "train_count": 60,
        "test_count": 20,
        "num_steps": 2,
        "epochs": 2,
    }
    train(resolve_run("series", settings), folder)
    return load_run(folder)


@pytest.mark.parametrize(
    "target",
    [
        "aer",
        pytest.param("noisy:fake_torino", marks=pytest.mark.slow),
        pytest.param("local:fake_torino", marks=pytest.mark.slow),
    ],
)
def test_many_shots_come_near_the_exact_series(trained, target):
    assert "no_circuits" in read_losses(trained.checkpoint.parent.parent)
    exact = sample(trained, SamplingConfig(num_images=2))
    config = SamplingConfig(target=target, shots=20_000, num_images=2, layout_trials=1, seed=0)
    found = sample(trained, config)
    assert np.abs(found.images - exact.images).max() < 0.1
    assert not np.array_equal(found.images, exact.images)
    assert found.table().count("\n") == 3  # a header and two series
