"""A small model of two circuits whose observables are read, with a classical layer between them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.circuits import CircuitSpec
from qdm_qiskit.files import write_json
from qdm_qiskit.layers import QuantumLayer
from qdm_qiskit.models import Denoiser, build_model, save_model
from qdm_qiskit.models.catalog import ModelChoice, take_class
from qdm_qiskit.training import resolve_run
from tests.helpers import generator as seeded


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """Options of the model: 2 x 2 grey images."""

    image_size: Literal[2] = 2
    channels: Literal[1] = 1


def rotations(name: str) -> CircuitSpec:
    """Two qubits that load four pixels; five observables, of which ZI and ZZ share their shots."""
    x, w = ParameterVector("x", 4), ParameterVector("w", 4)
    circuit = QuantumCircuit(2)
    for qubit in range(2):
        circuit.ry(x[qubit], qubit)
        circuit.rx(x[2 + qubit], qubit)
        circuit.ry(w[qubit], qubit)
    circuit.cz(0, 1)
    for qubit in range(2):
        circuit.rx(w[2 + qubit], qubit)
    observables = [
        SparsePauliOp(["ZI", "ZZ"], [1.0, 0.5]),
        SparsePauliOp("IX"),
        SparsePauliOp(["YY", "II"], [1.0, 0.25]),
        SparsePauliOp(["IZ", "XI"], [0.5, -0.5]),
    ]
    return CircuitSpec.from_circuit(
        circuit, inputs=x, weights=w, readout=observables, name=name, loads="angles"
    )


class TwoReadings(Denoiser):
    """Noise that two circuits predict, one after the other."""

    name = "two-readings"
    source = "test"
    config_class = ReadingOptions
    state_space = "real"
    recommended: ClassVar = {"process": "ddpm"}

    def __init__(self, config: ReadingOptions, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config, self.image_shape = config, (1, 2, 2)
        self.first = QuantumLayer(rotations("first"), init_std=1.0, generator=generator)
        self.second = QuantumLayer(rotations("second"), init_std=1.0, generator=generator)

    def forward(
        self, x: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The first circuit sees the image, the second what the first makes of it, and the time."""
        self.check_images(x)
        h = self.first(inputs=x.flatten(1))
        h = self.second(inputs=torch.tanh(h) + t[:, None])
        return (x.flatten(1) + h.to(x)).reshape(x.shape) / 2


def write_reading_run(
    folder: Path, num_steps: int = 4, seed: int = 3, kind: type[Denoiser] = TwoReadings
) -> Path:
    """A run of the model, or of another kind of it, with random weights."""
    take_class(kind)
    config = resolve_run(kind.name, {"num_steps": num_steps})
    choice = ModelChoice(
        model=config.model, preset=None, config=config.model_options, source="test"
    )
    checkpoint = folder / "checkpoints" / "step-00000001"
    save_model(build_model(choice, generator=seeded(seed)), checkpoint)
    write_json(checkpoint / "state.json", {})
    write_json(folder / "config.json", config.to_dict())
    return folder
