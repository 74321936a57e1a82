"""The images that a hardware run left in its folder, checked before they are unpacked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...archives import Headers, read_arrays
from ...errors import InvalidData
from ..ledger.run_files import (
    IMAGES,
)
from ..plan.run_plan import RunPlan

if TYPE_CHECKING:
    pass

__all__ = ["MOST_HEADERS", "stored_trajectory"]


MOST_HEADERS = 1 << 12
"""Most bytes of all headers of the arrays of images."""


def stored_trajectory(folder: Path, plan: RunPlan) -> np.ndarray | None:
    """Return the images of all steps that the run stored; None before it is done.

    A file of more than a run of this plan has is refused before it is unpacked.
    """
    path = folder / IMAGES
    assert plan.image_shape is not None  # of a model's plan
    each = 8 * plan.num_images * math.prod(plan.image_shape)
    most = each * (len(plan.steps) + 2) + MOST_HEADERS  # x_T, after each step, and x_0 once more
    if not path.exists():
        return None
    try:
        arrays = read_arrays(path, most_bytes=most, check=_check_images)
        trajectory = arrays["trajectory"]
        if not np.array_equal(arrays["images"], trajectory[-1]):
            raise InvalidData("its images are not the last of its trajectory")
    except Exception as error:  # zip, numpy and key errors alike
        raise InvalidData(f"{path} cannot be used: {error}.") from error
    return trajectory


def _check_images(headers: Headers) -> None:
    """Refuse what are no images of a run, before they are unpacked."""
    for name, each in headers.items():
        axes = {"images": 4, "trajectory": 5}.get(name)
        if axes != each.ndim or each.dtype.kind != "f":
            raise InvalidData(f"{name} of shape {each.shape} and type {each.dtype}")
