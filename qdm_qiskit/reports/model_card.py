"""The card of a trained run: Markdown with front matter, from what the run's folder records.

Nothing is computed here but comparisons of recorded numbers, and a section without a record is left
out. Text that a user or a file gave is shown without what Markdown takes for markup.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ..data.places import NPZ
from ..errors import InvalidData, InvalidOption, QdmError
from ..evaluation.run_cost import CALLS_SCHEMA
from ..evaluation.transpile import SCHEMA as TRANSPILE_SCHEMA
from ..files import read_json_object
from ..sampling import TrainedRun, load_run
from ..training import read_history
from ..training.beside import read_losses
from ..version import __version__
from .figures import plain
from .transpile_render import markdown_table

__all__ = ["LICENSE", "is_card", "model_card"]

LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")
"""Form of a licence's identifier, such as ``apache-2.0``."""
T = TypeVar("T")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
_MOST_TEXT = 60
"""Characters of an option's value that are shown: a circuit of one's own is one of them."""
_LOSSES = {
    "train_loss": "training loss",
    "test_loss": "test loss",
    "identity_loss": "identity: predicting no change at all",
    "baseline_loss": "classical U-Net, trained on the same pairs",
}


def model_card(
    run: Path,
    *,
    repo: str | None = None,
    license_name: str | None = None,
    picture: str | None = None,
) -> str:
    """Return the card of a run.

    It takes options and data from ``config.json``, the last epoch from ``metrics.jsonl``, losses of
    what stands beside a latent model from ``beside/``, an evaluation from ``evaluation/``, and costs
    from the reports in ``report/`` and the export in ``export/``.

    Args:
        run: Folder of a trained run.
        repo: Name under which it is shared, ``"user/name"``; the folder's path stands for it if None.
        license_name: Identifier of the licence of its weights; none is named if None.
        picture: Name of a picture of samples beside the card, if there is one.

    Raises:
        MissingData, InvalidCheckpoint, InvalidData: If the run or one of these files cannot be read.
        InvalidOption: If the licence is no identifier.
    """
    if license_name is not None and not LICENSE.fullmatch(license_name):
        raise InvalidOption(
            f"A licence is an identifier such as apache-2.0, got {license_name!r:.80}."
        )
    trained = load_run(run)
    name = repo.partition("/")[2] if repo is not None else run.resolve().name
    history = read_history(run) if (run / "metrics.jsonl").is_file() else ()
    last = history[-1] if history else {}
    [evaluation] = _of_files(run, lambda: [_evaluation(run)])
    front = _of_files(run, lambda: [_front_matter(name, trained, last, evaluation, license_name)])[
        0
    ]
    body = [
        *_opening(name, trained),
        *([f"![samples at the end of training]({picture})", ""] if picture else []),
        *_use(repo),
        *_model(trained),
        *_data(trained),
        *_training(trained, last),
        *_losses(run, last),
        *_of_files(run, lambda: [*_measured(evaluation), *_costs(run, trained)]),
        *_citation(trained),
    ]
    return f"---\n{front}---\n\n" + "\n".join(body).rstrip("\n") + "\n"


def is_card(path: Path) -> bool:
    """Return True if a file begins like a card: with front matter that names this package."""
    with path.open("rb") as file:
        front, _, _ = file.read(64 * 1024).removeprefix(b"---\n").partition(b"\n---")
    return b"library_name: qdm_qiskit" in front.split(b"\n")


def _of_files(run: Path, make: Callable[[], list[T]]) -> list[T]:
    """Return what is made of files of the run, or say that one of them is damaged."""
    try:
        return make()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, QdmError):
            raise
        raise InvalidData(
            f"A report, an evaluation or the export in {run} is damaged or of another version "
            f"({type(error).__name__}: {' '.join(str(error).split())[:80]}); make it again."
        ) from error


def _front_matter(
    name: str,
    trained: TrainedRun,
    last: Mapping[str, float],
    evaluation: dict[str, Any] | None,
    license_name: str | None,
) -> str:
    """Return the YAML that hubs read."""
    dataset = _dataset(trained)
    task = (
        {"type": "unconditional-image-generation"}
        if trained.model.data_kind == "images"
        else {"type": "other", "name": "generation of quantum states"}
    )
    metrics: list[dict[str, Any]] = []
    if "test_loss" in last:
        metrics.append(
            {"type": "test_loss", "name": _LOSSES["test_loss"], "value": last["test_loss"]}
        )
    if evaluation is not None:
        metrics += [
            {"type": key, "name": key.replace("_", " "), "value": found["estimate"]}
            for key, found in evaluation["row"]["metrics"].items()
        ]
    content: dict[str, Any] = {"library_name": "qdm_qiskit"}
    if license_name is not None:
        content["license"] = license_name
    if trained.model.data_kind == "images":
        content["pipeline_tag"] = "unconditional-image-generation"
    content["tags"] = ["quantum", "qiskit", "diffusion", trained.config.model]
    content["tags"] += [f"arxiv:{number}" for number in _ARXIV.findall(_source(trained))]
    if metrics:
        result = {
            "task": task,
            "dataset": {"type": dataset, "name": dataset},
            "metrics": metrics,
        }
        content["model-index"] = [{"name": name, "results": [result]}]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _opening(name: str, trained: TrainedRun) -> Iterator[str]:
    config = trained.config
    preset = f", preset `{plain(config.preset)}`," if config.preset else ""
    yield f"# {plain(name)}"
    yield ""
    yield (
        f"A quantum diffusion model, `{plain(config.model)}`{preset} of qdm_qiskit, trained on "
        f"{_words(_dataset(trained))}."
    )
    yield ""


def _use(repo: str | None) -> Iterator[str]:
    place = repo if repo is not None else "PATH"
    yield "## Use"
    yield ""
    yield "```python"
    yield "import qdm_qiskit as qdm"
    yield ""
    yield f'pipeline = qdm.QDMPipeline.from_pretrained("{place}")'
    yield "images = pipeline(num_images=16).images"
    yield "```"
    yield ""


def _model(trained: TrainedRun) -> Iterator[str]:
    model = trained.model
    yield "## Model"
    yield ""
    rows: list[list[Any]] = [
        ["parameters", model.num_parameters],
        ["of them in circuits", model.num_quantum_parameters],
        ["qubits", model.num_qubits],
        ["steps of the chain", trained.process.num_steps],
    ]
    diffusion = asdict(trained.config.diffusion)
    rows += [[key, _text(diffusion[key])] for key in ("process", "goal")]
    rows += [[key, _text(value)] for key, value in asdict(trained.config.model_options).items()]
    yield from markdown_table(["", ""], rows)
    yield ""


def _data(trained: TrainedRun) -> Iterator[str]:
    record = trained.config.record
    yield "## Data"
    yield ""
    rows: list[list[Any]] = [["data set", _words(_dataset(trained))]]
    if record is None:
        rows.append(["record", "none: the run was begun by version 0.1"])
    else:
        rows += [
            ["training images", _counted(record.train_classes)],
            ["test images", _counted(record.test_classes)],
            ["SHA-256 of pixels and labels", f"`{record.content_sha256}`"],
        ]
        rows += [
            [f"SHA-256 of {_words(Path(each.path).name)}", f"`{each.sha256}`"]
            for each in record.files
        ]
    yield from markdown_table(["", ""], rows)
    yield ""


def _training(trained: TrainedRun, last: Mapping[str, float]) -> Iterator[str]:
    options = trained.config.training
    yield "## Training"
    yield ""
    done = int(last["epoch"]) if "epoch" in last else 0
    rows: list[list[Any]] = [["epochs", f"{done} of {options.epochs}"]]
    if "step" in last:
        rows.append(["optimizer steps", int(last["step"])])
    rows += [
        [name.replace("_", " "), _text(getattr(options, name))]
        for name in ("optimizer", "learning_rate", "batch_size", "seed", "train_on")
    ]
    if "seconds" in last:
        rows.append(["seconds of the last epoch", f"{last['seconds']:.3g}"])
    if trained.refit is not None:
        rows.append(["fitted again to", _words(str(trained.refit.get("target")))])
    yield from markdown_table(["", ""], rows)
    yield ""


def _losses(run: Path, last: Mapping[str, float]) -> Iterator[str]:
    rows = [[title, f"{last[key]:.4g}"] for key, title in _LOSSES.items() if key in last]
    beside = read_losses(run)
    if not rows and not beside:
        return
    yield "## Losses"
    yield ""
    if rows:
        yield from markdown_table(["last epoch", ""], rows)
        yield ""
        yield from _verdicts(last)
    if beside:
        lines = [
            [
                "this model" if name == "model" else _words(name.replace("_", " ")),
                f"{each.loss:.4g}",
                "" if name == "model" else f"{each.above:+.2g} ± {each.half:.1g}",
                each.parameters or "",
            ]
            for name, each in beside.items()
        ]
        head = ["on the test images", "loss", "above this model's, 95 % interval", "parameters"]
        yield from markdown_table(head, lines)
        yield ""


def _verdicts(last: Mapping[str, float]) -> Iterator[str]:
    """Return what the losses say, worse or better; equal counts as not better."""
    own = last.get("test_loss")
    for key, other in (
        ("identity_loss", "predicting no change at all"),
        ("baseline_loss", "the classical U-Net"),
    ):
        if own is None or key not in last:
            continue
        better = own < last[key]
        yield (
            f"* Its test loss is {'below' if better else '**not below**'} that of {other}"
            f"{'' if better else ', which is the better denoiser by this number'}."
        )
    yield ""


def _evaluation(run: Path) -> dict[str, Any] | None:
    """Return an evaluation of this run alone, with its one row of samples; None if there is none."""
    for path in (run / "evaluation" / "evaluation.json", run / "evaluation.json"):
        if not path.is_file():
            continue
        content = read_json_object(path)
        if not str(content.get("schema")).startswith("qdm-evaluation/"):
            continue
        rows = [row for row in content.get("rows", []) if row.get("kind") == "samples"]
        if len(rows) == 1:
            return {**content, "row": rows[0]}
    return None


def _measured(evaluation: dict[str, Any] | None) -> Iterator[str]:
    if evaluation is None:
        return
    reference, options = evaluation["reference"], evaluation["options"]
    columns = evaluation["rows"]
    names = list(dict.fromkeys(name for row in columns for name in row["metrics"]))
    yield "## Evaluation"
    yield ""
    yield (
        f"Against {reference['count']} {reference['part']} images of "
        f"{_words(str(reference['dataset']).rpartition('/')[2])}; in brackets "
        f"{options['level']:.0%} bootstrap intervals of {options['resamples']} resamples."
    )
    yield ""
    lines = [["images", *(row["count"] for row in columns)]]
    for name in names:
        told = evaluation.get("metrics", {}).get(name, {})
        arrow = {"lower": " ↓", "higher": " ↑"}.get(told.get("better"), "")
        title = _words(str(told.get("title") or name.replace("_", " ")))
        lines.append([title + arrow, *(_interval(row["metrics"].get(name)) for row in columns)])
    yield from markdown_table(["", *(_words(str(row["name"])) for row in columns)], lines)
    yield ""
    for warning in evaluation.get("warnings", []):
        yield f"* {_words(str(warning))}"
    yield ""


def _costs(run: Path, trained: TrainedRun) -> Iterator[str]:
    rows = [*_reported(run), *_exported(run, trained)]
    if not rows:
        return
    yield "## Cost on devices"
    yield ""
    head = ["device", "circuit", "two-qubit gates", "depth", "duration", "expected success"]
    yield from markdown_table(head, rows)
    yield ""
    yield "Expected success is the chance that no gate and no readout of one circuit fails."
    yield ""


def _reported(run: Path) -> Iterator[list[Any]]:
    """Return a line for each circuit and device of the reports in a run's folder."""
    for path in sorted((run / "report").glob("*.json")):
        content = read_json_object(path)
        if content.get("schema") == TRANSPILE_SCHEMA:
            for each in content["backends"]:
                yield _cost_line(each["backend"], "one step", each["cost"]["total"])
        elif content.get("schema") == CALLS_SCHEMA:
            for each in content["backends"]:
                for row in each["rows"]:
                    calls = f"{_words(row['circuit'])}, {row['calls_run']} calls a run"
                    if row["problem"]:
                        yield [each["backend"], calls, _words(row["problem"]), "", "", ""]
                    else:
                        costs = {**row, "two_qubit_count": row["two_qubit_gates"]}
                        yield _cost_line(each["backend"], calls, costs)


def _exported(run: Path, trained: TrainedRun) -> Iterator[list[Any]]:
    """Return a line for each circuit and device of the export, if it is of these weights."""
    path = run / "export" / "circuits.json"
    if not path.is_file():
        return
    content = read_json_object(path)
    if content.get("weights_sha256") != trained.weights_sha256:
        return
    for circuit in content["circuits"]:
        for device, found in circuit["devices"].items():
            for number, cost in enumerate(found["costs"], start=1):
                basis = f", basis {number}" if len(found["costs"]) > 1 else ""
                yield _cost_line(device, f"exported {_words(circuit['name'])}{basis}", cost)


def _cost_line(device: str, circuit: str, cost: Mapping[str, Any]) -> list[Any]:
    seconds = cost["duration_seconds"]
    return [
        _words(device),
        circuit,
        cost["two_qubit_count"],
        cost["depth"],
        "unknown" if seconds is None else f"{seconds * 1e6:.1f} µs",
        f"{cost['expected_success']:.3g}",
    ]


def _citation(trained: TrainedRun) -> Iterator[str]:
    source = _source(trained)
    yield "## Citation"
    yield ""
    if source:
        yield f"The model is from: {_words(source)}. Please cite it, and the software:"
    else:
        yield "Please cite the software:"
    yield ""
    yield "```bibtex"
    yield "@software{qdm_qiskit,"
    yield "  title = {qdm\\_qiskit},"
    yield "  author = {{the qdm\\_qiskit maintainers}},"
    yield f"  version = {{{__version__}}}"
    yield "}"
    yield "```"
    yield ""


def _source(trained: TrainedRun) -> str:
    """Return where the model comes from: its own word, or that of a circuit of one's own."""
    return str(getattr(trained.config.model_options, "source", "") or type(trained.model).source)


def _dataset(trained: TrainedRun) -> str:
    """Return the data set's name; of a user's own file no more than the file's."""
    name = trained.config.data.dataset
    return Path(name.removeprefix(NPZ)).name if name.startswith(NPZ) else name


def _counted(classes: Mapping[int, int]) -> str:
    by_class = ", ".join(f"{count} of {label}" for label, count in sorted(classes.items()))
    return (
        f"{sum(classes.values())} ({by_class})" if len(classes) > 1 else str(sum(classes.values()))
    )


def _interval(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "-"
    return f"{found['estimate']:.3g} [{found['low']:.3g}, {found['high']:.3g}]"


def _words(text: str) -> str:
    """Return text in one line, without markup."""
    return plain(" ".join(text.split()), " -_.:()/,;%+=@'")


def _text(value: object) -> str:
    """Return an option's value, cut where it is long."""
    words = _words(str(value))
    return (
        words if len(words) <= _MOST_TEXT else f"{words[:_MOST_TEXT]}... ({len(words)} characters)"
    )
