"""Sources: uniform, of full min-entropy, repeatable, and refused in one line."""

import numpy as np
import pytest
from qiskit.quantum_info import Operator, Statevector

from qdm_qiskit.errors import (
    InvalidArgument,
    InvalidData,
    InvalidExtension,
    InvalidOption,
    MissingData,
    UnknownName,
)
from qdm_qiskit.noise_sources import NoiseSource, find_source
from qdm_qiskit.noise_sources.estimates import most_common_value, uniformity
from qdm_qiskit.noise_sources.source import drawn_bits
from qdm_qiskit.noise_sources.sources import (
    HaarSource,
    HadamardSource,
    MeasuredSource,
    WalkSource,
    haar_circuit,
    hashed_bits,
)

COUNT = 40_000


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def on_a_device():
    return HadamardSource("fake_torino")


@pytest.mark.parametrize(
    "name", ["hadamard", "hadamard:fake_torino", "haar:6", "walk", "walk:12,0.4"]
)
def test_bits_are_uniform_and_of_full_min_entropy(name, on_a_device):
    source = on_a_device if name.endswith("torino") else find_source(name)
    bits = drawn_bits(source, COUNT, rng())
    assert uniformity(bits, 8) > 1e-4
    # The estimate of COUNT / 8 fair bytes is the upper end of an interval, as of any fair bytes.
    theirs = most_common_value(rng(1).integers(0, 256, COUNT // 8))
    assert most_common_value(np.packbits(bits)) > theirs - 0.4
    lags = [np.mean(bits[lag:] == bits[:-lag]) for lag in (1, 2, 8)]
    assert np.abs(np.array(lags) - 0.5).max() < 5 * 0.5 / np.sqrt(COUNT)
    assert (bits == drawn_bits(source, COUNT, rng())).all()
    assert (bits != drawn_bits(source, COUNT, rng(1))).any()


def test_a_devices_coins_are_biased_before_the_rule(on_a_device):
    assert np.abs(on_a_device.chances - 0.5).max() > 0.002
    record = on_a_device.record()
    assert record["device"] == "fake_torino"
    assert record["simulated"]


def test_places_of_a_walk_are_far_from_uniform_before_the_hash():
    found = WalkSource().distribution
    assert -np.log2(found.max()) < 3
    assert found[::2].sum() == pytest.approx(0)  # odd places only after nine steps


def test_haar_gates_are_unitary_and_outcomes_are_porter_thomas():
    circuit = haar_circuit(5, 5, rng())
    for item in circuit.data:
        assert Operator(item.operation).is_unitary()
    # The mean collision chance of Haar-random states is 2 / (d + 1).
    found = [
        (Statevector(haar_circuit(4, 8, rng(seed))).probabilities() ** 2).sum()
        for seed in range(200)
    ]
    assert np.mean(found) == pytest.approx(2 / 17, abs=5 * np.std(found) / np.sqrt(200))


def test_measured_bits_come_from_a_file_once(tmp_path):
    chances = np.array([0.3, 0.5, 0.6])
    raw = (rng().random((30_000, 3)) < chances).astype(np.uint8)
    path = tmp_path / "bits.npz"
    np.savez(path, bits=raw)
    source = find_source(f"measured:{path}")
    rate = (chances * (1 - chances)).sum() / 3
    assert source.left / raw.size == pytest.approx(rate, rel=0.05)
    first, second = drawn_bits(source, 9000, rng()), drawn_bits(source, 9000, rng())
    assert (first != second).any()
    assert uniformity(np.concatenate([first, second]), 6) > 1e-4
    assert not source.simulated
    with pytest.raises(InvalidData, match="measure more shots"):
        source.bits(source.left + 1, rng())


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"other": np.zeros((2, 2), dtype=np.uint8)}, "holds no array 'bits'"),
        ({"bits": np.zeros(4, dtype=np.uint8)}, "shape"),
        ({"bits": np.zeros((2, 2))}, "float64"),
        ({"bits": np.full((2, 2), 2, dtype=np.uint8)}, "0 or 1, got 2"),
    ],
)
def test_files_without_bits_are_refused(tmp_path, arrays, words):
    path = tmp_path / "bits.npz"
    np.savez(path, **arrays)
    with pytest.raises(InvalidData, match=words) as caught:
        MeasuredSource(path)
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(MissingData, match="no file"):
        find_source(f"measured:{tmp_path / 'none.npz'}")
    (tmp_path / "bad.npz").write_bytes(b"PK")
    with pytest.raises(InvalidData, match="cannot be read"):
        find_source(f"measured:{tmp_path / 'bad.npz'}")


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("dice", UnknownName, "dice"),
        ("hadamard:", InvalidOption, "nothing behind its colon"),
        ("walk:", InvalidOption, "nothing behind its colon"),
        ("haar:1", InvalidOption, "from 2 to 12"),
        ("haar:many", InvalidOption, "from 2 to 12"),
        ("walk:0", InvalidOption, "from 1 to 10000"),
        ("walk:5,2", InvalidOption, "from 0 to 1"),
        ("walk:5,x", InvalidOption, "from 0 to 1"),
        ("hadamard:nowhere", UnknownName, "nowhere"),
        ("measured", InvalidOption, "measured:PATH"),
    ],
)
def test_names_that_are_none_are_refused_in_one_line(text, error, words):
    with pytest.raises(error, match=words) as caught:
        find_source(text)
    assert "\n" not in str(caught.value)


def test_what_holds_no_randomness_is_refused():
    with pytest.raises(InvalidData, match="leaves none"):
        hashed_bits(np.array([0.999, 0.001]), 10, rng(), "a coin")
    stuck = HadamardSource()
    stuck.device, stuck.chances = "stuck", np.ones(8)
    with pytest.raises(InvalidData, match="no randomness"):
        stuck.bits(10, rng())


class Wrong(NoiseSource):
    name, simulated = "wrong", True

    def bits(self, count, rng):
        if count == 1:
            raise RuntimeError("no")
        return np.full(count, 2, dtype=np.uint8)


def test_sources_of_others_are_checked():
    with pytest.raises(InvalidData, match="gives 4 bits as uint8"):
        drawn_bits(Wrong(), 4, rng())
    with pytest.raises(InvalidExtension, match="'wrong' fails: RuntimeError"):
        drawn_bits(Wrong(), 1, rng())
    with pytest.raises(InvalidArgument, match="noise_source"):
        find_source(3)
    assert find_source(found := Wrong()) is found


def test_records_say_what_a_source_is():
    assert HaarSource(6).record()["qubits"] == 6
    assert WalkSource("7,0.2").record() == {
        "name": "walk",
        "simulated": True,
        "steps": 7,
        "decoherence": 0.2,
        "extractor": "toeplitz",
    }
    assert WalkSource("7").circuit.num_qubits == 5
