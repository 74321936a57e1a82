"""The gallery of templates: OpenQASM 3, drawing and counts of each, and a page that shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qiskit import QuantumCircuit, qasm3

from ..circuits import CIRCUITS, Template
from ..circuits.export import circuit_facts, drawing_svg, qasm_text
from ..errors import InvalidOption
from ..execution.snapshots import load_backend
from ..progress import Message, Progress, silent
from ..transpiling.cost import CircuitCost, circuit_cost, logical_cost, readout_success
from ..transpiling.passes import transpile_for

__all__ = [
    "BACKEND",
    "GROUPS",
    "INDEX",
    "LEVEL",
    "MAX_DRAWN",
    "SEED",
    "Entry",
    "entry_files",
    "gallery_names",
    "render_gallery",
    "render_index",
]

BACKEND, LEVEL, SEED = "fake_torino", 3, 0
"""Device, optimization level and transpiler seed of the counts."""
MAX_DRAWN = 1000
"""Gates of the largest circuit that is drawn."""
INDEX = "README.md"
"""The page."""
GROUPS = {
    "encoding": "Encodings: data into states",
    "block": "Blocks: parts of larger circuits",
    "ansatz": "Ansatzes: trainable circuits",
    "denoiser": "Denoisers: a whole backward step of a paper",
}
"""Groups of templates in the order of the page, with their headings."""


def gallery_names(names: Iterable[str] | None = None) -> list[str]:
    """Return the templates to export; all of this package if None.

    Raises:
        UnknownName: If a name is not in the catalogue.
        InvalidOption: If a name stands twice.
    """
    found = list(CIRCUITS.built_in if names is None else names)
    for name in found:
        CIRCUITS.origin(name)
    if len(set(found)) < len(found):
        raise InvalidOption(f"Each template is named once, got {', '.join(found)}.")
    return found


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A template with the options that it is written with, and where it is counted."""

    template: Template
    """Template from the catalogue, perhaps with other options."""
    backend: str = BACKEND
    """The device's snapshot."""
    level: int = LEVEL
    """Optimization level, 0 to 3."""
    seed: int = SEED
    """Seed of the transpiler."""
    layout: tuple[int, ...] | None = None
    """Physical qubit of each qubit; found by Qiskit if None."""
    with_program: bool = False
    """True to write the transpiled circuit and tell its qubits, which the gallery does not."""


def entry_files(entry: Entry) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return all facts and files of a template.

    The circuit is counted as it is: without the loader that amplitude encoding needs, and without
    measurements, which only the choice of its qubits takes into account.

    Args:
        entry: The template and its device.

    Returns:
        Facts, ready for JSON: :func:`~qdm_qiskit.circuits.export.circuit_facts`, and counts in
        one-qubit unitaries and CNOTs and on the device. Then file name to content: ``NAME.qasm``,
        ``NAME.json``, ``NAME.svg`` (of up to :data:`MAX_DRAWN` gates), and ``NAME.BACKEND.qasm`` if
        the entry asks for it.

    Raises:
        UnknownName: If there is no such device.
        InvalidTemplate: If the template refuses its options.
        UnsupportedCircuit: If the device is too small, or does not say its errors.
    """
    template, spec = entry.template, entry.template.example()
    backend = load_backend(entry.backend)
    measured = spec.readout.measured
    isa = transpile_for(
        spec.circuit,
        backend,
        level=entry.level,
        seed=entry.seed,
        initial_layout=entry.layout,
        read=measured,
    )
    places = isa.layout.final_index_layout()
    reading = readout_success(backend.target, [places[qubit] for qubit in measured])
    device = _on_device(entry, isa, circuit_cost(isa, backend.target), reading)
    logical = logical_cost(spec.circuit)
    facts = {
        **circuit_facts(template, spec),
        "decomposed": {
            "depth": logical.depth,
            "cnot_depth": logical.cnot_depth,
            "cnots": logical.cnot_count,
        },
        "transpiled": device,
    }
    name = template.name
    files = {f"{name}.qasm": qasm_text(template, spec).encode()}
    if spec.circuit.size() <= MAX_DRAWN:
        files[f"{name}.svg"] = drawing_svg(spec.circuit)
    files[f"{name}.json"] = (json.dumps(facts, indent=1, allow_nan=False) + "\n").encode()
    if entry.with_program:
        files[f"{name}.{entry.backend}.qasm"] = _device_program(entry, isa, device).encode()
    return facts, files


def _on_device(
    entry: Entry, isa: QuantumCircuit, cost: CircuitCost, reading: float
) -> dict[str, Any]:
    seconds = cost.duration_seconds
    facts: dict[str, Any] = {
        "backend": entry.backend,
        "level": entry.level,
        "seed": entry.seed,
        "depth": cost.depth,
        "two_qubit_depth": cost.two_qubit_depth,
        "two_qubit_gates": cost.two_qubit_count,
        "gates": cost.gates,
        # Rounded: the last bits of a product differ between processors.
        "duration_microseconds": None if seconds is None else round(seconds * 1e6, 3),
        "gate_success": round(cost.gate_success, 4),
        "readout_success": round(reading, 4),
    }
    if entry.with_program:
        facts["cnots"] = cost.cnot_equivalents
        facts["qubits_at_start"] = isa.layout.initial_index_layout(filter_ancillas=True)
        facts["qubits_at_end"] = isa.layout.final_index_layout()
    return facts


def _device_program(entry: Entry, isa: QuantumCircuit, device: Mapping[str, Any]) -> str:
    """Return the transpiled circuit in OpenQASM 3, on physical qubits, under comments."""
    place = f"{entry.backend} (level {entry.level}, seed {entry.seed})"
    head = [
        f"{entry.template.name}, transpiled for {place}",
        f"Source: {entry.template.source}",
        f"Depth {device['depth']}, {device['two_qubit_gates']} two-qubit gates, worth "
        f"{device['cnots']} CNOTs",
        f"q[0], q[1], ... begin on {_physical(device['qubits_at_start'])}",
        f"and end on {_physical(device['qubits_at_end'])}",
    ]
    return "".join(f"// {line}\n" for line in head) + qasm3.dumps(isa).rstrip("\n") + "\n"


def _physical(qubits: list[int]) -> str:
    return ", ".join(f"${qubit}" for qubit in qubits)


def render_gallery(
    entries: Iterable[Entry] | None = None, progress: Progress = silent
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Render the files of some templates, or the whole gallery with its page.

    Args:
        entries: Templates and their devices; all of this package, and the page, if None.
        progress: Receives each template's name before and after it.

    Returns:
        The facts of each, and file name to content: as :func:`entry_files`, and :data:`INDEX`.

    Raises: as :func:`entry_files`.
    """
    chosen = [Entry(template=CIRCUITS.get(name)) for name in CIRCUITS.built_in]
    if entries is not None:
        chosen = list(entries)
    files: dict[str, bytes] = {}
    facts = []
    for done, entry in enumerate(chosen):
        progress(Message(entry.template.name, done, len(chosen)))
        said, written = entry_files(entry)
        facts.append(said)
        files |= written
        progress(Message(entry.template.name, done + 1, len(chosen)))
    if entries is None:
        files[INDEX] = render_index(facts)
    return facts, files


def render_index(facts: list[dict[str, Any]]) -> bytes:
    """Render the page as Markdown: a table of all templates, then each with its drawing."""
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
        "success is the product of the fidelities of the gates' noise, reading that of 1 - error of "
        "the readouts; the layout weighs both.",
        "",
        "| template | qubits | inputs | weights | depth | CNOTs | device depth | device CZ | success "
        "| reading |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
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
        f"{device['readout_success']:.3f}",
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
