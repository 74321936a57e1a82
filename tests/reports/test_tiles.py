"""Reports on tiles: predicted beside simulated, and the picture of the chip."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qiskit import QuantumCircuit

from qdm_qiskit.errors import InvalidOption, TargetUnavailable
from qdm_qiskit.evaluation.tiles import fidelity, tiles_report
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.reports.chips import chip_positions
from qdm_qiskit.reports.tiles_render import write_tiles_report
from qdm_qiskit.tasks import tiles
from qdm_qiskit.transpiling.tiles import TileChoice
from tests.hardware.reading_model import TwoReadings
from tests.transpiling.line_circuits import line_circuit


@pytest.fixture(scope="module")
def report():
    """Tiles of 4 qubits above 0.5: good ones and bad ones."""
    return tiles_report(
        "line", line_circuit(4), ["fake_torino"], TileChoice(count=18, floor=0.4),
        seeds=[0], inputs=12, level=1,
    )  # fmt: skip


@pytest.mark.slow
def test_what_is_promised_of_a_tile_is_what_the_simulation_leaves(report):
    [chip] = report.chips
    successes = np.array([tile.success for tile in chip.tiles])
    found = np.array([tile.simulated.estimate for tile in chip.tiles])
    assert np.ptp(successes) > 0.1
    assert chip.rank_correlation > 0.9
    for tile in chip.tiles:
        simulated = tile.simulated
        assert simulated.low < simulated.estimate < simulated.high
        # The simulation knows no waiting, and not every failure loses the whole signal: expected
        # success is a bound from below, and all that is lost is lost by failures.
        lost = 1 - tile.gate_success * tile.readout_success
        assert simulated.high > tile.success
        assert 0.4 * lost < 1 - simulated.estimate < 1.1 * lost
    # The worst tile is worse than the best one beyond both intervals.
    assert chip.tiles[-1].simulated.high < chip.tiles[0].simulated.low
    assert np.corrcoef(successes, found)[0, 1] > 0.9


def test_fidelity_is_one_for_the_exact_distribution_and_zero_for_a_flat_one():
    rng = np.random.default_rng(0)
    exact = rng.dirichlet(np.ones(8), size=5)
    assert fidelity(exact, exact) == pytest.approx(1.0)
    assert fidelity(exact, np.full((5, 8), 1 / 8)) == pytest.approx(0.0, abs=1e-12)
    assert fidelity(exact, 0.3 * exact + 0.7 / 8) == pytest.approx(0.3)


@pytest.mark.slow
def test_the_files_say_all_and_are_written_again_to_the_byte(report, tmp_path):
    first = write_tiles_report(report, tmp_path / "a")
    again = write_tiles_report(report, tmp_path / "b")
    assert [each.name for each in first] == ["line-tiles.json", "line-tiles.md", "line-tiles.png"]
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
    data = json.loads(first[0].read_text())
    assert data["schema"] == "tiles-report/1"
    assert len(data["chips"][0]["tiles"]) == 18
    text = first[1].read_text()
    assert text.count("\n| ") == 18 + 1
    assert "18 tiles of 4 qubits" in text
    assert first[2].read_bytes()[:4] == b"\x89PNG"
    assert "18 on fake_torino" in repr(report)
    assert "tiles of a circuit" in report._repr_html_()


def test_neighbours_on_the_chip_are_neighbours_in_the_picture():
    backend = load_backend("fake_torino")
    edges = sorted({(min(e), max(e)) for e in backend.target.build_coupling_map().get_edges()})
    places = chip_positions(backend.num_qubits, edges)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    joined = np.array([apart[a, b] for a, b in edges])
    assert joined.max() < 1.7 * joined.min()
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 0.6 * np.median(joined)  # no two qubits on one place
    np.testing.assert_array_equal(places, chip_positions(backend.num_qubits, edges))
    assert chip_positions(1, []).shape == (1, 2)
    assert np.isfinite(chip_positions(3, [(0, 1)])).all()


def test_models_presets_and_circuits_are_subjects():
    options = {"trials": 1, "inputs": 0}
    named = tiles("eeqdm", "fake_nairobi", 2, settings={"image_size": "2", "depth": "1"}, **options)
    assert (named.name, len(named.chips[0].tiles)) == ("eeqdm_image_size2_depth1", 2)
    assert named.chips[0].tiles[0].simulated is None
    reading = TwoReadings(TwoReadings.config_class())
    with pytest.raises(InvalidOption, match=r"calls 2 circuits.*give call, one of first, second"):
        tiles(reading, "fake_nairobi", **options)
    one = tiles(reading, "fake_nairobi", 2, call="second", **options)
    assert one.name == "two-readings-second"
    with pytest.raises(InvalidOption, match="call is one of first, second, got 'third'"):
        tiles(reading, "fake_nairobi", call="third", **options)
    bell = QuantumCircuit(2, name="bell")
    bell.h(0)
    bell.cx(0, 1)
    found = tiles(bell, ["fake_nairobi", "fake_quito"], inputs=2, trials=1)
    assert [each.backend for each in found.chips] == ["fake_nairobi", "fake_quito"]
    # Without parameters there is one input, and no spread over inputs.
    simulated = found.chips[0].tiles[0].simulated
    assert simulated.low == simulated.high
    with pytest.raises(TargetUnavailable, match="has no circuits"):
        tiles("classical_unet", **options)
    with pytest.raises(InvalidOption, match="inputs are 0"):
        tiles(bell, inputs=1, trials=1)
