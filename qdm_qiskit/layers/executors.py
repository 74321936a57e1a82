"""The engine behind a layer: a function of angles, amplitudes and inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from ..circuits.spec import CircuitSpec, ProbabilityReadout
from ..engine import CircuitProgram, compile_circuit
from ..errors import InvalidData

Executor = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
"""``(angles, amplitudes, inputs) -> outputs``: ``(num_weights,)``, ``(batch, 2**n)`` normalised or
None, ``(batch, num_inputs)`` or None, to ``(batch, num_outputs)``; differentiable in the angles."""


def engine_executor(spec: CircuitSpec) -> Executor:
    """Exact outputs from the torch engine, differentiable in all three arguments.

    Args:
        spec: The circuit and its roles.

    Returns:
        The executor. Amplitudes are injected as the initial state of the data qubits.
    """

    @cache
    def compiled() -> CircuitProgram:
        # On first use: a model that is only described or loaded need not wait for it.
        return compile_circuit(spec.circuit, spec.inputs, spec.weights)

    readout = spec.readout

    def execute(angles: Tensor, amplitudes: Tensor | None, inputs: Tensor | None) -> Tensor:
        covered = None if amplitudes is None else spec.data_qubits
        program = compiled()
        if not isinstance(readout, ProbabilityReadout):
            return program.expectation(
                readout.observables, inputs, angles, amplitudes, initial_qubits=covered
            )
        joint = program.probabilities(
            inputs,
            angles,
            amplitudes,
            initial_qubits=covered,
            qubits=readout.qubits,
            postselect=dict(readout.postselect),
        )
        return renormalised(spec, joint) if readout.renormalise else joint

    return execute


def read_probabilities(spec: CircuitSpec, probabilities: Tensor) -> Tensor:
    """The spec's readout from probabilities of the whole register.

    Args:
        spec: With a probability readout.
        probabilities: ``(batch, 2**num_qubits)``.

    Returns:
        ``(batch, num_outputs)``. With ``renormalise``, each row is divided by the probability of the
        post-selection.

    Raises:
        InvalidData: If the post-selected outcome has probability zero and is to be renormalised.
    """
    readout = spec.readout
    assert isinstance(readout, ProbabilityReadout)
    selection = torch.as_tensor(readout.selection(spec.num_qubits), device=probabilities.device)
    selected = probabilities[:, selection].sum(-1)
    return renormalised(spec, selected) if readout.renormalise else selected


def renormalised(spec: CircuitSpec, selected: Tensor) -> Tensor:
    """Joint probabilities divided by the probability of the post-selection.

    Raises:
        InvalidData: If that is zero.
    """
    total = selected.sum(-1, keepdim=True)
    if bool((total == 0).any()):
        raise InvalidData(
            f"The post-selection of '{spec.name}' never happened: no shot is "
            "left. Take more shots, or do not renormalise."
        )
    return selected / total
