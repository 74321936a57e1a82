"""Circuit as a ``torch.nn.Module`` whose only parameters are the circuit's weights."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..arguments import of_kind
from ..circuits.spec import WAY_TO_SPEC, CircuitSpec
from ..engine import CircuitProgram
from ..errors import InvalidData, InvalidOption
from .executors import (
    EngineExecutor,
    Executor,
    GivesAmplitudes,
    check_executor,
    engine_executor,
)

if TYPE_CHECKING:
    from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN

    from .from_qnn import QnnLayer

__all__ = [
    "QuantumLayer",
    "WeightMap",
    "normalised",
]

WeightMap = Literal["identity", "pi_tanh", "turns"]
"""Rule by which weights become angles: as they are, ``pi * tanh(w)``, which keeps them in one turn, or
``2 pi w``, which counts in turns."""


class QuantumLayer(nn.Module):
    """Run a circuit on a batch and read it out.

    Layers with the same spec have the same state dict (``weights``), whatever executes them.

    Args:
        spec: The circuit and its roles.
        executor: Executor that runs it; the torch engine if None. See
            :func:`~qdm_qiskit.layers.qnn_executor` for Qiskit primitives.
        weight_map: Rule by which weights become angles.
        init_std: Standard deviation of the normal initial weights, at least 0.
        generator: Source of the initial weights; torch's default if None.

    Raises:
        InvalidOption: If ``weight_map`` is unknown or ``init_std`` is negative.

    >>> from qdm_qiskit.circuits import eeqdm
    >>> layer = QuantumLayer(eeqdm(num_data=2, depth=1))
    >>> layer(torch.rand(3, 4)).shape
    torch.Size([3, 4])
    """

    def __init__(
        self,
        spec: CircuitSpec,
        *,
        executor: Executor | None = None,
        weight_map: WeightMap = "identity",
        init_std: float = 0.4,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        of_kind(spec, CircuitSpec, "spec", WAY_TO_SPEC)
        check_executor(executor)
        if weight_map not in ("identity", "pi_tanh", "turns") or not init_std >= 0:
            raise InvalidOption(
                "QuantumLayer needs weight_map 'identity', 'pi_tanh' or 'turns' and init_std >= 0, "
                f"got {weight_map=}, {init_std=}."
            )
        self.spec = spec
        self.weight_map = weight_map
        self.executor = engine_executor(spec) if executor is None else executor
        self.weights = nn.Parameter(init_std * torch.randn(len(spec.weights), generator=generator))

    @classmethod
    def from_qnn(
        cls, qnn: EstimatorQNN | SamplerQNN, initial_weights: np.ndarray | Tensor | None = None
    ) -> QnnLayer:
        """An existing QNN on the engine, in place of ``TorchConnector(qnn, initial_weights)``.

        Args:
            qnn: An EstimatorQNN, or a SamplerQNN that is not sparse; its primitive is not used.
            initial_weights: ``(num_weights,)``; uniform in [-1, 1] if None.

        Returns:
            A module with TorchConnector's parameter ``weight`` and its outputs, computed exactly;
            see :class:`~qdm_qiskit.layers.QnnLayer` for what differs.

        Raises:
            UnsupportedCircuit: If the QNN or its circuit cannot run on the engine.
            InvalidData: If an observable, ``interpret`` or the initial weights do not fit.
        """
        from .from_qnn import QnnLayer  # its library is slow to import, and few models need it

        return QnnLayer(qnn, initial_weights)

    def angles(self) -> Tensor:
        """Return the circuit's angles in radians, ``(num_weights,)``."""
        if self.weight_map == "pi_tanh":
            return math.pi * torch.tanh(self.weights)
        return 2 * math.pi * self.weights if self.weight_map == "turns" else self.weights

    @cached_property
    def program(self) -> CircuitProgram:
        """Circuit on the engine, compiled once for the layer, whatever executes the layer."""
        executor = self.executor
        if not isinstance(executor, EngineExecutor):
            executor = engine_executor(self.spec)
        return executor.program

    def forward(self, amplitudes: Tensor | None = None, inputs: Tensor | None = None) -> Tensor:
        """Return the outputs of the circuit.

        Args:
            amplitudes: ``(batch, 2**n)`` vectors of any non-zero norm, for amplitude encoding.
            inputs: ``(batch, num_inputs)`` angles in radians, where the circuit has inputs.

        Returns:
            ``(batch, num_outputs)``: probabilities or expectation values.

        Raises:
            InvalidData: If a shape does not fit or a vector has norm zero or is not finite.
        """
        outputs = self.executor(self.angles(), self.encoded(amplitudes), inputs)
        if torch.is_grad_enabled() and not outputs.requires_grad:
            # Plus nothing: no output depends on the weights, and their gradient is 0.
            outputs = outputs + self.weights[:0].sum().to(outputs.dtype)
        return outputs

    def statevector(
        self,
        amplitudes: Tensor | None = None,
        inputs: Tensor | None = None,
        *,
        renormalise: bool = False,
    ) -> Tensor:
        """Return complex amplitudes in place of the readout, from the engine or a target's counts.

        Args:
            amplitudes, inputs: As for :meth:`forward`; amplitudes may be complex.
            renormalise: Divide by the norm that the readout's post-selection leaves.

        Returns:
            ``(batch, 2**k)`` complex, of the k qubits that the readout does not post-select, in
            Qiskit's order; differentiable.

        Raises:
            InvalidOption: If the layer does not run on the engine.
            InvalidData: As for :meth:`forward`, or if a state to be renormalised is zero.
        """
        executor: object = self.executor
        if not isinstance(executor, GivesAmplitudes):
            raise InvalidOption(
                "Only the engine gives amplitudes, got another executor; leave `executor` out."
            )
        encoded = self.encoded(amplitudes)
        return executor.statevector(self.angles(), encoded, inputs, renormalise=renormalise)

    def encoded(self, amplitudes: Tensor | None) -> Tensor | None:
        """Return amplitudes with norm 1 for the executor, or None for a circuit that takes none.

        Raises:
            InvalidData: As for :meth:`forward`.
        """
        if amplitudes is not None:
            of_kind(amplitudes, Tensor, "amplitudes", "torch.as_tensor makes one")
        if self.spec.encoding == "amplitude":
            if amplitudes is None:
                raise InvalidData(f"'{self.spec.name}' needs amplitudes.")
            return normalised(amplitudes, self.spec.num_amplitudes)
        if amplitudes is not None:
            raise InvalidData(f"'{self.spec.name}' encodes angles and takes no amplitudes.")
        return None

    def extra_repr(self) -> str:
        """Return the line that ``print(model)`` shows."""
        return f"{self.spec.name}, qubits={self.spec.num_qubits}, weights={len(self.weights)}"


def normalised(vectors: Tensor, length: int) -> Tensor:
    """Return vectors divided by their norm.

    Args:
        vectors: ``(batch, length)``.
        length: Expected number of entries.

    Returns:
        ``(batch, length)`` with unit rows.

    Raises:
        InvalidData: If shape or type do not fit, or a row is zero or not finite.
    """
    if vectors.ndim != 2 or vectors.shape[1] != length:
        raise InvalidData(f"Amplitudes have shape (batch, {length}), got {tuple(vectors.shape)}.")
    if not len(vectors) or not (vectors.is_floating_point() or vectors.is_complex()):
        raise InvalidData(
            "Amplitudes are at least one row of floating-point or complex numbers, got "
            f"{len(vectors)} of {vectors.dtype}; tensor.float() makes such numbers."
        )
    norm = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    least, most = (float(each) for each in torch.aminmax(norm.detach()))
    tiny = torch.finfo(norm.dtype).tiny ** 0.5
    if tiny < least and most < 1 / tiny:  # no square has overflowed or vanished; NaN compares false
        return vectors / norm
    # Divided by its largest entry first. A constant factor leaves the result and its gradient as
    # they are.
    scale = vectors.detach().abs().amax(dim=1, keepdim=True)
    bad = ~(torch.isfinite(scale) & (scale > 0)).squeeze(1)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        raise InvalidData(
            f"Vector {row} of {len(vectors)} has largest magnitude {float(scale[row])}: NaN, infinite "
            "or all-zero images cannot be encoded as amplitudes."
        )
    scaled = vectors / scale
    return scaled / torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
