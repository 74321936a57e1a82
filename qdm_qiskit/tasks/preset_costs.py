"""Cost of 16 images of each preset on fake_torino: the data of `qdm models list`, and its page.

``benchmarks/costs.py`` writes both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch

from ..diffusion import make_process
from ..errors import QdmError
from ..evaluation.run_cost import Kept, Work, run_report
from ..layers import QuantumLayer
from ..models import Denoiser, build_model, resolve
from ..rng import derived_seed
from ..sampling.model_calls import hands_on_states
from ..training.config import resolve_run
from .run_work import run_work, short_chain

__all__ = [
    "BACKEND",
    "IMAGES",
    "SHOTS",
    "SIMULATORS",
    "cost_lines",
    "costs_page",
    "is_classical",
    "preset_cost",
    "refused",
    "targets_of",
]

BACKEND = "fake_torino"
IMAGES = 16
SHOTS = 1024
SIMULATORS = ("engine", "aer", "noisy", "local")


def targets_of(way: str) -> list[str]:
    """Return the kinds of targets for a way of running.

    >>> targets_of("classical"), targets_of("calls")
    (['engine'], ['engine', 'aer', 'noisy', 'local', 'ibm'])
    """
    if way in ("classical", "refused"):
        return ["engine"]
    return [*SIMULATORS, "ibm"]


def preset_cost(name: str, kept: Kept | None = None) -> dict[str, Any]:
    """Return the targets of a preset and the cost of its images, ready for JSON.

    Args:
        name: The preset.
        kept: Circuits that earlier presets had transpiled.

    Returns:
        ``way``: ``classical``, or as :attr:`.Work.way`; ``targets``; and ``runs``, one for each chain
        that is priced: all steps of the process, and 10 of DDIM where the process has more and allows
        it.
    """
    generator = torch.Generator().manual_seed(derived_seed(0, "init", 0))
    model = build_model(resolve(name), generator=generator)
    if is_classical(model):
        return {"way": "classical", "targets": targets_of("classical"), "runs": []}
    process = make_process(resolve_run(name).diffusion)
    works = [run_work(model, process, num_images=IMAGES, shots=SHOTS)]
    short = short_chain(process)
    if short is not None and works[0].way != "coherent":
        works.append(
            replace(
                works[0],
                steps=short["steps"],
                chain=f"{short['steps']} steps of {short['scheduler']}",
            )
        )
    runs = [_run(name, each, Kept() if kept is None else kept) for each in works]
    return {"way": works[0].way, "targets": targets_of(works[0].way), "runs": runs}


def is_classical(model: Denoiser) -> bool:
    """Return True if a model has no circuits, so that the engine is its only target."""
    layers = any(isinstance(each, QuantumLayer) for each in model.modules())
    return not layers and not hands_on_states(model) and not model.num_quantum_parameters


def _run(name: str, work: Work, kept: Kept) -> dict[str, Any]:
    seeds = [derived_seed(0, "transpiler", 0)]
    report = run_report(name, work, [BACKEND], seeds=seeds, shots=SHOTS, kept=kept)
    [device] = report.backends
    told = {"chain": work.chain, "steps": work.steps, "kept": work.kept}
    if work.because:
        told["because"] = work.because
    if device.total is None:
        return {**told, "problem": device.problem}
    rows = device.rows
    return {
        **told,
        "distinct_circuits": len(rows),
        "calls_step": sum(each.calls_step for each in rows),
        "qubits": max(each.qubits for each in rows),
        "largest_two_qubit_gates": max(each.two_qubit_gates or 0 for each in rows),
        "smallest_expected_success": min(each.expected_success or 0.0 for each in rows),
        **asdict(device.total),
    }


def costs_page(costs: Mapping[str, Any]) -> str:
    """Return ``docs/costs.md`` from the file's content."""
    lines = [
        "# What images cost",
        "",
        f"{costs['images']} images of each preset on `{costs['backend']}`, {costs['shots']} shots a "
        "circuit, fresh weights, one transpiler seed at level 3; no circuit ran. "
        "`python benchmarks/costs.py` writes this page and the numbers of `qdm models list` again.",
        "",
        "- *classical*: no circuits, only the engine runs it; *calls*: circuits between classical "
        "arithmetic; *coherent*: all steps in one circuit; *tomography*: states are told from step "
        "to step.",
        "- Steps: all that the preset is trained with; and 10 of DDIM where that fits its process and "
        "is fewer.",
        "- Two-qubit gates: of the largest circuit; *in all*: of all bound circuits, each counted once "
        "whatever its shots. Circuits that differ in their weights only share their numbers.",
        "- QPU seconds: jobs x 2 s + shots x (repetition delay + circuit length), IBM's formula. "
        "Readout calibration is not in it.",
        "- Kept: smallest share of an image's shots that is expected behind it in a coherent chain: "
        "what passes the projections, or of measured ancillas has the drawn history, in the mean. "
        "A chain that keeps less than one shot of those given goes step by step, and a line below the "
        "table says so.",
        "",
        "| preset | way | chain | jobs | circuits | two-qubit gates | in all | shots | QPU seconds "
        "| kept |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, each in costs["presets"].items():
        lines += [f"| {' | '.join(line)} |" for line in cost_lines(name, each)]
    for name, each in costs["presets"].items():
        lines += [
            f"\n{name}: step by step. {run['because']}." for run in each["runs"] if "because" in run
        ]
    if costs["not_priced"]:
        lines += ["", f"Not priced yet: {', '.join(costs['not_priced'])}."]
    return "\n".join([*lines, ""])


def cost_lines(name: str, cost: Mapping[str, Any]) -> list[list[str]]:
    """Return a line of the page for each priced chain of a preset."""
    if not cost["runs"]:
        return [[name, cost["way"], cost.get("problem", "-"), *["-"] * 7]]
    lines = []
    for run in cost["runs"]:
        if "problem" in run:
            lines.append([name, cost["way"], run["problem"], *["-"] * 7])
            continue
        kept = run["kept"]
        share = "-" if kept is None else f"{kept:.2g}"
        lines.append(
            [
                *(name, cost["way"], run["chain"], f"{run['jobs']:,}", f"{run['circuits']:,}"),
                *(f"{run['largest_two_qubit_gates']:,}", f"{run['two_qubit_gates']:,}"),
                *(f"{run['shots']:,}", f"{run['qpu_seconds']:,.0f}", share),
            ]
        )
    return lines


def refused(error: QdmError) -> dict[str, Any]:
    """Return the entry of a preset that cannot be priced, with the reason."""
    return {"way": "refused", "targets": targets_of("refused"), "runs": [], "problem": str(error)}
