"""Settings of the patience with a service: intervals, limits, numbers of attempts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ...errors import InvalidOption
from ...files import read_json_object
from ...options import build

__all__ = [
    "FILE",
    "ServiceSettings",
    "read_settings",
]

FILE = "service.json"
"""File in the root of the runs: names and values of the settings that are not the defaults."""


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Limits, intervals and numbers of attempts; seconds are wall-clock seconds.

    Raises:
        InvalidOption: If a number is negative or not finite.
    """

    call_seconds: float = 120.0
    """Seconds after which a call is given up; IBM's client itself would wait for ever."""
    submit_seconds: float = 960.0
    """Seconds after which the sending of a job is given up; IBM's client gives up after 900."""
    retry_seconds: float = 900.0
    """Seconds for which a question is asked again when the service fails to answer."""
    first_pause_seconds: float = 0.5
    """Pause before the second attempt; it doubles from attempt to attempt."""
    longest_pause_seconds: float = 30.0
    poll_seconds: float = 5.0
    """Longest pause between two looks at a job that waits or runs; the first ones are shorter."""
    lookup_pauses_seconds: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 8.0)
    """Pauses before each look for a job by its tag, after a submission whose outcome is unknown."""
    grace_seconds: float = 60.0
    """Seconds after the last sending for which a tag is looked up before no job counts as created.

    It must be longer than a POST takes that was on its way when its process died, and the lag of
    the service's list, together: too short pays twice, too long only waits, and only where the
    outcome of a sending is unknown. IBM names no bound for either; a payload of this package
    arrives within seconds.
    """
    submit_attempts: int = 6
    """Most sendings of one job, as long as it is sure or likely that none was created."""
    rate_pause_seconds: float = 15.0
    """Pause after the service has said that jobs come too fast; it doubles as well."""
    jobs_per_minute: int = 5
    """IBM's limit on create-job requests of a user, kept after its first 429; 0 is no limit."""
    result_attempts: int = 8
    """Number of times that results which are missing, cut short or no results are asked for."""
    usage_wait_seconds: float = 30.0
    """Longest wait for the final usage of a finished job at the end of a run."""
    unmarked_usage_seconds: float = 3.0
    """Seconds of no change after which a usage above 0 without a status counts as final."""
    job_attempts: int = 3
    """Number of times that a job which failed at no cost is sent anew."""
    calibration_wait_seconds: float = 900.0
    """Longest wait for a calibration or refit that another process takes at this moment."""
    session_max_seconds: int = 7200
    """Seconds after which the service closes a session or batch, also one whose id was lost."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            for each in value if isinstance(value, tuple) else (value,):
                if not (math.isfinite(each) and 0 <= each <= 1e7):
                    raise InvalidOption(f"Setting {name} is 0 to 1e7, got {value!r}.")
        for name in ("submit_attempts", "result_attempts", "job_attempts", "session_max_seconds"):
            if getattr(self, name) < 1:
                raise InvalidOption(f"Setting {name} is at least 1, got {getattr(self, name)}.")
        if not self.lookup_pauses_seconds:
            raise InvalidOption("Setting lookup_pauses_seconds is not empty, got ().")


def read_settings(root: Path) -> ServiceSettings:
    """Return the settings of a root: the defaults, changed by its ``service.json`` if there is one.

    Raises:
        InvalidData: If the file is no JSON object.
        InvalidOption: If a name is unknown or a value cannot be.
    """
    path = root / FILE
    return build(ServiceSettings, read_json_object(path)) if path.exists() else ServiceSettings()
