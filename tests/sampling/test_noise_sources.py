"""Noise of a chain from a source: every process and target, repeatable, told in the manifest."""

from __future__ import annotations

import numpy as np
import pytest

from qdm_qiskit import tasks
from qdm_qiskit.errors import InvalidArgument, InvalidData, InvalidOption, UnknownName
from qdm_qiskit.noise_sources import NoiseSource
from qdm_qiskit.sampling import Ask, Sampler, SamplingConfig, sample


class Coins(NoiseSource):
    """Bits that remember how many were asked for."""

    name, simulated = "coins", True

    def __init__(self) -> None:
        self.asked: list[int] = []

    def bits(self, count: int, rng: np.random.Generator) -> np.ndarray:
        self.asked.append(count)
        return rng.integers(0, 2, count, dtype=np.uint8)


class Twice(Sampler):
    """The process's own step, from a second prediction for the same state."""

    name, takes = "twice", "own"

    def timesteps(self, process, steps):
        return range(process.num_steps, 0, -1)

    def step(self, x, prediction, here):
        if not here.tried:
            return Ask(x, here.t)
        return here.process.reverse_step(x, here.t, here.tried[0].prediction, here.generator)


@pytest.fixture(scope="module")
def dense(make_run):
    return make_run("q_dense", image_size=4, depth=1, num_steps=3)


def test_a_source_changes_the_noise_and_the_seed_repeats_it(dense):
    plain = sample(dense, SamplingConfig(num_images=3))
    first, again = (
        sample(dense, SamplingConfig(num_images=3, noise_source="walk:9")) for _ in range(2)
    )
    assert "noise_source" not in plain.manifest
    assert not np.array_equal(first.trajectory[0], plain.trajectory[0])
    assert np.array_equal(first.trajectory, again.trajectory)
    found = first.manifest["noise_source"]
    assert (found["name"], found["steps"], found["bits_a_step"]) == ("walk", 9, 19_968)
    assert found["package"] == "qdm_qiskit"
    assert first.manifest["sampling"]["noise_source"] == "walk:9"
    on_aer = SamplingConfig(num_images=3, noise_source="walk:9", target="aer", shots=100)
    assert np.array_equal(sample(dense, on_aer).trajectory[0], first.trajectory[0])


def test_an_object_needs_no_name_and_gives_bits_for_x_t_and_each_step(make_run):
    run = make_run("classical_unet")
    source = Coins()
    found = tasks.sample(run, num_images=2, noise_source=source)
    assert set(source.asked) == {19_968}
    assert len(source.asked) == 1 + 3  # x_T, and a generator for each step
    assert found.manifest["noise_source"]["module"].endswith("Coins")
    assert found.manifest["sampling"]["noise_source"] is None
    seen = len(source.asked)
    tasks.sample(run, num_images=2, noise_source=source, sampler=Twice())
    # a step that asks for a second prediction draws no second noise
    assert len(source.asked) - seen == 1 + 3


def test_what_does_not_fit_is_refused_in_one_line(dense, tmp_path):
    with pytest.raises(UnknownName, match="dice"):
        tasks.sample(dense, num_images=1, noise_source="dice")
    with pytest.raises(InvalidArgument, match="noise_source"):
        tasks.sample(dense, num_images=1, noise_source=3)
    config = SamplingConfig(num_images=1, noise_source="haar")
    with pytest.raises(InvalidOption, match="leave one out"):
        tasks.sample(dense, config=config, noise_source=Coins())
    np.savez(tmp_path / "bits.npz", bits=np.zeros((10, 2), dtype=np.uint8))
    with pytest.raises(InvalidData, match="0 uniform bits left of 20 measured"):
        tasks.sample(dense, num_images=1, noise_source=f"measured:{tmp_path / 'bits.npz'}")
