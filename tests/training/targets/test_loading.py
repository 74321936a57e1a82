"""Angles of the exact loader as a differentiable function of what it loads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdm_qiskit.circuits import eeqdm
from qdm_qiskit.circuits.encodings import amplitude_angles
from qdm_qiskit.errors import TargetUnavailable
from qdm_qiskit.training.targets.loading import exact_loader_angles, input_values


def vectors(rows: int, qubits: int, *, phases: bool, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(rows, 2**qubits)) + 1j * phases * rng.normal(size=(rows, 2**qubits))
    return torch.from_numpy(found if phases else found.real.copy())


@pytest.mark.parametrize("phases", [False, True])
@settings(max_examples=20, deadline=None)
@given(qubits=st.integers(1, 4), seed=st.integers(0, 99), zeros=st.integers(0, 15))
def test_the_angles_are_those_of_the_loader(phases, qubits, seed, zeros):
    given = vectors(3, qubits, phases=phases, seed=seed)
    given[:, : zeros % 2**qubits] = 0
    found = exact_loader_angles(given, phases=phases)
    wanted = amplitude_angles(given.numpy(), qubits, phases=phases)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("phases", [False, True])
def test_derivatives_are_finite_differences(phases):
    given = vectors(2, 3, phases=phases).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: exact_loader_angles(x, phases=phases), given)


@pytest.mark.parametrize("phases", [False, True])
def test_zeros_leave_derivatives_finite(phases):
    given = vectors(2, 2, phases=phases)
    given[:, 2:] = 0
    given = given.requires_grad_()
    exact_loader_angles(given, phases=phases).sum().backward()
    assert bool(torch.isfinite(torch.view_as_real(given.grad) if phases else given.grad).all())


def test_another_loader_has_no_derivatives():
    spec = eeqdm(num_data=2, depth=1).loaded_by("staircase:1")
    amplitudes = torch.nn.functional.normalize(vectors(2, 2, phases=False).abs(), dim=1)
    assert input_values(spec, amplitudes, None).shape == (2, spec.num_loader_inputs)
    with pytest.raises(TargetUnavailable, match=r"loader .staircase:1. has no gradient") as caught:
        input_values(spec, amplitudes.requires_grad_(), None)
    assert "\n" not in str(caught.value)
