"""Exact noisy evolution against Aer's density matrices: 1e-10 in complex128."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Instruction, Parameter
from qiskit.circuit.library import UnitaryGate, XGate
from qiskit.quantum_info import (
    DensityMatrix,
    Kraus,
    SparsePauliOp,
    random_quantum_channel,
    random_statevector,
)
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_aer import AerSimulator
from qiskit_aer.noise import (
    NoiseModel,
    ReadoutError,
    amplitude_damping_error,
    coherent_unitary_error,
    depolarizing_error,
    kraus_error,
    mixed_unitary_error,
    pauli_error,
    phase_amplitude_damping_error,
    reset_error,
    thermal_relaxation_error,
)

from qdm_qiskit.engine.noise import DensityProgram, compile_noisy
from qdm_qiskit.errors import InvalidData, InvalidOption, UnsupportedCircuit
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.region import active_qubits, noise_of
from qdm_qiskit.execution.snapshots import load_backend
from tests.helpers import random_angles

TOLERANCE = 1e-10
ONE_QUBIT = ("h", "x", "sx", "rx", "ry", "rz", "p", "u", "id", "delay", "reset")
TWO_QUBITS = ("cx", "cz", "swap", "crx", "cry", "crz", "cp", "rxx", "ryy", "rzz", "rzx", "cu")
THREE_QUBITS = ("ccx", "cswap")
ANGLES = {"rx": 1, "ry": 1, "rz": 1, "p": 1, "u": 3, "cu": 4} | dict.fromkeys(
    ("crx", "cry", "crz", "cp", "rxx", "ryy", "rzz", "rzx"), 1
)


def one_qubit_error(rng: np.random.Generator):
    p = rng.uniform(0.02, 0.3)
    turn = np.array([[np.cos(p), -np.sin(p)], [np.sin(p), np.cos(p)]])
    return rng.choice(
        np.array(
            [
                lambda: depolarizing_error(p, 1),
                lambda: amplitude_damping_error(p, rng.uniform(0, 0.5)),
                lambda: phase_amplitude_damping_error(p, p / 2),
                lambda: thermal_relaxation_error(50, rng.uniform(10, 90), 10 * p, 0.1),
                lambda: pauli_error([("X", p), ("Y", p / 2), ("I", 1 - 1.5 * p)]),
                lambda: mixed_unitary_error([(turn, p), (np.eye(2), 1 - p)]),
                lambda: coherent_unitary_error(turn),
                lambda: reset_error(p, p / 3),
                lambda: kraus_error(Kraus(random_quantum_channel(2, 2, seed=rng)).data),
            ],
            dtype=object,
        )
    )()


def two_qubit_error(rng: np.random.Generator):
    kind = rng.integers(4)
    if kind == 0:
        return depolarizing_error(rng.uniform(0.02, 0.3), 2)
    if kind == 1:
        return kraus_error(Kraus(random_quantum_channel(4, 4, seed=rng)).data)
    product = one_qubit_error(rng).tensor(one_qubit_error(rng))
    return product if kind == 2 else depolarizing_error(0.1, 2).compose(product)


def random_noise(num_qubits: int, seed: int, *, readout: bool = True) -> NoiseModel:
    """Some errors for all qubits, some for one place, in random choice."""
    rng = np.random.default_rng(seed)
    noise = NoiseModel()
    for name in (*ONE_QUBIT, *TWO_QUBITS):
        count = 1 if name in ONE_QUBIT else 2
        make = one_qubit_error if count == 1 else two_qubit_error
        if rng.random() < 0.4:
            noise.add_all_qubit_quantum_error(make(rng), [name], warnings=False)
        if rng.random() < 0.4:
            place = rng.permutation(num_qubits)[:count].tolist()
            noise.add_quantum_error(make(rng), [name], place, warnings=False)
    if readout:
        noise.add_all_qubit_readout_error(ReadoutError([[0.95, 0.05], [0.1, 0.9]]))
        noise.add_readout_error(ReadoutError([[0.8, 0.2], [0.3, 0.7]]), [1], warnings=False)
    return noise


def random_noisy_circuit(num_qubits: int, depth: int, seed: int):
    """A circuit over the whole gate set; half of the angles are inputs, half weights."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(num_qubits)
    inputs = [Parameter(f"x_{k:04d}") for k in range(3)]
    weights = [Parameter(f"w_{k:04d}") for k in range(3)]
    names = (*ONE_QUBIT, *TWO_QUBITS, *THREE_QUBITS)
    for parameter in (*inputs, *weights):  # all are used
        circuit.ry(parameter, int(rng.integers(num_qubits)))
    for name in rng.choice(names, depth):
        count = 1 if name in ONE_QUBIT else 2 if name in TWO_QUBITS else 3
        qubits = rng.permutation(num_qubits)[:count].tolist()
        angles = []
        for _ in range(ANGLES.get(name, 0)):
            pool = [inputs, weights][rng.integers(2)]
            angle = pool[rng.integers(3)] * rng.choice([1.0, -0.5, 2.0]) + rng.choice([0.0, 0.4])
            angles.append(angle if rng.random() < 0.7 else float(rng.uniform(-3, 3)))
        if name == "delay":
            circuit.delay(100, qubits[0])
        else:
            getattr(circuit, name)(*angles, *qubits)
    return circuit, inputs, weights


def bind(circuit, inputs, weights, x, w) -> QuantumCircuit:
    return circuit.assign_parameters(
        {**dict(zip(inputs, x, strict=True)), **dict(zip(weights, w, strict=True))}
    )


def aer_matrix(bound: QuantumCircuit, noise: NoiseModel, state: np.ndarray | None = None):
    circuit = QuantumCircuit(bound.num_qubits)
    if state is not None:
        circuit.set_density_matrix(DensityMatrix(state))
    for item in bound.data:
        operation = item.operation
        if operation.name in ("crx", "cry", "crz", "cu", "cswap"):
            # Aer's density-matrix method lacks these; it finds the errors of a label all the same.
            operation = UnitaryGate(operation.to_matrix(), label=operation.name)
        circuit.append(operation, [bound.find_bit(qubit).index for qubit in item.qubits])
    circuit.save_density_matrix()
    simulator = AerSimulator(method="density_matrix", noise_model=noise)
    return np.asarray(simulator.run(circuit, shots=1).result().data(0)["density_matrix"])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 4), st.integers(0, 25), st.booleans())
def test_random_circuits_and_noise_models_against_aer(seed, num_qubits, depth, with_states):
    circuit, inputs, weights = random_noisy_circuit(num_qubits, depth, seed)
    noise = random_noise(num_qubits, seed)
    x, w = random_angles(3, 3, 2, seed)
    states = None
    program = compile_noisy(
        circuit, noise, inputs, weights, method="density", unknown_gates="noiseless"
    )
    if with_states:
        k = len(program.active)
        states = np.stack([random_statevector(2**k, seed=seed + j).data for j in range(2)])
    got = program.density_matrix(x, w, None if states is None else torch.tensor(states))
    everything = program.probabilities(
        x, w, None if states is None else torch.tensor(states), readout=False
    )
    for row in range(2):
        bound = bind(circuit, inputs, weights, x[row].numpy(), w.numpy())
        start = None
        if states is not None:
            # Idle qubits are in |0>: spread the state over the circuit's qubits.
            start = np.zeros(2**num_qubits, dtype=complex)
            for index, amplitude in enumerate(states[row]):
                place = sum((index >> j & 1) << q for j, q in enumerate(program.active))
                start[place] = amplitude
        expected = aer_matrix(bound, noise, start)
        assert np.abs(everything[row].numpy() - np.diag(expected).real).max() < TOLERANCE
        if len(program.active) == num_qubits:
            assert np.abs(got[row].numpy() - expected).max() < TOLERANCE


@pytest.mark.parametrize("seed", range(4))
def test_states_and_observables_pictures_agree(seed, monkeypatch):
    """The plan is chosen by cost: every one of them must give the same."""
    circuit, inputs, weights = random_noisy_circuit(4, 30, seed)
    program = compile_noisy(
        circuit,
        random_noise(4, seed),
        inputs,
        weights,
        method="density",
        unknown_gates="noiseless",
    )
    assert isinstance(program, DensityProgram)
    x, w = random_angles(3, 3, 5, seed)
    rng = np.random.default_rng(seed)
    labels = ["".join(rng.choice(list("IXYZ"), 4)) for _ in range(6)]
    observables = [SparsePauliOp(labels[:3], [0.3, -1, 2]), *map(SparsePauliOp, labels[3:])]
    found = []
    for width in (2, 3):
        for backward in (False, True):
            layout = program._layouts.compiled(program._layouts.pictures((), True, width, backward))
            chosen = lambda *_, layout=layout: layout  # noqa: E731
            monkeypatch.setattr(program._layouts, "chosen", chosen)
            monkeypatch.setattr(program._ways, "choose", lambda *_: None)  # calls of torch alone
            found.append(program.expectation(observables, x, w))
    for other in found[1:]:
        assert torch.allclose(found[0], other, atol=1e-12)


def test_expectation_of_pauli_sums_against_aer():
    circuit, inputs, weights = random_noisy_circuit(3, 15, 5)
    noise = random_noise(3, 5)
    x, w = random_angles(3, 3, 2)
    observables = [SparsePauliOp(["XYZ", "ZIZ", "III"], [1, -2, 0.5]), SparsePauliOp("IYI")]
    program = compile_noisy(circuit, noise, inputs, weights, unknown_gates="noiseless")
    got = program.expectation(observables, x, w, readout=False)
    for row in range(2):
        rho = DensityMatrix(
            aer_matrix(bind(circuit, inputs, weights, x[row].numpy(), w.numpy()), noise)
        )
        expected = [rho.expectation_value(each).real for each in observables]
        assert np.abs(got[row].numpy() - expected).max() < TOLERANCE


def test_errors_are_found_by_label_name_and_qubits_as_aer_finds_them():
    first, second = pauli_error([("X", 0.1), ("I", 0.9)]), pauli_error([("X", 0.3), ("I", 0.7)])
    labelled, plain, measured = QuantumCircuit(1), QuantumCircuit(1), QuantumCircuit(2)
    labelled.append(XGate(label="mine"), [0])
    plain.x(0)
    measured.x(0)
    measured.append(XGate(label="mine"), [1])
    cases = []
    for local, default in (
        (("x", [0]), "mine"),
        (("mine", [0]), "x"),
        (("x", [1]), "x"),
        (("mine", [1]), "mine"),
        (("mine", [1]), "x"),
    ):
        noise = NoiseModel()
        noise.add_quantum_error(first, [local[0]], local[1], warnings=False)
        noise.add_all_qubit_quantum_error(second, [default], warnings=False)
        cases.append(noise)
    for noise in cases:
        for circuit in (labelled, plain, measured):
            program = compile_noisy(circuit, noise, unknown_gates="noiseless")
            got = program.probabilities()[0].numpy()
            assert np.abs(got - np.diag(aer_matrix(circuit, noise)).real).max() < 1e-7  # float32


def test_errors_of_measurements_precede_them_and_readout_follows():
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(pauli_error([("X", 0.1), ("I", 0.9)]), ["measure"])
    noise.add_all_qubit_readout_error(ReadoutError([[1, 0], [0.5, 0.5]]))
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    program = compile_noisy(circuit, noise)
    assert program.measured == (0,)
    assert program.active == (0,)
    got = program.probabilities(qubits=program.measured)[0].tolist()
    assert got == pytest.approx([0.1 + 0.45, 0.45])
    # The idle qubit is read as 0; outcomes are in Qiskit's order.
    assert program.probabilities()[0].tolist() == pytest.approx([0.55, 0.45, 0, 0])


def test_relaxation_during_delays_as_aer_and_on_moved_qubits():
    backend = load_backend("fake_torino")
    qubits = (3, 4)
    noise = noise_of(backend, frozenset(qubits))
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.cz(0, 1)
    circuit.delay(20000, 0, unit="ns")
    circuit.x(1)
    circuit.delay(10000, 1, unit="ns")
    wide = QuantumCircuit(5)
    wide.compose(circuit, qubits=qubits, inplace=True)
    program = compile_noisy(circuit, noise, physical_qubits=qubits)
    small = program.probabilities(readout=False)
    large = compile_noisy(wide, noise).probabilities(qubits=qubits, readout=False)
    expected = np.diag(aer_matrix(wide, noise)).real[:: 2**3][:4]
    assert torch.equal(small, large)
    assert np.abs(small[0].numpy() - expected).max() < 1e-6
    without = circuit.copy_empty_like()
    for item in circuit.data:
        if item.operation.name != "delay":
            without.append(item)
    ideal = compile_noisy(without, noise, physical_qubits=qubits)
    assert (small - ideal.probabilities(readout=False)).abs().max() > 0.01


def test_channels_in_the_circuit():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.append(amplitude_damping_error(0.3).to_instruction(), [0])
    circuit.append(random_quantum_channel(4, 4, seed=3).to_instruction(), [1, 0])
    got = compile_noisy(circuit, NoiseModel()).probabilities()[0].numpy()
    expected = DensityMatrix.from_label("00").evolve(
        QuantumCircuit(2).compose(_only(circuit, 0)).to_instruction()
    )
    expected = expected.evolve(Kraus(amplitude_damping_error(0.3)), [0])
    expected = expected.evolve(random_quantum_channel(4, 4, seed=3), [1, 0])
    assert np.abs(got - expected.probabilities()).max() < 1e-6


def _only(circuit: QuantumCircuit, index: int) -> QuantumCircuit:
    part = circuit.copy_empty_like()
    part.append(circuit.data[index])
    return part


def ring(num_qubits: int):
    """W4's kind: RX inputs, two layers of RY and a ring of CX."""
    inputs = [Parameter(f"x_{k:04d}") for k in range(num_qubits)]
    weights = [Parameter(f"w_{k:04d}") for k in range(2 * num_qubits)]
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.rx(inputs[qubit], qubit)
    for layer in range(2):
        for qubit in range(num_qubits):
            circuit.ry(weights[layer * num_qubits + qubit], qubit)
        for qubit in range(num_qubits):
            circuit.cx(qubit, (qubit + 1) % num_qubits)
    return circuit, inputs, weights


@pytest.fixture(scope="module")
def torino():
    backend = load_backend("fake_torino")
    circuit, inputs, weights = ring(4)
    isa = generate_preset_pass_manager(3, backend, seed_transpiler=1).run(circuit)
    noise = noise_of(backend, active_qubits([isa]))
    return circuit, isa, noise, inputs, weights


def test_snapshot_agrees_with_the_noisy_runner(torino):
    _, isa, noise, inputs, weights = torino
    layout = isa.layout.final_index_layout()
    measured = isa.copy()
    measured.add_register(ClassicalRegister(4, "c"))
    for bit, qubit in enumerate(layout):
        measured.measure(qubit, bit)
    x, w = random_angles(4, 8, 3)
    by_name = {**dict(zip(inputs, x.numpy().T, strict=True))}
    by_name.update({p: np.full(3, v) for p, v in zip(weights, w.numpy(), strict=True)})
    rows = np.stack([by_name[p] for p in measured.parameters], axis=1)
    expected = NoisyRunner("fake_torino", seed=1).exact_probabilities(measured, rows)
    program = compile_noisy(measured, noise, inputs, weights)
    assert program.measured == tuple(layout)
    got = program.probabilities(x, w, qubits=program.measured).numpy()
    assert np.abs(got - expected).max() < 1e-8
    # Expectation values through the readout are those of the outcomes read.
    observables = [
        SparsePauliOp.from_sparse_list([("ZZ", [k, (k + 1) % 4], 1.0)], 4).apply_layout(isa.layout)
        for k in range(4)
    ]
    sign = 1 - 2 * ((np.arange(16)[:, None] >> np.arange(4)) & 1)
    parity = sign * np.roll(sign, -1, axis=1)
    found = program.expectation(observables, x, w).numpy()
    assert np.abs(found - expected @ parity).max() < 1e-8


def test_noise_changes_the_answer(torino):
    circuit, isa, noise, inputs, weights = torino
    x, w = random_angles(4, 8, 3)
    layout = isa.layout.final_index_layout()
    ideal = compile_noisy(circuit, NoiseModel(), inputs, weights).probabilities(x, w)
    bare = compile_noisy(isa, NoiseModel(), inputs, weights).probabilities(x, w, qubits=layout)
    noisy = compile_noisy(isa, noise, inputs, weights).probabilities(x, w, qubits=layout)
    assert torch.allclose(ideal, bare, atol=1e-9)
    assert (noisy - ideal).abs().sum(1).min() > 0.02
    assert torch.allclose(noisy.sum(1), torch.ones(3, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 2))]
)
def test_gradcheck_in_inputs_weights_and_initial_state(seed):
    circuit, inputs, weights = random_noisy_circuit(3, 10, seed)
    program = compile_noisy(
        circuit,
        random_noise(3, seed),
        inputs,
        weights,
        method="density",
        unknown_gates="noiseless",
    )
    x, w = random_angles(3, 3, 2, seed)
    k = len(program.active)
    states = torch.tensor(np.stack([random_statevector(2**k, seed=j).data for j in range(2)]))
    arguments = [tensor.requires_grad_() for tensor in (x, w, states)]
    observables = [SparsePauliOp(["XYZ", "ZII"], [1, 0.3]), SparsePauliOp("IZY")]
    assert torch.autograd.gradcheck(lambda *a: program.probabilities(*a), arguments)
    assert torch.autograd.gradcheck(lambda *a: program.expectation(observables, *a), arguments)
    assert torch.autograd.gradcheck(lambda *a: program.density_matrix(*a), arguments)


def test_weight_gradient_is_the_parameter_shift_of_aer():
    circuit, inputs, weights = ring(3)
    noise = random_noise(3, 8)
    x, w = random_angles(3, 6, 1)
    w.requires_grad_()
    observable = SparsePauliOp("ZZI")
    program = compile_noisy(circuit, noise, inputs, weights, unknown_gates="noiseless")
    value = program.expectation([observable], x, w, readout=False)
    value.sum().backward()
    for k in range(6):
        sides = []
        for shift in (np.pi / 2, -np.pi / 2):
            moved = w.detach().numpy().copy()
            moved[k] += shift
            rho = DensityMatrix(
                aer_matrix(bind(circuit, inputs, weights, x[0].numpy(), moved), noise)
            )
            sides.append(rho.expectation_value(observable).real)
        assert w.grad is not None
        assert abs(w.grad[k].item() - (sides[0] - sides[1]) / 2) < TOLERANCE


def test_float32_agrees_with_float64(torino):
    _, isa, noise, inputs, weights = torino
    program = compile_noisy(isa, noise, inputs, weights)
    x, w = random_angles(4, 8, 3)
    layout = isa.layout.final_index_layout()
    low = program.probabilities(x.float(), w.float(), qubits=layout)
    assert low.dtype == torch.float32
    assert (low - program.probabilities(x, w, qubits=layout)).abs().max() < 1e-5


def test_training_through_noise_trains(torino):
    _, isa, noise, inputs, weights = torino
    program = compile_noisy(isa, noise, inputs, weights)
    observables = [
        SparsePauliOp.from_sparse_list([("Z", [k], 1.0)], 4).apply_layout(isa.layout)
        for k in range(4)
    ]
    x, w = random_angles(4, 8, 8)
    w.requires_grad_()
    optimiser = torch.optim.Adam([w], lr=0.1)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = (program.expectation(observables, x, w) - 0.2).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_what_cannot_be_run_is_refused():
    empty = NoiseModel()
    free = QuantumCircuit(1)
    free.rx(Parameter("x"), 0)
    with pytest.raises(UnsupportedCircuit, match="x"):
        compile_noisy(free, empty)
    with pytest.raises(InvalidOption, match="method"):
        compile_noisy(QuantumCircuit(1), empty, method="exact")  # type: ignore[call-overload]
    again = QuantumCircuit(1, 1)
    again.measure(0, 0)
    again.x(0)
    with pytest.raises(UnsupportedCircuit, match="measured"):
        compile_noisy(again, empty)
    control = QuantumCircuit(1, 1)
    with control.if_test((control.clbits[0], 1)):
        control.x(0)
    with pytest.raises(UnsupportedCircuit, match="if_else"):
        compile_noisy(control, empty)
    half = QuantumCircuit(1)
    half.append(Instruction("kraus", 1, 0, [np.eye(2) / 2]), [0])
    with pytest.raises(UnsupportedCircuit, match="trace preserving"):
        compile_noisy(half, empty)
    pair = NoiseModel()
    pair.add_readout_error(ReadoutError(np.full((4, 4), 0.25)), [0, 1])
    with pytest.raises(UnsupportedCircuit, match="one qubit each"):
        compile_noisy(QuantumCircuit(2), pair)
    wide = NoiseModel()
    wide.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["mine"])
    labelled = QuantumCircuit(1)
    labelled.append(XGate(label="mine"), [0])
    with pytest.raises(UnsupportedCircuit, match="non-local"):
        compile_noisy(labelled, wide)


def test_bad_tensors_are_refused():
    circuit, inputs, weights = ring(3)
    program = compile_noisy(circuit, NoiseModel(), inputs, weights)
    x, w = random_angles(3, 6, 2)
    for bad_x, bad_w, match in (
        (x[:, :2], w, "shape"),
        (x, w[:2], "shape"),
        (x[:0], w, "at least one"),
        (None, w, "None"),
        (x * torch.nan, w, "finite"),
        (x, w / 0, "finite"),
        (x, w.int(), "real"),
    ):
        with pytest.raises(InvalidData, match=match):
            program.probabilities(bad_x, bad_w)
    with pytest.raises(InvalidData, match="distinct"):
        program.probabilities(x, w, qubits=[0, 0])
    with pytest.raises(InvalidData, match="3 qubits"):
        program.expectation([SparsePauliOp("ZZ")], x, w)
    with pytest.raises(InvalidData, match="Hermitian"):
        program.expectation([SparsePauliOp("ZZZ", 1j)], x, w)
    with pytest.raises(InvalidData, match="shape"):
        program.probabilities(x, w, torch.ones(2, 4))


def test_too_many_qubits_are_refused_with_the_number():
    circuit = QuantumCircuit(25)
    circuit.h(range(25))
    circuit.cx(range(24), range(1, 25))
    program = compile_noisy(circuit, NoiseModel(), method="density")
    with pytest.raises(InvalidData, match="GiB"):
        program.expectation([SparsePauliOp("Z" * 25)])
    with pytest.raises(InvalidData, match="name those"):
        program.probabilities()


def test_angles_that_are_not_linear():
    x, w = Parameter("x_0000"), Parameter("w_0000")
    circuit = QuantumCircuit(2)
    circuit.rx(x * w + 0.1, 0)
    circuit.ry(w.sin() * 2, 1)
    circuit.cx(0, 1)
    circuit.rz(x, 0)
    circuit.rz(x.cos(), 1)
    circuit.rx(w**2 - w, 0)
    noise = random_noise(2, 3)
    inputs, weights = random_angles(1, 1, 2)
    program = compile_noisy(circuit, noise, [x], [w], method="density", unknown_gates="noiseless")
    got = program.density_matrix(inputs, weights)
    for row in range(2):
        bound = bind(circuit, [x], [w], inputs[row].numpy(), weights.numpy())
        assert np.abs(got[row].numpy() - aer_matrix(bound, noise)).max() < TOLERANCE


def test_the_engine_loads_neither_aer_nor_the_client_of_ibm():
    code = (
        "import sys, qdm_qiskit.engine.noise; "
        "sys.exit(any(m.startswith(('qiskit_aer', 'qiskit_ibm_runtime')) for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_without_gradients_needs_no_memory_for_them(monkeypatch):
    circuit, inputs, weights = ring(4)
    program = compile_noisy(circuit, random_noise(4, 3), inputs, weights, unknown_gates="noiseless")
    x, w = random_angles(4, 8, 64)
    asked = []
    for module in ("density", "column_ways"):
        monkeypatch.setattr(
            f"qdm_qiskit.engine.noise.{module}.check_memory",
            lambda needed, *_: asked.append(needed),
        )
    program.probabilities(x, w)
    program.probabilities(x, w.clone().requires_grad_())
    without, kept = asked
    assert 2 * 4**4 * 8 <= without < kept / 2  # a vector and its successor, at least
