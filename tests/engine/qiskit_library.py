"""Circuits of every name in ``qiskit.circuit.library``, with free parameters where it has any.

Names are discovered: one that is new in a later Qiskit and stands in no table here fails the sweep,
unless it is a gate or a function whose arguments can be guessed.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import qiskit.circuit.library as library
from qiskit import QuantumCircuit
from qiskit.circuit import Operation, Parameter
from qiskit.circuit.library import PhaseGate, RYGate, ZGate
from qiskit.quantum_info import (
    Pauli,
    SparseObservable,
    SparsePauliOp,
    random_unitary,
)
from qiskit.synthesis import LieTrotter, MatrixExponential, SuzukiTrotter

a, b, c, d = (Parameter(name) for name in "abcd")
PAULIS = SparsePauliOp(["ZZ", "XI", "IY"], [0.7, -0.4, 0.9])
CHAIN = SparsePauliOp.from_sparse_list(
    [("ZZ", [k, k + 1], 0.5 + 0.1 * k) for k in range(5)] + [("X", [k], 0.8) for k in range(6)], 6
)
GRAPH = np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]])

NOT_CIRCUITS = {
    "Barrier": "no gate: tested by itself",
    "BlueprintCircuit": "abstract",
    "FunctionalPauliRotations": "abstract",
    "get_standard_gate_name_mapping": "a table",
    "Measure": "no gate: tested by itself",
    "Reset": "no gate: tested by itself",
}
"""Names in the library that are no circuit, and what they are."""


_PAULI_ROTATIONS: dict[str, dict[str, Any]] = {
    "LinearPauliRotations": {"slope": 0.4, "offset": 0.3, "basis": "X"},
    "PolynomialPauliRotations": {"coeffs": [0.2, 0.5, 0.1]},
    "PiecewiseLinearPauliRotations": {
        "breakpoints": [0, 2],
        "slopes": [0.4, -0.3],
        "offsets": [0.2, 0.7],
    },
    "PiecewisePolynomialPauliRotations": {
        "breakpoints": [0, 2],
        "coeffs": [[0.1, 0.6], [0.5]],
    },
}


def _sized(factory: Callable[[int], Any], *sizes: int) -> Callable[[], list[Any]]:
    return lambda: [factory(size) for size in sizes]


def _with(name: str, **options: Any) -> Callable[[], list[Any]]:
    return lambda: [getattr(library, name)(**options)]


def _oracle() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.mcp(a, [0, 1], 2)
    return circuit


def _bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.ry(a, 0)
    circuit.cx(0, 1)
    return circuit


def _unitary() -> np.ndarray:
    return random_unitary(4, seed=3).data


_LINEAR = {
    "num_state_qubits": 2,
    "slope": [0.5, 1.0],
    "offset": [0.1, 0.2],
    "domain": (0, 1),
    "image": (0, 2),
    "breakpoints": [0.0, 0.5],
}

EXAMPLES: dict[str, Callable[[], list[Any]]] = {
    "AND": lambda: [library.AND(3, [1, -1, 0])],
    "AndGate": lambda: [library.AndGate(3, [1, -1, 0]), library.AndGate(6)],
    "BitFlipOracleGate": lambda: [library.BitFlipOracleGate("(x0 & x1) | ~x2")],
    "BitwiseXorGate": lambda: [library.BitwiseXorGate(3, 5), library.BitwiseXorGate(7, 77)],
    "CDKMRippleCarryAdder": lambda: [
        library.CDKMRippleCarryAdder(2, kind) for kind in ("full", "half", "fixed")
    ],
    "Diagonal": lambda: [library.Diagonal(np.exp(1j * np.arange(8)))],
    "DiagonalGate": lambda: [library.DiagonalGate(np.exp(1j * np.arange(2**k))) for k in (2, 6)],
    "DraperQFTAdder": lambda: [library.DraperQFTAdder(2, kind) for kind in ("fixed", "half")],
    "EfficientSU2": lambda: [library.EfficientSU2(3, reps=1)],
    "EvolvedOperatorAnsatz": lambda: [
        library.EvolvedOperatorAnsatz([PAULIS, SparsePauliOp("XX")]),
        library.EvolvedOperatorAnsatz([PAULIS], evolution=MatrixExponential()),
        library.EvolvedOperatorAnsatz([PAULIS], evolution=SuzukiTrotter(order=2, reps=2)),
    ],
    "ExactReciprocal": lambda: [library.ExactReciprocal(2, 0.4, neg_vals=True)],
    "ExactReciprocalGate": lambda: [library.ExactReciprocalGate(2, 0.4)],
    "ExcitationPreserving": lambda: [library.ExcitationPreserving(3, mode="fsim", reps=1)],
    "FourierChecking": lambda: [library.FourierChecking([1, -1, -1, -1], [1, 1, -1, -1])],
    "FullAdderGate": _sized(library.FullAdderGate, 1, 2, 3),
    "GMS": lambda: [library.GMS(3, [[0, a, b], [a, 0, 0.4], [b, 0.4, 0]])],
    # Free angles of these three fail in Qiskit 2.6.2 itself, which formats them as numbers.
    "GR": lambda: [library.GR(3, 0.3, 0.7)],
    "GRX": lambda: [library.GRX(3, 0.3)],
    "GRY": lambda: [library.GRY(3, 0.3)],
    "GRZ": lambda: [library.GRZ(3, a)],
    "GraphState": lambda: [library.GraphState(GRAPH)],
    "GraphStateGate": lambda: [library.GraphStateGate(GRAPH)],
    "GroverOperator": lambda: [library.GroverOperator(_oracle())],
    "HRSCumulativeMultiplier": lambda: [library.HRSCumulativeMultiplier(1)],
    "HalfAdderGate": _sized(library.HalfAdderGate, 1, 2, 3),
    "HamiltonianGate": lambda: [
        library.HamiltonianGate(PAULIS.to_matrix(), a),
        library.HamiltonianGate(np.diag([1.0, 2.0, 2.0, -1.0]), 2 * a + b),
        library.HamiltonianGate(SparsePauliOp(["ZZZ", "XII", "IXY"]).to_matrix(), a * b),
        library.HamiltonianGate(PAULIS.to_matrix(), 0.3),
        library.HamiltonianGate(CHAIN.to_matrix(), 0.3),
        library.HamiltonianGate(CHAIN.to_matrix(), a),
    ],
    "HiddenLinearFunction": lambda: [library.HiddenLinearFunction(GRAPH)],
    "IQP": lambda: [library.IQP([[6, 5, 3], [5, 4, 5], [3, 5, 1]])],
    "Initialize": lambda: [
        library.Initialize(np.array([1, 2j, -1, 0.5]) / np.sqrt(6.25)),
        library.Initialize("01+"),
        library.Initialize(5, 3),
    ],
    "InnerProduct": lambda: [library.InnerProduct(2)],
    "InnerProductGate": _sized(library.InnerProductGate, 2, 3),
    "IntegerComparator": lambda: [library.IntegerComparator(2, 2)],
    "IntegerComparatorGate": lambda: [library.IntegerComparatorGate(k, 2) for k in (2, 5)],
    "Isometry": lambda: [library.Isometry(_unitary()[:, :2], 0, 0)],
    "LinearAmplitudeFunction": lambda: [library.LinearAmplitudeFunction(**_LINEAR)],
    "LinearAmplitudeFunctionGate": lambda: [library.LinearAmplitudeFunctionGate(**_LINEAR)],
    "LinearFunction": lambda: [
        library.LinearFunction([[1, 1], [0, 1]]),
        library.LinearFunction(np.tri(7, dtype=bool)),
    ],
    "MCGupDiag": lambda: [library.MCGupDiag(random_unitary(2, seed=1).data, 2, 0, 0)],
    "MCMT": lambda: [library.MCMT(RYGate(a), 2, 2)],
    "MCMTGate": lambda: [
        library.MCMTGate(RYGate(a), 2, 2),
        library.MCMTGate(PhaseGate(a + b), 2, 2, ctrl_state=1),
        library.MCMTGate(ZGate(), 3, 4),
    ],
    "MCMTVChain": lambda: [library.MCMTVChain(RYGate(a), 2, 2)],
    "MCPhaseGate": lambda: [
        library.MCPhaseGate(a, 3),
        library.MCPhaseGate(a, 2, ctrl_state=1),
        library.MCPhaseGate(a, 5),
    ],
    "MCU1Gate": lambda: [library.MCU1Gate(a, 3)],
    "MCXGate": lambda: (
        [library.MCXGate(k) for k in (1, 2, 3, 4, 5, 6)] + [library.MCXGate(3, ctrl_state=2)]
    ),
    "MCXGrayCode": _sized(library.MCXGrayCode, 3, 5),
    "MCXRecursive": _sized(library.MCXRecursive, 3, 5),
    "MCXVChain": lambda: [
        library.MCXVChain(4),
        library.MCXVChain(4, dirty_ancillas=True),
        library.MCXVChain(4, relative_phase=True),
        library.MCXVChain(4, dirty_ancillas=True, action_only=True),
    ],
    "MSGate": lambda: [library.MSGate(3, a), library.MSGate(2, [[0, a], [a, 0]])],
    "ModularAdderGate": _sized(library.ModularAdderGate, 1, 2, 3),
    "MultiplierGate": _sized(library.MultiplierGate, 1, 2),
    "NLocal": lambda: [library.NLocal(3, _rotation(), library.CRXGate(b), reps=1)],
    "OR": lambda: [library.OR(3, [1, -1, 0])],
    "OrGate": lambda: [library.OrGate(3, [1, -1, 0]), library.OrGate(6)],
    "PauliEvolutionGate": lambda: [
        library.PauliEvolutionGate(PAULIS, a),
        library.PauliEvolutionGate(PAULIS, 0.7),
        library.PauliEvolutionGate(Pauli("XYZ"), a * b),
        library.PauliEvolutionGate([PAULIS, SparsePauliOp("XX")], a),
        library.PauliEvolutionGate(CHAIN, a),
        library.PauliEvolutionGate(CHAIN, 0.3),
        library.PauliEvolutionGate(PAULIS, a, synthesis=SuzukiTrotter(order=2, reps=2)),
        library.PauliEvolutionGate(PAULIS, a, synthesis=LieTrotter(reps=3)),
        library.PauliEvolutionGate(PAULIS, a, synthesis=MatrixExponential()),
        library.PauliEvolutionGate(PAULIS, a).control(2, ctrl_state=1),
        library.PauliEvolutionGate(PAULIS, a).inverse(),
        library.PauliEvolutionGate(PAULIS, a).power(2.5),
        library.PauliEvolutionGate(SparseObservable.from_list([("0X+", 0.3), ("lZZ", 0.8)]), a),
    ],
    "PauliFeatureMap": lambda: [library.PauliFeatureMap(3, reps=1, paulis=["Z", "XY"])],
    "PauliGate": lambda: [library.PauliGate("XYZI"), library.PauliGate("XYZIXX")],
    "PauliProductMeasurement": lambda: [library.PauliProductMeasurement(Pauli("XZ"))],
    "PauliProductRotationGate": lambda: [
        library.PauliProductRotationGate(Pauli("XZY"), a),
        library.PauliProductRotationGate(Pauli("-XZYYZZX"), a + b),
    ],
    "PauliTwoDesign": lambda: [library.PauliTwoDesign(3, reps=1, seed=2)],
    "Permutation": lambda: [library.Permutation(4, [2, 0, 3, 1])],
    "PermutationGate": lambda: [
        library.PermutationGate([2, 0, 1]),
        library.PermutationGate([2, 4, 0, 1, 3]),
        library.PermutationGate([5, 2, 4, 0, 1, 3, 6]),
    ],
    "PhaseEstimation": lambda: [library.PhaseEstimation(2, _bell())],
    "PhaseOracle": lambda: [library.PhaseOracle("(x0 & x1) | ~x2")],
    "PhaseOracleGate": lambda: [library.PhaseOracleGate("(x0 & x1) | ~x2")],
    "PiecewiseChebyshev": lambda: [library.PiecewiseChebyshev(np.cos, 1, [0, 1], 1)],
    "PiecewiseChebyshevGate": lambda: [library.PiecewiseChebyshevGate(np.cos, 1, 1, [0, 1])],
    "QAOAAnsatz": lambda: [library.QAOAAnsatz(SparsePauliOp(["ZZI", "IZZ"]), reps=2)],
    "QFT": lambda: [library.QFT(3), library.QFT(3, 1, inverse=True)],
    "QFTGate": _sized(library.QFTGate, 3, 6),
    "QuadraticForm": lambda: [library.QuadraticForm(2, [[a, 1], [0, 2]], [1, b], 0.5)],
    "QuadraticFormGate": lambda: [library.QuadraticFormGate(2, [[1, 1], [0, 2]], [1, 3], 1)],
    "QuantumVolume": lambda: [library.QuantumVolume(3, seed=1)],
    "RGQFTMultiplier": lambda: [library.RGQFTMultiplier(1)],
    "RVGate": lambda: [
        library.RVGate(a, b, c),
        library.RVGate(a, 0, 0),
        library.RVGate(0.0, a * b, 0.4),
        library.RVGate(0.3, 0.4, 0.5),
    ],
    "RealAmplitudes": lambda: [library.RealAmplitudes(3, reps=1)],
    "StatePreparation": lambda: [
        library.StatePreparation(np.array([1, 2j, -1, 0.5]) / np.sqrt(6.25)),
        library.StatePreparation("01+r"),
        library.StatePreparation(37, 6),
    ],
    "TwoLocal": lambda: [library.TwoLocal(3, ["ry", "rz"], "crx", reps=1)],
    "UCGate": lambda: [
        library.UCGate([random_unitary(2, seed=k).data for k in range(4)]),
        library.UCGate([random_unitary(2, seed=k).data for k in range(4)], up_to_diagonal=True),
    ],
    "UCPauliRotGate": lambda: [library.UCPauliRotGate([0.1, 0.2, 0.3, 0.4], "Y")],
    "UCRXGate": lambda: [library.UCRXGate([0.1, 0.2, 0.3, 0.4])],
    "UCRYGate": lambda: [library.UCRYGate([0.1, 0.2, 0.3, 0.4])],
    "UCRZGate": lambda: [library.UCRZGate([0.1, 0.2, 0.3, 0.4])],
    "UniformSuperpositionGate": lambda: [library.UniformSuperpositionGate(5)],
    "UnitaryGate": lambda: [
        library.UnitaryGate(random_unitary(2**k, seed=k).data) for k in (1, 2, 3, 6)
    ],
    "UnitaryOverlap": lambda: [library.UnitaryOverlap(_bell(), _bell())],
    "VBERippleCarryAdder": lambda: [library.VBERippleCarryAdder(2)],
    "WeightedAdder": lambda: [library.WeightedAdder(2, [1, 2])],
    "WeightedSumGate": lambda: [library.WeightedSumGate(2, [1, 2])],
    "XOR": lambda: [library.XOR(3, 5)],
    "ZFeatureMap": lambda: [library.ZFeatureMap(3, reps=1)],
    "ZZFeatureMap": lambda: [library.ZZFeatureMap(3, reps=1)],
    "efficient_su2": lambda: [library.efficient_su2(3, reps=1)],
    "evolved_operator_ansatz": lambda: [
        library.evolved_operator_ansatz([PAULIS, SparsePauliOp("XX")]),
        library.evolved_operator_ansatz([PAULIS], flatten=False),
    ],
    "excitation_preserving": lambda: [library.excitation_preserving(3, mode="fsim", reps=1)],
    "fourier_checking": lambda: [library.fourier_checking([1, -1, -1, -1], [1, 1, -1, -1])],
    "grover_operator": lambda: [library.grover_operator(_oracle())],
    "hamiltonian_variational_ansatz": lambda: [
        library.hamiltonian_variational_ansatz([PAULIS, SparsePauliOp("XX")])
    ],
    "hidden_linear_function": lambda: [library.hidden_linear_function(GRAPH)],
    "iqp": lambda: [library.iqp([[6, 5, 3], [5, 4, 5], [3, 5, 1]])],
    "n_local": lambda: [library.n_local(3, ["rx", "u"], "crz", reps=1)],
    "pauli_feature_map": lambda: [library.pauli_feature_map(3, reps=1, paulis=["Z", "XY"])],
    "pauli_two_design": lambda: [library.pauli_two_design(3, reps=1, seed=2)],
    "phase_estimation": lambda: [library.phase_estimation(2, _bell())],
    "qaoa_ansatz": lambda: [
        library.qaoa_ansatz(SparsePauliOp(["ZZI", "IZZ"]), reps=2),
        library.qaoa_ansatz(SparsePauliOp(["ZZI", "IZZ"]), flatten=False),
    ],
    "quantum_volume": lambda: [library.quantum_volume(3, seed=1)],
    "random_bitwise_xor": lambda: [library.random_bitwise_xor(3, 1)],
    "random_iqp": lambda: [library.random_iqp(3, 1)],
    "real_amplitudes": lambda: [library.real_amplitudes(3, reps=1)],
    "unitary_overlap": lambda: [library.unitary_overlap(_bell(), _bell())],
    "z_feature_map": lambda: [library.z_feature_map(3, reps=1)],
    "zz_feature_map": lambda: [library.zz_feature_map(3, reps=1)],
}
"""Name to circuits, gates and other operations that it makes."""
for _name, _options in _PAULI_ROTATIONS.items():
    for _each in (_name, _name + "Gate"):
        EXAMPLES[_each] = _with(_each, num_state_qubits=2, **_options)


def _rotation() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.rx(a, 0)
    circuit.rz(a * b, 0)
    return circuit


def names() -> list[str]:
    """All public names of the library that are classes or functions."""
    return [
        name
        for name in sorted(dir(library))
        if not name.startswith("_")
        and callable(getattr(library, name))
        and name not in NOT_CIRCUITS
    ]


def examples(name: str) -> list[QuantumCircuit]:
    """Circuits of a name: the thing itself, and for gates also its inverse and its controlled form."""
    made = EXAMPLES[name]() if name in EXAMPLES else _guessed(getattr(library, name))
    return [each if isinstance(each, QuantumCircuit) else wrapped(each) for each in made]


def _guessed(thing: Callable[..., Any]) -> list[Any]:
    """From the signature: numbers that a gate calls angles become expressions of parameters."""
    angles: Iterator[Any] = itertools.cycle([a, 2 * b - 0.3, a * c, d.sin()])
    known = {"theta", "phi", "lam", "gamma", "beta", "phase"}
    values = {}
    for each in inspect.signature(thing).parameters.values():
        if each.name in known:
            values[each.name] = next(angles)
        elif each.default is each.empty and each.kind not in (
            each.VAR_POSITIONAL,
            each.VAR_KEYWORD,
        ):
            raise AssertionError(
                f"qiskit.circuit.library.{thing.__name__} is new: give it an example"
            )
    return [thing(**values)]


def wrapped(operation: Operation) -> QuantumCircuit:
    """The operation in a circuit, on qubits that are not in order, between other gates."""
    k = operation.num_qubits
    circuit = QuantumCircuit(k + 1, operation.num_clbits)
    for qubit in range(k + 1):
        circuit.ry(0.4 + 0.3 * qubit, qubit)
        circuit.rz(0.2 * qubit - 0.5, qubit)
    where = [(2 * q + 1) % (k + 1) if k % 2 == 0 else k - q for q in range(k)]
    if len(set(where)) != k:
        where = list(range(k))
    circuit.append(operation, where, range(operation.num_clbits))
    for qubit in range(k):
        circuit.ry(0.3, qubit)
        circuit.cx(qubit, qubit + 1)
    return circuit
