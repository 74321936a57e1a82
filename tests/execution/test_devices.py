"""Devices of one's own: objects in the place of names, their identity, and packages that bring them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SuperOp, average_gate_fidelity
from qiskit_aer import AerSimulator
from qiskit_aer.noise import (
    NoiseModel,
    ReadoutError,
    amplitude_damping_error,
    coherent_unitary_error,
    depolarizing_error,
    pauli_error,
    thermal_relaxation_error,
)

from qdm_qiskit import doors
from qdm_qiskit.engine.noise import compile_noisy
from qdm_qiskit.errors import (
    InvalidArgument,
    InvalidExtension,
    InvalidOption,
    TargetUnavailable,
    UnknownName,
)
from qdm_qiskit.evaluation.transpile import transpile_report
from qdm_qiskit.execution import devices
from qdm_qiskit.execution.device import Device
from qdm_qiskit.execution.device_noise import gates_of, noise_on
from qdm_qiskit.execution.devices import as_backend, make_device, target_of
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.execution.saved_devices import add_device, remove_device
from qdm_qiskit.execution.snapshots import backend_names, load_backend
from qdm_qiskit.execution.targets import parse_target
from qdm_qiskit.sampling import SamplingConfig
from qdm_qiskit.transpiling.passes import (
    measured_physical_qubits,
    select_values,
    transpile_for,
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("QDM_HOME", str(tmp_path / "home"))


def circuit() -> QuantumCircuit:
    found = QuantumCircuit(3, 3)
    for k in range(3):
        found.ry(Parameter(f"x_{k}"), k)
    for pair in ((0, 1), (1, 2), (0, 2)):
        found.cx(*pair)
    found.measure(range(3), range(3))
    return found


VALUES = np.array([[0.1, 0.7, 2.0], [1.3, -0.4, 0.2]])


def noise() -> NoiseModel:
    """Errors for all qubits and for one, readout that reads 1 for 0 less often than 0 for 1."""
    model = NoiseModel(basis_gates=["rz", "sx", "x", "cz"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 2), ["cz"])
    model.add_all_qubit_quantum_error(thermal_relaxation_error(1e-4, 5e-5, 1e-6), ["sx"])
    model.add_quantum_error(amplitude_damping_error(0.1), ["x"], [1])
    model.add_all_qubit_readout_error([[0.97, 0.03], [0.1, 0.9]])
    return model


def by_aer(isa: QuantumCircuit, values: np.ndarray, model: NoiseModel) -> np.ndarray:
    """Counts of Aer itself with the whole model, as frequencies."""
    simulator = AerSimulator(noise_model=model, method="density_matrix")
    bound = [isa.assign_parameters(dict(zip(isa.parameters, row, strict=True))) for row in values]
    counts = simulator.run(bound, shots=200_000, seed_simulator=5).result().get_counts()
    return np.array([[c.get(f"{k:03b}", 0) / 200_000 for k in range(8)] for c in counts])


def marginal(probabilities: np.ndarray, qubits: tuple[int, ...]) -> np.ndarray:
    """Outcomes of some qubits, the first of them least significant."""
    count = probabilities.shape[1].bit_length() - 1
    tensor = probabilities.reshape(-1, *[2] * count)
    others = tuple(count - q for q in range(count) if q not in qubits)
    wanted = [count - q for q in reversed(qubits)]
    return (
        np.moveaxis(tensor, [*others, *wanted], range(1, count + 1))
        .reshape(len(tensor), 2 ** len(others), -1)
        .sum(axis=1)
    )


def few(model: NoiseModel) -> Device:
    """On three qubits instead of twenty, so that Aer can be asked about all of them."""
    return make_device(model, num_qubits=3)


SOURCES = {
    "a noise model": lambda: (few(noise()), noise()),
    "a simulator": lambda: (make_device(AerSimulator(noise_model=noise()), num_qubits=3), noise()),
    "a backend": lambda: (
        GenericBackendV2(4, seed=3),
        NoiseModel.from_backend(GenericBackendV2(4, seed=3)),
    ),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_an_object_has_the_noise_of_aer_on_every_path(make):
    source, model = make()
    backend, logical = as_backend(source), circuit()
    isa = transpile_for(logical, backend, seed=3)
    values = select_values(VALUES, logical, isa)
    runner = make_runner(source, seed=1)
    exact = runner.exact_probabilities(isa, values)

    def close(found: np.ndarray, shots: int) -> bool:
        return bool(np.all(np.abs(found - exact) < 5 * np.sqrt(exact * (1 - exact) / shots) + 1e-9))

    assert exact.sum() == pytest.approx(2)
    # Aer itself, with the whole model and nothing of this package between.
    assert close(by_aer(isa, values, model), 200_000)
    # Shots, and IBM's local mode.
    assert close(runner.run([(isa, values)], shots=20_000)[0] / 20_000, 20_000)
    local = make_runner(target_of("local", source), seed=1)
    assert close(local.run([(isa, values)], shots=20_000)[0] / 20_000, 20_000)
    # The engine, whose outcomes are those of all qubits.
    program = compile_noisy(isa, backend, list(isa.parameters))
    found = program.probabilities(torch.from_numpy(values), torch.zeros(0, dtype=torch.float64))
    measured = measured_physical_qubits(isa)
    np.testing.assert_allclose(marginal(found.numpy(), measured), exact, atol=1e-12)
    # A report of it.
    report = transpile_report("x", logical, [source], seeds=[3], example_values=VALUES[0])
    assert report.backends[0].backend == backend.name
    assert report.backends[0].verdict.method == "simulated"
    assert 0 < report.backends[0].cost.total.expected_success < 1


def test_a_noise_models_readout_is_taken_as_it_is():
    # 1 for 0 in 3 % and 0 for 1 in 10 %; the mean of both would be 6.5 %.
    device = few(noise())
    prepare = QuantumCircuit(3, 2)
    prepare.measure([0, 1], [0, 1])
    for readout in ("mean", "asymmetric"):
        runner = make_runner(device, seed=1, readout=readout)
        exact = runner.exact_probabilities(prepare, np.zeros((1, 0)))
        np.testing.assert_allclose(exact[0, 0], 0.97**2, atol=1e-12)
        assert runner.metadata["options"]["readout"] == "as in the device's noise model"
    assert device.target["measure"][(0,)].error == pytest.approx(0.065)


def test_errors_of_gates_are_average_gate_infidelities():
    model = NoiseModel(basis_gates=["rz", "sx", "x", "h", "cz"])
    relaxation = thermal_relaxation_error(1e-4, 1.7e-4, 3e-6)
    mixed = depolarizing_error(0.03, 2).compose(relaxation.tensor(relaxation))
    errors = {
        "sx": amplitude_damping_error(0.2),
        "x": coherent_unitary_error(np.diag([1, np.exp(0.4j)])),
        "h": pauli_error([("X", 0.1), ("I", 0.9)]).compose(relaxation),
        "cz": mixed,
    }
    for name, error in errors.items():
        model.add_all_qubit_quantum_error(error, name)
    found = {gate.name: places for gate, places in gates_of(model, 3, None)}
    for name, error in errors.items():
        expected = 1 - average_gate_fidelity(SuperOp(error))
        assert list(found[name].values()) == pytest.approx([expected] * len(found[name]), abs=1e-12)
        assert expected > 1e-3
    assert set(found["rz"].values()) == {0.0}


@pytest.mark.parametrize(
    ("couplers", "options", "pairs"),
    [
        # Errors of two couplers: the device has these, in these directions.
        ([(0, 1), (2, 1)], {}, {(0, 1), (2, 1)}),
        # Errors for all: whatever the map says, or everything.
        (None, {"coupling_map": [(0, 1), (1, 2)]}, {(0, 1), (1, 2)}),
        (None, {"num_qubits": 3}, {(a, b) for a in range(3) for b in range(3) if a != b}),
    ],
)
def test_couplers_are_those_of_the_model_or_of_the_map(couplers, options, pairs):
    model = NoiseModel(basis_gates=["rz", "sx", "x", "cz"])
    error = depolarizing_error(0.02, 2)
    if couplers is None:
        model.add_all_qubit_quantum_error(error, ["cz"])
    for pair in couplers or ():
        model.add_quantum_error(error, ["cz"], pair)
    device = make_device(model, **options)
    assert set(device.target["cz"]) == pairs
    assert device.num_qubits == 3
    assert set(device.coupling_map.get_edges()) == pairs


def test_a_model_for_all_qubits_has_twenty_all_to_all():
    device = make_device(noise())
    assert device.num_qubits == 20
    assert len(device.target["cz"]) == 380
    assert "durations" in device.lacks()[0]
    assert "T1 and T2" in device.lacks()[1]


def test_a_device_without_couplers_runs_in_local_mode():
    model = NoiseModel(basis_gates=["rz", "sx", "x"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["sx", "x"])
    single = QuantumCircuit(1, 1)
    single.x(0)
    single.measure(0, 0)
    device = make_device(model, num_qubits=1)
    isa = transpile_for(single, device, seed=1)
    [counts] = make_runner(target_of("local", device), seed=1).run(
        [(isa, np.zeros((1, 0)))], shots=4000
    )
    assert abs(counts[0, 0] / 4000 - 0.05) < 5 * np.sqrt(0.05 * 0.95 / 4000)


def wide_readout() -> NoiseModel:
    model = NoiseModel()
    model.add_readout_error(ReadoutError(np.eye(4)[[0, 2, 1, 3]]), [0, 1])
    return model


def of_measurements() -> NoiseModel:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), "measure")
    return model


def labelled() -> NoiseModel:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), "my_gate")
    return model


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: make_device(wide_readout()), "readout errors are of single qubits"),
        (lambda: make_device(of_measurements()), r"got errors of \['measure'\]"),
        (lambda: make_device(labelled()), r"got errors of \['my_gate'\]"),
        (lambda: make_device(noise(), num_qubits=1), "num_qubits is 2 to 1000"),
        (lambda: make_device(noise(), coupling_map=[(0, 2000)]), "num_qubits is 2001 to 1000"),
        (lambda: make_device(noise(), name="../x"), "letters, digits"),
        (lambda: make_device(AerSimulator()), "use target 'aer'"),
        (lambda: make_device(GenericBackendV2(3, noise_info=False)), "gives no errors"),
        (lambda: make_device(GenericBackendV2(3, seed=1), num_qubits=2), "are of noise models"),
        (lambda: target_of("ibm", "fake_torino"), "kind is 'noisy' or 'local'"),
    ],
)
def test_what_is_no_device_is_refused_in_one_line(make, says):
    with pytest.raises(InvalidOption, match=says) as told:
        make()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("value", [3, None, GenericBackendV2, QuantumCircuit(1)])
def test_other_objects_are_named(value):
    with pytest.raises(InvalidArgument, match=r"`device` is .* BackendV2"):
        as_backend(value)


# -- identity ---------------------------------------------------------------------------------


def test_equal_contents_have_equal_names_and_others_do_not():
    assert (
        make_device(GenericBackendV2(4, seed=3)).name
        == make_device(GenericBackendV2(4, seed=3)).name
    )
    assert (
        make_device(GenericBackendV2(4, seed=3)).name
        != make_device(GenericBackendV2(4, seed=4)).name
    )
    assert few(noise()).name == few(noise()).name
    other = noise()
    other.add_quantum_error(depolarizing_error(0.01, 1), ["x"], [2])
    assert few(other).digest != few(noise()).digest


def test_a_snapshot_as_an_object_is_the_snapshot():
    backend = load_backend("fake_quito")
    assert as_backend(backend).name == "fake_quito"
    assert SamplingConfig(target=backend, shots=9).target == "noisy:fake_quito"
    backend.target.update_instruction_properties(
        "cx", (0, 1), type(backend.target["cx"][0, 1])(duration=1e-7, error=0.3)
    )
    changed = as_backend(backend)
    assert changed.name.startswith("fake_quito@")
    assert changed.target["cx"][0, 1].error == 0.3


def test_a_later_change_of_the_object_does_not_reach_the_device():
    backend = GenericBackendV2(3, seed=1)
    first = as_backend(backend)
    before = first.target["cx"][0, 1].error
    backend.target.update_instruction_properties(
        "cx", (0, 1), type(backend.target["cx"][0, 1])(duration=1e-7, error=0.3)
    )
    assert first.target["cx"][0, 1].error == before
    assert as_backend(backend).name != first.name


def test_configurations_keep_an_object_as_text():
    config = SamplingConfig(target=few(noise()), shots=9)
    assert config.target == f"noisy:{few(noise()).name}"
    assert parse_target(config.target).backend == few(noise()).name
    assert make_runner(config.target, seed=0).backend.name == few(noise()).name


# -- names ------------------------------------------------------------------------------------


def test_a_saved_device_is_a_name_and_a_near_miss_is_told():
    saved = add_device("mine", few(noise()))
    assert saved.name == f"mine@{few(noise()).digest[:12]}"
    assert parse_target("noisy:mine").backend == "mine"
    assert make_runner("local:mine", seed=0).target == f"local:{saved.name}"
    assert load_backend(saved.name).name == saved.name
    with pytest.raises(UnknownName, match="Did you mean 'mine'"):
        parse_target("noisy:mien")
    assert "mine" not in backend_names()
    remove_device("mine")
    with pytest.raises(UnknownName):
        parse_target("noisy:mine")
    with pytest.raises(TargetUnavailable, match=r"qdm devices add mine PATH"):
        load_backend(saved.name)


def test_another_device_of_the_same_name_is_not_taken_for_it():
    first = add_device("mine", few(noise()))
    add_device("mine", GenericBackendV2(4, seed=3), replace=True)
    with pytest.raises(TargetUnavailable, match="Device 'mine' has changed") as told:
        make_runner(f"noisy:{first.name}", seed=0)
    assert first.name in str(told.value)
    assert "\n" not in str(told.value)


PACKAGE = """
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer.noise import NoiseModel, depolarizing_error
backend = GenericBackendV2(4, seed=3)
def noise():
    model = NoiseModel(basis_gates=["rz", "sx", "x", "cz"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 2), ["cz"])
    return model
def broken():
    raise RuntimeError("no network")
number = 3
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text(PACKAGE)
    info = tmp_path / "theirs-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.5\n")
    names = ("backend", "noise", "broken", "number")
    points = "".join(f"their-{name} = theirs:{name}\n" for name in names)
    (info / "entry_points.txt").write_text(f"[qdm_qiskit.device]\n{points}")
    monkeypatch.syspath_prepend(str(tmp_path))
    doors._outside.cache_clear()
    yield
    sys.modules.pop("theirs", None)
    doors._outside.cache_clear()


@pytest.mark.usefixtures("package")
def test_a_package_brings_devices_by_entry_point():
    assert "their-backend" in devices.device_names()
    assert "theirs" not in sys.modules
    found = make_runner("noisy:their-backend", seed=0).backend
    assert found.name == f"their-backend@{make_device(GenericBackendV2(4, seed=3)).digest[:12]}"
    assert make_runner("local:their-noise", seed=0).backend.num_qubits == 20
    assert devices.device_origin("their-noise").package == "theirs"
    with pytest.raises(InvalidExtension, match=r"theirs:broken.*no network"):
        load_backend("their-broken")
    with pytest.raises(InvalidExtension, match=r"theirs:number.*BackendV2"):
        load_backend("their-number")
    with pytest.raises(InvalidOption, match="name of another device"):
        add_device("their-noise", few(noise()))


def test_snapshots_go_through_the_door():
    assert devices.DEVICES.names() == backend_names()
    origin = devices.DEVICES.origin("fake_torino")
    assert (origin.package, origin.module) == (
        "qdm_qiskit",
        "qiskit_ibm_runtime.fake_provider:FakeTorino",
    )


def test_a_part_of_a_model_has_its_errors_and_no_others():
    part = noise_on(noise(), frozenset({1, 2}))
    assert part.noise_qubits == [1, 2]
    assert noise_on(noise(), frozenset({0})).to_dict()["errors"] != part.to_dict()["errors"]
    assert set(part._local_readout_errors) == {(1,), (2,)}
    assert part._default_readout_error is None
