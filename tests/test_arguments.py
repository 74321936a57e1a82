"""Mistakes of Python callers: one line that names the argument, from the call itself."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel
from qiskit_machine_learning.neural_networks import EstimatorQNN

import qdm_qiskit
from qdm_qiskit import arguments
from qdm_qiskit.analysis import entangling_capability, expressibility
from qdm_qiskit.circuits import CircuitSpec, ExpectationReadout, register_spec, template
from qdm_qiskit.data import load_dataset, read_idx, save_grid
from qdm_qiskit.diffusion import make_process
from qdm_qiskit.engine import (
    EngineEstimator,
    EngineEstimatorGradient,
    EngineSampler,
    compile_circuit,
    compile_noisy,
    fubini_study_metric,
)
from qdm_qiskit.errors import InvalidArgument, QdmError
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.evaluation.run import run_report
from qdm_qiskit.evaluation.transpile import transpile_report
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.execution.targets import parse_target
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.run.commands import resume_run, submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.layers import QuantumLayer, StateLayer, engine_executor, qnn_executor
from qdm_qiskit.models import build_model, load_model, resolve, save_model
from qdm_qiskit.sampling import check_output, load_run, read_calibration, sample
from qdm_qiskit.training import find_checkpoint, load_weights, resolve_run, train
from qdm_qiskit.transpiling.cost import circuit_cost, logical_cost
from qdm_qiskit.transpiling.passes import transpile_for

CIRCUIT = QuantumCircuit(2)
CIRCUIT.ry(Parameter("x_0000"), 0)
CIRCUIT.ry(Parameter("w_0000"), 1)
Z = SparsePauliOp("ZZ")
SPEC = register_spec(
    CIRCUIT, source="test", encoding="angle", readout=ExpectationReadout(observables=(Z,))
)
PROGRAM = compile_circuit(SPEC.circuit, SPEC.inputs, SPEC.weights)
NOISY = compile_noisy(SPEC.circuit, NoiseModel(), SPEC.inputs, SPEC.weights)
ROWS, ANGLES = torch.zeros(3, 1), torch.zeros(1)
QNN = EstimatorQNN(
    circuit=CIRCUIT, estimator=EngineEstimator(), input_params=list(CIRCUIT.parameters)
)
MISSING = Path("/nowhere/at/all")
FOREIGN = list(ParameterVector("t", 2))
VECTOR = QuantumCircuit(1)
VECTOR.ry(sum(ParameterVector("t", 2)), 0)


def call(function, *given, **named):
    return lambda: function(*given, **named)


def backend():
    return load_backend("fake_lima")


WRONG = {
    # a circuit
    "text to compile": ("circuit", call(compile_circuit, "eeqdm")),
    "a spec to compile": ("circuit", call(compile_circuit, SPEC)),
    "a class to compile": ("circuit", call(compile_circuit, QuantumCircuit)),
    "None with noise": ("circuit", call(compile_noisy, None, NoiseModel())),
    "a list of gates": ("circuit", call(register_spec, [1, 2], source="test")),
    "a QNN for a circuit": ("circuit", call(register_spec, QNN, source="test")),
    "a spec to transpile": ("circuit", lambda: transpile_for(SPEC, backend(), seed=0)),
    "text to count": ("circuit", call(logical_cost, "eeqdm")),
    "a path to analyse": (
        "source",
        call(expressibility, MISSING, generator=np.random.default_rng(0)),
    ),
    "text to analyse": (
        "source",
        call(entangling_capability, "qddm", generator=np.random.default_rng(0)),
    ),
    # parameters
    "a parameter by itself": ("inputs", call(compile_circuit, CIRCUIT, FOREIGN[0])),
    "names of parameters": ("weights", call(compile_circuit, CIRCUIT, (), ["w_0000"])),
    "names with noise": ("inputs", call(compile_noisy, CIRCUIT, NoiseModel(), ["x_0000"])),
    "another circuit's vector": ("circuit.parameters", call(compile_circuit, VECTOR, FOREIGN)),
    "another one with noise": (
        "circuit.parameters",
        call(compile_noisy, VECTOR, NoiseModel(), FOREIGN),
    ),
    "another one's gradient": (
        "circuit.parameters",
        call(EngineEstimatorGradient().run, [VECTOR], [SparsePauliOp("Z")], [[1, 2]], [FOREIGN]),
    ),
    # a spec
    "a circuit for a layer": ("spec", call(QuantumLayer, CIRCUIT)),
    "a QNN for a layer": ("spec", call(QuantumLayer, QNN)),
    "text for rows of states": ("spec", call(StateLayer, "eeqdm", 3)),
    "a circuit for the engine": ("spec", call(engine_executor, CIRCUIT)),
    "a circuit for a primitive": ("spec", call(qnn_executor, CIRCUIT, StatevectorEstimator())),
    # executors and primitives
    "a primitive as executor": ("executor", call(QuantumLayer, SPEC, executor=EngineEstimator())),
    "text as executor": ("executor", call(QuantumLayer, SPEC, executor="aer")),
    "a primitive's class": ("primitive", call(qnn_executor, SPEC, StatevectorEstimator)),
    "a backend as primitive": ("primitive", lambda: qnn_executor(SPEC, backend())),
    "text as cache": ("cache", call(EngineEstimator, cache="big")),
    "a device that is none": ("device", call(EngineSampler, device="gpu0")),
    # observables
    "labels": ("observables", call(PROGRAM.expectation, ["ZZ"], ROWS, ANGLES)),
    "one observable": ("observables", call(PROGRAM.expectation, Z, ROWS, ANGLES)),
    "a label by itself": ("observables", call(PROGRAM.expectation, "ZZ", ROWS, ANGLES)),
    "a matrix": ("observables", call(PROGRAM.expectation, [np.eye(4)], ROWS, ANGLES)),
    "labels with noise": ("observables", call(NOISY.expectation, ["ZZ"], ROWS, ANGLES)),
    "one with noise": ("observables", call(NOISY.expectation, Z, ROWS, ANGLES)),
    "a readout of labels": (
        "observables",
        call(
            register_spec,
            CIRCUIT,
            source="test",
            encoding="angle",
            readout=ExpectationReadout(observables=("ZZ",)),
        ),
    ),
    "text as readout": ("readout", call(register_spec, CIRCUIT, source="test", readout="ZZ")),
    # tensors
    "numpy inputs": ("inputs", call(PROGRAM.statevector, np.zeros((3, 1)), ANGLES)),
    "numpy weights": ("weights", call(PROGRAM.probabilities, ROWS, np.zeros(1))),
    "a list of weights": ("weights", call(PROGRAM.expectation, [Z], ROWS, [0.1])),
    "numpy tables of weights": ("weights", call(PROGRAM.statevector, ROWS, np.zeros((3, 1)))),
    "numpy rows of weights": (
        "weight_rows",
        call(PROGRAM.statevector, ROWS, torch.zeros(2, 1), weight_rows=np.zeros(3, dtype=int)),
    ),
    "numpy states": ("initial_state", call(PROGRAM.statevector, ROWS, ANGLES, np.ones((3, 4)))),
    "numpy with noise": ("inputs", call(NOISY.probabilities, np.zeros((3, 1)), ANGLES)),
    "a list with noise": ("weights", call(NOISY.probabilities, ROWS, [0.1])),
    "numpy for a layer": ("inputs", call(QuantumLayer(SPEC), inputs=np.zeros((3, 1)))),
    "numpy for a metric": ("weights", call(fubini_study_metric, PROGRAM, np.zeros(1))),
    "a spec's metric": ("program", call(fubini_study_metric, SPEC, ANGLES)),
    "numpy for a QNN": (
        "input_data",
        call(QuantumLayer.from_qnn(QNN), np.zeros((3, 2))),
    ),
    "numpy amplitudes": (
        "amplitudes",
        call(QuantumLayer(template("eeqdm")(2, 1)), np.ones((3, 4))),
    ),
    # PUBs
    "a circuit for PUBs": ("pubs", call(EngineEstimator().run, CIRCUIT)),
    "None for PUBs": ("pubs", call(EngineSampler().run, None)),
    "text in PUBs": ("PUB", call(EngineEstimator().run, [("eeqdm", "ZZ")])),
    "a circuit for a runner": ("pubs", lambda: make_runner("aer", seed=0).run(CIRCUIT, shots=9)),
    "circuits without values": (
        "pubs",
        lambda: make_runner("aer", seed=0).run([CIRCUIT], shots=9),
    ),
    # backends, targets, noise
    "a name to transpile for": ("backend", call(transpile_for, CIRCUIT, "fake_lima", seed=0)),
    "a backend to load": ("name", lambda: load_backend(backend())),
    "a circuit as target": ("target", lambda: make_runner(CIRCUIT, seed=0)),
    "a backend's class as target": ("target", lambda: make_runner(type(backend()), seed=0)),
    "a backend to parse": ("text", lambda: parse_target(backend())),
    "a target as noise": ("noise_model", lambda: compile_noisy(CIRCUIT, backend().target)),
    "a name as noise": ("noise_model", call(compile_noisy, CIRCUIT, "fake_lima")),
    "a backend's costs": ("target", lambda: circuit_cost(CIRCUIT, backend())),
    "backends to report on": (
        "backends",
        lambda: transpile_report("x", CIRCUIT, backends=[backend().target], seeds=[1]),
    ),
    "one name to report on": (
        "backends",
        call(transpile_report, "x", CIRCUIT, backends="fake_lima", seeds=[1]),
    ),
    "a name to plan on": (
        "backend",
        call(make_plan, MISSING, PlanConfig(), root=MISSING, backend="fake_lima"),
    ),
    # names and choices
    "a number as template": ("name", call(template, 3)),
    "a list as template": ("name", call(template, ["eeqdm"])),
    "a name to build": ("choice", call(build_model, "eeqdm")),
    "None to resolve": ("name", call(resolve, None)),
    "a path as data set": ("name", call(load_dataset, MISSING, image_size=8)),
    "text as process": ("config", call(make_process, "gaussian")),
    "text to train": ("config", call(train, "eeqdm", MISSING)),
    "a dict to train": ("config", call(train, {"model": "eeqdm"}, MISSING)),
    "None as a run's name": ("name", call(resolve_run, None)),
    "a path to sample": ("run", call(sample, MISSING, None)),
    "a circuit to save": ("model", call(save_model, CIRCUIT, MISSING)),
    # paths
    "None to load": ("folder", call(load_model, None)),
    "a number to load": ("run", call(load_run, 3)),
    "a model to load": ("folder", call(load_weights, SimpleNamespace())),
    "None as checkpoint": ("run", call(find_checkpoint, None)),
    "empty text as run": ("run", call(load_run, "")),
    "bytes to read": ("path", call(read_idx, b"images")),
    "a list as calibration": ("path", call(read_calibration, [])),
    "None as output": ("folder", call(check_output, None)),
    "None as picture": ("path", call(save_grid, np.zeros((1, 1, 4, 4)), None)),
    "None as plan": ("path", call(read_plan, None)),
    "a number as plan": ("plan_path", call(submit_run, 3)),
    "a number as run": ("run_id", call(resume_run, MISSING, 3)),
    "None to replay": ("folder", call(replay, None)),
    "None to report on": ("run", call(run_report, None)),
    "a class to report on": ("folder", call(hardware_report, Path)),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line_that_names_the_argument(case):
    name, mistake = WRONG[case]
    with pytest.raises(QdmError) as caught:
        mistake()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert f"`{name}`" in message or (name == "PUB" and name in message)


TEXT_PATHS = [load_model, load_run, load_weights, find_checkpoint, read_calibration, read_plan]
TEXT_PATHS += [run_report, hardware_report, replay, read_idx, submit_run]


@pytest.mark.parametrize("read", TEXT_PATHS, ids=lambda read: read.__name__)
def test_text_serves_as_a_path(read):
    """What is missing is said of both in the same words."""
    messages = []
    for path in (str(MISSING), MISSING):
        with pytest.raises(QdmError) as caught:
            read(path)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]


def test_what_writes_a_report_takes_text_for_its_folder():
    """Type checkers refused text, and most of these functions did."""
    found = 0
    for file in (Path(qdm_qiskit.__file__).parent / "reports").glob("*_render.py"):
        module = importlib.import_module(f"qdm_qiskit.reports.{file.stem}")
        for name in module.__all__:
            if name.startswith("write_"):
                kinds = inspect.signature(getattr(module, name)).parameters.values()
                places = [each for each in kinds if each.name in ("folder", "out", "path")]
                assert places, name
                for each in places:
                    assert "str" in each.annotation, (name, each)
                found += 1
    assert found > 8


def test_unknown_keywords_are_told_by_python():
    for make in (CircuitSpec, QuantumLayer, EngineEstimator):
        with pytest.raises(TypeError, match="unexpected keyword"):
            make(shots=3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        ("text", "'text' (str)"),
        ("x" * 99, "'" + "x" * 56 + "... (str)"),
        ("two\nlines", r"'two\nlines' (str)"),
        (3, "3 (int)"),
        (Path("/a"), "'/a' (PosixPath)"),
        (np.zeros((2, 3)), "a ndarray of shape (2, 3)"),
        (torch.zeros(2), "a Tensor of shape (2,)"),
        (QuantumCircuit, "the class QuantumCircuit itself"),
        (EngineEstimator(), "an EngineEstimator"),
        (StatevectorSampler(), "a StatevectorSampler"),
    ],
)
def test_values_in_a_few_words(value, words):
    assert arguments.shown(value) == words


def test_errors_of_arguments_are_type_errors():
    with pytest.raises(TypeError, match=r"^`n` is an int or str, got 1.5 \(float\); count\.$"):
        arguments.of_kind(1.5, int | str, "n", "count")
    assert issubclass(InvalidArgument, QdmError)
