"""Post-selection of shots by the checks of qiskit-mitigation: flip each read bit slowly, read it again.

A shot is kept if every bit has flipped. IBM's checks find what slow pulses make visible, such as
leakage and drifting frequencies, and readout errors with it. They need rx, which QPUs with fractional
gates have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.transpiler import PassManager

from ..errors import MissingDependency, TargetUnavailable, UnsupportedCircuit

__all__ = ["MOST_CHECKED_BITS", "ShotChecks"]

MOST_CHECKED_BITS = 10
"""Most bits of a circuit whose shots are checked: counts of twice as many are dense arrays."""


@final
@dataclass(frozen=True, eq=False)
class ShotChecks:
    """Checks of every measured bit of a circuit."""

    passes: Any
    """Pass manager that appends them."""

    @classmethod
    def of(cls, backend: BackendV2) -> ShotChecks:
        """Return the checks that a device can carry out.

        Raises:
            TargetUnavailable: If the device has no rx.
            MissingDependency: If qiskit-mitigation is not installed.
        """
        if "rx" not in backend.target.operation_names:
            raise TargetUnavailable(
                f"qiskit-mitigation's checks flip qubits by slow rx, which {backend.name} lacks; take "
                "a device with fractional gates."
            )
        try:
            from qiskit_mitigation.postselection.passes import AddPostCircuitNonMarkovianErrorChecks
        except ImportError as error:
            raise MissingDependency(
                "Post-selection of shots needs qiskit-mitigation: `pip install qiskit-mitigation`."
            ) from error
        return cls(PassManager([AddPostCircuitNonMarkovianErrorChecks(x_pulse_type="rx")]))

    def circuit(self, isa: QuantumCircuit) -> QuantumCircuit:
        """Return a circuit with its checks, and one register: the bits, then those read again.

        Args:
            isa: A transpiled circuit with one classical register.

        Raises:
            UnsupportedCircuit: If it has more than :data:`MOST_CHECKED_BITS` bits.
        """
        if isa.num_clbits > MOST_CHECKED_BITS:
            raise UnsupportedCircuit(
                f"Shots are checked of at most {MOST_CHECKED_BITS} bits, circuit '{isa.name}' has "
                f"{isa.num_clbits}."
            )
        checked = self.passes.run(isa)
        found = QuantumCircuit(*checked.qregs, ClassicalRegister(checked.num_clbits, "c"))
        found.compose(checked, found.qubits, found.clbits, inplace=True)
        found.name = isa.name
        return found

    @staticmethod
    def counts(found: np.ndarray) -> np.ndarray:
        """Return the counts of the shots of which every bit flipped.

        Args:
            found: ``(batch, 4**bits)`` counts of a circuit of :meth:`circuit`.

        Returns:
            ``(batch, 2**bits)`` int64; rows have as many shots as were kept.
        """
        outcomes = round(found.shape[1] ** 0.5)
        values = np.arange(outcomes)
        # The index holds the second reading in its upper half; each bit of a kept shot has flipped.
        return found[:, ((outcomes - 1 - values) * outcomes) + values]
