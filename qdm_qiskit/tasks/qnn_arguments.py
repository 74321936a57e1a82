"""Arguments of a QNN's run: its parts, weights and rows of inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from qiskit_machine_learning.connectors import TorchConnector

from ..arguments import wrong
from ..errors import InvalidData
from ..layers.arrays import to_exact_array
from ..layers.from_qnn import QnnLayer
from ..layers.qnn_parts import QnnParts, qnn_parts

__all__ = ["parts_of", "rows_of", "weights_of"]


def parts_of(qnn: Any) -> tuple[QnnParts, Any]:
    """Return the parts of a QNN, and the weights that come with it; None of a plain QNN.

    Raises:
        UnsupportedCircuit, InvalidData: As :func:`~qdm_qiskit.layers.qnn_parts.qnn_parts`.
    """
    if isinstance(qnn, QnnLayer):
        return qnn.parts, qnn.weight
    if isinstance(qnn, TorchConnector):
        return qnn_parts(qnn.neural_network, "run_qnn"), qnn.weight
    return qnn_parts(qnn, "run_qnn"), None


def weights_of(given: Any, count: int) -> np.ndarray:
    """Return weights as ``(num_weights,)``.

    Raises:
        InvalidData: If none are given, or another number of them.
    """
    if given is None and count:
        raise InvalidData(
            f"The QNN has {count} weights, got none; give weights, or the TorchConnector that was "
            "trained."
        )
    values = _array([] if given is None else given, "weights")
    if values.size != count:
        raise InvalidData(f"weights have shape ({count},), got {values.shape}.")
    return values.reshape(count)


def rows_of(given: Any, count: int) -> tuple[np.ndarray | None, tuple[int, ...]]:
    """Return inputs as ``(rows, num_inputs)``, and the leading axes of the outputs, as QNNs do.

    Raises:
        InvalidData: If they have another shape.
    """
    if given is None and not count:
        return None, (1,)
    values = _array([] if given is None else given, "inputs")
    if values.ndim == 0 and count == 1:
        values = values.reshape(1, 1)
    if not count or values.ndim == 0 or values.shape[-1] != count or values.size == 0:
        raise InvalidData(
            f"inputs have shape (..., {count}) with a row at least, got {values.shape}."
            if count
            else f"The QNN takes no inputs; leave them out, got shape {values.shape}."
        )
    rows = values.reshape(-1, count)
    return rows, values.shape[:-1] if values.ndim > 1 else (1,)


def _array(given: Any, name: str) -> np.ndarray:
    if isinstance(given, torch.Tensor):
        given = to_exact_array(given.detach())
    try:
        values = np.asarray(given)
        if not np.iscomplexobj(values):
            return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise wrong(given, name, "an array of numbers") from error
    # numpy would leave out the imaginary parts with a warning
    raise InvalidData(f"{name} are real numbers, got complex ones; give their real parts.")
