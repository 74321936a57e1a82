"""Models of one circuit: its exact distribution, and the prediction from its outcomes."""

from __future__ import annotations

import numpy as np
import torch
from qiskit import QuantumCircuit
from torch import Tensor

from ..circuits.readouts import ProbabilityReadout
from ..errors import InvalidData, TargetUnavailable
from ..layers.arrays import device_of, exact, to_array
from ..layers.executors import read_probabilities
from ..models import CircuitDenoiser
from .call_targets import check_postselected

__all__ = [
    "decoded",
    "register_probabilities",
    "unrolled_circuit",
]


def unrolled_circuit(model: CircuitDenoiser) -> QuantumCircuit:
    """Return the model's full circuit with its weights bound and its inputs free.

    One circuit serves every image and step: only the input values differ, which
    :meth:`~qdm_qiskit.circuits.CircuitSpec.input_values` gives.

    Raises:
        TargetUnavailable: If the circuit reads expectation values.
        InvalidData: If a weight is not finite.
    """
    spec = model.spec
    if not isinstance(spec.readout, ProbabilityReadout):
        raise TargetUnavailable(f"'{spec.name}' reads expectation values, which take an estimator.")
    weights = model.layer.angles().detach().cpu().double()
    if not bool(torch.isfinite(weights).all()):
        raise InvalidData(
            "Weights must be finite, got NaN or infinity: no circuit can be bound to them."
        )
    angles = weights.tolist()
    circuit = spec.full_circuit()
    bound = circuit.assign_parameters(dict(zip(spec.weights, angles, strict=True)))
    bound.name = spec.name  # Qiskit would number the copies
    return bound


@torch.no_grad()
def decoded(
    model: CircuitDenoiser, probabilities: np.ndarray, x: Tensor, *, step: int, shots: int
) -> Tensor:
    """Return the prediction from the circuit's outcomes, on the device and of the type of ``x``.

    Args:
        model: The model, on any device.
        probabilities: ``(batch, 2**num_qubits)``.
        x: The images of the prediction.
        step: t, for the message.
        shots: Shots of each image, for the message.

    Raises:
        InvalidData: If no shot of an image passed the post-selection.
    """
    outputs = read_probabilities(model.spec, torch.from_numpy(probabilities))
    check_postselected(to_array(outputs), step, shots)
    return model.decode(outputs.to(device_of(model), x.dtype)).to(x.device)


@torch.no_grad()
def register_probabilities(
    model: CircuitDenoiser, amplitudes: Tensor | None, inputs: Tensor | None
) -> np.ndarray:
    """Return exact probabilities of all qubits for encoded images, in float64.

    Args:
        model: The model; its circuit is compiled on the first call and kept.
        amplitudes: ``(batch, 2**n)`` with unit rows, or None.
        inputs: ``(batch, num_inputs)`` or None.

    Returns:
        ``(batch, 2**num_qubits)``.
    """
    found = model.layer.program.probabilities(
        None if inputs is None else exact(inputs).cpu(),
        exact(model.layer.angles()).cpu(),
        None if amplitudes is None else exact(amplitudes).cpu(),
        initial_qubits=None if amplitudes is None else model.spec.data_qubits,
    )
    return to_array(found)
