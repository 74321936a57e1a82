"""Blocks of a network: sizes, what they compute, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.models.quantum_blocks import (
    CircuitBlock,
    NetworkBlock,
    check_block,
    circuit_numbers,
    make_block,
)
from tests.helpers import generator

SIZES = {"num_qubits": 3, "uploads": 2}


def numbers(block: torch.nn.Module) -> int:
    return sum(each.numel() for each in block.parameters())


def test_a_circuit_between_linear_layers_is_what_statevector_gives():
    block = make_block("circuit", 4, 5, **SIZES, generator=generator())
    assert isinstance(block, CircuitBlock)
    rows = torch.randn(2, 4, generator=generator(1))
    spec = block.layer.spec
    weights = dict(zip(spec.weights, block.layer.weights.tolist(), strict=True))
    wanted = []
    for angles in block.upload(rows).tolist():
        bound = spec.circuit.assign_parameters(
            weights | dict(zip(spec.inputs, angles, strict=True))
        )
        state = Statevector(bound)
        values = [state.expectation_value(each).real for each in spec.readout.observables]
        wanted.append(
            block.head.weight.detach().numpy() @ values + block.head.bias.detach().numpy()
        )
    np.testing.assert_allclose(block(rows).detach().numpy(), np.array(wanted), atol=1e-5)


@pytest.mark.parametrize(("wide", "out"), [(3, 4), (4, 8), (6, 6), (8, 1)])
def test_a_network_has_the_numbers_of_the_circuit_that_it_stands_for(wide, out):
    circuit = make_block("circuit", wide, out, **SIZES)
    network = make_block("network", wide, out, **SIZES)
    assert isinstance(network, NetworkBlock)
    assert numbers(circuit) == circuit_numbers(wide, out, **SIZES)
    assert abs(numbers(network) - numbers(circuit)) <= (wide + 1 + out) / 2  # half a hidden unit
    nothing = make_block("none", wide, out, **SIZES)
    assert numbers(nothing) == 0
    assert nothing(torch.ones(2, wide)).tolist() == [[0.0] * out] * 2


def test_without_cz_the_outcomes_of_qubits_are_independent():
    block = make_block("circuit", 4, 5, **SIZES, entangled=False, generator=generator())
    assert "cz" not in block.layer.spec.circuit.count_ops()
    values = block.layer(inputs=block.upload(torch.randn(3, 4, generator=generator(1))))
    single, pairs = values[:, :3], values[:, 3:]
    products = torch.stack([single[:, a] * single[:, b] for a, b in ((0, 1), (0, 2), (1, 2))], 1)
    torch.testing.assert_close(pairs, products, atol=1e-5, rtol=0)
    entangled = make_block("circuit", 4, 5, **SIZES, generator=generator())
    assert entangled.layer.spec.circuit.count_ops()["cz"] == 2


def test_what_is_no_block_is_refused():
    with pytest.raises(InvalidOption, match="num_qubits of a block is 1 to 8, got 9"):
        check_block(9, 2)
    with pytest.raises(InvalidOption, match="uploads of a block is 1 to 20, got 0"):
        check_block(2, 0)
    with pytest.raises(InvalidOption, match="neck is one of circuit, network, none, got 'qubits'"):
        check_block(2, 2, neck="qubits")
