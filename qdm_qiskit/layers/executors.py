"""Engine behind a layer: a function of angles, amplitudes and inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ..arguments import of_kind, wrong
from ..circuits.readouts import ExpectationReadout, ProbabilityReadout
from ..circuits.spec import WAY_TO_SPEC, CircuitSpec
from ..engine import CircuitProgram, compile_circuit
from ..engine.evolution.pauli_readout import ObservableTable
from ..engine.evolution.post_selection import least_norm
from ..errors import InvalidData

__all__ = [
    "EngineExecutor",
    "Executor",
    "GivesAmplitudes",
    "check_executor",
    "engine_executor",
    "read_probabilities",
    "renormalised",
]

Executor = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
"""``(angles, amplitudes, inputs) -> outputs``: ``(num_weights,)``, ``(batch, 2**n)`` normalised or
None, ``(batch, num_inputs)`` or None, to ``(batch, num_outputs)``; differentiable in the angles."""


@runtime_checkable
class GivesAmplitudes(Protocol):
    """Executor that also gives the amplitudes behind its readout."""

    def statevector(
        self, angles: Tensor, amplitudes: Tensor | None, inputs: Tensor | None, *, renormalise: bool
    ) -> Tensor:
        """Amplitudes of the qubits that the readout does not post-select, ``(batch, 2**k)``."""
        ...


class EngineExecutor:
    """Exact outputs from the torch engine, differentiable in all arguments.

    Amplitudes are injected as the initial state of the data qubits.

    Args:
        spec: The circuit and its roles.
    """

    watch: Callable[[Tensor | None, Tensor | None], None] | None = None
    """Receives amplitudes and inputs before each run; natural gradients keep samples of them."""

    def __init__(self, spec: CircuitSpec) -> None:
        self.spec = spec

    @cached_property
    def program(self) -> CircuitProgram:
        """Compiled circuit, made on first use, so that a merely loaded model need not wait."""
        return compile_circuit(self.spec.circuit, self.spec.inputs, self.spec.weights)

    @cached_property
    def _table(self) -> ObservableTable:
        """Tables of the readout's observables, which a spec holds copies of."""
        assert isinstance(self.spec.readout, ExpectationReadout)
        return self.program.observable_table(self.spec.readout.observables)

    def __call__(self, angles: Tensor, amplitudes: Tensor | None, inputs: Tensor | None) -> Tensor:
        """Return outputs; see :data:`Executor`."""
        self._tell(amplitudes, inputs)
        readout = self.spec.readout
        covered = None if amplitudes is None else self.spec.data_qubits
        if not isinstance(readout, ProbabilityReadout):
            return self.program.expectation(
                self._table, inputs, angles, amplitudes, initial_qubits=covered
            )
        joint = self.program.probabilities(
            inputs,
            angles,
            amplitudes,
            initial_qubits=covered,
            qubits=readout.qubits,
            postselect=dict(readout.postselect),
        )
        return renormalised(self.spec, joint) if readout.renormalise else joint

    def statevector(
        self, angles: Tensor, amplitudes: Tensor | None, inputs: Tensor | None, *, renormalise: bool
    ) -> Tensor:
        """Amplitudes of the qubits that the readout does not post-select, ``(batch, 2**k)``."""
        self._tell(amplitudes, inputs)
        readout = self.spec.readout
        chosen = dict(readout.postselect) if isinstance(readout, ProbabilityReadout) else {}
        return self.program.statevector(
            inputs,
            angles,
            amplitudes,
            initial_qubits=None if amplitudes is None else self.spec.data_qubits,
            postselect=chosen,
            renormalise=renormalise,
        )

    def _tell(self, amplitudes: Tensor | None, inputs: Tensor | None) -> None:
        if self.watch is not None:
            self.watch(amplitudes, inputs)


def check_executor(executor: object) -> None:
    """Refuse an object that cannot be called as an executor.

    Raises:
        InvalidArgument: If it is a primitive, text, or a class.
    """
    if executor is not None and (isinstance(executor, type) or not callable(executor)):
        raise wrong(executor, "executor", "an Executor", "qnn_executor(spec, primitive) makes one")


def engine_executor(spec: CircuitSpec) -> EngineExecutor:
    """Return the torch engine as an :data:`Executor`.

    Args:
        spec: The circuit and its roles.

    Returns:
        The executor.
    """
    of_kind(spec, CircuitSpec, "spec", WAY_TO_SPEC)
    return EngineExecutor(spec)


def read_probabilities(spec: CircuitSpec, probabilities: Tensor) -> Tensor:
    """Return the spec's readout from probabilities of the whole register.

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
    """Return joint probabilities divided by the probability of the post-selection.

    Raises:
        InvalidData: If that is zero, up to rounding.
    """
    readout = spec.readout
    assert isinstance(readout, ProbabilityReadout)
    total = selected.sum(-1, keepdim=True)
    least = least_norm(total.dtype, len(readout.postselect)) ** 2
    if bool((total <= least).any()):
        raise InvalidData(
            f"The post-selection of '{spec.name}' never happens or, with shots, never happened: "
            "nothing is left. Choose other weights, take more shots, or do not renormalise."
        )
    return selected / total
