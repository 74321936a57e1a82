"""`qdm circuits`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from qiskit import qasm3, transpile
from qiskit.quantum_info import Statevector

from qdm_qiskit.circuits import (
    TEMPLATES,
    device_region,
    hardware_efficient,
    working_couplings,
)
from qdm_qiskit.execution.snapshots import load_backend


def test_list_names_every_template(qdm):
    rows = json.loads(qdm("circuits", "list", "--json").out)
    assert [row["name"] for row in rows] == list(TEMPLATES)
    for row in rows:
        spec = TEMPLATES[row["name"]].example()
        assert row["qubits"] == spec.circuit.num_qubits
        assert row["inputs"] + row["weights"] == spec.circuit.num_parameters
        assert row["source"]
    text = qdm("circuits", "list").out
    assert all(f"{name}: {TEMPLATES[name].summary}" in " ".join(text.split()) for name in TEMPLATES)


def test_show_with_options_of_each_kind(qdm):
    line = "circuits show cacioppo_denoiser --set num_data=2 --set depths=2,4,2 --json"
    facts = json.loads(qdm(*line.split()).out)
    assert facts["options"] == {"num_data": 2, "depths": [2, 4, 2]}
    assert facts["qubits"] == {"total": 3, "data": [0, 1], "ancilla": [2]}
    assert len(facts["parameters"]["weights"]) == 3 * (2 * 2 + 4 * 3 + 2 * 2)
    line = "circuits show qamp_layers --set mixing=rx --set closed=false --set num_wires=2"
    text = qdm(*line.split()).out
    assert "weights     5: w_0000 .. w_0004" in text
    assert "Rx(w_0004)" in text  # the drawing
    assert "q_1:" in text
    facts = json.loads(
        qdm(*["circuits", "show", "hardware_efficient", "--json", "--set", "rotations=rx"]).out
    )
    assert facts["options"]["rotations"] == ["rx"]
    assert "ry" not in facts["gates"]


@pytest.mark.slow
def test_a_device_gives_its_couplings(qdm):
    line = (
        "circuits show hardware_efficient --set num_wires=6 --set entangler=cz --device fake_torino"
    )
    facts = json.loads(qdm(*line.split(), "--json").out)
    backend = load_backend("fake_torino")
    qubits, pairs = device_region(working_couplings(backend.target), 6)
    assert facts["options"]["entanglement"] == [list(pair) for pair in pairs]
    assert facts["gates"]["cz"] == 2 * len(pairs) == 10
    # Laid out as the answer says, the circuit is native: nothing is routed.
    layout = facts["device"]["qubits"]
    assert sorted(layout) == sorted(qubits)
    circuit = hardware_efficient(
        6, 2, entanglement=facts["options"]["entanglement"], entangler="cz"
    )
    native = transpile(circuit, backend, initial_layout=layout, optimization_level=1)
    assert native.count_ops()["cz"] == 10
    assert f"fake_torino: q[0], q[1], ... on its qubits {layout}" in qdm(*line.split()).out
    sizes = "circuits analyze hardware_efficient --device fake_torino --scan num_wires=1,4 --json"
    found = json.loads(qdm(*sizes.split(), *SMALL).out)
    assert found["options"]["entanglement"] == [
        list(p) for p in device_region(working_couplings(backend.target), 4)[1]
    ]
    assert found["scans"]["local cost"]["qubits"] == [1, 4]


def test_a_circuit_without_parameters_is_shown(qdm):
    text = qdm("circuits", "show", "pairwise_bell_stage").out
    assert "inputs      0" in text
    assert "counts      depth 2, 2 cx, 2 h" in text


def test_a_huge_circuit_is_counted_and_not_drawn(qdm):
    result = qdm("circuits", "show", "strongly_entangling_layers", "--set", "depth=600")
    assert result.code == 0
    assert "7200: w_0000 .. w_7199" in result.out
    assert "not drawn" in result.out
    assert len(result.out) < 2000


SMALL = ["--samples", "20", "--repeats", "3"]


def test_analyze_without_out_prints_and_writes_nothing(qdm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = qdm("circuits", "analyze", "conv_unit", *SMALL)
    assert (result.code, result.err) == (0, "")
    assert "conv_unit: 2 qubits, 3 parameters; 20 samples, 3 repeats, seed 0" in result.out
    assert re.search(r"Meyer-Wallach Q .* [0-9.]+ .* [0-9.e-]+ \.\. [0-9.]+ .* 0\.4 ", result.out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_analyze_writes_pictures_and_the_numbers_that_it_prints(qdm, tmp_path):
    line = ["circuits", "analyze", "strongly_entangling_layers", "--set", "depth=1", *SMALL]
    line += ["--scan", "num_wires=2,3,4", "--scan", "depth=1,1,2", "--seed", "3", "--json"]
    result = qdm(*line, "--out", tmp_path / "new")
    assert result.code == 0, result.err
    names = {"expressibility", "entanglement", "bloch", "gradients", "scan"}
    written = {each.name for each in (tmp_path / "new").iterdir()}
    assert written == {"analysis.json", *(f"{name}.png" for name in names)}
    for name in names:
        assert (tmp_path / "new" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads(result.out)
    assert found == json.loads((tmp_path / "new" / "analysis.json").read_text())
    assert (found["num_qubits"], found["num_parameters"]) == (4, 12)
    assert found["options"] == {"num_wires": 4, "depth": 1}
    q = found["estimates"]["meyer_wallach"]
    assert q["low"] < q["value"] < q["high"]
    assert q["haar_or_bound"] == 14 / 17
    for scan in found["scans"].values():
        assert scan["qubits"] == [2, 3, 4]
        assert scan["exponential"]["slope"] < 0
    assert json.loads(qdm(*line).out) == found  # the seed decides everything
    line[line.index("3", 12)] = "4"
    assert json.loads(qdm(*line).out) != found


@pytest.mark.parametrize("scan", ["num_wires=4,2", "num_wires=2,17"])
def test_a_scan_is_refused_before_anything_is_measured(qdm, monkeypatch, scan):
    def measured(*args: object, **options: object) -> None:
        raise AssertionError("measured first")

    monkeypatch.setattr("qdm_qiskit.analysis.analyse", measured)
    result = qdm("circuits", "analyze", "hardware_efficient", "--scan", scan)
    assert result.code == 2
    assert re.search("increasing numbers|at most 16 qubits", result.err)


def test_the_start_changes_what_is_measured(qdm):
    line = ["circuits", "analyze", "phase_mixing", *SMALL, "--json"]
    plain, started = (
        json.loads(qdm(*line, *extra).out)["estimates"]["meyer_wallach"]["value"]
        for extra in ([], ["--start-angle", "0.7853981633974483"])
    )
    # Controlled phases act on nothing in |0000>, whose Fourier transform is a product.
    assert plain == pytest.approx(0, abs=1e-9)
    assert started > 0.05


def test_export_of_one_template(qdm, tmp_path):
    result = qdm("circuits", "export", "conv_unit", "--out", tmp_path / "new")
    assert (result.code, result.err) == (0, "")
    written = {each.name for each in (tmp_path / "new").iterdir()}
    assert written == {"conv_unit.qasm", "conv_unit.svg", "conv_unit.json"}
    assert qasm3.loads((tmp_path / "new" / "conv_unit.qasm").read_text()).num_parameters == 3
    assert f"3 files in {tmp_path / 'new'}" in result.out


def exported(qdm, folder, *words):
    """Facts and files of an export."""
    result = qdm("circuits", "export", *words, "--out", folder, "--json")
    assert (result.code, result.err) == (0, "")
    return json.loads(result.out), {each.name: each.read_text() for each in folder.iterdir()}


def test_export_with_other_options(qdm, tmp_path):
    (facts,), files = exported(qdm, tmp_path, "eeqdm", "--set", "num_data=2", "--set", "depth=4")
    assert set(files) == {"eeqdm.qasm", "eeqdm.svg", "eeqdm.json"}
    assert facts == json.loads(files["eeqdm.json"])
    assert facts["options"] == {"num_data": 2, "depth": 4, "guided": False}
    back = qasm3.loads(files["eeqdm.qasm"])
    assert back.num_parameters == len(facts["parameters"]["weights"]) == 4 * 2 * 3
    assert "cnots" not in facts["transpiled"]  # the gallery's own counts


def test_export_of_a_circuit_on_a_device(qdm, tmp_path):
    """Bound to the same values, the program on the device makes the template's state."""
    words = "eeqdm", "--set", "num_data=2", "--device", "fake_manila", "--seed", "3"
    (facts,), files = exported(qdm, tmp_path, *words)
    found = facts["transpiled"]
    assert (found["backend"], found["level"], found["seed"]) == ("fake_manila", 3, 3)
    program = files["eeqdm.fake_manila.qasm"]
    assert f"// Depth {found['depth']}, {found['two_qubit_gates']} two-qubit gates" in program
    isa = qasm3.loads(program)
    assert isa.depth() == found["depth"]
    assert isa.count_ops()["cx"] == found["two_qubit_gates"] == found["cnots"] > 0
    couplings = {tuple(pair) for pair in load_backend("fake_manila").coupling_map}
    used = [tuple(isa.find_bit(q).index for q in each.qubits) for each in isa.data]
    assert {pair for pair in used if len(pair) == 2} <= couplings
    template = qasm3.loads(files["eeqdm.qasm"])
    angles = {p.name: 0.3 + 0.1 * k for k, p in enumerate(template.parameters)}
    ours, theirs = (
        Statevector(each.assign_parameters({p.name: angles[p.name] for p in each.parameters}))
        for each in (template, isa)
    )
    rest = set(range(isa.num_qubits)) - set(found["qubits_at_end"])
    # The qubits at the end in the template's order; all others are still in |0>.
    order = [*found["qubits_at_end"], *sorted(rest)]
    moved = theirs.data.reshape([2] * isa.num_qubits)
    moved = moved.transpose([isa.num_qubits - 1 - q for q in reversed(order)]).reshape(-1)
    kept = moved[: ours.dim]
    assert abs(abs(kept.conj() @ ours.data) - 1) < 1e-9


@pytest.mark.slow
def test_export_follows_the_couplings_of_a_device(qdm, tmp_path):
    words = [
        "--set",
        "num_wires=6",
        "--set",
        "entangler=cz",
        "--device",
        "fake_torino",
        "--level",
        "1",
    ]
    (facts,), _ = exported(qdm, tmp_path / "a", "hardware_efficient", *words)
    line = ["circuits", "show", "hardware_efficient", *words[:-2], "--json"]
    shown = json.loads(qdm(*line).out)
    assert facts["options"] == shown["options"]
    assert facts["transpiled"]["qubits_at_start"] == shown["device"]["qubits"]
    assert facts["transpiled"]["two_qubit_gates"] == shown["gates"]["cz"] == 10
    assert facts["transpiled"]["gate_success"] > 0.5  # no broken coupling
    straight = [*words, "--set", "entanglement=linear"]
    (facts,), _ = exported(qdm, tmp_path / "b", "hardware_efficient", *straight)
    assert facts["options"]["entanglement"] == "linear"


def test_export_says_what_a_circuit_costs(qdm, tmp_path):
    words = "conv_unit", "eeqdm", "--device", "fake_torino", "--out", tmp_path
    result = qdm("circuits", "export", *words)
    assert result.code == 0
    costs = json.loads((tmp_path / "conv_unit.json").read_text())["transpiled"]
    assert (
        f"conv_unit on fake_torino (level 3, seed 0): depth {costs['depth']}, 3 two-qubit gates, "
        "worth 3 CNOTs"
    ) in result.out
    assert "eeqdm on fake_torino" in result.out
    assert "8 files" in result.out


def test_a_large_circuit_is_exported_without_a_drawing(qdm, tmp_path):
    _, files = exported(qdm, tmp_path, "basic_entangling_layers", "--set", "depth=200")
    assert set(files) == {"basic_entangling_layers.qasm", "basic_entangling_layers.json"}


CASES = [
    ("circuits export --set depth=3 --out new", "--set is for one template, got none"),
    ("circuits export eeqdm qddm --set depth=3 --out new", "--set is for one template, got 2"),
    ("circuits export eeqdm --set dept=3 --out new", "called 'dept'.*Did you mean 'depth'"),
    ("circuits export eeqdm --device fake_torin --out new", "snapshot 'fake_torin'.*fake_torino"),
    ("circuits export --device fake_torino --out new", "--device is for templates by name"),
    ("circuits export eeqdm --level 1 --out new", "--level and --seed .* give --device"),
    ("circuits export eeqdm --device fake_torino --level 4 --out new", "--level"),
    ("circuits export eeqdm --device fake_torino --seed -1 --out new", "--seed"),
    (
        "circuits export eeqdm --set num_data=6 --device fake_manila --out new",
        "has 7 qubits and the device has 5",
    ),
    ("circuits show eqdm", "no template 'eqdm'.*Did you mean 'eeqdm'"),
    ("circuits analyze nothing", "no template 'nothing'; there are: .*conv_unit"),
    ("circuits export conv_unit eeqmd --out new", "no template 'eeqmd'.*Did you mean 'eeqdm'"),
    ("circuits export conv_unit conv_unit --out new", "named once"),
    ("circuits export conv_unit --out file/new", "Cannot write into file/new"),
    ("circuits show eeqdm --set dept=3", "option of 'eeqdm' called 'dept'.*Did you mean 'depth'"),
    ("circuits show eeqdm --set depth=two", "depth is a whole number, got 'two'"),
    ("circuits show eeqdm --set depth=0", "depth >= 1"),
    ("circuits show eeqdm --set num_data=1", "num_data >= 2"),
    ("circuits show eeqdm --set depth=9999", "at most 10000 parameters"),
    ("circuits show eeqdm --set guided=perhaps", "guided is true or false"),
    ("circuits show qamp_layers --set mixing=dct", "mixing.*qft"),
    ("circuits show cacioppo_denoiser --set depths=1,x,1", "depths is a whole number, got 'x'"),
    ("circuits show cacioppo_denoiser --set depths=1,1", "3 entries"),
    ("circuits analyze pairwise_bell_stage", "no free parameters"),
    ("circuits analyze eeqdm --set num_data=20 --set depth=1", "at most 16 qubits.* has 21"),
    ("circuits analyze eeqdm --samples 1 --out new", "samples must be 2 to"),
    ("circuits analyze eeqdm --samples 100000000", "samples must be 2 to"),
    ("circuits analyze eeqdm --samples 500000 --repeats 10", r"at most 1,000,000"),
    ("circuits analyze eeqdm --samples 100000 --repeats 2", "use fewer samples"),
    ("circuits analyze eeqdm --repeats 1", "repeats must be 2 to"),
    ("circuits analyze eeqdm --start-angle nan", "finite angle"),
    ("circuits analyze eeqdm --seed -1", "seed is an integer >= 0"),
    ("circuits analyze eeqdm --scan num_data=2,3 --scan depth=1", "one number of values"),
    ("circuits analyze eeqdm --scan num_dat=2,3", "Did you mean 'num_data'"),
    ("circuits analyze conv_unit --samples 2 --scan sign=plus,minus", "increasing numbers of qubi"),
    ("circuits analyze eeqdm --out file", "Cannot write into file"),
    ("circuits show hardware_efficient --device fake_torin", "snapshot 'fake_torin'.*fake_torino"),
    ("circuits show eeqdm --device fake_torino", "'eeqdm' has no choice of couplings"),
    (
        "circuits show hardware_efficient --device fake_torino --set entanglement=full",
        "one of the two",
    ),
    (
        "circuits show hardware_efficient --device fake_torino --set num_wires=200",
        "no connected region of 200 qubits, the largest has 129",
    ),
    (
        "circuits analyze hardware_efficient --device fake_torino --set num_wires=0",
        "num_wires >= 1",
    ),
]


@pytest.mark.parametrize(("line", "message"), CASES, ids=[line[9:60] for line, _ in CASES])
def test_a_mistake_costs_one_line(qdm, tmp_path, monkeypatch, snapshot, line, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    before = snapshot(tmp_path)
    result = qdm(*shlex.split(line))
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert re.search(message, result.err), result.err
    assert snapshot(tmp_path) == before
