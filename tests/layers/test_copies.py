"""Primitives, programs, QNNs and layers are copied and pickled, and compute the same afterwards."""

from __future__ import annotations

import copy
import multiprocessing
import pickle

import cloudpickle
import joblib
import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel, depolarizing_error
from qiskit_aer.primitives import SamplerV2
from qiskit_machine_learning.algorithms.classifiers import NeuralNetworkClassifier
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN
from qiskit_machine_learning.optimizers import COBYLA
from torch.optim.swa_utils import AveragedModel

from qdm_qiskit.circuits import ExpectationReadout, ProbabilityReadout, register_spec
from qdm_qiskit.engine import (
    CircuitCache,
    EngineEstimator,
    EngineEstimatorGradient,
    EngineSampler,
    EngineSamplerGradient,
    compile_circuit,
    compile_noisy,
)
from qdm_qiskit.layers import QnnLayer, QuantumLayer, qnn_executor
from qdm_qiskit.models import build_model, resolve
from qdm_qiskit.training.circuit_weights import circuit_weights

MAP, ANSATZ = zz_feature_map(2), real_amplitudes(2, reps=1)
INPUTS, WEIGHTS = list(MAP.parameters), list(ANSATZ.parameters)
OBSERVABLES = [SparsePauliOp("ZZ"), SparsePauliOp("XI")]
ROWS = torch.linspace(0.1, 1.3, 6, dtype=torch.float64).reshape(3, 2)
ANGLES = torch.linspace(-1, 1, 4, dtype=torch.float64)

HOW = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),  # noqa: S301 # made right here
    "cloudpickle": lambda thing: pickle.loads(cloudpickle.dumps(thing)),  # noqa: S301 # as above
}


def circuit() -> QuantumCircuit:
    joined = QuantumCircuit(2)
    joined.compose(MAP, inplace=True)
    joined.compose(ANSATZ, inplace=True)
    return joined


def measured() -> QuantumCircuit:
    return circuit().measure_all(inplace=False)


def estimator_qnn() -> EstimatorQNN:
    estimator = EngineEstimator()
    return EstimatorQNN(
        circuit=circuit(),
        observables=OBSERVABLES,
        input_params=INPUTS,
        weight_params=WEIGHTS,
        estimator=estimator,
        gradient=EngineEstimatorGradient(estimator),
        default_precision=0.0,
    )


def sampler_qnn() -> SamplerQNN:
    sampler = EngineSampler(seed=3)
    return SamplerQNN(
        circuit=circuit(),
        input_params=INPUTS,
        weight_params=WEIGHTS,
        sampler=sampler,
        gradient=EngineSamplerGradient(sampler),
    )


def noisy(method: str):
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["cx"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["ry", "h", "p"])
    return compile_noisy(circuit(), model, INPUTS, WEIGHTS, method=method)


def layer(readout, primitive=None) -> QuantumLayer:
    joined = circuit()
    names = {p: f"x_{k:04d}" for k, p in enumerate(INPUTS)}
    names |= {p: f"w_{k:04d}" for k, p in enumerate(WEIGHTS)}
    joined.assign_parameters({p: Parameter(name) for p, name in names.items()}, inplace=True)
    spec = register_spec(joined, source="test", encoding="angle", readout=readout)
    executor = None if primitive is None else qnn_executor(spec, primitive)
    return QuantumLayer(spec, executor=executor, generator=torch.Generator().manual_seed(1))


def values(primitive):
    return primitive.run([(circuit(), OBSERVABLES, np.ones(6))]).result()[0].data.evs


def shots(primitive):
    return primitive.run([(measured(), np.ones((2, 6)))]).result()[0].data.meas.array


def estimator_slopes(gradient):
    return gradient.run([circuit()], [OBSERVABLES[0]], [np.ones(6)]).result().gradients[0]


def sampler_slopes(gradient):
    found = gradient.run([measured()], [np.ones(6)]).result().gradients[0]
    return np.array([[each.get(key, 0.0) for key in range(4)] for each in found])


def both_ways(qnn):
    return np.concatenate(
        [
            qnn.forward(ROWS.numpy(), ANGLES.numpy()).ravel(),
            qnn.backward(ROWS.numpy(), ANGLES.numpy())[1].ravel(),
        ]
    )


def trained(module):
    """Outputs and gradients."""
    module.zero_grad()
    given = {"inputs": ROWS.float()} if isinstance(module, QuantumLayer) else {}
    outputs = module(**given) if given else module(ROWS.float())
    (outputs * torch.arange(outputs.numel()).reshape(outputs.shape)).sum().backward()
    found = [outputs.detach(), *(p.grad for p in module.parameters())]
    return torch.cat([each.flatten() for each in found]).numpy()


def expectations(program):
    options = {}
    if type(program).__name__ == "TrajectoryProgram":
        options["generator"] = torch.Generator().manual_seed(5)
    return program.expectation(OBSERVABLES, ROWS, ANGLES, **options).numpy()


def probabilities(program):
    return program.probabilities(ROWS, ANGLES).numpy()


Z = ExpectationReadout(observables=tuple(OBSERVABLES))
P = ProbabilityReadout(qubits=(0, 1))
THINGS = {
    "estimator": (lambda: EngineEstimator(seed=2, default_precision=0.1), values),
    "sampler": (lambda: EngineSampler(seed=3), shots),
    "estimator gradient": (EngineEstimatorGradient, estimator_slopes),
    "sampler gradient": (EngineSamplerGradient, sampler_slopes),
    "estimator QNN": (estimator_qnn, both_ways),
    "connector": (lambda: TorchConnector(estimator_qnn(), ANGLES.numpy()), trained),
    "QNN layer": (lambda: QnnLayer(estimator_qnn(), ANGLES), trained),
    "layer of a sampler QNN": (lambda: QnnLayer(sampler_qnn(), ANGLES), trained),
    "program": (lambda: compile_circuit(circuit(), INPUTS, WEIGHTS), expectations),
    "density": (lambda: noisy("density"), expectations),
    "density, outcomes": (lambda: noisy("density"), probabilities),
    "trajectories": (lambda: noisy("trajectories"), expectations),
    "layer": (lambda: layer(Z), trained),
    "layer of probabilities": (lambda: layer(P), trained),
    "layer on an estimator": (lambda: layer(Z, StatevectorEstimator()), trained),
    "layer on the engine's sampler": (lambda: layer(P, EngineSampler(seed=4)), trained),
}


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
@pytest.mark.parametrize("kind", THINGS)
def test_copies_compute_the_same(kind, used):
    make, run = THINGS[kind]
    thing = make()
    expected = run(make())
    if used:
        run(thing)
    slow = kind.startswith("layer on")  # parameter shift
    for how, copied in HOW.items():
        if how == "pickle" or not slow:
            np.testing.assert_allclose(run(copied(thing)), expected, atol=1e-7, err_msg=how)
    np.testing.assert_allclose(run(thing), expected, atol=1e-7, err_msg="the original")


def test_copies_of_a_cache_compile_for_themselves():
    estimator = EngineEstimator(cache=CircuitCache(7))
    gradient = EngineEstimatorGradient(estimator)
    values(estimator)
    other, slope = copy.deepcopy((estimator, gradient))
    assert (len(other.cache), other.cache.size) == (0, 7)
    assert slope._estimator is other  # what was shared is shared
    values(other)
    values(other)
    assert len(other.cache) == len(estimator.cache) == 1
    assert copy.copy(estimator).cache is estimator.cache


def test_generators_of_copies_go_their_own_way():
    first = EngineSampler(seed=np.random.default_rng(1))
    second = copy.deepcopy(first)
    np.testing.assert_array_equal(shots(first), shots(second))


def test_layers_keep_one_parameter_under_two_names():
    for copied in HOW.values():
        found = copied(QnnLayer(estimator_qnn(), ANGLES))
        assert found._weights is found.weight
        assert len(list(found.parameters())) == 1


def test_a_sampling_layer_on_aer_is_copied():
    """SamplerQNN itself cannot be pickled (qiskit-machine-learning 0.9.1); our executor can."""
    original = layer(P, SamplerV2(seed=5, default_shots=4096))
    state = torch.random.get_rng_state()
    for copied in (copy.deepcopy, HOW["pickle"]):
        found = copied(original)(inputs=ROWS.float()).detach()
        exact = layer(P)(inputs=ROWS.float()).detach()
        assert float((found - exact).abs().max()) < 5 * 0.5 / np.sqrt(4096)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("make", [lambda: TorchConnector(estimator_qnn()), lambda: layer(Z)])
def test_averages_of_weights(make):
    model = make()
    average = AveragedModel(model)
    for _ in range(3):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trained(model)
        optimizer.step()
        average.update_parameters(model)
    assert not np.allclose(trained(average.module), trained(model))
    with torch.no_grad():
        for own, theirs in zip(average.module.parameters(), model.parameters(), strict=True):
            theirs.copy_(own)
    np.testing.assert_allclose(trained(average.module), trained(model), atol=1e-6)


def test_copies_of_a_model_are_not_listened_to():
    """Natural gradients keep samples of what a model sees; a copy has samples of its own."""
    model = build_model(resolve("eeqdm", {"image_size": 4, "depth": 1}))
    (weights,) = circuit_weights(model, samples=4)
    other = copy.deepcopy(model)
    seen = torch.rand(3, 1, 4, 4), torch.zeros(3, dtype=torch.long)
    model(*seen)
    assert len(weights.runs) == 1
    other(*seen)
    assert len(weights.runs) == 1


def _child(things, queue):
    queue.put([run(thing) for thing, run in things])


@pytest.mark.slow
def test_spawned_workers_compute_the_same():
    kinds = ["estimator", "connector", "layer of a sampler QNN", "density", "layer"]
    things = [(THINGS[kind][0](), THINGS[kind][1]) for kind in kinds]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_child, args=(things, queue))
    process.start()
    found = queue.get(timeout=120)
    process.join(30)
    for kind, result in zip(kinds, found, strict=True):
        np.testing.assert_allclose(result, THINGS[kind][1](THINGS[kind][0]()), atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("make", [estimator_qnn, sampler_qnn])
def test_workers_of_joblib_fit_classifiers(make):
    """Each worker gets a copy, as from a search over options, and gives a fitted one back."""
    qnn = make()
    if isinstance(qnn, SamplerQNN):
        qnn.set_interpret(lambda outcome: outcome.bit_count() % 2, 2)
        labels = np.array([0, 1] * 4)
    else:
        qnn._observables, qnn._output_shape = OBSERVABLES[:1], (1,)
        labels = np.array([-1, 1] * 4)
    data = np.random.default_rng(0).uniform(0, 1, (8, 2))
    classifier = NeuralNetworkClassifier(qnn, optimizer=COBYLA(maxiter=8), initial_point=np.ones(4))
    here = copy.deepcopy(classifier).fit(data, labels)
    fitted = joblib.Parallel(n_jobs=2)(
        joblib.delayed(copy.deepcopy(classifier).fit)(data, labels) for _ in range(2)
    )
    for each in fitted:
        np.testing.assert_allclose(each.weights, here.weights)
