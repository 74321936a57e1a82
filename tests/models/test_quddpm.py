"""QuDDPM: the circuit against Qiskit, and what training does to an ensemble."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qdm_qiskit.data import images_to_states, load_states
from qdm_qiskit.diffusion.ensembles import mmd, wasserstein
from qdm_qiskit.errors import InvalidData, InvalidOption, UnknownName
from qdm_qiskit.models import describe, load_model, save_model
from qdm_qiskit.models.quddpm import QuDDPM, QuDDPMConfig
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import QDMPipeline
from qdm_qiskit.training import resolve_run, train
from tests.helpers import generator, random_states


def test_branches_are_qiskits_post_selected_states():
    model = QuDDPM(QuDDPMConfig(num_qubits=2, num_ancillas=2, depth=2), generator=generator())
    states = random_states(3, 4, dtype=torch.complex64)
    steps = torch.tensor([1, 6, 3])
    prediction = model(states, steps / 6).detach()
    for row, step in enumerate(steps.tolist()):
        circuit = QuantumCircuit(4)
        vector = states[row].numpy().astype(complex)
        circuit.prepare_state(vector / np.linalg.norm(vector), [0, 1])
        angles = model.layer.weights[step - 1].tolist()
        circuit.compose(model.layer.spec.circuit.assign_parameters(angles), inplace=True)
        expected = Statevector(circuit).data.reshape(4, 4)  # ancillas are the upper bits
        overlap = np.vdot(expected, prediction[row].numpy())
        assert abs(overlap) == pytest.approx(1, abs=1e-5)  # prepare_state may add a phase
        assert np.allclose(np.abs(expected), prediction[row].abs().numpy(), atol=1e-5)


def test_postselection_renormalises_the_first_branch():
    options = {"num_qubits": 1, "depth": 2}
    measured, kept = (
        QuDDPM(QuDDPMConfig(**options, ancilla=kind), generator=generator())
        for kind in ("measure", "postselect")
    )
    x, t = random_states(4, 2, dtype=torch.complex64), torch.full((4,), 0.5)
    branch = measured(x, t)[:, :1]
    expected = branch / torch.linalg.vector_norm(branch, dim=2, keepdim=True)
    assert torch.allclose(kept(x, t), expected, atol=1e-6)


def test_counts_are_those_of_the_circuit():
    described = describe("quddpm-clustered")
    assert described["parameters"] == described["quantum_parameters"] == 6 * 2 * 3 * 6
    assert described["qubits"] == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "distance", "epochs", "factor"),
    [
        ("quddpm-clustered", mmd, 20, 4),
        pytest.param("quddpm-circular", wasserstein, 10, 2),
    ],
)
def test_training_brings_the_ensemble_to_the_data(tmp_path, preset, distance, epochs, factor):
    """Nearer to the data than the noise that the chain starts from, by a factor, after few steps."""
    config = resolve_run(
        preset, {"epochs": epochs, "sample_every": 0, "train_count": 500, "test_count": 200}
    )
    before = QuDDPM(config.model_options, generator=generator())
    train(config, tmp_path)
    pipe = QDMPipeline.from_pretrained(tmp_path)
    out = pipe(num_images=200, generator=generator(1))
    data = load_states(
        config.data.dataset, num_qubits=before.config.num_qubits, test_count=200, seed=7
    )
    test = images_to_states(data.test.images)
    made, noise = (images_to_states(each) for each in (out.images, out.trajectory[0]))
    assert factor * distance(made, test) < distance(noise, test)


def test_one_step_moves_every_weight(tmp_path):
    config = resolve_run("quddpm-clustered", {"epochs": 1, "train_count": 30, "batch_size": 30})
    fresh = tmp_path / "fresh"
    result = train(config, tmp_path / "run")
    trained = load_model(result.checkpoint)
    again = QuDDPM(config.model_options, generator=generator())
    save_model(again, fresh)
    assert torch.equal(load_model(fresh).layer.weights, again.layer.weights)
    # Adam's first step is the learning rate in size, whatever the gradient, unless that is zero.
    restarted = train(
        resolve_run("quddpm-clustered", {"epochs": 1, "train_count": 30, "batch_size": 30}),
        tmp_path / "same",
    )
    assert torch.equal(load_model(restarted.checkpoint).layer.weights, trained.layer.weights)


@pytest.mark.parametrize("optimizer", ["natural", "qn-spsa"])
def test_metrics_reach_its_circuits(tmp_path, optimizer):
    options = {"epochs": 1, "train_count": 12, "test_count": 12, "num_steps": 2, "depth": 1}
    config = resolve_run("quddpm-clustered", {**options, "optimizer": optimizer})
    trained = load_model(train(config, tmp_path).checkpoint)
    fresh = QuDDPM(
        config.model_options, generator=torch.Generator().manual_seed(derived_seed(0, "init", 0))
    )
    moved = trained.layer.weights != fresh.layer.weights
    assert bool(moved.any(dim=1).all())  # of each step


def test_every_weight_has_a_gradient():
    config = resolve_run("quddpm-clustered")
    from qdm_qiskit.diffusion import make_process

    process = make_process(config.diffusion)
    model = QuDDPM(config.model_options, generator=generator())
    x_0 = process.to_states(
        torch.from_numpy(load_states("clustered-states", num_qubits=2).train.images[:50])
    )
    pairs = process.training_pairs(x_0, generator())
    pairs = process.as_generated(
        pairs, lambda x, step: model(x, torch.full((len(x),), step / 6)), generator()
    )
    process.losses(model(pairs.noisy, pairs.step / 6), pairs).mean().backward()
    assert bool((model.layer.weights.grad != 0).all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_qubits": 0}, "num_qubits is 1 to 8"),
        ({"num_qubits": 8, "num_ancillas": 3}, "at most 10"),
        ({"depth": 0}, "depth is 1 to 100"),
        ({"ancilla": "drop"}, "ancilla is"),
        ({"init_std": float("nan")}, "init_std"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message):
        QuDDPMConfig(**options)


def test_bad_states_and_data_are_refused(tmp_path):
    model = QuDDPM(QuDDPMConfig())
    with pytest.raises(InvalidData, match="complex states"):
        model(torch.zeros(2, 4), torch.ones(2))
    with pytest.raises(InvalidData, match="complex states"):
        model(random_states(2, 2, dtype=torch.complex64), torch.ones(2))
    with pytest.raises(UnknownName, match="ensemble of states"):
        train(resolve_run("quddpm-clustered", {"dataset": "digits"}), tmp_path / "a")
    with pytest.raises(InvalidOption, match="takes images"):
        train(resolve_run("eeqdm", {"dataset": "clustered-states"}), tmp_path / "b")
    with pytest.raises(InvalidOption, match="complex"):
        resolve_run("quddpm-clustered", {"process": "gaussian"})
