"""Trajectories of a part of a batch are those that the whole batch draws."""

from __future__ import annotations

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit_aer.noise import NoiseModel, depolarizing_error

from qdm_qiskit.engine.noise import compile_noisy
from qdm_qiskit.errors import InvalidOption


@pytest.fixture(scope="module")
def program():
    angle = Parameter("x")
    circuit = QuantumCircuit(2)
    for _ in range(4):
        circuit.ry(angle, 0)
        circuit.cx(0, 1)
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.5, 2), ["cx"])
    return compile_noisy(circuit, noise, [angle], unknown_gates="noiseless", method="trajectories")


@pytest.mark.parametrize("trajectories", [1, 3])
def test_parts_draw_what_the_whole_draws(program, trajectories):
    rows = torch.linspace(0.1, 1.3, 5, dtype=torch.float64)[:, None]

    def found(first, end, **given):
        generator = torch.Generator().manual_seed(4)
        return program.probabilities(
            rows[first:end], trajectories=trajectories, generator=generator, **given
        )

    whole = found(0, 5)
    parts = [found(0, 2, part_of=(0, 5)), found(2, 5, part_of=(2, 5))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-15)
    assert not torch.allclose(found(2, 5), whole[2:])


@pytest.mark.parametrize("part", [(-1, 5), (4, 5), (0, 1)])
def test_a_part_outside_of_its_batch_is_refused(program, part):
    with pytest.raises(InvalidOption, match=r"part_of is \(first, samples\) of a batch that 2 sam"):
        program.probabilities(torch.zeros(2, 1), trajectories=1, part_of=part)
