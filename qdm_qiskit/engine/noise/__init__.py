"""Circuits through the noise of an Aer ``NoiseModel``, differentiable: exactly or by trajectories.

The errors come as a ``qiskit_aer.noise.NoiseModel``, that of a device snapshot for example from
:func:`qdm_qiskit.execution.region.noise_of`; this package does not know IBM's client.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, overload

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.providers import BackendV2

from ...arguments import of_kind
from ...errors import InvalidOption
from ...execution.noise_coverage import UnknownGates, checked_unknown_gates
from ...execution.region import active_qubits, check_isa, noise_of
from ..lowering.parameters import parameter_columns
from .base import NoisyProgram
from .density import DensityProgram
from .lowering import lower
from .readout import apply_readout, draw_counts
from .trajectories import TrajectoryProgram

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

MAX_AUTO_DENSITY_QUBITS = 9
"""Active qubits above which ``method="auto"`` takes trajectories."""

Method = Literal["auto", "density", "trajectories"]


@overload
def compile_noisy(
    circuit: QuantumCircuit,
    noise_model: NoiseModel | BackendV2,
    inputs: Sequence[Parameter] = ...,
    weights: Sequence[Parameter] = ...,
    *,
    physical_qubits: Sequence[int] | None = ...,
    unknown_gates: UnknownGates = ...,
    method: Literal["density"],
) -> DensityProgram: ...


@overload
def compile_noisy(
    circuit: QuantumCircuit,
    noise_model: NoiseModel | BackendV2,
    inputs: Sequence[Parameter] = ...,
    weights: Sequence[Parameter] = ...,
    *,
    physical_qubits: Sequence[int] | None = ...,
    unknown_gates: UnknownGates = ...,
    method: Literal["trajectories"],
) -> TrajectoryProgram: ...


@overload
def compile_noisy(
    circuit: QuantumCircuit,
    noise_model: NoiseModel | BackendV2,
    inputs: Sequence[Parameter] = ...,
    weights: Sequence[Parameter] = ...,
    *,
    physical_qubits: Sequence[int] | None = ...,
    unknown_gates: UnknownGates = ...,
    method: Method = ...,
) -> NoisyProgram: ...


def compile_noisy(
    circuit: QuantumCircuit,
    noise_model: NoiseModel | BackendV2,
    inputs: Sequence[Parameter] = (),
    weights: Sequence[Parameter] = (),
    *,
    physical_qubits: Sequence[int] | None = None,
    unknown_gates: UnknownGates = "refuse",
    method: Method = "auto",
) -> NoisyProgram:
    """Compile a circuit with noise into a batched, differentiable torch program.

    Errors are attached as Qiskit Aer's ``run`` attaches them: by label, else name, and by qubits;
    controls on 0 are X, the gate with its control on 1, and X. Gates that Aer would not run carry the
    errors of the parts in their definition. Transpile for the device first: gates that the model
    does not know while it knows others (:class:`~qdm_qiskit.execution.noise_coverage.NoiseCoverage`)
    would have no error and are refused.
    The active qubits decide the cost, not the size of the device.

    Args:
        circuit: Gates, delays, resets, channels, and measurements at the end. An evolution runs as
            its definition, with a UserWarning, where errors follow the gates of that or it is large.
        noise_model: Quantum errors, readout errors of single qubits, and noise passes; or a device,
            as a ``BackendV2`` that the circuit was transpiled for.
        inputs: Parameters that differ between the samples of a batch.
        weights: Parameters that all samples share.
        physical_qubits: Place in which the noise model finds each qubit of the circuit, for a
            circuit that is numbered differently; as they are numbered if None.
        unknown_gates: ``"noiseless"`` runs gates that the model does not know without an error, as
            Aer does; ``"refuse"`` names them.
        method: ``"density"`` is exact and costs 4**active numbers a sample; ``"trajectories"`` is an
            unbiased estimate of 2**active numbers a trajectory; ``"auto"`` decides by
            :data:`MAX_AUTO_DENSITY_QUBITS`.

    Returns:
        The program.

    Raises:
        UnsupportedCircuit: If a parameter of the circuit stands in neither list or in both, a listed
            one is not in the circuit, an instruction cannot be run (it is named), the noise model
            knows gates and lacks one of the circuit's (named too), a channel is not completely
            positive and trace preserving, or an error is not local.
        InvalidOption: If the method or ``unknown_gates`` does not exist, or the variance of
            trajectories is too large.

    >>> from qiskit_aer.noise import NoiseModel, depolarizing_error
    >>> noise = NoiseModel()
    >>> noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["x"])
    >>> circuit = QuantumCircuit(1)
    >>> _ = circuit.x(0)
    >>> compile_noisy(circuit, noise).probabilities().flatten()
    tensor([0.0500, 0.9500])
    """
    of_kind(circuit, QuantumCircuit, "circuit", "a spec holds one as `spec.circuit`")
    noise_model = _model_of(noise_model, circuit, physical_qubits)
    if method not in ("auto", "density", "trajectories"):
        raise InvalidOption(f"method is 'auto', 'density' or 'trajectories', got {method!r}.")
    checked_unknown_gates(unknown_gates)
    parameter_columns(circuit, inputs, weights)
    noisy = lower(circuit, noise_model, inputs, physical_qubits, unknown_gates)
    if method == "density" or (method == "auto" and len(noisy.active) <= MAX_AUTO_DENSITY_QUBITS):
        return DensityProgram(noisy, inputs, weights)
    return TrajectoryProgram(noisy, inputs, weights)


def _model_of(
    noise: NoiseModel | BackendV2, circuit: QuantumCircuit, physical_qubits: Sequence[int] | None
) -> NoiseModel:
    """Return the model itself, or a device's on the qubits of the circuit."""
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel

    if isinstance(noise, AerSimulator):
        noise = getattr(noise.options, "noise_model", None)
    elif isinstance(noise, BackendV2):
        active = active_qubits([circuit])
        if physical_qubits is None:
            check_isa(circuit, noise)
        else:
            active = frozenset(physical_qubits[qubit] for qubit in active)
        return noise_of(noise, active)
    of_kind(noise, NoiseModel, "noise_model", "load_backend(name) makes a backend, which does too")
    return noise


__all__ = [
    "MAX_AUTO_DENSITY_QUBITS",
    "DensityProgram",
    "NoisyProgram",
    "TrajectoryProgram",
    "apply_readout",
    "compile_noisy",
    "draw_counts",
]
