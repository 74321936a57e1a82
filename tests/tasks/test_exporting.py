"""Exported circuits, read back by Qiskit's own readers, are those that the model runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit, qasm3, qpy
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector

import qdm_qiskit as qdm
from qdm_qiskit.circuits import ExpectationReadout
from qdm_qiskit.cli.main import main
from qdm_qiskit.errors import InvalidOption, OutputNotWritable, UnknownName, UnsupportedCircuit
from qdm_qiskit.execution.calls import CircuitCall
from qdm_qiskit.files import read_json_object
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import load_run
from qdm_qiskit.sampling.readings import Reading
from qdm_qiskit.tasks.exporting import _add, _on_device
from tests.helpers import generator, write_run
from tests.state_runs import write_state_run

QUICK = {"trials": 1, "level": 1}


def read(folder: Path, name: str) -> list[QuantumCircuit]:
    """A file of circuits."""
    if name.endswith(".qasm"):
        return [qasm3.loads((folder / name).read_text())]
    with (folder / name).open("rb") as file:
        return qpy.load(file)


def both(folder: Path, files: list[str]) -> list[tuple[QuantumCircuit, QuantumCircuit]]:
    """Each circuit as OpenQASM 3 and as QPY gives it."""
    texts = [read(folder, name)[0] for name in files if name.endswith(".qasm")]
    [binary] = [read(folder, name) for name in files if name.endswith(".qpy")]
    return list(zip(texts, binary, strict=True))


def bound(circuit: QuantumCircuit, entry: dict) -> QuantumCircuit:
    """The circuit with the example's values, by name."""
    [example] = entry["examples"]
    values = dict(zip(entry["parameters"], example["values"], strict=True))
    return circuit.assign_parameters({p: values[p.name] for p in circuit.parameters})


def unitary(circuit: QuantumCircuit) -> Operator:
    return Operator(circuit.remove_final_measurements(inplace=False))


def distribution(circuit: QuantumCircuit) -> np.ndarray:
    """Probabilities of the classical bits, bit 0 the least significant, of measured qubits."""
    where = {}
    bare = QuantumCircuit(*circuit.qregs) if circuit.qregs else QuantumCircuit(circuit.num_qubits)
    for item in circuit.data:
        qubits = [circuit.find_bit(each).index for each in item.qubits]
        if item.operation.name == "measure":
            where[circuit.find_bit(item.clbits[0]).index] = qubits[0]
        elif item.operation.name != "barrier":
            assert not item.clbits
            bare.append(item.operation, qubits)
    bare.global_phase = circuit.global_phase
    return Statevector(bare).probabilities([where[bit] for bit in sorted(where)])


def test_a_circuit_is_the_one_that_the_model_runs(tmp_path):
    """Against the engine: weights are bound right, and the example's values are of an image."""
    run = write_run(tmp_path / "run")
    made = qdm.export(run)
    [entry] = made.record["circuits"]
    assert read_json_object(run / "export" / "circuits.json") == made.record
    assert sorted(each.name for each in (run / "export").iterdir()) == sorted(
        ["circuits.json", *entry["files"]]
    )
    trained = load_run(run)
    noise = generator(derived_seed(0, "sampling", 0))
    image = trained.process.start((1, *trained.model.image_shape), noise)
    with torch.no_grad():
        expected = trained.model.layer(*trained.model.encode_at(image, torch.ones(1), None))
    [(text, binary)] = both(made.folder, entry["files"])
    assert [p.name for p in text.parameters] == entry["parameters"]
    assert [p.name for p in binary.parameters] == entry["parameters"]
    assert unitary(bound(text, entry)).equiv(unitary(bound(binary, entry)))
    found = distribution(bound(text, entry)).reshape(2, 2, 2)  # q[2], q[1], q[0]
    readout = entry["readout"]
    assert (readout["qubits"], readout["postselect"]) == ([1, 2], [[0, 0]])
    np.testing.assert_allclose(found[:, :, 0].ravel(), expected.double().numpy()[0], atol=2e-6)


@pytest.mark.parametrize("loader", ["exact", "bricks:2"])
def test_a_transpiled_circuit_has_the_distribution_of_the_logical_one(tmp_path, loader):
    run = write_run(tmp_path / "run")
    made = qdm.export(run, tmp_path / "out", devices="fake_manila", loader=loader, **QUICK)
    [entry] = made.record["circuits"]
    assert entry["loader"] == loader
    [(logical, _)] = both(made.folder, entry["files"])
    there = entry["devices"]["fake_manila"]
    [(text, binary)] = both(made.folder, there["files"])
    target = qdm.load_backend("fake_manila").target
    couplers = set(target.build_coupling_map().get_edges())
    for each in (text, binary):
        assert each.num_qubits == there["device_qubits"] == 5
        assert set(each.count_ops()) <= {*target.operation_names, "barrier"}
        pairs = {
            tuple(each.find_bit(qubit).index for qubit in item.qubits)
            for item in each.data
            if len(item.qubits) == 2 and item.operation.name != "barrier"
        }
        assert pairs
        assert pairs <= couplers
        np.testing.assert_allclose(
            distribution(bound(each, entry)), distribution(bound(logical, entry)), atol=1e-8
        )
    [cost] = there["costs"]
    assert cost["two_qubit_count"] == sum(len(item.qubits) == 2 for item in binary.data)
    assert "$" in (made.folder / there["files"][0]).read_text(), "physical qubits are named as such"


def test_expectation_values_are_measured_in_each_basis_on_a_device(tmp_path):
    circuit = QuantumCircuit(2)
    x = [qdm.circuits.input_parameters(2)[k] for k in range(2)]
    w = qdm.circuits.weight_parameters(2)
    for k in range(2):
        circuit.ry(x[k], k)
        circuit.rx(w[k], k)
    circuit.cx(0, 1)
    spec = qdm.CircuitSpec(
        name="own",
        circuit=circuit,
        encoding="angle",
        data_qubits=(0, 1),
        ancilla_qubits=(),
        readout=_observables("ZI", "XX"),
        source="",
    )
    call = CircuitCall(
        name="layer", spec=spec, angles=np.array([0.4, -0.9]), inputs=np.array([[0.3, 1.1]])
    )
    about, circuits = _on_device(call, qdm.load_backend("fake_manila"), 1, [1], False)
    assert len(circuits) == len(about["bases"]) == Reading.of(spec).num_circuits == 2
    contents: list[tuple[str, bytes]] = []
    names = _add(contents, "own", circuits)
    assert names == ["own-basis-01.qasm", "own-basis-02.qasm", "own.qpy"]
    for name, content in contents:
        (tmp_path / name).write_bytes(content)
    state = Statevector(call.circuit.assign_parameters(call.values[0]))
    expected = {label: state.expectation_value(SparsePauliOp(label)).real for label in ("ZI", "XX")}
    found = {}
    for (text, binary), basis in zip(both(tmp_path, names), about["bases"], strict=True):
        for each in (text, binary):
            values = dict(zip(("x_0000", "x_0001"), call.values[0], strict=True))
            ready = each.assign_parameters({p: values[p.name] for p in each.parameters})
            p = distribution(ready)
            label = "XX" if "X" in basis else "ZI"
            sign = np.array(
                [
                    (-1) ** bin(k).count("1") if label == "XX" else (-1) ** (k >> 1 & 1)
                    for k in range(len(p))
                ]
            )
            found[label] = float(p @ sign)
    assert found == pytest.approx(expected, abs=1e-8)


def _observables(*labels: str) -> ExpectationReadout:
    return ExpectationReadout(observables=tuple(map(SparsePauliOp, labels)))


def test_a_chain_in_one_circuit_is_exported_whole(tmp_path):
    made = qdm.export(write_state_run(tmp_path / "run", "unitary"))
    [entry] = made.record["circuits"]
    assert (made.record["way"], entry["steps"], made.record["num_steps"]) == ("coherent", "all", 2)
    [(text, binary)] = both(made.folder, entry["files"])
    assert unitary(bound(text, entry)).equiv(unitary(bound(binary, entry)))


def test_states_step_by_step_have_the_weights_of_each_step(tmp_path):
    """QuDDPM's weights differ from step to step, which a single step would not show."""
    run = write_state_run(tmp_path / "run", "quddpm")
    made = qdm.export(run, chain="steps")
    [entry] = made.record["circuits"]  # one circuit: the weights are among its values
    assert (entry["steps"], entry["weights_bound"]) == ([1, 2], 0)
    layer = load_run(run).model.layer
    [(text, _)] = both(made.folder, entry["files"])
    for example in entry["examples"]:
        values = dict(zip(entry["parameters"], example["values"], strict=True))
        ready = text.assign_parameters({p: values[p.name] for p in text.parameters})
        start = next(k for k, item in enumerate(ready.data) if item.operation.name == "barrier")
        found = [value for item in ready.data[start:] for value in item.operation.params]
        expected = layer.weights[example["step"] - 1].detach().flatten().tolist()
        assert found[: len(expected)] == pytest.approx(expected)
    assert {example["step"] for example in entry["examples"]} == {1, 2}


def test_the_same_run_gives_the_same_bytes(tmp_path):
    run = write_run(tmp_path / "run")
    first, second = (
        qdm.export(run, tmp_path / name, devices="fake_manila", **QUICK) for name in "ab"
    )
    assert first.record == second.record
    assert [each.read_bytes() for each in first.files] == [
        each.read_bytes() for each in second.files
    ]


def test_what_cannot_be_exported_is_refused_and_nothing_is_written(tmp_path):
    run = write_run(tmp_path / "run")
    with pytest.raises(UnknownName, match="fake_torino"):
        qdm.export(run, devices="fake_torinio")
    with pytest.raises(InvalidOption, match="Each device is given once"):
        qdm.export(run, devices=["fake_manila", "fake_manila"])
    with pytest.raises(InvalidOption, match="give out="):
        qdm.export(load_run(run))
    wide = write_run(tmp_path / "wide", image_size=8)
    with pytest.raises(UnsupportedCircuit, match="has 7 qubits and the device has 5"):
        qdm.export(wide, devices="fake_manila", **QUICK)
    with pytest.raises(InvalidOption, match="classical"):
        qdm.export(write_run(tmp_path / "unet", "classical_unet"))
    assert not (run / "export").exists()
    assert not (wide / "export").exists()
    made = qdm.export(run)
    before = {each: each.read_bytes() for each in made.files}
    with pytest.raises(OutputNotWritable, match="holds an export already"):
        qdm.export(run, loader="bricks:2")
    assert {each: each.read_bytes() for each in made.files} == before


def test_the_command_exports_too(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    words = ["export", str(run), "--device", "fake_manila", "--trials", "1", "--level", "1"]
    with pytest.raises(SystemExit) as left:
        main([*words, "--json"])
    assert left.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == read_json_object(run / "export" / "circuits.json")
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert "holds an export already" in capsys.readouterr().err
