"""The gallery of templates: OpenQASM 3, drawing and counts of each, and a page that shows them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..circuits import TEMPLATES, Template
from ..circuits.export import circuit_facts, drawing_svg, qasm_text
from ..errors import InvalidOption, unknown_name
from ..execution.snapshots import load_backend
from ..files import write_together
from ..transpiling.cost import circuit_cost, logical_cost
from ..transpiling.passes import transpile_for

BACKEND, LEVEL, SEED = "fake_torino", 3, 0
"""Device, optimization level and transpiler seed of the counts."""
INDEX = "README.md"
"""The page."""
GROUPS = {
    "encoding": "Encodings: data into states",
    "block": "Blocks: parts of larger circuits",
    "ansatz": "Ansatzes: trainable circuits",
    "denoiser": "Denoisers: a whole backward step of a paper",
}
"""Groups of templates in the order of the page, with their headings."""

Progress = Callable[[str, int, int], None]
"""Called with (template, done, total) before and after each template."""


def gallery_names(names: Iterable[str] | None = None) -> list[str]:
    """The templates to export; all if None.

    Raises:
        UnknownName: If a name is not in the catalogue.
        InvalidOption: If a name stands twice.
    """
    found = list(TEMPLATES if names is None else names)
    for name in found:
        if name not in TEMPLATES:
            raise unknown_name("template", name, TEMPLATES)
    if len(set(found)) < len(found):
        raise InvalidOption(f"Each template is named once, got {', '.join(found)}.")
    return found


def template_facts(template: Template) -> dict[str, Any]:
    """Everything that the gallery says about a template's example, ready for JSON.

    The circuit is counted as it is: without the loader that amplitude encoding needs, and without
    measurements. Device counts are of one transpilation at :data:`LEVEL` and :data:`SEED`.

    Args:
        template: From the catalogue.

    Returns:
        :func:`~qdm_qiskit.circuits.export.circuit_facts`, and counts in one-qubit unitaries and CNOTs
        and on :data:`BACKEND`.
    """
    spec = template.example()
    backend = load_backend(BACKEND)
    logical = logical_cost(spec.circuit)
    cost = circuit_cost(
        transpile_for(spec.circuit, backend, level=LEVEL, seed=SEED), backend.target
    )
    seconds = cost.duration_seconds
    return {
        **circuit_facts(template, spec),
        "decomposed": {
            "depth": logical.depth,
            "cnot_depth": logical.cnot_depth,
            "cnots": logical.cnot_count,
        },
        "transpiled": {
            "backend": BACKEND,
            "level": LEVEL,
            "seed": SEED,
            "depth": cost.depth,
            "two_qubit_depth": cost.two_qubit_depth,
            "two_qubit_gates": cost.two_qubit_count,
            "gates": cost.gates,
            # Rounded: the last bits of a product differ between processors.
            "duration_microseconds": None if seconds is None else round(seconds * 1e6, 3),
            "gate_success": round(cost.gate_success, 4),
        },
    }


def render_gallery(
    names: Iterable[str] | None = None, progress: Progress | None = None
) -> dict[str, bytes]:
    """File name to content, for some templates or for all; the page only for all.

    Args:
        names: Templates; all, and the page, if None.
        progress: Called before and after each template.

    Returns:
        ``NAME.qasm``, ``NAME.svg`` and ``NAME.json`` for each, and :data:`INDEX`.

    Raises:
        UnknownName, InvalidOption: As for :func:`gallery_names`.
    """
    chosen = gallery_names(names)
    files: dict[str, bytes] = {}
    facts = []
    for done, name in enumerate(chosen):
        if progress is not None:
            progress(name, done, len(chosen))
        template = TEMPLATES[name]
        spec = template.example()
        facts.append(template_facts(template))
        files[f"{name}.qasm"] = qasm_text(template, spec).encode()
        files[f"{name}.svg"] = drawing_svg(spec.circuit)
        files[f"{name}.json"] = (json.dumps(facts[-1], indent=1, allow_nan=False) + "\n").encode()
        if progress is not None:
            progress(name, done + 1, len(chosen))
    if names is None:
        files[INDEX] = render_index(facts)
    return files


def write_gallery(
    folder: str | os.PathLike[str],
    names: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> tuple[Path, ...]:
    """Write the gallery, or some templates of it: all files or none.

    Args:
        folder: Where; made if it does not exist. Other files in it stay.
        names: Templates; all, and the page, if None.
        progress: Called before and after each template.

    Returns:
        What was written.

    Raises:
        UnknownName, InvalidOption: As for :func:`gallery_names`.
        OutputNotWritable: If a file cannot be written; nothing has changed then.
    """
    contents = {Path(folder) / k: v for k, v in render_gallery(names, progress).items()}
    write_together(contents)
    return tuple(contents)


def render_index(facts: list[dict[str, Any]]) -> bytes:
    """The page as Markdown: a table of all templates, then each with its drawing."""
    lines = [
        "# The circuit templates",
        "",
        "Generated by `qdm circuits export` (`make gallery`); a test compares these files with what "
        "the code makes.",
        "",
        "Each template is shown with a small example. `q[0]` is the least significant qubit; papers "
        "number wires from the most significant one, which drawings have on top. Angles are radians. "
        "Programs declare their parameters by name, weights before inputs, which is the order of "
        "Qiskit's `circuit.parameters`. "
        "Counts are of the circuit alone, without the loader that amplitude encoding needs and without "
        "measurements: depth and "
        f"CNOTs in one-qubit unitaries and CNOTs, then on {BACKEND} (level {LEVEL}, seed {SEED}); "
        "success is the product of 1 - error over the gates.",
        "",
        "| template | qubits | inputs | weights | depth | CNOTs | device depth | device CZ | success |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_row(each) for each in _ordered(facts)),
    ]
    for group, heading in GROUPS.items():
        members = [each for each in facts if each["group"] == group]
        if members:
            lines += ["", f"## {heading}"]
        for each in members:
            lines += ["", *_section(each)]
    return ("\n".join(lines) + "\n").encode()


def _ordered(facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(facts, key=lambda each: list(GROUPS).index(each["group"]))


def _row(facts: Mapping[str, Any]) -> str:
    name, device = facts["name"], facts["transpiled"]
    cells = [
        f"[{name}](#{name})",
        facts["qubits"]["total"],
        len(facts["parameters"]["inputs"]),
        len(facts["parameters"]["weights"]),
        facts["decomposed"]["depth"],
        facts["decomposed"]["cnots"],
        device["depth"],
        device["two_qubit_gates"],
        f"{device['gate_success']:.3f}",
    ]
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _section(facts: Mapping[str, Any]) -> list[str]:
    name, qubits, parameters = facts["name"], facts["qubits"], facts["parameters"]
    options = ", ".join(f"{key} = {_shown(value)}" for key, value in facts["options"].items())
    order = [
        f"{kind} {_range(parameters[kind])}" for kind in ("weights", "inputs") if parameters[kind]
    ]
    return [
        f"### {name}",
        "",
        facts["summary"],
        "",
        f"* Source: {facts['source']}",
        f"* Example: {options or 'no options'}",
        f"* Qubits: data {_shown(qubits['data'])}, ancilla {_shown(qubits['ancilla'])}; "
        f"data enter as {facts['encoding']}s",
        f"* Parameters, as declared: {', then '.join(order) or 'none'}",
        f"* Read out: {_readout(facts['readout'])}",
        f"* Files: [{name}.qasm]({name}.qasm), [{name}.json]({name}.json)",
        "",
        f"![{name}]({name}.svg)",
    ]


def _range(names: list[str]) -> str:
    return f"`{names[0]}`" if len(names) == 1 else f"`{names[0]}` to `{names[-1]}`"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_shown(each) for each in value) or "none"
    return str(value)


def _readout(readout: Mapping[str, Any]) -> str:
    if readout["kind"] == "expectations":
        shown = readout["observables"][:4]
        more = len(readout["observables"]) - len(shown)
        rest = f" and {more} more" if more else ""
        return f"expectation values of {', '.join(f'`{each}`' for each in shown)}{rest}"
    given = " and ".join(f"q[{qubit}] = {outcome}" for qubit, outcome in readout["postselect"])
    kind = "given" if readout["renormalise"] else "together with"
    condition = f", {kind} {given}" if given else ""
    return f"probabilities of qubits {_shown(readout['qubits'])}{condition}"
