"""Orders of pixels among amplitudes: the pairs that they make, and models that have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.models import build_model, load_model, resolve, save_model
from qdm_qiskit.models.pixel_orders import blocks_order, correlated_order
from qdm_qiskit.sampling import load_run
from qdm_qiskit.training import resolve_run, train


@pytest.mark.parametrize("size", [2, 4, 8, 16])
def test_first_half_of_the_wires_runs_through_neighbours(size):
    order = blocks_order(size)
    assert sorted(order.tolist()) == list(range(size**2))
    half = size  # 2**(n/2) amplitudes differ in the first half of the wires alone
    for second in range(half):
        rows, columns = np.divmod(order[second::half], size)
        assert np.ptp(rows) * np.ptp(columns) <= half  # a block, and not a column of the image
        assert (np.ptp(rows) + 1) * (np.ptp(columns) + 1) == half


def planted(groups: list[list[int]], count: int = 400) -> np.ndarray:
    """Images whose pixels are the same within a group but for noise."""
    rng = np.random.default_rng(5)
    images = 0.05 * rng.normal(size=(count, sum(map(len, groups))))
    for group in groups:
        images[:, group] += rng.normal(size=(count, 1))
    return images


def test_correlated_pixels_are_told_apart_by_the_first_wires():
    pixels = np.random.default_rng(0).permutation(16).reshape(4, 4).tolist()
    order = correlated_order(planted(pixels))
    assert sorted(order.tolist()) == list(range(16))
    found = [set(order[second::4].tolist()) for second in range(4)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, pixels))


def test_pairs_are_the_best_of_all_matchings():
    images = np.random.default_rng(2).normal(size=(12, 8))
    between = np.corrcoef(images.T)

    def worth(pairs) -> float:
        return sum(between[a, b] for a, b in pairs)

    def matchings(left: list[int]):
        if not left:
            yield []
        for other in left[1:]:
            rest = [each for each in left[1:] if each != other]
            yield from ([(left[0], other), *more] for more in matchings(rest))

    best = max(map(worth, matchings(list(range(8)))))
    order = correlated_order(images)
    assert worth(order.reshape(2, 4).T.tolist()) == pytest.approx(best, abs=1e-5)


def test_constant_pixels_are_ordered_too():
    images = planted([[0, 1], [2, 3]])
    images[:, 2:] = 0.5
    order = correlated_order(images)
    assert {frozenset(order[second::2].tolist()) for second in range(2)} == {
        frozenset({0, 1}),
        frozenset({2, 3}),
    }


@pytest.mark.parametrize("order", ["blocks", "correlated", "random"])
@pytest.mark.parametrize("name", ["eeqdm", "qddm"])
def test_a_model_is_the_row_by_row_one_on_moved_pixels(name, order):
    options = {"image_size": 4, "depth": 2}
    generator = torch.Generator().manual_seed(1)
    model = build_model(resolve(name, {**options, "pixel_order": order}), generator=generator)
    model.fit_data(torch.rand(30, 1, 4, 4, generator=generator), generator)
    rows = build_model(resolve(name, options))
    rows.layer.load_state_dict(model.layer.state_dict())
    moved = model.order.long()
    assert not torch.equal(moved, torch.arange(16))
    x, t = torch.rand(5, 1, 4, 4, generator=generator), torch.ones(5)
    expected = torch.empty(5, 16)
    expected[:, moved] = rows(x.flatten(1)[:, moved].reshape(5, 1, 4, 4), t).flatten(1)
    torch.testing.assert_close(model(x, t).flatten(1), expected)


def test_rows_have_the_same_numbers_and_files_as_before():
    model = build_model(resolve("eeqdm", {"image_size": 4, "depth": 2}))
    assert model.order is None
    assert [name for name in model.state_dict() if "order" in name] == []


@pytest.mark.parametrize("order", ["correlated", "random"])
def test_an_order_is_kept_with_the_weights(tmp_path, order):
    run = tmp_path / "run"
    config = resolve_run(
        "eeqdm",
        {
            "image_size": 4,
            "depth": 1,
            "pixel_order": order,
            "train_count": 20,
            "test_count": 10,
            "epochs": 1,
            "baseline": False,
            "sample_every": 0,
        },
    )
    train(config, run, log_with="none")
    model = load_run(run).model
    assert not torch.equal(model.order, torch.arange(16))
    save_model(model, tmp_path / "model")
    assert torch.equal(load_model(tmp_path / "model").order, model.order)


def test_refusals():
    with pytest.raises(InvalidOption, match="orders the pixels of grey images, got 3 channels"):
        resolve("eeqdm", {"channels": 3, "pixel_order": "blocks"})
    with pytest.raises(InvalidOption, match="pixel_order"):
        resolve("eeqdm", {"pixel_order": "columns"})
