"""Doors: how parts come in by name, those of this package and those of other packages.

A part is a plain Python object; from Python it needs no name and no registration. For the command
line and for files a name is needed: an installed package gives one by an entry point of the group
``qdm_qiskit.KIND`` (``[project.entry-points."qdm_qiskit.metric"]`` in its pyproject.toml), and the
parts of this package stand in a table of the same form, ``name: "module:attribute"``. Both are
loaded by the same code, when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any, Generic, Literal, TypeVar, get_args

from .errors import InvalidExtension, unknown_name

__all__ = [
    "KINDS",
    "Door",
    "Kind",
    "Origin",
    "Part",
    "Parts",
    "origin_of",
    "outside_names",
]

Part = TypeVar("Part")
Kind = Literal[
    "circuit",
    "model",
    "loader",
    "device",
    "sampler",
    "provider",
    "metric",
    "dataset",
    "noise_source",
    "routing",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Origin:
    """Package, version and module that a part comes from, for records of a run."""

    package: str
    """Distribution that brings the part: ``qdm_qiskit`` or another one's name."""
    version: str
    """Version of that distribution."""
    module: str
    """``module:attribute`` of the part."""


class Door(Generic[Part]):
    """All parts of a kind, by name.

    Args:
        kind: One of :data:`KINDS`; other packages use the entry-point group ``qdm_qiskit.KIND``.
        word: The kind in words, for messages: ``"data set"``.
        built_in: Names of this package's own parts to ``"module:attribute"``, or a function that
            makes such a table when it is first asked for.
        check: Returns the part that was loaded, or raises
            :class:`~qdm_qiskit.errors.InvalidArgument` with what is missing.

    >>> from math import floor
    >>> door = Door("metric", "metric", {"floor": "math:floor"}, lambda part, name: part)
    >>> door.get("floor") is floor
    True
    """

    def __init__(
        self,
        kind: Kind,
        word: str,
        built_in: Mapping[str, str] | Callable[[], Mapping[str, str]],
        check: Callable[[Any, str], Part],
    ) -> None:
        self.kind = kind
        self.word = word
        self._built_in = built_in
        self._check = check

    @cached_property
    def built_in(self) -> dict[str, str]:
        """Names of this package's own parts to ``"module:attribute"``."""
        return dict(self._built_in() if callable(self._built_in) else self._built_in)

    @property
    def group(self) -> str:
        """Entry-point group of the kind."""
        return f"qdm_qiskit.{self.kind}"

    def names(self) -> tuple[str, ...]:
        """Return all names, those of this package first; nothing is imported."""
        return (*self.built_in, *sorted(set(_outside(self.group)) - set(self.built_in)))

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in _outside(self.group)

    def get(self, name: str) -> Part:
        """Load a part.

        Args:
            name: One of :meth:`names`.

        Returns:
            The part, checked.

        Raises:
            UnknownName: If no package brings a part of this name.
            InvalidExtension: If two packages bring one, if it cannot be imported, or if it is
                no part of this kind.
        """
        point = self._point(name)
        try:
            part = point.load()
        except Exception as error:  # whatever another package's import raises
            raise InvalidExtension(
                f"{self.word.capitalize()} '{name}' of package {_package(point)} cannot be loaded "
                f"from '{point.value}': {type(error).__name__}: {error}. Mend or uninstall the package."
            ) from error
        try:
            return self._check(part, name)
        except (TypeError, ValueError) as error:
            raise InvalidExtension(
                f"'{point.value}' of package {_package(point)} is no {self.word}: {error}"
            ) from error

    def origin(self, name: str) -> Origin:
        """Return where a part comes from; nothing is imported.

        Raises:
            UnknownName: If no package brings a part of this name.
            InvalidExtension: If two packages bring one.
        """
        from .version import __version__

        point = self._point(name)
        if point.dist is None:
            return Origin("qdm_qiskit", __version__, point.value)
        return Origin(point.dist.name, point.dist.version, point.value)

    def _point(self, name: str) -> EntryPoint:
        found = _outside(self.group).get(name, ())
        if name in self.built_in:
            if found:
                raise InvalidExtension(
                    f"Package {_package(found[0])} brings a {self.word} '{name}', which is a name of "
                    f"this package; rename it in its entry points ({self.group})."
                )
            return EntryPoint(name, self.built_in[name], self.group)
        if not found:
            raise unknown_name(self.word, name, self.names())
        if len(found) > 1:
            packages = " and ".join(sorted(_package(each) for each in found))
            raise InvalidExtension(
                f"Packages {packages} both bring a {self.word} '{name}'; rename one in its entry "
                f"points ({self.group}), or uninstall one."
            )
        return found[0]


def origin_of(part: object) -> Origin:
    """Return where an object comes from that was given from Python, without a name.

    Args:
        part: The object; its class's module and name are told. A module that is no installed package of
            its name has the version "".

    >>> from fractions import Fraction
    >>> origin_of(Fraction(1, 2)).module
    'fractions:Fraction'
    """
    kind = part if isinstance(part, type) else type(part)
    package = kind.__module__.partition(".")[0]
    try:
        known = version(package)
    except PackageNotFoundError:
        known = ""
    return Origin(package, known, f"{kind.__module__}:{kind.__qualname__}")


class Parts(Mapping[str, Part]):
    """The parts behind a door as a mapping; each is loaded when it is asked for.

    Args:
        door: The door.
        without: A name that is left out.

    >>> from math import floor
    >>> door = Door("metric", "metric", {"floor": "math:floor"}, lambda part, name: part)
    >>> dict(Parts(door)) == {"floor": floor}
    True
    """

    def __init__(self, door: Door[Part], without: str | None = None) -> None:
        self._door, self._without = door, without

    def __getitem__(self, name: str) -> Part:
        """Load as :meth:`Door.get` does; its UnknownName is a LookupError, as a KeyError is."""
        if name == self._without:
            raise unknown_name(self._door.word, name, tuple(self))
        return self._door.get(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._door.names() if name != self._without)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name != self._without and name in self._door


def outside_names(kind: Kind) -> tuple[str, ...]:
    """Return the names that other packages bring of a kind; nothing is imported."""
    return tuple(sorted(_outside(f"qdm_qiskit.{kind}")))


@cache
def _outside(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points of other packages, by name; read once a process."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=group):
        if point not in found.get(point.name, ()):
            found[point.name] = (*found.get(point.name, ()), point)
    return found


def _package(point: EntryPoint) -> str:
    return "qdm_qiskit" if point.dist is None else point.dist.name
