"""Door of providers: by name, this package's and other packages', or as an object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...arguments import wrong
from ...doors import Door
from ...errors import (
    InvalidArgument,
    InvalidExtension,
    InvalidOption,
    TargetUnavailable,
)
from ...execution.targets import Target
from ..plan.types import Availability, ProviderRecord
from .base import Provider, checked_provider
from .context import RunContext
from .patient import PatientProvider

__all__ = [
    "PROVIDERS",
    "look_at",
    "make_provider",
    "open_provider",
]

_LOCAL = "qdm_qiskit.hardware.providers.local:LocalProvider"


def _checked(part: Any, name: str) -> Callable[[str], Provider]:
    if not callable(part):
        raise wrong(
            part, "part", "a Provider class, or a function of a device's name that makes one"
        )
    made: Callable[[str], Provider] = part
    return made


PROVIDERS: Door[Callable[[str], Provider]] = Door(
    "provider",
    "provider",
    {
        "engine": _LOCAL,
        "aer": _LOCAL,
        "noisy": _LOCAL,
        "local": _LOCAL,
        "ibm": "qdm_qiskit.hardware.ibm.provider:IBMProvider",
    },
    _checked,
)
"""Makers of providers by the first word of a target; each is called with what follows it."""


def make_provider(name: str, device: str) -> Provider:
    """Make another package's provider by its name.

    Raises:
        UnknownName, InvalidExtension: If no package brings it, or it cannot be used.
    """
    maker = PROVIDERS.get(name)
    origin = PROVIDERS.origin(name)
    try:
        made = checked_provider(maker(device))
    except (InvalidArgument, InvalidOption) as error:
        raise InvalidExtension(
            f"'{origin.module}' of package {origin.package} makes no provider: {error}"
        ) from error
    except Exception as error:  # whatever another package raises
        raise InvalidExtension(
            f"Provider '{name}' of package {origin.package} cannot be made for '{device}': "
            f"{type(error).__name__}: {error}."
        ) from error
    if (made.name, made.device) != (name, device):
        raise InvalidExtension(
            f"'{origin.module}' of package {origin.package} makes the provider '{made.target}', not "
            f"'{name}:{device}'."
        )
    return made


def look_at(target: Target) -> Availability:
    """Ask another package's provider for its state, as planning needs it.

    Raises:
        UnknownName, InvalidExtension: If it cannot be made.
        TargetUnavailable: If it does not answer.
    """
    assert target.provider is not None
    assert target.backend is not None
    provider = make_provider(target.provider, target.backend)
    origin = PROVIDERS.origin(target.provider)
    return provider.offered(
        ProviderRecord(
            name=target.provider,
            package=origin.package,
            version=origin.version,
            module=origin.module,
            charges=provider.charges,
        )
    )


def open_provider(run: RunContext, given: Provider | None, *, detach: bool) -> Provider:
    """Open the provider of a plan's target.

    Args:
        run: The run.
        given: A provider object in the place of the one that a package brings.
        detach: True if nobody waits for its jobs.

    Returns:
        The provider, told of the run.

    Raises:
        TargetUnavailable: If the package that brings it is not installed.
        InvalidOption: If the object is not the provider of the plan.
        ServiceUnavailable: If the account cannot be used.
    """
    found = _provider_of(run, given)
    found.begin(run, detach=detach)
    return found


def _provider_of(run: RunContext, given: Provider | None) -> Provider:
    plan = run.plan
    name, _, device = plan.target.partition(":")
    record = plan.provider
    if record is None:
        if given is not None:
            raise InvalidOption(
                f"provider is of no use: run {plan.run_id} was planned for '{plan.target}', got "
                f"'{checked_provider(given).target}'."
            )
        return PROVIDERS.get(name)(device)
    if given is not None:
        if checked_provider(given).target != plan.target:
            raise InvalidOption(
                f"provider is that of the plan, '{plan.target}', got '{given.target}'."
            )
        return PatientProvider(given, run.settings)
    if not record.package:
        raise TargetUnavailable(
            f"Run {plan.run_id} was planned with a provider object of {record.module}; go on from "
            "Python, with provider=... of that class."
        )
    if name not in PROVIDERS:
        raise TargetUnavailable(
            f"Run {plan.run_id} was planned on provider '{name}' of package {record.package} "
            f"{record.version}, which is not installed here; install it, or pass provider=... from "
            "Python."
        )
    package = PROVIDERS.origin(name).package
    if package != record.package:
        raise TargetUnavailable(
            f"Run {plan.run_id} was planned on provider '{name}' of package {record.package}, and "
            f"here package {package} brings it; install the first, or plan again."
        )
    return PatientProvider(make_provider(name, device), run.settings)
