"""Names of loaders that a run resolves: ``amortised:bricks:8`` is the run's own network."""

from __future__ import annotations

from pathlib import Path

from ..circuits.amortised import (
    AMORTISED,
    file_of,
    is_key,
    known_networks,
    split_name,
    take_networks,
)
from ..errors import InvalidOption, MissingData

__all__ = ["network_files", "resolved_loader"]


def resolved_loader(folder: Path, name: str) -> str:
    """Return a loader's name with the hash of its network, where it has one.

    Args:
        folder: The run's networks.
        name: A loader's name; ``amortised:LOADER`` means the one network of that loader in the folder.

    Raises:
        MissingData: If there is none.
        InvalidOption: If there are several.
        InvalidData: If a file of the folder cannot be used.
    """
    if name.partition(":")[0] != AMORTISED:
        return name
    take_networks(folder)
    wanted, rest = split_name(name)
    if is_key(wanted):
        return name
    known = known_networks(folder)
    found = [key for key, about in known.items() if about["loader"] == wanted]
    if not found:
        others = sorted({str(about["loader"]) for about in known.values()})
        there = f"networks of {', '.join(others)} only" if others else "no networks"
        raise MissingData(
            f"{folder.parent} has {there}, none of loader '{wanted}'; make one by `qdm amortise "
            f"{folder.parent} --loader {wanted or 'bricks:8'}`."
        )
    if len(found) > 1:
        raise InvalidOption(
            f"{folder} has {len(found)} networks of '{wanted}'; name one of {', '.join(found)}, as in "
            f"'{AMORTISED}:{found[0]}{rest}'."
        )
    return f"{AMORTISED}:{found[0]}{rest}"


def network_files(loader: object) -> dict[str, bytes]:
    """Return the files that a loader's name stands for, by their name in a run's networks.

    Raises:
        MissingData: If none of the runs that were loaded has it.
    """
    if not isinstance(loader, str) or loader.partition(":")[0] != AMORTISED:
        return {}
    path = file_of(split_name(loader)[0])
    return {path.name: path.read_bytes()}
