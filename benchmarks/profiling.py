"""How often a training step calls torch, and what each kind of call costs."""

from __future__ import annotations

import time
from statistics import median

from torch.profiler import ProfilerActivity, profile
from workloads import Step

STEPS = 20
SHOWN = 14


def profile_table(title: str, step: Step) -> str:
    """Calls a step and share of time by operation.

    The profiler adds about a microsecond to every call, so shares of small calls are too large; the
    step's time above the table is taken without it. Time outside of torch's operations (Python,
    autograd's bookkeeping) is what the shares leave.
    """
    for _ in range(3):
        step()
    walls = []
    for _ in range(STEPS):
        started = time.perf_counter()
        step()
        walls.append(time.perf_counter() - started)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        started = time.perf_counter()
        for _ in range(STEPS):
            step()
        profiled = (time.perf_counter() - started) / STEPS
    events = [event for event in found.key_averages() if event.key.startswith("aten::")]
    outer = sum(
        event.name.startswith("aten::")
        and not (event.cpu_parent is not None and event.cpu_parent.name.startswith("aten::"))
        for event in found.events()
    )
    inner = sum(event.count for event in events)
    lines = [
        f"{title}: {1e3 * median(walls):.3g} ms, {outer / STEPS:.0f} calls of torch "
        f"({inner / STEPS:.0f} with those inside of them); {1e3 * profiled:.3g} ms under the profiler",
        f"  {'operation':32s} {'calls':>7s} {'us':>8s} {'share':>6s}",
    ]
    events.sort(key=lambda event: -event.self_cpu_time_total)
    total_us = 1e6 * profiled
    for event in events[:SHOWN]:
        micros = event.self_cpu_time_total / STEPS
        lines.append(
            f"  {event.key:32s} {event.count / STEPS:7.1f} {micros:8.1f} {micros / total_us:6.1%}"
        )
    rest = sum(event.self_cpu_time_total for event in events) / STEPS
    lines.append(
        f"  {'all operations':32s} {inner / STEPS:7.1f} {rest:8.1f} {rest / total_us:6.1%}"
    )
    outside = total_us - rest
    lines.append(
        f"  {'outside (Python, autograd)':32s} {'':7s} {outside:8.1f} {outside / total_us:6.1%}"
    )
    return "\n".join(lines) + "\n"
