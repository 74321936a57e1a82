"""The processes that train together."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

from ..errors import InvalidOption

__all__ = [
    "join_processes",
]


def join_processes() -> PartialState:
    """Join the processes that a launcher started, as `torchrun` or `accelerate launch` does.

    accelerate alone would leave processes without a GPU apart, each training the whole run in the
    same folder.

    Returns:
        accelerate's state; it stays as it is after the first call.

    Raises:
        InvalidOption: If there are several processes, which accelerate does not join here.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    no_device = launched > 1 and not torch.accelerator.is_available()
    state = PartialState(cpu=no_device or parse_flag_from_env("ACCELERATE_USE_CPU"))
    if state.num_processes != launched > 1:
        raise InvalidOption(
            f"{launched} processes were started, but accelerate cannot join them on {state.device}; "
            "train in one process, or set ACCELERATE_USE_CPU=1."
        )
    return state
