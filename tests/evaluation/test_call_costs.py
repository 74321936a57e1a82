"""Costs of models of several circuits: rows, counts and a run's sums."""

from __future__ import annotations

import json

import pytest
import torch
from qiskit.providers.fake_provider import GenericBackendV2

import qdm_qiskit as qdm
from qdm_qiskit.errors import InvalidOption, UnsupportedCircuit
from qdm_qiskit.evaluation.call_costs import CallCosts, call_costs
from qdm_qiskit.hardware.plan.qpu_seconds import JOB_OVERHEAD_SECONDS, MAX_EXECUTIONS
from qdm_qiskit.layers.calling import calls_of
from qdm_qiskit.models import build_model, resolve
from qdm_qiskit.reports.call_costs_render import render_markdown, write_call_costs
from qdm_qiskit.transpiling.cost import circuit_cost
from qdm_qiskit.transpiling.passes import transpile_for

SMALL = {"image_size": 4, "levels": 2, "depth": 1}


@pytest.fixture(scope="module")
def device() -> GenericBackendV2:
    return GenericBackendV2(7, seed=4)


@pytest.fixture(scope="module")
def costs(device) -> CallCosts:
    found = qdm.cost("qu_net", device, settings=SMALL, trials=1, shots=100, num_images=3, steps=5)
    assert isinstance(found, CallCosts)
    return found


def jobs(**options):
    model = build_model(resolve("qu_net", {**SMALL, **options})).eval()
    return calls_of(model, torch.rand(1, *model.image_shape), torch.ones(1))


def test_each_call_stands_in_one_row(costs):
    named = [call for row in costs.devices[0].circuits for call in row.calls]
    assert sorted(named) == sorted(call.name for job in jobs() for call in job)
    assert costs.calls == len(named)


def test_a_rows_numbers_are_those_of_the_transpiled_circuit(costs, device):
    call = jobs()[0][0]
    isa = transpile_for(call.circuit, device, level=3, seed=costs.seeds[0])
    wanted = circuit_cost(isa, device.target)
    [row] = [each for each in costs.devices[0].circuits if call.name in each.calls]
    # Other weights, the same circuit.
    assert row.two_qubit_gates == wanted.two_qubit_count
    assert row.qubits == call.spec.num_qubits


def test_a_runs_sums(costs):
    [found] = costs.devices
    rows = {"down.0.0.layer": 16, "down.1.0.layer": 4, "halve.0.layer": 16, "up.0.0.layer": 16}
    assert found.bound_circuits == sum(rows.values()) * 3 * 5
    assert found.shots == 100 * found.bound_circuits
    assert found.jobs == costs.jobs * 5
    gates = sum(each.rows * each.two_qubit_gates for each in found.circuits)
    assert found.two_qubit_gates == 15 * gates
    spent = sum(each.rows * 100 * each.seconds_per_shot for each in found.circuits)
    assert found.seconds == pytest.approx(5 * (costs.jobs * JOB_OVERHEAD_SECONDS + 3 * spent))


def test_a_job_above_the_limit_of_executions_is_several(costs, device):
    shots = MAX_EXECUTIONS // 16  # one image is at the limit, two are above it
    one, two = (
        call_costs("x", jobs()[:1], [device], steps=1, num_images=n, shots=shots, seeds=[1])
        for n in (1, 2)
    )
    assert (one.devices[0].jobs, two.devices[0].jobs) == (1, 2)
    more = two.devices[0].seconds - 2 * one.devices[0].seconds
    assert more == pytest.approx(0, abs=1e-6)


def test_circuits_that_differ_in_weights_alone_are_one_row():
    found = qdm.cost("defalco-1fqconv", "fake_torino", trials=1)
    assert [len(each.calls) for each in found.devices[0].circuits] == [found.calls]
    assert found.devices[0].circuits[0].bases == 1  # all of them read Z


def test_bases_of_expectation_values_are_circuits(device):
    from qiskit.circuit import QuantumCircuit
    from qiskit.circuit.library import efficient_su2
    from qiskit.quantum_info import SparsePauliOp

    circuit = QuantumCircuit(2).compose(efficient_su2(2, reps=1))
    names = [each.name for each in circuit.parameters]
    spec = qdm.CircuitSpec.from_circuit(
        circuit,
        inputs=names[:4],
        weights=names[4:],
        readout=[
            SparsePauliOp("XX"),
            SparsePauliOp("ZI"),
            SparsePauliOp("IZ"),
            SparsePauliOp("YY"),
        ],
        name="read",
    )
    model = qdm.Denoiser.from_spec(spec, image_shape=(1, 2, 2))
    found = qdm.cost(model, device, trials=1, num_images=2, steps=2, shots=10)
    assert found.devices[0].circuits[0].bases == 3
    assert found.devices[0].bound_circuits == 3 * 2 * 2


def test_json_markdown_picture_and_notebook_hold_the_numbers(costs, tmp_path):
    paths = write_call_costs(costs, tmp_path)
    data = json.loads(paths[0].read_text())
    assert data["devices"][0]["seconds"] == costs.devices[0].seconds
    text = paths[1].read_text()
    assert text == render_markdown(costs.to_dict()).decode()
    for row in costs.devices[0].circuits:
        assert f"| {row.name} | {len(row.calls)} |" in text
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    assert f"{costs.devices[0].bound_circuits:,} circuits" in costs._repr_html_()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("classical_unet", "'classical_unet' is classical: it has no circuit to report on"),
        ("cacioppo", "hands a state from step to step"),
        ("q_dense_unitary", "hands a state from step to step"),
    ],
)
def test_models_without_calls_are_refused_by_their_kind(name, words):
    with pytest.raises(InvalidOption, match=words):
        qdm.cost(name)


def test_wrong_numbers_and_small_devices_are_one_line(device):
    for wrong in ({"steps": 0}, {"num_images": 0}, {"seeds": []}):
        with pytest.raises(InvalidOption, match="at least 1"):
            call_costs("x", jobs(), [device], **{"steps": 1, "seeds": [1], **wrong})
    with pytest.raises(InvalidOption, match="got 0 calls"):
        call_costs("x", [], [device], steps=1, seeds=[1])
    with pytest.raises(UnsupportedCircuit) as caught:
        call_costs("x", jobs(), [GenericBackendV2(3, seed=1)], steps=1, seeds=[1])
    assert "\n" not in str(caught.value)
