"""Sampling on tiles: each row on its own place of the chip, with that place's noise and readout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp

import qdm_qiskit as qdm
from qdm_qiskit.circuits import ExpectationReadout, eeqdm
from qdm_qiskit.engine.noise.runners import runner_for
from qdm_qiskit.errors import InvalidOption, TargetUnavailable
from qdm_qiskit.execution.calls import CircuitCall
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.region import active_qubits
from qdm_qiskit.sampling import SamplingConfig, load_run
from qdm_qiskit.sampling.call_targets import RunnerTarget
from qdm_qiskit.sampling.shown import tile_lines
from qdm_qiskit.transpiling.passes import select_values
from tests.hardware.reading_model import write_reading_run

ROWS, SHOTS = 5, 20_000


def _call(readout=None, rows=ROWS, shots=SHOTS):
    spec = eeqdm(num_data=2, depth=2)
    if readout is not None:
        spec = replace(spec, readout=readout)
    rng = np.random.default_rng(5)
    amplitudes = rng.uniform(0.1, 1, (rows, 4))
    amplitudes /= np.linalg.norm(amplitudes, axis=1, keepdims=True)
    angles = rng.uniform(-3, 3, len(spec.weights))
    return CircuitCall(name="layer", spec=spec, angles=angles, amplitudes=amplitudes, shots=shots)


def _answered(call, **options):
    config = SamplingConfig(
        **{"target": "noisy:fake_torino", "shots": SHOTS, "layout_trials": 2, "seed": 7, **options}
    )
    target = RunnerTarget(runner_for(config.target, seed=config.seed), config)
    [prepared] = target.prepare([call])
    seen = []
    target.watch = seen.append
    target.begin(1)
    [result] = target.answer([call])
    return target, prepared, seen[0], result


@pytest.mark.slow
def test_every_row_has_the_noise_of_its_own_tile():
    shots = 10_000_000
    call = _call(shots=shots)
    _, prepared, seen, result = _answered(call, tiles=3, shots=shots)
    # Five rows on three tiles: two rows on each of the best two, and one on the third.
    assert len({q for place in prepared.places for q in place}) == 3 * 3
    runner = NoisyRunner("fake_torino", seed=0)
    on_all = []
    for tile in range(3):
        [circuit] = prepared.on_tile(tile).circuits
        assert active_qubits([circuit]) == set(prepared.places[tile])
        values = select_values(call.values, prepared.logical, circuit)
        on_all.append(runner.exact_probabilities(circuit, values))
    for row, own in enumerate([0, 0, 1, 1, 2]):
        for tile in range(3):
            wanted = on_all[tile][row]
            gap = np.abs(seen.raw[0][row] - wanted) / np.sqrt(wanted * (1 - wanted) / shots)
            assert (gap.max() < 5) == (tile == own)
    assert len(result.outputs) == ROWS


def test_the_erased_output_of_each_row_is_that_of_its_tile():
    _, prepared, seen, _ = _answered(_call(), tiles=3)
    [erased] = seen.prepared.erased
    assert erased.shape == (ROWS, 8)
    for row, tile in enumerate([0, 0, 1, 1, 2]):
        np.testing.assert_array_equal(erased[row], prepared.on_tile(tile).erased[0])
    assert np.abs(erased[0] - erased[-1]).max() > 1e-4


def test_m3_calibrates_all_tiles_and_corrects_each_by_its_own_qubits():
    call = _call(shots=4000)
    target, prepared, seen, _ = _answered(
        call, tiles=4, mitigation="m3", shots=4000, calibration_shots=4000
    )
    qubits = [q for place in prepared.places for q in place]
    assert sorted(target.calibration.qubits) == sorted(qubits)
    assert len(qubits) == 12
    # Four circuits calibrate three qubits, beside each other on all tiles: 4 x 4 of them ran.
    assert target.calibration.shots == 4 * 4 * 4000
    exact = seen.prepared.reading.exact(call, qdm_program(call))[0]
    raw = np.abs(seen.raw[0] - exact).sum(axis=1) / 2
    mended = np.abs(seen.used[0] - exact).sum(axis=1) / 2
    assert mended.mean() < raw.mean()


def qdm_program(call):
    from qdm_qiskit.engine import compile_circuit

    return compile_circuit(call.spec.circuit, call.spec.inputs, call.spec.weights)


@pytest.mark.parametrize("mitigation", ["none", pytest.param("m3", marks=pytest.mark.slow)])
def test_expectation_values_come_from_all_tiles_with_their_errors(mitigation):
    observables = (SparsePauliOp(["ZZI", "IXI"], [0.5, 1.0]), SparsePauliOp("IIZ"))
    call = _call(ExpectationReadout(observables=observables))
    _, prepared, _, tiled = _answered(
        call, tiles=2, mitigation=mitigation, calibration_shots=20_000
    )
    _, _, _, alone = _answered(call, mitigation=mitigation, calibration_shots=20_000)
    assert len(prepared.tiling) == 2
    assert len(prepared.on_tile(0).circuits) == 2
    assert tiled.outputs.shape == tiled.standard_errors.shape == (ROWS, 2)
    # The places differ by a few per cent of noise; the values are those of the same circuits.
    assert np.abs(tiled.outputs - alone.outputs).max() < 0.12
    assert (tiled.standard_errors > 0).all()


@pytest.mark.slow
def test_samples_name_their_tiles(make_run, tmp_path):
    run = make_run("eeqdm", image_size=2, depth=1, num_steps=2)
    options = {"num_images": 4, "shots": 200, "layout_trials": 1}
    found = qdm.sample(run, "noisy:fake_torino", tiles="auto", out=tmp_path / "s", **options)
    tiles = found.manifest["device"]["tiles"]
    assert len(tiles["tiles"]) == 4  # there are more, but no more images
    worst, best = tiles["tiles"][-1]["expected_success"], tiles["tiles"][0]["expected_success"]
    assert (
        found.manifest["device"]["circuit"]["expected_success"]
        <= worst / tiles["tiles"][-1]["idle_success"] + 1e-12
    )
    assert tiles["floor"] <= worst <= best
    qubits = [q for each in tiles["tiles"] for q in each["qubits"]]
    assert len(qubits) == len(set(qubits))
    assert found.images.shape == (4, 1, 2, 2)
    again = qdm.sample(run, "noisy:fake_torino", tiles="auto", **options)
    np.testing.assert_array_equal(again.images, found.images)
    plain = qdm.sample(run, "noisy:fake_torino", **options)
    assert "tiles" not in plain.manifest["device"]


@pytest.mark.slow
def test_local_mode_has_tiles_too(make_run):
    run = make_run("qddm", image_size=2, depth=1, num_steps=2)
    options = {"num_images": 2, "shots": 100, "layout_trials": 1}
    found = qdm.sample(run, "local:fake_torino", tiles=2, **options)
    assert len(found.manifest["device"]["tiles"]["tiles"]) == 2


def test_each_circuit_of_a_model_of_several_calls_has_its_own_tiles(tmp_path):
    run = load_run(write_reading_run(tmp_path / "readings", num_steps=2))
    options = {"num_images": 3, "shots": 50, "layout_trials": 1, "calibration_shots": 2000}
    found = qdm.sample(run, "noisy:fake_torino", tiles=3, mitigation="m3", **options)
    calls = found.manifest["device"]["calls"]
    assert [each["name"] for each in calls] == ["first", "second"]
    used = set()
    for each in calls:
        assert each["circuits"] > 1
        qubits = [q for tile in each["tiles"]["tiles"] for q in tile["qubits"]]
        assert len(qubits) == len(set(qubits)) == 6
        used.update(qubits)
    assert set(found.manifest["device"]["calibration"]["qubits"]) == used
    assert [line.split()[:2] for line in tile_lines(found.manifest)] == [
        ["first", "3"],
        ["second", "3"],
    ]


@pytest.mark.parametrize("target", ["aer", "engine"])
def test_targets_without_qubits_have_no_tiles(target):
    with pytest.raises(InvalidOption, match="no qubits to lay tiles on"):
        SamplingConfig(target=target, shots=10, tiles="auto")


def test_a_buffer_needs_tiles_and_tiles_need_a_choice():
    with pytest.raises(InvalidOption, match="tile_buffer belongs to tiles"):
        SamplingConfig(tile_buffer=True)
    with pytest.raises(InvalidOption, match="tiles is 'auto', a number"):
        SamplingConfig(target="noisy:fake_torino", shots=10, tiles="several")


def test_a_chip_without_a_good_place_is_refused_before_any_shot(make_run):
    run = make_run("eeqdm", image_size=2, depth=1, num_steps=2)
    with pytest.raises(TargetUnavailable, match="no place for circuit"):
        qdm.sample(run, "noisy:fake_torino", tiles=">=0.999", num_images=1, shots=10)
