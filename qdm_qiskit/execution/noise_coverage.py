"""Gates that a noise model knows: on Aer an unknown gate silently runs free of noise."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, Gate

from ..errors import InvalidOption, UnsupportedCircuit
from .aer_circuits import on_ones

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

__all__ = [
    "PART",
    "NoiseCoverage",
    "UnknownGates",
    "check_estimated",
    "checked_unknown_gates",
]

UnknownGates = Literal["refuse", "noiseless"]
"""Treatment of gates that a noise model does not know, while it knows others."""

PART = "part"
"""Label of the parts of a gate, whose error follows them; Aer finds no error for the label."""
_NO_GATES = frozenset({"measure", "reset", "delay", "initialize", "kraus", "superop"})
_DEFAULT_BASIS = frozenset({"id", "rz", "sx", "cx"})
"""Aer's basis of a noise model that was made without one."""


class NoiseCoverage:
    """Gates that a noise model knows, and those that it leaves out.

    A gate is known if the model has an error for its label, or its name where it has no label, on
    all qubits or on its own. It is known to be free of noise if it stands in the model's basis
    without an error, as ``rz`` does in the models of devices. For ``cx`` and ``sx``, which Aer puts
    into every default basis, this holds only if no other gate of as many qubits has an error. An
    error for single qubits says that other qubits have none; but a coupling in the other direction,
    or between qubits that all have this gate's error elsewhere, is not known.

    Args:
        noise_model: Aer's noise model.
        takes_device: True where the caller has an argument ``device``, for the messages.
    """

    def __init__(self, noise_model: NoiseModel, *, takes_device: bool = False) -> None:
        self._first = "name its device, as in device='fake_torino', or " if takes_device else ""
        default, local = noise_model._default_quantum_errors, noise_model._local_quantum_errors
        self._everywhere = frozenset(default) - _NO_GATES
        self._places = {n: frozenset(places) for n, places in local.items() if n not in _NO_GATES}
        self._named = self._everywhere | frozenset(self._places)
        sizes = {n: error.num_qubits for n, error in default.items() if n in self._named}
        sizes |= {n: max(map(len, places)) for n, places in self._places.items()}
        basis = frozenset(noise_model.basis_gates)
        free = basis - self._named - _NO_GATES
        if basis >= _DEFAULT_BASIS:
            taken = set(sizes.values())
            free -= {name for name, size in (("sx", 1), ("cx", 2)) if size in taken}
        self.known = self._named | free | {"id"}
        """Gates with an error and gates free of noise, by name and label."""
        self.knows_gates = bool(self._named)
        """True if the model has an error for any gate; if not, no gate is expected to have one."""
        self._qubits = frozenset(noise_model.noise_qubits)

    def gap(self, gate: Gate, qubits: Sequence[int]) -> str | None:
        """Return the description of a gate that the model does not know.

        Args:
            gate: Any gate with its controls on 1.
            qubits: The model's numbers of its qubits.

        Returns:
            Its name, label and qubits as far as they matter, or None if the model knows it.
        """
        if not self.knows_gates or not qubits or gate.label == PART:
            return None
        key = gate.name if gate.label is None else gate.label
        if key not in self.known:
            return f"'{gate.name}'" + ("" if gate.label is None else f" labelled '{gate.label}'")
        places, where = self._places.get(key, frozenset()), tuple(qubits)
        if not places or key in self._everywhere or where in places or len(where) < 2:
            return None
        if {q for place in places for q in place}.issuperset(where):
            return f"'{key}' on qubits {where}"
        return None

    def gaps(self, circuit: QuantumCircuit, qubits: Sequence[int] | None = None) -> list[str]:
        """Return all gates of a circuit that the model does not know.

        Args:
            circuit: The circuit for Aer.
            qubits: The model's number of each qubit; as they are numbered if None.

        Returns:
            Their descriptions, each once.
        """
        numbers = range(circuit.num_qubits) if qubits is None else qubits
        found: dict[str, None] = {}
        for item in circuit.data:
            where = [numbers[circuit.find_bit(qubit).index] for qubit in item.qubits]
            if isinstance(item.operation, ControlFlowOp):
                for block in item.operation.blocks:
                    found |= dict.fromkeys(self.gaps(block, where))
            elif isinstance(item.operation, Gate):
                for gate, places in on_ones(item.operation):
                    gap = self.gap(gate, [where[k] for k in places])
                    found |= {} if gap is None else {gap: None}
        return list(found)

    def elsewhere(self, qubits: Iterable[int]) -> bool:
        """Return True if all of the model's errors, readout too, are of other qubits than these."""
        used = frozenset(qubits)
        return bool(self.knows_gates and not self._everywhere and used) and not (
            used & self._qubits
        )

    def check(self, circuit: QuantumCircuit) -> None:
        """Refuse a circuit that would run free of noise on Aer, as a whole or in some gates.

        Raises:
            UnsupportedCircuit: With the names of the gates.
        """
        gaps = self.gaps(circuit)
        if gaps:
            raise self.refusal(gaps)
        used = {circuit.find_bit(qubit).index for item in circuit.data for qubit in item.qubits}
        if self.elsewhere(used):
            raise self.refusal_elsewhere(used)

    def refusal(self, gaps: Sequence[str]) -> UnsupportedCircuit:
        """Return the error for gates that the model does not know."""
        names = ", ".join(dict.fromkeys(gaps))
        known = sorted(self.known)
        return UnsupportedCircuit(
            f"The noise model knows {', '.join(known)} and not {names}, which would run free of "
            f"noise: {self._first}transpile with basis_gates={known} and the device's coupling map, or "
            "pass unknown_gates='noiseless'."
        )

    def refusal_elsewhere(self, qubits: Iterable[int]) -> UnsupportedCircuit:
        """Return the error for a circuit on other qubits than the model's."""
        return UnsupportedCircuit(
            f"All errors of the noise model are of qubits {sorted(self._qubits)}, the circuit acts on "
            f"{sorted(qubits)} and would run free of noise: pass physical_qubits, or "
            "unknown_gates='noiseless'."
        )


def checked_unknown_gates(value: str) -> None:
    """Refuse a value that is not one of :data:`UnknownGates`.

    Raises:
        InvalidOption: Then.
    """
    if value not in get_args(UnknownGates):
        raise InvalidOption(f"unknown_gates is 'refuse' or 'noiseless', got {value!r}.")


def check_estimated(noise_model: NoiseModel, instead: str) -> bool:
    """Refuse noise of which Aer's Estimator shows nothing, and warn of what it leaves out.

    It measures nothing, so that errors of the readout, also those before a measurement, are absent.

    Args:
        noise_model: Aer's noise model, of the circuit's qubits.
        instead: The way to have them, for the messages.

    Returns:
        True if it warned.

    Raises:
        UnsupportedCircuit: If there are errors of the readout alone.
    """
    of_gates = set(noise_model._default_quantum_errors) | set(noise_model._local_quantum_errors)
    readout = noise_model._default_readout_error is not None or noise_model._local_readout_errors
    if not readout and "measure" not in of_gates:
        return False
    if not of_gates - {"measure"}:
        raise UnsupportedCircuit(
            "The noise model has errors of the readout alone, and Aer's Estimator measures nothing, so "
            f"that its values would be free of noise: {instead}."
        )
    warnings.warn(
        "Aer's Estimator measures nothing: it has the noise model's errors of gates and leaves out "
        f"those of the readout; to have both, {instead}.",
        UserWarning,
        stacklevel=3,
    )
    return True
