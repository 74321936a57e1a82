"""Private training: gradients of rows, what is refused, and Opacus's own way if it is there."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from qdm_qiskit.diffusion import make_process
from qdm_qiskit.errors import InvalidCheckpoint, InvalidData, InvalidOption, MissingDependency
from qdm_qiskit.privacy import PrivacyOptions, gradient_epsilon, train_privately
from qdm_qiskit.privacy.private_training import FILE, check_model, read_private, row_gradients
from qdm_qiskit.sampling import load_run
from qdm_qiskit.training import resolve_run
from qdm_qiskit.training.objective import Objective
from qdm_qiskit.training.session import fresh_learners

needs_opacus = pytest.mark.skipif(
    importlib.util.find_spec("opacus") is None, reason="Opacus is an extra; see make test-opacus"
)
TINY = {"dataset": "iris", "depth": 1, "num_steps": 2, "epochs": 2, "batch_size": 30}
SEEDED = PrivacyOptions(seed=5)


def tiny(name="eeqdm", **options):
    return resolve_run(name, {**TINY, **options})


def of_config(config):
    process = make_process(config.diffusion)
    model = fresh_learners(config, process)["model"].model
    return model, Objective(process, model)


def test_gradients_of_rows_are_those_of_each_row_alone():
    model, objective = of_config(tiny(guided=True, num_classes=3))
    images = torch.rand((3, 1, *model.image_shape[1:]))
    positions = torch.tensor([0, 2, 1])
    rows = row_gradients(model, objective, images, positions, [7, 8, 9])
    for row, seed in enumerate([7, 8, 9]):
        model.zero_grad()
        generator = torch.Generator().manual_seed(seed)
        at = slice(row, row + 1)
        objective.loss(model, images[at], positions[at], generator).backward()
        for parameter, found in zip(model.parameters(), rows, strict=True):
            assert torch.equal(found[row], parameter.grad)
    # By finite differences too, in the first weight of the first row.
    first = next(model.parameters())

    def loss():
        return objective.loss(
            model, images[:1], positions[:1], torch.Generator().manual_seed(7)
        ).item()

    place, step = (0,) * first.ndim, 1e-2
    with torch.no_grad():
        first[place] += step
        above = loss()
        first[place] -= 2 * step
        below = loss()
    assert (above - below) / (2 * step) == pytest.approx(rows[0][0][place].item(), abs=1e-4)


def test_no_rows_have_gradients_of_no_rows():
    model, objective = of_config(tiny())
    images = torch.zeros((0, 1, *model.image_shape[1:]))
    for parameter, found in zip(
        model.parameters(), row_gradients(model, objective, images, None, []), strict=True
    ):
        assert found.shape == (0, *parameter.shape)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("line", {"codec": "pca", "depth": None}, "fits a codec or an order of pixels"),
        ("koelle_unet", {"depth": None}, "keeps running means"),
    ],
)
def test_models_that_learn_otherwise_say_which_part(name, options, words):
    config = resolve_run(name, {k: v for k, v in {**TINY, **options}.items() if v is not None})
    with pytest.raises(InvalidOption, match=words):
        check_model(of_config(config)[0])


@pytest.mark.parametrize("name", ["eeqdm", "qddm", "q_dense", "classical_unet"])
def test_models_of_pixels_are_allowed(name):
    options = {} if name == "classical_unet" else {"depth": 1}
    check_model(of_config(resolve_run(name, {"image_size": 4, "num_steps": 2, **options}))[0])


@pytest.fixture
def no_matter(monkeypatch):
    """Opacus in name only, for what is refused before it is used."""
    fake = SimpleNamespace()
    monkeypatch.setattr("qdm_qiskit.privacy.private_training._opacus", lambda: fake)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("eeqdm", {"optimizer": "natural"}, "optimizer='adam'"),
        ("eeqdm", {"train_on": "aer", "train_shots": 8}, "computes circuits exactly"),
        ("eeqdm", {"batch_size": 1000}, "at most the 120 training rows, got 1000"),
        ("quddpm-clustered", {"dataset": None, "depth": None, "num_steps": None}, "no row has a"),
    ],
)
def test_runs_that_learn_otherwise_are_refused_before_they_write(
    name, options, words, no_matter, tmp_path
):
    chosen = {k: v for k, v in {**TINY, **options}.items() if v is not None}
    with pytest.raises(InvalidOption, match=words) as error:
        train_privately(resolve_run(name, chosen), tmp_path / "run", PrivacyOptions())
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_without_opacus_one_line_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus", None)
    monkeypatch.setitem(sys.modules, "opacus.accountants", None)
    with pytest.raises(MissingDependency, match=r"pip install 'qdm_qiskit\[opacus\]'"):
        train_privately(tiny(), tmp_path, PrivacyOptions())


@pytest.mark.parametrize(
    ("options", "words"),
    [({"noise": 0.0}, "noise"), ({"clip": 0.0}, "clip"), ({"delta": 1.0}, "delta")],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(InvalidOption, match=words):
        PrivacyOptions(**options)


def test_a_damaged_record_is_refused(tmp_path):
    assert read_private(tmp_path) is None
    for content in ({"schema": "other/1"}, {}, {"schema": "qdm-private-training/1", "options": 3}):
        (tmp_path / FILE).write_text(json.dumps(content))
        with pytest.raises(InvalidData, match="no record of private training"):
            read_private(tmp_path)


@needs_opacus
@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")
def test_gradients_of_rows_are_those_of_opacus_hooks():
    """The same network and rows: Opacus's own gradients of samples beside one pass a row."""
    from opacus import GradSampleModule

    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    x, y = torch.rand(6, 4), torch.rand(6, 2)
    ones = [
        torch.autograd.grad(((plain(x[k : k + 1]) - y[k]) ** 2).sum(), plain.parameters())
        for k in range(6)
    ]
    hooked = GradSampleModule(plain, loss_reduction="sum")
    ((hooked(x) - y) ** 2).sum().backward()
    for place, parameter in enumerate(hooked.parameters()):
        wanted = torch.stack([each[place] for each in ones])
        assert torch.allclose(parameter.grad_sample, wanted, atol=1e-6)


@needs_opacus
def test_a_private_run_spends_what_opacus_says_and_loads_as_any_run(tmp_path):
    from opacus.accountants import RDPAccountant

    made = train_privately(tiny(), tmp_path, SEEDED)
    accountant = RDPAccountant()
    for _ in range(made.steps):
        accountant.step(noise_multiplier=1.0, sample_rate=30 / 120)
    assert (made.steps, made.rate) == (8, 0.25)
    assert made.epsilon == pytest.approx(accountant.get_epsilon(delta=1e-3), rel=1e-12)
    assert made.epsilon == pytest.approx(gradient_epsilon(1.0, 0.25, 8, 1e-3), rel=1e-6)
    options, epsilon = read_private(tmp_path)
    assert (options, epsilon) == (SEEDED, made.epsilon)
    assert "train_loss" not in made.result.history[-1]  # which no noise covers
    fresh = of_config(tiny())[0]
    moved = load_run(tmp_path).model.state_dict()
    assert any(not torch.equal(moved[k], v) for k, v in fresh.state_dict().items())


@needs_opacus
def test_resumed_runs_spend_as_much_as_whole_ones_and_others_are_refused(tmp_path):
    whole = train_privately(tiny(), tmp_path / "whole", SEEDED)
    train_privately(tiny(epochs=1), tmp_path / "halves", SEEDED)
    halves = train_privately(tiny(), tmp_path / "halves", SEEDED, resume=True)
    assert halves.epsilon == pytest.approx(whole.epsilon, rel=1e-12)
    assert halves.steps == whole.steps
    with pytest.raises(InvalidOption, match="holds a run already"):
        train_privately(tiny(), tmp_path / "halves", SEEDED)
    with pytest.raises(InvalidCheckpoint, match="was trained with"):
        train_privately(tiny(), tmp_path / "halves", PrivacyOptions(noise=2), resume=True)
    with pytest.raises(InvalidCheckpoint, match="other options"):
        train_privately(tiny(depth=2), tmp_path / "halves", SEEDED, resume=True)


@needs_opacus
def test_the_noise_of_a_step_is_what_the_multiplier_says(tmp_path):
    """Of rows whose gradients are clipped to their norm, by what is handed to Opacus here."""
    from opacus.optimizers import DPOptimizer

    weights = nn.Parameter(torch.zeros(20_000))
    optimizer = DPOptimizer(
        torch.optim.SGD([weights], lr=1.0),
        noise_multiplier=2.0,
        max_grad_norm=0.5,
        expected_batch_size=10,
        generator=torch.Generator().manual_seed(0),
    )
    weights.grad_sample = torch.ones(3, 20_000)
    optimizer.step()
    moved = -weights.detach().numpy()
    sigma, mean = 2.0 * 0.5 / 10, 3 * 0.5 / np.sqrt(20_000) / 10
    assert moved.std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * 20_000))
    assert moved.mean() == pytest.approx(mean, abs=5 * sigma / np.sqrt(20_000))
