"""Amortised loaders: near the fit, each row alone, and files that are held to their names."""

from __future__ import annotations

import io
import json
from itertools import pairwise

import numpy as np
import pytest
from qiskit.quantum_info import Statevector
from sklearn.datasets import load_digits

from qdm_qiskit.circuits import make_loader
from qdm_qiskit.circuits.amortised import (
    SCHEMA,
    AmortisedLoader,
    Networks,
    key_of,
    known_networks,
    network_bytes,
    split_name,
    take_networks,
)
from qdm_qiskit.circuits.line_circuits import on_line
from qdm_qiskit.circuits.line_fit import fit_line, states_of
from qdm_qiskit.circuits.line_memory import remembered
from qdm_qiskit.circuits.loaders import Loading, loader_name
from qdm_qiskit.errors import InvalidData, InvalidOption, InvalidTemplate, MissingData

KINDS = [("bricks:4", False), ("staircase:2", False), ("bricks:3", True), ("staircase:2", True)]


def vectors(count: int, *, phases: bool = False, seed: int = 0) -> np.ndarray:
    """Digits of 4 x 4 pixels under some noise, as unit vectors."""
    rng = np.random.default_rng(seed)
    images = load_digits().images[rng.permutation(1797)[:count]]
    small = images.reshape(count, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(count, 16) / 16
    found = small + 0.2 * rng.random((count, 16))
    if phases:
        found = found * np.exp(1j * rng.normal(size=found.shape) / 5)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def content_of(name: str, *, phases: bool = False, count: int = 150) -> bytes:
    loader = make_loader(name, 4, phases=phases)
    kept = remembered(loader, vectors(count, phases=phases))
    about = {"schema": SCHEMA, "loader": name, "pattern": loader.pattern, "layers": loader.layers}
    return network_bytes(Networks(about, {(4, phases): kept}))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loaders")
    take_networks(folder)
    return folder


@pytest.fixture(scope="module")
def keys(place):
    found = {}
    for name, phases in KINDS:
        content = content_of(name, phases=phases)
        found[name, phases] = key_of(content)
        (place / f"{key_of(content)}.npz").write_bytes(content)
    return found


@pytest.mark.parametrize(("name", "phases"), KINDS)
def test_held_out_vectors_load_nearly_as_by_the_fit(keys, name, phases):
    data = vectors(40, phases=phases, seed=1)
    key = keys[name, phases]
    near = Loading(make_loader(f"amortised:{key}", 4, phases=phases), 4)
    fit = Loading(make_loader(name, 4, phases=phases), 4)
    values = np.arange(fit.num_angles) / 7  # the same circuit, other angles
    assert near.circuit.assign_parameters(values) == fit.circuit.assign_parameters(values)
    found, wanted = near.loaded(data), fit.loaded(data)
    assert found.fidelities.mean() > wanted.fidelities.mean() - 0.01
    for vector, angles, told in zip(data[:5], found.angles, found.fidelities, strict=False):
        state = Statevector(near.circuit.assign_parameters(angles)).data
        assert abs(np.vdot(vector, state)) ** 2 == pytest.approx(told, abs=1e-12)
    steps = [
        Loading(make_loader(f"amortised:{key},{k}", 4, phases=phases), 4).loaded(data).fidelities
        for k in (0, 1, 3, 12)
    ]
    assert all(a.mean() < b.mean() for a, b in pairwise(steps))


@pytest.mark.parametrize(("name", "phases"), KINDS)
def test_a_row_is_its_own_vectors_alone(keys, name, phases):
    loader = make_loader(f"amortised:{keys[name, phases]}", 4, phases=phases)
    data = vectors(9, phases=phases, seed=2)
    whole = loader.angles(data)
    for row in (0, 4, 8):
        assert np.array_equal(loader.angles(data[row : row + 1])[0], whole[row])
    assert np.array_equal(loader.angles(data[::-1]), whole[::-1])


def test_a_vector_that_was_kept_is_guessed_as_it_was_fitted(keys):
    data = vectors(150)[:10]
    for name in ("bricks:4", "staircase:2"):
        guess = make_loader(f"amortised:{keys[name, False]},0", 4)
        fit = make_loader(name, 4)
        told, wanted = (each.fidelities(data, each.angles(data)) for each in (guess, fit))
        assert (told > wanted - 1e-4).all()


def test_the_states_of_a_fit_are_those_of_its_angles():
    for phases in (False, True):
        loader = make_loader("staircase:2", 5, phases=phases)
        rng = np.random.default_rng(3)
        data = rng.normal(size=(6, 32)) + 1j * phases * rng.normal(size=(6, 32))
        data = data if phases else data.real
        data = data / np.linalg.norm(data, axis=1, keepdims=True)
        p, q = fit_line(loader.along(data), loader.steps, sweeps=3)
        states = states_of(loader.steps, p, q, 32)
        told = on_line(loader.states(loader.angles_of(p, q)), 5)
        np.testing.assert_allclose(np.abs((states.conj() * told).sum(axis=1)), 1, atol=1e-5)


def test_names_say_network_steps_and_bound(keys):
    key = keys["bricks:4", False]
    for name in (key, f"{key},0", f"{key},9", f"{key},4,0.25", f"{key},2,0.25,exact"):
        made = make_loader(f"amortised:{name}", 4)
        assert loader_name(made) == f"amortised:{name}"
        assert isinstance(made, AmortisedLoader)
    assert loader_name(make_loader(f"amortised:{key},24", 4)) == f"amortised:{key}"
    assert make_loader(f"amortised:{key},2,0.25,exact", 4).fallback == "exact"
    assert make_loader(f"amortised:{key}", 1).angles(np.array([[0.6, 0.8]])).shape == (1, 1)
    assert split_name("amortised:staircase:3,2,0.1") == ("staircase:3", ",2,0.1")
    with pytest.raises(InvalidOption, match="takes the steps of the fit"):
        make_loader(f"amortised:{key},-1", 4)
    with pytest.raises(InvalidOption, match="takes the steps of the fit"):
        make_loader(f"amortised:{key},101", 4)
    with pytest.raises(InvalidOption, match="The bound of loader"):
        make_loader(f"amortised:{key},4,2", 4)
    with pytest.raises(InvalidOption, match="names no network: a run that has one"):
        make_loader("amortised:bricks:4", 4)
    with pytest.raises(InvalidTemplate, match=r"is made for 4 qubits, and 5 qubits are to be"):
        make_loader(f"amortised:{key}", 5)
    with pytest.raises(InvalidTemplate, match="4 qubits of complex vectors are to be"):
        make_loader(f"amortised:{key}", 4, phases=True)
    with pytest.raises(MissingData, match=r"no run that was loaded here has 0000000000000000\.npz"):
        make_loader("amortised:0000000000000000", 4)


def test_the_content_is_the_same_each_time():
    assert content_of("bricks:2", count=5) == content_of("bricks:2", count=5)


def npz(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def about(**changed: object) -> np.ndarray:
    said = {"schema": SCHEMA, "loader": "bricks:2", "pattern": "bricks", "layers": 2, **changed}
    return np.frombuffer(json.dumps(said).encode(), np.uint8)


GOOD = np.zeros((2, 4 + 2 * 3), np.float32)


@pytest.mark.parametrize(
    "content",
    [
        b"no archive",
        npz(real_4=GOOD),
        npz(about=about(schema="qdm-loader/9"), real_4=GOOD),
        npz(about=about(pattern="knots"), real_4=GOOD),
        npz(about=about(layers=0), real_4=GOOD),
        npz(about=about(layers="2"), real_4=GOOD),
        npz(about=about(), real_13=GOOD),
        npz(about=about(), real_4=GOOD.astype(float)),
        npz(about=about(), real_4=GOOD * np.float32(np.nan)),
        npz(about=about(), real_4=GOOD[0]),
        npz(about=about(), real_4=GOOD[:, :3]),
        npz(about=about(), real_4=GOOD[:0]),
        npz(about=np.frombuffer(b"[1, 2]", np.uint8), real_4=GOOD),
        npz(about=np.array([object()], dtype=object), real_4=GOOD),
    ],
)
def test_files_that_are_none_are_refused_in_one_line(place, content):
    key = key_of(content)
    (place / f"{key}.npz").write_bytes(content)
    try:
        with pytest.raises(InvalidData, match=f"{key}.npz cannot be used as a loader") as caught:
            make_loader(f"amortised:{key}", 4)
        assert "\n" not in str(caught.value)
    finally:
        (place / f"{key}.npz").unlink()


def test_a_file_of_another_content_is_refused(tmp_path):
    content = content_of("bricks:2", count=5)
    take_networks(tmp_path)
    (tmp_path / "00112233445566ff.npz").write_bytes(content)
    with pytest.raises(InvalidData, match="is not the loader of its name"):
        make_loader("amortised:00112233445566ff", 4)
    with pytest.raises(InvalidData, match="is not the loader of its name"):
        known_networks(tmp_path)
