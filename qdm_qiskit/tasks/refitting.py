"""Fit a trained run again to what a device returns, and keep the result as a run of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..arguments import checked_path
from ..engine.noise.runners import runner_for
from ..errors import InvalidOption
from ..execution.devices import DeviceLike
from ..execution.targets import parse_target, target_text
from ..files import check_writable, write_json
from ..mitigation.refit import AffineCorrection
from ..notebook import one_line
from ..options import build
from ..progress import Message, Progress, silent
from ..sampling import DevicePredictor, QDMPipeline, SamplingConfig, TrainedRun, load_run
from ..sampling.refit import (
    Goal,
    corrections_of,
    has_linear_head,
    refit_calls,
    refit_pairs,
    refitted,
)
from ..sampling.refit_record import FILE, SCHEMA

__all__ = ["Refitted", "refit"]


@dataclass(frozen=True, repr=False)
class Refitted:
    """A run that was fitted again to a device; see :func:`refit`."""

    run: TrainedRun
    """The run to sample from: with another head, or the given one."""
    corrections: dict[str, AffineCorrection]
    """For a model without a linear head: corrections of its measured values, by call, for
    ``sample(..., corrections=...)``; else empty."""
    record: dict[str, Any]
    """Target, qubits, shots, errors before and after, ready for JSON."""

    def __repr__(self) -> str:
        errors = f"error {self.record['error_before']:.4g} -> {self.record['error_after']:.4g}"
        return one_line("Refitted", self.run.config.model, f"to {self.record['target']}", errors)


def refit(
    run: str | Path | TrainedRun,
    target: str | DeviceLike,
    *,
    circuits: int = 300,
    shots: int = 256,
    goal: Goal = "model",
    out: str | Path | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Refitted:
    """Fit a run again to a device: its linear head, or a correction of its measured values.

    Args:
        run: Folder of a run, or the result of ``load_run``.
        target: ``"aer"``, ``"noisy:fake_torino"``, ``"local:..."``; a ``BackendV2`` or an Aer
            ``NoiseModel`` stands for ``noisy:`` of it.
        circuits: Bound circuits that run, one for each noisy image drawn.
        shots: Shots of each: as many as sampling will take, since the fit also learns how much to
            trust values of so few shots.
        goal: ``"model"`` fits to the model's exact predictions, ``"data"`` to the targets of training.
        out: Folder for the fitted run, which every command takes as a run; None writes nothing.
        progress: Receives the progress messages.
        options: Other fields of :class:`~qdm_qiskit.sampling.SamplingConfig`: ``mitigation="m3"``,
            ``initial_layout=(3, 4, 5)``, ``tiles=">=0.7"`` (one fit for all tiles), ``seed=1``.

    Returns:
        The fitted run, or the corrections, and the record.

    Raises:
        InvalidOption: If an option does not fit, or the target has no shots.
        TargetUnavailable: If the target cannot be used here, or the model has no circuit calls.
        MissingData, InvalidData: If the run or its data cannot be read.
        OutputNotWritable: If the folder cannot be written.
    """
    config = build(
        SamplingConfig, {"target": target_text(target, "noisy"), "shots": shots, **options}
    )
    chosen = parse_target(config.target)
    if chosen.kind == "engine":
        raise InvalidOption("The engine is exact; refit to a target such as 'noisy:fake_torino'.")
    folder = None if out is None else checked_path(out, "out")
    if folder is not None:
        check_writable(folder)
        if (folder / FILE).exists():
            raise InvalidOption(f"{folder} holds a refit already; choose another folder.")
    trained = run if isinstance(run, TrainedRun) else load_run(checked_path(run, "run"))
    device = DevicePredictor.prepare(
        trained.model,
        runner_for(chosen, seed=config.seed, readout=config.readout, simulator=config.simulator),
        config,
        num_steps=trained.process.num_steps,
        progress=progress,
    )
    pairs = refit_pairs(trained, circuits, seed=config.seed)
    calls = refit_calls(trained, pairs, shots)
    progress(Message(f"running {circuits} circuits"))
    results = device.at(trained.process.num_steps).answer(calls)
    about = {
        "target": config.target,
        "circuits": circuits,
        "shots": shots,
        "mitigation": config.mitigation,
        "physical_qubits": device.first.physical_qubits,
        **(
            {}
            if config.tiles is None
            else {"tiles": config.tiles, "tile_buffer": config.tile_buffer}
        ),
        "run": str(trained.checkpoint.name),
    }
    if has_linear_head(trained.model):
        found, record = refitted(trained, pairs, results, goal=goal, provenance=about)
        record["error_after"] = record["error_left_out"]
        made = Refitted(replace(found, refit=record), {}, record)
    else:
        made = _corrected(trained, calls, results, about)
    if folder is not None:
        if made.corrections:
            raise InvalidOption(
                f"'{trained.model.name}' has no linear head, so there is no run to write; leave out "
                "away, and give the corrections to sample(...)."
            )
        QDMPipeline(made.run).save_pretrained(folder)
        write_json(folder / FILE, made.record)  # last: where it is, all is
    return made


def _corrected(trained: TrainedRun, calls: Any, results: Any, about: dict[str, Any]) -> Refitted:
    corrections = corrections_of(calls, results)
    each = list(corrections.values())
    record = {
        "schema": SCHEMA,
        **about,
        "error_before": float(sum(c.error_before for c in each) / len(each)),
        "error_after": float(sum(c.error_after for c in each) / len(each)),
        "corrections": {name: c.to_dict() for name, c in corrections.items()},
    }
    return Refitted(trained, corrections, record)
