"""Circuit of a QNN as the backend behind a primitive needs it: in its gates, on its qubits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Instruction
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError
from qiskit.passmanager import BasePassManager
from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager

from ..arguments import wrong
from ..errors import UnsupportedCircuit
from ..execution.aer_circuits import for_aer, on_ones
from ..execution.aer_primitives import (
    AerReadyEstimator,
    AerReadySampler,
    aer_behind,
    noise_behind,
)
from ..execution.noise_coverage import NoiseCoverage, UnknownGates
from ..transpiling.passes import transpile_for
from ..transpiling.roots import with_roots_as_matrices
from .shift_rules import with_shift_rules, without_shift_rule

__all__ = [
    "SEED",
    "Prepared",
    "prepare",
]

SEED = 0
"""Seed of the transpiler, so that a layer has the same circuit in every process."""


@dataclass(frozen=True)
class Prepared:
    """Parts of a QNN."""

    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]
    """Observables on the qubits of the circuit."""
    primitive: BaseSamplerV2 | BaseEstimatorV2


def prepare(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    primitive: BaseSamplerV2 | BaseEstimatorV2,
    unknown_gates: UnknownGates,
    *,
    device: BackendV2 | None = None,
    pass_manager: BasePassManager | None = None,
) -> Prepared:
    """Return circuit, observables and primitive so that they fit each other.

    For a device, or its snapshot, the circuit is transpiled at level 1; for Aer without one it is
    translated, gate by gate, into what its method and its noise model know. Others take any circuit.

    Args:
        circuit: The whole circuit, parameters free.
        observables: On its qubits; may be empty.
        primitive: Primitive that is to run it.
        unknown_gates: As for :func:`~qdm_qiskit.layers.qnn_executor`.
        device: The device to transpile for, in the place of the one behind the primitive.
        pass_manager: Transpiles in the place of ours.

    Returns:
        The three.

    Raises:
        UnsupportedCircuit: If the noise model knows gates and the circuit cannot be written in them,
            or a parameter is lost in transpiling.
    """
    behind = getattr(primitive, "_backend", None)
    if device is None and isinstance(behind, BackendV2):
        device = behind if behind.target.build_coupling_map() is not None else None
    if pass_manager is not None:
        moved = for_aer(_by_pass_manager(circuit, pass_manager), labels=False)
    elif device is not None:
        # Labels would hide gates from the device's noise.
        moved = for_aer(_on_device(circuit, device), labels=False)
    elif aer_behind(primitive) is not None:
        moved = _in_known_gates(circuit, primitive, unknown_gates)
    else:
        return Prepared(circuit, tuple(observables), primitive)
    if moved.layout is not None:
        observables = [each.apply_layout(moved.layout) for each in observables]
        moved = _without_layout(moved)
    if aer_behind(primitive) is not None:
        if isinstance(primitive, BaseEstimatorV2):
            primitive = AerReadyEstimator(primitive, unknown_gates)
        else:
            primitive = AerReadySampler(primitive, unknown_gates)
    return Prepared(moved, tuple(observables), primitive)


def _on_device(circuit: QuantumCircuit, backend: BackendV2) -> QuantumCircuit:
    for level in (1, 0):
        moved = transpile_for(circuit, backend, level=level, seed=SEED)
        # A transpiler that leaves out a parameter without effect would leave a QNN one too many.
        if set(moved.parameters) == set(circuit.parameters):
            return moved
    raise UnsupportedCircuit(
        f"Transpiling '{circuit.name}' for {backend.name} loses parameters that have no effect; "
        "leave them out of the circuit."
    )


def _by_pass_manager(circuit: QuantumCircuit, pass_manager: BasePassManager) -> QuantumCircuit:
    try:
        moved = pass_manager.run(circuit)
    except QiskitError as error:
        why = " ".join(str(error.message).split())
        raise UnsupportedCircuit(
            f"The pass manager cannot transpile '{circuit.name}': {why}"
        ) from error
    if not isinstance(moved, QuantumCircuit):
        raise wrong(
            pass_manager, "pass_manager", "a pass manager that gives a circuit for a circuit"
        )
    lost = sorted({p.name for p in circuit.parameters} - {p.name for p in moved.parameters})
    if lost:
        raise UnsupportedCircuit(
            f"The pass manager removes {', '.join(lost[:5])} from '{circuit.name}', which have no "
            "effect; take a lower optimization_level, or leave them out of the circuit."
        )
    return moved


def _without_layout(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit on physical qubits, without its layout.

    SamplerQNN takes a layout for the places of the outcome's bits, also where those were measured
    into classical bits of their own before the circuit was laid out.
    """
    bare = QuantumCircuit(*circuit.qregs, *circuit.cregs, name=circuit.name)
    bare.compose(circuit, circuit.qubits, circuit.clbits, inplace=True)
    return bare


def _in_known_gates(
    circuit: QuantumCircuit, primitive: BaseSamplerV2 | BaseEstimatorV2, unknown: UnknownGates
) -> QuantumCircuit:
    """Return the circuit in gates of Aer's method and, if asked, of its noise model."""
    simulator, noise = aer_behind(primitive), noise_behind(primitive)
    assert simulator is not None  # the caller has looked
    basis = set(simulator.configuration().basis_gates)
    coverage = None
    if noise is not None and unknown != "noiseless":
        coverage = NoiseCoverage(noise, takes_device=True)
    if coverage is None or not coverage.knows_gates:
        return circuit if _gates(circuit) <= basis else _translated(circuit, basis)
    basis &= coverage.known
    if _gates(circuit) <= basis - without_shift_rule() and not coverage.gaps(circuit):
        return circuit
    # Gates without a shift rule would be replaced in the gradient's circuits, and their noise too.
    for names in (basis - without_shift_rule(), basis):
        try:
            found = _translated(circuit, names)
        except QiskitError:
            continue
        coverage.check(found)
        return with_shift_rules(found)
    if _gates(circuit) <= basis and not coverage.gaps(circuit):
        return with_shift_rules(circuit)  # known, though a control on 0 keeps it from translation
    gaps = coverage.gaps(circuit)
    if gaps:
        raise coverage.refusal(gaps)
    missing = ", ".join(sorted(_gates(circuit) - basis))
    raise UnsupportedCircuit(
        f"The noise model knows the gates of '{circuit.name}', and Aer's method "
        f"'{simulator.options.method}' does not run {missing}; take method='statevector', or a model "
        "of other gates."
    )


def _translated(circuit: QuantumCircuit, names: set[str]) -> QuantumCircuit:
    manager = generate_preset_pass_manager(
        optimization_level=0,
        basis_gates=sorted(names & get_standard_gate_name_mapping().keys()),
        seed_transpiler=SEED,
    )
    return manager.run(with_roots_as_matrices(circuit))


def _gates(circuit: QuantumCircuit) -> set[str]:
    """Return names of the gates that Aer sees, and of abstract operations, all unknown to it."""
    operations = [item.operation for item in circuit.data]
    gates = [each for each in operations if isinstance(each, Gate)]
    abstract = {each.name for each in operations if not isinstance(each, Instruction)}
    return abstract | {part.name for gate in gates for part, _ in on_ones(gate)}
