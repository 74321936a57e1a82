"""Classes told by a kernel: closed forms, Qiskit's states, and what models make of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector, state_fidelity

from qdm_qiskit.data import IsingSpins
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.models import resolve
from qdm_qiskit.models.beside import LinearMap
from qdm_qiskit.models.conditioning import CURVATURE, class_kernel, condition_table
from qdm_qiskit.models.hybrid_score import HybridScore, HybridScoreConfig
from qdm_qiskit.models.line import Line, LineConfig
from qdm_qiskit.models.told import told
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train
from tests.helpers import generator


def test_the_kernel_is_its_closed_form_and_qiskits_fidelity():
    u = np.linspace(0, 1, 6)
    off = u[:, None] - u
    wanted = np.cos(np.pi * off / 2) ** 2 * np.cos(np.pi * off) ** 2
    assert np.allclose(class_kernel().matrix(u[:, None]), wanted, atol=1e-12)
    circuit = class_kernel().spec.circuit
    states = [Statevector(circuit.assign_parameters([each])) for each in u]
    for i, j in product(range(6), repeat=2):
        assert state_fidelity(states[i], states[j]) == pytest.approx(wanted[i, j], abs=1e-12)
    # The Gaussian beside it has the same curvature at 0.
    step = 1e-3
    assert float(class_kernel().matrix([[0.0]], [[step]])[0, 0]) == pytest.approx(
        np.exp(-CURVATURE * step**2), abs=1e-10
    )


@pytest.mark.parametrize("kind", ["kernel", "rbf"])
@pytest.mark.parametrize("classes", [1, 2, 9, 12])
def test_products_of_rows_are_the_kernel(kind, classes):
    table = condition_table(kind, classes).numpy()
    u = np.linspace(0, 1, classes)
    off = u[:, None] - u
    wanted = {
        "kernel": np.cos(np.pi * off / 2) ** 2 * np.cos(np.pi * off) ** 2,
        "rbf": np.exp(-CURVATURE * off**2),
    }[kind]
    assert np.allclose(table @ table.T, wanted, atol=1e-7)
    assert np.allclose(table, table.T, atol=1e-9)
    # Nystroem: k(u, L) times the pseudo-inverse of the root gives the same rows.
    assert np.allclose(wanted @ np.linalg.pinv(table, rcond=1e-5), table, atol=1e-3)


def test_labels_are_one_hot():
    assert torch.equal(condition_table("label", 3), torch.eye(3, dtype=torch.float64))
    t, labels = torch.tensor([0.2, 0.9]), torch.tensor([2, 0])
    rows = told(t, labels, 3)
    assert torch.equal(rows[:, 3:], torch.nn.functional.one_hot(labels, 3).float())
    assert torch.equal(rows, told(t, labels, 3, "label"))
    by_kernel = told(t, labels, 3, "kernel")
    assert torch.equal(by_kernel[:, :3], rows[:, :3])
    assert torch.equal(by_kernel[:, 3:], condition_table("kernel", 3).float()[labels])


@pytest.mark.parametrize("kind", ["label", "kernel", "rbf"])
def test_a_class_without_rows_is_told_by_its_neighbours(kind):
    """A linear map fitted to two temperatures of three: its middle lies between, but for one-hot."""
    config = LineConfig(
        image_size=2, codec="pca", latents=1, guided=True, num_classes=5, conditioning=kind
    )
    line = Line(config, generator=generator())
    fitted = LinearMap(config, line.codec)
    labels = torch.tensor([0, 2, 4]).repeat(50)
    x, t = torch.randn(150, 1, generator=generator(1)), torch.rand(150, generator=generator(2))
    fitted.fit(x, t, labels, labels[:, None].float())
    with torch.no_grad():
        said = fitted(torch.zeros(5, 1), torch.full((5,), 0.5), torch.arange(5))[:, 0]
    assert torch.allclose(said[::2], torch.tensor([0.0, 2.0, 4.0]), atol=1e-3)
    if kind == "label":  # the constant alone: the same for both
        assert float(said[1] - said[3]) == pytest.approx(0, abs=1e-3)
    else:
        assert 0 < float(said[1]) < float(said[3]) < 4.2


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidOption, match="conditioning is one of label, kernel, rbf, got 'knn'"):
        LineConfig(guided=True, conditioning="knn")
    with pytest.raises(InvalidOption, match="conditioning=kernel is of classes; set guided=true"):
        HybridScoreConfig(conditioning="kernel")
    with pytest.raises(InvalidOption, match="conditioning=rbf is of classes"):
        resolve("series-waves", {"conditioning": "rbf"})


def test_counterparts_are_told_alike():
    config = HybridScoreConfig(guided=True, codec="pca", conditioning="kernel")
    made = HybridScore(config, generator=generator()).counterparts(generator())
    assert {each.config.conditioning for each in made.values()} == {"kernel"}


def test_a_run_told_by_a_kernel_is_sampled_as_it_was_trained(tmp_path):
    settings = {"train_count": 60, "test_count": 20, "epochs": 1, "num_steps": 2, "uploads": 2}
    options = {"bricks": 1, "num_qubits": 2, "conditioning": "kernel", **settings}
    train(resolve_run("line-ising-guided", options), tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.model.config.conditioning == "kernel"
    found = sample(run, SamplingConfig(num_images=3, label=2))
    assert found.images.shape[0] == 3
    assert len(IsingSpins().classes) == run.model.config.num_classes
