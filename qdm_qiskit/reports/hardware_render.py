"""The page of a hardware run as Markdown and HTML, and its files; functions of plain values."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from ..arguments import checked_path
from ..evaluation.hardware_run import HardwarePictures, HardwareReport
from ..files import write_together
from ..pages import Bars, Chart, Curve, Notes, Page, Part, Section, Table, render_page
from .chips import chip_part
from .decision_rows import decision_section
from .figures import check_formats, paper_figures, png_bytes
from .hardware_figures import draw_report, is_coherent, times_of
from .page_images import chain_part
from .qnn_render import COLUMNS, output_dots, output_rows, output_sentences
from .training_render import LOSSES, loss_charts, loss_rows, loss_sentences

__all__ = [
    "FILES",
    "MOST_JOBS",
    "hardware_page",
    "render_markdown",
    "write_hardware_report",
]

FILES = ("report.json", "report.md", "report.html", "report.png")
MOST_JOBS = 200
"""Most jobs that have a bar each on the page; the table has all."""
_STEP_COLUMNS = (
    ("t", "step"),
    ("shots", "shots"),
    ("distance, shots alone", "shot_distance"),
    ("distance, raw", "raw_distance"),
    ("distance, mitigated", "mitigated_distance"),
    ("fidelity, raw", "raw_fidelity"),
    ("fidelity, mitigated", "mitigated_fidelity"),
    ("calibration", "calibration"),
)
_SPREAD_COLUMNS = (
    ("t", "step"),
    ("call", "call"),
    ("shots", "shots"),
    ("squared error of the images", "share"),
)
_CALL_COLUMNS = (("standard error of outputs", "standard_error"), ("shots kept", "kept"))
"""Columns of steps of several calls, where there is something to show."""
_ERROR_COLUMNS = (
    ("call", "name"),
    ("standard error of outputs", "mean"),
    ("largest of a step", "largest"),
)
ERRORS_ARE = (
    "Root mean squares over rows, outputs and steps; the shots of a readout calibration count."
)
_JOB_COLUMNS = (
    ("job", "part"),
    ("id", "job_id"),
    ("role", "role"),
    ("state", "state"),
    ("QPU s, estimated", "estimated"),
    ("QPU s, charged", "charged"),
)


def render_markdown(report: dict[str, Any]) -> str:
    """Render the page as Markdown.

    Args:
        report: Result of ``HardwareReport.to_dict``.
    """
    lines = [f"# Hardware run {report['run']}", "", _headline(report), ""]
    lines += [f"![{_pictured(report)}](report.png)", ""]
    for title, sentences, columns, rows in _sections(report):
        lines += [f"## {title}", "", *[f"* {each}" for each in sentences], ""]
        if rows:
            lines.append("| " + " | ".join(name for name, _ in columns) + " |")
            lines.append("|" + "---|" * len(columns))
            for row in rows:
                cells = [_cell(row[key]).replace("|", "\\|") for _, key in columns]
                lines.append("| " + " | ".join(cells) + " |")
            lines.append("")
    return "\n".join(lines)


def hardware_page(report: dict[str, Any], pictures: HardwarePictures) -> Page:
    """Return the page of a run for a browser.

    Args:
        report: The same as for :func:`render_markdown`.
        pictures: The images of the run; of a QNN and of training none are shown.
    """
    drawn: dict[str, Callable[[], Sequence[Part]]] = {
        "Images": lambda: _chain(report, pictures),
        "Outputs": lambda: output_dots(report),
        "Training": lambda: loss_charts(report),
        "Steps": lambda: _step_charts(report),
        "Cost": lambda: _cost_bars(report),
        "Where it ran": lambda: _chip(report, pictures),
    }
    titles = {"Cost": "Cost, and where it went"}
    sections = []
    for title, sentences, columns, rows in _sections(report):
        parts: list[Part] = [Notes(sentences)] if sentences else []
        parts += drawn[title]() if title in drawn else []
        if rows:
            cells = [[_cell(row[key]) for _, key in columns] for row in rows]
            parts.append(Table([name for name, _ in columns], cells))
        sections.append(Section(titles.get(title, title), parts))
    return Page(f"Hardware run {report['run']}", _headline(report), sections)


def _chain(report: dict[str, Any], pictures: HardwarePictures) -> list[Part]:
    """Return the images by step, with what was measured on the way to each."""
    times = times_of(report, len(pictures.trajectory))
    notes = ["x_T, the noise that the chain begins with"]
    for step in report["steps"][: len(times) - 1]:
        said = [f"{step['shots']} shots"]
        said += [
            f"{name} {step[key]:.3f}"
            for name, key in (
                ("distance from exact, raw", "raw_distance"),
                ("mitigated", "mitigated_distance"),
                ("shots alone", "shot_distance"),
            )
            if step[key] is not None
        ]
        notes.append(f"after step {step['step']}: {', '.join(said)}")
    return [
        chain_part(
            "images by step",
            {"measured": pictures.trajectory, "exact chain": pictures.exact},
            [f"t = {t}" for t in times],
            notes if len(notes) == len(times) else (),
        )
    ]


def _step_charts(report: dict[str, Any]) -> list[Part]:
    """Return distance and fidelity by step; nothing of a single step or without distributions."""
    steps = report["steps"]
    if len(steps) < 2 or steps[0]["raw_distance"] is None:
        return []
    t = [each["step"] for each in steps]

    def curves(*named: tuple[str, str]) -> list[Curve]:
        return [
            Curve(name, t, [each[key] for each in steps], dashed=name == "shots alone")
            for name, key in named
            if all(each[key] is not None for each in steps)
        ]

    falls = "training" not in report
    label = "t" if falls else "steps to go"
    distances = curves(
        ("raw", "raw_distance"),
        ("mitigated", "mitigated_distance"),
        ("shots alone", "shot_distance"),
    )
    fidelities = curves(("raw", "raw_fidelity"), ("mitigated", "mitigated_fidelity"))
    return [
        Chart("distance from exact (total variation)", label, "distance", distances, falling=True),
        Chart("fidelity to exact (Hellinger)", label, "fidelity", fidelities, falling=True),
    ]


def _cost_bars(report: dict[str, Any]) -> list[Part]:
    """Return QPU seconds by what they were for, and by job."""
    jobs = report["jobs"]
    if not jobs:
        return []
    kinds = {"step": "steps", "calibration": "readout calibration", "refit": "refit to the device"}
    spent: dict[str, dict[str, float]] = {"estimated": {}, "charged": {}}
    for job in jobs:
        kind = kinds.get(job["part"].partition("-")[0], job["part"])
        kind += "" if job["role"] == "main" else f", {job['role']}"
        for column, seconds in spent.items():
            seconds[kind] = seconds.get(kind, 0.0) + (job[column] or 0.0)
    charged = report["seconds_charged"]
    waits = 0.0 if charged is None else charged - sum(spent["charged"].values())
    if report["cost_known"] and waits > 1e-3:
        spent["charged"]["waits between jobs of a session"] = waits
    rows = ["estimated", "charged"] if report["spends"] else ["estimated"]
    names = list(dict.fromkeys(kind for row in rows for kind in spent[row]))
    series = [(kind, [spent[row].get(kind) for row in rows]) for kind in names]
    found: list[Part] = [Bars("where the QPU seconds go", rows, series, stacked=True)]
    if len(jobs) <= MOST_JOBS:
        by_job = [(row, [job[row] for job in jobs]) for row in rows]
        labels = [f"{job['part']} {'' if job['role'] == 'main' else job['role']}" for job in jobs]
        found.append(Bars("QPU seconds by job", [each.strip() for each in labels], by_job))
    return found


def _chip(report: dict[str, Any], pictures: HardwarePictures) -> list[Part]:
    """Return the device with the circuit on it, where its errors are at hand."""
    if pictures.chip is None:
        if report["circuit"]["expected_success"] is None:
            return []  # no device at all
        said = "its errors, or the circuits, cannot be read on this machine."
        return [Notes([f"{report['backend']} is not drawn: {said}"])]
    return [chip_part(pictures.chip, report["backend"])]


_Described = tuple[str, list[str], tuple[tuple[str, str], ...], list[dict[str, Any]]]
"""Title, sentences, columns (with their keys) and rows of a part of the page."""


def _sections(report: dict[str, Any]) -> list[_Described]:
    """Return title, sentences, columns and rows of each part of the page."""
    subject: _Described = ("Images", _image_sentences(report), (), [])
    if report["qnn"] is not None:
        subject = ("Outputs", output_sentences(report), COLUMNS, output_rows(report))
    if "training" in report:
        subject = ("Training", loss_sentences(report), LOSSES, loss_rows(report))
    return [
        subject,
        (
            "Steps" if report["qnn"] is None else "Circuits",
            _step_sentences(report),
            _step_columns(report["steps"], training="training" in report),
            report["steps"],
        ),
        *_error_section(report["steps"]),
        *_shots_section(report),
        *decision_section(report),
        ("Cost", _cost_sentences(report), _JOB_COLUMNS, report["jobs"]),
        ("Where it ran", _place_sentences(report), (), []),
    ]


def _shots_section(report: dict[str, Any]) -> list[_Described]:
    """Return the shots of each call, where they differ."""
    spread = report.get("shots_of_calls")
    if spread is None:
        return []
    said = (
        f"Shots by the rule '{spread['rule']}'. Shot noise alone left {spread['pilot_error']:.3f} a "
        f"pixel in pilot chains (root mean square), {spread['pilot_error_uniform']:.3f} with uniform "
        "shots. "
        "The mean square is the sum of the last column, to first order."
    )
    return [("Shots of the calls", [said], _SPREAD_COLUMNS, spread["calls"])]


def _error_section(steps: list[dict[str, Any]]) -> list[_Described]:
    """Return the standard errors of each call's outputs over the steps; nothing of a single call."""
    found: dict[str, list[float]] = {}
    for step in steps:
        for name, error in step.get("call_errors", {}).items():
            found.setdefault(name, []).append(error)
    # Of a single call the table of steps says it, unless an Estimator answered.
    if not found or (len(found) == 1 and any(s["standard_error"] is not None for s in steps)):
        return []
    rows = [
        {"name": name, "mean": sqrt(fmean(e**2 for e in each)), "largest": max(each)}
        for name, each in found.items()
    ]
    return [("Standard errors", [ERRORS_ARE], _ERROR_COLUMNS, rows)]


def _step_columns(
    steps: list[dict[str, Any]], *, training: bool = False
) -> tuple[tuple[str, str], ...]:
    more = [each for each in _CALL_COLUMNS if any(s.get(each[1]) is not None for s in steps)]
    first = (("steps to go", "step"),) if training else _STEP_COLUMNS[:1]
    return (*first, *_STEP_COLUMNS[1:], *more)


def _headline(report: dict[str, Any]) -> str:
    circuit = report["circuit"]
    success = circuit["expected_success"]
    answered = len(report["steps"])
    if "routing" in report:  # the steps are those of the device alone
        answered = report["routing"]["steps_answered"]
    steps = f"{answered} of {report['num_steps']} steps"
    state = "done" if report["done"] else steps
    if report["cancelled"]:
        state = f"cancelled after {steps}"
    num_steps = report["num_steps"]
    if is_coherent(report):
        num_steps = f"{report['chain']['steps']} in one circuit"
    subject = (
        f"{report['model']} on {report['target']}, {_images(report['images'])}, T = {num_steps}"
    )
    if report["qnn"] is not None:
        rows = "1 row" if report["images"] == 1 else f"{report['images']} rows"
        subject = f"{report['qnn']['kind']} on {report['target']}, {rows}"
    if "training" in report:
        images = _images(report["images"])
        subject = f"{report['model']} trained on {report['target']}, {images} with noise a step"
    return (
        f"{subject}, {state}; {circuit['qubits']} qubits, depth {circuit['depth']}, "
        f"{circuit['two_qubit_gates']} two-qubit gates"
        + ("." if success is None else f", expected success {success:.3f}.")
    )


def _chain_sentences(report: dict[str, Any]) -> list[str]:
    """Say which way the chain went, and how many shots it was to keep and kept."""
    if "chain" not in report:
        return []
    chain = report["chain"]
    if not is_coherent(report):
        return [f"The chain went step by step: {chain['because']}"]
    ancillas = "measured, reset and used again" if chain["reuses_qubits"] else "fresh qubits"
    said = [f"All {chain['steps']} steps are one circuit, whose ancillas are {ancillas}."]
    of = f"of the {chain['shots']:,} shots of an image"
    wanted, kept = chain["expected_kept"], chain["kept"]
    if chain["histories"] is not None:
        said.append(
            f"Each image has one history of its ancillas, which {_range(kept)} {of} in each basis "
            f"showed; in the mean over histories {_range(wanted)} were expected."
        )
    else:
        said.append(
            f"Its projections were expected to keep {_range(wanted)} {of}, and kept {_range(kept)}."
        )
    return said


def _range(values: list[float]) -> str:
    least, most = f"{min(values):.3g}", f"{max(values):.3g}"
    return least if least == most else f"{least} to {most}"


def _pictured(report: dict[str, Any]) -> str:
    """Return the words in place of the picture."""
    if "training" in report:
        return "losses, cost"
    return "images, distances, cost" if report["qnn"] is None else "outputs, cost"


def _images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"


def _image_sentences(report: dict[str, Any]) -> list[str]:
    sentences = [report["replay"]]
    if report["image_error"] is not None:
        sentences.append(
            f"The final images are {report['image_error']:.3f} a pixel (root mean square) from those "
            "of the exact chain, which starts from the same x_T: shot noise and the device's noise "
            "of all steps together."
        )
    return sentences


def _step_sentences(report: dict[str, Any]) -> list[str]:
    if all(each.get("route", "device") != "device" for each in report["steps"]):
        return ["The device answered no step, so no distribution is compared."]
    if report["steps"][0]["raw_distance"] is None:
        return [
            "No distributions are compared: an Estimator gives values alone, and circuits of too many "
            "qubits have none that can be computed."
        ]
    raw = np.mean([each["raw_distance"] for each in report["steps"]])
    over = "images" if report["qnn"] is None and "training" not in report else "rows"
    shots = np.mean([each["shot_distance"] for each in report["steps"]])
    sentences = [
        "Distance is the total variation distance of a step's measured distribution from the exact "
        f"one of the same circuits, shot noise included; fidelity is Hellinger's. Means over {over}.",
        f"Raw, mean over the steps: {raw:.3f}; shot noise alone would leave {shots:.3f}.",
    ]
    mitigated = [each["mitigated_distance"] for each in report["steps"]]
    if None not in mitigated:
        mean = float(np.mean(mitigated))
        change = "closer to exact" if mean < raw else "no closer to exact"
        sentences.append(
            f"Mitigated: {mean:.3f}; mitigation brought the distributions {change} "
            f"({mean - raw:+.3f})."
        )
    sentences += _chain_sentences(report)
    if report["note"]:
        sentences.append(f"{report['note'][0].upper()}{report['note'][1:]}.")
    return sentences


def _cost_sentences(report: dict[str, Any]) -> list[str]:
    estimated, charged = report["seconds_estimated"], report["seconds_charged"]
    if charged is None:
        return [f"Estimated {estimated:.1f} QPU seconds; the run is not finished."]
    if not report["done"]:
        return [
            f"Estimated {estimated:.1f} QPU seconds for the whole run, charged {charged:.1f} so far; "
            "the run is not finished.",
            *report["assumptions"],
        ]
    sentences = [
        f"Estimated {estimated:.1f} QPU seconds, charged {charged:.1f}"
        + ("." if report["cost_known"] else "; the service still counts some of the jobs.")
    ]
    waits = charged - sum(each["charged"] or 0.0 for each in report["jobs"])
    if report["cost_known"] and waits > 1e-3:
        sentences.append(f"{waits:.1f} of them are a session's waits between jobs.")
    sentences += _calibration_sentences(report)
    sentences += _refit_sentences(report)
    if report["spends"] and report["cost_known"] and charged > 0:
        sent = sum(each["estimated"] or 0.0 for each in report["jobs"])
        sentences.append(
            f"The estimate is {estimated / charged:.2f} times the charge."
            if _calibrated_as_expected(report)
            else f"The estimates of the jobs that were sent make {sent / charged:.2f} times the charge."
        )
    if not report["spends"]:
        sentences.append("This target charges nothing; the estimate is the device's own price.")
    return [*sentences, *report["assumptions"]]


def _calibrations(report: dict[str, Any]) -> int:
    return sum(each["part"].startswith("calibration-") for each in report["jobs"])


def _calibrated_as_expected(report: dict[str, Any]) -> bool:
    expected = report["calibration_seconds"] is not None and not report["calibration_found"]
    refit = report.get("refit")
    refits = 0 if refit is None else sum(e["part"].startswith("refit-") for e in report["jobs"])
    refitted = refit is None or refits == (not refit["found"])
    return _calibrations(report) == expected and refitted


def _refit_sentences(report: dict[str, Any]) -> list[str]:
    """Say which refit was used, and what it did to the error of what the model says."""
    refit = report.get("refit")
    if refit is None or not refit["used"]:
        return []
    taken = {each["part"] for each in report["jobs"]}
    what = "linear head" if refit["kind"] == "head" else "measured values"
    return [
        f"The model's {what} were fitted to the device by {each['circuits']} circuits of "
        f"{each['shots']} shots, {'taken by this run' if each['name'] in taken else 'of another run'} "
        f"({each['taken_at'][:16]}): mean squared error {each['error_before']:.3g} before, "
        f"{each['error_after']:.3g} after."
        for each in refit["used"]
    ]


def _calibration_sentences(report: dict[str, Any]) -> list[str]:
    """Say whether the readout was calibrated as the plan expected."""
    seconds, found = report["calibration_seconds"], report["calibration_found"]
    if seconds is None:
        return []
    taken = _calibrations(report) > 0
    if found and taken:
        return [
            "A readout calibration of an earlier run was expected to be used again, and was taken "
            f"anew: {seconds:.1f} seconds beyond the estimate."
        ]
    if found:
        return [
            "The readout calibration of an earlier run was used again; taken anew it would have "
            f"been estimated at {seconds:.1f} seconds more."
        ]
    if not taken:
        return [
            f"The estimate holds {seconds:.1f} seconds for a readout calibration, but one of another "
            "run was used."
        ]
    return []


def _place_sentences(report: dict[str, Any]) -> list[str]:
    sentences = [
        f"{'Taken' if each['taken'] else 'Passed over'}: {each['target']}: {each['reason']}"
        for each in report["decisions"]
    ]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return [*sentences, f"Versions: {versions}."] if versions else sentences


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def write_hardware_report(
    report: HardwareReport,
    pictures: HardwarePictures,
    folder: str | Path,
    formats: Sequence[str] = (),
) -> tuple[Path, ...]:
    """Write ``report.json``, ``report.md``, ``report.html`` and ``report.png``, all or none.

    Args:
        report: Result of :func:`hardware_report`.
        pictures: The same.
        folder: Made if it is missing; an older report in it is replaced.
        formats: Formats of the figure beside PNG: ``svg``, ``pdf``.

    Returns:
        The files.

    Raises:
        OutputNotWritable: If one cannot be written.
        UnknownName: If there is no such format.
    """
    folder = checked_path(folder, "folder")
    check_formats(formats)
    content = report.to_dict()
    figure = draw_report(content, pictures)
    texts = {
        "report.json": json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n",
        "report.md": render_markdown(content),
        "report.html": render_page(hardware_page(content, pictures)),
    }
    files = {folder / name: text.encode() for name, text in texts.items()}
    more = paper_figures({"report": figure}, folder, formats)
    write_together({**files, folder / "report.png": png_bytes(figure), **more})
    return (*(folder / name for name in FILES), *more)
