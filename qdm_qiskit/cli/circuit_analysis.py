"""``qdm circuits analyze``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .circuit_options import DeviceOption, NameArgument, QuietOption, configured
from .models import JsonOption, SetOption

if TYPE_CHECKING:
    from ..analysis import CircuitAnalysis, GradientScan
    from ..circuits import CircuitSpec

__all__ = [
    "LABELS",
    "analyze",
]

LABELS = {
    "expressibility_kl": "KL to Haar",
    "frame_potential": "frame potential",
    "meyer_wallach": "Meyer-Wallach Q",
    "gradient_variance_global": "gradient variance, global",
    "gradient_variance_local": "gradient variance, local",
    "fisher_rank": "independent directions",
}
"""Names of an analysis's numbers in a table."""


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
    from ..progress import Message
    from ..rng import stream

    template, spec = configured(name, settings, device=device)
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

        def tell(each: Message) -> None:
            bar.update(task, description=each, completed=each.done, total=each.total)

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
                progress=tell,
            )
            for k, cost in enumerate(analysis.gradients if sizes else ())
        }
        tell(Message("pictures", 0, 1))
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


def _scanned(
    name: str, settings: list[str] | None, scan: list[str], device: str | None
) -> list[CircuitSpec]:
    """Return a scan's specs: the n-th values of all scanned options make the n-th size."""
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
        configured(name, settings, {key: values[k] for key, values in lists.items()}, device)[1]
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
