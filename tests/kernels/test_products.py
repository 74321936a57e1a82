"""Matrices in tiles are those in one piece."""

import pytest
import torch

from qdm_qiskit.kernels import products
from qdm_qiskit.kernels.products import product, tiled_product


def features(form, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 8, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("form", ["overlap", "trace", "gauss"])
@pytest.mark.parametrize("real", [False, True])
def test_tiles_join_to_the_product(monkeypatch, form, real):
    monkeypatch.setattr(products, "TILE", 4)
    a, b = features(form, 11, 0), features(form, 6, 1)
    if real:
        a[:, 4:] = b[:, 4:] = 0
    torch.testing.assert_close(tiled_product(form, a, b, 0.3), product(form, a, b, 0.3))
    own = tiled_product(form, a, None, 0.3)
    torch.testing.assert_close(own, product(form, a, a, 0.3))
    assert torch.equal(own, own.T)


def test_overlap_is_that_of_complex_rows():
    a, b = features("overlap", 5, 0), features("overlap", 3, 1)
    left, right = (torch.complex(each[:, :4], each[:, 4:]) for each in (a, b))
    expected = (left.conj() @ right.T).abs().square()
    torch.testing.assert_close(product("overlap", a, b), expected)
