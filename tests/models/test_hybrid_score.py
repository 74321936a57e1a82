"""The hybrid score network: its places, its counterparts, and its way through all targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.models import load_model, save_model
from qdm_qiskit.models.hybrid_score import PLACES, HybridScore, HybridScoreConfig
from qdm_qiskit.models.told import told
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train
from qdm_qiskit.training.beside import read_losses
from tests.helpers import generator

SMALL = {
    "image_size": 4,
    "codec": "pca",
    "latents": 3,
    "width": 2,
    "neck": 2,
    "num_qubits": 2,
}


def model(**options) -> HybridScore:
    settings = {**SMALL, "num_classes": 4, **options}
    return HybridScore(HybridScoreConfig(**settings), generator=generator())


def test_prediction_is_the_formula_of_its_docstring():
    made = model(guided=True)
    torch.nn.init.normal_(made.skip.weight, generator=generator(5))
    x, t = torch.randn(2, 3, generator=generator(1)), torch.tensor([0.2, 1.0])
    labels = torch.tensor([1, 3])
    rows = told(t, labels, 4)
    wanted = []
    for k in range(2):
        e = made.time(rows[k : k + 1])[0]
        tokens = torch.stack([x[k, i] * made.scale[i] + made.shift[i] + e for i in range(3)])
        query, key = made.attention(tokens)[:, :2], made.attention(tokens)[:, 2:]
        values = tokens @ made.value.weight.T
        attended = []
        for i in range(3):
            shares = torch.exp(torch.stack([query[i] @ key[j] for j in range(3)]) / math.sqrt(2))
            attended.append((shares / shares.sum()) @ values)
        tokens = tokens + torch.stack(attended)
        hidden = (tokens * torch.sigmoid(tokens)).flatten()
        neck = made.squeeze.weight @ hidden + made.squeeze.bias
        neck = neck + made.bottleneck(neck[None])[0]
        velocity = made.leave.weight @ neck + made.leave.bias
        wanted.append(velocity + made.skip.weight @ torch.cat([x[k], rows[k]]))
    torch.testing.assert_close(made(x, t, labels), torch.stack(wanted), atol=1e-5, rtol=1e-5)


def test_each_place_takes_a_circuit_a_network_or_nothing():
    whole = model()
    per_circuit = whole.num_quantum_parameters // 3
    assert per_circuit * 3 == whole.num_quantum_parameters > 0
    for place in PLACES:
        one = model(**{**dict.fromkeys(PLACES, "network"), place: "circuit"})
        assert one.num_quantum_parameters == per_circuit
        assert one.config.circuits == (place,)
        less = model(**{place: "none"})
        assert less.num_quantum_parameters == 2 * per_circuit
    networks = HybridScore(whole.config.without_circuits())
    assert networks.num_quantum_parameters == networks.num_qubits == 0
    assert abs(networks.num_parameters - whole.num_parameters) < 0.1 * whole.num_parameters
    # Without an embedding nothing but the linear map beside it all is told the time.
    blind = model(time="none")
    x = torch.randn(2, 3, generator=generator(1))
    assert torch.equal(blind(x, torch.full((2,), 0.1)), blind(x, torch.ones(2)))
    assert not torch.allclose(whole(x, torch.full((2,), 0.1)), whole(x, torch.ones(2)))


def test_counterparts_have_less_of_circuits():
    found = model(guided=True).counterparts(generator())
    assert list(found) == ["no_entanglers", "no_circuits"]
    assert found["no_entanglers"].num_qubits == 2
    assert found["no_circuits"].num_qubits == 0
    assert list(model(entangled=False).counterparts()) == ["no_circuits"]
    assert model(**dict.fromkeys(PLACES, "network")).counterparts() == {}


@pytest.mark.parametrize("places", [{}, dict.fromkeys(PLACES, "network"), {"attention": "none"}])
def test_one_step_moves_every_weight(places):
    made = model(guided=True, **places)
    before = {n: p.detach().clone() for n, p in made.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam([p for p in made.parameters() if p.requires_grad], 0.01)
    prediction = made(torch.randn(8, 3), torch.rand(8), torch.arange(8) % 4)
    (prediction - 1).square().mean().backward()
    optimizer.step()
    for name, each in before.items():
        # Keys share a constant of their head, which attention cannot see.
        if name != "attention.head.bias":
            assert not torch.equal(made.get_parameter(name), each), name


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidData, match=r"latents of shape \(batch, 3\), got \(2, 4\)"):
        model()(torch.rand(2, 4), torch.ones(2))
    with pytest.raises(InvalidData, match="not guided and takes no labels"):
        model()(torch.rand(2, 3), torch.ones(2), torch.tensor([0, 1]))
    with pytest.raises(InvalidOption, match="attention is one of circuit, network, none"):
        model(attention="softmax")
    with pytest.raises(InvalidOption, match="neck is 1 to 64, got 0"):
        model(neck=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hybrid") / "run"
    settings = {
        **SMALL,
        "guided": True,
        "classes": (0, 1),
        "train_count": 60,
        "test_count": 20,
        "num_steps": 2,
        "epochs": 2,
    }
    train(resolve_run("hybrid_score", settings), folder)
    return load_run(folder)


def test_a_run_is_read_back_with_what_stands_beside_it(trained, tmp_path):
    save_model(trained.model, tmp_path / "model")
    x, t, labels = torch.randn(3, 3), torch.rand(3), torch.tensor([0, 1, 1])
    with torch.no_grad():
        again = load_model(tmp_path / "model")(x, t, labels)
        assert torch.equal(again, trained.model(x, t, labels))
    losses = read_losses(trained.checkpoint.parent.parent)
    assert {"identity", "model", "linear", "mlp", "no_entanglers", "no_circuits"} <= set(losses)


@pytest.mark.parametrize(
    "target",
    [
        "aer",
        pytest.param("noisy:fake_torino", marks=pytest.mark.slow),
        pytest.param("local:fake_torino", marks=pytest.mark.slow),
    ],
)
def test_many_shots_come_near_the_exact_images(trained, target):
    exact = sample(trained, SamplingConfig(num_images=2))
    config = SamplingConfig(target=target, shots=20_000, num_images=2, layout_trials=1, seed=0)
    found = sample(trained, config)
    assert found.images.shape == (2, 1, 4, 4)
    assert np.abs(found.images - exact.images).max() < 0.1
    assert not np.array_equal(found.images, exact.images)
    assert {each["name"].split("#")[0] for each in found.manifest["device"]["calls"]} == {
        f"{place}.layer" for place in PLACES
    }
