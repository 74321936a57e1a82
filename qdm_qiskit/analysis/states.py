"""Random states: of a circuit whose angles are drawn at random, and of the Haar measure."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from qiskit import QuantumCircuit
from torch import Tensor

from ..arguments import of_kind, random_generator, real_number, whole_number
from ..circuits import CircuitSpec
from ..engine import CircuitProgram, compile_circuit
from ..errors import InvalidData, InvalidOption, InvalidTemplate, UnsupportedCircuit

__all__ = [
    "CHUNK",
    "MAX_AMPLITUDES",
    "MAX_QUBITS",
    "MOST_QUBITS",
    "NORM_TOLERANCE",
    "analysed_circuit",
    "check_qubits",
    "check_samples",
    "check_size",
    "checked_states",
    "chunks",
    "compile_random",
    "haar_states",
    "random_angles",
    "random_states",
    "states_at",
]

MAX_QUBITS = 16
"""Largest register that is analysed: a few hundred states of it are kept at once."""
CHUNK = 2**20
"""Amplitudes that are computed at once, 16 MiB in complex128."""
MAX_AMPLITUDES = 2**26
"""Amplitudes (or pairs of states) that are kept, 1 GiB in complex128."""
MOST_QUBITS = 500
"""Qubits of closed formulas: 4**n is still a float."""
NORM_TOLERANCE = 1e-3
"""Tolerance of a state's norm; single precision stays far below."""


def analysed_circuit(
    source: CircuitSpec | QuantumCircuit, start_angle: float = 0.0
) -> QuantumCircuit:
    """The circuit that an analysis looks at.

    Args:
        source: A template's spec, of which the circuit is taken, or a circuit without measurements.
        start_angle: RY of this angle in radians is applied to each qubit first; 0 for none.

    Returns:
        The circuit, behind its start where there is one.

    Raises:
        InvalidTemplate: If the circuit has no free parameters: there is nothing to draw.
        UnsupportedCircuit: If it has more than :data:`MAX_QUBITS` qubits, or classical bits.
        InvalidOption: If the angle is not finite.
    """
    of_kind(source, CircuitSpec | QuantumCircuit, "source")
    start_angle = real_number(start_angle, "start_angle")
    circuit = source.circuit if isinstance(source, CircuitSpec) else source
    if not math.isfinite(start_angle):
        raise InvalidOption(f"start_angle is a finite angle in radians, got {start_angle}.")
    if circuit.num_qubits > MAX_QUBITS or circuit.num_clbits:
        raise UnsupportedCircuit(
            f"Circuits of at most {MAX_QUBITS} qubits and without classical bits are analysed, "
            f"'{circuit.name}' has {circuit.num_qubits} and {circuit.num_clbits}."
        )
    if not circuit.num_parameters:
        raise InvalidTemplate(
            f"'{circuit.name}' has no free parameters, so it makes one state only; analyse a "
            "circuit that has some."
        )
    if not start_angle:
        return circuit
    started = QuantumCircuit(circuit.num_qubits, name=circuit.name)
    started.ry(start_angle, range(circuit.num_qubits))
    return started.compose(circuit)


def compile_random(circuit: QuantumCircuit) -> CircuitProgram:
    """A program all of whose parameters differ from sample to sample, in name order."""
    return compile_circuit(circuit, inputs=list(circuit.parameters))


def random_angles(circuit: QuantumCircuit, samples: int, generator: np.random.Generator) -> Tensor:
    """``(samples, parameters)`` angles, uniform in [0, 2 pi).

    Raises:
        InvalidOption: If there are fewer than 2 samples.
    """
    check_samples(samples)
    random_generator(generator, "generator")
    return torch.from_numpy(generator.uniform(0, 2 * np.pi, (samples, circuit.num_parameters)))


def random_states(
    source: CircuitSpec | QuantumCircuit,
    samples: int,
    generator: np.random.Generator,
    *,
    start_angle: float = 0.0,
) -> Tensor:
    """States of a circuit whose parameters are independent and uniform in [0, 2 pi).

    Args:
        source: A spec or a circuit; it starts in |0...0>, inputs are drawn as weights are.
        samples: Number of states, at least 2.
        generator: Of the angles.
        start_angle: As for :func:`analysed_circuit`.

    Returns:
        ``(samples, 2**n)`` complex128, in Qiskit's order.

    Raises:
        InvalidOption: If there are fewer than 2 samples, or more than memory may hold.
        InvalidTemplate, UnsupportedCircuit: As for :func:`analysed_circuit`.
    """
    circuit = analysed_circuit(source, start_angle)
    angles = random_angles(circuit, samples, generator)
    check_size(samples, 2**circuit.num_qubits)
    return states_at(compile_random(circuit), angles)


def states_at(program: CircuitProgram, angles: Tensor) -> Tensor:
    """States of :func:`compile_random` at given angles, part by part."""
    with torch.no_grad():
        return torch.cat(
            [program.statevector(angles[part]) for part in chunks(len(angles), program.num_qubits)]
        )


def haar_states(num_qubits: int, samples: int, generator: np.random.Generator) -> Tensor:
    """States of the Haar measure: normalised complex normal vectors.

    Args:
        num_qubits: At least 1.
        samples: Number of states.
        generator: Of the states.

    Returns:
        ``(samples, 2**n)`` complex128.

    Raises:
        InvalidOption: If there is no qubit or no sample, or memory may not hold so many.
    """
    random_generator(generator, "generator")
    check_qubits(num_qubits)
    if whole_number(samples, "samples") < 1:
        raise InvalidOption(f"samples must be at least 1, got {samples}.")
    check_size(samples, 2**num_qubits)
    parts = generator.standard_normal((2, samples, 2**num_qubits))
    vectors = parts[0] + 1j * parts[1]
    return torch.from_numpy(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def chunks(samples: int, num_qubits: int, amplitudes: int | None = None) -> Iterator[slice]:
    """Slices of so many samples that one of them fits these amplitudes, :data:`CHUNK` if None."""
    size = max(1, (CHUNK if amplitudes is None else amplitudes) >> num_qubits)
    return (slice(start, start + size) for start in range(0, samples, size))


def check_qubits(num_qubits: int) -> None:
    """Refuse a number of qubits that no formula here holds for; 500 leave room in a float.

    Raises:
        InvalidOption: If it is below 1 or above 500.
    """
    if not 1 <= whole_number(num_qubits, "num_qubits") <= MOST_QUBITS:
        raise InvalidOption(f"num_qubits is 1 to {MOST_QUBITS}, got {num_qubits}.")


def checked_states(states: Tensor, *, least_qubits: int = 1) -> Tensor:
    """States of a register, in complex128.

    Args:
        states: ``(samples, 2**n)``, real or complex.
        least_qubits: Smallest n.

    Raises:
        InvalidArgument: If they are no tensor.
        InvalidData: If the shape is another one, or a state has not the norm 1 within 1e-3.
    """
    of_kind(states, Tensor, "states", "torch.from_numpy(array) makes one")
    width = states.shape[1] if states.ndim == 2 else 0
    if width < 2**least_qubits or width & (width - 1) or len(states) == 0:
        raise InvalidData(f"States need shape (samples, 2**n), got {tuple(states.shape)}.")
    exact = states.detach().cpu().to(torch.complex128)
    norms = torch.linalg.vector_norm(exact, dim=1)
    wrong = ~((norms - 1).abs() < NORM_TOLERANCE)  # written so that NaN is wrong
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise InvalidData(
            f"States have norm 1, but state {row} has {float(norms[row]):.6g}: divide it by its norm."
        )
    return exact


def check_samples(samples: int, what: str = "samples") -> None:
    """Refuse fewer than 2 of something, and more than a million.

    Raises:
        InvalidOption: With what was received.
    """
    whole = isinstance(samples, int | np.integer) and not isinstance(samples, bool)
    if not whole or not 2 <= samples <= 10**6:
        raise InvalidOption(f"{what} must be 2 to 1,000,000, got {samples}.")


def check_size(samples: int, width: int) -> None:
    """Refuse a table of so many rows and columns that memory may not hold it.

    Raises:
        InvalidOption: If it has more than :data:`MAX_AMPLITUDES` entries.
    """
    if samples * width > MAX_AMPLITUDES:
        raise InvalidOption(
            f"{samples} samples make {samples * width} numbers, more than the {MAX_AMPLITUDES} that "
            "are kept at once; use fewer samples or qubits."
        )
