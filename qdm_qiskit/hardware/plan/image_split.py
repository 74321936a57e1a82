"""Split of a run's images over devices, by what each costs and how long its queue is."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...canonical_json import check
from ...errors import InvalidOption

__all__ = ["DeviceCost", "checked_split", "split_images"]


@dataclass(frozen=True, kw_only=True)
class DeviceCost:
    """Cost of a run on a device, from a plan of all images on it, and its queue at that time."""

    target: str
    """The target, as its plan names it."""
    jobs: int
    """Jobs of the steps."""
    fixed_seconds: float
    """QPU seconds of a run, however few its images: overheads, calibration, refit."""
    image_seconds: float
    """QPU seconds of each image."""
    queue: int | None = None
    """Jobs that waited; None if the device does not say."""

    def __post_init__(self) -> None:
        good = bool(self.target) and self.target.isprintable() and len(self.target) <= 128
        check(good, "target is printable and has at most 128 characters", self.target)
        check(self.jobs >= 1, "jobs is at least 1", self.jobs)
        for name in ("fixed_seconds", "image_seconds"):
            value = getattr(self, name)
            check(0 <= value < math.inf, f"{name} is finite and >= 0", value)
        check(self.queue is None or self.queue >= 0, "queue is at least 0", self.queue)

    def waiting_seconds(self, share: float) -> float:
        """Return the time in the queue of a run: a job that waits is as long as one of ours.

        Args:
            share: Images of the run.
        """
        return (self.queue or 0) * (self.fixed_seconds + share * self.image_seconds)


def checked_split(text: str, devices: int, images: int) -> tuple[int, ...] | None:
    """Return the images of each device where they are given; None where costs and queues decide.

    Args:
        text: ``auto``, ``even``, or numbers with commas between them, as in ``12,4``.
        devices: Number of devices.
        images: Number of images.

    Raises:
        InvalidOption: If it is none of these.

    >>> checked_split("12,4", 2, 16), checked_split("even", 3, 16), checked_split("auto", 2, 16)
    ((12, 4), (6, 5, 5), None)
    """
    if text == "auto":
        return None
    if text == "even":
        each, rest = divmod(images, devices)
        return tuple(each + (number < rest) for number in range(devices))
    words = [each.strip() for each in text.split(",")]
    if not all(each.isascii() and each.isdigit() and len(each) <= 9 for each in words):
        raise InvalidOption(f"split is 'auto', 'even', or numbers as in '12,4', got {text!r:.60}.")
    found = tuple(int(each) for each in words)
    if len(found) != devices or sum(found) != images:
        raise InvalidOption(
            f"split gives each of {devices} devices its images, {images} in all; got {text!r:.60}, "
            f"{len(found)} numbers with the sum {sum(found)}."
        )
    return found


def split_images(costs: Sequence[DeviceCost], images: int) -> tuple[int, ...]:
    """Return how many images each device gets, so that the last one is done as early as can be.

    A device with n images is done after its queue, its fixed seconds and n times the seconds of an
    image. Each image goes to the device that would be done with it first, which is best where images
    are alike; equal times go to the device with fewer images, then to the one that is named first.

    Args:
        costs: Of each device.
        images: Number of images, at least 1.

    Returns:
        Images of each device, 0 for one whose queue or cost is too long to be worth it.
    """
    even = images / len(costs)
    start = [each.waiting_seconds(even) + each.fixed_seconds for each in costs]
    heap = [(start[d] + each.image_seconds, 0, d) for d, each in enumerate(costs)]
    heapq.heapify(heap)
    found = [0] * len(costs)
    for _ in range(images):
        _, _, device = heap[0]
        found[device] += 1
        number = found[device]
        done = start[device] + (number + 1) * costs[device].image_seconds
        heapq.heapreplace(heap, (done, number, device))
    return tuple(found)
