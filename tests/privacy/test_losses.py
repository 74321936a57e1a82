"""Losses by image against the objective; a model that knows its rows by heart is found by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qdm_qiskit.diffusion import make_process
from qdm_qiskit.diffusion.catalog import DiffusionConfig
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.privacy import image_losses, membership
from qdm_qiskit.sampling import load_run
from qdm_qiskit.training.objective import Objective
from tests.helpers import write_run

PROCESS = make_process(DiffusionConfig(process="ddpm", num_steps=10))
ROWS = np.random.default_rng(0).random((120, 1, 3, 3)).astype(np.float32)


class ByHeart:
    """Predicts the noise that would lead to x_t from the nearest of some rows."""

    def __init__(self, rows: np.ndarray) -> None:
        self.known = 2 * torch.from_numpy(rows) - 1

    def encode_data(self, images):
        return images

    def __call__(self, x, t, labels=None):
        step = (t * PROCESS.num_steps).round().long()
        kept = PROCESS.alpha_bar.to(x)[step - 1].reshape(-1, 1, 1, 1)
        apart = ((x / kept.sqrt())[:, None] - self.known[None]).flatten(2).square().sum(-1)
        return (x - kept.sqrt() * self.known[apart.argmin(1)]) / (1 - kept).sqrt()


def test_a_planted_model_that_knows_its_rows_is_found_and_one_that_knows_others_is_not():
    members, others, apart = ROWS[:40], ROWS[40:80], ROWS[80:]
    for known, found in ((members, True), (apart, False)):
        losses = image_losses(ByHeart(known), PROCESS, ROWS[:80], repeats=8)
        attack = membership(-losses[:40], -losses[40:])
        assert attack.found is found
        if found:
            assert attack.auc.estimate > 0.9
            assert attack.rates[-1].true.low > attack.rates[-1].false.high
        else:
            assert attack.auc.low < 0.5 < attack.auc.high
    assert len(others) == 40


def test_losses_are_those_of_the_objective_and_the_same_noise_for_all_models(tmp_path):
    run = load_run(write_run(tmp_path, dataset="digits"))
    images = np.random.default_rng(1).random((5, 1, 2, 2)).astype(np.float32)
    losses = image_losses(run.model, run.process, images, repeats=3, seed=4)
    again = image_losses(run.model, run.process, images, repeats=3, seed=4)
    assert losses.tolist() == again.tolist()
    # Many draws come near the expectation, which the objective estimates over batches.
    objective, values = Objective(run.process, run.model), []
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(100):
            values.append(
                float(objective.loss(run.model, torch.from_numpy(images), None, generator))
            )
    many = image_losses(run.model, run.process, images, repeats=100)
    error = 5 * np.std(values) * np.sqrt(2 / 100)
    assert many.mean() == pytest.approx(np.mean(values), abs=error)


def test_processes_of_ensembles_have_no_losses_by_image():
    process = make_process(DiffusionConfig(process="depolarizing", num_steps=2))
    with pytest.raises(InvalidOption, match="compares ensembles"):
        image_losses(ByHeart(ROWS), process, ROWS)
    with pytest.raises(InvalidOption, match="repeats"):
        image_losses(ByHeart(ROWS), PROCESS, ROWS, repeats=0)
