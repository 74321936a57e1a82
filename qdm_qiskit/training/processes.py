"""The processes that train together: one by itself, or those that a launcher started."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, final

import torch
from torch import Tensor, nn

from ..errors import InvalidOption

if TYPE_CHECKING:
    from accelerate import Accelerator, PartialState

__all__ = [
    "Alone",
    "Joined",
    "Processes",
    "join_processes",
    "mean_of_processes",
]

_Model = TypeVar("_Model", bound=nn.Module)
_COUNTS = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
"""Variables in which launchers say how many processes they started."""


class Processes(Protocol):
    """Processes of one run; this is one of them."""

    @property
    def index(self) -> int:
        """Return this one's number, from 0."""
        ...

    @property
    def count(self) -> int:
        """Return how many there are."""
        ...

    @property
    def leads(self) -> bool:
        """Return whether this one writes and speaks."""
        ...

    @property
    def device(self) -> torch.device:
        """Return where this one computes."""
        ...

    def prepare(self, model: _Model, optimizer: Any) -> tuple[_Model, Any]:
        """Return model and optimizer as the training loop uses them."""
        ...

    def bare(self, model: _Model) -> _Model:
        """Return a prepared model without what is wrapped around it."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of the mean over the processes."""
        ...

    def mean(self, value: Tensor) -> float:
        """Return the mean over the processes."""
        ...

    def any(self, flag: bool) -> bool:
        """Return whether it is set in any of them; all get the same answer."""
        ...

    def wait(self) -> None:
        """Wait until all are here."""
        ...


@final
class Alone:
    """One process on a CPU, which needs nobody's help."""

    index, count, leads = 0, 1, True
    device = torch.device("cpu")

    def prepare(self, model: _Model, optimizer: Any) -> tuple[_Model, Any]:
        """Return them as they are."""
        return model, optimizer

    def bare(self, model: _Model) -> _Model:
        """Return it as it is."""
        return model

    def backward(self, loss: Tensor) -> None:
        """Compute gradients."""
        loss.backward()

    def mean(self, value: Tensor) -> float:
        """Return the value."""
        return float(value)

    def any(self, flag: bool) -> bool:
        """Return it."""
        return flag

    def wait(self) -> None:
        """Do nothing."""


@final
class Joined:
    """Processes, devices and precision as accelerate finds them.

    Args:
        state: accelerate's.
    """

    def __init__(self, state: PartialState) -> None:
        self.index, self.count = state.process_index, state.num_processes
        self.leads, self.device = state.is_main_process, state.device

    @cached_property
    def _accelerator(self) -> Accelerator:
        from accelerate import Accelerator

        return Accelerator()

    def prepare(self, model: _Model, optimizer: Any) -> tuple[_Model, Any]:
        """Put a model on the device, and average its gradients over the processes."""
        prepared: tuple[_Model, Any] = self._accelerator.prepare(model, optimizer)
        return prepared

    def bare(self, model: _Model) -> _Model:
        """Return it without what accelerate wraps around it."""
        found: _Model = self._accelerator.unwrap_model(model)
        return found

    def backward(self, loss: Tensor) -> None:
        """Compute gradients, scaled where the precision asks for it."""
        self._accelerator.backward(loss)

    def mean(self, value: Tensor) -> float:
        """Return the mean over the processes."""
        return float(self._accelerator.reduce(value, "mean"))

    def any(self, flag: bool) -> bool:
        """Return whether it is set in any of them."""
        if self.count == 1:
            return flag
        return bool(self._accelerator.reduce(torch.tensor(float(flag), device=self.device)) > 0)

    def wait(self) -> None:
        """Wait until all are here."""
        self._accelerator.wait_for_everyone()


def join_processes() -> Processes:
    """Join the processes that a launcher started, as `torchrun` or `accelerate launch` does.

    accelerate alone would leave processes without a GPU apart, each training the whole run in the
    same folder. Where nobody started several and there is no GPU it is not imported at all.

    Raises:
        InvalidOption: If there are several processes, which accelerate does not join here.
    """
    if not _launched() and not torch.accelerator.is_available():
        return Alone()
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    launched = int(os.environ.get("WORLD_SIZE", "1"))
    no_device = launched > 1 and not torch.accelerator.is_available()
    state = PartialState(cpu=no_device or parse_flag_from_env("ACCELERATE_USE_CPU"))
    if state.num_processes != launched > 1:
        raise InvalidOption(
            f"{launched} processes were started, but accelerate cannot join them on {state.device}; "
            "train in one process, or set ACCELERATE_USE_CPU=1."
        )
    return Joined(state)


def mean_of_processes(value: Tensor) -> Tensor:
    """Return the mean of a tensor over the processes that are joined, in each of them."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        from accelerate.utils import reduce

        found: Tensor = reduce(value, "mean")
        return found
    return value


def _launched() -> bool:
    """Return whether a launcher started this process, or accelerate is told anything."""
    several = any(os.environ.get(each, "1") != "1" for each in _COUNTS)
    told = any(each == "LOCAL_RANK" or each.startswith("ACCELERATE_") for each in os.environ)
    joined = torch.distributed.is_available() and torch.distributed.is_initialized()
    return several or told or joined
