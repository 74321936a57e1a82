"""Names of what circuits are trained on."""

from __future__ import annotations

from typing import Any

from ...errors import InvalidOption, UnknownName
from ...execution.targets import parse_target, target_text

__all__ = ["QNN", "check_train_on", "device_names", "train_on_text"]

QNN = "qnn"
"""qiskit-machine-learning's own QNNs on Aer."""
FORMS = "engine, engine:cuda, aer, aer:gpu, noisy:DEVICE, noisy:DEVICE+DEVICE or qnn"


def train_on_text(target: Any) -> Any:
    """Return the text of a target that is a device or a noise model; text stays as it is."""
    return target_text(target, "noisy")


def device_names(target: str) -> tuple[str, ...]:
    """Return the devices whose noise acts, in their turns; none on other targets.

    >>> device_names("noisy:fake_torino+fake_fez"), device_names("engine")
    (('fake_torino', 'fake_fez'), ())
    """
    prefix, _, names = target.partition(":")
    return tuple(names.split("+")) if prefix == "noisy" else ()


def check_train_on(target: str) -> None:
    """Refuse text that names nothing to train on; devices themselves are looked up when they run.

    Raises:
        InvalidOption: Then.
    """
    if target == QNN:
        return
    names = device_names(target)
    if len(set(names)) < len(names):
        raise InvalidOption(f"train_on names a device twice, got {target!r}; name each once.")
    try:
        kinds = {
            parse_target(each, known=False).kind
            for each in ([f"noisy:{name}" for name in names] or [target])
        }
    except UnknownName as error:
        raise InvalidOption(f"train_on is {FORMS}; got {target!r}.") from error
    if kinds & {"local", "ibm", "provider"}:
        raise InvalidOption(
            f"Training on '{target}' is a hardware run, priced before anything is sent: `qdm run plan "
            f"RUN --train 20 --num-images 8 --target {target} --budget NAME`, of a run RUN that was "
            "trained in simulation, for one epoch at least."
        )
    if not kinds <= {"engine", "aer", "noisy"}:
        raise InvalidOption(
            f"train_on is {FORMS}: circuits are trained in simulation, got {target!r}."
        )
