"""Runs of models that hand on states, small enough for a test, whose chains are one circuit."""

from __future__ import annotations

import shutil
from pathlib import Path

from qdm_qiskit.models import load_model, save_model
from tests.helpers import generator, images, write_run

SMALL = {"num_steps": 2, "init_std": 0.3, "image_size": 2}
LATENT = {**SMALL, "image_size": 4, "depths": (1, 1, 1)}

STATE_RUNS: dict[str, tuple[str, dict[str, object]]] = {
    "cacioppo": ("cacioppo", {**SMALL, "activation": False}),
    "latent": ("cacioppo_latent", {**LATENT, "num_steps": 3}),
    "conditioned": ("cacioppo_latent", {**LATENT, "latent_qubits": 2, "guided": True}),
    "unitary": ("q_dense_unitary", {**SMALL, "init_std": 1.0, "depth": 1}),
    "quddpm": ("quddpm", {"num_qubits": 1, "num_steps": 2, "init_std": 0.7, "depth": 2}),
}
"""Model and its options, by family."""


def write_state_run(folder: Path, name: str, **options: object) -> Path:
    """Write a run of a family with random weights, its codec fitted to random images."""
    model, own = STATE_RUNS[name]
    settings = {**own, **options}
    if model == "quddpm":  # states of no image
        settings = {"image_size": None, **settings}
    write_run(folder, model, **settings)
    if model == "cacioppo_latent":
        checkpoint = folder / "checkpoints" / "step-00000001"
        made = load_model(checkpoint)
        size = int(settings["image_size"])  # type: ignore[call-overload]
        made.fit_data(images(20, 1, size, size), generator())
        state = (checkpoint / "state.json").read_bytes()
        shutil.rmtree(checkpoint)
        save_model(made, checkpoint)
        (checkpoint / "state.json").write_bytes(state)
    return folder
