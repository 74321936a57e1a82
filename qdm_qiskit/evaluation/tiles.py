"""Report on the tiles of a circuit: where they lie on a chip, what is promised of each and what came.

Expected success counts every gate, readout and wait as right or lost. What a simulation with the
device's noise leaves of the signal is measured beside it, for each tile on its own qubits: the
cross-entropy fidelity of random inputs, which is 1 for the exact distribution and 0 for a uniform one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from ..arguments import of_kind, whole_number
from ..engine.noise.engine_runner import NoisyEngineRunner
from ..errors import InvalidOption
from ..execution.devices import DeviceLike, as_backend
from ..execution.noisy import MAX_DENSITY_QUBITS
from ..notebook import card, facts, one_line, table
from ..progress import Message, Progress, silent
from ..rng import stream
from ..transpiling.channels import is_dead
from ..transpiling.passes import best_trial, layout_trials, select_values
from ..transpiling.tiles import TileChoice, Tiling, check_couplers, find_tiles
from .bootstrap import Interval, bootstrap_interval
from .report_names import check_report_name

__all__ = ["SCHEMA", "ChipTiles", "TileRow", "TilesReport", "fidelity", "tiles_report"]

SCHEMA = "tiles-report/1"


@dataclass(frozen=True)
class TileRow:
    """One tile."""

    qubits: tuple[int, ...]
    """Physical qubits, of each logical one first."""
    success: float
    """Expected success: gates, readout and waiting."""
    gate_success: float
    readout_success: float
    idle_success: float | None
    simulated: Interval | None
    """Cross-entropy fidelity under the device's noise, of which waiting is no part, with its 95 %
    interval over random inputs; None if it was not simulated."""


@dataclass(frozen=True)
class ChipTiles:
    """The tiles on one device."""

    backend: str
    """Name of the device; of one's own with the hash of its content."""
    device_qubits: int
    couplers: tuple[tuple[int, int], ...]
    """Pairs of qubits that the device couples."""
    dead: tuple[tuple[int, int], ...]
    """Those of them whose gates do not work."""
    two_qubit_gates: int
    """Two-qubit gates of the circuit."""
    floor: float
    """Least expected success of a tile."""
    places: int
    """Places that the circuit fits on."""
    refused: int
    """Places below the floor."""
    proven: bool
    """True if no packing is better."""
    tiles: tuple[TileRow, ...]
    """The tiles, the best first."""
    rank_correlation: float | None
    """Spearman's, of expected success and simulated fidelity over the tiles; None of fewer than 3."""

    def sentence(self) -> str:
        """Return the result in words."""
        best, worst = self.tiles[0].success, self.tiles[-1].success
        found = (
            f"{self.backend}: {len(self.tiles)} tile{'s' if len(self.tiles) > 1 else ''} of "
            f"{len(self.tiles[0].qubits)} qubits, expected success {worst:.3f} to {best:.3f}; "
            f"{self.refused} of {self.places} places are below {self.floor:.3f}"
        )
        if self.rank_correlation is not None:
            found += f"; rank correlation with the simulation {self.rank_correlation:.2f}"
        return found + ("." if self.proven else "; a better packing may exist, the time ran out.")


@dataclass(frozen=True)
class TilesReport:
    """Tiles of a circuit on one or more devices."""

    name: str
    """Name of the circuit; also the files' name."""
    choice: str
    """Choice of tiles: ``auto``, a number, or the least expected success."""
    buffer: bool
    """True if a qubit was left between tiles."""
    inputs: int
    """Random inputs of the simulation, 0 without."""
    chips: tuple[ChipTiles, ...]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report, ready for JSON, with ``schema`` first."""
        return {"schema": SCHEMA, **asdict(self)}

    def sentences(self) -> list[str]:
        """Return a sentence a device."""
        return [each.sentence() for each in self.chips]

    def __repr__(self) -> str:
        counts = (f"{len(each.tiles)} on {each.backend}" for each in self.chips)
        return one_line("TilesReport", self.name, *counts)

    def _repr_html_(self) -> str:
        head = ("tile", "qubits", "expected", "gates", "readout", "waiting", "simulated")
        parts = []
        for chip in self.chips:
            rows = [
                (
                    number,
                    " ".join(map(str, each.qubits)),
                    each.success,
                    each.gate_success,
                    each.readout_success,
                    each.idle_success,
                    None if each.simulated is None else each.simulated.estimate,
                )
                for number, each in enumerate(chip.tiles)
            ]
            parts += [facts([(chip.backend, chip.sentence())]), table(head, rows)]
        return card(self.name, *parts, about="tiles of a circuit")


def tiles_report(
    name: str,
    circuit: QuantumCircuit,
    backends: Sequence[DeviceLike],
    choice: TileChoice,
    *,
    level: int = 3,
    seeds: Sequence[int],
    inputs: int = 16,
    seed: int = 0,
    progress: Progress = silent,
) -> TilesReport:
    """Find tiles for a circuit on each device, and simulate each with the device's noise.

    Args:
        name: Letters, digits, ``.``, ``_`` and ``-``.
        circuit: The full logical circuit, every classical bit measured once.
        backends: Names of devices, ``BackendV2`` or Aer ``NoiseModel`` objects.
        choice: Number of tiles, least expected success, buffer.
        level: Optimization level, 0 to 3.
        seeds: Transpiler seeds, of which the best layout is taken.
        inputs: Random inputs of the simulation, angles from -pi to pi; 0 simulates nothing, and so does
            a circuit of more than :data:`~qdm_qiskit.execution.noisy.MAX_DENSITY_QUBITS` qubits.
        seed: Seed of the inputs.
        progress: Receives the device's name with the tiles done and in all.

    Raises:
        InvalidOption: If a name or number is out of range, or there are too few tiles.
        TargetUnavailable: If a device has no coupling map, or no place that is good enough.
        UnknownName: If a device does not exist.
        UnsupportedCircuit: If the circuit does not fit a device.
    """
    check_report_name(name)
    of_kind(circuit, QuantumCircuit, "circuit", "a spec gives one with full_circuit()")
    if whole_number(inputs, "inputs") < 0 or inputs == 1:
        raise InvalidOption(f"inputs are 0, for no simulation, or at least 2, got {inputs}.")
    if not backends:
        raise InvalidOption("A report on tiles needs at least one device, got none.")
    devices = [as_backend(each, "backends") for each in backends]
    for device in devices:
        check_couplers(device)
    chips = []
    for device in devices:
        trial = best_trial(layout_trials(circuit, device, seeds=seeds, level=level))
        tiling = find_tiles([trial.circuit], device, choice)
        simulated: list[Interval | None] = [None] * len(tiling)
        if inputs and tiling.template.num_wires <= MAX_DENSITY_QUBITS:
            simulated = _simulated(tiling, circuit, inputs, seed, progress)
        chips.append(_chip(tiling, simulated, trial.cost.two_qubit_count))
    return TilesReport(
        name=name,
        choice=str(choice),
        buffer=choice.buffer,
        inputs=inputs,
        chips=tuple(chips),
        versions={p: version(p) for p in ("qiskit", "qiskit-aer", "qiskit-ibm-runtime", "scipy")},
    )


def fidelity(exact: np.ndarray, noisy: np.ndarray) -> float:
    """Return the linear cross-entropy fidelity of distributions, over all rows together.

    It is the slope of the noisy distribution, less the uniform one, on the exact one, less the uniform
    one: 1 if nothing is lost, 0 if all outcomes are equally likely.

    Args:
        exact: ``(rows, outcomes)``.
        noisy: Of the same shape.

    References:
        Arute et al., Nature 574, 505 (2019).

    >>> exact = np.array([[0.7, 0.1, 0.1, 0.1]])
    >>> round(fidelity(exact, 0.8 * exact + 0.2 * 0.25), 12)
    0.8
    """
    uniform = 1.0 / exact.shape[1]
    return float(((exact - uniform) * (noisy - uniform)).sum() / ((exact - uniform) ** 2).sum())


def _simulated(
    tiling: Tiling, circuit: QuantumCircuit, inputs: int, seed: int, progress: Progress
) -> list[Interval | None]:
    """Return each tile's fidelity with its interval, for the same inputs on all."""
    from .transpile import exact_probabilities

    rng = stream(seed, "evaluation")
    count = inputs if circuit.num_parameters else 1
    values = rng.uniform(-np.pi, np.pi, (count, circuit.num_parameters))
    exact = np.array([exact_probabilities(circuit, row) for row in values])
    runner = NoisyEngineRunner(tiling.backend, seed=seed)
    found: list[Interval | None] = []
    for tile in range(len(tiling)):
        [placed] = tiling.circuits(tile)
        noisy = runner.exact_probabilities(placed, select_values(values, circuit, placed))
        if count == 1:  # a circuit without inputs has one fidelity
            one = fidelity(exact, noisy)
            found.append(Interval(one, one, one))
        else:
            found.append(_interval(exact, noisy, seed))
        progress(Message(tiling.backend.name, tile + 1, len(tiling)))
    return found


def _interval(exact: np.ndarray, noisy: np.ndarray, seed: int) -> Interval:
    def statistic(rows: np.ndarray) -> float:
        return fidelity(exact[rows], noisy[rows])

    return bootstrap_interval(statistic, [len(exact)], stream(seed, "evaluation", 1))


def _chip(tiling: Tiling, simulated: Sequence[Interval | None], gates: int) -> ChipTiles:
    target = tiling.backend.target
    couplers = sorted({(min(e), max(e)) for e in target.build_coupling_map().get_edges()})
    works = {
        (min(where), max(where))
        for name in target.operation_names
        for where, properties in (target[name] or {}).items()
        if where is not None and len(where) == 2 and not is_dead(properties)
    }
    rows = tuple(
        TileRow(
            qubits=_in_order(tiling, number),
            success=tile.success,
            gate_success=tile.gate_success,
            readout_success=tile.readout_success,
            idle_success=tile.idle_success,
            simulated=found,
        )
        for number, (tile, found) in enumerate(zip(tiling.tiles, simulated, strict=True))
    )
    return ChipTiles(
        backend=tiling.backend.name,
        device_qubits=tiling.backend.num_qubits,
        couplers=tuple(couplers),
        dead=tuple(each for each in couplers if each not in works),
        two_qubit_gates=gates,
        floor=tiling.floor,
        places=tiling.places,
        refused=tiling.refused,
        proven=tiling.proven,
        tiles=rows,
        rank_correlation=_rank_correlation(rows),
    )


def _in_order(tiling: Tiling, number: int) -> tuple[int, ...]:
    """Return a tile's qubits: of each logical qubit first, then those of the route."""
    qubits = tiling.tiles[number].qubits
    return tuple(dict.fromkeys((*(tiling.physical_qubits(number) or ()), *qubits)))


def _rank_correlation(rows: Sequence[TileRow]) -> float | None:
    from scipy.stats import spearmanr

    pairs = [(each.success, each.simulated.estimate) for each in rows if each.simulated is not None]
    if len(pairs) < 3:
        return None
    predicted, simulated = zip(*pairs, strict=True)
    if len(set(predicted)) == 1 or len(set(simulated)) == 1:
        return None
    return float(spearmanr(predicted, simulated).statistic)
