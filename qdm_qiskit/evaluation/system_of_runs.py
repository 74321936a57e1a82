"""System metrics of training runs and of folders of samples, from their own records."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..canonical_json import content_sha256
from ..errors import InvalidData, QdmError
from ..files import parse_json, read_json_object
from .system_rows import NOT_RECORDED, Addressed, SystemRun, Value

__all__ = [
    "ONLY_TRAINING",
    "array_sha256",
    "config_parts",
    "energy",
    "per",
    "samples_run",
    "training_run",
]

_NO_DEVICE = "none: an exact target has no device"
_TOGETHER = "not recorded apart from the rest"
ONLY_TRAINING = "counted of training runs alone"
_NO_WATTS = "not known: no power was given"


def training_run(
    folder: Path, name: str, state: str, quality: Mapping[str, float], watts: float | None
) -> SystemRun:
    """Return the column of a training run.

    Its circuits are those of its model, before transpiling; a report of ``qdm report transpile`` in
    the run's folder adds what one of them costs on the device of that report.

    Args:
        folder: The run's folder.
        name: Its name in the table.
        state: Its state.
        quality: Its losses and metrics.
        watts: Power of the machine that trained it; None if not known.

    Raises:
        MissingData, InvalidCheckpoint, InvalidData: If a file is missing or cannot be used.
    """
    from ..sampling import load_run
    from ..sampling.model_calls import layer_calls
    from ..transpiling.cost import logical_cost

    run = load_run(folder)
    config = run.config.to_dict()
    training = config["training"]
    missing = dict.fromkeys(
        ("qpu_planned", "qpu_charged", "qpu_planned_step", "qpu_charged_step"),
        "none: it trained on this machine",
    )
    missing |= dict.fromkeys(
        ("images", "shots_image", "seconds_image", "qpu_planned_image", "qpu_charged_image"),
        "none: a training makes no images",
    )
    missing["energy_image_joules"] = missing["images"]
    missing |= dict.fromkeys(
        ("run_seconds", "classical_seconds", "preparing_seconds", "post_seconds"), _TOGETHER
    )
    values: dict[str, Value] = {"target": training["train_on"]}
    if run.model.num_qubits:
        contents = {call.content: call for call in layer_calls(run.model)}
        costs = [logical_cost(call.circuit) for call in contents.values()]
        deepest = max(costs, key=lambda cost: cost.depth)
        values |= {
            "circuits": len(costs),
            "qubits": deepest.qubits,
            "logical_depth": deepest.depth,
            "logical_cnots": deepest.cnot_count,
        }
    else:
        missing |= dict.fromkeys(
            ("circuits", "qubits", "logical_depth", "logical_cnots"), "none: a classical model"
        )
    values |= _of_transpile_report(folder, missing)
    history = _history(folder)
    seconds = [float(each["seconds"]) for each in history if "seconds" in each]
    if seconds:
        values["total_seconds"] = math.fsum(seconds)
    if history and "step" in history[-1]:
        values["steps"] = int(history[-1]["step"])
    exact = training["train_on"].startswith("engine") and training.get("train_shots") is None
    missing |= dict.fromkeys(("shots", "shots_step"), "none: exact circuits") if exact else {}
    values["queue_seconds"] = 0.0
    per(values, "total_seconds", seconds_step="steps")
    values["model_sha256"] = values["result_sha256"] = run.weights_sha256
    energy(values, missing, watts, values.get("total_seconds"))
    options, seed = config_parts(config)
    return SystemRun(
        name=name,
        kind="training",
        state=state,
        values=values,
        missing=missing,
        quality=quality,
        addressed=Addressed(
            options=content_sha256(["training", options]),
            seeds=(seed, None),
            device=(str(training["train_on"]), None),
            weights=None,
        ),
        notes=("Its steps are those of the optimizer; energy is of all its seconds.",)
        if watts is not None
        else ("Its steps are those of the optimizer.",),
    )


def samples_run(
    folder: Path, name: str, state: str, quality: Mapping[str, float], watts: float | None
) -> SystemRun:
    """Return the column of a folder of samples; arguments as for :func:`training_run`.

    Raises:
        MissingData, InvalidData: If a file is missing or cannot be used.
    """
    from ..sampling.samples import read_images

    path = folder / "manifest.json"
    manifest = read_json_object(path)
    try:
        sampling, config = dict(manifest["sampling"]), dict(manifest["run"])
        device, count = manifest["device"], int(sampling["num_images"])
        values: dict[str, Value] = {
            "target": str(sampling["target"]),
            "images": count,
            "steps": int(sampling["num_inference_steps"] or config["diffusion"]["num_steps"]),
            "total_seconds": float(manifest["seconds"]),
            "queue_seconds": 0.0,
            "model_sha256": str(manifest["model_sha256"]),
        }
        missing = dict.fromkeys(
            (
                *("qpu_planned", "qpu_charged", "qpu_planned_step", "qpu_charged_step"),
                *("qpu_planned_image", "qpu_charged_image"),
            ),
            "none: it was sampled on this machine",
        )
        missing |= dict.fromkeys(("logical_depth", "logical_cnots"), ONLY_TRAINING)
        if device is None:
            missing |= _without_device(sampling["shots"])
        else:
            values |= _of_device(device, missing)
        versions = {str(k): str(v) for k, v in manifest.get("versions", {}).items()}
        options, seed = config_parts(config)
        kind = str(sampling["target"]).partition(":")[0]
        how = {k: v for k, v in sampling.items() if k not in ("target", "seed", "initial_layout")}
        addressed = Addressed(
            options=content_sha256(
                ["samples", options, how, kind, manifest.get("sampler"), manifest.get("start")]
            ),
            seeds=(seed, int(sampling["seed"])),
            device=(
                str(sampling["target"]),
                None if device is None else str(device["runner"]["backend"]),
            ),
            weights=str(manifest["model_sha256"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidData(
            f"{path} is no manifest of samples ({type(error).__name__}: {error})."
        ) from error
    try:
        values["result_sha256"] = array_sha256(read_images(folder / "samples.npz", count))
    except QdmError as error:
        missing["result_sha256"] = f"its images cannot be read: {error}"
    except OSError:
        missing["result_sha256"] = "its images are missing"
    _classical(values, missing)
    per(values, "total_seconds", seconds_step="steps", seconds_image="images")
    per(values, "shots", shots_step="steps", shots_image="images")
    energy(values, missing, watts, values.get("total_seconds"))
    notes = ["Energy is of all its seconds."] if watts is not None else []
    if device is not None:
        notes.append(
            "Classical work is all but running circuits: finding a layout, comparing each step with "
            "its exact distribution, decoding."
        )
    return SystemRun(
        name=name,
        kind="samples",
        state=state,
        values=values,
        missing=missing,
        quality=quality,
        addressed=addressed,
        versions=versions,
        notes=tuple(notes),
    )


def per(values: dict[str, Value], whole: str, **parts: str) -> None:
    """Add a value's share of each step or image, where both are known.

    Args:
        values: Where they stand and are added.
        whole: Key of the value.
        parts: New key, and the key of the number that it is divided by.
    """
    total = values.get(whole)
    for key, divisor in parts.items():
        number = values.get(divisor)
        if isinstance(total, int | float) and isinstance(number, int) and number > 0:
            values[key] = total / number


def energy(
    values: dict[str, Value], missing: dict[str, str], watts: float | None, seconds: Value
) -> None:
    """Add energy, where a power was given: it times a number of seconds, in joules.

    Args:
        values: Where the energy is added.
        missing: Reasons, which are added to.
        watts: Power; None if not known.
        seconds: The seconds; None if not known.
    """
    if watts is None or not isinstance(seconds, int | float):
        why = _NO_WATTS if watts is None else "not known: its seconds are not"
        for key in ("energy_joules", "energy_image_joules"):
            missing.setdefault(key, why)
        return
    values["energy_joules"] = watts * seconds
    per(values, "energy_joules", energy_image_joules="images")


def config_parts(config: Mapping[str, Any]) -> tuple[Any, int | None]:
    """Return the options of a training run without seed, device and places, and its seed."""
    training = dict(config["training"])
    seed = training.pop("seed", None)
    training["train_on"] = str(training.get("train_on", "engine")).partition(":")[0]
    record = config.get("record")
    content = record.get("content_sha256") if isinstance(record, Mapping) else None
    others = {k: v for k, v in config.items() if k not in ("training", "record", "schema")}
    data = others.get("data")
    if isinstance(data, Mapping) and content is not None:
        others["data"] = {k: v for k, v in data.items() if k != "folder"}
    return [others, training, content], None if seed is None else int(seed)


def array_sha256(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's type, shape and values."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _history(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl``; none where it is missing."""
    path = folder / "metrics.jsonl"
    try:
        lines = path.read_bytes().splitlines() if path.is_file() else []
        found = [parse_json(line) for line in lines]
    except (OSError, ValueError) as error:
        raise InvalidData(f"{path} cannot be read: {' '.join(str(error).split())}.") from error
    if not all(isinstance(each, dict) for each in found):
        raise InvalidData(f"{path} holds no metrics.")
    return found


def _of_transpile_report(folder: Path, missing: dict[str, str]) -> dict[str, Value]:
    """Return the device facts of the run's own transpile report, if it is of one device."""
    from .transpile import SCHEMA as TRANSPILE_SCHEMA

    rows = (
        *("device", "device_qubits", "depth", "two_qubit_gates", "circuit_seconds"),
        *("gate_success", "expected_success", "idle_success"),
    )
    unsaid = ("qubits_used", "qubits_idle", "busy_share", "idle_seconds", "longest_idle_seconds")
    found = []
    for path in sorted((folder / "report").glob("*.json")):
        content = read_json_object(path)
        if content.get("schema") == TRANSPILE_SCHEMA:
            backends = content.get("backends")
            if not isinstance(backends, list):
                raise InvalidData(f"{path} is no transpile report: it lists no backends.")
            found += [each for each in backends if isinstance(each, dict)]
    if len(found) != 1:
        why = "not transpiled" if not found else "transpiled for several devices"
        missing |= dict.fromkeys((*rows, *unsaid), why)
        return {}
    [one] = found
    missing |= dict.fromkeys(unsaid, "a transpile report does not say")
    try:
        total = one["cost"]["total"]
        return {
            "device": str(one["backend"]),
            "device_qubits": one["device_qubits"],
            "depth": total["depth"],
            "two_qubit_gates": total["two_qubit_count"],
            "circuit_seconds": total["duration_seconds"],
            "gate_success": total["gate_success"],
            "expected_success": total["expected_success"],
            "idle_success": total["idle_success"],
        }
    except (KeyError, TypeError) as error:
        raise InvalidData(
            f"A transpile report in {folder / 'report'} lacks what a device costs "
            f"({type(error).__name__}); make it again."
        ) from error


def _without_device(shots: object) -> dict[str, str]:
    """Return why samples of an exact target lack what circuits on a device have."""
    rows = (
        *("device", "calibrated_at", "device_qubits", "qubits_used", "qubits_idle", "busy_share"),
        *("idle_seconds", "longest_idle_seconds", "depth", "two_qubit_gates", "circuit_seconds"),
        *("gate_success", "expected_success", "idle_success"),
    )
    counted = "none: exact circuits" if shots is None else f"not recorded: {shots} a circuit"
    return {
        **dict.fromkeys(rows, _NO_DEVICE),
        **dict.fromkeys(("shots", "shots_step", "shots_image"), counted),
        **dict.fromkeys(("run_seconds", "classical_seconds"), _TOGETHER),
        **dict.fromkeys(("circuits", "qubits"), "not recorded: see the column of its training"),
    }


def _of_device(device: Mapping[str, Any], missing: dict[str, str]) -> dict[str, Value]:
    """Return the facts of samples of a target that ran circuits, of the circuit that succeeds least."""
    runner = device["runner"]
    layers = [device] if "circuit" in device else list(device.get("calls", []))
    values: dict[str, Value] = {
        "device": str(runner["backend"]),
        "jobs": int(runner["jobs"]),
        "executions": int(runner["circuits"]),
        "shots": int(runner["total_shots"]),
        "run_seconds": float(runner["seconds"]),
        "circuits": len({str(each.get("content", k)) for k, each in enumerate(layers)}),
    }
    if str(runner["target"]).partition(":")[0] == "aer":
        missing |= {k: v for k, v in _without_device(0).items() if v == _NO_DEVICE}
        values["device"] = None
    if not layers:
        return values
    worst = min(layers, key=lambda each: _number(each["circuit"].get("expected_success"), 2.0))
    circuit, layout = worst["circuit"], worst["layout"]
    times = circuit.get("qubit_times") or {}
    used = times.get("used")
    places = len(worst["tiles"]["tiles"]) if "tiles" in worst else 1
    physical = layout.get("physical_qubits")
    values |= {
        "qubits": circuit.get("logical_qubits", None if physical is None else len(physical)),
        "depth": circuit["depth"],
        "two_qubit_gates": circuit["two_qubit_gates"],
        "circuit_seconds": circuit.get("duration_seconds"),
        "gate_success": circuit.get("gate_success"),
        "expected_success": circuit["expected_success"],
        "idle_success": circuit.get("idle_success"),
        "device_qubits": times.get("device_qubits"),
        "busy_share": times.get("busy_share"),
        "idle_seconds": times.get("idle_seconds"),
        "longest_idle_seconds": times.get("longest_idle_seconds"),
    }
    if used is not None:
        values["qubits_used"] = places * int(used)
        values["qubits_idle"] = int(times["device_qubits"]) - places * int(used)
    return values


def _number(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise


def _classical(values: dict[str, Value], missing: dict[str, str]) -> None:
    """Add the seconds of classical work: all but running circuits."""
    total, run = values.get("total_seconds"), values.get("run_seconds")
    if isinstance(total, float) and isinstance(run, float):
        values["classical_seconds"] = max(0.0, total - run)
        missing |= dict.fromkeys(("preparing_seconds", "post_seconds"), _TOGETHER)
    else:
        missing.setdefault("classical_seconds", NOT_RECORDED)
