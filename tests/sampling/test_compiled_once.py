"""The circuit of a run is compiled once, transpiled once, and follows its weights all the same."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector

from qdm_qiskit.engine import CircuitProgram
from qdm_qiskit.layers import qnn_executor
from qdm_qiskit.sampling import (
    SamplingConfig,
    device,
    register_probabilities,
    sample,
    unrolled_circuit,
)
from qdm_qiskit.transpiling import passes


@pytest.fixture
def calls(monkeypatch):
    counted = {"compiled": 0, "transpiled": 0}

    def counting(module, name, key):
        inner = getattr(module, name)

        def counted_call(*args, **options):
            counted[key] += 1
            return inner(*args, **options)

        monkeypatch.setattr(module, name, counted_call)

    counting(CircuitProgram, "__init__", "compiled")  # whoever asks for it
    counting(passes, "_transpiled", "transpiled")
    return counted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "shots", "transpiled"),
    [
        ("engine", None, 0),
        ("engine", 64, 0),
        ("aer", 64, 1),
        ("noisy:fake_quito", 64, 2),
        ("local:fake_quito", 64, 2),
    ],
)
def test_a_run_compiles_once_whatever_its_steps(make_run, calls, target, shots, transpiled):
    run = make_run(image_size=2, depth=1)
    assert run.process.num_steps > 1
    config = SamplingConfig(target=target, shots=shots, num_images=2, layout_trials=2)
    sample(run, config)
    assert calls == {"compiled": 1, "transpiled": transpiled}
    sample(run, config)  # the model keeps its program; a run's transpiled circuit is its own
    assert calls == {"compiled": 1, "transpiled": 2 * transpiled}


def _by_qiskit(model, x):
    circuit = unrolled_circuit(model).remove_final_measurements(inplace=False)
    values = model.circuit_values(*model.circuit_inputs(x))
    return np.array([Statevector(circuit.assign_parameters(row)).probabilities() for row in values])


def test_the_program_follows_weights_that_change(make_run):
    model = make_run(image_size=2, depth=1).model
    x = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(1)) + 0.1
    before = register_probabilities(model, *model.circuit_inputs(x))
    with torch.no_grad():
        model.layer.weights += 0.7
    after = register_probabilities(model, *model.circuit_inputs(x))
    assert np.abs(after - before).max() > 1e-3
    # Qiskit squares amplitudes that were normalised in float32, the model's own type.
    np.testing.assert_allclose(after, _by_qiskit(model, x), atol=1e-6)
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(register_probabilities(twin, *twin.circuit_inputs(x)), after)


def test_a_layer_on_a_primitive_has_a_program_as_well(make_run, calls):
    from qiskit.primitives import StatevectorSampler

    model = make_run(image_size=2, depth=1).model
    x = torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(2)) + 0.1
    model.layer.executor = qnn_executor(model.spec, StatevectorSampler(default_shots=10, seed=1))
    first, second = (register_probabilities(model, *model.circuit_inputs(x)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, _by_qiskit(model, x), atol=1e-6)
    assert calls["compiled"] == 1


def test_steps_go_to_the_runner_as_one_circuit(make_run, monkeypatch):
    run = make_run(image_size=2, depth=1)
    seen = []
    inner = device.DevicePredictor.__call__

    def call(self, x, step, labels=None):
        seen.append(id(self.isa))
        return inner(self, x, step, labels)

    monkeypatch.setattr(device.DevicePredictor, "__call__", call)
    made = sample(run, SamplingConfig(target="aer", shots=32, num_images=2))
    assert len(seen) == run.process.num_steps
    assert set(seen) == {id(made.circuit)}


def test_circuits_that_tell_states_are_compiled_once_for_preparation_and_record(make_run, calls):
    """Their programs take longer than their shots: 17 circuits of 30 layers for QAMP's January."""
    options = {"image_size": 2, "width": 8, "num_qubits": 2, "num_observables": 3, "reps": 1}
    run = make_run("qamp_january", num_steps=2, **options)
    calls.update(compiled=0, transpiled=0)  # the model's own layers are compiled when it is made
    sample(run, SamplingConfig(target="aer", shots=200, num_images=2, layout_trials=1))
    assert calls == {"compiled": 1 + 3, "transpiled": 1 + 3}  # the tomography, each observable
