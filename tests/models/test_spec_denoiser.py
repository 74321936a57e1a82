"""A denoiser of a user's own circuit: its arithmetic, its folder, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector

from qdm_qiskit.circuits import CircuitSpec, ProbabilityReadout
from qdm_qiskit.circuits.image_denoisers import eeqdm
from qdm_qiskit.errors import InvalidArgument, InvalidCheckpoint, InvalidData, InvalidOption
from qdm_qiskit.models import (
    EEQDM,
    AmplitudeDenoiserConfig,
    Denoiser,
    SpecDenoiser,
    load_model,
    resolve,
    save_model,
)
from qdm_qiskit.training import resolve_run, run_from_dict
from tests.helpers import generator


def angles(num_qubits: int = 2, pixels: int = 4) -> QuantumCircuit:
    """Pixels, time and class as angles; weights behind them."""
    circuit = QuantumCircuit(QuantumRegister(num_qubits, "wire"), name="own")
    pixel, theta = ParameterVector("pixel", pixels), ParameterVector("theta", num_qubits)
    for k in range(pixels):
        circuit.ry(pixel[k], k % num_qubits)
    circuit.rx(Parameter("when"), 0)
    circuit.rz(Parameter("kind"), 1)
    for k in range(num_qubits):
        circuit.ry(theta[k], k)
        circuit.cx(k, (k + 1) % num_qubits)
    return circuit


def spec(num_qubits: int = 2, pixels: int = 4, **changes) -> CircuitSpec:
    roles = {
        "inputs": "pixel",
        "weights": "theta",
        "time": "when",
        "label": "kind",
        "readout": range(num_qubits),
    }
    return CircuitSpec.from_circuit(angles(num_qubits, pixels), **{**roles, **changes})


def model(readout=None, num_qubits: int = 2, **options) -> SpecDenoiser:
    chosen = {} if readout is None else {"readout": readout}
    return Denoiser.from_spec(
        spec(num_qubits, **chosen),
        image_shape=(1, 2, 2),
        num_classes=4,
        generator=generator(),
        **options,
    )


X = torch.tensor([[[[0.1, 0.9], [0.4, 0.6]]], [[[1.0, 0.0], [0.2, 0.3]]]], dtype=torch.float64)
T = torch.tensor([0.5, 1.0], dtype=torch.float64)
LABELS = torch.tensor([3, 1])


def expected_states(made: SpecDenoiser, scale: float, time_scale: float) -> list[Statevector]:
    circuit = angles(made.num_qubits)
    theta = made.layer.weights.detach().numpy()
    states = []
    for x, t, label in zip(X, T, LABELS, strict=True):
        values = {f"pixel[{k}]": scale * float(p) for k, p in enumerate(x.flatten())}
        values |= {"when": time_scale * float(t), "kind": 2 * math.pi * int(label) / 4}
        values |= {f"theta[{k}]": float(w) for k, w in enumerate(theta)}
        states.append(
            Statevector(circuit.assign_parameters({p: values[p.name] for p in circuit.parameters}))
        )
    return states


@pytest.mark.parametrize(("scale", "time_scale"), [(math.pi, math.pi), (0.5, -2.0)])
def test_outcomes_become_pixels(scale, time_scale):
    made = model(scale=scale, time_scale=time_scale).double()
    found = made(X, T, LABELS).detach().reshape(2, 4).numpy()
    for row, state in zip(found, expected_states(made, scale, time_scale), strict=True):
        np.testing.assert_allclose(row, np.clip(4 * state.probabilities(), 0, 1), atol=1e-12)


def test_as_many_qubits_as_pixels_give_one_each():
    made = model(num_qubits=4, readout=[3, 1, 0, 2]).double()
    found = made(X, T, LABELS).detach().reshape(2, 4).numpy()
    for row, state in zip(found, expected_states(made, math.pi, math.pi), strict=True):
        ones = [state.probabilities([qubit])[1] for qubit in (3, 1, 0, 2)]
        np.testing.assert_allclose(row, ones, atol=1e-12)


def test_expectation_values_become_pixels():
    observables = [SparsePauliOp(label) for label in ("ZI", "IZ", "XX")]
    observables.append(SparsePauliOp(["ZZ", "YI"], [1 / 3, -0.1]))
    made = model(readout=observables).double()
    found = made(X, T, LABELS).detach().reshape(2, 4).numpy()
    for row, state in zip(found, expected_states(made, math.pi, math.pi), strict=True):
        values = [(1 - state.expectation_value(each).real) / 2 for each in observables]
        np.testing.assert_allclose(row, np.clip(values, 0, 1), atol=1e-12)


def test_every_input_and_weight_has_its_gradient():
    made = model().double()
    x = X.clone().requires_grad_()
    made(x, T, LABELS).square().sum().backward()
    assert bool((x.grad.flatten(1).abs().sum(0) > 0).all())
    assert bool((made.layer.weights.grad != 0).all())


@pytest.mark.parametrize("guided", [False, True])
def test_a_built_in_template_is_the_same_by_this_door(guided):
    """EEQDM under other names, from a circuit that knows nothing of this package."""
    template = eeqdm(4, 2, guided=guided)
    theta = ParameterVector("theta", len(template.weights))
    names = dict(zip(template.weights, theta, strict=True))
    names |= {p: Parameter("class") for p in template.inputs}
    foreign = QuantumCircuit(QuantumRegister(1, "ancilla"), QuantumRegister(4, "image"))
    foreign.compose(template.circuit.assign_parameters(names), inplace=True)
    image = foreign.qregs[1]
    own = CircuitSpec.from_circuit(
        foreign,
        weights=[theta],
        label="class" if guided else None,
        loads="amplitudes",
        data_qubits=image,
        readout=ProbabilityReadout(qubits=(1, 2, 3, 4), postselect=((0, 0),)),
    )
    ours = Denoiser.from_spec(
        own, image_shape=(1, 4, 4), weight_map="pi_tanh", num_classes=3, generator=generator(5)
    )
    config = AmplitudeDenoiserConfig(image_size=4, depth=2, guided=guided, num_classes=3)
    theirs = EEQDM(config, generator=generator(5))
    x, t = torch.rand(3, 1, 4, 4, generator=generator()), torch.ones(3)
    labels = torch.tensor([0, 1, 2]) if guided else None
    results = [each(x, t, labels) for each in (ours, theirs)]
    assert torch.equal(*results)
    grads = [
        torch.autograd.grad(y.sum(), each.layer.weights)[0]
        for y, each in zip(results, (ours, theirs), strict=True)
    ]
    assert torch.equal(*grads)


@pytest.mark.parametrize(
    "readout", [None, ProbabilityReadout(qubits=(1, 0)), [SparsePauliOp("ZX", 1 / 3)] * 4]
)
def test_the_folder_holds_the_circuit(tmp_path, readout):
    made = model(readout)
    save_model(made, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded = load_model(tmp_path, expected="circuit")
    assert isinstance(loaded, SpecDenoiser)
    assert loaded.config == made.config
    assert dataclasses.replace(loaded.spec, circuit=made.spec.circuit) == made.spec
    assert loaded.spec.circuit == made.spec.circuit
    assert torch.equal(loaded(X, T, LABELS), made(X, T, LABELS))


def test_options_are_the_same_when_the_code_has_run_again():
    one, other = model().config, model().config
    assert one is not other
    assert one == other
    assert hash(one) == hash(other)
    # Qiskit's own version stands in QPY's header, and means nothing for the circuit.
    import base64

    content = bytearray(base64.b64decode(one.circuit))
    assert content[8] > 0
    content[8] -= 1  # a newer one would be warned of
    patched = dataclasses.replace(one, circuit=base64.b64encode(bytes(content)).decode())
    assert patched == one
    assert dataclasses.replace(one, scale=1.0) != one
    bigger = model(num_qubits=3, readout=[0, 1]).config
    assert dataclasses.replace(one, circuit=bigger.circuit) != one


def edited(folder, **changes) -> None:
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["options"] |= changes
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "changes",
    [
        {"circuit": "AAAA"},
        {"circuit": ""},
        {"circuit": 7},
        {"data_qubits": [0]},
        {"data_qubits": [0, 1, 5]},
        {"readout_qubits": []},
        {"readout_qubits": [0]},
        {"observables": [["1.0 ZZ"]]},
        {"readout_qubits": [], "observables": [["1.0 ZZ", "nonsense"]] * 4},
        {"readout_qubits": [], "observables": [["1.0 ZZZ"]] * 4},
        {"postselect": [[1]]},
        {"time_input": 9},
        {"time_input": 5},
        {"input_names": ["a"]},
        {"encoding": "amplitudes"},
        {"image_size": 3},
        {"image_size": 10**9},
        {"scale": "nan"},
        {"weight_map": "eval"},
    ],
)
def test_a_changed_folder_is_refused_in_one_line(tmp_path, changes):
    save_model(model(), tmp_path)
    edited(tmp_path, **changes)
    with pytest.raises(InvalidCheckpoint) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def measured_in_part() -> CircuitSpec:
    return spec(3, readout=[0])


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (spec, {"image_shape": (1, 4, 4)}, "16 pixels, but 'own' has 4 inputs"),
        (measured_in_part, {}, "4 pixels, so 'own' reads 2 qubits .* or 4 .*, got 1"),
        (lambda: spec(3), {}, "got 3"),
        (lambda: spec(readout=SparsePauliOp("ZZ")), {}, "reads 1 expectation values"),
        (lambda: spec(weights=(), inputs=["pixel", "theta"]), {}, "nothing to train"),
        (spec, {"image_shape": (1, 2, 3)}, "square images"),
        (spec, {"image_shape": (1, 2)}, "square images"),
        (spec, {"image_shape": (2, 2, 2)}, "channels is 1"),
        (spec, {"image_shape": (1, 1, 1)}, "image_size is 2"),
        (spec, {"num_classes": 0}, "num_classes must be at least 1"),
        (spec, {"scale": math.inf}, "scale must be a finite number"),
        (spec, {"init_std": -1.0}, "init_std must be a finite number >= 0"),
        (spec, {"weight_map": "tanh"}, "weight_map is one of"),
        (
            lambda: CircuitSpec.from_circuit(
                angles(), weights=["theta", "pixel"], time="when", label="kind",
                loads="amplitudes", data_qubits=[0], readout=[0, 1],
            ),
            {},
            "1 data qubits of 'own' hold 2 amplitudes",
        ),
    ],
)  # fmt: skip
def test_images_that_do_not_fit_are_refused_in_one_line(make, options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        Denoiser.from_spec(make(), **{"image_shape": (1, 2, 2), **options})
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spec", QuantumCircuit(1)),
        ("image_shape", 4),
        ("image_shape", "144"),
        ("image_shape", (1, 2.0, 2)),
        ("num_classes", 2.5),
        ("scale", "pi"),
        ("time_scale", None),
        ("init_std", True),
    ],
)
def test_arguments_of_another_kind_are_named(name, value):
    given = {"spec": spec(), "image_shape": (1, 2, 2), name: value}
    with pytest.raises(InvalidArgument, match=f"`{name}` is "):
        Denoiser.from_spec(given.pop("spec"), **given)


def test_time_labels_and_images_are_checked():
    made = model().double()
    for given, message in (
        ((X, T, None), "needs labels"),
        ((X, T[:1], LABELS), "needs t of shape"),
        ((X, T, LABELS + 7), "class indices"),
        ((X[:, :, :1], T, LABELS), "takes images of shape"),
        ((X / 0, T, LABELS), "NaN or infinity"),
    ):
        with pytest.raises(InvalidData, match=message):
            made(*given)
    with pytest.raises(InvalidData, match="told the time"):
        made.encode(X, LABELS)
    plain = spec(time=None, label=None, weights=["theta", "when", "kind"])
    with pytest.raises(InvalidData, match="takes no labels"):
        Denoiser.from_spec(plain, image_shape=(1, 2, 2))(X.float(), T, LABELS)


def test_a_run_is_made_of_the_model_and_reads_back():
    made = model()
    config = resolve_run(made, {"epochs": 3, "num_steps": 5, "scale": 2.0})
    assert (config.model, config.training.epochs, config.diffusion.num_steps) == ("circuit", 3, 5)
    assert config.model_options == dataclasses.replace(made.config, scale=2.0)
    assert run_from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(InvalidOption, match="depth"):
        resolve_run(made, {"depth": 3})
    for by_name in (resolve_run, resolve):
        with pytest.raises(InvalidOption, match="a name is not enough") as caught:
            by_name("circuit")
        assert "\n" not in str(caught.value)
    # Built-in models take the same door.
    own = resolve_run(EEQDM(AmplitudeDenoiserConfig(image_size=4)), {"depth": 3})
    assert own == resolve_run("eeqdm", {"image_size": 4, "depth": 3})
