"""Products of transfer matrices, whose factors lie side by side level by level."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import Parameter

from qdm_qiskit.engine.noise.lowering import Event
from qdm_qiskit.engine.noise.matrices import BlockMatrices, rotation_terms

WEIGHTS = [Parameter(f"w{k}") for k in range(4)]


@settings(max_examples=30)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("XYZ"), st.integers(0, 3)), min_size=1, max_size=9),
        min_size=1,
        max_size=7,
    )
)
def test_chains_of_any_lengths_are_their_products(chains):
    matrices = BlockMatrices()
    keys = [
        matrices.add([Event((0,), pauli=p, angle=WEIGHTS[k]) for p, k in chain], (0,))
        for chain in chains
    ]
    matrices.finish([], WEIGHTS)
    angles = torch.tensor([0.3, -1.1, 2.0, 0.7], dtype=torch.float64)
    built = matrices.build(angles, angles)
    stack = matrices.stacks(angles, angles)[4]
    assert len(stack) == len(chains)
    for key, chain in zip(keys, chains, strict=True):
        expected = np.eye(4)
        for pauli, k in chain:
            c0, c1, c2 = rotation_terms(pauli)
            expected = (
                c0 + np.cos(angles[k].item()) * c1 + np.sin(angles[k].item()) * c2
            ) @ expected
        np.testing.assert_allclose(built[key], expected, atol=1e-14)
        np.testing.assert_allclose(stack[matrices.row(*key)], expected, atol=1e-14)
