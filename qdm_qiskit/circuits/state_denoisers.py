"""Denoisers of quantum states: three blocks, the middle one with an ancilla that is projected.

The paper's ancilla is its wire 0, the most significant bit: Qiskit's highest data qubit plus one. It
is projected on |0> after the middle block, and the state is renormalised. The last block does not
touch it, so the projection may as well stand at the end: the specs are unitary circuits whose
readout post-selects, and the engine's final state, cut to ancilla 0 and renormalised, is the
denoised state. Where a model puts a nonlinear map behind the projection (the published codes have
an optional complex LeakyReLU), it runs the blocks one by one: :func:`cacioppo_blocks`,
:func:`qamp_blocks`.
"""

from __future__ import annotations

from collections.abc import Sequence

from qiskit import QuantumCircuit

from ..errors import InvalidTemplate
from .blocks import (
    Mixing,
    Sign,
    append_alternating_layers,
    identity_block,
    qamp_layers,
)
from .checks import check_counts
from .parameters import input_parameters, weight_parameters
from .readouts import ProbabilityReadout
from .spec import CircuitSpec
from .wires import wire_to_qubit

__all__ = [
    "Blocks",
    "cacioppo_blocks",
    "cacioppo_denoiser",
    "conditioned_latent_denoiser",
    "qamp_blocks",
    "qamp_denoiser",
]

Blocks = tuple[QuantumCircuit, QuantumCircuit, QuantumCircuit]
"""Blocks on n, n + 1 and n wires. Each numbers its weights from ``w_0000``; the whole denoiser's
weights are the first block's, then the second's, then the third's."""


def cacioppo_blocks(num_data: int, depths: tuple[int, int, int] = (2, 2, 2)) -> Blocks:
    """Build the three blocks of :func:`cacioppo_denoiser`, each on its own register.

    Args:
        num_data: Number of data qubits n, at least 1.
        depths: Layers of each block, even, so that each is the identity at zero angles.

    Returns:
        :func:`~qdm_qiskit.circuits.identity_block` on n, n + 1 and n wires.

    Raises:
        InvalidTemplate: If a count is below its minimum or a depth is odd.
    """
    check_counts("cacioppo_denoiser", num_data=(num_data, 1))
    first, middle, last = _three("cacioppo_denoiser", depths)
    return (
        identity_block(num_data, first),
        identity_block(num_data + 1, middle),
        identity_block(num_data, last),
    )


def cacioppo_denoiser(num_data: int, depths: tuple[int, int, int] = (2, 2, 2)) -> CircuitSpec:
    """Build one backward step of complex amplitudes that is the identity at zero angles.

    Args:
        num_data: Number of data qubits n, at least 1; ``2**n`` amplitudes.
        depths: Layers L1, L2, L3 of the blocks, each even.

    Returns:
        A spec with ``3 (L1 n + L2 (n + 1) + L3 n)`` weights, data on qubits ``0 .. n-1``, the ancilla
        on qubit n, and the data's probabilities given ancilla 0.

    Raises:
        InvalidTemplate: If a count is below its minimum or a depth is odd.

    References:
        Cacioppo et al., arXiv:2311.15444; sizes as in the authors' code, 150 weights a step at n = 8.
    """
    return _denoiser(
        "cacioppo_denoiser",
        cacioppo_blocks(num_data, depths),
        complex_amplitudes=True,
        source="Cacioppo et al., arXiv:2311.15444, and the authors' code",
    )


def qamp_blocks(
    num_data: int, reps: int = 30, *, mixing: Mixing = "qft", sign: Sign = "plus"
) -> Blocks:
    """Build the three blocks of :func:`qamp_denoiser`, each on its own register.

    Args:
        num_data: Number of data qubits n, at least 2.
        reps: Layers of each block, at least 1.
        mixing: Form of PhaseMixing.
        sign: Sign in the exponent of the ConvUnits.

    Returns:
        :func:`~qdm_qiskit.circuits.qamp_layers` on n, n + 1 and n wires.

    Raises:
        InvalidTemplate: If a count is below its minimum or a form is unknown.
    """
    check_counts("qamp_denoiser", num_data=(num_data, 2), reps=(reps, 1))
    first, middle, last = (
        qamp_layers(wires, reps, mixing=mixing, sign=sign)
        for wires in (num_data, num_data + 1, num_data)
    )
    return first, middle, last


def qamp_denoiser(
    num_data: int, reps: int = 30, *, mixing: Mixing = "qft", sign: Sign = "plus"
) -> CircuitSpec:
    """Build QAMP's bottleneck: three blocks of ConvUnits and PhaseMixing, an ancilla in the second.

    Args:
        num_data: Number of data qubits n, at least 2; QAMP has 4.
        reps: Layers of each block, at least 1; QAMP has 30.
        mixing: Form of PhaseMixing.
        sign: Sign in the exponent of the ConvUnits.

    Returns:
        A spec with 1380 weights at n = 4 and reps = 30, data on qubits ``0 .. n-1``, the ancilla on
        qubit n, and the data's probabilities given ancilla 0. Data are real amplitudes.

    Raises:
        InvalidTemplate: If a count is below its minimum or a form is unknown.

    References:
        QAMP 2025, published code of 25 January 2026.
    """
    return _denoiser(
        "qamp_denoiser",
        qamp_blocks(num_data, reps, mixing=mixing, sign=sign),
        complex_amplitudes=False,
        source="QAMP 2025, code of 25 January 2026",
    )


def conditioned_latent_denoiser(
    num_data: int = 3,
    num_labels: int = 4,
    depths: tuple[int, int, int] = (15, 20, 15),
    *,
    project_labels: bool = False,
) -> CircuitSpec:
    """Build one backward step of a latent state beside qubits that hold its class.

    Wires: the ancilla, the data, the label. The label's wires start in the basis state of the class
    (RY of 0 or pi, see :func:`~qdm_qiskit.circuits.basis_angles`) and take part in all three blocks,
    which are :func:`~qdm_qiskit.circuits.alternating_layers`. An odd depth, as in the default, leaves
    one CNOT chain over, so the step is then not the identity at zero angles.

    Args:
        num_data: Number of data qubits n, at least 1.
        num_labels: Number of label qubits k, at least 1; 4 hold ten classes.
        depths: Layers L1, L2, L3 of the blocks, at least 1 each.
        project_labels: Take the label back at the end and project on its return, which leaves a pure
            state of the data; otherwise the readout sums over the label's qubits.

    Returns:
        A spec with ``3 (L1 (n+k) + L2 (n+1+k) + L3 (n+k))`` weights, 1110 by default, the inputs
        ``x_0000 ...`` for the label's angles (wire order), and the data's probabilities given
        ancilla 0. Qubits: labels ``0 .. k-1``, data ``k .. k+n-1``, ancilla ``k+n``.

    Raises:
        InvalidTemplate: If a count is below its minimum.

    References:
        Cacioppo et al., arXiv:2311.15444, conditioned latent model. Its text does not give this
        layout: it is the one that fits 3 + 1 + 4 qubits, 50 layers and 1110 parameters.
    """
    name = "conditioned_latent_denoiser"
    check_counts(name, num_data=(num_data, 1), num_labels=(num_labels, 1))
    first, middle, last = _three(name, depths)
    check_counts(name, depth_1=(first, 1), depth_2=(middle, 1), depth_3=(last, 1))
    total = num_data + num_labels + 1
    qubits = [wire_to_qubit(wire, total) for wire in range(total)]
    inner, labels = qubits[1:], qubits[1 + num_data :]
    sizes = [3 * first * len(inner), 3 * middle * total, 3 * last * len(inner)]
    weights = weight_parameters(sum(sizes))
    angles = input_parameters(num_labels)
    circuit = QuantumCircuit(total, name=name)
    for qubit, angle in zip(labels, angles, strict=True):
        circuit.ry(angle, qubit)
    append_alternating_layers(circuit, inner, weights[: sizes[0]])
    append_alternating_layers(circuit, qubits, weights[sizes[0] : sizes[0] + sizes[1]])
    append_alternating_layers(circuit, inner, weights[sizes[0] + sizes[1] :])
    if project_labels:
        for qubit, angle in zip(labels, angles, strict=True):
            circuit.ry(-angle, qubit)
    data = tuple(sorted(inner[:num_data]))
    kept = ((qubits[0], 0), *((qubit, 0) for qubit in sorted(labels) if project_labels))
    return CircuitSpec(
        name=name,
        circuit=circuit,
        encoding="amplitude",
        complex_amplitudes=True,
        data_qubits=data,
        ancilla_qubits=(*sorted(labels), qubits[0]),
        readout=ProbabilityReadout(qubits=data, postselect=kept, renormalise=True),
        source="Cacioppo et al., arXiv:2311.15444; layout inferred from its counts",
    )


def _three(name: str, depths: Sequence[int]) -> tuple[int, int, int]:
    if not isinstance(depths, Sequence) or len(depths) != 3:
        raise InvalidTemplate(f"{name} has three blocks: depths has 3 entries, got {depths!r:.40}.")
    first, middle, last = depths
    return first, middle, last


def _denoiser(name: str, blocks: Blocks, *, complex_amplitudes: bool, source: str) -> CircuitSpec:
    num_data = blocks[0].num_qubits
    data = tuple(range(num_data))
    weights = weight_parameters(sum(block.num_parameters for block in blocks))
    circuit = QuantumCircuit(num_data + 1, name=name)
    start = 0
    for block in blocks:
        own = weights[start : start + block.num_parameters]
        renamed = block.assign_parameters(dict(zip(block.parameters, own, strict=True)))
        circuit.compose(renamed, qubits=range(block.num_qubits), inplace=True)
        start += block.num_parameters
    return CircuitSpec(
        name=name,
        circuit=circuit,
        encoding="amplitude",
        complex_amplitudes=complex_amplitudes,
        data_qubits=data,
        ancilla_qubits=(num_data,),
        readout=ProbabilityReadout(qubits=data, postselect=((num_data, 0),), renormalise=True),
        source=source,
    )
