"""Loaders of a run: recorded, bounded, chosen, and taken by models of several circuits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from qiskit.circuit.library import efficient_su2

from qdm_qiskit.circuits import CircuitSpec, make_loader, q_dense
from qdm_qiskit.circuits.line_circuits import line_order
from qdm_qiskit.circuits.loaders import Loading
from qdm_qiskit.errors import InvalidData, InvalidOption, InvalidTemplate
from qdm_qiskit.execution.calls import CallResult, CircuitCall
from qdm_qiskit.execution.divided_calls import divided, joined
from qdm_qiskit.models import Denoiser, ModelChoice, build_model, resolve
from qdm_qiskit.sampling import SamplingConfig, sample
from qdm_qiskit.sampling.loader_choice import choose_loader, loaded_vectors
from qdm_qiskit.training import resolve_run


def config(**options) -> SamplingConfig:
    return SamplingConfig(**{"num_images": 3, "target": "aer", "shots": 4_000, **options})


@pytest.fixture(scope="module")
def dense(make_run):
    return make_run("q_dense", image_size=4, depth=1, num_steps=2)


def call_with(loader: str) -> CircuitCall:
    """A call of rows that one CZ a pair loads, and of rows that it does not."""
    rng = np.random.default_rng(4)
    product = np.kron(np.kron([0.6, 0.8], [1.0, 0.0]), np.kron([0.8, 0.6], [0.6, 0.8]))
    rows = np.stack([product, rng.normal(size=16), product[::-1], rng.normal(size=16)])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    spec = q_dense(4, 1).loaded_by(loader)
    return CircuitCall(name="layer", spec=spec, angles=np.zeros(12), amplitudes=rows)


def test_rows_that_miss_the_bound_go_to_the_exact_loader():
    call = call_with("bricks:2,0.01,exact")
    parts = divided(call)
    assert [rows.tolist() for rows, _ in parts] == [[0, 2], [1, 3]]
    assert [part.spec.loader for _, part in parts] == ["bricks:2,0.01,exact", "exact"]
    assert divided(call)[1][1].spec is parts[1][1].spec  # transpiled once
    found = joined([(r, CallResult(outputs=p.amplitudes**2, kept=r / 4.0)) for r, p in parts])
    assert np.array_equal(found.outputs, call.amplitudes**2)
    assert found.kept.tolist() == [0, 0.25, 0.5, 0.75]
    assert len(divided(call_with("bricks:9"))) == 1
    with pytest.raises(InvalidData, match=r"misses vector 1 of 4 by .*'bricks:2,0\.01,exact'"):
        call_with("bricks:2,0.01").values  # noqa: B018
    with pytest.raises(InvalidData, match="nothing here can run two circuits"):
        call.values  # noqa: B018


def test_samples_say_how_nearly_each_image_was_loaded(dense):
    exact = sample(dense, config(loader="exact"))
    assert "loaded" not in exact.manifest["device"]["steps"][0]
    near = sample(dense, config(loader="bricks:2"))
    for record, x in zip(near.records, near.trajectory, strict=False):
        assert record.loader == "bricks:2"
        vectors = x.reshape(3, 16).astype(float)
        told = Loading(make_loader("bricks:2", 4), 4).loaded(vectors).fidelities
        np.testing.assert_allclose(record.loaded, told, atol=2e-6)
    assert near.manifest["device"]["steps"][0]["loaded"] == near.records[0].loaded
    with pytest.raises(InvalidData, match="misses vector"):
        sample(dense, config(loader="bricks:1,0.0001"))
    both = sample(dense, config(loader="bricks:1,0.0001,exact"))
    assert {record.loader for record in both.records} <= {None, "bricks:1,0.0001,exact"}
    assert None in {record.loader for record in both.records}
    engine = sample(dense, SamplingConfig(num_images=3)).images
    assert float(np.sqrt(np.mean((both.images - engine) ** 2))) < 0.1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("q_dense_unitary", {"image_size": 2, "depth": 1, "num_steps": 2}),
        ("cacioppo", {"image_size": 2, "num_steps": 2, "init_std": 0.3, "activation": False}),
        pytest.param(
            "cacioppo",
            {"image_size": 2, "num_steps": 2, "init_std": 0.3},
            marks=pytest.mark.slow,  # tomography
        ),
    ],
)
def test_models_of_states_take_a_loader_by_name(make_run, name, options):
    run = make_run(name, **options)
    engine = sample(run, SamplingConfig(num_images=3)).images
    found = sample(run, config(loader="staircase:2"))
    assert all(record.loader == "staircase:2" for record in found.records)
    assert min(value for each in found.records for value in each.loaded) > 0.999
    assert float(np.sqrt(np.mean((found.images - engine) ** 2))) < 0.1


def test_a_model_without_amplitudes_refuses_a_loader():
    angles = build_model(resolve("hybrid_unet", {}))
    with pytest.raises(InvalidTemplate, match="so nothing is loaded; leave loader out"):
        angles.with_loader("staircase:2")
    several = build_model(resolve("cacioppo", {"image_size": 2}))
    with pytest.raises(InvalidOption, match="give a name, such as 'staircase:4'"):
        several.with_loader(make_loader("staircase:2", 2))
    with pytest.raises(InvalidOption, match="is chosen for a trained run"):
        several.with_loader("auto:fake_torino")


@pytest.mark.slow
def test_the_choice_is_the_best_product_and_is_recorded(dense):
    choice = choose_loader(loaded_vectors(dense.model, dense.process), "fake_manila")
    tried = {each.loader: each for each in choice.candidates}
    assert tried["exact"].fidelity == 1
    assert tried["exact"].two_qubit > tried["bricks:2"].two_qubit == 3
    assert choice.best.predicted == max(e.fidelity * e.survival for e in choice.candidates)
    assert choice.best.loader != "exact"
    assert 0 < choice.best.survival < 1
    options = {"loader": "auto:fake_manila", "num_images": 1, "layout_trials": 1}
    found = sample(dense, config(target="noisy:fake_manila", **options))
    assert found.manifest["loader_choice"]["chosen"] == found.manifest["sampling"]["loader"]
    assert found.records[0].loader == choice.best.loader


def test_training_sees_what_the_loader_makes():
    options = {"image_size": 4, "depth": 1, "loader": "bricks:1", "train_loader": True}
    model = build_model(resolve("q_dense", options), generator=torch.Generator().manual_seed(1))
    x, t = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(2)), torch.ones(5)
    seen = model.train()(x, t)
    assert not torch.allclose(seen, model.eval()(x, t), atol=1e-3)  # the engine loads exactly
    states = model.spec.loading.states(x.reshape(5, 16).double().numpy())
    np.testing.assert_allclose(np.linalg.norm(states, axis=1), 1)
    made = torch.from_numpy(states).float().reshape(x.shape)
    torch.testing.assert_close(seen, model.eval()(made, t), atol=1e-5, rtol=1e-5)
    model.train()(x, t).sum().backward()
    assert model.layer.weights.grad.abs().max() > 0
    with pytest.raises(InvalidOption, match="train_loader=true trains on what the loader makes"):
        resolve("eeqdm", {"train_loader": True})
    with pytest.raises(InvalidOption, match="leave train_loader out"):
        build_model(resolve("q_dense_unitary", options))


def own_circuit(**settings: object):
    circuit = efficient_su2(4, reps=1, parameter_prefix="theta")
    spec = CircuitSpec.from_circuit(
        circuit, weights=["theta"], loads="amplitudes", readout=range(4), loader="staircase:1"
    )
    return resolve_run(Denoiser.from_spec(spec, image_shape=(1, 4, 4)), settings)


@pytest.mark.parametrize("kind", ["line_amplitudes", "circuit"])
def test_other_models_of_one_circuit_train_through_the_loader(kind):
    if kind == "circuit":
        run, shape = own_circuit(train_loader=True), (5, 1, 4, 4)
        with pytest.raises(InvalidOption, match="trains on what the loader makes"):
            own_circuit(train_loader=True, loader="exact")
    else:
        through = {"image_size": 8, "latent_qubits": 3, "loader": "bricks:1"}
        run, shape = resolve_run(kind, {**through, "train_loader": True}), (5, 8)
    choice = ModelChoice(model=run.model, preset=None, config=run.model_options, source="")
    model = build_model(choice, generator=torch.Generator().manual_seed(1))
    x, t = torch.rand(*shape, generator=torch.Generator().manual_seed(2)), torch.ones(5)
    seen = model.train()(x, t)
    states = model.spec.loading.states(x.flatten(1).double().numpy())
    made = torch.from_numpy(states).float().reshape(x.shape)
    torch.testing.assert_close(seen, model.eval()(made, t), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(seen, model.eval()(x, t), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("quddpm", "hands states from circuit to circuit"),
        ("qamp_january", "hands states from circuit to circuit"),
        ("cacioppo_latent", "hands states from circuit to circuit"),
        ("qu_net", "or what its own trained layers make"),
        ("line", "loads no amplitudes"),
    ],
)
def test_models_that_cannot_train_through_a_loader_say_why(name, reason):
    for refused in (resolve, resolve_run):
        with pytest.raises(InvalidOption) as caught:
            refused(name, {"train_loader": "true"})
        assert reason in str(caught.value)
        assert str(caught.value).startswith(f"'{name}' ")
        assert str(caught.value).endswith("leave train_loader out.")


def test_states_of_other_loaders_are_their_circuits_own():
    data = np.random.default_rng(3).normal(size=(4, 8))
    data /= np.linalg.norm(data, axis=1, keepdims=True)
    for loader in (make_loader("exact", 3), make_loader("staircase:4", 3)):
        made = Loading(loader, 3).states(data)
        np.testing.assert_allclose(np.abs((made.conj() * data).sum(axis=1)), 1, atol=1e-4)


def test_entanglers_on_the_line_couple_its_neighbours_alone():
    ring, line = (q_dense(6, 2, ancilla=True, entanglers=each) for each in ("ring", "line"))
    assert len(ring.weights) == len(line.weights)
    places = [*(qubit + 1 for qubit in line_order(6)), 0]
    neighbours = {frozenset(pair) for pair in pairwise(places)}
    coupled = {
        frozenset(line.circuit.find_bit(q).index for q in each.qubits)
        for each in line.circuit.data
        if each.operation.name == "cx"
    }
    assert coupled == neighbours
    assert line.circuit.count_ops()["cx"] == 12
    with pytest.raises(InvalidTemplate, match="'ring' or 'line', got 'star'"):
        q_dense(3, 1, entanglers="star")
