"""Complex states through a layer: on the engine, and loaded by a circuit on a Qiskit sampler."""

from __future__ import annotations

import pytest
import torch
from qiskit.primitives import StatevectorSampler

from qdm_qiskit.circuits import cacioppo_denoiser, qamp_denoiser
from qdm_qiskit.errors import InvalidData
from qdm_qiskit.layers import QuantumLayer, qnn_executor


def complex_states(count: int, n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, 2**n, generator=generator, dtype=torch.complex128)


@pytest.mark.slow
def test_complex_states_give_the_same_outputs_on_a_sampler():
    spec = cacioppo_denoiser(2)
    shots = 200_000
    layer = QuantumLayer(spec, generator=torch.Generator().manual_seed(1)).double()
    sampler = StatevectorSampler(default_shots=shots, seed=3)
    sampled = QuantumLayer(spec, executor=qnn_executor(spec, sampler)).double()
    sampled.load_state_dict(layer.state_dict())
    states = complex_states(3, 2)
    with torch.no_grad():
        exact, estimate = layer(states), sampled(states)
        without_phases = layer(states.abs())
    # At least half of the shots pass the post-selection here: 5 sigma of a probability of 1/2.
    assert float((exact - estimate).abs().max()) < 5 * 0.5 / (shots / 2) ** 0.5
    assert float((exact - without_phases).abs().max()) > 0.05  # the phases matter


def test_specs_of_real_amplitudes_refuse_complex_ones_on_a_sampler():
    spec = qamp_denoiser(2, 1)
    layer = QuantumLayer(spec, executor=qnn_executor(spec, StatevectorSampler())).double()
    with pytest.raises(InvalidData, match="Complex amplitudes need a loader with phases"):
        layer(complex_states(1, 2))
