"""Transpilation with a fixed seed, and the search for a good layout over many seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.transpiler import Target as DeviceTarget
from qiskit.transpiler import generate_preset_pass_manager

from ..arguments import of_kind
from ..errors import InvalidData, InvalidOption, UnsupportedCircuit
from .cost import CircuitCost, circuit_cost

LEVELS = (0, 1, 2, 3)
"""Qiskit's optimization levels."""


WAY_TO_BACKEND = "load_backend(name) makes one of a snapshot's name"
"""For callers that give a name where a device is wanted."""


def transpile_for(
    circuit: QuantumCircuit,
    backend: BackendV2 | DeviceTarget,
    *,
    level: int = 3,
    seed: int,
    initial_layout: Sequence[int] | None = None,
) -> QuantumCircuit:
    """Transpile a circuit, with its parameters still free, into a device's own instructions.

    Args:
        circuit: A logical circuit; parameters stay parameters, so one result serves all values.
        backend: A backend or a Qiskit ``Target``.
        level: Optimization level, 0 to 3.
        seed: Seed of layout and routing; the same seed gives the same circuit.
        initial_layout: Physical qubit of each logical qubit; found by Qiskit if None.

    Returns:
        The ISA circuit, on physical qubits.

    Raises:
        InvalidOption: If the level is not 0 to 3.
        UnsupportedCircuit: If the circuit has more qubits than the device.
    """
    of_kind(circuit, QuantumCircuit, "circuit", "a spec gives one with full_circuit()")
    of_kind(backend, BackendV2 | DeviceTarget, "backend", WAY_TO_BACKEND)
    if level not in LEVELS:
        raise InvalidOption(f"Optimization level must be 0, 1, 2 or 3, got {level}.")
    target = backend if isinstance(backend, DeviceTarget) else backend.target
    if target.num_qubits is not None and circuit.num_qubits > target.num_qubits:
        raise UnsupportedCircuit(
            f"Circuit '{circuit.name}' has {circuit.num_qubits} qubits and the device has "
            f"{target.num_qubits}; use a smaller model or a larger device."
        )
    manager = generate_preset_pass_manager(
        optimization_level=level,
        target=target,
        seed_transpiler=seed,
        initial_layout=None if initial_layout is None else list(initial_layout),
    )
    return manager.run(circuit)


@dataclass(frozen=True)
class Trial:
    """One transpilation of a circuit."""

    seed: int
    """The transpiler's seed."""
    circuit: QuantumCircuit
    """The ISA circuit."""
    cost: CircuitCost
    """What it costs on the device."""


def layout_trials(
    circuit: QuantumCircuit,
    backend: BackendV2,
    *,
    seeds: Sequence[int],
    level: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> list[Trial]:
    """Transpile once for each seed.

    Args:
        circuit: A logical circuit, with or without free parameters.
        backend: A device whose target holds errors.
        seeds: Transpiler seeds, at least one.
        level: Optimization level, 0 to 3.
        progress: Called with ``(done, total)`` after each trial.

    Returns:
        The trials in the order of the seeds; :func:`best_trial` picks one.

    Raises:
        InvalidOption: If there is no seed, or the level is not 0 to 3.
        UnsupportedCircuit: If the circuit has more qubits than the device.
    """
    of_kind(circuit, QuantumCircuit, "circuit", "a spec gives one with full_circuit()")
    of_kind(backend, BackendV2 | DeviceTarget, "backend", WAY_TO_BACKEND)
    if not seeds:
        raise InvalidOption("Layout trials need at least one transpiler seed, got none.")
    trials = []
    for done, seed in enumerate(seeds, start=1):
        isa = transpile_for(circuit, backend, level=level, seed=seed)
        trials.append(Trial(seed, isa, circuit_cost(isa, backend.target)))
        if progress is not None:
            progress(done, len(seeds))
    return trials


def best_trial(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest expected success; ties go to fewer two-qubit gates.

    Raises:
        InvalidOption: If there are no trials.
    """
    if not trials:
        raise InvalidOption("The best of no trials was asked for; run layout_trials first.")
    return max(trials, key=lambda t: (t.cost.expected_success, -t.cost.two_qubit_count))


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
