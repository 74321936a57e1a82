"""Layer of a QNN that a user already has, without a Jacobian."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN
from torch import Tensor, nn

from ..arguments import of_kind
from ..engine import CircuitProgram, EngineEstimator, EngineSampler, compile_circuit
from ..errors import InvalidData, UnsupportedCircuit
from .qnn_parts import QnnParts, qnn_parts

__all__ = [
    "QnnLayer",
]

_IDEAL = (EngineEstimator, EngineSampler, StatevectorEstimator, StatevectorSampler)
"""Primitives of the ideal circuit, with or without shots; a QNN's default is one of the latter."""


class QnnLayer(nn.Module):
    """``TorchConnector(qnn)`` on the engine, with vector-Jacobian products instead of Jacobians.

    State dicts go from one to the other: the parameter is ``weight``, ``(num_weights,)``, initially
    uniform in [-1, 1], and TorchConnector's second name for it, ``_weights``, exists as well. What
    differs: outputs are exact, whatever the QNN's primitive, precision or shots (with a UserWarning
    where that primitive has noise or is not known to be ideal); gradients in
    inputs always exist, also without ``input_gradients``; computation and outputs have the dtype of
    ``weight``, so that ``layer.double()`` computes in float64 where TorchConnector rounds to float32.

    Args:
        qnn: Read once; later changes of it, such as ``set_interpret``, do not matter.
        initial_weights: ``(num_weights,)``, or None.

    Raises:
        UnsupportedCircuit: If the QNN is of another class (or a subclass), sparse, or samples a
            transpiled circuit, or the engine cannot run its circuit.
        InvalidData: If an observable is not Hermitian, ``interpret`` leaves ``output_shape``, or
            the initial weights have another shape.
    """

    weight: nn.Parameter
    parts: QnnParts
    """Circuit, roles and readout, for targets other than the engine."""

    def __init__(
        self, qnn: EstimatorQNN | SamplerQNN, initial_weights: np.ndarray | Tensor | None = None
    ) -> None:
        super().__init__()
        self.parts = qnn_parts(qnn, "QuantumLayer.from_qnn")
        if type(qnn) is SamplerQNN and qnn.circuit.layout is not None:
            raise UnsupportedCircuit(
                "QuantumLayer.from_qnn samples circuits before transpiling, got a SamplerQNN with a "
                "layout; build it without pass_manager."
            )
        self._readout = _readout(qnn, self.parts)
        self.num_inputs, self.output_shape = qnn.num_inputs, tuple(qnn.output_shape)
        values = torch.empty(qnn.num_weights).uniform_(-1, 1)
        if initial_weights is not None:
            values = torch.as_tensor(initial_weights, dtype=torch.float).detach().clone()
            if tuple(values.shape) != (qnn.num_weights,):
                raise InvalidData(
                    f"initial_weights have shape ({qnn.num_weights},), got {tuple(values.shape)}."
                )
        self.weight = nn.Parameter(values)
        self._weights = self.weight  # TorchConnector's second name; the same tensor

    def forward(self, input_data: Tensor | None = None) -> Tensor:
        """Return the outputs of the QNN.

        Args:
            input_data: ``(..., num_inputs)`` angles in radians; None stands for no inputs.

        Returns:
            ``(..., *output_shape)``: expectation values, or probabilities.

        Raises:
            InvalidData: If the last axis is not ``num_inputs``, or a value is not finite.
        """
        given = self.weight.new_zeros(0) if input_data is None else input_data
        of_kind(given, Tensor, "input_data", "torch.as_tensor makes one")
        if given.ndim == 0 or given.shape[-1] != self.num_inputs:
            raise InvalidData(
                f"Inputs have shape (..., {self.num_inputs}), got {tuple(given.shape)}."
            )
        leading = given.shape[:-1]
        count = int(np.prod(leading, dtype=int))
        rows = given.reshape(count, self.num_inputs).to(self.weight) if self.num_inputs else None
        outputs = self._readout(rows, self.weight)
        if rows is None:
            outputs = outputs.expand(count, -1)
        if torch.is_grad_enabled() and not outputs.requires_grad:
            # Plus nothing, so that there is a gradient, 0, where no output depends on them.
            outputs = outputs + self.weight[:0].sum()
            if given.requires_grad:
                outputs = outputs + given[..., :0].sum().to(outputs.dtype)
        return outputs.reshape(*leading, *self.output_shape)

    def extra_repr(self) -> str:
        """Return the line that ``print(model)`` shows."""
        return f"inputs={self.num_inputs}, weights={len(self.weight)}, outputs={self.output_shape}"


def _say_what_is_left_out(qnn: EstimatorQNN | SamplerQNN) -> None:
    """Warn where the QNN's own primitive computes something else than the ideal circuit."""
    primitive = qnn.estimator if isinstance(qnn, EstimatorQNN) else qnn.sampler
    if isinstance(primitive, _IDEAL):
        return
    options = getattr(getattr(primitive, "_backend", None), "options", None)
    name = type(primitive).__name__
    if type(primitive).__module__.startswith("qiskit_aer") and not getattr(
        options, "noise_model", None
    ):
        return
    warnings.warn(
        f"QuantumLayer.from_qnn computes exactly and leaves out what the QNN's {name} adds, such as "
        "noise; keep TorchConnector to have it, or give QuantumLayer a qnn_executor.",
        UserWarning,
        stacklevel=5,
    )


class _Readout(Protocol):
    """``(rows, num_inputs)`` or None, and ``(num_weights,)``, to ``(rows or 1, num_outputs)``.

    An object and no function, so that layers can be pickled.
    """

    def __call__(self, rows: Tensor | None, weights: Tensor) -> Tensor: ...


def _readout(qnn: EstimatorQNN | SamplerQNN, parts: QnnParts) -> _Readout:
    found: _Readout
    if parts.observables:
        program = compile_circuit(parts.circuit, parts.inputs, parts.weights)
        found = _Expectations(program, list(parts.observables))
    else:
        found = _interpreted(parts)
    _say_what_is_left_out(qnn)
    return found


@dataclass(frozen=True)
class _Expectations:
    program: CircuitProgram
    observables: list[SparsePauliOp]

    def __call__(self, rows: Tensor | None, weights: Tensor) -> Tensor:
        return self.program.expectation(self.observables, rows, weights)


@dataclass(frozen=True)
class _Interpreted:
    program: CircuitProgram
    kept: Tensor
    """Basis states that are read."""
    target: Tensor
    """Number of the output to which each of them adds."""
    num_outputs: int
    identity: bool
    """True if outputs are the probabilities as they are."""

    def __call__(self, rows: Tensor | None, weights: Tensor) -> Tensor:
        probabilities = self.program.probabilities(rows, weights)
        if self.identity:
            return probabilities
        here = probabilities.device
        chosen = probabilities.index_select(1, self.kept.to(here))
        empty = chosen.new_zeros(len(chosen), self.num_outputs)
        return empty.index_add(1, self.target.to(here), chosen)


def _interpreted(parts: QnnParts) -> _Interpreted:
    program = compile_circuit(parts.circuit, parts.inputs, parts.weights)
    index, num_outputs = parts.places, int(np.prod(parts.output_shape))
    assert index is not None  # it samples
    identity = len(index) == num_outputs and bool((index == np.arange(num_outputs)).all())
    kept = np.flatnonzero(index >= 0)
    return _Interpreted(
        program, torch.as_tensor(kept), torch.as_tensor(index[kept]), num_outputs, identity
    )
