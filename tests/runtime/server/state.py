"""What the parts of one server share."""

from __future__ import annotations

from dataclasses import dataclass

from .device import Device
from .faults import FaultQueue
from .settings import Settings
from .store import Store
from .worker import Worker


@dataclass
class State:
    """All state of one server; `settings` is replaced when a test changes them."""

    store: Store
    settings: Settings
    faults: FaultQueue
    devices: dict[str, Device]
    """By name; a device is there twice, also by its mock's name."""
    worker: Worker

    def change(self, settings: Settings) -> None:
        """Take settings into use and remember them."""
        self.settings = settings
        self.worker.settings = settings
        self.store.write_settings(settings.to_dict())
        self.worker.wake()
