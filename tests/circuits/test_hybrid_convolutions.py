"""HQConv and FQConv against the lists of gates, and every one of their angles at work."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector

from qdm_qiskit.circuits import (
    CircuitSpec,
    basic_convolution,
    basic_entangling_layers,
    fqconv,
    hqconv,
)
from qdm_qiskit.engine import compile_circuit
from qdm_qiskit.errors import InvalidTemplate

Gate = tuple[str, int, int]


def gates(spec: CircuitSpec) -> list[Gate]:
    """Name, control wire and target wire of the two-qubit gates."""
    top = spec.num_qubits - 1
    return [
        (item.operation.name, *(top - spec.circuit.find_bit(q).index for q in item.qubits))
        for item in spec.circuit.data
        if len(item.qubits) == 2
    ]


def both(*pairs: tuple[int, int]) -> list[Gate]:
    return [(gate, *pair) for pair in pairs for gate in ("crz", "crx")]


def each(gate: str, *pairs: tuple[int, int]) -> list[Gate]:
    return [(gate, *pair) for pair in pairs]


A = {
    base: [(base, base + 3), (base + 3, base + 2), (base + 2, base + 1), (base + 1, base)]
    for base in (0, 4, 8)
}
C = [
    [(3, 11), (2, 10), (1, 9), (0, 8)],
    [(11, 7), (10, 6), (9, 5), (8, 4)],
    [(7, 3), (6, 2), (5, 1), (4, 0)],
]


def turned(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(b, a) for a, b in pairs]


def test_hqconv_has_the_gates_of_the_published_code_with_block_a():
    layer = [*both(*A[8]), *both(*A[4]), *both(*A[0]), *both((4, 8)), *both((0, 4))]
    assert gates(hqconv(2)) == 2 * layer


def test_hqconv_of_the_text_turns_block_a_only():
    layer = both(*turned(A[8]), *turned(A[4]), *turned(A[0]), (4, 8), (0, 4))
    assert gates(hqconv(1, direction="text")) == layer
    # Wire p controls wire p + 1: the text's stride of 1.
    assert {(a % 4, b % 4) for _, a, b in layer[:24]} == {(0, 1), (1, 2), (2, 3), (3, 0)}


@pytest.mark.parametrize("direction", ["code", "text"])
def test_fqconv_has_the_gates_of_the_published_code(direction):
    layer = []
    for pairs in C:
        chosen = pairs if direction == "code" else turned(pairs)
        layer += [*each("crz", *chosen), *each("crx", *chosen)]
    assert gates(fqconv(2, direction=direction)) == 2 * layer
    if direction == "text":
        assert all((b - a) % 12 == 4 for _, a, b in layer)


@pytest.mark.parametrize(
    ("spec", "weights", "inputs"),
    [(hqconv(), 84, 12), (fqconv(), 72, 12), (basic_convolution(), 16, 4)],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_angles_are_those_of_the_paper(spec, weights, inputs):
    assert len(spec.weights) == weights
    assert len(spec.inputs) == inputs == spec.readout.num_outputs
    used = [
        p.name for item in spec.circuit.data for q in item.operation.params for p in q.parameters
    ]
    assert used == [
        *(f"x_{i:04d}" for i in range(inputs)),
        *(f"w_{i:04d}" for i in range(weights)),
    ]


@pytest.mark.parametrize("make", [hqconv, fqconv, basic_convolution])
def test_without_weights_each_wire_gives_the_cosine_of_its_own_input(make):
    """Encoding and readout share the order of wires."""
    spec = make() if make is not basic_convolution else make(4, 4)
    x = np.linspace(0.1, 1.5, len(spec.inputs))
    program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
    zeros = torch.zeros(len(spec.weights), dtype=torch.float64)
    z = program.expectation(spec.readout.observables, torch.from_numpy(x)[None], zeros)[0].numpy()
    if make is basic_convolution:  # its CNOTs stay, and turn each Z into a product
        rings = basic_entangling_layers(4, 4).assign_parameters(np.zeros(16))
        start = Statevector([1])
        for value in x:  # expand puts the new wire behind: wire 0 stays the most significant
            start = Statevector([np.cos(value / 2), -1j * np.sin(value / 2)]).expand(start)
        expected = [start.evolve(rings).expectation_value(o).real for o in spec.readout.observables]
        np.testing.assert_allclose(z, expected, atol=1e-12)
    else:
        np.testing.assert_allclose(z, np.cos(x), atol=1e-12)


@pytest.mark.parametrize("direction", ["code", "text"])
@pytest.mark.parametrize("make", [hqconv, fqconv])
def test_every_angle_has_a_gradient(make, direction):
    spec = make(direction=direction)
    program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
    generator = torch.Generator().manual_seed(3)
    inputs = torch.rand(2, 12, generator=generator, dtype=torch.float64) * 3
    weights = 2 * np.pi * torch.rand(len(spec.weights), generator=generator, dtype=torch.float64)
    weights.requires_grad_()
    inputs.requires_grad_()
    outputs = program.expectation(spec.readout.observables, inputs, weights)
    (outputs * torch.rand(outputs.shape, generator=generator)).sum().backward()
    assert float(weights.grad.abs().min()) > 1e-7
    assert float(inputs.grad.abs().min()) > 1e-7


def test_every_angle_of_the_basic_convolution_has_a_gradient():
    spec = basic_convolution()
    program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
    weights = torch.linspace(0.2, 1.7, 16, dtype=torch.float64, requires_grad=True)
    inputs = torch.tensor([[0.3, 0.8, 1.1, 0.5]], dtype=torch.float64)
    outputs = program.expectation(spec.readout.observables, inputs, weights)
    (outputs @ torch.tensor([1.0, 0.7, -0.4, 0.2], dtype=torch.float64)).sum().backward()
    assert float(weights.grad.abs().min()) > 1e-4


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: hqconv(0), "depth >= 1, .* got depth=0"),
        (lambda: fqconv(-1), "depth=-1"),
        (lambda: hqconv(3, direction="both"), "direction of hqconv is one of code, text"),
        (lambda: fqconv(3, direction=None), "one of code, text, got None"),
        (lambda: basic_convolution(0), "num_wires >= 1"),
        (lambda: hqconv(1000), "at most 10000 parameters"),
    ],
)
def test_impossible_convolutions_are_refused(build, message):
    with pytest.raises(InvalidTemplate, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
