"""QAMP's hybrid U-Nets: counts, the layers written out, and that a step moves what it should."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Operator, Statevector

from qdm_qiskit.circuits import cacioppo_blocks, qamp_layers
from qdm_qiskit.diffusion.states import ComplexGaussian
from qdm_qiskit.errors import InvalidData, InvalidOption, TargetUnavailable
from qdm_qiskit.models import build_model, describe, load_model, resolve, save_model
from qdm_qiskit.models.qamp import (
    ComplexLinear,
    QampDecember,
    QampDecemberConfig,
    QampJanuary,
    QampJanuaryConfig,
    as_complex,
    as_real,
)
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train
from tests.helpers import generator, state_images

SMALL = {"image_size": 4, "num_steps": 3, "width": 12, "num_qubits": 2}


def december(**options) -> QampDecember:
    values = {**SMALL, "depths": (2, 2, 2), **options}
    return QampDecember(QampDecemberConfig(**values), generator=generator())


def january(**options) -> QampJanuary:
    values = {**SMALL, "reps": 2, "num_observables": 5, **options}
    return QampJanuary(QampJanuaryConfig(**values), generator=generator())


@pytest.mark.parametrize(
    ("name", "overrides", "parameters", "quantum"),
    [
        ("qamp-december", {}, 822_328, 1_560),
        ("qamp-january", {}, 826_392, 13_800),
        # A complex layer of 256 to 256 has 2 * 256 * 256 + 2 * 256 numbers, a real one of 512 to 512
        # has 512 * 512 + 512: 131,072 less, twice.
        ("qamp-december", {"complex_linear": True}, 822_328 - 2 * 131_072, 1_560),
        ("qamp-january", {"complex_linear": True}, 826_392 - 2 * 131_072, 13_800),
        ("qamp-january", {"mixing": "rx"}, 826_392 + 10 * 30 * 3, 13_800 + 10 * 30 * 3),
    ],
)
def test_counts_of_the_papers(name, overrides, parameters, quantum):
    description = describe(name, overrides)
    assert description["parameters"] == parameters
    assert description["quantum_parameters"] == quantum
    assert description["qubits"] == 5


def test_january_has_the_published_parts():
    parts = {
        name: sum(p.numel() for p in module.parameters())
        for name, module in build_model(resolve("qamp-january")).named_children()
    }
    assert parts["observables"] == 8_192
    assert parts["blocks"] == 13_800
    assert sum(parts.values()) - 8_192 - 13_800 == 804_400


def _block(circuit, angles: np.ndarray) -> np.ndarray:
    values = dict(zip(circuit.parameters, angles, strict=True))
    return Operator(circuit.assign_parameters(values)).data


def _leaky(x: np.ndarray) -> np.ndarray:
    def part(v: np.ndarray) -> np.ndarray:
        return np.where(v > 0, v, 0.01 * v)

    return part(x.real) + 1j * part(x.imag)


def _three_blocks(model, x: np.ndarray, row: int, matrices) -> np.ndarray:
    """First block, second with ancilla, projection, LeakyReLU, third block; by matrices."""
    x = matrices[0] @ (x / np.linalg.norm(x))
    x = (matrices[1] @ np.concatenate([x, np.zeros_like(x)]))[: len(x)]
    x = x / np.linalg.norm(x)
    if model.config.activation:
        x = _leaky(x)
        x = x / np.linalg.norm(x)
    return matrices[2] @ x


def _numbers(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: p.detach().double().numpy() for name, p in module.named_parameters()}


@pytest.mark.parametrize("activation", [True, False])
def test_december_is_its_layers_written_out(activation):
    model = december(activation=activation)
    w = _numbers(model)
    x = state_images(6)
    steps = torch.tensor([1, 2, 3, 3, 2, 1])
    found = model(x, steps / 3).detach().numpy()
    for index in range(6):
        z = x[index].flatten().numpy()
        values = np.concatenate([z.real, z.imag])
        skip = np.maximum(w["encoder.weight"] @ values + w["encoder.bias"], 0)
        narrow = w["narrow.weight"] @ skip + w["narrow.bias"]
        row = int(steps[index]) - 1
        matrices = [
            _block(circuit, w[f"blocks.{name}.weights"][row])
            for circuit, name in zip(
                cacioppo_blocks(2, (2, 2, 2)), ("first", "middle", "last"), strict=True
            )
        ]
        state = _three_blocks(model, narrow[:4] + 1j * narrow[4:], row, matrices)
        h = np.concatenate([state.real, state.imag, skip])
        h = np.maximum(w["widen.weight"] @ h + w["widen.bias"], 0)
        out = w["decoder.weight"] @ h + w["decoder.bias"]
        out = out[:16] + 1j * out[16:]
        np.testing.assert_allclose(
            found[index].flatten(), out / np.linalg.norm(out), rtol=0, atol=2e-6
        )


def test_january_is_its_layers_written_out():
    model = january()
    w = _numbers(model)
    x = state_images(6)
    steps = torch.tensor([1, 2, 3, 3, 2, 1])
    found = model(x, steps / 3).detach().numpy()
    for index in range(6):
        z = x[index].flatten().numpy()
        values = np.concatenate([z.real, z.imag])
        hidden = np.maximum(w["encoder.weight"] @ values + w["encoder.bias"], 0)
        narrow = w["narrow.weight"] @ hidden + w["narrow.bias"]
        narrow = (narrow - narrow.mean()) / np.sqrt(narrow.var() + 1e-5)
        narrow = narrow * w["norm.weight"] + w["norm.bias"]
        row = int(steps[index]) - 1
        matrices = []
        for name, wires in (("first", 2), ("middle", 3), ("last", 2)):
            unit, angles = qamp_layers(wires, 1), w[f"blocks.{name}.weights"][row]
            layers = [_block(unit, each) for each in np.split(angles, 2)]
            matrices.append(layers[1] @ layers[0])
        state = _three_blocks(model, narrow.astype(complex), row, matrices)
        free = w["observables.entries"][..., 0] + 1j * w["observables.entries"][..., 1]
        features = [
            Statevector(state).expectation_value(Operator((m + m.conj().T) / 2)).real for m in free
        ]
        h = np.concatenate([features, values])
        h = np.maximum(w["widen.weight"] @ h + w["widen.bias"], 0)
        out = w["decoder.weight"] @ h + w["decoder.bias"]
        out = out[:16] + 1j * out[16:]
        np.testing.assert_allclose(
            found[index].flatten(), out / np.linalg.norm(out), rtol=0, atol=2e-6
        )


def test_complex_linear_is_a_complex_matrix():
    layer = ComplexLinear(6, 8)
    z = torch.randn(3, 3, dtype=torch.complex64, generator=generator())
    weight = torch.view_as_complex(layer.weight.detach())
    bias = torch.view_as_complex(layer.bias.detach())
    torch.testing.assert_close(as_complex(layer(as_real(z))), z @ weight.t() + bias)
    torch.testing.assert_close(as_complex(as_real(z)), z)


@pytest.mark.parametrize("model", [december(), january()], ids=["december", "january"])
def test_complex_layers_commute_with_a_phase_where_they_should(model):
    """A complex linear layer without bias turns with its input; the real one does not."""
    turned = ComplexLinear(8, 8)
    torch.nn.init.zeros_(turned.bias)
    z = torch.randn(3, 4, dtype=torch.complex64, generator=generator())
    phase = complex(math.cos(0.4), math.sin(0.4))
    torch.testing.assert_close(
        as_complex(turned(as_real(phase * z))), phase * as_complex(turned(as_real(z)))
    )
    other = type(model)(
        type(model.config)(**{**SMALL, "complex_linear": True}), generator=generator()
    )
    assert isinstance(other.encoder, ComplexLinear)
    assert isinstance(model.encoder, torch.nn.Linear)
    y = other(state_images(4), torch.ones(4))
    torch.testing.assert_close(torch.linalg.vector_norm(y.flatten(1), dim=1), torch.ones(4))


@pytest.mark.parametrize(
    ("make", "options"), [(december, {}), (january, {}), (december, {"complex_linear": True})]
)
def test_one_training_step_moves_every_trainable_weight(make, options):
    model = make(**options)
    process = ComplexGaussian(3, beta_start=0.5)  # diverse states: no rectified feature is dead
    x_0 = process.to_states(torch.rand(60, 1, 4, 4, generator=generator(2)))
    pairs = process.training_pairs(x_0, generator(3))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("bias"):  # no rectified feature that is zero for all of these states
                p.mul_(0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    process.losses(model(pairs.noisy, pairs.step / 3), pairs).mean().backward()
    optimizer.step()
    for name, p in model.named_parameters():
        still = p.detach() == before[name]
        if name == "observables.entries":
            # H = (M + M^dagger) / 2 does not hold the imaginary part of M's diagonal.
            assert torch.equal(
                still.nonzero(),
                torch.tensor([[k, i, i, 1] for k in range(5) for i in range(4)]),
            )
        else:
            assert not still.any(), name


@pytest.mark.parametrize("model", [december(), january()], ids=["december", "january"])
def test_a_saved_model_answers_the_same(model, tmp_path):
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    x, t = state_images(5), torch.tensor([1, 2, 3, 1, 2]) / 3
    assert torch.equal(model(x, t), again(x, t))


def test_training_lowers_the_loss_of_each_model():
    for model in (december(), january()):
        process = ComplexGaussian(3, beta_start=0.05)
        x_0 = process.to_states(torch.rand(40, 1, 4, 4, generator=generator(2)))
        pairs = process.training_pairs(x_0, generator(3))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        losses = []
        for _ in range(40):
            loss = process.losses(model(pairs.noisy, pairs.step / 3), pairs).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.7 * losses[0], type(model)


@pytest.mark.parametrize("preset", ["qamp-december-digits", "qamp-january-digits"])
def test_a_preset_trains_saves_and_samples_the_same_images_again(preset, tmp_path):
    settings = {
        **SMALL,
        **({"reps": 1} if "january" in preset else {"depths": "2,2,2"}),
        "train_count": 40,
        "test_count": 20,
        "epochs": 2,
        "sample_every": 0,
    }
    result = train(resolve_run(preset, settings), tmp_path / "run")
    for key in ("identity_loss", "identity_loss_first_step", "test_loss_first_step"):
        assert 0 < result.history[-1][key] < 1
    run = load_run(tmp_path / "run")
    one, two, other = (
        sample(load_run(tmp_path / "run"), SamplingConfig(num_images=3, seed=seed))
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one.images, two.images)
    assert np.abs(other.images - one.images).max() > 1e-6
    assert one.trajectory.shape == (4, 3, 1, 4, 4)
    with pytest.raises(TargetUnavailable, match=rf"'{run.config.model}' are no circuits on one"):
        sample(run, SamplingConfig(target="aer", num_images=2, shots=100, chain="coherent"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("qamp_december", {"image_size": 12}, "power of two from 2 to 32 .* got 12"),
        ("qamp_december", {"image_size": 64}, "power of two from 2 to 32 .* got 64"),
        ("qamp_december", {"channels": 3}, "channels is 1, got 3"),
        ("qamp_december", {"width": 511}, "even number from 2 to 4096, got 511"),
        ("qamp_december", {"width": 10**9}, "even number from 2 to 4096"),
        ("qamp_december", {"num_qubits": 7}, "2 to 6, got 7"),
        ("qamp_december", {"depths": "4,3,4"}, "even numbers .* got 4,3,4"),
        ("qamp_december", {"depths": "4,4"}, "three even numbers"),
        ("qamp_december", {"num_steps": 0}, "num_steps must be 1"),
        ("qamp_december", {"reps": 30}, "no option 'reps'"),
        ("qamp_january", {"reps": 0}, "reps must be 1 to 100, got 0"),
        ("qamp_january", {"reps": 10**9}, "reps must be 1 to 100"),
        ("qamp_january", {"num_observables": 0}, "num_observables must be 1"),
        ("qamp_january", {"init_std": -1}, "init_std must be a finite number"),
        ("qamp_january", {"mixing": "dft"}, "mixing is one of qft, rx"),
    ],
)
def test_bad_options_are_refused_in_one_line(name, options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        describe(name, options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("x", "t", "labels", "message"),
    [
        (torch.ones(2, 1, 4, 4), torch.ones(2), None, "takes complex states .* of torch.float32"),
        (
            state_images(2, size=8),
            torch.ones(2),
            None,
            r"shape \(batch, 1, 4, 4\), got \(2, 1, 8, 8\)",
        ),
        (state_images(2) * math.nan, torch.ones(2), None, "State 0 of 2 holds NaN"),
        (state_images(2), torch.ones(3), None, r"Times have shape \(2,\), got \(3,\)"),
        (
            state_images(2),
            torch.tensor([0.1, 1.0]),
            None,
            r"1/3 \.\. 1 in 3 steps, got 0.1 to 1",
        ),
        (state_images(2), torch.tensor([1.0, 1.5]), None, "got 1 to 1.5"),
        (
            state_images(2),
            torch.ones(2),
            torch.tensor([0, 1]),
            "is not guided and takes no labels",
        ),
    ],
)
def test_bad_states_times_and_labels_are_refused(x, t, labels, message):
    with pytest.raises(InvalidData, match=message) as caught:
        december()(x, t, labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("make", "past"), [(december, 12), (january, 32)])
def test_without_skip_only_the_circuit_is_seen(make, past):
    """The layer behind the circuit loses the skip's columns, and is the other's without them."""
    whole, bare = make(), make(skip=False)
    assert whole.widen.in_features - bare.widen.in_features == past
    assert whole.num_parameters - bare.num_parameters == past * whole.widen.out_features
    kept = bare.widen.in_features
    state = whole.state_dict()
    bare.load_state_dict({**state, "widen.weight": state["widen.weight"][:, :kept]})
    x, t = state_images(6), torch.tensor([1, 2, 3, 3, 2, 1]) / 3
    assert not torch.allclose(bare(x, t), whole(x, t), atol=1e-3)
    with torch.no_grad():
        whole.widen.weight[:, kept:] = 0
    torch.testing.assert_close(bare(x, t), whole(x, t))
