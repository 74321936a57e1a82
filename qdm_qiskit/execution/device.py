"""A user's own device: any backend or noise model, known by its name and by its content.

A :class:`Device` is made by :func:`~.devices.make_device` of a ``BackendV2`` or an Aer
``NoiseModel``, or read from a file (:mod:`.device_files`). Its name ends in a hash of its content,
``mine@3f0c2ab91d54``. Readout calibrations and run plans are bound to that, so that another device,
or the same one calibrated anew, is not taken for it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn, final

from qiskit.circuit import Delay, Measure, Parameter, Reset
from qiskit.providers import BackendV2, Options
from qiskit.transpiler import CouplingMap, InstructionProperties
from qiskit.transpiler import Target as DeviceTarget

from ..errors import InvalidOption

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

__all__ = [
    "ALL_TO_ALL_QUBITS",
    "LIMITS",
    "MAX_QUBITS",
    "Device",
    "Facts",
    "facts_of_backend",
    "facts_of_noise",
]

MAX_QUBITS = 1_000
"""Most qubits of a user's own device; devices of today have fewer."""
ALL_TO_ALL_QUBITS = 20
"""Default number of qubits of a device made of a noise model that names none."""
LIMITS = ("max_shots", "default_rep_delay", "rep_delay_range")
"""Kept fields of a backend's configuration, for run plans and their QPU seconds."""


@dataclass(frozen=True)
class Facts:
    """Facts of a device, without its name."""

    target: DeviceTarget
    """Gates with errors and durations, T1, T2, dt."""
    noise: NoiseModel | None = None
    """A noise model of its own; None takes Aer's model of the target."""
    readout: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    """Shares of 1 read for 0 and of 0 read for 1, by qubit. Empty if only the mean is known."""
    calibrated_at: str | None = None
    """Time of the calibration, ISO 8601."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Known values of the fields in :data:`LIMITS`."""


@final
class Device(BackendV2):
    """A user's own device, which stands wherever the name of a snapshot may stand.

    It describes gates and noise and does not run by itself: runners simulate it.

    Args:
        label: Its name without the hash.
        facts: Its content.

    >>> from qiskit.providers.fake_provider import GenericBackendV2
    >>> from qdm_qiskit.execution.devices import make_device
    >>> make_device(GenericBackendV2(4, seed=1), name="mine").label
    'mine'
    """

    def __init__(self, label: str, facts: Facts) -> None:
        from .device_format import digest

        self.label = label
        self.facts = facts
        self.digest = digest(facts)
        """SHA-256 of the content; the name does not count."""
        super().__init__(name=f"{label}@{self.digest[:12]}")

    @property
    def target(self) -> DeviceTarget:
        """Gates, errors, durations and couplers, as Qiskit's transpiler takes them."""
        return self.facts.target

    @property
    def coupling_map(self) -> CouplingMap:
        """Couplers; without any, all qubits by themselves, in place of Qiskit's None."""
        found = self.facts.target.build_coupling_map()
        if found is None:
            found = CouplingMap()
            for qubit in range(self.facts.target.num_qubits):
                found.add_physical_qubit(qubit)
        return found

    @property
    def max_circuits(self) -> None:
        """No limit."""
        return

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def properties(self) -> Any:
        """Return the part of IBM's backend properties that is used here."""
        at = self.facts.calibrated_at
        return _Properties(
            None if at is None else datetime.fromisoformat(at), dict(self.facts.readout)
        )

    def configuration(self) -> Any:
        """Return the known limits of jobs, in the form of IBM's backends."""
        return SimpleNamespace(**self.facts.limits)

    def lacks(self) -> tuple[str, ...]:
        """Describe what this device lacks; for listings and reports."""
        target = self.facts.target
        gates = [
            each
            for name in target.operation_names
            if name not in ("delay", "reset")
            for each in (target[name] or {}).values()
            if each is not None
        ]
        missing = []
        if not any(each.duration for each in gates):
            missing.append("durations (QPU seconds count no circuit length)")
        times = target.qubit_properties or []
        if not times or any(each is None or each.t1 is None for each in times):
            missing.append("T1 and T2 of all qubits (no idle success)")
        if not self.facts.readout and self.facts.noise is None:
            missing.append("both readout errors of a qubit (readout is the mean)")
        return tuple(missing)

    def run(self, run_input: Any, **options: Any) -> NoReturn:
        """Refuse to run: give the device to a runner, as in ``make_runner(device, seed=1)``."""
        raise NotImplementedError("A device describes gates and noise; make_runner runs circuits.")


@dataclass(frozen=True)
class _Properties:
    """The two parts of IBM's backend properties that are read here."""

    last_update_date: datetime | None
    readout: dict[int, tuple[float, float]]

    def qubit_property(self, qubit: int) -> dict[str, tuple[float, None]]:
        if qubit not in self.readout:
            return {}
        one_for_zero, zero_for_one = self.readout[qubit]
        return {"prob_meas1_prep0": (one_for_zero, None), "prob_meas0_prep1": (zero_for_one, None)}


def facts_of_backend(backend: BackendV2) -> Facts:
    """Return a copy of a backend's own data; later changes of the object do not reach it.

    Args:
        backend: A backend of any provider, with errors in its target.

    Raises:
        InvalidOption: If it has no number of qubits, or too many, or gives no errors at all.
    """
    if isinstance(backend, Device):
        return backend.facts
    target = backend.target
    if target.num_qubits is None or not 1 <= target.num_qubits <= MAX_QUBITS:
        raise InvalidOption(
            f"A device has 1 to {MAX_QUBITS} qubits, got backend '{backend.name}' with "
            f"{target.num_qubits}."
        )
    if not any(
        each is not None and each.error
        for name in target.operation_names
        if not isinstance(target.operation_from_name(name), type)
        for each in (target[name] or {}).values()
    ):
        raise InvalidOption(
            f"Backend '{backend.name}' gives no errors, so there is no noise to simulate; use "
            "target 'aer', or give the device a noise model."
        )
    return Facts(
        target=copy.deepcopy(target),
        readout=_readout_of(backend),
        calibrated_at=_calibrated_at(backend),
        limits=_limits_of(backend),
    )


def _properties_of(backend: BackendV2) -> Any:
    read = getattr(backend, "properties", None)
    return read() if callable(read) else None


def _readout_of(backend: BackendV2) -> dict[int, tuple[float, float]]:
    """Return both readout errors of each qubit, if a backend has them for all."""
    properties = _properties_of(backend)
    if not hasattr(properties, "qubit_property"):
        return {}
    found = {}
    for qubit in range(backend.num_qubits):
        try:
            values = properties.qubit_property(qubit)
            found[qubit] = (
                float(values["prob_meas1_prep0"][0]),
                float(values["prob_meas0_prep1"][0]),
            )
        except Exception:  # a backend that does not know may raise anything
            return {}
    return found


def _calibrated_at(backend: BackendV2) -> str | None:
    updated = getattr(_properties_of(backend), "last_update_date", None)
    if not isinstance(updated, datetime):
        return None
    # IBM's client gives the time of the machine's own zone.
    return (updated if updated.tzinfo is None else updated.astimezone(UTC)).isoformat()


def _limits_of(backend: BackendV2) -> dict[str, Any]:
    read = getattr(backend, "configuration", None)
    configuration = read() if callable(read) else None
    found: dict[str, Any] = {}
    for name in LIMITS:
        value = getattr(configuration, name, None)
        if isinstance(value, list | tuple) and len(value) == 2:
            found[name] = [float(each) for each in value]
        elif isinstance(value, int | float) and name != "rep_delay_range":
            found[name] = value
    return found


def facts_of_noise(
    noise: NoiseModel,
    *,
    num_qubits: int | None = None,
    coupling_map: CouplingMap | list[tuple[int, int]] | None = None,
) -> Facts:
    """Return a device with a noise model's noise and nothing else: no durations, no T1, no T2.

    Its gates are those that the model knows (:class:`.noise_coverage.NoiseCoverage`). A gate of
    several qubits stands on the couplers of the map. Without a map it stands on those for which the
    model has errors, or on all if its errors are for all qubits. A gate's error, which chooses
    layouts and costs circuits, is 1 - the average gate fidelity of the model's.

    Args:
        noise: Quantum errors of gates, readout errors of single qubits.
        num_qubits: Qubits of the device. If None, as many as the map or the model names, and at
            least :data:`ALL_TO_ALL_QUBITS` if the model has errors for all qubits and there is no
            map.
        coupling_map: Pairs of qubits, in the order control, target.

    Raises:
        InvalidOption: If the model has errors that this cannot stand for, a pair or an error is on
            qubits that are not there, or there are too many.
    """
    from .device_noise import gates_of, has_errors_everywhere, readout_errors

    pairs = None if coupling_map is None else sorted({(int(a), int(b)) for a, b in coupling_map})
    named = {*noise.noise_qubits, *(qubit for pair in pairs or () for qubit in pair)}
    least = max(named, default=-1) + 1
    unlimited = pairs is None and (not least or has_errors_everywhere(noise))
    usual = max(least, ALL_TO_ALL_QUBITS) if unlimited else least
    count = usual if num_qubits is None else num_qubits
    if not 1 <= count <= MAX_QUBITS or count < least or min(named, default=0) < 0:
        raise InvalidOption(
            f"num_qubits is {max(1, least)} to {MAX_QUBITS} for this noise model and its couplers, "
            f"got {count}."
        )
    target = DeviceTarget(num_qubits=count)
    for gate, errors in gates_of(noise, count, pairs):
        target.add_instruction(
            gate, {where: InstructionProperties(error=error) for where, error in errors.items()}
        )
    reads = readout_errors(noise, count)
    target.add_instruction(
        Measure(),
        {(q,): InstructionProperties(error=sum(reads[q]) / 2) for q in range(count)},
    )
    target.add_instruction(Delay(Parameter("t")), {(q,): None for q in range(count)})
    target.add_instruction(Reset(), {(q,): None for q in range(count)})
    return Facts(target=target, noise=noise, readout=reads)
