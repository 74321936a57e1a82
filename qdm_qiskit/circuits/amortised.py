"""Angles of a line's loader from vectors that were fitted once: ``amortised:HASH``.

A fit finds an image's angles from a first guess that is the same for all images, in some thirty
steps. A network of a run's own fitted vectors, see :mod:`.line_memory`, guesses so near that a few
steps do. It is plain numbers in a ``.npz`` file, found by the hash of its content, so a name stands
for the same angles wherever the file lies.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final, get_args

import numpy as np

from ..archives import Headers, read_arrays
from ..errors import InvalidData, InvalidOption, InvalidTemplate, MissingData
from ..files import parse_json
from .line_circuits import MAX_LAYERS, Pattern
from .line_fit import Step
from .line_loaders import EXACT, BrickLoader, LineLoader, StaircaseLoader
from .line_memory import LineMemory

__all__ = [
    "AMORTISED",
    "FOLDER",
    "MOST_VECTORS",
    "SCHEMA",
    "STEPS",
    "AmortisedLoader",
    "Networks",
    "file_of",
    "is_key",
    "key_of",
    "known_networks",
    "network_bytes",
    "split_name",
    "take_networks",
]

AMORTISED = "amortised"
"""Name of the loader; a key follows, and then the steps of the fit behind the network."""
FOLDER = "loaders"
"""Folder of a run that holds its networks."""
SCHEMA = "qdm-loader/1"
STEPS = 24
"""Steps of least squares, or sweeps, behind a network, unless a name says otherwise."""
MOST_STEPS = 100
"""Most of them; the fit without a network takes 100 sweeps, 40 for complex vectors, or 60 steps."""
MOST_VECTORS = 100_000
"""Most vectors of a width that a network keeps."""
MOST_ABOUT_BYTES = 2**20
"""Most bytes of the text about networks; that of all widths has some hundred."""
MOST_BYTES = 2**28
_KEY = re.compile(r"[0-9a-f]{16}")
_PLACES: list[Path] = []


def is_key(text: str) -> bool:
    """Return True if a text is a network's hash, 16 hexadecimal digits."""
    return _KEY.fullmatch(text) is not None


def take_networks(folder: Path) -> None:
    """Look for networks in a folder too, until the process ends; the latest one is asked first."""
    folder = folder.absolute()
    if folder in _PLACES:
        _PLACES.remove(folder)
    _PLACES.insert(0, folder)


def split_name(name: str) -> tuple[str, str]:
    """Return what says which network a loader's name means, and what follows it, comma included.

    >>> split_name("amortised:bricks:8,3"), split_name("amortised:00112233445566ff")
    (('bricks:8', ',3'), ('00112233445566ff', ''))
    """
    wanted, comma, rest = name.partition(":")[2].partition(",")
    return wanted, comma + rest


def file_of(key: str) -> Path:
    """Return the file of a network.

    Raises:
        MissingData: If none of the known folders has it.
    """
    for place in _PLACES:
        if (place / f"{key}.npz").is_file():
            return place / f"{key}.npz"
    raise MissingData(
        f"Loader '{AMORTISED}:{key}' is a network in a run's folder '{FOLDER}', and no run that was "
        f"loaded here has {key}.npz; load the run that has it, or train one by `qdm amortise`."
    )


def known_networks(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the networks of a folder say of themselves, by their hash.

    Raises:
        InvalidData: If a file cannot be used.
    """
    found = sorted(path for path in folder.glob("*.npz") if is_key(path.stem))
    return {path.stem: _networks(path, path.stem).about for path in found}


@dataclass(frozen=True, eq=False)
class Networks:
    """Content of a file: networks of one loader, for each width that a run has circuits of."""

    about: dict[str, Any]
    """Loader, model and seed, ready for JSON."""
    by_width: Mapping[tuple[int, bool], np.ndarray]
    """What :func:`.remembered` keeps, by the number of qubits, and whether vectors are complex."""


def network_bytes(found: Networks) -> bytes:
    """Return the content of a networks' file, which depends on nothing else."""
    arrays = {"about": np.frombuffer(json.dumps(found.about, sort_keys=True).encode(), np.uint8)}
    for (width, phases), kept in sorted(found.by_width.items()):
        arrays[f"{'complex' if phases else 'real'}_{width}"] = kept
    buffer = io.BytesIO()
    # numpy's annotations take a keyword for its option `allow_pickle`.
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def key_of(content: bytes) -> str:
    """Return the hash by which a file's content is called."""
    return hashlib.sha256(content).hexdigest()[:16]


@lru_cache(maxsize=32)
def _networks(path: Path, key: str) -> Networks:
    """Read a file and hold it to its name; read once, since no other content has this name.

    Raises:
        InvalidData: If the content is not what the name says, or is no such file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidData(f"{path} cannot be read: {error.strerror or error}.") from error
    if key_of(content) != key:
        raise InvalidData(
            f"{path} is not the loader of its name: its content has the hash {key_of(content)}. Take "
            "it from the run again, or train another by `qdm amortise`."
        )
    try:
        return _parsed(content)
    except (InvalidData, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InvalidData(f"{path} cannot be used as a loader: {reason}.") from error


def _check_headers(headers: Headers) -> None:
    """Refuse what is no table of a network, before it is unpacked."""
    for name, each in headers.items():
        if name == "about":
            if each.ndim != 1 or each.shape[0] * each.dtype.itemsize > MOST_ABOUT_BYTES:
                raise InvalidData(f"'about' is a short text as bytes, got shape {each.shape}")
        elif each.ndim != 2 or each.dtype != np.float32:
            raise InvalidData(f"'{name}' is no table of numbers in float32")
        elif each.shape[0] > MOST_VECTORS:
            raise InvalidData(f"'{name}' keeps {each.shape[0]} vectors; at most {MOST_VECTORS} are")


def _parsed(content: bytes) -> Networks:
    arrays = read_arrays(content, most_bytes=MOST_BYTES, check=_check_headers)
    about = parse_json(arrays.pop("about").astype(np.uint8).tobytes())
    if about["schema"] != SCHEMA:
        raise ValueError(f"its schema is {about['schema']!r}, not '{SCHEMA}'")
    layers = about["layers"]
    known = about["pattern"] in get_args(Pattern)
    if not known or type(layers) is not int or not 1 <= layers <= MAX_LAYERS:
        raise ValueError(f"it is of no loader of this package, {about['pattern']!r}")
    found = {}
    for name, kept in arrays.items():
        parts = re.fullmatch(r"(real|complex)_([2-9]|1[0-2])", name)
        if parts is None:
            raise ValueError(f"it holds '{name}', which is no network")
        if not np.isfinite(kept).all():
            raise ValueError(f"'{name}' is no table of finite numbers")
        found[int(parts[2]), parts[1] == "complex"] = kept
    return Networks(about, found)


@final
class AmortisedLoader(LineLoader):
    """The circuit of ``bricks:L`` or ``staircase:L``, with angles from a network.

    Args:
        num_qubits: 2 to 12, of which the network has been trained; 1 needs none.
        argument: Hash of the network; then, after commas, steps of the fit behind it (:data:`STEPS`
            unless given), the most that 1 - fidelity may come to, and ``exact``, as for
            :class:`.LineLoader`.
        phases: Load complex vectors.

    Raises:
        InvalidOption: If the argument is another one.
        MissingData: If no run that was loaded has the network.
        InvalidTemplate: If it has not been trained for the width.
        InvalidData: If its file cannot be used.
    """

    def __init__(self, num_qubits: int, argument: str, *, phases: bool = False) -> None:
        key, *more = argument.split(",")
        if not is_key(key):
            raise InvalidOption(
                f"Loader '{AMORTISED}:{argument}' names no network: a run that has one resolves "
                f"'{AMORTISED}:bricks:8', in `sample` and plans; elsewhere write the 16 digits of its "
                "hash, which `qdm amortise` prints."
            )
        self.key = key
        networks = _networks(file_of(key), key)
        self.pattern = networks.about["pattern"]
        layers = str(networks.about["layers"])
        super().__init__(num_qubits, ",".join([layers, *more[1:]]), phases=phases)
        kind = StaircaseLoader if self.pattern == "staircase" else BrickLoader
        self._fit = kind(num_qubits, layers, phases=phases)
        self.fit_steps = _steps(more[0]) if more else STEPS
        if num_qubits > 1 and (num_qubits, phases) not in networks.by_width:
            raise InvalidTemplate(
                f"Loader '{AMORTISED}:{key}' is made for {_words(networks.by_width)}, and {num_qubits} "
                f"qubits{' of complex vectors' if phases else ''} are to be loaded; make one for this "
                f"run by `qdm amortise`, or take '{self._fit.name}'."
            )
        self._memory = _memory(key, num_qubits, phases) if num_qubits > 1 else None

    @property
    def name(self) -> str:
        """Name by which :func:`.make_loader` makes it."""
        bounds = [f"{self.error_bound:g}"] if self.error_bound < 1 or self.fallback else []
        parts = [*bounds, *([self.fallback] if self.fallback else [])]
        steps = [str(self.fit_steps)] if self.fit_steps != STEPS or parts else []
        return f"{AMORTISED}:{','.join([self.key, *steps, *parts])}"

    def angles(self, data: np.ndarray) -> np.ndarray:
        """Return angles for each vector; see :meth:`.LineLoader.angles`."""
        if self._memory is None:  # one qubit, in closed form
            return self._fit.angles(data)
        return self._memory.angles(data, self.fit_steps)

    def _real_steps(self) -> tuple[Step, ...]:
        return self._fit.steps


@lru_cache(maxsize=8)
def _memory(key: str, num_qubits: int, phases: bool) -> LineMemory:
    """Return a network that is ready for use; made once, since its states and maps take a moment.

    Raises:
        InvalidData: If the file's numbers do not fit the loader.
    """
    path = file_of(key)
    networks = _networks(path, key)
    kind = StaircaseLoader if networks.about["pattern"] == "staircase" else BrickLoader
    loader = kind(num_qubits, str(networks.about["layers"]), phases=phases)
    try:
        return LineMemory(loader, networks.by_width[num_qubits, phases])
    except ValueError as error:
        raise InvalidData(f"{path} cannot be used as a loader: {error}.") from error


def _steps(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:6]) > MOST_STEPS:
        raise InvalidOption(
            f"Loader '{AMORTISED}' takes the steps of the fit behind its network, 0 to {MOST_STEPS}, "
            f"then a bound and '{EXACT}', as in '{AMORTISED}:bricks:8,3,0.05,{EXACT}', got '{text}'."
        )
    return int(text)


def _words(widths: Collection[tuple[int, bool]]) -> str:
    each = [f"{width} qubits{' of complex vectors' if c else ''}" for width, c in sorted(widths)]
    return " and ".join(each) or "no qubits"
