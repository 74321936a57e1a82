"""Transpilation with a fixed seed, and the search for a good layout over many seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression
from qiskit.providers import BackendV2
from qiskit.transpiler import PassManager, TranspilerError, generate_preset_pass_manager
from qiskit.transpiler import Target as DeviceTarget
from qiskit.transpiler.passes import Optimize1qGatesDecomposition

from ..arguments import of_kind
from ..errors import InvalidData, InvalidOption, UnsupportedCircuit
from ..progress import Message, Progress, silent
from .cost import CircuitCost, circuit_cost, readout_success
from .fractional import check_fractional, folded, with_joined_rotations
from .readout import read_qubits, with_readout, without_readout
from .relabel import on_device
from .roots import with_roots_as_matrices
from .working import WorkingPart, refusal, working_part

__all__ = [
    "LEVELS",
    "WAY_TO_BACKEND",
    "Trial",
    "best_trial",
    "in_gates_of",
    "layout_trials",
    "measured_physical_qubits",
    "select_values",
    "success_of",
    "transpile_for",
]

LEVELS = (0, 1, 2, 3)
"""Qiskit's optimization levels."""


WAY_TO_BACKEND = "as_backend(device) makes one of a name or a noise model"
"""Way out for callers that give a name where a device is wanted."""


def transpile_for(
    circuit: QuantumCircuit,
    backend: BackendV2 | DeviceTarget,
    *,
    level: int = 3,
    seed: int,
    initial_layout: Sequence[int] | None = None,
    read: Sequence[int] | None = None,
    fractional: bool = False,
) -> QuantumCircuit:
    """Transpile a circuit, with its parameters still free, into a device's own instructions.

    Gates with a calibrated error of 1 are not used, layouts are compared by the errors that the noise
    model applies (:mod:`.channels`), and by readout errors also where the circuit does not measure.
    Gates with a limited range of angles, as rzz has on QPUs, are used for bound angles only, unless
    ``fractional`` folds free ones (:mod:`.fractional`).

    Args:
        circuit: A logical circuit; parameters stay parameters, so one result serves all values.
        backend: A backend or a Qiskit ``Target``.
        level: Optimization level, 0 to 3.
        seed: Seed of layout and routing; the same seed gives the same circuit.
        initial_layout: Physical qubit of each logical qubit; found by Qiskit if None.
        read: Logical qubits that are read later, for a circuit that does not measure; all if None.
        fractional: Use rzz for free angles as well, folded so that no value leaves its range.

    Returns:
        The ISA circuit, on physical qubits; it measures what the given circuit measures.

    Raises:
        InvalidOption: If the level is not 0 to 3, ``read`` names no qubits of the circuit, or
            ``initial_layout`` none of the device.
        UnsupportedCircuit: If the circuit has more qubits than the device, or than the part of it
            that works, a root (:mod:`.roots`) of a free or large gate, or Qiskit cannot transpile it;
            or ``fractional`` is asked of a device without such gates.
    """
    of_kind(circuit, QuantumCircuit, "circuit", "a spec gives one with full_circuit()")
    of_kind(backend, BackendV2 | DeviceTarget, "backend", WAY_TO_BACKEND)
    found, _ = _transpiled(
        circuit, backend, level, seed, initial_layout, read, fractional=fractional
    )
    return found


def _transpiled(
    circuit: QuantumCircuit,
    backend: BackendV2 | DeviceTarget,
    level: int,
    seed: int,
    initial_layout: Sequence[int] | None,
    read: Sequence[int] | None,
    parts: dict[bool, WorkingPart] | None = None,
    *,
    fractional: bool = False,
) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Transpile as :func:`transpile_for`; return also the qubits read without a measurement.

    The parts of the device with and without bounded gates, which no seed changes, are kept in
    ``parts``.
    """
    known = {} if parts is None else parts

    def part_of(bounded: bool) -> WorkingPart:
        if bounded not in known:
            known[bounded] = working_part(
                target, circuit, initial_layout, device=device, bounded=bounded
            )
        return known[bounded]

    if level not in LEVELS:
        raise InvalidOption(f"Optimization level must be 0, 1, 2 or 3, got {level}.")
    target = backend if isinstance(backend, DeviceTarget) else backend.target
    device = "the device" if isinstance(backend, DeviceTarget) else backend.name
    if initial_layout is not None:
        _check_layout(circuit, initial_layout, target.num_qubits)
    if target.num_qubits is not None and circuit.num_qubits > target.num_qubits:
        raise UnsupportedCircuit(
            f"Circuit '{circuit.name}' has {circuit.num_qubits} qubits and the device has "
            f"{target.num_qubits}; use a smaller model or a larger device."
        )
    circuit = with_roots_as_matrices(circuit)
    if fractional:
        check_fractional(target, device)
        circuit = with_joined_rotations(circuit)
    # An initial layout leaves nothing to choose, and a target of gates alone reads nothing.
    read_later = read_qubits(circuit, read) if "measure" in target.operation_names else ()
    added = () if initial_layout is not None else read_later
    measured = with_readout(circuit, added) if added else circuit
    part = part_of(True)
    if fractional and "rzz" not in part.target.operation_names:
        raise UnsupportedCircuit(
            f"Fractional gates are used on devices all of whose couplers work, and some of {device} "
            "have a calibrated error of 1; leave fractional_gates out."
        )
    try:
        isa = _on_part(measured, part, level, seed, initial_layout)
        if not fractional and _has_free_bounded_gate(isa, part.target):
            part = part_of(False)
            isa = _on_part(measured, part, level, seed, initial_layout)
    except TranspilerError as error:
        raise refusal(target, circuit, device, " ".join(str(error.message).split())) from error
    isa = on_device(isa, part, target)
    if fractional:
        isa = folded(isa, target)
    return without_readout(isa) if added else (isa, ())


def _check_layout(
    circuit: QuantumCircuit, layout: Sequence[int], device_qubits: int | None
) -> None:
    limit = math.inf if device_qubits is None else device_qubits
    if len(layout) != circuit.num_qubits or len(set(layout)) < len(layout):
        raise InvalidOption(
            f"initial_layout names a physical qubit for each of the {circuit.num_qubits} qubits of "
            f"circuit '{circuit.name}', no two alike, got {list(layout)}."
        )
    if not all(0 <= qubit < limit for qubit in layout):
        raise InvalidOption(
            f"initial_layout names qubits of the device, 0 to {limit - 1}, got {list(layout)}."
        )


def in_gates_of(circuit: QuantumCircuit, target: DeviceTarget) -> QuantumCircuit:
    """A circuit of one-qubit gates on physical qubits, in the gates that a device has there.

    Args:
        circuit: On the device's qubits by their number.
        target: The device.

    Returns:
        The circuit itself if the device has its gates, as most have x; or, as on devices of u1, u2
        and u3, one of equal action on the same qubits.

    Raises:
        UnsupportedCircuit: If the device has no gates there that make it.
    """

    def foreign(found: QuantumCircuit) -> list[str]:
        return sorted(
            {
                f"'{item.operation.name}' on qubit {where[0]}"
                for item in found.data
                if (where := [found.find_bit(qubit).index for qubit in item.qubits])
                and item.operation.name != "barrier"
                and not target.instruction_supported(item.operation.name, tuple(where))
            }
        )

    if not foreign(circuit):
        return circuit
    translated = PassManager([Optimize1qGatesDecomposition(target=target)]).run(circuit)
    translated.name = circuit.name
    if missing := foreign(translated):
        raise UnsupportedCircuit(
            f"The device has no {', '.join(missing)}, and no other gates there for it; choose other "
            "qubits or another device."
        )
    return translated


def _on_part(
    circuit: QuantumCircuit,
    part: WorkingPart,
    level: int,
    seed: int,
    initial_layout: Sequence[int] | None,
) -> QuantumCircuit:
    index = {qubit: k for k, qubit in enumerate(part.qubits)}
    manager = generate_preset_pass_manager(
        optimization_level=level,
        target=part.target,
        seed_transpiler=seed,
        initial_layout=None if initial_layout is None else [index[q] for q in initial_layout],
    )
    return manager.run(circuit)


def _has_free_bounded_gate(isa: QuantumCircuit, target: DeviceTarget) -> bool:
    """Return whether some values leave the range of a gate; Qiskit folds only bound angles into it."""
    return target.has_angle_bounds() and any(
        target.gate_has_angle_bounds(item.operation.name)
        and any(isinstance(p, ParameterExpression) for p in item.operation.params)
        for item in isa.data
        if item.operation.name in target.operation_names
    )


@dataclass(frozen=True)
class Trial:
    """One transpilation of a circuit."""

    seed: int
    """The transpiler's seed."""
    circuit: QuantumCircuit
    """The ISA circuit."""
    cost: CircuitCost
    """Its cost on the device."""
    unmeasured_readout: float = 1.0
    """Product of 1 - error of reading the qubits that the circuit leaves to be read later."""


def layout_trials(
    circuit: QuantumCircuit,
    backend: BackendV2,
    *,
    seeds: Sequence[int],
    level: int = 3,
    read: Sequence[int] | None = None,
    fractional: bool = False,
    progress: Progress = silent,
) -> list[Trial]:
    """Transpile once for each seed.

    Args:
        circuit: A logical circuit, with or without free parameters.
        backend: A device whose target holds errors.
        seeds: Transpiler seeds, at least one.
        level: Optimization level, 0 to 3.
        read: Logical qubits that are read later, for a circuit that does not measure; all if None.
        fractional: As for :func:`transpile_for`.
        progress: Receives each trial that is done.

    Returns:
        The trials in the order of the seeds; :func:`best_trial` picks one.

    Raises:
        InvalidOption, UnsupportedCircuit: If there is no seed; as for :func:`transpile_for`.
    """
    of_kind(circuit, QuantumCircuit, "circuit", "a spec gives one with full_circuit()")
    of_kind(backend, BackendV2 | DeviceTarget, "backend", WAY_TO_BACKEND)
    if not seeds:
        raise InvalidOption("Layout trials need at least one transpiler seed, got none.")
    trials: list[Trial] = []
    parts: dict[bool, WorkingPart] = {}
    for done, seed in enumerate(seeds, start=1):
        isa, read_later = _transpiled(
            circuit, backend, level, seed, None, read, parts, fractional=fractional
        )
        cost = circuit_cost(isa, backend.target)
        trials.append(Trial(seed, isa, cost, readout_success(backend.target, read_later)))
        progress(Message("transpiling", done, len(seeds)))
    return trials


def best_trial(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest expected success, of qubits read later too.

    Ties go to fewer two-qubit gates.

    Raises:
        InvalidOption: If there are no trials.
    """
    if not trials:
        raise InvalidOption("The best of no trials was asked for; run layout_trials first.")
    return max(trials, key=lambda trial: success_of(trial.cost, trial.unmeasured_readout))


def success_of(cost: CircuitCost, unmeasured_readout: float) -> tuple[float, int]:
    """Return by what trials are ordered: expected success, then fewer two-qubit gates."""
    return cost.expected_success * unmeasured_readout, -cost.two_qubit_count


def select_values(values: np.ndarray, circuit: QuantumCircuit, isa: QuantumCircuit) -> np.ndarray:
    """The columns of a logical circuit's values that its transpiled form still has.

    The transpiler drops what no measurement can see, such as an RZ at the end, and with it the
    parameter; binding by position would then shift all later values.

    Args:
        values: ``(batch, circuit.num_parameters)`` in the order of ``circuit.parameters``.
        circuit: The logical circuit.
        isa: Its transpiled form.

    Returns:
        ``(batch, isa.num_parameters)`` in the order of ``isa.parameters``.

    Raises:
        InvalidData: If the shape of values does not fit the logical circuit.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != circuit.num_parameters:
        raise InvalidData(
            f"Circuit '{circuit.name}' needs values of shape (batch, {circuit.num_parameters}), "
            f"got {values.shape}."
        )
    column = {parameter.name: k for k, parameter in enumerate(circuit.parameters)}
    return values[:, [column[parameter.name] for parameter in isa.parameters]]


def measured_physical_qubits(isa: QuantumCircuit) -> tuple[int, ...]:
    """The physical qubit behind each classical bit of a transpiled circuit.

    Args:
        isa: A circuit in which each classical bit is measured exactly once.

    Returns:
        Index ``k`` holds the physical qubit that is measured into classical bit ``k``.

    Raises:
        UnsupportedCircuit: If a bit is never measured, or more than once.
    """
    qubit_of: dict[int, int] = {}
    for instruction in isa.data:
        if instruction.operation.name == "measure":
            clbit = isa.find_bit(instruction.clbits[0]).index
            if clbit in qubit_of:
                raise UnsupportedCircuit(
                    f"Classical bit {clbit} of circuit '{isa.name}' is measured more than once; "
                    "give each measurement its own bit."
                )
            qubit_of[clbit] = isa.find_bit(instruction.qubits[0]).index
    if len(qubit_of) != isa.num_clbits:
        missing = sorted(set(range(isa.num_clbits)) - set(qubit_of))
        raise UnsupportedCircuit(
            f"Circuit '{isa.name}' never measures classical bits {missing}; measure every bit once."
        )
    return tuple(qubit_of[k] for k in range(isa.num_clbits))
