"""Files beside a plan, as bytes that depend on their content alone."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qiskit import QuantumCircuit

from ...circuits.amortised import FOLDER
from ...circuits.qpy_files import remember
from ...circuits.saved import without_layout
from ...errors import InvalidOption
from ...files import write_json
from .run_plan import MODEL

if TYPE_CHECKING:
    from ...sampling import TrainedRun
    from ...sampling.starts import Start

__all__ = [
    "inputs",
    "model_files",
    "npz_bytes",
    "qpy_bytes",
]


def inputs(
    trained: TrainedRun, num_images: int, label: int | None, seed: int, start: Start = "process"
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw x_T from the run's own streams, as `qdm sample` does, and the labels.

    Args:
        trained: The run.
        num_images: Images.
        label: Class of all images of a guided model; None cycles over the classes.
        seed: The run's seed.
        start: Start of the chain; see :mod:`qdm_qiskit.sampling.starts`.

    Returns:
        ``(num_images, *state_shape)`` float32, or complex64 of a model of states; and
        ``(num_images,)`` int64 or None.

    Raises:
        InvalidOption: If a label is given to a model that is not guided, or is out of range; or the
            start does not fit the model or its loader.
    """
    from ...layers.arrays import to_array
    from ...sampling import SamplingConfig, chosen_labels
    from ...sampling.starts import started

    labels = chosen_labels(trained, SamplingConfig(num_images=num_images, label=label))
    x = started(trained, num_images, seed=seed, start=start, labels=labels).x
    kind = np.float32 if x.is_floating_point() else np.complex64
    return to_array(x).astype(kind, copy=False), None if labels is None else to_array(labels)


def model_files(trained: TrainedRun, loader: str | None = None) -> dict[str, bytes]:
    """Return a run folder with this one checkpoint, by path relative to the hardware run's folder.

    Args:
        trained: The run.
        loader: The loader that took the place of the run's own, if one did. The files are then written
            with it, so that whoever reads the plan loads as it does; they are the run's own otherwise.

    Raises:
        InvalidOption: If the model has no option that keeps its loader.
    """
    from ...sampling.loader_names import network_files
    from ...training.checkpoint import BEST_NAME, load_training_state, weights_folder

    checkpoint = trained.checkpoint
    # If the run keeps averaged weights, it is those that are sampled from.
    weights = weights_folder(checkpoint)
    name = checkpoint.name
    if BEST_NAME.fullmatch(name):  # a plan names it by its step, whatever it is called in the run
        name = f"step-{load_training_state(checkpoint).step:08d}"
    inside = f"{MODEL}/checkpoints/{name}"
    sources = {
        f"{MODEL}/config.json": checkpoint.parent.parent / "config.json",
        f"{inside}/config.json": weights / "config.json",
        f"{inside}/model.safetensors": weights / "model.safetensors",
        f"{inside}/state.json": checkpoint / "state.json",
    }
    used = getattr(trained.model.config, "loader", None)
    networks = {f"{MODEL}/{FOLDER}/{n}": content for n, content in network_files(used).items()}
    if loader is None:
        return {path: file.read_bytes() for path, file in sources.items()} | networks
    with tempfile.TemporaryDirectory() as folder:
        written = _write_model(trained, Path(folder))
        sources |= {
            f"{MODEL}/config.json": written / "run.json",
            f"{inside}/config.json": written / "config.json",
            f"{inside}/model.safetensors": written / "model.safetensors",
        }
        return {path: file.read_bytes() for path, file in sources.items()} | networks


def _write_model(trained: TrainedRun, folder: Path) -> Path:
    from ...models import save_model

    if not hasattr(trained.model.config, "loader"):
        raise InvalidOption(
            f"Model '{trained.model.name}' has no option `loader`, so a plan cannot keep another one "
            "than its own; add the option to its class, or leave loader out."
        )
    save_model(trained.model, folder)
    write_json(folder / "run.json", trained.config.to_dict())
    return folder


def qpy_bytes(circuits: Sequence[QuantumCircuit]) -> bytes:
    """Return QPY bytes that depend on the circuits alone.

    Parameters get identities from their names, and the transpiler's layout, whose bits QPY writes
    in no fixed order, stays out: the plan holds what matters of it.
    """
    from qiskit import qpy

    fixed = [without_layout(circuit) for circuit in circuits]
    buffer = io.BytesIO()
    qpy.dump(fixed, buffer)
    remember(buffer.getvalue())
    return buffer.getvalue()


def npz_bytes(x: np.ndarray, labels: np.ndarray | None) -> bytes:
    """Return the bytes of ``inputs.npz``."""
    buffer = io.BytesIO()
    arrays = {"x": x} if labels is None else {"x": x, "labels": labels.astype(np.int64)}
    # numpy's annotations take a keyword for its option `allow_pickle`.
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
