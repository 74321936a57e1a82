"""Way from a part of a device to the whole: qubits, layout, and the gates that couplers have."""

from __future__ import annotations

from collections.abc import Sequence

from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import Gate
from qiskit.quantum_info import Operator
from qiskit.synthesis import TwoQubitBasisDecomposer
from qiskit.transpiler import Layout, PassManager, TranspileLayout
from qiskit.transpiler import Target as DeviceTarget
from qiskit.transpiler.passes import Optimize1qGatesDecomposition

from .working import WorkingPart

__all__ = [
    "on_device",
]


def on_device(isa: QuantumCircuit, part: WorkingPart, target: DeviceTarget) -> QuantumCircuit:
    """Put a circuit that was transpiled for a part of a device on the whole device.

    Args:
        isa: The circuit on the part's qubits, with its layout.
        part: The part.
        target: The device.

    Returns:
        The same circuit, in the device's gates, on its qubits, with its layout told in them.
    """
    if part.natives:
        isa = _with_natives(isa, part)
    if part.whole:
        return isa
    register = QuantumRegister(target.num_qubits, "q")
    wide = QuantumCircuit(
        register,
        isa.clbits,
        *isa.cregs,
        name=isa.name,
        metadata=isa.metadata,
    )
    wide.compose(isa, qubits=list(part.qubits), clbits=isa.clbits, inplace=True, copy=False)
    wide._layout = _layout_on_device(isa, part.qubits, register)
    return wide


def _with_natives(isa: QuantumCircuit, part: WorkingPart) -> QuantumCircuit:
    """Each cx as the gate that its coupler has, and one-qubit gates merged again."""
    written = isa.copy_empty_like()
    for item in isa.data:
        pair = tuple(isa.find_bit(qubit).index for qubit in item.qubits)
        native, where = part.natives.get(pair, (None, pair))
        if item.operation.name != "cx" or native is None or (native.name == "cx" and where == pair):
            written.append(item)
            continue
        forms = _cx_from(native, where != pair)
        written.compose(forms, qubits=item.qubits, inplace=True, copy=True)
    merged = PassManager([Optimize1qGatesDecomposition(target=part.target)]).run(written)
    merged._layout = isa._layout
    return merged


def _cx_from(native: Gate, reverse: bool) -> QuantumCircuit:
    """A cx, of qubit 0 on qubit 1, by one native gate on (0, 1) or, reversed, on (1, 0)."""
    cx = QuantumCircuit(2)
    cx.cx(*((1, 0) if reverse else (0, 1)))
    found = TwoQubitBasisDecomposer(native, euler_basis="ZSXX")(Operator(cx))
    if not reverse:
        return found
    turned = QuantumCircuit(2)
    turned.compose(found, qubits=[1, 0], inplace=True)
    return turned


def _layout_on_device(
    isa: QuantumCircuit, qubits: Sequence[int], register: QuantumRegister
) -> TranspileLayout | None:
    """The layout, with each qubit of the part called by its number on the device."""
    layout = isa.layout
    if layout is None:
        return None
    rest = sorted(set(range(len(register))).difference(qubits))
    unused = QuantumRegister(len(rest), "unused")
    initial = {bit: qubits[k] for bit, k in layout.initial_layout.get_virtual_bits().items()}
    initial.update(zip(unused, rest, strict=True))
    places = dict(layout.input_qubit_mapping)
    places.update((bit, len(layout.input_qubit_mapping) + k) for k, bit in enumerate(unused))
    final = None
    if layout.final_layout is not None:
        final = {register[k]: k for k in range(len(register))}
        for bit, k in layout.final_layout.get_virtual_bits().items():
            final[register[qubits[isa.find_bit(bit).index]]] = qubits[k]
    return TranspileLayout(
        initial_layout=Layout(initial),
        input_qubit_mapping=places,
        final_layout=None if final is None else Layout(final),
        _input_qubit_count=layout._input_qubit_count,
        _output_qubit_list=list(register),
    )
