"""What every template has to fulfil, over the catalogue: a new entry is tested by being there."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from qiskit import qasm3
from qiskit.quantum_info import Statevector

from qdm_qiskit import circuits
from qdm_qiskit.circuits import (
    TEMPLATES,
    CircuitSpec,
    ExpectationReadout,
    Template,
    eeqdm,
    hardware_efficient,
    template,
)
from qdm_qiskit.engine import compile_circuit
from qdm_qiskit.errors import InvalidTemplate, UnknownName

EXAMPLES = {name: entry.example() for name, entry in TEMPLATES.items()}


def variants() -> dict[str, CircuitSpec]:
    """The examples, and each with one of its named or switched options changed."""
    choices: dict[str, tuple[object, ...]] = {
        "sign": ("minus",),
        "mixing": ("rx",),
        "axis": ("y", "z"),
        "entanglement": ("circular", "full", [(0, 2), (3, 1)]),
        "entangler": ("cz",),
        "model": ("heisenberg",),
        "direction": ("text",),
        "kernel": ("su4",),
    }
    made = dict(EXAMPLES)
    for name, entry in TEMPLATES.items():
        for option, value in entry.options.items():
            values = (not value,) if isinstance(value, bool) else choices.get(option, ())
            for each in values:
                made[f"{name}-{option}-{each}"] = entry.with_options(**{option: each})
    return made


VARIANTS = variants()


def values_for(spec: CircuitSpec, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Inputs ``(2, inputs)``, weights, and states ``(2, 2**n)`` where the data are amplitudes."""
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(-4, 4, (2, len(spec.inputs)))
    weights = rng.uniform(-4, 4, len(spec.weights))
    if spec.encoding == "angle":
        return inputs, weights, None
    states = rng.normal(size=(2, spec.num_amplitudes)) + 1j * rng.normal(
        size=(2, spec.num_amplitudes)
    )
    return inputs, weights, states / np.linalg.norm(states, axis=1, keepdims=True)


def from_qiskit(spec: CircuitSpec, row: int, seed: int) -> Statevector:
    inputs, weights, states = values_for(spec, seed)
    bound = spec.circuit.assign_parameters(
        dict(zip(spec.inputs, inputs[row], strict=True))
        | dict(zip(spec.weights, weights, strict=True))
    )
    start = np.zeros(2**spec.num_qubits, dtype=complex)
    if states is None:
        start[0] = 1
    else:
        start[spec.data_positions()] = states[row]
    return Statevector(start).evolve(bound)


@pytest.mark.parametrize("name", VARIANTS)
def test_engine_agrees_with_qiskits_statevector(name):
    """States and readouts agree, and no template carries a parameter that does nothing."""
    spec = VARIANTS[name]
    inputs, weights, states = values_for(spec, 11)
    program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
    x = torch.from_numpy(inputs).requires_grad_() if spec.inputs else None
    w = torch.from_numpy(weights).requires_grad_()
    start = None if states is None else torch.from_numpy(states)
    covered = None if states is None else spec.data_qubits
    mine = program.statevector(x, w, start, initial_qubits=covered)
    theirs = [from_qiskit(spec, row, 11) for row in range(len(mine))]
    # Some hundred gates, each of which may lose a few 1e-16.
    np.testing.assert_allclose(mine.detach().numpy(), [state.data for state in theirs], atol=1e-12)
    if isinstance(spec.readout, ExpectationReadout):
        z = program.expectation(spec.readout.observables, x, w, start, initial_qubits=covered)
        expected = [
            [state.expectation_value(o).real for o in spec.readout.observables] for state in theirs
        ]
        np.testing.assert_allclose(z.detach().numpy(), expected, atol=1e-12)
    if mine.requires_grad:
        probe = torch.from_numpy(np.random.default_rng(6).normal(size=(*mine.shape, 2)))
        (torch.view_as_real(mine) * probe).sum().backward()
    for parameters, values in ((spec.inputs, x), (spec.weights, w)):
        if values is not None and parameters:
            gradient = values.grad.abs().reshape(-1, len(parameters)).amax(dim=0)
            named = zip(parameters, gradient, strict=True)
            assert [p.name for p, slope in named if float(slope) < 1e-9] == []


@pytest.mark.parametrize("name", VARIANTS)
def test_openqasm3_keeps_parameter_order_and_state(name):
    spec = VARIANTS[name]
    back = qasm3.loads(qasm3.dumps(spec.circuit))
    assert [p.name for p in back.parameters] == [p.name for p in spec.circuit.parameters]
    values = np.random.default_rng(7).uniform(-np.pi, np.pi, spec.circuit.num_parameters)
    # Values are bound by position, as a reader of the file would.
    overlap = np.vdot(
        Statevector(back.assign_parameters(values)).data,
        Statevector(spec.circuit.assign_parameters(values)).data,
    )
    assert abs(abs(overlap) - 1) < 1e-12


@pytest.mark.parametrize("name", VARIANTS)
def test_parameters_are_numbered_without_gaps(name):
    spec = VARIANTS[name]
    assert [p.name for p in spec.inputs] == [f"x_{i:04d}" for i in range(len(spec.inputs))]
    assert [p.name for p in spec.weights] == [f"w_{i:04d}" for i in range(len(spec.weights))]


@pytest.mark.parametrize("entry", TEMPLATES.values(), ids=list(TEMPLATES))
def test_entries_describe_themselves(entry: Template):
    assert TEMPLATES[entry.name] is entry
    assert entry.group in ("encoding", "block", "ansatz", "denoiser")
    assert entry.summary.endswith(".")
    for text in (entry.summary, entry.source):
        assert text
        assert "\n" not in text
        assert len(text) <= 100
    spec = entry.example()
    assert spec.name == entry.name
    assert spec.circuit.name == entry.name
    assert spec.num_qubits <= 12  # a drawing shows it on one page


@pytest.mark.parametrize("entry", TEMPLATES.values(), ids=list(TEMPLATES))
def test_entries_name_every_option_of_their_function(entry: Template):
    function = getattr(circuits, entry.name)
    assert set(entry.options) == set(inspect.signature(function).parameters)


@pytest.mark.parametrize("entry", TEMPLATES.values(), ids=list(TEMPLATES))
def test_entries_refuse_nonsense_in_one_line(entry: Template):
    with pytest.raises(InvalidTemplate, match="no option of template") as caught:
        entry.with_options(colour="red")
    assert "\n" not in str(caught.value)
    for option, value in entry.options.items():
        if isinstance(value, bool):
            continue
        nonsense = ("nonsense",) if isinstance(value, str | tuple) else (0, -1, 10**12, 1.5, "3")
        for each in nonsense:
            with pytest.raises(InvalidTemplate) as caught:
                entry.with_options(**{option: each})
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 300


def test_examples_can_be_changed_one_option_at_a_time():
    entry = TEMPLATES["hardware_efficient"]
    spec = entry.with_options(num_wires=3, entanglement="full")
    assert spec.circuit.count_ops() == hardware_efficient(3, 2, entanglement="full").count_ops()
    assert entry.options["num_wires"] == 4
    with pytest.raises(TypeError):
        entry.options["num_wires"] = 5
    with pytest.raises(TypeError):
        TEMPLATES["mine"] = entry


def test_templates_are_found_by_name():
    assert template("eeqdm") is eeqdm
    with pytest.raises(UnknownName, match=r"no template 'eqdm'.*Did you mean 'eeqdm'"):
        template("eqdm")
