"""Every reader of files, each with a whole file of its kind that this package wrote."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from qiskit import QuantumCircuit

from qdm_qiskit.archives import read_arrays
from qdm_qiskit.circuits.amortised import Networks, key_of, network_bytes, take_networks
from qdm_qiskit.circuits.line_memory import remembered
from qdm_qiskit.circuits.loaders import make_loader
from qdm_qiskit.circuits.saved import circuit_from_text, circuit_text
from qdm_qiskit.data.csv_files import CsvTable
from qdm_qiskit.data.gaps import read_gaps
from qdm_qiskit.data.idx import read_idx
from qdm_qiskit.data.npz import read_npz, read_npz_classes
from qdm_qiskit.data.row_format import row_format_from_dict
from qdm_qiskit.data.rows import table_rows
from qdm_qiskit.evaluation.hardware_run import read_manifest
from qdm_qiskit.evaluation.row_items import row_of
from qdm_qiskit.evaluation.subjects import samples_subject
from qdm_qiskit.evaluation.system import system_report
from qdm_qiskit.execution.device_files import load_device, save_device
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.files import read_json_object, write_json
from qdm_qiskit.hardware.ledger.decision_files import (
    SCHEMA as DECISION,
)
from qdm_qiskit.hardware.ledger.decision_files import StepDecision, decision_path, read_decisions
from qdm_qiskit.hardware.ledger.ledger import FILE, Ledger
from qdm_qiskit.hardware.ledger.output_files import read_outputs
from qdm_qiskit.hardware.ledger.run_files import nonce, read_calibrations, read_counts, read_refits
from qdm_qiskit.hardware.ledger.stored_files import file_sha256
from qdm_qiskit.hardware.ledger.trained_files import read_training
from qdm_qiskit.hardware.plan.fleet_plan import read_fleet
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.planned_files import read_all_circuits, read_inputs
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.qnn_question import read_question
from qdm_qiskit.hardware.plan.refits import read_pairs
from qdm_qiskit.hardware.plan.run_plan import RunPlan, files_of
from qdm_qiskit.hardware.plan.training_batches import read_batches
from qdm_qiskit.hardware.providers.settings import read_settings
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.fleet_results import recorded_members
from qdm_qiskit.hardware.run.stored_images import stored_trajectory
from qdm_qiskit.hardware.run.training_chain import TrainingChain
from qdm_qiskit.models import load_model
from qdm_qiskit.noise_sources.sources import MeasuredSource
from qdm_qiskit.overview import RunTable, compare, find_runs
from qdm_qiskit.privacy.private_training import FILE as PRIVATE
from qdm_qiskit.privacy.private_training import PrivacyOptions, read_private
from qdm_qiskit.reports.model_card import model_card
from qdm_qiskit.reproduction import find_card, recorded
from qdm_qiskit.sampling import SamplingConfig, load_run
from qdm_qiskit.sampling.blocks import block_items, check_arrays, joined_samples
from qdm_qiskit.sampling.refit_record import read_refit
from qdm_qiskit.sweeps import Halving, plan_sweep
from qdm_qiskit.sweeps import read_plan as read_plan_of_sweep
from qdm_qiskit.sweeps.item import train_item
from qdm_qiskit.sweeps.search import Search, read_search, write_search
from qdm_qiskit.sweeps.sweep import _rungs, collect, write_plan
from qdm_qiskit.tasks import export, plan_fleet, run_qnn, sample
from qdm_qiskit.tasks.restoring import mask_from_file
from qdm_qiskit.training.beside import read_losses
from qdm_qiskit.training.checkpoint import TrainingState, load_training_state
from qdm_qiskit.training.competitors import read_competitors
from qdm_qiskit.training.epoch_end import read_history
from qdm_qiskit.training.options_file import read_options
from qdm_qiskit.training.targets.device import Place
from qdm_qiskit.training.targets.places import PLACES, read_places, write_places
from qdm_qiskit.transpiling.search import TriedSeeds, tried_seed
from qdm_qiskit.work import run_items
from qdm_qiskit.work.items import read_result
from tests.helpers import write_run
from tests.tasks.test_qnn import W, X, estimator


@dataclass(frozen=True)
class Reader:
    """A file, and what reads it."""

    file: Path
    read: Callable[[], object]
    fast: bool = True
    """False if a reading takes more than a millisecond or two; it gets fewer inputs."""


def readers(folder: Path) -> dict[str, Reader]:
    """Write a file of each kind, and return its reader; all of them stay as they are written."""
    found: dict[str, Reader] = {}
    found |= _of_a_run(folder / "run")
    found |= _of_a_fleet(folder / "fleet")
    found |= _of_a_qnn(folder / "qnn")
    found |= _of_a_training_run(folder / "training")
    found |= _of_a_model(folder / "model")
    found |= _of_a_sweep(folder / "sweep")
    found |= _of_blocks(folder / "blocks")
    found |= _of_a_row(folder / "row")
    found |= _of_data(folder / "data")
    return found


def anew(plan: RunPlan) -> RunPlan:
    """Return a plan whose hashes fit the files as they are now, as anybody could write it."""
    hashes = {each.path: file_sha256(plan.folder / each.path) for each in plan.files}
    return dataclasses.replace(plan, files=files_of(hashes))


def _of_a_run(root: Path) -> dict[str, Reader]:
    """A hardware run on this machine with a calibration and a refit."""
    root.mkdir(parents=True)
    trained = write_run(root / "trained", num_steps=1)
    config = PlanConfig(
        targets=("local:fake_nairobi",),
        num_images=2,
        shots=64,
        mitigation="m3",
        calibration_shots=64,
        layout_trials=1,
        refit="12x64",
    )
    plan = make_plan(trained, config, root=root)
    run = submit_run(plan.folder)
    assert run.state == "done", run
    plan, folder = read_plan(plan.folder), plan.folder
    (root / "service.json").write_text('{"poll_seconds": 1.5, "lookup_pauses_seconds": [0, 1]}')
    # Each mutation of these is met with a database of its own.
    for name in ("sqlite", "log"):
        shutil.copytree(root, root.parent / f"ledger-{name}", ignore=lambda *_: {"trained"})
    [counts, *_] = sorted((folder / "steps").glob("step*.npz"))
    shapes = [(plan.num_images, 1 << plan.circuit.qubits)]
    return {
        "plan": Reader(folder / "plan.json", lambda: read_plan(folder), fast=False),
        "circuits of a plan": Reader(
            folder / "circuits.qpy", lambda: read_all_circuits(plan), fast=False
        ),
        "circuits anew": Reader(
            folder / "circuits.qpy", lambda: read_all_circuits(anew(plan)), fast=False
        ),
        "inputs of a plan": Reader(folder / "inputs.npz", lambda: read_inputs(anew(plan))),
        "pairs of a refit": Reader(folder / "refit.npz", lambda: read_pairs(anew(plan))),
        "counts": Reader(counts, lambda: read_counts(counts)),
        "counts of a plan": Reader(counts, lambda: read_counts(counts, shapes)),
        "images of a run": Reader(folder / "images.npz", lambda: stored_trajectory(folder, plan)),
        "nonce": Reader(folder / "nonce", lambda: nonce(folder)),
        "manifest": Reader(
            folder / "manifest.json", lambda: read_manifest(folder / "manifest.json")
        ),
        "calibration": Reader(folder / "calibration-0001.json", lambda: read_calibrations(folder)),
        "refit": Reader(folder / "refit-0001.json", lambda: read_refits(folder)),
        "plan in a table": Reader(
            folder / "plan.json", lambda: _shown(find_runs(folder)), fast=False
        ),
        "manifest in a table": Reader(
            folder / "manifest.json", lambda: _shown(find_runs(folder)), fast=False
        ),
        "manifest in system metrics": Reader(
            folder / "manifest.json", lambda: system_report(folder).to_dict(), fast=False
        ),
        "settings": Reader(root / "service.json", lambda: read_settings(root)),
        "ledger": _ledger(root.parent / "ledger-sqlite", FILE),
        "log of a ledger": _ledger(root.parent / "ledger-log", f"{FILE}.log"),
    }


def _ledger(root: Path, name: str) -> Reader:
    file = root / name
    whole = {each: each.read_bytes() for each in root.iterdir() if each.is_file()}

    def read() -> object:
        for path in list(root.iterdir()):  # as it was, but for the damaged file
            if path.is_file() and path != file:
                path.unlink()
        for path, content in whole.items():
            if path != file:
                path.write_bytes(content)
        ledger = Ledger.open(root)
        try:
            return ledger.runs()
        finally:
            ledger.close()

    return Reader(file, read, fast=False)


def _of_a_fleet(root: Path) -> dict[str, Reader]:
    """A run that two targets share."""
    trained = write_run(root / "trained", num_steps=1)
    small = {"num_images": 2, "shots": 8, "layout_trials": 1}
    fleet = plan_fleet(trained, ["aer", "engine"], root=root, **small).submit(yes=True)
    plan = fleet.plan
    return {
        "plan of a fleet": Reader(fleet.folder / "fleet.json", lambda: read_fleet(fleet.folder)),
        "manifest of a fleet": Reader(
            fleet.folder / "manifest.json", lambda: recorded_members(plan, None)
        ),
        "images of a fleet": Reader(fleet.folder / "images.npz", lambda: fleet.images),
    }


def _of_a_qnn(root: Path) -> dict[str, Reader]:
    run = run_qnn(
        estimator(), X, W, target="local:fake_nairobi", root=root, shots=64, layout_trials=1
    ).folder

    plan = read_plan(run)

    def question() -> object:
        return read_question(anew(plan))

    return {
        "question of a qnn": Reader(run / "qnn.json", question, fast=False),
        "inputs of a qnn": Reader(run / "inputs.npz", question, fast=False),
        "outputs of a qnn": Reader(run / "outputs.npz", lambda: read_outputs(run, plan.qnn.count)),
        "outputs without a plan": Reader(run / "outputs.npz", lambda: read_outputs(run)),
    }


def _of_a_training_run(root: Path) -> dict[str, Reader]:
    """A hardware run that trains."""
    root.mkdir(parents=True)
    trained = write_run(root / "trained", num_steps=1)
    [checkpoint] = (trained / "checkpoints").iterdir()
    _write_state(checkpoint)
    config = PlanConfig(targets=("engine",), num_images=1, shots=8, train=1, layout_trials=1)
    plan = make_plan(trained, config, root=root)
    assert submit_run(plan.folder).state == "done"
    plan, folder = read_plan(plan.folder), plan.folder
    [state] = (folder / "model").rglob("state.json")

    def chain() -> object:
        return TrainingChain(anew(plan)).files()

    return {
        "batches of a training": Reader(folder / "inputs.npz", lambda: read_batches(anew(plan))),
        "losses of a training": Reader(
            folder / "trained" / "training.json", lambda: read_training(folder)
        ),
        "step of a planned model": Reader(state, chain, fast=False),
    }


def _of_blocks(root: Path) -> dict[str, Reader]:
    """Two blocks of a sampling, on a target that has records."""
    run = root / "run"
    root.mkdir(parents=True)
    write_run(run)
    trained = load_run(run)
    config = SamplingConfig(target="noisy:fake_quito", num_images=2, shots=8, layout_trials=1)
    items = block_items(trained, config, 1, device="fake_quito")
    results = run_items(items, root).results
    second = results[items[1].address]

    def joined() -> object:
        first = read_result(items[0], root)
        found = [second] if first is None else [first, second]
        samples = joined_samples(trained, config, 1, found, root)
        return repr(samples), samples._repr_html_()

    def checked() -> object:
        whole = items[0].result_file(root).read_bytes()
        check_arrays(items[0], root)
        kept = items[0].result_file(root).is_file()
        items[0].result_file(root).write_bytes(whole)
        return kept

    arrays = root / "blocks" / results[items[0].address]["file"]
    return {
        "result of a block": Reader(items[0].result_file(root), joined, fast=False),
        "arrays of a block": Reader(arrays, joined, fast=False),
        "arrays of a block begun again": Reader(arrays, checked, fast=False),
    }


def _of_a_row(root: Path) -> dict[str, Reader]:
    """A row of an evaluation with its images, and a layout trial, as items leave them."""
    root.mkdir(parents=True)
    arrays = root / "rows" / "0002-images.npz"
    arrays.parent.mkdir()
    np.savez(arrays, shown=np.zeros((2, 1, 2, 2), np.float32))
    interval = {"estimate": 0.5, "low": 0.4, "high": 0.6}
    row = {
        "name": "run",
        "kind": "samples",
        "source": "sampled",
        "count": 2,
        "metrics": {"psnr": interval},
        "subset_kid": {"domain": [0.1, 0.2]},
        "owes": "",
    }
    result = {"row": row, "failures": [], "file": arrays.name, "sha256": file_sha256(arrays)}
    path = root / "row.json"
    write_json(path, result)

    def measured() -> object:
        found = row_of(read_json_object(path), root)
        return [each.estimate for each in found.row.metrics.values()], found.shown

    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    how = {"level": 0, "read": None, "fractional": False}
    trial = root / "trial.json"
    write_json(trial, {"tried": [tried_seed(bell, load_backend("fake_quito"), 1, **how)]})
    return {
        "result of a row": Reader(path, measured),
        "images of a row": Reader(arrays, measured),
        "result of a layout trial": Reader(
            trial, lambda: TriedSeeds.of_results([read_json_object(trial)]).best_seeds([1])
        ),
    }


def _of_a_sweep(root: Path) -> dict[str, Reader]:
    """A sweep of two runs, one of which has a result and a curve."""
    root.mkdir(parents=True)
    plan = plan_sweep("eeqdm", {"epochs": 4}, grid={"depth": [1, 2]}, halving=Halving())
    write_plan(plan, root)
    [first, _] = plan.runs
    item = train_item(first.name, first.config, 1, threads=1)
    result = {"schema": _schema("qdm_qiskit.work.items"), "fingerprint": item.fingerprint}
    write_json(item.result_file(root), {**result, "result": {"epochs": 1}})
    run = root / "runs" / first.name
    write_json(run / "config.json", first.config.to_dict())
    (run / "metrics.jsonl").write_text('{"epoch": 1, "test_loss": 0.25}\n')

    def resumed() -> object:
        found = read_plan_of_sweep(root)
        assert found.halving is None or _rungs(found)
        done = collect(found, root, {}, interrupted=False)
        return done.best, _shown(done.table)

    def again() -> object:
        write_plan(plan, root)
        done = collect(plan, root, {}, interrupted=False)
        return done.best, _shown(done.table)

    ends = {"low": 0.001, "high": 0.1, "log": True}
    space = {"learning_rate": ends, "optimizer": {"choices": ["adam", "spsa"]}}
    point = {"learning_rate": 0.01, "optimizer": "adam"}
    searched = root / "searched"
    write_search(Search("eeqdm", {"epochs": "4"}, space, 3, 1, 2, 0, [[point]]), searched)
    return {
        "search": Reader(searched / "search.json", lambda: read_search(searched)),
        "sweep": Reader(root / "sweep.json", resumed, fast=False),
        "sweep begun again": Reader(root / "sweep.json", again, fast=False),
        "curve of a sweep": Reader(run / "metrics.jsonl", again, fast=False),
        "result of an item": Reader(item.result_file(root), lambda: read_result(item, root)),
        "configuration in a table": Reader(run / "config.json", lambda: _shown(find_runs(root))),
        "curve in a table": Reader(run / "metrics.jsonl", lambda: _shown(find_runs(root))),
    }


def _shown(table: RunTable) -> object:
    """Everything that is done with a table of runs."""
    compare(table.rows * 2)
    means = table.sorted_by("name").over_seeds()
    return table.to_csv(), json.dumps(table.to_dict()), table._repr_html_(), means.to_csv()


def _of_a_model(root: Path) -> dict[str, Reader]:
    root.mkdir(parents=True)
    run = write_run(root / "trained", num_steps=1)
    [checkpoint] = (run / "checkpoints").iterdir()
    _write_state(checkpoint)
    (run / "metrics.jsonl").write_text('{"epoch": 1, "test_loss": 0.25}\n{"test_loss": 0.125}\n')
    refit = {"schema": _schema("qdm_qiskit.sampling.refit_record"), "physical_qubits": [3, 1]}
    (run / "refit.json").write_text(json.dumps({**refit, "tiles": ">=0.7", "target": "noisy:x"}))
    place = Place(
        layer="layer",
        physical_qubits=(1, 0),
        transpiler_seed=3,
        circuit="0" * 16,
        two_qubit_gates=4,
        expected_success=0.9,
    )
    write_places(run, "noisy:fake_torino", {"fake_torino": [place]})
    (run / "beside").mkdir()
    row = {"loss": 0.5, "parameters": 3, "above": 0.25, "half": 0.125}
    losses = {"schema": _schema("qdm_qiskit.training.beside"), "losses": {"mean": row}}
    (run / "beside" / "losses.json").write_text(json.dumps(losses))
    total = {"depth": 9, "two_qubit_count": 4, "duration_seconds": 1e-6, "gate_success": 0.9}
    device = {
        "backend": "fake_manila",
        "device_qubits": 5,
        "cost": {"total": {**total, "expected_success": 0.8, "idle_success": 0.9}},
    }
    (run / "report").mkdir()
    report = {"schema": _schema("qdm_qiskit.evaluation.transpile"), "backends": [device]}
    write_json(run / "report" / "a.json", report)
    samples = root / "samples"
    sample(run, "engine", out=samples, num_images=2, shots=8)
    row = {"kind": "samples", "metrics": {"frechet": {"estimate": 0.5}}}
    evaluation = {"schema": _schema("qdm_qiskit.evaluation.evaluate"), "rows": [row]}
    write_json(samples / "evaluation.json", evaluation)
    shared = write_run(root / "shared", num_steps=1)
    exported = export(shared, devices="fake_manila", trials=1, level=0)
    interval = {"estimate": 0.5, "low": 0.25, "high": 0.75}
    shown = {"name": "x", "count": 3, "kind": "samples", "metrics": {"frechet": interval}}
    reference = {"count": 3, "part": "test", "dataset": "digits"}
    about = {"reference": reference, "options": {"level": 0.95, "resamples": 9}}
    write_json(shared / "evaluation.json", {**evaluation, **about, "rows": [shown]})
    text = circuit_text(estimator().circuit)
    (root / "circuit.txt").write_text(text)
    (root / "run.yaml").write_text("model: eeqdm\ndepth: 2\nclasses: [3, 7]\nlearning_rate: 1e-2\n")
    return {
        "options of a run": Reader(root / "run.yaml", lambda: read_options(root / "run.yaml")),
        "model": Reader(checkpoint / "config.json", lambda: load_model(checkpoint), fast=False),
        "weights": Reader(
            checkpoint / "model.safetensors", lambda: load_model(checkpoint), fast=False
        ),
        "state of a training": Reader(
            checkpoint / "state.json", lambda: load_training_state(checkpoint)
        ),
        "configuration of a run": Reader(run / "config.json", lambda: load_run(run), fast=False),
        "history": Reader(run / "metrics.jsonl", lambda: read_history(run)),
        "record of a refit": Reader(run / "refit.json", lambda: read_refit(run)),
        "places": Reader(run / PLACES, lambda: read_places(run)),
        "losses": Reader(run / "beside" / "losses.json", lambda: read_losses(run)),
        "manifest of samples": Reader(
            samples / "manifest.json", lambda: samples_subject(samples), fast=False
        ),
        "samples": Reader(samples / "samples.npz", lambda: samples_subject(samples), fast=False),
        "samples in a table": Reader(
            samples / "manifest.json", lambda: _shown(find_runs(samples)), fast=False
        ),
        "samples in system metrics": Reader(
            samples / "manifest.json", lambda: system_report(samples).to_dict(), fast=False
        ),
        "history in system metrics": Reader(
            run / "metrics.jsonl", lambda: system_report(run).to_dict(), fast=False
        ),
        "transpile report in system metrics": Reader(
            run / "report" / "a.json", lambda: system_report(run).to_dict(), fast=False
        ),
        "evaluation in a table": Reader(
            samples / "evaluation.json", lambda: _shown(find_runs(samples)), fast=False
        ),
        "export in a card": Reader(exported.files[0], lambda: model_card(shared), fast=False),
        "evaluation in a card": Reader(
            shared / "evaluation.json", lambda: model_card(shared), fast=False
        ),
        "saved circuit": Reader(
            root / "circuit.txt",
            lambda: circuit_from_text((root / "circuit.txt").read_text(errors="replace")),
        ),
    }


def _write_state(checkpoint: Path) -> None:
    state = TrainingState(epoch=1, batch=0, step=2, images=0, history=[{"test_loss": 0.25}])
    schema = _schema("qdm_qiskit.training.checkpoint")
    write_json(checkpoint / "state.json", {"schema": schema, **dataclasses.asdict(state)})


def _schema(module: str) -> str:
    from importlib import import_module

    return str(import_module(module).SCHEMA)


def _card(root: Path) -> tuple[Path, Path]:
    """Write a reproduction card with every kind of field, and the result file that it reads."""
    way = ["runs", {"model": "a"}, "loss", "*"]
    content = {
        "schema": _schema("qdm_qiskit.reproduction.reader"),
        "name": "mine-losses",
        "paper": "mine",
        "source": {"citation": "Nobody (2026)", "section": "table 1", "basis": "text"},
        "claim": "The loss is low.",
        "setting": "Small.",
        "figures": [
            {
                "name": "angles",
                "theirs": 18,
                "within": 0.5,
                "check": {
                    "check": "model",
                    "model": "eeqdm",
                    "count": "parameters",
                    "options": {"depth": 2},
                },
            },
            {
                "name": "loss",
                "theirs": 1.5,
                "spread": 0.1,
                "accept": [None, 2],
                "measured": {"file": "results.json", "at": way, "less": way, "seeds": [0, 1]},
                "reading": {"run": "small", "metric": "test_loss", "epoch": 1},
            },
            {
                "name": "time",
                "theirs": "below 1",
                "accept": [None, 1],
                "measured": {"file": "results.json", "at": way},
                "timing": {
                    "model": "eeqdm",
                    "over": "qddm",
                    "options": {"depth": 1},
                    "over_options": {"depth": 1},
                },
            },
        ],
        "trainings": {"small": {"minutes": {"model": "eeqdm", "epochs": 1, "seeds": [0]}}},
        "verdict": "reproduced",
        "why": "It is.",
        "command": "qdm reproduce mine.json",
    }
    card, results = root / "mine.json", root / "results.json"
    card.write_text(json.dumps(content))
    results.write_text('{"runs": [{"model": "a", "loss": [1.0, 2.5]}, {"model": "b"}]}')
    return card, results


def _of_data(root: Path) -> dict[str, Reader]:
    root.mkdir(parents=True)
    pixels = np.full((3, 4, 4), 7, dtype=np.uint8)
    np.savez(root / "own.npz", images=pixels, labels=np.arange(3))
    np.savez_compressed(root / "arrays.npz", a=np.arange(12.0).reshape(3, 4), b=np.array("text"))
    np.savez(root / "bits.npz", bits=np.arange(64, dtype=np.uint8).reshape(32, 2) % 2)
    idx = struct.pack(">HBBIII", 0, 8, 3, *pixels.shape) + pixels.tobytes()
    (root / "train-images-idx3-ubyte").write_bytes(idx)
    (root / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx))
    (root / "network.npz").write_bytes(_network())
    take_networks(root)
    save_device(load_backend("fake_manila"), root / "device.json")
    card, results = _card(root)
    (root / "own.csv").write_text("size,kind\n1.5,a\n2,b\n3.25,a\n4,b\n")
    table = table_rows({"size": [1.5, 2, 3.25, 4], "kind": ["a", "b", "a", "b"]}, "kind")
    write_json(root / "rows.json", table.format.to_dict())
    (root / "gaps.csv").write_text("kind,size\na,\n?,2.5\nb,3\n")
    np.savez(root / "mask.npz", mask=np.eye(4, dtype=bool)[None])
    write_json(root / "competitors" / "competitors.json", _competitors())
    write_json(root / PRIVATE, _private())
    for number in (1, 2):
        write_json(decision_path(root, number), _decision(number))
    (root / "any.json").write_text('{"a": [1, 2.5, null, true, "\\u00e4"], "b": {"c": -1e-3}}')
    return {
        "own images": Reader(root / "own.npz", lambda: read_npz(root / "own.npz")),
        "own classes": Reader(root / "own.npz", lambda: read_npz_classes(root / "own.npz")),
        "own table": Reader(root / "own.csv", lambda: CsvTable(root / "own.csv").loaded_rows),
        "table with gaps": Reader(
            root / "gaps.csv", lambda: read_gaps(root / "gaps.csv", table.format, 2)
        ),
        "decision of a run": Reader(
            decision_path(root, 1), lambda: [each.facts for each in read_decisions(root)]
        ),
        "mask": Reader(root / "mask.npz", lambda: mask_from_file(root / "mask.npz", (2, 1, 4, 4))),
        "record of competitors": Reader(
            root / "competitors" / "competitors.json", lambda: read_competitors(root)
        ),
        "record of private training": Reader(root / "private.json", lambda: read_private(root)),
        "rows of a record": Reader(
            root / "rows.json", lambda: row_format_from_dict(read_json_object(root / "rows.json"))
        ),
        "measured bits": Reader(root / "bits.npz", lambda: MeasuredSource(root / "bits.npz")),
        "archive": Reader(root / "arrays.npz", lambda: read_arrays(root / "arrays.npz")),
        "network of a loader": Reader(
            root / "network.npz", lambda: _named(root / "network.npz"), fast=False
        ),
        "idx": Reader(
            root / "train-images-idx3-ubyte", lambda: read_idx(root / "train-images-idx3-ubyte")
        ),
        "idx in gzip": Reader(
            root / "train-images-idx3-ubyte.gz",
            lambda: read_idx(root / "train-images-idx3-ubyte.gz"),
        ),
        "reproduction card": Reader(card, lambda: find_card(card)),
        "result file of a card": Reader(results, lambda: recorded(find_card(card))),
        "device": Reader(
            root / "device.json", lambda: load_device(root / "device.json"), fast=False
        ),
        "json": Reader(root / "any.json", lambda: read_json_object(root / "any.json")),
    }


def _private() -> dict[str, object]:
    schema = _schema("qdm_qiskit.privacy.private_training")
    return {"schema": schema, "epsilon": 1.5, "options": asdict(PrivacyOptions(noise=2.0))}


def _competitors() -> dict[str, object]:
    row = {"parameters": 41, "trained": 90, "model_parameters": 40, "classes": 3, "steps": 2}
    schema = _schema("qdm_qiskit.training.competitors")
    return {"schema": schema, "competitors": {"vae": row, "gan": {**row, "classes": None}}}


def _network() -> bytes:
    """Networks of a loader of three qubits."""
    loader = make_loader("bricks:2", 3)
    data = np.random.default_rng(0).random((4, 8))
    kept = remembered(loader, data / np.linalg.norm(data, axis=1, keepdims=True))
    schema = _schema("qdm_qiskit.circuits.amortised")
    about = {"schema": schema, "loader": "bricks:2", "pattern": "bricks", "layers": 2}
    return network_bytes(Networks(about, {(3, False): kept}))


def _named(file: Path) -> object:
    """Read a network as it is read by the name of its content."""
    content = file.read_bytes()
    named = file.with_name(f"{key_of(content)}.npz")
    named.write_bytes(content)
    try:
        loader = make_loader(f"amortised:{key_of(content)}", 3)
        return loader.angles(np.eye(8)[:2])
    finally:
        named.unlink()


def _decision(number: int) -> dict[str, object]:
    told = json.dumps({"step": 3 - number, "queue": None, "seconds": 2.5, "failures": 0})
    decision = StepDecision(
        number=number,
        step=3 - number,
        route="exact",
        reason="7 jobs wait for the device, more than 5",
        policy="limits:queue=5",
        at="2026-11-30T08:00:00+00:00",
        failure=None,
        told=told,
    )
    return {"schema": DECISION, **asdict(decision)}
