"""The amplitude variant: counts, arithmetic against Statevector, refusals, and a device's noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector

from qdm_qiskit.circuits.line import line_amplitudes
from qdm_qiskit.errors import InvalidData, InvalidOption, InvalidTemplate
from qdm_qiskit.models import describe, latent_codecs
from qdm_qiskit.models.line_amplitudes import LineAmplitudes, LineAmplitudesConfig
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train
from tests.helpers import generator


def model(**options) -> LineAmplitudes:
    settings = {"image_size": 4, "num_classes": 4, "guided": True, **options}
    return LineAmplitudes(LineAmplitudesConfig(**settings), generator=generator())


def test_counts():
    spec = line_amplitudes(3, 3, guided=True)
    assert dict(spec.circuit.count_ops()) == {"ry": 12, "rz": 8, "cz": 6}
    assert (len(spec.inputs), len(spec.weights)) == (12, 20)
    assert dict(spec.full_circuit().count_ops())["cx"] == 6  # the loader's
    assert "cz" not in line_amplitudes(3, 3, entangled=False).circuit.count_ops()
    assert describe("line-amplitudes-digits-guided")["parameters"] == 20 + 10 * 12
    with pytest.raises(InvalidTemplate, match="num_data >= 1"):
        line_amplitudes(0)


def test_prediction_is_the_root_of_the_probabilities():
    made = model()
    x = torch.rand(2, 8, generator=generator(1))
    labels = torch.tensor([0, 3])
    for row, label in enumerate(labels):
        values = {
            **dict(zip(made.spec.inputs, made.table[label].detach().tolist(), strict=True)),
            **dict(zip(made.spec.weights, made.layer.weights.detach().tolist(), strict=True)),
        }
        vector = x[row].double().numpy()
        start = np.kron(vector / np.linalg.norm(vector), [1, 0])  # the ancilla is qubit 0
        state = Statevector(start).evolve(made.spec.circuit.assign_parameters(values))
        wanted = np.sqrt(state.probabilities([1, 2, 3]))
        found = made(x, torch.ones(2), labels)[row].detach().numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_every_weight_is_trained():
    made = model()
    wanted = torch.rand(8, 8, generator=generator(4))
    loss = (made(torch.rand(8, 8), torch.ones(8), torch.arange(8) % 4) - wanted).square().mean()
    loss.backward()
    for name, each in made.named_parameters():
        assert bool((each.grad != 0).all()), name


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidData, match=r"latents of shape \(batch, 8\), got \(2, 4\)"):
        model()(torch.rand(2, 4), torch.ones(2), torch.tensor([0, 1]))
    with pytest.raises(InvalidData, match="not guided and takes no labels"):
        model(guided=False)(torch.rand(2, 8), torch.ones(2), torch.tensor([0, 1]))
    with pytest.raises(InvalidOption, match="latents is 1 to 16, at most the pixels, got 32"):
        model(latent_qubits=5)


def test_a_run_goes_through_a_devices_noise(tmp_path, monkeypatch):
    monkeypatch.setattr(latent_codecs, "AUTOENCODER_STEPS", 30)
    settings = {
        "image_size": 4,
        "latent_qubits": 2,
        "depth": 2,
        "guided": True,
        "classes": (0, 1),
        "train_count": 40,
        "num_steps": 2,
        "epochs": 1,
    }
    # The classical baseline is of images, so there is none here, though it was not left out.
    result = train(resolve_run("line_amplitudes", settings), tmp_path / "run")
    assert "baseline_loss" not in result.history[-1]
    run = load_run(tmp_path / "run")
    exact = sample(run, SamplingConfig(num_images=2)).images
    config = SamplingConfig(target="noisy:fake_torino", shots=20_000, num_images=2, layout_trials=1)
    assert np.abs(sample(run, config).images - exact).max() < 0.15
