#!/usr/bin/env python3
"""Count the rooms of a package, and hold their bars.

A room is a sub-package. A module that stands in no room, the package's ``__init__`` too, is counted
as a room of its own, so that no import leaves the count by leaving its room. An arrow is a pair of
rooms with at least one import from the first to the second. The longest chain is counted in modules
of the package, the one that imports first and the one that imports nothing both counted. The order
of the rooms is the one in ``pyproject.toml``: import-linter's contract of type ``layers`` whose only
container is the package.

All imports count, those inside functions and under ``TYPE_CHECKING`` too.

    python .ci/rooms.py
    python .ci/rooms.py --package engine --json

Exit with 1, and one line to stderr for each, if a bar is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

PACKAGE = "qdm_qiskit"
INIT = "__init__"


@dataclass(frozen=True)
class Bars:
    """How many arrows between rooms, and how many modules in a chain, a package may have."""

    arrows: int
    chain: int


BARS = {"hardware": Bars(arrows=12, chain=13), "engine": Bars(arrows=22, chain=11)}

Imports = Mapping[str, Sequence[str]]
"""The modules that each module imports, all named within their package: ``jit.planner``."""


@dataclass(frozen=True)
class Arrow:
    """The imports from one room to another."""

    source: str
    target: str
    imports: int


@dataclass(frozen=True)
class Count:
    """What the imports of a package say about its rooms."""

    package: str
    modules: int
    """Modules and sub-packages, the package's ``__init__`` too."""
    imports: int
    """Pairs of modules of which the first imports the second."""
    rooms: list[str]
    top: list[str]
    """Modules that stand in no room."""
    arrows: list[Arrow]
    order: list[str] | None
    """The declared order of rooms, highest first, as in ``pyproject.toml``; none if not declared."""
    up: list[str]
    """Imports against the declared order, each ``module -> module``."""
    circles: list[list[str]]
    """A circle of modules and a circle of rooms, each closed by its first name; empty if none."""
    chain: list[str]
    """The longest chain of imports; empty if a circle makes chains endless."""


def read_graph(root: Path) -> grimp.ImportGraph:
    """Return the imports of ``qdm_qiskit`` as it stands below ``root``, not as it is installed."""
    sys.path.insert(0, str(root))
    return grimp.build_graph(PACKAGE, cache_dir=None)


def read_imports(graph: grimp.ImportGraph, package: str) -> dict[str, list[str]]:
    """Return what each module of ``qdm_qiskit.<package>`` imports of the same package.

    The package ``""`` is all of ``qdm_qiskit``.
    """
    whole = f"{PACKAGE}.{package}".rstrip(".")
    if whole not in graph.modules:
        sys.exit(f"There is no package {whole}.")
    inside = {whole, *graph.find_descendants(whole)}

    def short(module: str) -> str:
        return module.removeprefix(whole).lstrip(".") or INIT

    return {
        short(module): sorted(map(short, graph.find_modules_directly_imported_by(module) & inside))
        for module in sorted(inside)
    }


def read_order(root: Path, package: str) -> list[str] | None:
    """Return the layers that ``pyproject.toml`` declares for a package, highest first."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    contracts = settings.get("tool", {}).get("importlinter", {}).get("contracts", [])
    for contract in contracts:
        if contract.get("containers") == [f"{PACKAGE}.{package}"]:
            return list(contract["layers"])
    return None


def room(module: str) -> str:
    """Return the room of a module, or the module itself if it stands in none."""
    return module.split(".")[0]


def find_arrows(imports: Imports) -> list[Arrow]:
    """Return the arrows between rooms, sorted by name."""
    pairs = Counter(
        (room(source), room(target))
        for source, targets in imports.items()
        for target in targets
        if room(source) != room(target)
    )
    return [Arrow(*pair, number) for pair, number in sorted(pairs.items())]


def find_up(imports: Imports, order: Sequence[str]) -> list[str]:
    """Return the imports against an order in import-linter's words.

    ``a | b`` are rooms of one floor that may not import each other, ``a : b`` such that may; round
    brackets mark rooms that may be missing.
    """
    floors: dict[str, tuple[int, bool]] = {}
    for number, layer in enumerate(order):
        names = layer.replace("|", ":").split(":")
        floors |= {name.strip(" ()"): (number, "|" in layer) for name in names}

    def against(source: str, target: str) -> bool:
        if source == target or source not in floors or target not in floors:
            return False
        (high, apart), (low, _) = floors[source], floors[target]
        return high > low or (high == low and apart)

    return [
        f"{source} -> {target}"
        for source, targets in imports.items()
        for target in targets
        if against(room(source), room(target))
    ]


def find_circle(imports: Imports) -> list[str]:
    """Return one circle of imports, from the importing to the imported, or nothing."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def find_chain(imports: Imports) -> list[str]:
    """Return the longest chain of imports that make no circle; of equals the first by name."""

    @cache
    def below(module: str) -> tuple[str, ...]:
        ways = [below(target) for target in imports[module]]
        return (module, *max(ways, key=len)) if ways else (module,)

    longest = max((below(module) for module in imports), key=len)
    return list(longest)


def count(package: str, imports: Imports, order: list[str] | None) -> Count:
    """Count the rooms of a package from its imports and the declared order of its rooms."""
    rooms = {room(module) for module in imports if "." in module}
    arrows = find_arrows(imports)
    between: dict[str, list[str]] = {}
    for arrow in arrows:
        between.setdefault(arrow.source, []).append(arrow.target)
    circle = find_circle(imports)
    return Count(
        package=package,
        modules=len(imports),
        imports=sum(map(len, imports.values())),
        rooms=sorted(rooms),
        top=sorted({room(module) for module in imports} - rooms),
        arrows=arrows,
        order=order,
        up=find_up(imports, order or []),
        circles=[found for found in (circle, find_circle(between)) if found],
        chain=[] if circle else find_chain(imports),
    )


def find_broken(counted: Count, bars: Bars) -> list[str]:
    """Return one line for each bar that a package breaks."""
    name = counted.package
    lines = [f"{name}: the import {line} runs against the order of rooms" for line in counted.up]
    lines += [f"{name}: a circle of imports, {' -> '.join(way)}" for way in counted.circles]
    if counted.order is None:
        lines.append(f"{name}: pyproject.toml declares no order of rooms")
    if len(counted.arrows) > bars.arrows:
        lines.append(
            f"{name}: {len(counted.arrows)} arrows between rooms, at most {bars.arrows} allowed"
        )
    if len(counted.chain) > bars.chain:
        lines.append(
            f"{name}: the longest chain of imports has {len(counted.chain)} modules, "
            f"at most {bars.chain} allowed: {' -> '.join(counted.chain)}"
        )
    return lines


def describe(counted: Count, bars: Bars | None) -> str:
    """Return the count of a package as lines of text."""

    most_arrows, longest = (
        (f" (at most {bars.arrows})", f" (at most {bars.chain})") if bars else ("", "")
    )
    arrows = [f"{arrow.source} -> {arrow.target} ({arrow.imports})" for arrow in counted.arrows]
    rows = {
        "modules": f"{counted.modules}, with {counted.imports} imports of each other",
        "rooms": f"{len(counted.rooms)}: {', '.join(counted.rooms) or 'none'}",
        "in no room": f"{len(counted.top)}: {', '.join(counted.top)}",
        "order": " > ".join(counted.order) if counted.order else "none declared",
        "arrows": f"{len(arrows)}{most_arrows}: {', '.join(arrows) or 'none'}",
        "up": f"{len(counted.up)}: {', '.join(counted.up) or 'none'}",
        "circles": "; ".join(" -> ".join(way) for way in counted.circles) or "none",
        "longest chain": f"{len(counted.chain) or 'endless'}{longest}: "
        f"{' -> '.join(counted.chain) or 'there is a circle'}",
    }
    return "\n".join([f"{counted.package}/", *(f"  {key:14}{row}" for key, row in rows.items())])


def main() -> int:
    """Print the counts, then the broken bars to stderr; return 1 if there are any."""
    parser = argparse.ArgumentParser(description="Count the rooms of packages from their imports.")
    parser.add_argument(
        "--package",
        action="append",
        help=f"package within {PACKAGE} to count, may be repeated (default: those with bars)",
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(__file__).resolve().parents[1],
        help=f"folder with {PACKAGE}/ and pyproject.toml (default: the one of this script)",
    )
    options = parser.parse_args()
    graph = read_graph(options.root.resolve())
    counts = [
        count(package, read_imports(graph, package), read_order(options.root, package))
        for package in options.package or BARS
    ]
    if options.json:
        print(json.dumps({counted.package: asdict(counted) for counted in counts}, indent=2))
    else:
        print("\n\n".join(describe(counted, BARS.get(counted.package)) for counted in counts))
    held = [counted for counted in counts if counted.package in BARS]
    broken = [line for counted in held for line in find_broken(counted, BARS[counted.package])]
    print(*broken, sep="\n", end="\n" if broken else "", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
