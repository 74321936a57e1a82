"""Trainable observables against Qiskit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Operator, Statevector, random_statevector

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.layers import AdaptiveObservables, neighbouring_groups

CASES = {
    "all qubits": {"num_qubits": 4, "num_observables": 5},
    "triangular": {"num_qubits": 3, "num_observables": 4, "form": "triangular", "init_std": 2.0},
    "2-local": {"num_qubits": 4, "groups": neighbouring_groups(4, 2)},
    "out of order": {"num_qubits": 4, "groups": [(3, 0), (1, 2), (3, 0)], "form": "triangular"},
}


def states(num_qubits: int) -> torch.Tensor:
    return torch.tensor(
        np.stack([random_statevector(2**num_qubits, seed=s).data for s in range(3)])
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_pauli_sums_measure_what_the_layer_computes(case):
    layer = AdaptiveObservables(**case, generator=torch.Generator().manual_seed(3)).double()
    given = states(layer.num_qubits)
    operators = layer.pauli_decomposition()
    assert all(operator.num_qubits == layer.num_qubits for operator in operators)
    expected = [
        [Statevector(row).expectation_value(op).real for op in operators] for row in given.numpy()
    ]
    np.testing.assert_allclose(layer(given).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_values_are_those_of_the_matrices_on_their_qubits(case):
    layer = AdaptiveObservables(**case, generator=torch.Generator().manual_seed(3)).double()
    given = states(layer.num_qubits)
    matrices = layer.matrices().detach().numpy()
    np.testing.assert_array_equal(matrices, matrices.conj().transpose(0, 2, 1))
    expected = [
        [
            Statevector(row).expectation_value(Operator(matrix), list(group)).real
            for matrix, group in zip(matrices, layer.groups, strict=True)
        ]
        for row in given.numpy()
    ]
    np.testing.assert_allclose(layer(given).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_gradients_in_states_and_entries(case):
    layer = AdaptiveObservables(**case, generator=torch.Generator().manual_seed(3)).double()
    given = states(layer.num_qubits)[:2].requires_grad_()

    def values(state: torch.Tensor, entries: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"entries": entries}, (state,))

    entries = layer.entries.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(values, (given, entries))


def test_counts_of_numbers():
    # The QAMP model: 16 matrices on 4 qubits of 16 x 16 complex numbers.
    assert AdaptiveObservables(4, 16).entries.numel() == 8192
    # 2- and 3-local observables of D, A and B: 4**m real numbers, the dimension of the space.
    for size in (2, 3):
        layer = AdaptiveObservables(5, groups=neighbouring_groups(5, size), form="triangular")
        assert layer.entries.numel() == 5 * 4**size


def test_triangular_numbers_stand_where_the_docstring_says():
    layer = AdaptiveObservables(1, 1, form="triangular")
    with torch.no_grad():
        layer.entries.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    expected = torch.tensor([[[1, 3 - 4j], [3 + 4j, 2]]])
    torch.testing.assert_close(layer.matrices().detach(), expected)


def test_initial_spread_and_seed():
    g = torch.Generator().manual_seed(0)
    layer = AdaptiveObservables(4, 64, init_std=0.3, generator=g)
    # 32768 numbers: the standard deviation's own error is 0.3 / sqrt(2 * 32768).
    assert abs(layer.entries.detach().std().item() - 0.3) < 5 * 0.3 / np.sqrt(65536)
    again = AdaptiveObservables(4, 64, init_std=0.3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(layer.entries, again.entries)


def test_real_states_and_single_precision():
    layer = AdaptiveObservables(2, 3)
    real = torch.nn.functional.normalize(torch.rand(4, 4), dim=1)
    found = layer(real)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, layer(real.to(torch.complex64)))


def test_training_moves_the_observables():
    layer = AdaptiveObservables(2, 2)
    given = states(2)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = ((layer(given) - 1) ** 2).mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_qubits": 2},
        {"num_qubits": 0, "num_observables": 1},
        {"num_qubits": 2, "num_observables": 0},
        {"num_qubits": 2, "groups": []},
        {"num_qubits": 2, "groups": [(0, 2)]},
        {"num_qubits": 2, "groups": [(0, 0)]},
        {"num_qubits": 2, "groups": [(0,), (0, 1)]},
        {"num_qubits": 2, "groups": [()]},
        {"num_qubits": 2, "num_observables": 3, "groups": [(0,)]},
        {"num_qubits": 2, "num_observables": 3, "init_std": -1.0},
        {"num_qubits": 2, "num_observables": 3, "init_std": float("nan")},
        {"num_qubits": 2, "num_observables": 3, "form": "diagonal"},
        {"num_qubits": 30, "num_observables": 1},
    ],
)
def test_what_does_not_fit_is_refused(arguments):
    with pytest.raises(InvalidOption, match="got"):
        AdaptiveObservables(**arguments)


@pytest.mark.parametrize(
    "state", [torch.zeros(4), torch.zeros(2, 8), torch.zeros(2, 4, dtype=torch.int64)]
)
def test_states_of_another_shape_are_refused(state):
    with pytest.raises(InvalidData, match=r"shape \(batch, 4\)"):
        AdaptiveObservables(2, 1)(state)


@pytest.mark.parametrize("size", [0, 4])
def test_groups_of_an_impossible_size_are_refused(size):
    with pytest.raises(InvalidOption, match=r"1 \.\. 3"):
        neighbouring_groups(3, size)


def test_one_group_where_it_holds_all():
    assert neighbouring_groups(3, 3) == ((0, 1, 2),)
    assert neighbouring_groups(3, 2) == ((0, 1), (1, 2), (2, 0))
