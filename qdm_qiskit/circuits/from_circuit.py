"""A user's own circuit as a :class:`~qdm_qiskit.circuits.CircuitSpec`: which parameter is what.

Names and registers are the user's. In the spec the parameters are called as everywhere in the package,
``x_0000 ...`` and ``w_0000 ...`` in the order in which they were listed; the spec keeps their own names
beside them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import Barrier, Measure, Parameter, ParameterVector, Qubit
from qiskit.circuit.parametervector import ParameterVectorElement
from qiskit.quantum_info import SparsePauliOp

from ..arguments import checked_text, of_kind, wrong
from ..errors import InvalidTemplate
from .canonical import canonical_circuit
from .loaders import EXACT, Loader
from .parameters import input_parameters, weight_parameters
from .readouts import ExpectationReadout, ProbabilityReadout, Readout
from .spec import CircuitSpec

__all__ = [
    "Loads",
    "ParameterLike",
    "Parameters",
    "QubitsLike",
    "ReadoutLike",
    "Roles",
    "spec_from_circuit",
]

Loads = Literal["angles", "amplitudes"]
"""Encoding of an image: as angles of the inputs, or as amplitudes of the data qubits."""
ParameterLike: TypeAlias = Parameter | ParameterVector | str
"""A parameter, a whole vector, or the name of either."""
Parameters: TypeAlias = ParameterLike | Iterable[ParameterLike]
QubitsLike: TypeAlias = Iterable[int | Qubit] | QuantumRegister
"""Indices, qubits of the circuit, or a register."""
ReadoutLike: TypeAlias = Readout | SparsePauliOp | Sequence[SparsePauliOp] | QubitsLike

_WAY_TO_PARAMETERS = (
    "give a list of Parameters, whole ParameterVectors, or the names of either, as in ['theta']"
)


def spec_from_circuit(
    circuit: QuantumCircuit,
    *,
    inputs: Parameters = (),
    weights: Parameters = (),
    readout: ReadoutLike | None = None,
    time: ParameterLike | None = None,
    label: ParameterLike | None = None,
    loads: Loads = "angles",
    data_qubits: QubitsLike | None = None,
    loader: Loader | str = EXACT,
    name: str | None = None,
    source: str = "",
) -> CircuitSpec:
    """Make a spec; see :meth:`~qdm_qiskit.circuits.CircuitSpec.from_circuit`."""
    of_kind(circuit, QuantumCircuit, "circuit")
    if loads not in get_args(Loads):
        raise InvalidTemplate(f"`loads` is 'angles' or 'amplitudes', got {loads!r}.")
    given = Roles(
        inputs=_found(circuit, inputs, "inputs"),
        weights=_found(circuit, weights, "weights"),
        time=_one(circuit, time, "time"),
        label=_one(circuit, label, "label"),
    )
    given.check(circuit)
    chosen = _name(circuit, name)
    plain, measured = _without_measurements(canonical_circuit(circuit))
    renamed = given.renamed(plain)
    renamed.name = chosen
    everything = tuple(range(circuit.num_qubits))
    data = everything if data_qubits is None else _indices(circuit, data_qubits, "data_qubits")
    if loads == "angles" and data_qubits is not None:
        raise InvalidTemplate(
            "`data_qubits` names the qubits that `loads='amplitudes'` loads; leave it out for angles."
        )
    return CircuitSpec(
        name=chosen,
        circuit=renamed,
        encoding="angle" if loads == "angles" else "amplitude",
        data_qubits=data,
        ancilla_qubits=tuple(qubit for qubit in everything if qubit not in data),
        readout=_readout(circuit, readout, measured),
        loader=loader,
        source=checked_text(source, "source"),
        time_input=len(given.inputs) if given.time else None,
        label_input=len(given.inputs) + len(given.time) if given.label else None,
        input_names=tuple(p.name for p in given.all_inputs),
        weight_names=tuple(p.name for p in given.weights),
    )


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The parameters of a circuit by what they are for, each list in its caller's order."""

    inputs: list[Parameter]
    weights: list[Parameter]
    time: list[Parameter]
    label: list[Parameter]

    @property
    def all_inputs(self) -> list[Parameter]:
        """Inputs of the image, then of the time, then of the label."""
        return [*self.inputs, *self.time, *self.label]

    def check(self, circuit: QuantumCircuit) -> None:
        """Refuse a parameter without a role, or with two.

        Raises:
            InvalidTemplate: With its name.
        """
        role_of: dict[Parameter, str] = {}
        for role in ("inputs", "weights", "time", "label"):
            for parameter in getattr(self, role):
                if parameter in role_of:
                    both = f"`{role_of[parameter]}` and `{role}`"
                    where = f"twice in `{role}`" if role_of[parameter] == role else f"in {both}"
                    raise InvalidTemplate(
                        f"Each parameter has one role, but '{parameter.name}' stands {where}; name "
                        "it once."
                    )
                role_of[parameter] = role
        without = [p.name for p in circuit.parameters if p not in role_of]
        if without:
            raise InvalidTemplate(
                f"Every parameter of '{circuit.name}' is one of `inputs`, `weights`, `time` or "
                f"`label`, but {_listed(without)} is none; list it, or bind it by assign_parameters."
            )

    def renamed(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit with this package's names, ``x_0000 ...`` and ``w_0000 ...``."""
        new = [*input_parameters(len(self.all_inputs)), *weight_parameters(len(self.weights))]
        old = [*self.all_inputs, *self.weights]
        left = set(circuit.parameters)
        if not left.issuperset(old):
            lost = [p.name for p in old if p not in left]
            raise InvalidTemplate(
                f"A parameter moves something, but no definition of a gate of '{circuit.name}' uses "
                f"{_listed(lost)}; leave it out."
            )
        # In two steps: a user's own x_0000 may be another one than ours.
        between = [Parameter(f"between_{uuid.uuid4().hex}") for _ in old]
        once = circuit.assign_parameters(dict(zip(old, between, strict=True)))
        return once.assign_parameters(dict(zip(between, new, strict=True)))


def _found(circuit: QuantumCircuit, given: Any, role: str) -> list[Parameter]:
    """Return the circuit's parameters that a role's list stands for, in order."""
    if given is None:
        return []
    if isinstance(given, Parameter | ParameterVector | str):
        given = [given]
    if not isinstance(given, Iterable):
        raise wrong(given, role, "a list of parameters", _WAY_TO_PARAMETERS)
    known = {p.name: p for p in circuit.parameters}
    found: list[Parameter] = []
    for each in given:
        if isinstance(each, str):
            found += _of_name(circuit, each, role)
        elif isinstance(each, ParameterVector):
            found += [_own(circuit, known, one, role) for one in each]
        elif isinstance(each, Parameter):
            found.append(_own(circuit, known, each, role))
        else:
            raise wrong(each, role, "a list of parameters", _WAY_TO_PARAMETERS)
    return found


def _one(circuit: QuantumCircuit, given: Any, role: str) -> list[Parameter]:
    found = _found(circuit, given, role)
    if given is not None and len(found) != 1:
        raise InvalidTemplate(
            f"`{role}` is one parameter, got {len(found)}; leave it out for none."
        )
    return found


def _of_name(circuit: QuantumCircuit, name: str, role: str) -> list[Parameter]:
    """Return the parameter of this name, or the vector's elements that the circuit uses."""
    single = [p for p in circuit.parameters if p.name == name]
    elements = [
        p
        for p in circuit.parameters
        if isinstance(p, ParameterVectorElement) and p.vector.name == name
    ]
    if single and elements:
        raise InvalidTemplate(
            f"In `{role}`, '{name}' is the name of a parameter and of a vector; give the objects "
            "themselves."
        )
    if not single and not elements:
        raise _missing(circuit, name, role)
    return single or sorted(elements, key=lambda each: each.index)


def _own(
    circuit: QuantumCircuit, known: Mapping[str, Parameter], parameter: Parameter, role: str
) -> Parameter:
    """Return the circuit's parameter of this one's name: names are unique in a circuit."""
    if parameter.name not in known:
        raise _missing(circuit, parameter.name, role)
    return known[parameter.name]


def _missing(circuit: QuantumCircuit, name: str, role: str) -> InvalidTemplate:
    there = [p.name for p in circuit.parameters]
    return InvalidTemplate(
        f"`{role}` names '{name}', which is no parameter of '{circuit.name}'; its parameters are "
        f"{_listed(there)}. A vector's name stands for those of its elements that the circuit uses."
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5]) or "none"
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _name(circuit: QuantumCircuit, name: str | None) -> str:
    if name is None:
        # Qiskit numbers circuits without a name, and the same circuit is to have the same one.
        name = "circuit" if re.fullmatch(r"circuit-\d+(-\d+)*", circuit.name) else circuit.name
    checked_text(name, "name")
    if not name.strip() or not name.isprintable() or len(name) > 100:
        raise InvalidTemplate(f"`name` is 1 to 100 printable characters, got {name!r:.120}.")
    return name


def _without_measurements(circuit: QuantumCircuit) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Return a canonical circuit less its final measurements, and qubits in classical order."""
    bare = QuantumCircuit(circuit.num_qubits, name=circuit.name)
    bare.global_phase = circuit.global_phase
    qubit_of: dict[int, int] = {}
    for item in circuit.data:
        qubits = [circuit.find_bit(bit).index for bit in item.qubits]
        late = set(qubits) & set(qubit_of.values())
        if late and not isinstance(item.operation, Barrier):
            raise InvalidTemplate(
                f"Measurements come last, but qubit {min(late)} of '{circuit.name}' meets "
                f"'{item.operation.name}' after its own; measure an ancilla at the end and choose "
                "its outcome by ProbabilityReadout(postselect=...)."
            )
        if isinstance(item.operation, Measure):
            bit = circuit.find_bit(item.clbits[0]).index
            if bit in qubit_of:
                raise InvalidTemplate(
                    f"Classical bit {bit} of '{circuit.name}' is written twice, by qubits "
                    f"{qubit_of[bit]} and {qubits[0]}; measure into bits of their own."
                )
            qubit_of[bit] = qubits[0]
        elif not late:
            bare.append(item.operation, qubits)
    return bare, tuple(qubit for _, qubit in sorted(qubit_of.items()))


def _readout(circuit: QuantumCircuit, given: Any, measured: tuple[int, ...]) -> Readout:
    if given is None:
        if not measured:
            raise InvalidTemplate(
                f"Nothing of '{circuit.name}' is read: measure it, or give `readout`, such as a list "
                "of qubits or of SparsePauliOps."
            )
        return ProbabilityReadout(qubits=measured)
    if measured:
        raise InvalidTemplate(
            f"'{circuit.name}' is measured, which says what is read; leave `readout` out, or take "
            "the measurements away by remove_final_measurements(inplace=False)."
        )
    if isinstance(given, ProbabilityReadout | ExpectationReadout):
        return given
    if isinstance(given, SparsePauliOp):
        return ExpectationReadout(observables=(given,))
    if isinstance(given, Iterable | QuantumRegister) and not isinstance(given, str | bytes):
        parts = list(given)
        if parts and all(isinstance(each, SparsePauliOp) for each in parts):
            return ExpectationReadout(observables=tuple(parts))
        qubits = _indices(circuit, parts, "readout")
        if not qubits:
            raise InvalidTemplate("`readout` names at least one qubit or observable, got none.")
        return ProbabilityReadout(qubits=qubits)
    raise wrong(given, "readout", "a list of qubits or of SparsePauliOps, or a readout object")


def _indices(circuit: QuantumCircuit, given: Any, name: str) -> tuple[int, ...]:
    """Return the indices of qubits, from indices, qubits or a register."""
    if isinstance(given, str | bytes | Qubit) or not isinstance(given, Iterable | QuantumRegister):
        raise wrong(given, name, "a list of qubits", "give indices, Qubits or a QuantumRegister")
    place = {bit: index for index, bit in enumerate(circuit.qubits)}
    found: list[int] = []
    for each in given:
        if isinstance(each, Qubit):
            if each not in place:
                raise InvalidTemplate(f"`{name}` names a qubit that is not in '{circuit.name}'.")
            found.append(place[each])
        elif isinstance(each, int) and not isinstance(each, bool):
            found.append(each)
        else:
            raise wrong(each, name, "a list of qubits", "give indices, Qubits or a QuantumRegister")
    outside = [each for each in found if not 0 <= each < circuit.num_qubits]
    if outside or len(set(found)) != len(found):
        raise InvalidTemplate(
            f"`{name}` names each of the qubits 0 .. {circuit.num_qubits - 1} at most once, got "
            f"{found}."
        )
    return tuple(found)
