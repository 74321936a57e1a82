"""The distance of sets by a kernel, as a number and as a loss."""

import numpy as np
import pytest
import torch
from qiskit.circuit.library import z_feature_map, zz_feature_map

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.kernels import QuantumKernel, kernel_mmd


def test_equals_the_sum_over_pairs():
    kernel = QuantumKernel(zz_feature_map(2))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 2)), rng.normal(size=(4, 2))
    pairs = [kernel.matrix(a[None], b[None])[0, 0] for a in x for b in y]
    own = [
        np.mean([kernel.matrix(a[None], b[None])[0, 0] for a in z for b in z if a is not b])
        for z in (list(x), list(y))
    ]
    expected = own[0] + own[1] - 2 * np.mean(pairs)
    assert float(kernel_mmd(kernel, *map(torch.tensor, (x, y)))) == pytest.approx(expected)


def test_is_unbiased_where_sets_are_alike():
    kernel = QuantumKernel(z_feature_map(1, reps=1), kind="projected")
    rng = np.random.default_rng(1)
    found = [
        float(kernel_mmd(kernel, *torch.tensor(rng.normal(size=(2, 8, 1))))) for _ in range(100)
    ]
    assert abs(np.mean(found)) < 5 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0


def test_as_a_loss_it_draws_rows_to_the_data():
    kernel = QuantumKernel(z_feature_map(1, reps=1), kind="projected")
    generator = torch.Generator().manual_seed(0)
    data = 0.8 + 0.1 * torch.randn(8, 1, generator=generator)
    x = torch.nn.Parameter(0.1 * torch.randn(8, 1, generator=generator) + 0.2)
    first = float(kernel_mmd(kernel, x, data).detach())
    for _ in range(40):
        loss = kernel_mmd(kernel, x, data)
        (slope,) = torch.autograd.grad(loss, x)
        x.data -= slope  # by 1
    assert float(loss.detach()) < 0.05 * first
    # The circuit turns by 2 x: inputs that differ by pi are the same to it.
    apart = torch.remainder(x.detach() - data.mean() + torch.pi / 2, torch.pi) - torch.pi / 2
    assert float(apart.mean().abs()) < 0.1


def test_one_row_is_refused():
    with pytest.raises(InvalidData, match="at least 2 rows of each, got 1 and 3"):
        kernel_mmd(QuantumKernel(z_feature_map(1)), torch.zeros(1, 1), torch.zeros(3, 1))


def test_a_set_of_another_width_is_named():
    kernel = QuantumKernel(zz_feature_map(2))
    wide, right = torch.zeros(3, 4), torch.zeros(3, 2)
    with pytest.raises(InvalidData, match=r"^y has shape \(rows, 2\).*got \(3, 4\)"):
        kernel_mmd(kernel, right, wide)
    with pytest.raises(InvalidData, match=r"^x has shape \(rows, 2\).*got \(3, 4\)"):
        kernel_mmd(kernel, wide, right)
