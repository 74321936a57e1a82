"""Cacioppo's full model: counts, the blocks against Qiskit, the identity, training and sampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector

from qdm_qiskit.circuits import cacioppo_denoiser
from qdm_qiskit.diffusion.states import ComplexGaussian
from qdm_qiskit.errors import InvalidOption, TargetUnavailable
from qdm_qiskit.models import describe, load_model, save_model
from qdm_qiskit.models.cacioppo import Cacioppo, CacioppoConfig
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train
from tests.helpers import generator, state_images

SMALL = {"image_size": 4, "num_steps": 3}


def model(**options) -> Cacioppo:
    return Cacioppo(CacioppoConfig(**{**SMALL, **options}), generator=generator())


@pytest.mark.parametrize(
    ("name", "parameters"), [("cacioppo-16x16", 1_500), ("cacioppo-16x16-4-4-4", 3_000)]
)
def test_counts_of_the_published_code(name, parameters):
    description = describe(name)
    assert description["parameters"] == description["quantum_parameters"] == parameters
    assert description["qubits"] == 9
    assert description["options"]["image_size"] == 16


def test_the_preset_for_eight_by_eight_digits_is_a_circuit_without_activation():
    description = describe("cacioppo-digits-8x8")
    assert description["parameters"] == 3 * 3 * (2 * 6 + 40 * 7 + 2 * 6) == 2_736
    assert description["qubits"] == 7
    assert description["options"]["activation"] is False


@pytest.mark.parametrize("count", [5, 200])
def test_without_activation_it_is_the_postselected_circuit(count):
    subject = model(activation=False)
    spec = cacioppo_denoiser(4, (2, 2, 2))
    x = state_images(count)
    steps = torch.arange(count) % 3 + 1
    found = subject(x, steps / 3).detach().numpy().reshape(count, -1)
    for index in range(0, count, 40) if count > 40 else range(count):
        row = int(steps[index]) - 1
        parts = (subject.blocks.first, subject.blocks.middle, subject.blocks.last)
        angles = torch.cat([part.weights[row] for part in parts]).detach().numpy()
        bound = spec.circuit.assign_parameters(dict(zip(spec.weights, angles, strict=True)))
        start = np.concatenate([x[index].flatten().numpy(), np.zeros(16)])
        kept = Statevector(start).evolve(bound).data[:16]
        np.testing.assert_allclose(found[index], kept / np.linalg.norm(kept), rtol=0, atol=2e-6)


def test_activation_acts_on_both_parts_behind_the_projection():
    subject = model()
    rows = torch.zeros(3, dtype=torch.int64)
    x = state_images(3).flatten(1)
    projected = subject.blocks.middle(subject.blocks.first(x, rows), rows)
    scaled = torch.complex(
        torch.where(projected.real > 0, projected.real, 0.01 * projected.real),
        torch.where(projected.imag > 0, projected.imag, 0.01 * projected.imag),
    )
    scaled = scaled / torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
    torch.testing.assert_close(subject.blocks(x, rows), subject.blocks.last(scaled, rows))


def test_it_is_the_identity_at_zero_angles():
    subject = model(activation=False, init_std=0.0)
    x = state_images(4)
    torch.testing.assert_close(subject(x, torch.tensor([1, 2, 3, 3]) / 3), x)


def test_every_step_has_angles_of_its_own():
    subject = model(num_steps=10)
    x = state_images(1).expand(10, -1, -1, -1)
    t = torch.arange(1, 11) / 10
    predictions = subject(x, t)
    assert len({tuple(row.abs().flatten().tolist()) for row in predictions}) == 10
    with torch.no_grad():
        subject.blocks.first.weights[6] += 0.1
    changed = (subject(x, t) - predictions).abs().flatten(1).amax(dim=1) > 1e-3
    assert changed.tolist() == [step == 7 for step in range(1, 11)]


@pytest.mark.parametrize("activation", [True, False])
@pytest.mark.parametrize("noise", ["complex", "real"])
def test_one_training_step_moves_every_trainable_weight(activation, noise):
    subject = model(activation=activation).double()
    process = ComplexGaussian(3, noise=noise)
    x_0 = process.to_states(torch.rand(8, 1, 4, 4, generator=generator(2)))
    pairs = process.training_pairs(x_0.to(torch.complex128), generator(3))
    process.losses(subject(pairs.noisy, pairs.step / 3), pairs).mean().backward()
    for name, p in subject.named_parameters():
        still = p.grad.abs() < 1e-11 * p.grad.abs().max()
        if name == "blocks.middle.weights" and not activation:
            # RZ on the ancilla in |0> and RZ on it before the projection are global phases: the third
            # angle of the first layer's wire 0, and the first angle of the last layer's.
            expected = torch.zeros_like(still)
            expected[:, [2, 15]] = True
            assert torch.equal(still, expected)
        else:
            assert not still.any(), name


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tmp_path_factory.mktemp("cacioppo") / "run"
    config = resolve_run(
        "cacioppo",
        {
            **SMALL,
            "classes": "0,1",
            "train_count": 64,
            "test_count": 20,
            "epochs": 6,
            "learning_rate": 0.05,
            "batch_size": 16,
            "sample_every": 3,
            "beta_start": 0.05,
        },
    )
    return run, train(config, run)


def test_training_lowers_the_infidelity_and_prints_the_identity_beside_it(trained):
    _, result = trained
    first, last = result.history[0], result.history[-1]
    assert last["test_loss"] < 0.8 * first["test_loss"]
    for key in ("identity_loss", "identity_loss_first_step", "test_loss_first_step"):
        assert 0 < last[key] < 1
    assert (result.run / "samples" / "epoch-0003.png").is_file()


def test_save_load_and_sample_give_equal_images(trained, tmp_path):
    run, _ = trained
    config = SamplingConfig(num_images=4, seed=5)
    one, two = (sample(load_run(run), config) for _ in range(2))
    np.testing.assert_array_equal(one.images, two.images)
    assert one.images.shape == (4, 1, 4, 4)
    np.testing.assert_allclose(one.images.reshape(4, -1).max(axis=1), 1)  # scaled to their maximum
    assert one.images.min() >= 0
    assert one.trajectory.shape == (4, 4, 1, 4, 4)
    loaded = load_run(run).model
    save_model(loaded, tmp_path)
    again = load_model(tmp_path)
    x, t = state_images(3), torch.tensor([1, 2, 3]) / 3
    assert torch.equal(again(x, t), loaded(x, t))
    other = sample(load_run(run), SamplingConfig(num_images=4, seed=6)).images
    assert np.abs(other - one.images).max() > 0.01


def test_sampling_applies_the_model_from_the_last_step_to_the_first(trained):
    run = load_run(trained[0])
    found = sample(run, SamplingConfig(num_images=3, seed=5)).trajectory
    from qdm_qiskit.rng import derived_seed

    noise = torch.Generator().manual_seed(derived_seed(5, "sampling", 0))
    z = torch.complex(
        torch.randn(3, 1, 4, 4, generator=noise), torch.randn(3, 1, 4, 4, generator=noise)
    )
    z = z / torch.linalg.vector_norm(z.flatten(1), dim=1).reshape(-1, 1, 1, 1)
    path = [z]
    for t in (3, 2, 1):
        with torch.no_grad():
            z = run.model(z, torch.full((3,), t / 3))
        path.append(z)
    for state, image in zip(path, found, strict=True):
        moduli = state.abs().numpy()
        expected = moduli / moduli.reshape(3, -1).max(axis=1).reshape(3, 1, 1, 1)
        np.testing.assert_allclose(image, expected, rtol=0, atol=1e-6)


def test_with_activation_it_is_no_one_circuit_on_a_device(trained):
    config = SamplingConfig(target="aer", num_images=2, shots=100, chain="coherent")
    with pytest.raises(TargetUnavailable, match=r"LeakyReLU.*run it step by step"):
        sample(load_run(trained[0]), config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 10}, "power of two from 2 to 64 .* got 10"),
        ({"image_size": 128}, "power of two from 2 to 64 .* got 128"),
        ({"channels": 3}, "channels is 1, got 3"),
        ({"depths": "2,3,2"}, "even numbers from 2 to 100.* got 2,3,2"),
        ({"depths": "2,2"}, "three even numbers .* got 2,2"),
        ({"depths": "0,2,2"}, "even numbers from 2"),
        ({"depths": "2,1000,2"}, "from 2 to 100"),
        ({"num_steps": 0}, "num_steps must be 1"),
        ({"num_steps": 10**9}, "num_steps must be 1 to 1000"),
        ({"init_std": "inf"}, "init_std must be a finite number"),
        ({"guided": "true"}, "no option 'guided'"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        describe("cacioppo", options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"process": "gaussian"},
            "works on complex states, but process 'gaussian' makes unit ones",
        ),
        ({"goal": "noise"}, "goal is 'data', got 'noise'"),
        ({"data_norm": "-1"}, "data_norm must be"),
    ],
)
def test_processes_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message):
        resolve_run("cacioppo", options)
