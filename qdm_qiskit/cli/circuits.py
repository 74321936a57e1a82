"""``qdm circuits``: the templates, what they can do, and the gallery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .models import JsonOption, SetOption

if TYPE_CHECKING:
    from ..analysis import CircuitAnalysis, GradientScan
    from ..circuits import CircuitSpec, Template
    from ..reports.gallery import Entry

app = typer.Typer(help="Circuit templates: list, show, analyze, export them.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="A template from `qdm circuits list`.")]
LABELS = {
    "expressibility_kl": "KL to Haar",
    "frame_potential": "frame potential",
    "meyer_wallach": "Meyer-Wallach Q",
    "gradient_variance_global": "gradient variance, global",
    "gradient_variance_local": "gradient variance, local",
    "fisher_rank": "independent directions",
}
"""What the numbers of an analysis are called in a table."""
MAX_DRAWN = 2000
"""Gates of the largest circuit that is drawn in the terminal."""

QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        help="Snapshot, as fake_torino, whose couplings take the place of 'entanglement'."
    ),
]


@app.command("list")
def list_templates(as_json: JsonOption = False) -> None:
    """List the circuit templates with the size of their example.

    Example:

        qdm circuits list --json
    """
    from ..circuits import TEMPLATES

    rows = [_row(template) for template in TEMPLATES.values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Column, Table

    numbers = [Column(name, justify="right") for name in ("qubits", "inputs", "weights")]
    table = Table(Column("template", no_wrap=True), "group", *numbers)
    for row in rows:
        counts = (str(row[key]) for key in ("qubits", "inputs", "weights"))
        table.add_row(row["name"], row["group"], *counts)
    console = Console()
    console.print(table)
    for row in rows:
        console.print(f"{row['name']}: {row['summary']}", highlight=False, markup=False)


def _row(template: Template) -> dict[str, Any]:
    spec = template.example()
    return {
        "name": template.name,
        "group": template.group,
        "qubits": spec.num_qubits,
        "inputs": len(spec.inputs),
        "weights": len(spec.weights),
        "options": dict(template.options),
        "summary": template.summary,
        "source": template.source,
    }


@app.command("show")
def show(
    name: NameArgument,
    settings: SetOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one template: its options, qubit roles, parameters, counts and drawing.

    Without --set this is the small example of the gallery. With --device, hardware_efficient follows
    the couplings of a connected region of a device, whose qubits are named.

    Example:

        qdm circuits show eeqdm --set num_data=6 --set depth=3
    """
    import shutil

    from ..circuits.export import circuit_facts, drawing_text

    template, spec = _configured(name, settings, device=device)
    facts = circuit_facts(template, spec)
    if device is not None:
        # Of qubit 0, 1, ...: wires are numbered the other way round.
        facts["device"] = {"name": device, "qubits": _region(device, spec.num_qubits)[0][::-1]}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    typer.echo(f"{template.name}: {template.summary}")
    typer.echo(f"source      {template.source}")
    for key, value in facts["options"].items():
        typer.echo(f"option      {key} = {value}")
    qubits = facts["qubits"]
    typer.echo(f"qubits      {qubits['total']}: data {qubits['data']}, ancilla {qubits['ancilla']}")
    if device is not None:
        typer.echo(
            f"device      {device}: q[0], q[1], ... on its qubits {facts['device']['qubits']}"
        )
    typer.echo(f"data enter  as {facts['encoding']}s")
    for kind, names in facts["parameters"].items():
        shown = f": {names[0]} .. {names[-1]}" if names else ""
        typer.echo(f"{kind:<10}  {len(names)}{shown}")
    typer.echo(f"read out    {facts['readout']['outputs']} {facts['readout']['kind']}")
    gates = ", ".join(f"{count} {gate}" for gate, count in facts["gates"].items())
    typer.echo(f"counts      depth {facts['depth']}, {gates or 'no gates'}")
    if spec.circuit.size() > MAX_DRAWN:
        typer.echo(f"(more than {MAX_DRAWN} gates: not drawn)")
        return
    typer.echo(drawing_text(spec.circuit, shutil.get_terminal_size((100, 24)).columns))


@app.command("analyze")
def analyze(
    name: NameArgument,
    settings: SetOption = None,
    device: DeviceOption = None,
    samples: Annotated[
        int, typer.Option(help="Random states of a repeat, and points for gradients.")
    ] = 300,
    repeats: Annotated[int, typer.Option(help="Independent repeats of the expressibility.")] = 10,
    start_angle: Annotated[
        float, typer.Option(help="RY of this angle in radians on each qubit first.")
    ] = 0.0,
    scan: Annotated[
        list[str] | None,
        typer.Option(
            help="Values of an option for a scan of gradients over sizes; several options go together.",
            metavar="NAME=V,V,...",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random angles.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for pictures and numbers.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure a template's expressibility, entanglement, gradients and geometry, with intervals.

    Every parameter is drawn uniformly from 0 to 2 pi. With --out, pictures and analysis.json are
    written; without it, nothing. A scan measures gradients of a global and a local cost at each size.

    Example:

        qdm circuits analyze eeqdm --samples 50 --scan num_data=2,3,4 --out reports/eeqdm
    """
    from rich.console import Console
    from rich.progress import Progress

    from ..analysis import analyse, gradient_scan
    from ..analysis.gradients import scan_circuits
    from ..analysis.pictures import analysis_pictures, scan_picture
    from ..circuits.export import circuit_facts
    from ..files import check_writable, write_together
    from ..rng import stream

    template, spec = _configured(name, settings, device=device)
    sizes = _scanned(name, settings, scan or [], device)
    if sizes:
        scan_circuits(sizes)  # refused before minutes of work, not behind them
    if out is not None:
        check_writable(out)
    console = Console(stderr=True)
    with Progress(
        console=console, disable=quiet or not console.is_interactive, transient=True
    ) as bar:
        task = bar.add_task(name, total=1)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        analysis = analyse(
            spec,
            samples=samples,
            repeats=repeats,
            seed=seed,
            start_angle=start_angle,
            progress=tell,
        )
        scans = {
            f"{cost} cost": gradient_scan(
                sizes,
                cost,
                samples=samples,
                generator=stream(seed, "evaluation", 6, k),
                start_angle=start_angle,
                progress=lambda done, total: tell("scan", done, total),
            )
            for k, cost in enumerate(analysis.gradients if sizes else ())
        }
        tell("pictures", 0, 1)
        pictures = {} if out is None else analysis_pictures(analysis)
        if scans and out is not None:
            pictures["scan.png"] = scan_picture(scans, name)
    options = circuit_facts(template, spec)["options"]
    found = {
        **analysis.to_dict(),
        "options": options,
        "scans": {k: _scan_row(v) for k, v in scans.items()},
    }
    text = json.dumps(found, indent=2, allow_nan=False)
    if out is not None:
        pictures["analysis.json"] = (text + "\n").encode()
        write_together({out / key: content for key, content in pictures.items()})
    if as_json:
        typer.echo(text)
        return
    _print_analysis(analysis, scans)
    for key in pictures:
        typer.echo(f"written  {out}/{key}")


@app.command("export")
def export(
    names: Annotated[
        list[str] | None, typer.Argument(help="Templates; all and the index page if none.")
    ] = None,
    settings: SetOption = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Snapshot, as fake_torino, for which circuits are transpiled and written."
        ),
    ] = None,
    level: Annotated[
        int | None, typer.Option(min=0, max=3, help="Qiskit's optimization level; 3 if not given.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the transpiler; 0 if not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the gallery.")] = Path("circuits"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write templates as OpenQASM 3, drawing and JSON, with counts on a device.

    Without names, all are written, and README.md with them. With --device, the transpiled circuit is
    written as well, on the device's qubits; hardware_efficient follows the couplings of a region, as
    in `qdm circuits show`, unless --set entanglement chooses. All files appear or none.

    Example:

        qdm circuits export eeqdm --set depth=3 --device fake_torino --out reports/circuits
    """
    from rich.console import Console
    from rich.progress import Progress

    from ..files import check_writable, write_together
    from ..reports.gallery import render_gallery

    entries = _entries(names or [], settings, device, level, seed)
    check_writable(out)
    console = Console(stderr=True)
    with Progress(
        console=console, disable=quiet or not console.is_interactive, transient=True
    ) as bar:
        task = bar.add_task("templates", total=None)
        facts, files = render_gallery(
            entries,
            lambda name, done, total: bar.update(
                task, description=name, completed=done, total=total
            ),
        )
    write_together({out / name: content for name, content in files.items()})
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for each in facts if device is not None else ():
        found = each["transpiled"]
        typer.echo(
            f"{each['name']} on {device} (level {found['level']}, seed {found['seed']}): "
            f"depth {found['depth']}, {found['two_qubit_gates']} two-qubit gates, worth "
            f"{found['cnots']} CNOTs, gate success {found['gate_success']:.3f}"
        )
    typer.echo(f"written  {len(files)} files in {out}")


def _entries(
    names: list[str],
    settings: list[str] | None,
    device: str | None,
    level: int | None,
    seed: int | None,
) -> list[Entry] | None:
    """What to export; None for the whole gallery."""
    from ..errors import InvalidOption
    from ..execution.snapshots import load_backend
    from ..options import parse_assignments
    from ..reports.gallery import LEVEL, SEED, Entry, gallery_names

    gallery_names(names)
    if settings and len(names) != 1:
        raise InvalidOption(f"--set is for one template, got {len(names) or 'none'}: name one.")
    if device is None:
        if level is not None or seed is not None:
            raise InvalidOption("--level and --seed are the transpiler's: give --device too.")
        return [Entry(template=_configured(name, settings)[0]) for name in names] or None
    load_backend(device)
    if not names:
        raise InvalidOption("--device is for templates by name; the gallery has its own device.")
    entries = []
    for name in names:
        template, spec = _configured(name, settings)
        layout = None
        if "entanglement" in template.options and "entanglement" not in parse_assignments(
            settings or []
        ):
            template, spec = _configured(name, settings, device=device)
            layout = tuple(_region(device, spec.num_qubits)[0][::-1])
        entries.append(
            Entry(
                template=template,
                backend=device,
                level=LEVEL if level is None else level,
                seed=SEED if seed is None else seed,
                layout=layout,
                with_program=True,
            )
        )
    return entries


def _configured(
    name: str,
    settings: list[str] | None,
    changes: dict[str, str] | None = None,
    device: str | None = None,
) -> tuple[Template, CircuitSpec]:
    """A template with some options changed, on a device's couplings if asked; and its spec."""
    from dataclasses import replace

    from ..circuits import TEMPLATES
    from ..errors import InvalidOption, unknown_name
    from ..options import parse_assignments

    if name not in TEMPLATES:
        raise unknown_name("template", name, TEMPLATES)
    template = TEMPLATES[name]
    options = dict(template.options)
    assigned = {**parse_assignments(settings or []), **(changes or {})}
    for key, text in assigned.items():
        if key not in options:
            kind = f"option of '{name}' called"
            raise InvalidOption(str(unknown_name(kind, key, options)))
        options[key] = _converted(key, text, options[key])
    if device is not None:
        if "entanglement" not in options:
            raise InvalidOption(
                f"'{name}' has no choice of couplings to take from a device; hardware_efficient has."
            )
        if "entanglement" in assigned:
            raise InvalidOption("--device sets 'entanglement': give one of the two, not both.")
        options["entanglement"] = tuple(_region(device, options["num_wires"])[1])
    configured = replace(template, options=options)
    return configured, configured.example()


def _region(device: str, num_wires: object) -> tuple[list[int], list[tuple[int, int]]]:
    """A device's qubits by wire, and the pairs of wires that it couples."""
    from ..circuits import device_region, working_couplings
    from ..execution.snapshots import load_backend

    assert isinstance(num_wires, int)  # as in the catalogue: options keep the kind of the example
    return device_region(working_couplings(load_backend(device).target), num_wires)


def _converted(key: str, text: str, example: object) -> object:
    """Text as a value of the example's kind."""
    from ..errors import InvalidOption
    from ..options import convert

    if isinstance(example, bool | int | float | str):
        return convert(key, text, type(example))
    if isinstance(example, tuple) and all(type(each) is int for each in example):
        return convert(key, text, tuple[int, ...])
    if isinstance(example, tuple) and all(isinstance(each, str) for each in example):
        return convert(key, text, tuple[str, ...])
    raise InvalidOption(f"'{key}' can be set from Python only; leave it out here.")


def _scanned(
    name: str, settings: list[str] | None, scan: list[str], device: str | None
) -> list[CircuitSpec]:
    """The specs of a scan: the n-th values of all scanned options make the n-th size."""
    from ..errors import InvalidOption
    from ..options import parse_assignments

    lists = {key: text.split(",") for key, text in parse_assignments(scan).items()}
    if len({len(values) for values in lists.values()}) > 1:
        raise InvalidOption(
            "Scanned options have one number of values, got "
            f"{', '.join(f'{len(v)} of {k}' for k, v in lists.items())}."
        )
    count = len(next(iter(lists.values()), []))
    return [
        _configured(name, settings, {key: values[k] for key, values in lists.items()}, device)[1]
        for k in range(count)
    ]


def _scan_row(scan: GradientScan) -> dict[str, Any]:
    from dataclasses import asdict

    row: dict[str, Any] = {
        "qubits": list(scan.qubits),
        "variances": [each.to_dict() for each in scan.variances],
    }
    if len(scan.qubits) >= 3 and all(each.low > 0 for each in scan.variances):
        row["exponential"], row["power_law"] = asdict(scan.exponential()), asdict(scan.power_law())
    return row


def _print_analysis(analysis: CircuitAnalysis, scans: dict[str, GradientScan]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    console = Console()
    console.print(
        f"{analysis.name}: {analysis.num_qubits} qubits, {analysis.num_parameters} parameters; "
        f"{analysis.samples} samples, {analysis.repeats} repeats, seed {analysis.seed}",
        highlight=False,
        soft_wrap=True,
    )
    columns = (Column(head, justify="right") for head in ("value", "95 % interval", "Haar, bound"))
    table = Table(Column("", no_wrap=True), *columns)
    for name, (estimate, reference) in analysis.estimates().items():
        interval = f"{estimate.low:.4g} .. {estimate.high:.4g}"
        table.add_row(LABELS[name], f"{estimate.value:.4g}", interval, f"{reference:.4g}")
    console.print(table)
    for label, scan in scans.items():
        points = ", ".join(
            f"{n}: {each.value:.3g}" for n, each in zip(scan.qubits, scan.variances, strict=True)
        )
        typer.echo(f"gradient variance by qubits, {label}: {points}")
        row = _scan_row(scan)
        if "exponential" in row:
            fit, power = row["exponential"], row["power_law"]
            typer.echo(
                f"  2^({fit['slope']:.2f} ± {fit['error']:.2f}) a qubit "
                f"(chi squared {fit['chi_squared']:.0f}), or qubits^({power['slope']:.2f} ± "
                f"{power['error']:.2f}) (chi squared {power['chi_squared']:.0f})"
            )
