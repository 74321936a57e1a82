"""Rows of the table of system metrics, and one run's values of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["NOT_RECORDED", "ROWS", "Addressed", "SystemRow", "SystemRun", "Value", "shown_value"]

Value = str | int | float | None
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class SystemRow:
    """One metric."""

    key: str
    """Name in files."""
    title: str
    """Name in tables."""
    unit: str = ""
    """``s``, ``J``, ``share`` of 1, or empty for numbers and text."""


_QUBITS = (
    SystemRow("target", "target"),
    SystemRow("device", "device"),
    SystemRow("calibrated_at", "device calibrated at"),
    SystemRow("circuits", "distinct circuits of a step"),
    SystemRow("qubits", "qubits of the circuit"),
    SystemRow("device_qubits", "qubits of the device"),
    SystemRow("qubits_used", "qubits used"),
    SystemRow("qubits_idle", "qubits idle"),
    SystemRow("busy_share", "time in which used qubits work", "share"),
    SystemRow("idle_seconds", "waits of all used qubits", "s"),
    SystemRow("longest_idle_seconds", "waits of the qubit that waits longest", "s"),
    SystemRow("logical_depth", "depth before transpiling"),
    SystemRow("logical_cnots", "CNOTs before transpiling"),
    SystemRow("depth", "depth"),
    SystemRow("two_qubit_gates", "two-qubit gates"),
    SystemRow("circuit_seconds", "circuit execution time", "s"),
    SystemRow("gate_success", "success of all gates", "share"),
    SystemRow("expected_success", "success of gates and readout", "share"),
    SystemRow("idle_success", "fidelity left by waiting", "share"),
)
_WORK = (
    SystemRow("images", "images"),
    SystemRow("steps", "steps"),
    SystemRow("jobs", "jobs"),
    SystemRow("executions", "circuits run"),
    SystemRow("shots", "shots"),
    SystemRow("shots_step", "shots a step"),
    SystemRow("shots_image", "shots an image"),
)
_LATENCY = (
    SystemRow("total_seconds", "whole time", "s"),
    SystemRow("queue_seconds", "waiting in queues", "s"),
    SystemRow("run_seconds", "running circuits", "s"),
    SystemRow("communication_seconds", "sending and fetching", "s"),
    SystemRow("job_seconds", "mean time of a job from sending to counts", "s"),
    SystemRow("in_jobs_seconds", "time with a job out", "s"),
    SystemRow("preparing_seconds", "preparing jobs", "s"),
    SystemRow("post_seconds", "post-processing", "s"),
    SystemRow("classical_seconds", "preparing and post-processing together", "s"),
    SystemRow("away_seconds", "time with nobody at work", "s"),
    SystemRow("seconds_step", "time a step", "s"),
    SystemRow("seconds_image", "time an image", "s"),
)
_COST = (
    SystemRow("qpu_planned", "QPU seconds planned", "s"),
    SystemRow("qpu_charged", "QPU seconds charged", "s"),
    SystemRow("qpu_planned_step", "QPU seconds planned a step", "s"),
    SystemRow("qpu_charged_step", "QPU seconds charged a step", "s"),
    SystemRow("qpu_planned_image", "QPU seconds planned an image", "s"),
    SystemRow("qpu_charged_image", "QPU seconds charged an image", "s"),
    SystemRow("energy_joules", "energy", "J"),
    SystemRow("energy_image_joules", "energy an image", "J"),
)
_RESULT = (
    SystemRow("model_sha256", "SHA-256 of the weights"),
    SystemRow("result_sha256", "SHA-256 of what came out"),
)
ROWS: Mapping[str, tuple[SystemRow, ...]] = {
    "Qubits and circuit": _QUBITS,
    "Work": _WORK,
    "Latency": _LATENCY,
    "Cost": _COST,
    "Result": _RESULT,
}
"""Rows by section, in the order of the table."""


@dataclass(frozen=True, kw_only=True)
class Addressed:
    """What decides a run, in parts that a comparison holds fixed or varies."""

    options: str
    """SHA-256 of all options without seeds and device."""
    seeds: tuple[int | None, ...]
    """Seed of the training, and of the sampling if there was one."""
    device: tuple[str, str | None]
    """Kind of the target with its device, and the time of its calibration."""
    weights: str | None
    """SHA-256 of the weights that a sampling took; None of training, which makes them."""


@dataclass(frozen=True, kw_only=True)
class SystemRun:
    """One column: a run's system metrics."""

    name: str
    """Name of its folder, with as much before it as tells it apart."""
    kind: str
    """``training``, ``samples`` or ``hardware``."""
    state: str
    values: Mapping[str, Value]
    """Metrics by the key of their row; None and absent ones are not known."""
    missing: Mapping[str, str]
    """Why one is not known, by its key; :data:`NOT_RECORDED` for others."""
    quality: Mapping[str, float]
    """Losses and metrics of an evaluation, as ``qdm runs`` shows them."""
    addressed: Addressed
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Sentences on what the values mean here."""

    def why(self, key: str) -> str:
        """Return why a value is not known."""
        return self.missing.get(key, NOT_RECORDED)

    def cell(self, row: SystemRow) -> str:
        """Return the text of a cell: the value with its unit, or why there is none."""
        value = self.values.get(row.key)
        if value is None:
            return self.why(row.key)
        if isinstance(value, str) and row.key.endswith("sha256"):
            return value[:12]
        return shown_value(value, row.unit)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; every row is there, with its reason where it has no value."""
        keys = [row.key for rows in ROWS.values() for row in rows]
        return {
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "metrics": {key: self.values.get(key) for key in keys},
            "missing": {key: self.why(key) for key in keys if self.values.get(key) is None},
            "quality": dict(self.quality),
            "seeds": list(self.addressed.seeds),
            "versions": dict(self.versions),
            "notes": list(self.notes),
        }


_PREFIXES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def shown_value(value: Value, unit: str = "") -> str:
    """Return a value as people read it.

    >>> shown_value(3.07e-5, "s"), shown_value(0.25, "share"), shown_value(12800), shown_value(2.0, "s")
    ('30.7 µs', '25.0%', '12,800', '2.000 s')
    """
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if unit == "share":
        return f"{value:.1%}"
    if unit == "s":
        return _seconds(float(value))
    if isinstance(value, int):
        return f"{value:,}"
    text = f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{text} {unit}".strip()


def _seconds(value: float) -> str:
    size = abs(value)
    if size == 0:
        return "0 s"
    if size >= 1:
        return f"{value:,.3f} s" if size < 1000 else f"{value:,.0f} s"
    factor, name = next((each for each in _PREFIXES if size >= each[0]), _PREFIXES[-1])
    return f"{value / factor:.3g} {name}"
