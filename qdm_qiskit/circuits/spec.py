"""Roles of a circuit: qubits that carry data, parameters that are inputs, and the readout."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from ..arguments import all_of_kind, checked_text, of_kind
from ..errors import InvalidData, InvalidTemplate
from ..notebook import Markup, card, drawing, facts, folded, note, one_line
from .drawing import drawing_text
from .loaders import EXACT, UNNAMED, ExactLoader, Loader, Loading, make_loader
from .parameters import input_parameters
from .readouts import WAY_TO_SUMS, ExpectationReadout, ProbabilityReadout, Readout

if TYPE_CHECKING:
    from .from_circuit import Loads, ParameterLike, Parameters, QubitsLike, ReadoutLike

__all__ = [
    "DENOISER_BARRIER",
    "MAX_DRAWN",
    "WAY_TO_SPEC",
    "CircuitSpec",
    "register_spec",
]

DENOISER_BARRIER = "denoiser"
"""Label of the barrier between loader and denoiser in a full circuit; cost reports split there."""


MAX_DRAWN = 2000
"""Gates of the largest circuit that is drawn where nobody asked for it."""
WAY_TO_SPEC = "register_spec(circuit, source=...) makes one"
"""Way out for callers that give something else where a spec is wanted."""


@dataclass(frozen=True, kw_only=True)
class CircuitSpec:
    """A template together with the roles of its qubits and parameters.

    Templates give one, and :meth:`from_circuit` makes one of any circuit.

    >>> from qdm_qiskit.circuits import eeqdm
    >>> spec = eeqdm(num_data=2, depth=1)
    >>> spec.num_qubits, len(spec.weights), spec.encoding, spec.readout.num_outputs
    (3, 6, 'amplitude', 4)
    """

    name: str
    """Name in the catalogue."""
    circuit: QuantumCircuit
    """The circuit after amplitude encoding, or with its angle encoding; no classical bits. A copy of
    the one that was given, which its owner may change in place."""
    encoding: Literal["angle", "amplitude"]
    """Encoding of data: as angles ``x_...`` of the circuit, or as amplitudes of the data qubits."""
    complex_amplitudes: bool = False
    """True if amplitudes may be complex, for amplitude encoding: the loader then sets phases too."""
    loader: Loader | str = EXACT
    """Loader of the amplitudes where the circuit runs, or its name."""
    data_qubits: tuple[int, ...]
    """Qiskit indices that carry data, least significant first."""
    ancilla_qubits: tuple[int, ...] = ()
    """Qiskit indices that start in |0> and carry no data."""
    readout: Readout
    """Readout of the circuit."""
    source: str
    """Paper, section or equation."""
    time_input: int | None = None
    """Position in :attr:`inputs` of the angle of the time, if there is one."""
    label_input: int | None = None
    """Position in :attr:`inputs` of the angle of the class, if there is one."""
    input_names: tuple[str, ...] = ()
    """The user's own names of :attr:`inputs`; empty where they have none."""
    weight_names: tuple[str, ...] = ()
    """The same for :attr:`weights`."""

    @classmethod
    def from_circuit(
        cls,
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
        """Make a spec of any circuit, whatever its parameters and registers are called.

        Args:
            circuit: It is not changed. Measurements, if any, come last; their qubits are read in the
                order of the classical bits, the first of which is the least significant.
            inputs: Parameters that take the image, in the order of its pixels: ``Parameter`` objects,
                whole ``ParameterVector`` objects, or the name of either. A vector's name stands for
                those of its elements that the circuit uses, in the order of their indices.
            weights: Parameters that are trained, given likewise.
            readout: Readout of a circuit that is not measured: qubits (indices, ``Qubit``
                objects or a register, least significant first) for the probabilities of their
                outcomes, one or several ``SparsePauliOp`` for expectation values, or a readout object.
            time: The parameter of the time, if there is one.
            label: The parameter of the class, if there is one.
            loads: ``"angles"``: the image enters by ``inputs``. ``"amplitudes"``: a loader in front of
                the circuit puts it into the amplitudes of ``data_qubits``.
            data_qubits: Qubits that the loader fills, least significant first; all if None.
            loader: The loader, or its name; see :class:`~qdm_qiskit.circuits.loaders.Loader`.
            name: Name of the spec; the circuit's if None.
            source: Origin of the circuit, for reports.

        Returns:
            The spec. Its circuit is canonical: one register, no measurements, Qiskit's own gates.

        Raises:
            InvalidArgument: If an argument is of another kind.
            InvalidTemplate: If a parameter has no role or two, a name is no parameter of the circuit,
                nothing is read, a measurement is not the last of its qubit, or the circuit holds
                what is no gate.

        >>> from qiskit.circuit import Parameter, QuantumCircuit
        >>> circuit = QuantumCircuit(2, 1)
        >>> circuit.rx(Parameter("grey"), 0), circuit.ry(Parameter("theta"), 1)  # doctest: +ELLIPSIS
        (<...>, <...>)
        >>> circuit.cx(0, 1), circuit.measure(1, 0)  # doctest: +ELLIPSIS
        (<...>, <...>)
        >>> spec = CircuitSpec.from_circuit(circuit, inputs=["grey"], weights=["theta"])
        >>> spec.readout.qubits, spec.input_names, [each.name for each in spec.inputs]
        ((1,), ('grey',), ['x_0000'])
        """
        from .from_circuit import spec_from_circuit

        return spec_from_circuit(
            circuit,
            inputs=inputs,
            weights=weights,
            readout=readout,
            time=time,
            label=label,
            loads=loads,
            data_qubits=data_qubits,
            loader=loader,
            name=name,
            source=source,
        )

    def __post_init__(self) -> None:
        of_kind(self.circuit, QuantumCircuit, "circuit", "a spec holds one as `spec.circuit`")
        of_kind(self.readout, ProbabilityReadout | ExpectationReadout, "readout")
        object.__setattr__(self, "circuit", copy.deepcopy(self.circuit))
        roles = sorted((*self.data_qubits, *self.ancilla_qubits))
        if roles != list(range(self.circuit.num_qubits)):
            raise InvalidTemplate(
                f"Each of the {self.circuit.num_qubits} qubits of '{self.name}' is a data or an "
                f"ancilla qubit, got data {self.data_qubits} and ancilla {self.ancilla_qubits}."
            )
        if self.encoding not in ("angle", "amplitude"):
            raise InvalidTemplate(
                f"The encoding of '{self.name}' is 'angle' or 'amplitude', got {self.encoding!r}."
            )
        if self.complex_amplitudes and self.encoding != "amplitude":
            raise InvalidTemplate(
                f"'{self.name}' encodes angles, so complex_amplitudes does not apply; leave it out."
            )
        self._check_loader()
        if self.circuit.num_clbits:
            raise InvalidTemplate(
                f"The circuit of '{self.name}' has no classical bits: what is measured is the "
                f"readout's matter, got {self.circuit.num_clbits}."
            )
        names = [p.name for p in self.circuit.parameters]
        foreign = [name for name in names if not re.fullmatch(r"[xw]_[0-9]{4}", name)]
        if foreign:
            raise InvalidTemplate(
                f"Parameters of '{self.name}' are called x_0000 ... (inputs) or w_0000 ... (weights),"
                f" four digits each so that they sort in their order of use, got {foreign[:3]}."
            )
        self._check_readout()
        self._check_roles()

    def _check_loader(self) -> None:
        if isinstance(self.loader, str) and self.loader == EXACT:
            return
        if self.encoding != "amplitude":
            raise InvalidTemplate(
                f"`loader` puts amplitudes into qubits, but '{self.name}' takes angles; leave loader "
                "out."
            )
        if not (isinstance(self.loader, str) and self.loader.startswith(UNNAMED)):
            # A loader that does not fit is refused now.
            if self.complex_amplitudes and not self.loading.phases:
                raise InvalidTemplate(
                    f"'{self.name}' takes complex amplitudes, and its loader has no attribute `phases` "
                    "that is True; give it one, or leave loader out."
                )
            self.loading  # noqa: B018 (made now, so that one that does not fit is refused)

    def _check_roles(self) -> None:
        special = [each for each in (self.time_input, self.label_input) if each is not None]
        if len(set(special)) < len(special) or not all(
            0 <= each < len(self.inputs) for each in special
        ):
            raise InvalidTemplate(
                f"time_input and label_input are two of the {len(self.inputs)} inputs of "
                f"'{self.name}', got {self.time_input} and {self.label_input}."
            )
        for kind, names, parameters in (
            ("input", self.input_names, self.inputs),
            ("weight", self.weight_names, self.weights),
        ):
            if names and len(names) != len(parameters):
                raise InvalidTemplate(
                    f"'{self.name}' has {len(parameters)} {kind}s, got {len(names)} {kind}_names."
                )

    def _check_readout(self) -> None:
        readout, n = self.readout, self.circuit.num_qubits
        if isinstance(readout, ExpectationReadout):
            sums = all_of_kind(readout.observables, SparsePauliOp, "observables", WAY_TO_SUMS)
            copies = tuple(each.copy() for each in sums)
            readout = replace(readout, observables=copies)
            object.__setattr__(self, "readout", readout)
            for observable in readout.observables:
                if observable.num_qubits != n or np.abs(observable.coeffs.imag).max() > 0:
                    raise InvalidTemplate(
                        f"Observables of '{self.name}' are Hermitian (real coefficients) and act on "
                        f"all {n} qubits, got {observable.to_list()[:3]}."
                    )
            if not readout.observables:
                raise InvalidTemplate(f"'{self.name}' reads out at least one observable, got none.")
            return
        used = (*readout.qubits, *(qubit for qubit, _ in readout.postselect))
        fits = len(set(used)) == len(used) and all(0 <= qubit < n for qubit in used)
        if not fits or any(outcome not in (0, 1) for _, outcome in readout.postselect):
            raise InvalidTemplate(
                f"The readout of '{self.name}' names each qubit below {n} at most once, and outcomes "
                f"0 or 1, got qubits {readout.qubits} and postselect {readout.postselect}."
            )

    @property
    def num_qubits(self) -> int:
        """Data and ancilla qubits together."""
        return int(self.circuit.num_qubits)

    @property
    def num_amplitudes(self) -> int:
        """Amplitudes that the data qubits hold: ``2**len(data_qubits)``."""
        return 2 ** len(self.data_qubits)

    @cached_property
    def inputs(self) -> tuple[Parameter, ...]:
        """Input parameters of :attr:`circuit`, in the order of use."""
        return tuple(p for p in self.circuit.parameters if p.name.startswith("x_"))

    @cached_property
    def weights(self) -> tuple[Parameter, ...]:
        """Trainable parameters of :attr:`circuit`, in the order of use."""
        return tuple(p for p in self.circuit.parameters if p.name.startswith("w_"))

    @property
    def image_inputs(self) -> tuple[int, ...]:
        """Positions in :attr:`inputs` of those that take pixels: neither time nor label."""
        special = (self.time_input, self.label_input)
        return tuple(k for k in range(len(self.inputs)) if k not in special)

    @cached_property
    def loading(self) -> Loading:
        """The loader at its work on the data qubits; of a circuit that encodes amplitudes.

        Raises:
            UnknownName, InvalidOption, InvalidExtension: If there is no such loader.
            InvalidTemplate: If it does not fill the data qubits.
        """
        count, loader = len(self.data_qubits), self.loader
        if isinstance(loader, str):
            phases = self.complex_amplitudes
            exact = ExactLoader(count, phases=phases)
            loader = exact if loader == EXACT else make_loader(loader, count, phases=phases)
        return Loading(loader, count)

    def loaded_by(self, loader: str | None) -> CircuitSpec:
        """Return the spec with the loader of a name; itself for None, and where it takes angles.

        The same spec each time, so that a target transpiles it once.

        Raises:
            UnknownName, InvalidOption, InvalidTemplate, InvalidExtension: As :func:`.make_loader`.
        """
        if loader is None or self.encoding == "angle" or loader == self.loader:
            return self
        if loader not in self._by_loader:
            self._by_loader[loader] = replace(self, loader=loader)
        return self._by_loader[loader]

    @cached_property
    def _by_loader(self) -> dict[str, CircuitSpec]:
        return {}

    @cached_property
    def fallback(self) -> CircuitSpec | None:
        """The circuit with the loader that takes over where its own one misses its bound, if any."""
        other = None if self.encoding == "angle" else self.loading.fallback
        return None if other is None else replace(self, loader=other)

    @property
    def num_loader_inputs(self) -> int:
        """Angles that the loader takes, 0 for angle encoding.

        ``2**n - 1`` of the exact one for n data qubits, twice as many for complex amplitudes.
        """
        return 0 if self.encoding == "angle" else self.loading.num_angles

    def data_positions(self) -> np.ndarray:
        """Return the whole register's basis state of each data amplitude, ancillas in |0>.

        Returns:
            ``2**n`` integers: amplitude j of the data belongs to this basis state.
        """
        index = np.arange(self.num_amplitudes)
        position = np.zeros_like(index)
        for bit, qubit in enumerate(self.data_qubits):
            position |= ((index >> bit) & 1) << qubit
        return position

    def full_circuit(self, *, measure: bool = True) -> QuantumCircuit:
        """Return loader, barrier and denoiser as one circuit, as a device would run it.

        Inputs are ``x_0000 ...``: the loader's angles first, then the inputs of :attr:`circuit`;
        :meth:`input_values` computes them. Weights keep their names.

        Args:
            measure: Measure every qubit into the register ``meas`` (clbit k = qubit k).

        Returns:
            A circuit whose barrier labelled ``"denoiser"`` separates loading from denoising.

        Raises:
            InvalidTemplate: If the loader needs more than 10,000 angles, as the exact one does of 14
                data qubits and more, or 13 with complex amplitudes.
            InvalidOption: If the loader was an object without a name, and is not given again.
        """
        full = QuantumCircuit(self.num_qubits, name=self.name)
        if self.encoding == "amplitude":
            full.compose(self.loading.circuit, qubits=self.data_qubits, inplace=True)
            full.barrier(label=DENOISER_BARRIER)
        full.compose(self._behind_loader(), inplace=True)
        if measure:
            register = ClassicalRegister(self.num_qubits, "meas")
            full.add_register(register)
            full.measure(range(self.num_qubits), register)
        return full

    def _behind_loader(self) -> QuantumCircuit:
        """Return the circuit with its inputs numbered behind the loader's angles."""
        wanted = input_parameters(len(self.inputs), self.num_loader_inputs)
        if not self.num_loader_inputs or not wanted:
            return self.circuit
        # In two steps: a gate of x_0000 and x_0002 would meet another x_0002 on the way.
        between = [Parameter(f"between_{k:04d}") for k in range(len(wanted))]
        once = self.circuit.assign_parameters(dict(zip(self.inputs, between, strict=True)))
        return once.assign_parameters(dict(zip(between, wanted, strict=True)))

    def input_values(
        self, amplitudes: np.ndarray | None = None, inputs: np.ndarray | None = None
    ) -> np.ndarray:
        """Return values for the ``x_...`` parameters of :meth:`full_circuit`.

        Args:
            amplitudes: ``(batch, 2**n)`` vectors of any non-zero norm, for amplitude encoding; real,
                unless :attr:`complex_amplitudes` is set.
            inputs: ``(batch, len(self.inputs))`` angles in radians; None where there are none.

        Returns:
            ``(batch, number of x_ parameters)`` angles, in name order.

        Raises:
            InvalidData: If a shape does not fit, a vector is zero, a value is not finite, something is
                given that the circuit does not take, or the loader misses its error bound.
        """
        if (amplitudes is not None and self.encoding == "angle") or (
            inputs is not None and not self.inputs
        ):
            extra = "inputs" if self.encoding == "amplitude" else "amplitudes"
            raise InvalidData(f"'{self.name}' takes no {extra}; leave them out.")
        parts = []
        if self.encoding == "amplitude":
            if amplitudes is None:
                raise InvalidData(f"'{self.name}' needs amplitudes of shape (batch, 2**n).")
            parts.append(self.loading.angles(amplitudes))
        if self.inputs:
            if inputs is None or np.ndim(inputs) != 2 or np.shape(inputs)[1] != len(self.inputs):
                raise InvalidData(
                    f"'{self.name}' needs inputs of shape (batch, {len(self.inputs)}), "
                    f"got {None if inputs is None else np.shape(inputs)}."
                )
            if not np.isfinite(inputs).all():
                raise InvalidData(f"Inputs of '{self.name}' must be finite, got NaN or infinity.")
            parts.append(np.asarray(inputs, dtype=float))
        if len({len(part) for part in parts}) > 1:
            raise InvalidData(
                "Amplitudes and inputs have one batch size, "
                f"got {' and '.join(str(len(part)) for part in parts)}."
            )
        if not parts:
            raise InvalidData(f"'{self.name}' takes no inputs.")
        return np.concatenate(parts, axis=1)

    def __repr__(self) -> str:
        return one_line(
            "CircuitSpec",
            self.name,
            f"{self.num_qubits} qubits",
            f"{len(self.weights)} weights",
            f"{len(self.inputs)} inputs",
            self.readout.words(),
        )

    def _repr_html_(self) -> str:
        return card(self.name, *self.shown(), about="circuit spec")

    def shown(self) -> tuple[Markup, ...]:
        """Return roles, counts and drawing, as a notebook shows them."""
        gates = {k: v for k, v in sorted(self.circuit.count_ops().items()) if k != "barrier"}
        roles = [f"{len(self.data_qubits)} data", f"{len(self.ancilla_qubits)} ancilla"]
        found = facts(
            [
                ("qubits", f"{self.num_qubits}: {', '.join(roles)}"),
                ("data enter", f"as {self.encoding}s"),
                ("inputs", _named(self.inputs, self.input_names)),
                ("weights", _named(self.weights, self.weight_names)),
                ("read out", self.readout.words()),
                ("depth", self.circuit.depth()),
                ("gates", ", ".join(f"{count} {name}" for name, count in gates.items()) or "none"),
                ("source", self.source or None),
            ]
        )
        if self.circuit.size() > MAX_DRAWN:
            return found, note(f"More than {MAX_DRAWN} gates: not drawn.")
        return found, folded("circuit", drawing(drawing_text(self.circuit)))


def _named(parameters: tuple[Parameter, ...], names: tuple[str, ...]) -> str:
    """Return the number of parameters, and the owner's names of the first and the last."""
    found = names or tuple(each.name for each in parameters)
    if len(found) > 2:
        return f"{len(found)}: {found[0]} .. {found[-1]}"
    return f"{len(found)}: {', '.join(found)}" if found else "0"


def register_spec(
    circuit: QuantumCircuit,
    *,
    source: str,
    encoding: Literal["angle", "amplitude"] = "amplitude",
    readout: Readout | None = None,
) -> CircuitSpec:
    """Return a spec for a circuit without ancillas: every qubit carries data.

    Args:
        circuit: Its name becomes the spec's.
        source: Paper, section or equation.
        encoding: Encoding of the data.
        readout: Readout; the probabilities of all basis states if None.

    Returns:
        The spec.

    Raises:
        InvalidTemplate: The same as for :class:`CircuitSpec`.
    """
    of_kind(circuit, QuantumCircuit, "circuit")
    checked_text(source, "source")
    qubits = tuple(range(circuit.num_qubits))
    return CircuitSpec(
        name=circuit.name,
        circuit=circuit,
        encoding=encoding,
        data_qubits=qubits,
        readout=ProbabilityReadout(qubits=qubits) if readout is None else readout,
        source=source,
    )
