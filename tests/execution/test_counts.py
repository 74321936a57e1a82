import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.primitives import BitArray

from qdm_qiskit.execution.counts import counts_from_bits, counts_from_hex


@given(st.integers(1, 10), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_counts_from_bits_is_qiskits_own_count(num_bits, batch, seed):
    bools = np.random.default_rng(seed).integers(0, 2, size=(batch, 13, num_bits)).astype(bool)
    bits = BitArray.from_bool_array(bools, order="little")
    counts = counts_from_bits(bits)
    assert counts.shape == (batch, 2**num_bits)
    for row in range(batch):
        assert {k: c for k, c in enumerate(counts[row]) if c} == bits.get_int_counts(row)


def test_scalar_result_is_one_row():
    bits = BitArray.from_bool_array(np.array([[True, False], [True, False]]), order="little")
    assert counts_from_bits(bits).tolist() == [[0, 2, 0, 0]]


@pytest.mark.parametrize("num_clbits", [1, 9])
def test_counts_from_hex_is_dense(num_clbits):
    counts = counts_from_hex({"0x1": 5}, num_clbits)
    assert counts.shape == (2**num_clbits,)
    assert counts[1] == counts.sum() == 5
