"""Loaders, which put a vector into the amplitudes of qubits when a circuit runs, exactly or nearly.

The engine needs none, it starts from the state itself. Where circuits run, a spec's loader stands in
front of its circuit: :class:`ExactLoader` unless another one is chosen. ``bricks:L`` and
``staircase:L`` load nearly, with few gates; see :mod:`.line_loaders`.
"""

from __future__ import annotations

import hashlib
import inspect
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector

from ..arguments import checked_text, of_kind
from ..doors import Door, Origin
from ..errors import (
    InvalidArgument,
    InvalidData,
    InvalidExtension,
    InvalidOption,
    InvalidTemplate,
    QdmError,
)
from .canonical import canonical_circuit
from .encodings import amplitude_angles, amplitude_loader
from .line_loaders import LineLoader
from .parameters import input_parameters

__all__ = [
    "EXACT",
    "LOADERS",
    "TOLERANCE",
    "UNNAMED",
    "ExactLoader",
    "Loaded",
    "Loader",
    "LoaderFactory",
    "Loading",
    "checked_loader",
    "loader_name",
    "loader_origin",
    "make_loader",
]

EXACT = "exact"
"""Name of the loader that a spec has unless another one is chosen."""
UNNAMED = "unnamed:"
"""Name in files of a loader object that has none; its class follows."""
TOLERANCE = 1e-9
"""Most by which an infidelity may exceed its bound: rounding of a state in double precision."""


@runtime_checkable
class Loader(Protocol):
    """A parameterized circuit that loads vectors, and the angles that it takes for each.

    The loader is made for n qubits. Its work is checked where it is used: shapes, finite angles,
    and for every vector the fidelity with what should be loaded. One that takes complex vectors
    has an attribute ``phases`` that is True.

    >>> import numpy as np
    >>> from qiskit.circuit import Parameter
    >>> class OneQubit:
    ...     error_bound = 0.0
    ...     def circuit(self):
    ...         circuit = QuantumCircuit(1)
    ...         circuit.ry(Parameter("angle"), 0)
    ...         return circuit
    ...     def angles(self, data):
    ...         return 2 * np.arctan2(data[:, 1:], data[:, :1])
    >>> Loading(OneQubit(), 1).angles(np.array([[3.0, 4.0]])).round(3)
    array([[1.855]])
    """

    @property
    def error_bound(self) -> float:
        """Upper bound of 1 - fidelity of every vector that is loaded, in [0, 1]; 0 is exact."""

    def circuit(self) -> QuantumCircuit:
        """Return the circuit, on n qubits in |0>: gates only, parameters of any names, no weights.

        Index i of a vector is Qiskit's basis state i.
        """

    def angles(self, data: np.ndarray) -> np.ndarray:
        """Return the circuit's parameters for each vector.

        Args:
            data: ``(batch, 2**n)`` real amplitudes, any sign, with unit rows, in float64; complex128
                where the circuit takes complex amplitudes.

        Returns:
            ``(batch, num_parameters)`` radians, in the order of ``circuit().parameters``. A row
            depends on its own vector only.
        """


LoaderFactory = Callable[..., Loader]
"""``factory(num_qubits)``, and for names with an argument, as in ``bricks:4``,
``factory(num_qubits, "4")``. Where complex amplitudes are to be loaded, ``phases=True`` as well."""


@dataclass(frozen=True)
class ExactLoader:
    """The loader of this package: uniformly controlled rotations, see :func:`.amplitude_loader`.

    Args:
        num_qubits: At least 1.
        phases: Load complex vectors too.
    """

    num_qubits: int
    phases: bool = False
    error_bound: float = 0.0

    def circuit(self) -> QuantumCircuit:
        """Return the circuit.

        Raises:
            InvalidTemplate: If it needs more than 10,000 angles (14 qubits, 13 with phases).
        """
        return amplitude_loader(self.num_qubits, phases=self.phases)

    def angles(self, data: np.ndarray) -> np.ndarray:
        """Return the angles; see :func:`.amplitude_angles`, which wants no unit rows."""
        return amplitude_angles(data, self.num_qubits, phases=self.phases)


def _factory(part: Any, name: str) -> LoaderFactory:
    if not callable(part):
        raise InvalidArgument(
            "a loader's entry point is a function or class that takes the number of qubits (and the "
            f"argument of a name such as '{name}:4'), got {type(part).__name__}."
        )
    factory: LoaderFactory = part
    return factory


LOADERS: Door[LoaderFactory] = Door(
    "loader",
    "loader",
    {
        EXACT: "qdm_qiskit.circuits.loaders:ExactLoader",
        "amortised": "qdm_qiskit.circuits.amortised:AmortisedLoader",
        "auto": "qdm_qiskit.sampling.loader_choice:auto_loader",
        "bricks": "qdm_qiskit.circuits.line_loaders:BrickLoader",
        "staircase": "qdm_qiskit.circuits.line_loaders:StaircaseLoader",
    },
    _factory,
)
"""All loaders by name, those of other packages by the entry-point group ``qdm_qiskit.loader``."""


def make_loader(name: str, num_qubits: int, *, phases: bool = False) -> Loader:
    """Make a loader by its name.

    Args:
        name: One of ``LOADERS.names()``; what follows a colon is passed on as text, as in
            ``bricks:4``.
        num_qubits: Qubits that it fills.
        phases: Load complex vectors.

    Returns:
        The loader.

    Raises:
        UnknownName: If no package brings a loader of this name.
        InvalidOption: If the loader takes no argument, needs one, or refuses it; or a loader object
            without a name is asked for by name.
        InvalidTemplate: If it loads real vectors only and complex ones are to be loaded, or it does
            not fill as many qubits.
        InvalidExtension: If what a package brings is no loader.

    >>> make_loader("exact", 3).circuit().num_parameters
    7
    """
    if checked_text(name, "loader").startswith(UNNAMED):
        raise InvalidOption(
            f"Loader {name.removeprefix(UNNAMED)} was an object without a name; give it again, as in "
            f"load_run(folder, loader=...), bring it by an entry point, or name another: '{EXACT}'."
        )
    base, colon, argument = name.partition(":")
    factory = LOADERS.get(base)
    given = (num_qubits, argument) if colon else (num_qubits,)
    told = {"phases": True} if phases else {}
    if phases and _takes(factory, given) and not _takes(factory, given, told):
        raise InvalidTemplate(
            f"Loader '{base}' loads real amplitudes, and the circuit takes complex amplitudes; leave "
            f"loader out, or take '{EXACT}', 'staircase:4' or 'bricks:8'."
        )
    if not _takes(factory, given, told) or (base == EXACT and colon):
        way_out = f"leave ':{argument}' out" if colon else f"write '{base}:ARGUMENT'"
        state = "takes no argument" if colon else "needs an argument"
        raise InvalidOption(f"Loader '{base}' {state}, got '{name}'; {way_out}.")
    try:
        made = factory(*given, **told)
    except QdmError:
        raise
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InvalidOption(
            f"Loader '{name}' cannot be made for {num_qubits} qubits: {reason}"
        ) from error
    try:
        return checked_loader(made)
    except InvalidArgument as error:
        package = LOADERS.origin(base).package
        raise InvalidExtension(f"Loader '{name}' of package {package} is none: {error}") from error


def loader_origin(name: str) -> Origin | None:
    """Return where a named loader comes from; None for an object without a name."""
    return None if name.startswith(UNNAMED) else LOADERS.origin(name.partition(":")[0])


def checked_loader(value: Any) -> Loader:
    """Return the value, if it has all that a loader has.

    Raises:
        InvalidArgument: With what is missing.
    """
    kind = type(value).__name__
    if isinstance(value, type):
        raise InvalidArgument(f"`loader` is an object, got the class {value.__name__} itself.")
    for name in ("circuit", "angles"):
        if not callable(getattr(value, name, None)):
            raise InvalidArgument(f"`loader` has a method {name}(), and {kind} has none.")
    bound = getattr(value, "error_bound", None)
    if isinstance(bound, bool) or not isinstance(bound, int | float | np.floating):
        raise InvalidArgument(f"`loader` has a number `error_bound`, and {kind} has {bound!r}.")
    if not 0 <= bound <= 1:
        raise InvalidArgument(f"`error_bound` of a loader lies in [0, 1], and {kind} has {bound}.")
    found: Loader = value
    return found


def loader_name(loader: Loader | str) -> str:
    """Return what files call a loader: its name, or the class of an object without one."""
    if isinstance(loader, str):
        return loader
    if isinstance(loader, LineLoader):
        return loader.name
    kind = type(loader)
    return EXACT if kind is ExactLoader else f"{UNNAMED}{kind.__module__}.{kind.__qualname__}"


@dataclass(frozen=True, eq=False)
class Loaded:
    """Angles for some vectors, and what their circuits make of them."""

    angles: np.ndarray
    """``(batch, num_angles)`` float64 in radians."""
    fidelities: np.ndarray
    """``(batch,)``: fidelity of each vector with the state that is loaded; 1 of the exact loader."""
    missed: np.ndarray
    """``(batch,)`` bool: True where 1 - fidelity is above the loader's ``error_bound``."""


class Loading:
    """A loader at its work for a number of qubits, and held to what it promises.

    Args:
        loader: The loader.
        num_qubits: Qubits that it has to fill.

    Raises:
        InvalidArgument: If it is no loader.
        InvalidTemplate: If its circuit has another number of qubits, or holds what is no gate.
    """

    def __init__(self, loader: Loader, num_qubits: int) -> None:
        self.loader = checked_loader(loader)
        self.num_qubits = num_qubits
        self.trusted = type(loader) is ExactLoader
        self._latest: tuple[bytes, Loaded] | None = None
        if isinstance(loader, ExactLoader) and loader.num_qubits != num_qubits:
            raise InvalidTemplate(
                f"The exact loader fills {loader.num_qubits} qubits, but {num_qubits} hold the data; "
                "make it for as many."
            )
        if not self.trusted:
            self.circuit  # noqa: B018 (refused now, not when it runs)

    @property
    def _word(self) -> str:
        return f"Loader {type(self.loader).__name__}"

    @cached_property
    def circuit(self) -> QuantumCircuit:
        """The loader's circuit with angles ``x_0000 ...``; not to be changed."""
        given = self._told(self.loader.circuit)
        if self.trusted:
            return given
        of_kind(given, QuantumCircuit, "loader.circuit()")
        if given.num_qubits != self.num_qubits:
            raise InvalidTemplate(
                f"{self._word} fills {given.num_qubits} qubits, but {self.num_qubits} hold the data; "
                "make it for as many."
            )
        if given.num_clbits:
            raise InvalidTemplate(
                f"{self._word} has classical bits; it consists of gates, and measures nothing."
            )
        plain = canonical_circuit(given)
        if plain.parameters != given.parameters:
            raise InvalidTemplate(f"{self._word} has parameters that move nothing; leave them out.")
        # In two steps: its own x_0000 may be another one than ours.
        between = [Parameter(f"between_{uuid.uuid4().hex}") for _ in plain.parameters]
        names = input_parameters(len(between))
        once = plain.assign_parameters(dict(zip(plain.parameters, between, strict=True)))
        return once.assign_parameters(dict(zip(between, names, strict=True)))

    @property
    def num_angles(self) -> int:
        """Columns of :meth:`angles`."""
        if isinstance(self.loader, ExactLoader):  # without the circuit, which may be too large
            return (2**self.num_qubits - 1) * (2 if self.loader.phases else 1)
        return int(self.circuit.num_parameters)

    @property
    def phases(self) -> bool:
        """True if complex vectors can be loaded."""
        return bool(getattr(self.loader, "phases", False))

    @property
    def fallback(self) -> str | None:
        """Name of the loader for vectors that miss the bound; None if they are an error."""
        return getattr(self.loader, "fallback", None)

    def angles(self, data: np.ndarray) -> np.ndarray:
        """Return the angles for vectors of any norm, checked against what the circuit makes of them.

        Args:
            data: ``(batch, 2**n)``; real unless the loader has phases.

        Returns:
            ``(batch, num_angles)`` float64 in radians.

        Raises:
            InvalidData: As :meth:`loaded`, and if a vector misses the loader's ``error_bound``.
        """
        if self.trusted:
            return self.loader.angles(data)
        found = self.loaded(data)
        if found.missed.any():
            row = int(np.argmax(found.missed))
            raise InvalidData(
                f"{self._word} promises 1 - fidelity of at most {float(self.loader.error_bound):g}, "
                f"but misses vector {row} of {len(found.missed)} by {1 - found.fidelities[row]:.3g}; "
                + self._way_out()
            )
        return found.angles.copy()

    def loaded(self, data: np.ndarray) -> Loaded:
        """Return the angles for vectors of any norm, and the fidelity of each.

        Args:
            data: ``(batch, 2**n)``; real unless the loader has phases.

        Returns:
            Both; kept until other data come, since a call is asked for its angles and for their
            fidelities.

        Raises:
            InvalidData: If the shape does not fit, a vector is zero, complex or not finite; or the
                loader's angles are of another shape or not finite.
        """
        if self.trusted:
            angles = self.loader.angles(data)
            return Loaded(angles, np.ones(len(angles)), np.zeros(len(angles), dtype=bool))
        amplitude_angles(data, self.num_qubits, phases=self.phases)  # refuses what cannot be loaded
        vectors = np.asarray(data, dtype=complex if self.phases else np.float64)
        vectors = vectors / np.abs(vectors).max(axis=1, keepdims=True)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        key = hashlib.sha256(vectors.tobytes()).digest()
        latest = self._latest
        if latest is None or latest[0] != key:
            self._latest = latest = key, self._checked(vectors)
        return latest[1]

    def states(self, data: np.ndarray) -> np.ndarray:
        """Return the states that are loaded in place of vectors of any norm, bound or not.

        Args:
            data: ``(batch, 2**n)``; real unless the loader has phases.

        Returns:
            ``(batch, 2**n)`` with unit rows, up to a phase of each; real where the circuit is.

        Raises:
            InvalidData: As :meth:`loaded`.
        """
        angles = self.loaded(data).angles
        if isinstance(self.loader, LineLoader):
            return self.loader.states(angles)
        return np.array([Statevector(self.circuit.assign_parameters(a)).data for a in angles])

    def _checked(self, vectors: np.ndarray) -> Loaded:
        """Return the angles that the loader gives, if they are angles, and their fidelities."""
        given = self._told(self.loader.angles, vectors.copy())
        shape = (len(vectors), self.num_angles)
        found = np.asarray(given)
        if found.shape != shape or found.dtype.kind not in "fiu":
            raise InvalidData(
                f"{self._word} gives real angles of shape {shape}, one row a vector and one column a "
                f"parameter, got {found.shape} of {found.dtype}."
            )
        found = found.astype(np.float64)
        bad = ~np.isfinite(found).all(axis=1)
        if bad.any():
            raise InvalidData(
                f"{self._word} gives NaN or infinity as an angle of vector {int(np.argmax(bad))} of "
                f"{len(found)}."
            )
        fidelities = self._fidelities(vectors, found)
        return Loaded(
            found, fidelities, 1 - fidelities > float(self.loader.error_bound) + TOLERANCE
        )

    def _way_out(self) -> str:
        if not isinstance(self.loader, LineLoader):
            return "raise its error_bound, or load otherwise."
        if self.fallback:
            return "nothing here can run two circuits, so raise its bound or take more layers."
        return (
            f"take more layers, raise the bound, or let the exact loader take over, as in "
            f"'{self.loader.name},exact'."
        )

    def _told(self, method: Callable[..., Any], *values: Any) -> Any:
        """Return what a method of the loader gives; any exception of it becomes one line."""
        try:
            return method(*values)
        except QdmError:
            raise
        except Exception as error:  # of the user's code
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InvalidData(f"{self._word}.{method.__name__} failed: {reason}") from error

    def _fidelities(self, vectors: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Return the fidelity of each vector with the state of its circuit."""
        if isinstance(self.loader, LineLoader):
            return self.loader.fidelities(vectors, angles)
        states = [Statevector(self.circuit.assign_parameters(values)).data for values in angles]
        return np.array(
            [abs(np.vdot(v, state)) ** 2 for v, state in zip(vectors, states, strict=True)]
        )


def _takes(
    function: Callable[..., Any], given: tuple[Any, ...], named: Mapping[str, Any] | None = None
) -> bool:
    """Return True if a call with these arguments fits the function's signature."""
    try:
        inspect.signature(function).bind(*given, **(named or {}))
    except TypeError:
        return False
    except ValueError:  # some of C's functions have none
        return True
    return True
