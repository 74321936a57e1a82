"""A package of somebody else, with a circuit, a model and a loader."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from qdm_qiskit import doors
from qdm_qiskit.models import catalog

POINTS = """
[qdm_qiskit.circuit]
five = theirs:five
seen = theirs:SEEN
[qdm_qiskit.model]
wave = theirs:Wave
[qdm_qiskit.loader]
rounded = theirs:Rounded
"""
CODE = '''
from dataclasses import dataclass

import numpy as np
import torch
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import efficient_su2

from qdm_qiskit.circuits import CircuitSpec, amplitude_angles, amplitude_loader
from qdm_qiskit.layers import QuantumLayer
from qdm_qiskit.models import CircuitDenoiser


def five(reps: int = 1):
    """Five qubits of Qiskit's library."""
    circuit = efficient_su2(5, reps=reps, entanglement="linear", parameter_prefix="theta")
    return CircuitSpec.from_circuit(
        circuit, weights=["theta"], loads="amplitudes", data_qubits=range(4), readout=range(4),
        name="su2",
    )


def measured():
    image, helper = QuantumRegister(2, "image"), QuantumRegister(1, "helper")
    seen = ClassicalRegister(2, "seen")
    circuit = QuantumCircuit(helper, image, seen, name="measured")
    pixel, theta = ParameterVector("pixel", 4), ParameterVector("theta", 5)
    for k in range(4):
        circuit.ry(pixel[k], image[k % 2])
        circuit.rz(theta[k], image[k % 2])
    circuit.rx(Parameter("when"), helper)
    circuit.cx(helper, image)
    circuit.ry(theta[4], image[0])
    circuit.cx(image[0], image[1])
    circuit.measure(image, [seen[1], seen[0]])
    return CircuitSpec.from_circuit(circuit, inputs=[pixel], weights=[theta], time="when")


SEEN = measured()


@dataclass(frozen=True, kw_only=True)
class WaveOptions:
    image_size: int = 2
    channels: int = 1
    gain: float = 1.0
    loader: str = "exact"


class Wave(CircuitDenoiser):
    name = "wave"
    source = "nobody's paper"
    config_class = WaveOptions

    def __init__(self, config, *, generator=None):
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        qubits = (config.channels * config.image_size**2 - 1).bit_length()
        circuit = efficient_su2(qubits, reps=1, parameter_prefix="theta")
        spec = CircuitSpec.from_circuit(
            circuit, weights="theta", loads="amplitudes", readout=range(qubits), name="wave",
            loader=config.loader,
        )
        self.layer = QuantumLayer(spec, generator=generator)

    def encode(self, x, labels):
        self.check_images(x)
        flat = x.flatten(1)
        return torch.nn.functional.pad(flat, (0, self.spec.num_amplitudes - flat.shape[1])), None

    def decode(self, outputs):
        pixels = (self.config.gain * outputs * self.spec.num_amplitudes).clamp(0, 1)
        return pixels[:, : self.image_shape[1] ** 2].reshape(-1, *self.image_shape)


class Rounded:
    """The exact loader's angles with so many decimals."""

    def __init__(self, num_qubits, decimals="1"):
        self.num_qubits, self.decimals = num_qubits, int(decimals)
        # The rotation of a level is off by its gates' roundings, and a state by half of that.
        self.error_bound = min(1.0, ((2**num_qubits - 1) * 10.0**-self.decimals / 4) ** 2)

    def circuit(self):
        exact = amplitude_loader(self.num_qubits)
        turn = ParameterVector("turn", exact.num_parameters)
        return exact.assign_parameters(dict(zip(exact.parameters, turn)))

    def angles(self, data):
        return amplitude_angles(data, self.num_qubits).round(self.decimals)
'''


Install = Callable[[str, str, str], None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package with entry points, the way pip leaves one on disk."""
    installed = []
    place = tmp_path / "site"
    place.mkdir()

    def install(name: str, points: str, code: str) -> None:
        installed.append(name)
        (place / f"{name}.py").write_text(code)
        info = place / f"{name}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(points)
        doors._outside.cache_clear()

    monkeypatch.syspath_prepend(str(place))
    yield install
    for name in installed:
        sys.modules.pop(name, None)
    doors._outside.cache_clear()


@pytest.fixture
def theirs(package: Install, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Install the package and import it."""
    package("theirs", POINTS, CODE)
    monkeypatch.setattr(catalog, "_given", {})
    return importlib.import_module("theirs")
