"""Free angles and noise models that a QNN's circuit meets on Aer and on snapshots of devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import CPhaseGate, CRXGate, CSwapGate, CU3Gate, CUGate, MCPhaseGate
from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import (
    NoiseModel,
    ReadoutError,
    amplitude_damping_error,
    depolarizing_error,
    pauli_error,
)
from qiskit_aer.primitives import EstimatorV2, SamplerV2

from qdm_qiskit.circuits import (
    CircuitSpec,
    ExpectationReadout,
    ProbabilityReadout,
    eeqdm,
    input_parameters,
    weight_parameters,
)
from qdm_qiskit.circuits.catalog import TEMPLATES
from qdm_qiskit.engine import compile_noisy
from qdm_qiskit.errors import InvalidOption, UnsupportedCircuit
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.layers import QuantumLayer, qnn_executor
from qdm_qiskit.layers.qnn_circuits import prepare

SHOTS = 20_000


def spec_of(circuit: QuantumCircuit, *observables: str) -> CircuitSpec:
    readout = (
        ExpectationReadout(observables=tuple(map(SparsePauliOp, observables)))
        if observables
        else ProbabilityReadout(qubits=tuple(range(circuit.num_qubits)))
    )
    return CircuitSpec(
        name="tested",
        circuit=circuit,
        encoding="angle",
        data_qubits=tuple(range(circuit.num_qubits)),
        readout=readout,
        source="this test",
    )


def controlled(gate: str) -> QuantumCircuit:
    """One controlled gate with a free angle between rotations, on three qubits."""
    circuit = QuantumCircuit(3)
    x, w = input_parameters(3), weight_parameters(6)
    for qubit in range(3):
        circuit.ry(x[qubit], qubit)
        circuit.rx(w[qubit], qubit)
    if gate == "crx":
        circuit.crx(w[3] + x[0], 0, 1)
        circuit.crz(w[4], 1, 2)
        circuit.cry(w[5], 2, 0)
    elif gate == "open":
        circuit.append(CRXGate(w[3], ctrl_state=0), [1, 0])
        circuit.append(CUGate(w[4], w[5], 0.2, 0.7, ctrl_state=0), [0, 2])
    elif gate == "phases":
        circuit.append(MCPhaseGate(w[3], 2), [0, 1, 2])
        circuit.append(CPhaseGate(w[4] * 2, ctrl_state=0), [2, 1])
        circuit.append(CU3Gate(w[5], x[1], 0.3), [1, 0])
    else:
        circuit.append(CSwapGate(ctrl_state=0), [0, 1, 2])
        for k in range(3, 6):
            circuit.cp(w[k], 0, 1)
    for qubit in range(3):
        circuit.rx(0.5 + qubit, qubit)
    return circuit


def pair(spec: CircuitSpec, primitive: object, **options) -> tuple[QuantumLayer, QuantumLayer]:
    engine = QuantumLayer(spec, generator=torch.Generator().manual_seed(3), init_std=1.0)
    other = QuantumLayer(spec, executor=qnn_executor(spec, primitive, **options))
    other.load_state_dict(engine.state_dict())
    return engine, other


def inputs_of(spec: CircuitSpec, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return 3 * torch.rand(batch, len(spec.inputs), generator=generator)


@pytest.mark.parametrize("gate", ["crx", "open", "phases", "cswap"])
@pytest.mark.parametrize("method", ["automatic", "density_matrix"])
def test_free_angles_of_controlled_gates_reach_aers_estimator(gate, method):
    spec = spec_of(controlled(gate), "ZII", "XXI", "IYZ")
    estimator = EstimatorV2(options={"backend_options": {"method": method}})
    exact, other = pair(spec, estimator)
    x = inputs_of(spec)
    with torch.no_grad():
        torch.testing.assert_close(other(inputs=x), exact(inputs=x), rtol=1e-5, atol=1e-5)


def test_gradients_of_such_angles_are_those_of_the_engine():
    spec = spec_of(controlled("crx"), "ZII", "XXI")
    found = []
    for layer in pair(spec, EstimatorV2()):
        x = inputs_of(spec, 1).requires_grad_()
        layer(inputs=x).sum().backward()
        found.append((layer.weights.grad, x.grad))
    for exact, other in zip(*found, strict=True):
        torch.testing.assert_close(other, exact, rtol=1e-4, atol=1e-5)
        assert float(exact.abs().max()) > 0.05


@pytest.mark.parametrize("gate", ["crx", "open", "phases", "cswap"])
def test_free_angles_of_controlled_gates_reach_aers_sampler(gate):
    spec = spec_of(controlled(gate))
    exact, other = pair(spec, SamplerV2(default_shots=SHOTS, seed=5))
    x = inputs_of(spec)
    with torch.no_grad():
        p, found = exact(inputs=x), other(inputs=x)
    sigma = (p * (1 - p) / SHOTS).clamp(min=0).sqrt()
    assert bool(((found - p).abs() <= 5 * sigma + 1 / SHOTS).all())


@pytest.mark.parametrize("name", ["hqconv", "fqconv", "qcnn"])
def test_templates_of_controlled_rotations_agree_with_aer(name):
    template = TEMPLATES[name]
    spec = template.build(**template.options)
    estimating = isinstance(spec.readout, ExpectationReadout)
    primitive = EstimatorV2() if estimating else SamplerV2(default_shots=SHOTS, seed=1)
    exact, other = pair(spec, primitive)
    amplitudes = None
    if spec.encoding == "amplitude":
        amplitudes = torch.rand(2, spec.num_amplitudes, generator=torch.Generator().manual_seed(2))
    x = inputs_of(spec) if spec.inputs else None
    with torch.no_grad():
        p, found = exact(amplitudes, x), other(amplitudes, x)
    bound = 1e-5 if estimating else 5 * 0.5 / np.sqrt(SHOTS)
    assert float((found - p).abs().max()) < bound


# --------------------------------------------------------------------------- noise models


def model(*names: str, basis: list[str] | None = None) -> NoiseModel:
    noise = NoiseModel(basis_gates=basis)
    for name in names:
        size = 2 if name in ("cx", "cz", "crx") else 1
        noise.add_all_qubit_quantum_error(depolarizing_error(0.1 * size, size), [name])
    return noise


def ring() -> CircuitSpec:
    """ry and cx: what no model here knows."""
    circuit = QuantumCircuit(2)
    x, w = input_parameters(2), weight_parameters(2)
    for qubit in range(2):
        circuit.ry(x[qubit], qubit)
    circuit.cx(0, 1)
    for qubit in range(2):
        circuit.ry(w[qubit], qubit)
    return spec_of(circuit, "ZI", "XX")


def noisy_estimator(noise: NoiseModel, kind: str) -> object:
    if kind == "aer":
        return EstimatorV2(options={"backend_options": {"noise_model": noise}})
    if kind == "run option":
        return EstimatorV2(options={"run_options": {"noise_model": noise}})
    return EstimatorV2.from_backend(AerSimulator(noise_model=noise, method="density_matrix"))


def misread(chance: float) -> NoiseModel:
    noise = NoiseModel()
    noise.add_all_qubit_readout_error(ReadoutError([[1 - chance, chance], [chance, 1 - chance]]))
    return noise


def flipped() -> NoiseModel:
    """The same as an error before the measurement."""
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(pauli_error([("X", 0.5), ("I", 0.5)]), "measure")
    return noise


@pytest.mark.parametrize("kind", ["aer", "run option", "backend"])
@pytest.mark.parametrize("noise", [misread(0.5), flipped()])
def test_an_estimator_that_would_show_nothing_of_the_noise_is_refused(kind, noise):
    with pytest.raises(UnsupportedCircuit, match=r"readout alone, .*BackendEstimatorV2"):
        qnn_executor(ring(), noisy_estimator(noise, kind), unknown_gates="noiseless")


def test_the_estimator_that_the_refusal_names_shows_the_readout():
    # Read at random, each of the values is 0 but for its shots.
    simulator = AerSimulator(noise_model=misread(0.5), seed_simulator=1)
    options = {"default_precision": 0.02}
    _, other = pair(ring(), BackendEstimatorV2(backend=simulator, options=options))
    with torch.no_grad():
        assert float(other(inputs=inputs_of(ring())).abs().max()) < 5 * 0.02


def test_a_readout_that_the_estimator_leaves_out_is_said_once():
    noise = model("cz", "sx", "x", basis=["cz", "sx", "x", "rz"])
    noise.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]))
    spec = ring()
    with pytest.warns(UserWarning, match="leaves out those of the readout") as said:
        _, other = pair(spec, noisy_estimator(noise, "aer"))
    assert len(said) == 1
    with torch.no_grad():
        other(inputs=inputs_of(spec))  # another warning would be an error


@pytest.mark.parametrize("kind", ["aer", "run option", "backend"])
@pytest.mark.parametrize("basis", [None, ["cz", "sx", "x", "rz"]])
def test_circuits_are_written_in_the_gates_of_the_noise_model(kind, basis):
    noise, spec = model("cz", "sx", "x", basis=basis), ring()
    method = {"method": "density_matrix"}
    estimator = noisy_estimator(noise, kind)
    estimator._backend.set_options(**method)  # exact: by default each value is a mean of shots
    _, other = pair(spec, estimator)
    ready = prepare(spec.full_circuit(measure=False), spec.readout.observables, estimator, "refuse")
    assert set(ready.circuit.count_ops()) <= {"cz", "sx", "x", "rz"}
    inputs = [p for p in ready.circuit.parameters if p.name.startswith("x_")]
    weights = [p for p in ready.circuit.parameters if p.name.startswith("w_")]
    program = compile_noisy(ready.circuit, noise, inputs, weights, method="density")
    results = []
    for run in (
        lambda x, w: program.expectation(spec.readout.observables, x, w),
        lambda x, w: other.executor(w, None, x),
    ):
        x, w = inputs_of(spec).requires_grad_(), other.weights.detach().clone().requires_grad_()
        value = run(x, w)
        value.sum().backward()
        results.append((value.detach(), x.grad, w.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    exact, _ = pair(spec, estimator)
    with torch.no_grad():
        assert float((exact(inputs=inputs_of(spec)) - results[0][0]).abs().max()) > 0.1


def test_gates_that_no_translation_reaches_are_named_or_allowed():
    spec, noise = ring(), model("cz", basis=["cz", "x"])
    estimator = noisy_estimator(noise, "aer")
    with pytest.raises(UnsupportedCircuit, match="knows cz, id, x and not 'ry', 'cx'") as error:
        qnn_executor(spec, estimator)
    assert "name its device, as in device='fake_torino', or transpile" in str(error.value)
    with pytest.raises(InvalidOption, match="unknown_gates"):
        qnn_executor(spec, estimator, unknown_gates="skip")
    estimator = EstimatorV2(
        options={
            "backend_options": {"method": "density_matrix"},
            "run_options": {"noise_model": noise},
        }
    )
    exact, other = pair(spec, estimator, unknown_gates="noiseless")
    x = inputs_of(spec)
    with torch.no_grad():
        torch.testing.assert_close(other(inputs=x), exact(inputs=x), rtol=1e-5, atol=1e-5)


def test_known_rotations_keep_their_noise():
    """A model that names crx: its error stays where it is known, and is not split up."""
    circuit = QuantumCircuit(2)
    x, w = input_parameters(2), weight_parameters(1)
    circuit.ry(x[0], 0)
    circuit.ry(x[1], 1)
    circuit.crx(w[0], 0, 1)
    spec = spec_of(circuit, "ZZ")
    noise = NoiseModel(basis_gates=["crx", "ry"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.6, 2), ["crx"])
    shots = 4000
    estimator = EstimatorV2(
        options={"run_options": {"noise_model": noise, "shots": shots, "seed_simulator": 3}}
    )
    _, other = pair(spec, estimator)
    program = compile_noisy(circuit, noise, x, w, method="density")
    values = inputs_of(spec)
    with torch.no_grad():
        expected = program.expectation(spec.readout.observables, values, other.weights.detach())
        found = other(inputs=values)
        bare = compile_noisy(circuit, NoiseModel(), x, w).expectation(
            spec.readout.observables, values, other.weights.detach()
        )
    # A mean of shots in [-1, 1]: sigma is 1 / sqrt(shots) at most.
    assert float((found - expected).abs().max()) < 5 / np.sqrt(shots)
    assert float((bare - expected).abs().max()) > 10 / np.sqrt(shots)


def test_devices_get_transpiled_circuits():
    backend = load_backend("fake_lagos")
    simulator = AerSimulator.from_backend(backend)
    simulator.set_options(noise_model=None)
    spec = ring()
    found = []
    for layer in pair(spec, EstimatorV2.from_backend(simulator)):
        x = inputs_of(spec).requires_grad_()
        value = layer(inputs=x)
        value.sum().backward()
        found.append((value.detach(), layer.weights.grad, x.grad))
    for exact, other in zip(*found, strict=True):
        torch.testing.assert_close(other, exact, rtol=1e-4, atol=1e-5)
    ready = prepare(
        spec.full_circuit(measure=False),
        spec.readout.observables,
        BackendEstimatorV2(backend=backend),
        "refuse",
    )
    for item in ready.circuit.data:
        where = tuple(ready.circuit.find_bit(qubit).index for qubit in item.qubits)
        assert backend.target.instruction_supported(item.operation.name, where)
    assert all(each.num_qubits == backend.num_qubits for each in ready.observables)


@pytest.mark.slow
@pytest.mark.parametrize("noisy", [False, True])
def test_samplers_on_devices_read_the_layers_qubits(noisy):
    spec, backend = eeqdm(2, 2), load_backend("fake_lagos")
    simulator = AerSimulator.from_backend(backend)
    simulator.set_options(noise_model=None)
    options = {"default_shots": SHOTS, "seed_simulator": 2}
    sampler = (
        BackendSamplerV2(backend=backend, options=options)
        if noisy
        else SamplerV2.from_backend(simulator, default_shots=SHOTS, seed=2)
    )
    exact, other = pair(spec, sampler)
    amplitudes = torch.rand(1, 4, generator=torch.Generator().manual_seed(4))
    p, found = exact(amplitudes), other(amplitudes)
    off = float((found - p).detach().abs().max())
    if noisy:  # far from a wrong qubit, beyond shot noise
        assert 5 * 0.5 / np.sqrt(SHOTS) < off < 0.1
        return
    assert off < 5 * 0.5 / np.sqrt(SHOTS)
    for value in (p, found):
        value[0, 1].backward()
    assert exact.weights.grad is not None
    # Each shift rule is half the difference of two frequencies.
    torch.testing.assert_close(
        other.weights.grad, exact.weights.grad, rtol=0, atol=5 * 0.5 / np.sqrt(SHOTS)
    )


def test_a_device_under_a_model_that_does_not_know_its_gates_is_refused():
    simulator = AerSimulator.from_backend(load_backend("fake_lagos"))
    simulator.set_options(noise_model=model("cz", "sx", basis=["cz", "sx", "rz", "x"]))
    spec = ring()
    _, other = pair(spec, EstimatorV2.from_backend(simulator))
    with pytest.raises(UnsupportedCircuit, match="not 'cx'"):
        other(inputs=inputs_of(spec))


# --------------------------------------------------------- gates without a shift rule, with noise


def relaxing(*names: str) -> NoiseModel:
    """Errors that do not commute with rotations, on gates of one and two qubits."""
    noise = NoiseModel(basis_gates=list(names))
    for name in names:
        single = amplitude_damping_error(0.1)
        error = single if name in ("u", "u3", "ry", "x") else single.tensor(single)
        noise.add_all_qubit_quantum_error(error, [name])
    return noise


def outputs_and_gradients(run, x, w):
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    value = run(x, w)
    (value * torch.arange(1.0, 1 + value.numel()).reshape(value.shape)).sum().backward()
    return value.detach(), x.grad, w.grad


@pytest.mark.parametrize("names", [("u", "cx"), ("u3", "cx"), ("u3", "cz")])
def test_gradients_of_gates_without_a_shift_rule_have_the_noise_of_the_outputs(names):
    # Parameter shift would write u in rz and rx, which the model does not know.
    spec, noise = ring(), relaxing(*names)
    method = {"method": "density_matrix", "noise_model": noise}
    executor = qnn_executor(spec, EstimatorV2(options={"backend_options": method}))
    logical = spec.full_circuit(measure=False)
    known = transpile(logical, basis_gates=list(names), optimization_level=0)
    inputs = [p for p in known.parameters if p.name.startswith("x_")]
    weights = [p for p in known.parameters if p.name.startswith("w_")]
    program = compile_noisy(known, noise, inputs, weights, method="density")
    observables = spec.readout.observables
    x, w = inputs_of(spec), torch.tensor([0.4, 1.3])
    ours = outputs_and_gradients(lambda x, w: program.expectation(observables, x, w), x, w)
    theirs = outputs_and_gradients(lambda x, w: executor(w, None, x), x, w)
    for expected, found in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "names",
    [
        ("crx", "ry", "x"),
        pytest.param(("cry", "u", "ry", "cx"), marks=pytest.mark.slow),
        pytest.param(("cu3", "ry"), marks=pytest.mark.slow),
    ],
)
def test_gradients_of_known_controlled_rotations_have_their_noise(names):
    circuit = QuantumCircuit(2)
    x, w = input_parameters(2), weight_parameters(3)
    circuit.ry(x[0], 0)
    circuit.ry(x[1], 1)
    if "crx" in names:
        circuit.crx(w[0], 0, 1)
        circuit.ry(w[1], 0)
        circuit.append(CRXGate(w[2], ctrl_state=0), [1, 0])
    elif "cry" in names:  # a u at fixed angles keeps it from being written without cry
        circuit.u(0.1, 0.2, 0.3, 0)
        circuit.cry(w[0], 0, 1)
        circuit.ry(w[1], 0)
        circuit.cry(w[2] + x[0], 1, 0)
    else:
        circuit.append(CU3Gate(w[0], w[1], w[2]), [0, 1])
        circuit.ry(0.5, 0)
    spec, noise = spec_of(circuit), relaxing(*names)
    options = {"noise_model": noise, "method": "statevector"}
    shots = 1_000
    sampler = SamplerV2(default_shots=shots, seed=1, options={"backend_options": options})
    executor = qnn_executor(spec, sampler)
    program = compile_noisy(circuit, noise, spec.inputs, spec.weights, method="density")
    values, angles = inputs_of(spec), torch.tensor([0.4, 1.3, 2.2])
    ours = outputs_and_gradients(program.probabilities, values, angles)
    theirs = outputs_and_gradients(lambda x, w: executor(w, None, x), values, angles)
    # A thousand shots, times up to 8; the gradient refused to run, or left noise out, before.
    for expected, found, bound in zip(ours, theirs, (0.08, 0.5, 0.5), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=bound)


def test_known_gates_that_a_method_does_not_run_are_named():
    circuit = QuantumCircuit(2)
    x, w = input_parameters(1), weight_parameters(1)
    circuit.ry(x[0], 0)
    circuit.crx(w[0], 0, 1)
    options = {"noise_model": relaxing("crx", "ry"), "method": "density_matrix"}
    with pytest.raises(UnsupportedCircuit, match="method 'density_matrix' does not run crx"):
        qnn_executor(spec_of(circuit, "ZZ"), EstimatorV2(options={"backend_options": options}))
