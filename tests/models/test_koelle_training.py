"""Kölle's models train, are saved, and sample the same images again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qdm_qiskit.models import build_model, load_model, resolve
from qdm_qiskit.models.presets.koelle import PRESETS
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train

SMALL = {
    "image_size": 4,
    "num_steps": 4,
    "train_count": 24,
    "test_count": 8,
    "batch_size": 24,
    "epochs": 1,
    "sample_every": 1,
    "baseline": False,
    "learning_rate": 1e-3,
}
RUNS = {
    "dense": ("koelle-dense-L50", {"depth": 2}),
    "noise": ("koelle-dense-noise-L55", {"depth": 2}),
    "ancilla": ("q_dense", {"depth": 2, "ancilla": True, "classes": (0, 1)}),
    "guided": ("koelle-guided-L47", {"depth": 2}),
    "reupload": ("koelle-reupload-L47", {"depth": 2, "reuploads": 2}),
    "unitary": ("koelle-unitary-L56", {"depth": 2}),
    "unitary, squared": ("koelle-unitary-L56", {"depth": 2, "state_loss": "squared"}),
    "qunet": ("koelle-qunet-L8", {"depth": 1, "batch_size": 24}),
    "qunet, guided, noise": ("koelle-qunet-L8", {"depth": 1, "guided": True, "goal": "noise"}),
    "unet": ("koelle-unet-depth2", {"batch_size": 24}),
}


def run_config(name: str, **changes):
    preset, options = RUNS[name]
    return resolve_run(preset, {**SMALL, **options, **changes})


def unseen(name: str, key: str, size: int) -> torch.Tensor:
    """Weights that turn phases which no readout sees: see tests/training/test_loop.py."""
    mask = torch.zeros(size, dtype=torch.bool)
    if key.endswith("layer.weights") and not name.startswith("unitary"):
        depth = 1 if name.startswith("qunet") else 2
        per_wire = mask.view(depth, -1, 3)
        per_wire[-1, :, 2] = True
        per_wire[0, -1, 0] = name == "ancilla"
    return mask


@pytest.mark.parametrize("name", RUNS)
def test_one_step_moves_every_weight_and_the_run_samples_equal_images(tmp_path, name):
    config = run_config(name)
    result = train(config, tmp_path / "run")
    assert len(result.history) == 1
    trained = load_model(result.checkpoint)
    choice = resolve(
        config.preset or config.model,
        dict(vars(config.model_options)),
    )
    generator = torch.Generator().manual_seed(derived_seed(0, "init", 0))
    fresh = dict(build_model(choice, generator=generator).named_parameters())
    for key, after in trained.named_parameters():
        moved = (after != fresh[key]).flatten()
        if key.endswith("layer.weights"):
            assert bool((moved | unseen(name, key, moved.numel())).all()), key
        else:  # a channel that no ReLU lets through has no gradient
            assert bool(moved.any()), key
    one, two = (
        sample(load_run(tmp_path / "run"), SamplingConfig(num_images=3, seed=seed))
        for seed in (5, 5)
    )
    np.testing.assert_array_equal(one.images, two.images)
    other = sample(load_run(tmp_path / "run"), SamplingConfig(num_images=3, seed=6))
    assert not np.array_equal(one.trajectory[1], other.trajectory[1])
    assert one.images.shape == (3, 1, 4, 4)
    assert 0 <= one.images.min() <= one.images.max() <= 1


@pytest.mark.parametrize("name", ["dense", "unitary", "qunet", "unet"])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, name):
    """Batch normalisation too: what it has seen is part of the checkpoint."""
    whole = train(run_config(name, epochs=3, batch_size=10), tmp_path / "whole")
    train(run_config(name, epochs=1, batch_size=10), tmp_path / "parts")
    parts = train(run_config(name, epochs=3, batch_size=10), tmp_path / "parts", resume="latest")
    one, two = (load_model(each.checkpoint).state_dict() for each in (whole, parts))
    assert all(torch.equal(one[key], two[key]) for key in one)
    for a, b in zip(whole.history, parts.history, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


@pytest.mark.parametrize("name", ["qunet", "unet"])
def test_measuring_does_not_train_the_norms(tmp_path, name):
    """Means and variances come from training batches: test images and samples leave them alone."""
    seen = []
    for count in (4, 8):
        result = train(run_config(name, test_count=count, epochs=2), tmp_path / str(count))
        state = load_model(result.checkpoint).state_dict()
        seen.append({key: value for key, value in state.items() if "mean" in key})
    assert seen[0]
    assert all(torch.equal(seen[0][key], seen[1][key]) for key in seen[0])
    assert all(bool(value.any()) for value in seen[0].values())


@pytest.mark.parametrize("name", ["qunet", "unet"])
def test_an_average_of_the_weights_takes_the_norms_over(tmp_path, name):
    result = train(run_config(name, epochs=2, weight_average=True), tmp_path)
    model = load_model(result.checkpoint).state_dict()
    average = load_model(result.checkpoint / "average").state_dict()
    # Up to step 100 the average is the model.
    assert all(torch.equal(model[key], average[key]) for key in model)
    row = result.history[-1]
    assert row["average_loss"] == pytest.approx(row["test_loss"], rel=1e-6)


def test_every_preset_of_the_paper_names_its_setting():
    for name, preset in PRESETS.items():
        assert preset.source.startswith("Kölle et al., arXiv:2401.07049"), name
        run = resolve_run(name)
        assert (run.model_options.image_size, run.data.classes) == (8, (0, 1))
        assert (run.data.train_count, run.diffusion.num_steps) == (80, 10)
    rates = {name: resolve_run(name).training.learning_rate for name in PRESETS}
    assert rates["koelle-dense-L50"] == 0.00065
    assert rates["koelle-dense-noise-L55"] == 0.0016
    assert rates["koelle-guided-L47"] == 0.00097
    assert rates["koelle-unet-depth2"] == 0.0047
    assert rates["koelle-unet-depth3-channels2"] == 0.0032
    assert rates["koelle-unet-depth3-channels4"] == 0.0057
    assert resolve_run("koelle-dense-noise-L55").diffusion.goal == "noise"
    assert resolve_run("koelle-qunet-L8").training.batch_size == 10
    assert resolve_run("koelle-dense-L50").training.batch_size == 20
