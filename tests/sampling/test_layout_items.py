"""Layout trials of samplings as items: the same images, and each seed tried once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import qdm_qiskit as qdm_package
from qdm_qiskit.errors import InvalidCheckpoint, InvalidOption
from qdm_qiskit.sampling import SamplingConfig, blocks, call_targets, layout_items, load_run
from qdm_qiskit.transpiling import passes, search
from qdm_qiskit.work import InThisProcess, run_items
from tests.helpers import write_run

OPTIONS = {"num_images": 4, "shots": 64, "optimization_level": 1}
TARGET = "noisy:fake_quito"
TRIALS = layout_items.FEW + 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("trained") / "run", num_steps=2)


@pytest.fixture
def transpiled(monkeypatch):
    """Seeds with which something was transpiled, by whom."""
    blocks._shared.cache_clear()
    seeds = {"items": [], "blocks": []}

    def counting(name):
        def trials(*given, **named):
            seeds[name] += named["seeds"]
            return passes.layout_trials(*given, **named)

        return trials

    monkeypatch.setattr(search, "layout_trials", counting("items"))
    monkeypatch.setattr(call_targets, "layout_trials", counting("blocks"))
    return seeds


def test_each_seed_is_tried_once_and_blocks_take_the_best(trained, transpiled, tmp_path):
    told = []
    found = qdm_package.sample(
        trained,
        TARGET,
        block=2,
        workers=InThisProcess(),
        layout_trials=TRIALS,
        out=tmp_path / "out",
        progress=told.append,
        **OPTIONS,
    )
    assert len(transpiled["items"]) == len(set(transpiled["items"])) == TRIALS
    layout = found.manifest["device"]["layout"]
    assert transpiled["blocks"] == [layout["transpiler_seed"]]
    assert [str(each) for each in told if str(each).startswith("layouts: ")]
    assert not (tmp_path / "out" / "items").exists()
    config = SamplingConfig(target=TARGET, layout_trials=TRIALS, **{**OPTIONS, "num_images": 2})
    plain = qdm_package.sampling.sample(load_run(trained), config)
    assert np.array_equal(plain.images, found.images[:2])
    assert plain.manifest["device"]["layout"] == layout


def test_few_trials_and_places_that_are_given_are_nothing_to_hand_out(trained):
    run, many = load_run(trained), SamplingConfig(target=TARGET, layout_trials=TRIALS, shots=64)
    assert len(layout_items.layout_items(run, many, device="fake_quito")) == TRIALS
    for other in (
        replace(many, layout_trials=layout_items.FEW),
        replace(many, initial_layout=(0, 1, 2)),
        replace(many, target="aer"),
    ):
        assert layout_items.layout_items(run, other, device=None) == []


def test_seeds_that_were_tried_stay_after_a_stop(trained, transpiled, tmp_path):
    run = load_run(trained)
    config = SamplingConfig(target=TARGET, layout_trials=TRIALS, **OPTIONS)
    items = layout_items.layout_items(run, config, device="fake_quito")
    run_items(items[:4], tmp_path)
    assert len(transpiled["items"]) == 4
    run_items(items, tmp_path)
    assert len(transpiled["items"]) == TRIALS


def test_other_weights_are_refused(trained, tmp_path):
    config = SamplingConfig(target=TARGET, layout_trials=TRIALS, shots=64)
    item = layout_items.layout_items(load_run(trained), config, device="fake_quito")[0]
    with pytest.raises(InvalidCheckpoint, match="other weights"):
        layout_items.try_layout(tmp_path, **{**item.arguments, "weights": "0"})


def test_a_device_that_is_too_small_is_said_by_the_first_block(tmp_path):
    run = write_run(tmp_path / "run", image_size=8, num_steps=2, baseline=False)
    with pytest.raises(InvalidOption, match=r"blocks failed: Circuit .* the device has 5"):
        qdm_package.sample(run, TARGET, workers=InThisProcess(), layout_trials=TRIALS, **OPTIONS)


@pytest.mark.slow
def test_processes_change_nothing(trained):
    options = {**OPTIONS, "layout_trials": TRIALS, "block": 2}
    one, two = (qdm_package.sample(trained, TARGET, workers=n, **options) for n in (1, 2))
    assert np.array_equal(one.images, two.images)
    assert one.manifest["device"]["layout"] == two.manifest["device"]["layout"]
    plain = qdm_package.sample(trained, TARGET, **{**options, "num_images": 2, "block": None})
    assert np.array_equal(plain.images, one.images[:2])
