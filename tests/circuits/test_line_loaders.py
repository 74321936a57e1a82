"""Loaders along a line: the circuit's state is the fit's own, and no vector depends on another."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Statevector
from sklearn.datasets import load_digits

from qdm_qiskit.circuits import make_loader
from qdm_qiskit.circuits.line_circuits import line_order, line_pairs, line_states, on_line
from qdm_qiskit.circuits.line_loaders import BrickLoader, StaircaseLoader
from qdm_qiskit.circuits.loaders import Loading, loader_name
from qdm_qiskit.errors import InvalidData, InvalidOption, InvalidTemplate

KINDS = {"bricks": BrickLoader, "staircase": StaircaseLoader}


def digits(count: int) -> np.ndarray:
    images = load_digits().images[:count].reshape(count, -1)
    return images / np.linalg.norm(images, axis=1, keepdims=True)


@st.composite
def tasks(draw, most: int = 6):
    """A loader and vectors for it: dense, sparse, basis states, equal amplitudes, real or complex."""
    width = draw(st.integers(1, most))
    name = f"{draw(st.sampled_from(sorted(KINDS)))}:{draw(st.integers(1, 4))}"
    phases = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    batch = draw(st.integers(1, 4))
    data = rng.normal(size=(batch, 2**width))
    kind = draw(st.sampled_from(["dense", "sparse", "basis", "flat", "tiny"]))
    if kind == "sparse":
        data *= rng.random(data.shape) < 0.3
        data[:, 0] += 1e-3
    elif kind == "basis":
        data = np.eye(2**width)[rng.integers(2**width, size=batch)]
    elif kind == "flat":
        data = np.ones_like(data)
    elif kind == "tiny":
        data = data * 1e-6
        data[:, -1] = 1
    if phases:
        data = data * np.exp(2j * np.pi * rng.random(data.shape))
    return make_loader(name, width, phases=phases), data / np.linalg.norm(
        data, axis=1, keepdims=True
    )


@settings(max_examples=25, deadline=None)
@given(tasks())
def test_the_circuit_loads_what_is_recorded(task):
    loader, data = task
    found = Loading(loader, loader.num_qubits).loaded(data)
    circuit = loader.circuit()
    assert [each.name for each in circuit.parameters] == [
        f"x_{k:04d}" for k in range(circuit.num_parameters)
    ]
    for vector, angles, fidelity in zip(data, found.angles, found.fidelities, strict=True):
        state = Statevector(circuit.assign_parameters(angles)).data
        assert abs(np.vdot(vector, state)) ** 2 == pytest.approx(fidelity, abs=1e-12)


@settings(max_examples=8, deadline=None)
@given(tasks(most=3))
def test_a_row_is_its_own_vectors_alone(task):
    loader, data = task
    whole = loader.angles(data)
    for row in range(len(data)):
        assert np.array_equal(loader.angles(data[row : row + 1])[0], whole[row])
    assert np.array_equal(loader.angles(data[::-1]), whole[::-1])
    assert np.array_equal(loader.angles(data), whole)


@pytest.mark.parametrize("phases", [False, True])
@pytest.mark.parametrize(
    ("name", "qubits"),
    # Angles as many as a state has, or more: the fit has to find every state.
    [("staircase:1", 1), ("staircase:1", 2), ("staircase:2", 3), ("bricks:5", 3), ("bricks:9", 4)],
)
def test_enough_gates_load_anything(name, qubits, phases):
    rng = np.random.default_rng(11)
    data = rng.normal(size=(20, 2**qubits))
    if phases:
        data = data + 1j * rng.normal(size=(20, 2**qubits))
    data /= np.linalg.norm(data, axis=1, keepdims=True)
    found = Loading(make_loader(name, qubits, phases=phases), qubits).loaded(data)
    assert found.fidelities.min() > 0.99


def test_one_layer_of_a_staircase_is_any_matrix_product_state():
    # 24 qubits' worth of sweeps is not needed: a state that one layer makes is found by one layer.
    loader = StaircaseLoader(7, "1")
    made = np.random.default_rng(2).normal(size=(12, loader.circuit().num_parameters))
    states = line_states(made, 7, loader.pairs, phases=False)
    order = np.argsort(on_line(np.arange(2**7)[None], 7)[0])
    found = loader.fidelities(states[:, order], loader.angles(states[:, order]))
    assert np.median(found) > 0.999
    assert found.min() > 0.95


@pytest.mark.parametrize(
    ("name", "gates", "least"),
    # Mean fidelities that a throw-away script reached by 500 steps of Adam.
    [("bricks:6", 15, 0.958), ("bricks:7", 18, 0.974), ("bricks:8", 20, 0.981)],
)
def test_digits_load_as_well_as_ever(name, gates, least):
    data = digits(100)
    loader = make_loader(name, 6)
    counted = loader.circuit().count_ops()
    assert counted["cz"] == gates
    assert set(counted) == {"ry", "cz"}
    found = loader.fidelities(data, loader.angles(data))
    assert found.mean() >= least


def test_more_layers_load_better():
    data = digits(40)
    means = []
    for layers in (1, 2, 3, 4):
        loader = StaircaseLoader(6, str(layers))
        assert len(loader.pairs) == 10 * layers - 1
        means.append(loader.fidelities(data, loader.angles(data)).mean())
    assert means == sorted(means)
    assert means[-1] > 0.99


def test_the_order_on_the_line_helps_images():
    """Pixels in the order of rows need more gates than those with coarse bits in the middle."""
    data = digits(60)
    loader = StaircaseLoader(6, "1")
    good = loader.fidelities(data, loader.angles(data)).mean()
    shuffled = data.reshape(-1, 2, 2, 2, 2, 2, 2).transpose(0, 1, 4, 2, 5, 3, 6).reshape(60, -1)
    assert good > loader.fidelities(shuffled, loader.angles(shuffled)).mean() + 0.01


def test_neighbours_on_the_line_are_coupled_and_no_others():
    for name in ("bricks:3", "staircase:2"):
        circuit = make_loader(name, 7).circuit()
        line = line_order(7)
        neighbours = {frozenset(pair) for pair in pairwise(line)}
        coupled = {
            frozenset(circuit.find_bit(q).index for q in each.qubits)
            for each in circuit.data
            if len(each.qubits) == 2
        }
        assert coupled == neighbours
    assert sorted(line_order(7)) == list(range(7))


def test_a_staircase_is_half_as_deep_as_from_one_end():
    def depth(circuit):
        return circuit.depth(lambda each: each.operation.num_qubits == 2)

    # From one end each of the 21 CZ waits for the last one.
    assert depth(StaircaseLoader(12, "1").circuit()) == 11
    assert line_pairs("bricks", 12, 9).count(0) == 5


def test_twelve_qubits_are_filled():
    rng = np.random.default_rng(0)
    data = np.abs(rng.normal(size=(1, 2**12)))
    found = Loading(make_loader("staircase:1", 12), 12).loaded(data)
    assert found.fidelities[0] > 0.6  # its mean alone has 2 / pi
    with pytest.raises(InvalidTemplate, match="fills 1 to 12 qubits, got 13; take 'exact'"):
        make_loader("staircase:1", 13)


@pytest.mark.parametrize(
    "argument", ["", "0", "-1", "2.5", "x", "65", "٣", "1,2", "1,0", "1,-0.1", "1,nan", "1,0.1,x"]
)
def test_what_follows_the_colon_is_checked(argument):
    for kind in KINDS:
        with pytest.raises(InvalidOption, match=f"'{kind}"):
            make_loader(f"{kind}:{argument}", 3)


@pytest.mark.parametrize(
    "name", ["bricks:3", "staircase:2,0.25", "staircase:12,0.001,exact", "bricks:1,1,exact"]
)
def test_a_loader_knows_its_name(name):
    assert loader_name(make_loader(name, 4)) == name


def test_a_bound_is_kept():
    data = digits(20)
    loading = Loading(make_loader("bricks:2,0.05", 6), 6)
    found = loading.loaded(data)
    assert np.array_equal(found.missed, 1 - found.fidelities > 0.05 + 1e-9)
    assert found.missed.any()
    row = int(np.argmax(found.missed))
    with pytest.raises(InvalidData, match=rf"misses vector {row} of 20 by .*'bricks:2,0.05,exact'"):
        loading.angles(data)
    kept = data[~found.missed]
    assert Loading(make_loader("bricks:2", 6), 6).angles(data).shape == (20, 6 + 2 * 5)
    if len(kept):
        loading.angles(kept)


def test_complex_vectors_need_phases():
    data = np.array([[1, 1j, 0, 0]])
    with pytest.raises(InvalidData, match="phases=True"):
        Loading(make_loader("bricks:2", 2), 2).angles(data)
    loading = Loading(make_loader("bricks:2", 2, phases=True), 2)
    assert loading.loaded(data).fidelities[0] == pytest.approx(1, abs=1e-6)
