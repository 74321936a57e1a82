"""Wrong kinds of arguments of processes are one line that names the argument."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qdm_qiskit.diffusion import DiffusionConfig, make_process
from qdm_qiskit.errors import InvalidArgument

PROCESSES = (
    "interpolated",
    "gaussian",
    "ddpm",
    "vp_sde",
    "interpolated_states",
    "depolarizing",
    "mixed_states",
    "complex_gaussian",
)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("wrong", [np.zeros((2, 1, 2, 2)), "images", None, [[0.0]]])
def test_states_that_are_no_tensor(name, wrong):
    process, generator = make_process(DiffusionConfig(process=name)), torch.Generator()
    with pytest.raises(InvalidArgument, match="`x_0`") as caught:
        process.training_pairs(wrong, generator)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize(("shape", "generator"), [(3, torch.Generator()), ((2, 4), 7), ("2", None)])
def test_starts_of_no_shape_or_no_generator(name, shape, generator):
    process = make_process(DiffusionConfig(process=name))
    with pytest.raises(InvalidArgument, match=r"`(shape|generator)`") as caught:
        process.start(shape, generator)
    assert "\n" not in str(caught.value)
