"""Tiles on snapshots: how many, how good, which are refused, and what is promised of them."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import CouplingMap, InstructionProperties

from qdm_qiskit.errors import InvalidOption, TargetUnavailable, UnsupportedCircuit
from qdm_qiskit.execution.devices import as_backend
from qdm_qiskit.execution.region import active_qubits
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.passes import best_trial, layout_trials, transpile_for
from qdm_qiskit.transpiling.tiles import (
    AUTO_SHARE,
    TileChoice,
    blocks_of,
    calibration_rounds,
    find_tiles,
    places_of,
)

from .line_circuits import line_circuit


@pytest.fixture(scope="module")
def placed():
    """The line of 6 qubits and 15 CZ, transpiled for both snapshots."""
    return {
        name: best_trial(layout_trials(line_circuit(6), load_backend(name), seeds=range(3))).circuit
        for name in ("fake_torino", "fake_marrakesh")
    }


@pytest.mark.parametrize(
    ("device", "counts"),
    [
        ("fake_torino", (7, 11, 16)),
        pytest.param("fake_marrakesh", (19, 19, 20), marks=pytest.mark.slow),
    ],
)
def test_tiles_above_eight_seven_and_six_tenths(placed, device, counts):
    backend, isa = load_backend(device), placed[device]
    assert isa.count_ops()["cz"] == 15
    dead = {q for q, p in backend.target["cz"].items() if p.error >= 1}
    for floor, count in zip((0.8, 0.7, 0.6), counts, strict=True):
        found = find_tiles([isa], backend, TileChoice(floor=floor))
        assert found.proven
        assert len(found) == count
        successes = [tile.success for tile in found.tiles]
        assert min(successes) >= floor
        assert successes == sorted(successes, reverse=True)
        qubits = [q for tile in found.tiles for q in tile.qubits]
        assert len(qubits) == len(set(qubits)) == 6 * count
        for tile in found.tiles:
            pairs = set(zip(tile.qubits, tile.qubits[1:], strict=False))
            assert not pairs & dead


def test_auto_keeps_near_the_best_and_a_number_gives_that_many(placed):
    backend, isa = load_backend("fake_torino"), placed["fake_torino"]
    every = find_tiles([isa], backend, TileChoice(count=1))
    best = every.tiles[0].success
    auto = find_tiles([isa], backend, TileChoice.of("auto"))
    assert auto.floor == pytest.approx(AUTO_SHARE * best)
    assert all(tile.success >= AUTO_SHARE * best for tile in auto.tiles)
    # Of so many tiles none has a larger sum, so their mean is at least that of auto's.
    same = find_tiles([isa], backend, TileChoice(count=len(auto)))
    assert len(same) == len(auto)
    total = sum(tile.success for tile in same.tiles)
    assert total == pytest.approx(sum(tile.success for tile in auto.tiles), abs=1e-4)


@pytest.mark.slow
def test_few_rows_take_the_best_tiles_only(placed):
    backend, isa = load_backend("fake_torino"), placed["fake_torino"]
    every = find_tiles([isa], backend, TileChoice(floor=0.6))
    few = find_tiles([isa], backend, TileChoice(floor=0.6), rows=20)
    # Twenty rows on sixteen tiles take two executions, as on ten.
    assert (len(every), len(few)) == (16, 10)
    ten_of_all = sum(tile.success for tile in every.tiles[:10])
    assert sum(tile.success for tile in few.tiles) > ten_of_all + 0.05
    assert len(find_tiles([isa], backend, TileChoice(count=8), rows=3)) == 3


def test_a_buffer_leaves_no_coupler_between_tiles(placed):
    backend, isa = load_backend("fake_torino"), placed["fake_torino"]
    close = find_tiles([isa], backend, TileChoice(floor=0.6))
    apart = find_tiles([isa], backend, TileChoice(floor=0.6, buffer=True))
    edges = backend.target.build_coupling_map().get_edges()

    def joined(found):
        owner = {q: k for k, tile in enumerate(found.tiles) for q in tile.qubits}
        return [
            (a, b)
            for a, b in edges
            if owner.get(a, -1) != owner.get(b, -1) and {a, b} <= set(owner)
        ]

    assert joined(close)
    assert not joined(apart)
    assert 1 < len(apart) < len(close)


def _chain_device(qubits: int, bad: dict[tuple[int, int], float]) -> GenericBackendV2:
    """A line of qubits whose pairs are equally good, but for some."""
    backend = GenericBackendV2(
        qubits,
        basis_gates=["cz", "rz", "sx", "x"],
        coupling_map=CouplingMap.from_line(qubits),
        seed=1,
    )
    target = backend.target
    for pair in target["cz"]:
        error = bad.get(tuple(sorted(pair)), 0.005)
        target.update_instruction_properties("cz", pair, InstructionProperties(6e-8, error))
    for name in ("rz", "sx", "x", "measure"):
        for where in target[name]:
            length = 1e-6 if name == "measure" else 3e-8
            target.update_instruction_properties(name, where, InstructionProperties(length, 1e-4))
    return backend


def test_a_tile_on_a_bad_pair_is_refused():
    circuit = line_circuit(3)
    good = _chain_device(9, {})
    isa = transpile_for(circuit, good, seed=0)
    assert len(find_tiles([isa], good, TileChoice(floor=0.8))) == 3
    # One pair in the middle fails one time in ten: every tile that crosses it is below the floor.
    worse = _chain_device(9, {(4, 5): 0.1})
    found = find_tiles([transpile_for(circuit, worse, seed=0)], worse, TileChoice(floor=0.8))
    assert len(found) == 2
    assert found.refused == 2  # (3, 4, 5) and (4, 5, 6)
    assert not any({4, 5} <= set(tile.qubits) for tile in found.tiles)
    with pytest.raises(InvalidOption, match=r"has 2 disjoint tiles.*got tiles=3; ask for 2"):
        find_tiles([transpile_for(circuit, worse, seed=0)], worse, TileChoice(count=3, floor=0.8))
    # A dead pair is no coupler at all, whatever floor is asked for.
    dead = _chain_device(9, {(4, 5): 1.0})
    found = find_tiles([transpile_for(circuit, dead, seed=0)], dead, TileChoice(floor=0.01))
    assert not any({4, 5} <= set(tile.qubits) for tile in found.tiles)


def test_a_circuit_larger_than_any_good_place_is_refused_in_one_line():
    backend = _chain_device(4, {(1, 2): 0.3})
    isa = transpile_for(line_circuit(4), backend, seed=0)
    with pytest.raises(
        TargetUnavailable, match=r"no place for circuit 'line' \(4 qubits\).*0\.9"
    ) as e:
        find_tiles([isa], backend, TileChoice(floor=0.9))
    assert "\n" not in str(e.value)


def test_a_device_without_a_coupling_map_is_refused():
    from qiskit_aer import AerSimulator

    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with pytest.raises(TargetUnavailable, match="no coupling map"):
        find_tiles([circuit], AerSimulator(), TileChoice.of("auto"))


def test_a_fully_coupled_device_is_filled_though_its_places_cannot_be_listed():
    from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.01, 2), ["cx"])
    noise.add_all_qubit_readout_error(ReadoutError([[0.99, 0.01], [0.01, 0.99]]))
    device = as_backend(noise)
    isa = transpile_for(line_circuit(6), device, level=1, seed=0)
    found = find_tiles([isa], device, TileChoice.of("auto"))
    assert len(found) == device.num_qubits // 6


def test_a_device_without_errors_is_refused_by_the_words_of_its_cost():
    backend = _chain_device(4, {})
    for pair in backend.target["cz"]:
        backend.target.update_instruction_properties("cz", pair, InstructionProperties(6e-8, None))
    isa = transpile_for(line_circuit(2), backend, seed=0)
    with pytest.raises(UnsupportedCircuit, match="gives no error for 'cz'"):
        find_tiles([isa], backend, TileChoice.of("auto"))


def test_a_routed_circuit_takes_the_qubits_of_its_route_along():
    """A triangle does not fit on heavy hexagons: what is packed is what the router made of it."""
    backend = load_backend("fake_torino")
    circuit = QuantumCircuit(3, 3)
    circuit.h([0, 1, 2])
    for a, b in ((0, 1), (1, 2), (0, 2), (0, 1)):
        circuit.cz(a, b)
        circuit.h([0, 1, 2])
    circuit.measure(range(3), range(3))
    isa = transpile_for(circuit, backend, seed=0)
    found = find_tiles([isa], backend, TileChoice(count=5))
    assert len(found) == 5
    for k, tile in enumerate(found.tiles):
        assert active_qubits(found.circuits(k)) == set(tile.qubits)


def test_a_circuit_without_entanglers_is_tiled_too():
    backend = load_backend("fake_torino")
    isa = transpile_for(line_circuit(4, uploads=1), backend, seed=0)
    found = find_tiles([isa], backend, TileChoice(count=6))
    template_edges = places_of(found.template, backend.target)
    assert len(found) == 6
    assert template_edges.shape[1] == 4


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "many", ">0.7", ">=1", ">=0", ">=nan", "1.5", "100"]
)
def test_what_is_no_choice_is_refused(text):
    with pytest.raises(InvalidOption, match=r"tiles? (is|are|is between)|success of a tile"):
        TileChoice.of(text)


def test_rows_are_spread_in_blocks_over_the_fewest_tiles_that_save_an_execution():
    for rows in range(1, 40):
        for tiles in range(1, 12):
            blocks = blocks_of(rows, tiles)
            assert [k for block in blocks for k in range(rows)[block]] == list(range(rows))
            longest = max(block.stop - block.start for block in blocks)
            assert longest == -(-rows // tiles)  # no tile serves more rows than it must
            assert len(blocks) <= tiles
            assert len(blocks) == 1 or -(-rows // (len(blocks) - 1)) > longest


def test_every_qubit_is_calibrated_once_and_side_by_side():
    tilings = [[(5, 4), (1, 2)], [(4, 1), (8, 9)], [(1, 2)]]
    rounds = calibration_rounds(tilings)
    flat = [qubit for one in rounds for group in one for qubit in group]
    assert sorted(flat) == [1, 2, 4, 5, 8, 9]
    assert rounds == [[(5, 4), (1, 2)], [(8, 9)]]


def test_a_choice_is_read_back_from_its_text():
    for text in ("auto", "8", ">=0.7"):
        assert str(TileChoice.of(text)) == text
    assert np.isclose(TileChoice.of(">= .65").floor, 0.65)
