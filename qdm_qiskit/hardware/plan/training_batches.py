"""The file of a training run's batches: noisy images, their steps, what is to be predicted, classes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...archives import read_arrays
from ...errors import InvalidData, InvalidPlan
from .planned_files import checked_bytes
from .run_plan import INPUTS, RunPlan

if TYPE_CHECKING:
    from ...training.by_calls import Batch

__all__ = ["batch_bytes", "read_batches"]

MOST_BYTES = 1 << 30
"""Most bytes of all batches, unpacked."""


def batch_bytes(batches: Sequence[Batch]) -> bytes:
    """Return the file of batches, in the order of the steps."""
    from ...layers.arrays import to_array

    arrays = {
        "x": np.stack([to_array(each.x) for each in batches]),
        "step": np.stack([to_array(each.step) for each in batches]),
        "target": np.stack([to_array(each.target) for each in batches]),
    }
    labels = [to_array(each.labels) for each in batches if each.labels is not None]
    if labels:
        arrays["labels"] = np.stack(labels).astype(np.int64)
    buffer = io.BytesIO()
    # numpy's annotations take a keyword for its option `allow_pickle`.
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_batches(plan: RunPlan) -> list[Batch]:
    """Read the batches of a training run, in the order of its steps.

    Raises:
        InvalidPlan: If the file is missing, changed, or of another shape.
    """
    import torch

    from ...training.by_calls import Batch

    assert plan.training is not None
    assert plan.state_shape is not None
    content = checked_bytes(plan, INPUTS)
    try:
        arrays = read_arrays(content, most_bytes=MOST_BYTES)
        x, step, target = arrays["x"], arrays["step"], arrays["target"]
        labels = arrays.get("labels")
    except (InvalidData, KeyError) as error:
        raise InvalidPlan(f"The batches of run {plan.run_id} cannot be read ({error}).") from error
    rows = (plan.training.measured_steps, plan.num_images)
    good = x.shape == (*rows, *plan.state_shape) and target.shape[:2] == rows
    good &= step.shape == rows and step.dtype == np.int64
    good &= x.dtype == np.float32 and target.dtype == np.float32
    good = good and bool(np.isfinite(x).all() and np.isfinite(target).all())
    if labels is not None:
        good &= labels.shape == rows and labels.dtype == np.int64
    if not good:
        raise InvalidPlan(f"The batches of run {plan.run_id} have the shape {x.shape}; plan again.")
    return [
        Batch(
            torch.from_numpy(x[k]),
            torch.from_numpy(step[k]),
            torch.from_numpy(target[k]),
            None if labels is None else torch.from_numpy(labels[k]),
        )
        for k in range(rows[0])
    ]
