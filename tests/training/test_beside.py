"""What stands beside a latent model: closed forms, fits, files; and its rows in an evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import qdm_qiskit as qdm
from qdm_qiskit.diffusion import VelocityPrediction
from qdm_qiskit.errors import InvalidData, MissingData
from qdm_qiskit.models import whitened_codecs
from qdm_qiskit.models.beside import BESIDE, ClassGaussian, LinearMap, Mlp
from qdm_qiskit.models.line import Line, LineConfig
from qdm_qiskit.models.told import told
from qdm_qiskit.sampling import load_run
from qdm_qiskit.training.beside import load_beside, read_losses
from tests.helpers import generator

SMALL = {"image_size": 4, "latents": 3, "num_qubits": 2, "uploads": 2, "bricks": 1}
PROCESS = VelocityPrediction(5, radius=3.5)


def line(**options) -> Line:
    settings = {**SMALL, "guided": True, "num_classes": 2, **options}
    return Line(LineConfig(**settings), generator=generator())


def test_the_gaussian_of_each_class_is_bayes_rule():
    """Posterior mean by the joint covariance of x_0 and x_t, class by class."""
    model = line()
    rng = np.random.default_rng(0)
    x_0 = torch.tensor(rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3)), dtype=torch.float32)
    labels = torch.arange(400) % 2
    x_0 = x_0 + 2.0 * labels[:, None]
    gaussian = ClassGaussian(model.config, model.codec, PROCESS, spread=True)
    means = ClassGaussian(model.config, model.codec, PROCESS, spread=False)
    gaussian.fit(x_0, labels)
    means.fit(x_0, labels)
    x, asked = torch.randn(4, 3, generator=generator(2)), torch.tensor([0, 1, 0, 1])
    for step in (1, 3, 5):
        t = torch.full((4,), step / 5)
        alpha = float(PROCESS.alpha_bar[step - 1].sqrt())
        sigma = (1 - alpha**2) ** 0.5
        for row, label in enumerate(asked):
            own = x_0[labels == label].double().numpy()
            mean, cov = own.mean(0), np.cov(own.T)
            gain = alpha * cov @ np.linalg.inv(alpha**2 * cov + sigma**2 * np.eye(3))
            best = mean + gain @ (x[row].numpy() - alpha * mean)
            wanted = (alpha * x[row].numpy() - best) / sigma
            found = gaussian(x, t, asked)[row].numpy()
            np.testing.assert_allclose(found, wanted, atol=2e-4)
            point = (alpha * x[row].numpy() - mean) / sigma
            np.testing.assert_allclose(means(x, t, asked)[row].numpy(), point, atol=1e-4)


def test_the_linear_map_is_least_squares_and_has_176_parameters():
    assert LinearMap(LineConfig(guided=True), line().codec).num_parameters == 176
    model = LinearMap(line().config, line().codec)
    rng = generator(3)
    x, t = torch.randn(300, 3, generator=rng), torch.rand(300, generator=rng)
    labels, target = torch.arange(300) % 2, torch.randn(300, 3, generator=rng)
    model.fit(x, t, labels, target)
    left = (model(x, t, labels) - target).detach()
    rows = torch.cat([x, told(t, labels, 2)], dim=1)
    assert float((rows.t() @ left).abs().max()) < 1e-3  # orthogonal to all that it may use
    assert float(left.mean(dim=0).abs().max()) < 1e-5


def test_the_network_has_about_as_many_parameters():
    full = LineConfig(guided=True)
    assert Mlp(full, line().codec, 1100).num_parameters == 1088


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beside") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whitened_codecs, "STEPS", 50)
        qdm.train(
            "line",
            folder,
            **SMALL,
            guided=True,
            classes=(0, 1),
            num_steps=3,
            epochs=3,
            learning_rate=0.02,
        )
    return folder


def test_a_run_keeps_the_losses_of_all_on_the_same_noise(run):
    losses = read_losses(run)
    assert set(losses) == {"identity", "model", *BESIDE}
    assert losses["model"].above == losses["model"].half == 0
    for each in losses.values():
        assert each.above == pytest.approx(each.loss - losses["model"].loss, abs=1e-9)
    assert losses["class_gaussian"].loss < losses["linear"].loss < losses["identity"].loss
    assert losses["no_entanglers"].parameters == losses["model"].parameters


def test_what_was_fitted_is_read_back_with_the_models_codec(run):
    trained = load_run(run)
    found = load_beside(run, trained.model, trained.process)
    assert not any(gate == "cz" for gate in found["no_entanglers"].spec.circuit.count_ops())
    x, t, labels = torch.randn(3, 3), torch.full((3,), 1 / 3), torch.tensor([0, 1, 1])
    images = torch.rand(2, 1, 4, 4)
    for each in found.values():
        assert each(x, t, labels).shape == (3, 3)
        assert torch.equal(each.encode_data(images), trained.model.encode_data(images))
    path = run / "beside" / "mlp.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    try:
        with pytest.raises(InvalidData, match=r"mlp\.safetensors cannot be used"):
            load_beside(run, trained.model, trained.process)
    finally:
        path.write_bytes(whole)
    with pytest.raises(MissingData, match="train with baseline=true"):
        load_beside(run.parent, trained.model, trained.process)


def test_an_evaluation_measures_and_draws_all(run, tmp_path):
    given = {"count": 40, "resamples": 20, "metrics": ["label_accuracy", "class_spread"]}
    found = qdm.evaluate(run, **given)
    rows = {row.name: row for row in found.report.rows}
    assert set(rows) == {"real images", "noise", "run", *BESIDE}
    assert set(found.pictures.grids) >= {"run", *BESIDE}
    assert rows["class_means"].metrics["class_spread"].estimate < 0.01
    assert rows["real images"].metrics["class_spread"].estimate == pytest.approx(1, abs=0.3)
    assert not rows["noise"].metrics
    alone = qdm.evaluate(run, beside=False, **given)
    assert {row.name for row in alone.report.rows} == {"real images", "noise", "run"}
    qdm.sample(run, num_images=20, out=tmp_path / "samples")
    again = qdm.evaluate(samples=tmp_path / "samples", **given)
    assert again.report.rows[-1].metrics["label_accuracy"].estimate >= 0


def test_without_a_baseline_nothing_is_fitted(tmp_path, monkeypatch):
    monkeypatch.setattr(whitened_codecs, "STEPS", 5)
    settings = {"train_count": 30, "epochs": 1, "num_steps": 2, "baseline": False}
    result = qdm.train("line", tmp_path / "run", **SMALL, **settings)
    assert read_losses(result.run) == {}
