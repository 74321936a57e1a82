"""A transpile report in a notebook, and the lines of its tables."""

from __future__ import annotations

from typing import Any

from ..notebook import Markup, card, folded, note, table

__all__ = [
    "PARTS",
    "cost_lines",
    "render_card",
    "spread_lines",
]

PARTS = ("loader", "denoiser", "total")


def render_card(data: dict[str, Any]) -> str:
    """Return the report as a notebook shows it: for each device the verdict and the costs."""
    logical = data["logical"]["total"]
    about = f"{logical['qubits']} qubits, level {data['level']}, {data['shots']} shots"
    parts: list[Markup] = []
    for backend in data["backends"]:
        parts.append(note(f"{backend['backend']}: {backend['verdict']['sentence']}"))
        parts.append(table(["", *PARTS], cost_lines(backend["cost"])))
        head = ["over all seeds", "smallest", "median", "largest"]
        parts.append(folded("spread", table(head, spread_lines(backend["spread"]))))
    return card(data["name"], *parts, about=about)


def cost_lines(cost: dict[str, Any]) -> list[list[Any]]:
    """Return a line for each number: its name, then loader, denoiser and total."""
    return [
        ["depth", *(cost[p]["depth"] for p in PARTS)],
        ["two-qubit depth", *(cost[p]["two_qubit_depth"] for p in PARTS)],
        ["two-qubit gates", *(cost[p]["two_qubit_count"] for p in PARTS)],
        ["... in CNOTs", *(cost[p]["cnot_equivalents"] for p in PARTS)],
        ["duration", *(_microseconds(cost[p]["duration_seconds"]) for p in PARTS)],
        ["gate success", *(_share(cost[p]["gate_success"]) for p in PARTS)],
        ["readout success", *(_share(cost[p]["readout_success"]) for p in PARTS)],
        ["expected success", *(_share(cost[p]["expected_success"]) for p in PARTS)],
        ["idle success", *(_share(cost[p]["idle_success"]) for p in PARTS)],
        ["mean readout error", *(_share(cost[p]["readout_error"]) for p in PARTS)],
        ["gates", *(_gates(cost[p]["gates"]) for p in PARTS)],
    ]


def spread_lines(spread: dict[str, Any]) -> list[list[Any]]:
    """Return a line for each number: its name, then smallest, median and largest of all seeds."""
    return [
        [key.replace("_", " "), *(_number(s[k]) for k in ("smallest", "median", "largest"))]
        for key, s in spread.items()
    ]


def _microseconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds * 1e6:.2f} µs"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _number(value: float) -> str:
    return f"{value:g}" if float(value).is_integer() else f"{value:.4g}"


def _gates(gates: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in gates.items()) or "-"
