"""Parts and twirls of noise models, and drawn Paulis, whose mean is the twirled noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit_aer.noise import (
    NoiseModel,
    QuantumError,
    ReadoutError,
    amplitude_damping_error,
    depolarizing_error,
    thermal_relaxation_error,
)

from qdm_qiskit.engine.noise import compile_noisy
from qdm_qiskit.engine.noise.channels import channel_of_error
from qdm_qiskit.training.targets.draws import Draws
from qdm_qiskit.training.targets.joints import Columns, NoisyJoint
from qdm_qiskit.training.targets.noise import confusion_of, pauli_shares, scaled, twirled

RELAXED = thermal_relaxation_error(50.0, 30.0, 20.0)
PAIR = depolarizing_error(0.1, 2).compose(RELAXED.tensor(amplitude_damping_error(0.3)))


def transfer(error: QuantumError) -> np.ndarray:
    return channel_of_error(error).transfer


def model() -> NoiseModel:
    noise = NoiseModel(basis_gates=["rx", "cx"])
    noise.add_all_qubit_quantum_error(RELAXED, "rx")
    noise.add_quantum_error(PAIR, "cx", [0, 1])
    noise.add_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]), [0])
    return noise


def test_shares_of_amplitude_damping_have_a_closed_form():
    """Of its transfer matrix diag(1, s, s, s^2) with s^2 = 1 - gamma."""
    gamma = 0.3
    s = np.sqrt(1 - gamma)
    shares = pauli_shares(amplitude_damping_error(gamma))
    wanted = {
        "I": (1 + s) ** 2 / 4,
        "X": gamma / 4,
        "Y": gamma / 4,
        "Z": (1 - s) ** 2 / 4,
    }
    assert shares == pytest.approx(wanted)


def test_a_twirl_keeps_the_diagonal_and_nothing_else():
    noise = twirled(model())
    for name, places, before in (("rx", None, RELAXED), ("cx", (0, 1), PAIR)):
        after = (
            noise._default_quantum_errors[name]
            if places is None
            else noise._local_quantum_errors[name][places]
        )
        np.testing.assert_allclose(transfer(after), np.diag(np.diag(transfer(before))), atol=1e-12)
    np.testing.assert_array_equal(confusion_of(noise, 0), [[0.9, 0.1], [0.2, 0.8]])
    np.testing.assert_array_equal(confusion_of(noise, 1), np.eye(2))


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
def test_a_part_is_a_mixture_with_nothing(scale):
    noise = scaled(model(), scale)
    for after, before in (
        (noise._default_quantum_errors.get("rx"), RELAXED),
        (noise._local_quantum_errors.get("cx", {}).get((0, 1)), PAIR),
    ):
        if scale == 0:  # Aer leaves out what does nothing
            assert after is None
            continue
        wanted = (1 - scale) * np.eye(len(transfer(before))) + scale * transfer(before)
        np.testing.assert_allclose(transfer(after), wanted, atol=1e-12)
    wanted = (1 - scale) * np.eye(2) + scale * np.array([[0.9, 0.1], [0.2, 0.8]])
    np.testing.assert_allclose(confusion_of(noise, 0), wanted)


def circuit():
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

    made = QuantumCircuit(2, 2)
    made.rx(Parameter("x_0000"), 0)
    made.cx(0, 1)
    made.rx(Parameter("w_0000"), 1)
    made.measure([0, 1], [0, 1])
    return made


def joint(noise: NoiseModel, *, injected: bool, shots: int | None = None, mitigated: bool = False):
    made = circuit()
    columns = Columns(made, made)
    method = "trajectories" if injected else "density"
    program = compile_noisy(made, noise, columns.inputs, columns.weights, method=method)
    confusion = [confusion_of(noise, q) for q in program.measured]
    draws = Draws(2)
    draws.begin(0)
    return NoisyJoint(
        lambda: (program, confusion), columns, (0, 1), "l", draws, shots, mitigated=mitigated
    )


def test_the_mean_over_drawn_paulis_is_the_twirled_noise():
    noise = twirled(model())
    rows, angle = 6000, torch.tensor([0.7], dtype=torch.float64)
    values = torch.full((rows, 1), 0.4, dtype=torch.float64)
    wanted = joint(noise, injected=False)(values[:1], angle)[0]
    found = joint(noise, injected=True)(values, angle)
    assert len({tuple(row) for row in found.numpy().round(9)}) > 3  # each row has its own draw
    error = found.std(dim=0) / rows**0.5
    assert bool(((found.mean(dim=0) - wanted).abs() < 5 * error + 1e-12).all())
    again = joint(noise, injected=True)(values, angle)
    assert torch.equal(found, again)  # by their address


def test_mitigated_readout_is_none_and_with_shots_none_in_the_mean():
    values = torch.tensor([[0.4], [1.9]], dtype=torch.float64)
    angle = torch.tensor([0.7], dtype=torch.float64)
    noise = model()
    bare = NoiseModel(basis_gates=["rx", "cx"])
    bare.add_all_qubit_quantum_error(RELAXED, "rx")
    bare.add_quantum_error(PAIR, "cx", [0, 1])
    wanted = joint(bare, injected=False)(values, angle)
    found = joint(noise, injected=False, mitigated=True)(values, angle)
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(joint(noise, injected=False)(values, angle), wanted, atol=1e-2)
    shots = joint(noise, injected=False, shots=200, mitigated=True)
    drawn = torch.stack([shots(values, angle) for _ in range(300)])
    error = drawn.std(dim=0) / len(drawn) ** 0.5
    assert bool(((drawn.mean(dim=0) - wanted).abs() < 5 * error).all())
    torch.testing.assert_close(drawn.sum(dim=2), torch.ones(300, 2, dtype=torch.float64))
