"""The runner behind a target."""

from __future__ import annotations

from ..arguments import wrong
from ..errors import InvalidOption, TargetUnavailable
from .devices import DeviceLike, is_device, target_of
from .region import ReadoutErrors, check_readout
from .runner import CircuitRunner
from .targets import Target, parse_target

__all__ = [
    "make_runner",
]


def make_runner(
    target: Target | DeviceLike, *, seed: int, readout: ReadoutErrors = "mean"
) -> CircuitRunner:
    """Return the runner of a target; none of them can spend QPU time.

    Args:
        target: A target or its text; ``engine`` is no place for circuits and is not handled here. A
            ``BackendV2`` or Aer ``NoiseModel`` is simulated as ``noisy``.
        seed: The run's seed, an integer >= 0.
        readout: Readout errors of ``noisy:`` and ``local:`` targets: the ``"mean"`` of each qubit's
            two errors, as in Aer, or ``"asymmetric"``.

    Returns:
        A runner, whose ``backend`` is the one to transpile for.

    Raises:
        UnknownName: If there is no such target.
        InvalidOption: If the target has no readout errors to be asymmetric, or none of this name.
        TargetUnavailable: For ``engine`` (the caller runs the model there), for ``aer:gpu``
            without a GPU, and for every ``ibm:`` target.

    >>> import numpy as np
    >>> from qiskit import QuantumCircuit
    >>> circuit = QuantumCircuit(1, 1)
    >>> _ = circuit.x(0), circuit.measure(0, 0)
    >>> make_runner("aer", seed=1).run([(circuit, np.zeros((1, 0)))], shots=100)[0]
    array([[  0, 100]])
    """
    if not isinstance(target, str | Target):
        if not is_device(target):
            raise wrong(target, "target", "a Target, or its text such as 'noisy:fake_torino'")
        target = target_of("noisy", target)
    target = parse_target(target) if isinstance(target, str) else target
    check_readout(readout)
    if readout != "mean" and target.kind not in ("noisy", "local"):
        raise InvalidOption(
            f"Target '{target}' has no readout errors of a snapshot; leave readout at 'mean'."
        )
    if target.kind == "aer":
        from .aer import AerRunner

        return AerRunner(seed=seed, device=target.device)
    if target.kind == "noisy" and target.backend is not None:
        from .noisy import NoisyRunner

        return NoisyRunner(target.backend, seed=seed, readout=readout)
    if target.kind == "local" and target.backend is not None:
        from .local import LocalRunner

        return LocalRunner(target.backend, seed=seed, readout=readout)
    if target.kind == "provider":
        raise TargetUnavailable(
            f"Target '{target}' may charge for what it runs, and this command never does; plan a run "
            f"on it with `qdm run plan RUN --target {target}`."
        )
    if target.kind == "ibm":
        raise TargetUnavailable(_never_spends(target))
    raise TargetUnavailable(
        f"Target '{target}' evaluates models without circuits or shots; use 'aer', "
        "'noisy:SNAPSHOT' or 'local:SNAPSHOT' to run circuits."
    )


def _never_spends(target: Target) -> str:
    from .snapshots import backend_names

    fake = "fake_" + (target.backend or "").removeprefix("ibm_")
    nearest = fake if fake in backend_names() else "fake_torino"
    return (
        f"Target '{target}' is a QPU, and this command never spends QPU time; "
        f"use 'local:{nearest}' to rehearse the same run on this machine."
    )
