"""Loaders by name and as objects: what they load, and what is refused of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import Statevector

import qdm_qiskit as qdm
from qdm_qiskit.circuits import (
    CircuitSpec,
    ExactLoader,
    amplitude_angles,
    amplitude_loader,
    make_loader,
)
from qdm_qiskit.circuits.loaders import LOADERS, Loading
from qdm_qiskit.doors import Origin
from qdm_qiskit.errors import (
    InvalidArgument,
    InvalidData,
    InvalidExtension,
    InvalidOption,
    InvalidTemplate,
    UnknownName,
)
from qdm_qiskit.models import (
    EEQDM,
    AmplitudeDenoiserConfig,
    Denoiser,
    QDense,
    QDenseConfig,
    build_model,
    resolve,
)
from qdm_qiskit.sampling import unrolled_circuit

IMAGES = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(5)).double() + 0.05


class Tree:
    """Exact, in the other order of parameters: b_0 is the last angle of amplitude_loader."""

    error_bound = 0.0

    def __init__(self, num_qubits: int) -> None:
        self.num_qubits = num_qubits

    def circuit(self) -> QuantumCircuit:
        exact = amplitude_loader(self.num_qubits)
        count = exact.num_parameters
        names = [Parameter(f"x_{count - 1 - k:04d}") for k in range(count)]
        return exact.assign_parameters(dict(zip(exact.parameters, names, strict=True)))

    def angles(self, data: np.ndarray) -> np.ndarray:
        return amplitude_angles(data, self.num_qubits)[:, ::-1]


def wrong(**changes: object) -> Tree:
    return type("Wrong", (Tree,), changes)(2)


def spec(loader, **changes) -> CircuitSpec:
    circuit = efficient_su2(3, reps=1, parameter_prefix="theta")
    roles = {"weights": ["theta"], "loads": "amplitudes", "data_qubits": [2, 0], "readout": [0, 1]}
    return CircuitSpec.from_circuit(circuit, **{**roles, "loader": loader, **changes})


def states(made: CircuitSpec, vectors: np.ndarray) -> np.ndarray:
    """What the full circuit makes of vectors, with all weights 0.3."""
    circuit = made.full_circuit(measure=False)
    values = made.input_values(vectors)
    bound = circuit.assign_parameters(dict.fromkeys(made.weights, 0.3))
    return np.array([Statevector(bound.assign_parameters(row)).data for row in values])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 1e-3), min_size=4, max_size=4))
def test_an_exact_loader_of_ones_own_prepares_the_same_states(vector):
    vectors = np.array([vector])
    found, expected = states(spec(Tree(2)), vectors), states(spec("exact"), vectors)
    assert abs(np.vdot(found[0], expected[0])) == pytest.approx(1, abs=1e-12)


def test_the_default_is_the_built_in_one_through_the_same_door():
    assert LOADERS.get("exact") is ExactLoader
    assert make_loader("exact", 3) == ExactLoader(3)
    plain, named = spec("exact"), spec(ExactLoader(2))
    one, other = plain.full_circuit(), named.full_circuit()
    assert [p.name for p in one.parameters] == [p.name for p in other.parameters]
    angles = np.linspace(0, 1, one.num_parameters)
    assert one.assign_parameters(angles) == other.assign_parameters(angles)
    assert np.array_equal(plain.input_values(np.ones((1, 4))), named.input_values(np.ones((1, 4))))
    assert plain.num_loader_inputs == 3


@pytest.mark.parametrize("model", [EEQDM(AmplitudeDenoiserConfig(image_size=2, depth=1)),
                                   QDense(QDenseConfig(image_size=2, depth=1))])  # fmt: skip
def test_a_loader_in_front_of_a_built_in_model(model):
    """The model, run as circuits behind another loader, predicts what the engine computes."""
    model = model.double()
    other = model.with_loader(Tree(2))
    circuit = unrolled_circuit(other).remove_final_measurements(inplace=False)
    values = other.circuit_values(*other.encode(IMAGES, None))
    readout = other.spec.readout
    joint = np.array(
        [Statevector(circuit.assign_parameters(row)).probabilities() for row in values]
    )
    outputs = joint[:, readout.selection(other.spec.num_qubits)].sum(-1)
    expected = model(IMAGES, torch.ones(3)).detach().numpy()
    np.testing.assert_allclose(other.decode(torch.from_numpy(outputs)), expected, atol=1e-12)
    assert other.config.loader == "unnamed:tests.extending.test_loader.Tree"
    assert model.config.loader == "exact"  # with_loader gives a copy


def test_a_plan_of_a_loader_without_a_name_is_refused(tmp_path):
    """A plan is sent in another process, which cannot make the object; a named loader it can."""
    model = EEQDM(AmplitudeDenoiserConfig(image_size=2, depth=1)).with_loader(Tree(2))
    small = {"num_steps": 2, "train_count": 8, "epochs": 1, "baseline": False}
    run = qdm.train(model, tmp_path / "run", **small).run
    what = {"target": "aer", "num_images": 1, "shots": 20, "root": tmp_path / "runs"}
    line = r"Loader tests\.extending\.test_loader\.Tree was an object without a name; .*'exact'"
    for loader in (None, f"unnamed:{Tree.__module__}.Tree"):
        with pytest.raises(InvalidOption, match=line) as caught:
            qdm.plan(run, **what, **({} if loader is None else {"loader": loader}))
        assert "\n" not in str(caught.value)
    assert not [*(tmp_path / "runs").glob("*/plan.json")]
    plan = qdm.plan(run, **what, loader="exact")
    assert qdm.submit(plan, yes=True).replay().equal


def test_a_named_loader_takes_what_follows_its_colon(theirs):
    assert LOADERS.origin("rounded") == Origin("theirs", "1.5", "theirs:Rounded")
    assert make_loader("rounded", 2).decimals == 1
    assert make_loader("rounded:3", 2).decimals == 3
    choice = resolve("eeqdm", {"image_size": 2, "depth": 1, "loader": "rounded:2"})
    model = build_model(choice, generator=torch.Generator().manual_seed(0))
    values = model.circuit_values(*model.encode(IMAGES, None))
    exact = model.with_loader("exact").circuit_values(*model.encode(IMAGES, None))
    np.testing.assert_array_equal(values, exact.round(2))
    assert not np.array_equal(values, exact)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=8, max_size=8).filter(lambda each: max(each) > 1e-3))
def test_the_bound_of_a_rounded_loader_holds(vector):
    # What CODE's Rounded says, on its own: the promise is checked by `Loading.angles`.
    class Rounded(Tree):
        error_bound = (7 * 0.1 / 4) ** 2

        def angles(self, data):
            return super().angles(data).round(1)

    Loading(Rounded(3), 3).angles(np.array([vector]))


@pytest.mark.parametrize(
    ("loader", "error", "message"),
    [
        (Tree, InvalidArgument, "is an object, got the class Tree itself"),
        (3, InvalidArgument, r"has a method circuit\(\), and int has none"),
        (wrong(error_bound=None), InvalidArgument, "a number `error_bound`, and Wrong has None"),
        (wrong(error_bound=1.5), InvalidArgument, r"lies in \[0, 1\], and Wrong has 1.5"),
        (wrong(error_bound=float("nan")), InvalidArgument, r"lies in \[0, 1\]"),
        (Tree(1), InvalidTemplate, "Tree fills 1 qubits, but 2 hold the data"),
        (ExactLoader(3), InvalidTemplate, "fills 3 qubits, but 2 hold the data"),
        (
            wrong(circuit=lambda self: 7),
            InvalidArgument,
            r"`loader.circuit\(\)` is a QuantumCircuit",
        ),
        (wrong(circuit=lambda self: QuantumCircuit(2, 1)), InvalidTemplate, "has classical bits"),
        (wrong(circuit=lambda self: 1 / 0), InvalidData, "Wrong.* failed: ZeroDivisionError"),
        (
            "nope",
            UnknownName,
            "no loader 'nope'; there are: amortised, auto, bricks, exact, staircase",
        ),
        ("exact:2", InvalidOption, "'exact' takes no argument, got 'exact:2'; leave ':2' out"),
    ],
)
def test_what_is_no_loader_is_refused_when_the_spec_is_made(loader, error, message):
    with pytest.raises(error, match=message) as caught:
        spec(loader)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"angles": lambda self, data: np.zeros((1, 3))}, r"shape \(2, 3\).*got \(1, 3\)"),
        ({"angles": lambda self, data: np.zeros((2, 4))}, r"shape \(2, 3\).*got \(2, 4\)"),
        ({"angles": lambda self, data: None}, r"real angles of shape \(2, 3\)"),
        ({"angles": lambda self, data: np.zeros((2, 3)) * 1j}, "complex128"),
        (
            {"angles": lambda self, data: np.full((2, 3), np.nan)},
            "NaN or infinity .* vector 0 of 2",
        ),
        ({"angles": lambda self, data: data[:, 7]}, "failed: IndexError"),
        ({"angles": lambda self, data: np.zeros((2, 3))}, "misses vector 1 of 2 by 0.75"),
        ({"angles": lambda self, data: np.zeros((2, 3)), "error_bound": 0.7}, "at most 0.7, but"),
    ],
)
def test_what_a_loader_gives_is_checked_for_every_vector(changes, message):
    vectors = np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]])
    with pytest.raises(InvalidData, match=message) as caught:
        spec(wrong(**changes)).input_values(vectors)
    assert "\n" not in str(caught.value)


def test_a_miss_within_its_bound_is_taken():
    made = spec(wrong(angles=lambda self, data: np.zeros((1, 3)), error_bound=0.75))
    assert np.array_equal(made.input_values(np.full((1, 4), 0.5)), np.zeros((1, 3)))


def test_vectors_reach_a_loader_with_norm_one():
    seen = []

    def angles(self, data):
        seen.append(data.copy())
        data[:] = 0  # a loader's own copy
        return amplitude_angles(seen[-1], 2)[:, ::-1]

    huge = np.array([[3e200, 4e200, 0, 0], [0, -1e-200, 0, 0]])
    spec(wrong(angles=angles)).input_values(huge)
    np.testing.assert_allclose(seen[0], [[0.6, 0.8, 0, 0], [0, -1, 0, 0]])
    assert huge[0, 0] == 3e200


@pytest.mark.parametrize(
    "changes",
    [{"loads": "angles", "inputs": ["theta"], "weights": [], "data_qubits": None}],
)
def test_a_circuit_of_angles_has_no_loader(changes):
    with pytest.raises(InvalidTemplate, match="takes angles; leave loader out"):
        spec(Tree(2), **changes)


def test_complex_amplitudes_need_a_loader_that_takes_them(theirs):
    with pytest.raises(InvalidTemplate, match="takes complex amplitudes; leave loader out"):
        build_model(resolve("q_dense_unitary", {"image_size": 2, "loader": "rounded"}))


def test_an_object_without_a_name_is_asked_for_again():
    model = Denoiser.from_spec(spec(Tree(2)), image_shape=(1, 2, 2))
    assert unrolled_circuit(model).num_parameters == 3
    again = build_model(
        resolve("eeqdm", {"image_size": 2, "loader": model.config.loader}),
    )
    assert again(IMAGES.float(), torch.ones(3)).shape == IMAGES.shape  # the engine needs no loader
    with pytest.raises(InvalidOption, match=r"Tree was an object without a name; give it again"):
        unrolled_circuit(again)
    assert unrolled_circuit(again.with_loader(Tree(2))).num_parameters == 3


@pytest.mark.parametrize(
    ("code", "name", "error", "message"),
    [
        ("make = 3", "bent", InvalidExtension, "'theirs2:make' of package theirs2 is no loader"),
        (
            "def make(n): return n",
            "bent",
            InvalidExtension,
            r"package theirs2 is none: .*circuit\(\)",
        ),
        ("def make(n): return n", "bent:3", InvalidOption, "takes no argument, got 'bent:3'"),
        ("def make(n, depth): return n", "bent", InvalidOption, "needs an argument, got 'bent'"),
        (
            "def make(n, depth='1'): return int(depth)",
            "bent:deep",
            InvalidOption,
            "'bent:deep' cannot be made for 2 qubits: invalid literal",
        ),
    ],
)
def test_what_a_package_brings_for_a_loader_is_checked(package, code, name, error, message):
    package("theirs2", "[qdm_qiskit.loader]\nbent = theirs2:make\n", code + "\n")
    with pytest.raises(error, match=message) as caught:
        make_loader(name, 2)
    assert "\n" not in str(caught.value)


def test_parameters_of_a_loader_keep_the_order_of_a_vector():
    """Eleven elements: turn[10] comes after turn[9], as in circuit.parameters."""

    class Many(Tree):
        def circuit(self):
            exact = amplitude_loader(self.num_qubits)
            turn = ParameterVector("turn", exact.num_parameters)
            return exact.assign_parameters(dict(zip(exact.parameters, turn, strict=True)))

        def angles(self, data):
            return amplitude_angles(data, self.num_qubits)

    Loading(Many(4), 4).angles(np.arange(1.0, 17)[None])
